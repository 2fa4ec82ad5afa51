"""Training a forecaster: its windows as batches, its loss, what must hold before it starts, and the correction of its intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grus.data.missing import parse
from grus.data.panel import Panel
from grus.data.scaling import Scaling
from grus.data.splitting import Split
from grus.data.streaming import OnePart, SplitParts, WindowStream, fit_scaling, told
from grus.data.transforms import Transform
from grus.data.windows import Channels, Windows
from grus.errors import DataError, OptionError
from grus.evaluation.conformal import ScaledQuantiles, needed
from grus.models.augment import Augmentation
from grus.models.forecast import ForecastNetwork, ForecastSettings, ForecastShape, build
from grus.models.settings import LayerSettings
from grus.models.tensors import TensorBatch
from grus.nn.memory import fit_memory
from grus.tasks.forecast import PREDICTED, Array, ForecastModel, WindowSettings, check_known
from grus.training import History, Objective, Reporter, TrainingSettings, fit, quiet, seeded
from grus.training.rate_finder import RateSearch, find_rate


class WindowSource:
    """Windows as the batches of a training run, whose series go by their numbers in the scaling.

    digest: of what the windows hold, for a run that may be resumed.
    """

    def __init__(self, windows: WindowStream, batch_size: int, *, shuffle: bool = True, digest: str | None = None) -> None:
        self.windows, self.batch_size, self.shuffle, self.digest = windows, batch_size, shuffle, digest
        self._share = (0, 1)

    def __len__(self) -> int:
        return self.windows.batches(self.batch_size)

    def share(self, rank: int, ranks: int) -> WindowSource:
        """A rank's part of batches that are so many times as large.

        Raises: OptionError where there are fewer windows than ranks.
        """
        if len(self.windows) < ranks:
            raise OptionError(f"fit: every process must have a window, got {len(self.windows)} for {ranks} processes; start fewer of them.")
        found = WindowSource(self.windows, self.batch_size * ranks, shuffle=self.shuffle, digest=self.digest)
        found._share = (rank, ranks)
        return found

    def epoch(self, number: int, seed: int) -> Iterator[TensorBatch | None]:
        """The windows of one epoch."""
        for batch in self.windows.epoch(number, seed, self.batch_size, self.shuffle, self._share):
            yield None if batch is None else TensorBatch.of(batch)


def objective(network: Any, batch: TensorBatch, augmentation: Augmentation | None = None) -> tuple[Tensor, Tensor]:
    """The loss of the network's head, summed over the targets that are known, and their weight; in training the network reads augmented windows."""
    device = next(network.parameters()).device
    shown = batch if device.type == "cpu" else batch.to(device)
    read = shown if augmentation is None or not network.training else augmentation(shown)
    return network.head.batch_loss(network(read), shown)


def augmentation_for(like: Panel, channels: Channels, input_noise: float, window_warping: float) -> Augmentation | None:
    """The augmentation of windows with these channels, of a panel like this one; None where nothing is asked for.

    Raises: OptionError for warping of steps that are not regular, as it would tell wrong times.
    """
    if window_warping and not like.step.is_regular:
        raise OptionError(f"train: window_warping must be 0 for a series whose steps are irregular, got {window_warping}; leave it out.")
    if not (input_noise or window_warping):
        return None
    ahead = len(channels.past) - len(channels.future)
    first = ahead - len(like.past_names)
    return Augmentation(input_noise, window_warping, range(first, ahead), range(1, first))


