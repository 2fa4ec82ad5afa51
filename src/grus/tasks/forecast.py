"""Forecasting: windows of a panel, a network, a loss over the targets that are known, and what turns its output back into forecasts.

panel → windows (filled, scaled) → ForecastNetwork → quantiles in the target's units → intervals corrected on the validation part
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from grus.data.missing import parse
from grus.data.panel import Panel
from grus.data.scaling import Scaling
from grus.data.splitting import Range, Split
from grus.data.windows import Batch, Windows
from grus.errors import DataError, OptionError
from grus.evaluation.conformal import ConformalQuantiles, needed
from grus.evaluation.rolling import Predict, Prediction
from grus.models.forecast import ForecastNetwork, ForecastSettings, ForecastShape, build
from grus.models.tensors import TensorBatch
from grus.training import History, Reporter, TrainingSettings, fit, quiet, seeded

PREDICTED = 256  # windows forecast together
Array = NDArray[np.float64]
Ranges = tuple[Range, ...]


@dataclass(frozen=True)
class WindowSettings:
    """What a network is shown: how far back and ahead, what stands for missing values, and in which units.

    missing, scaling: as in ``grus.data``. stride: steps between the windows of training.
    """

    lookback: int
    horizon: int
    missing: str = "forward+mask"
    scaling: str = "standard"
    stride: int = 1


class WindowSource:
    """Windows as the batches of a training run."""

    def __init__(self, windows: Windows, batch_size: int, *, shuffle: bool = True) -> None:
        self.windows, self.batch_size, self.shuffle = windows, batch_size, shuffle

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def epoch(self, number: int, seed: int) -> Iterator[TensorBatch]:
        """The windows of one epoch."""
        return map(TensorBatch.of, self.windows.epoch(number, seed, self.batch_size, self.shuffle))


def objective(network: Any, batch: TensorBatch) -> tuple[Tensor, Tensor]:
    """The loss of the network's head, summed over the targets that are known, and their number."""
    head = network.module.head if hasattr(network, "module") else network.head
    return head.loss(network(batch), batch.target)


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """A trained network and all that it takes to forecast with it.

    like: the training panel without its series: columns, step, categories.
    intervals: for each pair of levels (low, high) its correction, measured on the validation part.
    """

    network: ForecastNetwork
    windows: WindowSettings
    scaling: Scaling
    like: Panel
    intervals: Mapping[tuple[float, float], ConformalQuantiles] = field(default_factory=dict[tuple[float, float], ConformalQuantiles])

    @property
    def horizon(self) -> int:
        return self.windows.horizon

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles that it gives unasked: none for a network with a point head."""
        return () if self.network.settings.head == "point" else self.network.settings.levels

    def predict(self, panel: Panel, future: Panel | None = None, levels: Sequence[float] | None = None) -> Prediction:
        """The `horizon` steps after the end of each series.

        Shapes: point and each quantile [series, H].
        Raises: DataError where a series has nothing to forecast from, or covariates ahead are not known.
        """
        whole = tuple((0, len(series)) for series in panel)
        windows = self._windows(panel, whole, keep_partial=True)
        return self._decode(windows.scaling, [windows.last(future)], levels)

    def predict_at(self, panel: Panel, series: ArrayLike, origins: ArrayLike, levels: Sequence[float] | None = None) -> Prediction:
        """The steps from each origin on, known before it; a series of the training panel keeps its units.

        Shapes: series and origins [N]; point and each quantile [N, H].
        Raises: DataError where nothing is known before an origin.
        """
        return self.rolling(panel, levels)(panel, np.asarray(series, np.int64), np.asarray(origins, np.int64))

    def rolling(self, panel: Panel, levels: Sequence[float] | None = None) -> Predict:
        """``predict_at`` for many calls on one panel, whose windows are made once."""
        windows = self._windows(panel, tuple((0, len(each)) for each in panel), keep_partial=True)
        reach = max(len(each) for each in panel) + 1
        places = windows.series * reach + windows.origins

        def predict(same: Panel, series: NDArray[np.int64], origins: NDArray[np.int64], /) -> Prediction:
            found = np.minimum(np.searchsorted(places, series * reach + origins), len(windows) - 1)
            absent = np.flatnonzero(places[found] != series * reach + origins)
            if absent.size:
                at = int(absent[0])
                raise DataError(
                    f"ForecastModel: series {same.series[int(series[at])].id!r} must have a measured value in the {self.windows.lookback} steps "
                    f"before step {int(origins[at])}, got none; start later or look back further."
                )
            batches = [windows.batch(found[at : at + PREDICTED]) for at in range(0, len(found), PREDICTED)]
            return self._decode(windows.scaling, batches, levels)

        return predict

    def example(self, panel: Panel, series: int, origin: int) -> tuple[Batch, dict[str, Array]]:
        """One window, and the gates of the encoder's last layer over it, each [L, H].

        Raises: OptionError for a network without gates.
        """
        windows = self._windows(panel, tuple((0, len(each)) for each in panel), keep_partial=True)
        (row,) = np.flatnonzero((windows.series == series) & (windows.origins == origin))
        batch = windows.batch([row])
        return batch, {name: value[0].double().numpy() for name, value in self.network.trace(TensorBatch.of(batch)).items()}

    def _windows(self, panel: Panel, ranges: Ranges, *, keep_partial: bool) -> Windows:
        settings, scaling = self.windows, self.scaling
        if {series.id for series in panel} - set(scaling.target.names):
            scaling = scaling.refit(panel, ranges)
        return Windows(
            panel,
            ranges,
            settings.lookback,
            settings.horizon,
            missing=settings.missing,
            scaling=scaling,
            keep_partial=keep_partial,
            min_known=0,
        )

    def _decode(self, scaling: Scaling, batches: Sequence[Batch], levels: Sequence[float] | None) -> Prediction:
        """The network's forecasts in the target's units."""
        wanted = self.levels if levels is None else tuple(levels)
        head, points, quantiles = self.network.head, list[Array](), list[Array]()
        with torch.no_grad():
            for batch in batches:
                parameters = self.network(TensorBatch.of(batch))
                points.append(scaling.invert(batch.series, head.point(parameters).double().numpy()))
                if wanted:
                    given = head.quantiles(parameters, wanted).double().numpy()
                    quantiles.append(np.stack([scaling.invert(batch.series, given[..., at]) for at in range(len(wanted))], -1))
        if not wanted:
            return Prediction(np.concatenate(points))
        stacked = np.concatenate(quantiles)
        return Prediction(np.concatenate(points), self._corrected({level: stacked[..., at] for at, level in enumerate(wanted)}))

    def _corrected(self, quantiles: Mapping[float, Array]) -> dict[float, Array]:
        found = dict(quantiles)
        for (low, high), correction in self.intervals.items():
            if low in found and high in found:
                found[low], found[high] = correction.interval(found[low], found[high])
        return found


def train(
    split: Split,
    windows: WindowSettings,
    settings: ForecastSettings,
    training: TrainingSettings,
    *,
    start: ForecastModel | None = None,
    folder: Path | None = None,
    reporter: Reporter = quiet,
    resume: bool = False,
) -> tuple[ForecastModel, History]:
    """A network trained on the training ranges of a split, the best epoch chosen and the intervals corrected on its validation ranges.

    start: a model whose weights and units training goes on from.
    The scaling is fitted on the training ranges alone.

    Raises: DataError, OptionError.
    """
    panel, aware = split.panel, parse(windows.missing).fill == "none"
    if aware != settings.missing_aware:
        raise OptionError(
            f"train: missing must be 'gru_d' with the cell {settings.cell!r} and no other, got {windows.missing!r}; "
            "take missing='gru_d' and cell='gru_d', or neither."
        )
    scaling = Scaling.fit(panel, split.train, windows.scaling) if start is None else start.scaling
    make = partial(Windows, panel, lookback=windows.lookback, horizon=windows.horizon, missing=windows.missing, scaling=scaling)
    learnt = make(split.train, stride=windows.stride)
    held = make(split.validation) if any(high > low for low, high in split.validation) else None
    channels = learnt.channels
    shape = ForecastShape(windows.lookback, windows.horizon, len(channels.past), len(channels.future), len(channels.static), len(panel))
    with seeded(training.seed):
        network = build(settings, shape) if start is None else start.network
    source = WindowSource(learnt, training.batch_size)
    checked = None if held is None else WindowSource(held, PREDICTED, shuffle=False)
    history = fit(network, objective, source, checked, training, folder=folder, reporter=reporter, resume=resume)
    model = ForecastModel(network, windows, scaling, replace(panel, series=(), findings=()))
    return (model if held is None else calibrate(model, held)), history


def calibrate(model: ForecastModel, held: Windows) -> ForecastModel:
    """The model with its outer quantiles corrected on windows it was not trained on, so that their intervals hold what they promise.

    Windows that overlap are dependent, so of each series only every horizon-th counts; where that leaves too few for a pair of levels, the
    pair stays as the network gives it.

    Source: Romano, Patterson and Candès, Conformalized quantile regression, 2019.
    """
    levels = model.levels
    pairs = [(low, high) for low, high in zip(levels, reversed(levels), strict=True) if low < high]
    if not pairs:
        return model
    chosen = np.flatnonzero((held.origins - held.origins.min()) % model.horizon == 0)
    truth = np.concatenate([held.batch(chosen[at : at + PREDICTED]).target for at in range(0, len(chosen), PREDICTED)]).astype(np.float64)
    truth = held.scaling.invert(held.series[chosen], truth)
    given = replace(model, intervals={}).predict_at(held.panel, held.series[chosen], held.origins[chosen])
    intervals: dict[tuple[float, float], ConformalQuantiles] = {}
    for low, high in pairs:
        coverage = round(high - low, 9)
        if (~np.isnan(truth)).sum(0).min() >= needed(coverage):
            intervals[low, high] = ConformalQuantiles.fit(truth, given.quantiles[low], given.quantiles[high], coverage)
    return replace(model, intervals=intervals)