def train(
    split: Split | SplitParts,
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

    split: of all series, or of parts that are read anew in each epoch, one after the other in an order of its own.
    start: a model whose weights and units training goes on from; it stays as it is.
    The scaling is fitted on the training ranges alone. An interrupted run with a folder gives the best network so far, for ``resume`` to go on with.

    Raises: DataError, OptionError; KeyboardInterrupt for an interrupted run without a folder.
    """
    course = _prepare(split, windows, settings, training, start, to_resume=folder is not None)
    network, held = course.network, course.checked
    history = fit(network, course.objective, course.source, course.checked, training, folder=folder, reporter=reporter, resume=resume)
    if history.interrupted and folder is None:
        raise KeyboardInterrupt  # half-trained and nothing to resume from: no model
    model = ForecastModel(network.cpu(), windows, course.scaling, replace(course.seen.like, findings=told(course.seen.findings)))
    return (model if held is None else calibrate(model, course.parts, held.windows)), history


def search_rate(split: Split | SplitParts, windows: WindowSettings, settings: ForecastSettings, training: TrainingSettings) -> RateSearch:
    """Learning rates tried out on what ``train`` would begin with, of the same arguments.

    Raises: DataError, OptionError.
    """
    course = _prepare(split, windows, settings, training, None, to_resume=False)
    return find_rate(course.network, course.objective, course.source, training)


@dataclass(frozen=True)
class _Course:
    """What a training begins with."""

    network: ForecastNetwork
    objective: Objective
    source: WindowSource
    checked: WindowSource | None
    scaling: Scaling
    seen: _Seen
    parts: SplitParts


def _prepare(
    split: Split | SplitParts,
    windows: WindowSettings,
    settings: ForecastSettings,
    training: TrainingSettings,
    start: ForecastModel | None,
    *,
    to_resume: bool,
) -> _Course:
    _check_settings(windows, settings)
    parts = OnePart(split) if isinstance(split, Split) else split
    shown = parts.changed(lambda part: replace(part, panel=windows.shown(part.panel)))
    seen = _Seen()
    looked = seen.look(shown, partial(_check_panel, windows=windows, settings=settings, start=start))
    scaling = fit_scaling(looked, windows.scaling, windows.covariate_scaling) if start is None else start.scaling
    for _ in looked:
        pass  # where no scaling was to be fitted
    seen.check_lengths(windows.horizon)
    given = {"missing": windows.missing, "calendar_features": windows.calendar_features}
    make = partial(Windows, lookback=windows.lookback, horizon=windows.horizon, **given)
    digests: dict[str, list[str]] = {"train": [], "validation": []}

    def stream(kind: Literal["train", "validation"], stride: int) -> WindowStream:
        def look(number: int, part: Split, found: Windows) -> None:
            if to_resume:
                digests[kind].append(digest_of(found, windows))
            if kind == "train":
                seen.findings[number] += found.scaling.findings(part.panel, part.train)

        return WindowStream(shown, kind, scaling, partial(make, stride=stride), look)

    learnt = stream("train", windows.stride)
    held = stream("validation", 1) if seen.longest["validation"] else None
    channels, series = learnt.channels, len(scaling.target.names)
    shape = ForecastShape(windows.lookback, windows.horizon, len(channels.past), len(channels.future), len(channels.static), series)
    with seeded(training.seed):
        network = build(settings, shape) if start is None else deepcopy(start.network)
    source = WindowSource(learnt, training.batch_size, digest=_joined(digests["train"]))
    checked = None if held is None else WindowSource(held, PREDICTED, shuffle=False, digest=_joined(digests["validation"]))
    if training.max_memory_gb is not None:
        with seeded(training.seed):
            batch = next(batch for batch in source.epoch(1, training.seed) if batch is not None)
            rows = min(training.batch_size, max(learnt.counts))
            fit_memory(network, partial(objective, network, batch), training.max_memory_gb, rows=rows)
    augmentation = augmentation_for(seen.like, channels, training.input_noise, training.window_warping)
    return _Course(network, partial(objective, augmentation=augmentation), source, checked, scaling, seen, parts)


def digest_of(windows: Windows, settings: WindowSettings) -> str:
    """A checksum of all that decides the windows: the options, the units, which windows, and every series as far as they reach."""
    found = sha256(repr(settings).encode() + json.dumps(windows.scaling.to_dict()).encode())
    stops = np.zeros(len(windows.panel), np.int64)
    np.maximum.at(stops, windows.series, windows.origins + windows.horizon)
    arrays: list[NDArray[Any]] = [windows.series, windows.origins]
    for series, stop in zip(windows.panel, stops.tolist(), strict=True):
        arrays += [series.times[:stop], series.target[:stop], series.past[:stop], series.future[:stop], series.static]
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def _joined(digests: Sequence[str]) -> str | None:
    """One digest for those of all parts; None of none."""
    return sha256("".join(digests).encode()).hexdigest() if len(digests) > 1 else next(iter(digests), None)


def calibrate(model: ForecastModel, parts: SplitParts, held: WindowStream) -> ForecastModel:
    """The model with its intervals corrected on windows of parts whose targets it was not fitted to, though they chose its epoch.

    An interval is a pair of levels (τ, 1 − τ). Errors count in the interval's own half-widths, of logarithms where the target's transform takes them.
    Windows that overlap are dependent, so of each series only every horizon-th counts; where that leaves too few for a pair, it stays as the
    network gives it.

    Source: ``ScaledQuantiles``.
    """
    levels = model.levels
    pairs = [(low, high) for low in levels if low < 0.5 for high in levels if abs(low + high - 1) < 1e-9]
    if not pairs:
        return model
    plain, ends = replace(model, intervals={}), sorted({0.5, *(level for pair in pairs for level in pair)})
    found = [_in_scale(plain, parts.part(number).panel, held.windows(number), ends) for number in held.filled]
    truth = np.concatenate([truth for truth, _ in found])
    given = {level: np.concatenate([quantiles[level] for _, quantiles in found]) for level in ends}
    intervals: dict[tuple[float, float], ScaledQuantiles] = {}
    for low, high in pairs:
        coverage = round(high - low, 9)
        if (~np.isnan(truth)).sum(0).min() >= needed(coverage):
            intervals[low, high] = ScaledQuantiles.fit(truth, given[low], given[0.5], given[high], coverage)
    return replace(model, intervals=intervals)


def _in_scale(model: ForecastModel, panel: Panel, held: Windows, levels: Sequence[float]) -> tuple[Array, dict[float, Array]]:
    """The truth and these quantiles of every horizon-th window of each series, in units of its scale."""
    first = np.full(len(held.panel), np.iinfo(np.int64).max)
    np.minimum.at(first, held.series, held.origins)
    chosen = np.flatnonzero((held.origins - first[held.series]) % model.horizon == 0)
    targets: list[Any] = [series.target for series in panel]
    places = zip(held.series[chosen].tolist(), held.origins[chosen].tolist(), strict=True)
    transform, scale = Transform(model.windows.transform, panel.step.season), held.scaling.target.scale[held.series[chosen]][:, None]
    truth = np.stack([targets[series][origin : origin + model.horizon] for series, origin in places])
    batches = [held.batch(chosen[at : at + PREDICTED]) for at in range(0, len(chosen), PREDICTED)]
    quantiles = model.decode(panel, held, batches, None).quantiles
    return transform.level(truth) / scale, {level: transform.level(quantiles[level]) / scale for level in levels}


class _Seen:
    """What is noted of every part in the first pass: its findings, the longest ranges of all, and a panel like its own without series."""

    like: Panel

    def __init__(self) -> None:
        self.findings: list[tuple[str, ...]] = []
        self.longest = {"train": 0, "validation": 0}

    def look(self, parts: Iterable[Split], check: Callable[[Panel], None]) -> Iterator[Split]:
        """The parts, each noted once it has passed the check."""
        for part in parts:
            check(part.panel)
            self.like = replace(part.panel, series=(), findings=())
            self.findings.append((*part.panel.findings, *part.findings))
            for kind, before in self.longest.items():
                self.longest[kind] = max([before, *(high - low for low, high in getattr(part, kind))])
            yield part

    def check_lengths(self, horizon: int) -> None:
        """Raises: DataError where no series has room for a window in its training part, or in its validation part if it has one."""
        for kind, name, least in (("train", "training", horizon + 1), ("validation", "validation", horizon)):
            longest = self.longest[kind]
            if longest < least and (longest or kind == "train"):
                raise DataError(
                    f"train: the {name} part must hold {least} steps of a series, for one window with a horizon of {horizon}, got {longest} at most; "
                    + ("make the validation part smaller, or give more data." if kind == "train" else "make it larger, or 0 for none.")
                )


def _check_panel(panel: Panel, windows: WindowSettings, settings: ForecastSettings, start: ForecastModel | None) -> None:
    check_known("train", panel)
    if start is not None:
        _check_start(start, windows, settings, panel)


def check_missing(missing: str, settings: LayerSettings) -> None:
    """Raises: OptionError unless gaps are left to a cell that reads them, and to no other."""
    if (parse(missing).fill == "none") != settings.missing_aware:
        cell = settings.cell if isinstance(settings.cell, str) else settings.cell.name
        raise OptionError(
            f"train: missing must be 'gru_d' with a cell that reads what is missing, as gru_d does, and with no other, got {missing!r} "
            f"with {cell!r}; take missing='gru_d' and cell='gru_d', or neither."
        )


def _check_settings(windows: WindowSettings, settings: ForecastSettings) -> None:
    check_missing(windows.missing, settings)
    if settings.loss == "mase" and settings.mase_season >= windows.lookback:
        raise OptionError(
            f"train: mase_season must be less than lookback = {windows.lookback} with loss='mase', got {settings.mase_season}; look back further."
        )
    for name in ("scaling", "transform"):
        if settings.head == "negative_binomial" and getattr(windows, name) != "none":
            raise OptionError(
                f"train: {name} must be 'none' for the head 'negative_binomial', as counts have a fixed zero, got {getattr(windows, name)!r}; "
                "pass that."
            )


def _check_start(start: ForecastModel, windows: WindowSettings, settings: ForecastSettings, panel: Panel) -> None:
    """Whether training can go on from a model: with what it was built as, on its series."""
    had = {**vars(start.windows), **start.network.settings.model_dump()}
    wanted = {**vars(windows), **settings.model_dump(), "stride": start.windows.stride}
    for name, value in had.items():
        if wanted[name] != value:
            raise OptionError(
                f"train: {name} must be {value!r}, that of the model to go on from, got {wanted[name]!r}; train anew for another network."
            )
    unseen = [series.id for series in panel if series.id not in start.scaling.target.names]
    if unseen:
        raise DataError(f"train: series must be those of the model to go on from, got {unseen[0]!r}; leave it out, or train anew.")
