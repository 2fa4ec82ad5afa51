"""A trained forecaster: windows of a panel, a network, and what turns its output back into forecasts; ``learning`` trains one.

panel → transformed target → windows (filled, scaled) → ForecastNetwork → quantiles in the target's units → intervals corrected on the
validation part
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from grus.data.panel import Panel
from grus.data.scaling import Affine, Scaling, check_methods
from grus.data.splitting import Range
from grus.data.transforms import Transform
from grus.data.windows import Batch, Windows
from grus.errors import DataError, OptionError
from grus.evaluation.conformal import ScaledQuantiles
from grus.evaluation.plan import Predict, Prediction
from grus.models.forecast import ForecastNetwork
from grus.models.tensors import TensorBatch

PREDICTED = 256  # windows forecast together
Array = NDArray[np.float64]
Ranges = tuple[Range, ...]
LONGEST = 512  # steps that a network looks back unasked


def default_lookback(season: int, horizon: int) -> int:
    """Steps that a network sees where nobody says how many: two seasons, at least two horizons, at most 512.

    Example:
        >>> default_lookback(24, 6), default_lookback(1, 28), default_lookback(8766, 24)
        (48, 56, 512)
    """
    return min(max(2 * season, 2 * horizon), LONGEST)


def check_count(who: str, name: str, value: object) -> None:
    """Raises: OptionError unless the value is a number of steps."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise OptionError(f"{who}: {name} must be a whole number of at least 1, got {value!r}; give a number of steps.")


@dataclass(frozen=True)
class WindowSettings:
    """What a network is shown: how far back and ahead, what stands for missing values, and in which units.

    missing, scaling, covariate_scaling, transform: as in ``grus.data``. calendar_features: sines and cosines of the place in day, week and year.
    stride: steps between the windows of training.
    """

    lookback: int
    horizon: int
    missing: str = "forward+mask"
    scaling: str = "standard"
    stride: int = 1
    transform: str = "none"
    covariate_scaling: str = "standard"
    calendar_features: bool = True

    def __post_init__(self) -> None:
        check_methods(self.scaling, self.covariate_scaling)
        for name in ("lookback", "horizon", "stride"):
            check_count("WindowSettings", name, getattr(self, name))

    def shown(self, panel: Panel) -> Panel:
        """The panel with its targets transformed, as the network's windows show them.

        Raises: OptionError, DataError as ``Transform`` does.
        """
        return Transform(self.transform, panel.step.season).apply(panel)


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """A trained network and all that it takes to forecast with it.

    like: the training panel without its series: columns, step, categories, findings.
    intervals: for each pair of levels (low, high) its correction, measured on the validation part in its own half-widths.
    facts: what it was trained on, as names and values for a reader.
    """

    network: ForecastNetwork
    windows: WindowSettings
    scaling: Scaling
    like: Panel
    intervals: Mapping[tuple[float, float], ScaledQuantiles] = field(default_factory=dict[tuple[float, float], ScaledQuantiles])
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def horizon(self) -> int:
        return self.windows.horizon

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles that it gives unasked: none for a network with a point head."""
        return () if self.network.settings.head == "point" else self.network.settings.levels

    def predict(self, panel: Panel, future: Panel | None = None, levels: Sequence[float] | None = None) -> Prediction:
        """The `horizon` steps after the end of each series. A series of the training panel keeps its units; others are measured on all of theirs.

        Shapes: point and each quantile [series, H].
        Raises: DataError where a series has nothing to forecast from, or covariates ahead are not known.
        """
        self._check(panel)
        shown = self.windows.shown(panel)
        if not any((~np.isnan(series.target[:-1])).any() for series in shown):
            raise DataError("ForecastModel: panel must have a measured value before the last step of a series, got none; give more of the past.")
        windows = self._windows(shown, [len(series) for series in panel], keep_partial=True)
        last = windows.last(future)
        rows = [slice(at, at + PREDICTED) for at in range(0, len(panel), PREDICTED)]
        return self.decode(panel, windows, [Batch(*[getattr(last, name)[chosen] for name in Batch.__dataclass_fields__]) for chosen in rows], levels)

    def predict_at(self, panel: Panel, series: ArrayLike, origins: ArrayLike, levels: Sequence[float] | None = None) -> Prediction:
        """The steps from each origin on, known before it.

        A series of the training panel keeps its units; others are measured on what precedes the origin.

        Shapes: series and origins [N]; point and each quantile [N, H].
        Raises: DataError where nothing is known before an origin, or the steps from it pass the end.
        """
        return self.rolling(panel, levels)(panel, np.asarray(series, np.int64), np.asarray(origins, np.int64))

    def rolling(self, panel: Panel, levels: Sequence[float] | None = None) -> Predict:
        """``predict_at`` for many calls on one panel, whose windows are made once."""
        self._check(panel)
        shown = self.windows.shown(panel)
        fitted = set(self.scaling.target.names)
        seen = np.flatnonzero([series.id in fitted for series in panel])
        place = np.full(len(panel), -1)
        place[seen] = np.arange(len(seen))
        learnt = _take(panel, seen)

        @cache
        def whole() -> Windows:
            return self._windows(_take(shown, seen), [len(panel.series[at]) for at in seen])

        def predict(same: Panel, series: NDArray[np.int64], origins: NDArray[np.int64], /) -> Prediction:
            for index, origin in zip(series.tolist(), origins.tolist(), strict=True):
                self._check_origin(shown, index, origin, self.horizon)
            rows = np.flatnonzero(place[series] >= 0)
            found = [(rows, self._forecast(learnt, whole(), place[series[rows]], origins[rows], levels))] if rows.size else []
            for rows in _rounds(series, np.flatnonzero(place[series] < 0)):
                windows = self._windows(_take(shown, series[rows]), origins[rows].tolist())
                found.append((rows, self._forecast(_take(panel, series[rows]), windows, np.arange(len(rows)), origins[rows], levels)))
            return _in_order(found)

        return predict

    def example(self, panel: Panel, series: int, origin: int) -> tuple[Batch, dict[str, Array]]:
        """One window, and the gates of the encoder's last layer over it, each [L, H]; its targets may pass the end.

        Raises: OptionError for a network without gates; DataError where nothing is known before the origin.
        """
        self._check(panel)
        shown = self.windows.shown(panel)
        self._check_origin(shown, series, origin, 1)
        windows = self._windows(_take(shown, [series]), [origin], keep_partial=True)
        batch = windows.batch(_numbers_of(windows, np.zeros(1, np.int64), np.array([origin])))
        gates = self.network.trace(to_tensors(batch, self._places(windows.panel)))
        return replace(batch, series=np.array([series])), {name: value[0].double().numpy() for name, value in gates.items()}

    def _check(self, panel: Panel) -> None:
        """Raises: DataError for a panel without series, or on another calendar."""
        if not len(panel):
            raise DataError("ForecastModel: panel must have a series to forecast, got none; give the data to forecast from.")
        if panel.step.name != self.like.step.name:
            raise DataError(
                f"ForecastModel: panel must have the step {self.like.step.name!r} of the training data, got {panel.step.name!r}; "
                "read it with like= the training panel."
            )
        check_known("ForecastModel", panel)

    def _check_origin(self, panel: Panel, index: int, origin: int, ahead: int) -> None:
        if not 0 <= index < len(panel):
            raise DataError(f"ForecastModel: series must be an index below {len(panel)}, got {index}; count the panel's series from 0.")
        series, back = panel.series[index], self.windows.lookback
        if origin > len(series) - ahead:
            raise DataError(
                f"ForecastModel: the {ahead} steps from an origin must lie within series {series.id!r} of {len(series)} steps, "
                f"got the origin {origin}; predict forecasts beyond the end."
            )
        if np.isnan(series.target[max(0, origin - back) : max(0, origin)]).all():
            raise DataError(
                f"ForecastModel: series {series.id!r} must have a measured value in the {back} steps before step {origin}, got none; "
                "start later or look back further."
            )

    def _windows(self, panel: Panel, known: Sequence[int], *, keep_partial: bool = False) -> Windows:
        """Windows over whole series; those that training has not seen are measured on their first `known` steps."""
        ranges, settings = [(0, len(series)) for series in panel], self.windows
        return Windows(
            panel,
            ranges,
            settings.lookback,
            settings.horizon,
            missing=settings.missing,
            calendar_features=settings.calendar_features,
            scaling=_measured(self.scaling, panel, known),
            keep_partial=keep_partial,
            min_known=0,
        )

    def _forecast(
        self, panel: Panel, windows: Windows, series: NDArray[np.int64], origins: NDArray[np.int64], levels: Sequence[float] | None
    ) -> Prediction:
        chosen = _numbers_of(windows, series, origins)
        return self.decode(panel, windows, [windows.batch(chosen[at : at + PREDICTED]) for at in range(0, len(chosen), PREDICTED)], levels)

    def _places(self, panel: Panel) -> NDArray[np.int64]:
        return places_in(self.scaling, panel)

    def decode(self, panel: Panel, windows: Windows, batches: Sequence[Batch], levels: Sequence[float] | None) -> Prediction:
        """The network's forecasts in the target's units; the windows are of ``shown(panel)``."""
        wanted = self.levels if levels is None else tuple(self._level(level) for level in levels)
        asked = sorted({*self.levels, *wanted}) if wanted else []
        head, numbers = self.network.head, self._places(windows.panel)
        transform = Transform(self.windows.transform, panel.step.season)
        found = list[Array]()
        with torch.no_grad():
            for batch in batches:
                parameters = self.network(to_tensors(batch, numbers))
                point = head.point(parameters)[..., None]
                given = torch.cat([head.quantiles(parameters, asked), point], -1) if asked else point
                shown = windows.scaling.invert(batch.series, given.double().numpy())
                found.append(transform.invert(panel, batch.series, batch.origin, shown))
        *quantiles, points = np.moveaxis(np.concatenate(found), -1, 0)
        corrected = self._corrected(dict(zip(asked, quantiles, strict=True)), transform)
        return Prediction(points, {level: corrected[level] for level in wanted})

    def _level(self, asked: float) -> float:
        """The level of training that is meant, where 1 − 0.9 is not 0.1 to the last bit."""
        return next((level for level in self.levels if abs(level - asked) < 1e-9), float(asked))

    def _corrected(self, raw: Mapping[float, Array], transform: Transform) -> Mapping[float, Array]:
        """Corrected intervals are widened where they would cross one within; other levels stay between the corrected ones."""
        if not self.intervals or not raw:
            return raw
        found = dict(raw)
        for (low, high), correction in self.intervals.items():
            found[low], found[high] = map(transform.unlevel, correction.interval(*(transform.level(raw[level]) for level in (low, 0.5, high))))
        for levels, outer in ((self.levels[::-1], np.minimum), (self.levels, np.maximum)):
            side = [level for level in levels if (level <= 0.5 if outer is np.minimum else level >= 0.5)]
            for inside, level in pairwise(side):
                found[level] = outer(found[level], found[inside])
        for level in set(raw) - set(self.levels):
            below, above = [at for at in self.levels if at < level], [at for at in self.levels if at > level]
            found[level] = np.clip(found[level], found[below[-1]] if below else -np.inf, found[above[0]] if above else np.inf)
        return found


def check_known(who: str, panel: Panel) -> None:
    """Raises: DataError for a covariate that must be known and is not; tables are refused when they are read, panels may be built by hand."""
    for series in panel:
        for role, names, values in (("future", panel.future_names, series.future), ("static", panel.static_names, series.static[None])):
            if np.isnan(values).any():
                step, column = np.argwhere(np.isnan(values))[0].tolist()
                where = f" at step {step}" if role == "future" else ""
                raise DataError(
                    f"{who}: the {role} covariate {names[column]!r} of series {series.id!r} must be known{where}, got nan; "
                    "fill it in, or name the column in past."
                )


def _measured(scaling: Scaling, panel: Panel, known: Sequence[int]) -> Scaling:
    """The units of a panel's series: the training's where it had the series, else measured on the first `known` steps."""
    fitted = set(scaling.target.names)
    fresh = [at for at, series in enumerate(panel) if series.id not in fitted]
    if not fresh:
        return scaling
    own, new = scaling.target, scaling.refit(_take(panel, fresh), [(0, known[at]) for at in fresh]).target
    columns = (np.concatenate([getattr(own, name), getattr(new, name)]) for name in ("shift", "scale", "mean"))
    return replace(scaling, target=Affine(own.names + new.names, *columns))


def places_in(scaling: Scaling, panel: Panel) -> NDArray[np.int64]:
    """The number in training of each series of a panel; one past the last for a series that training has not seen."""
    numbers = {id: number for number, id in enumerate(scaling.target.names)}
    return np.array([numbers.get(series.id, len(numbers)) for series in panel], np.int64)


def to_tensors(batch: Batch, numbers: NDArray[np.int64]) -> TensorBatch:
    """A batch whose series go by their numbers in training."""
    return TensorBatch.of(replace(batch, series=numbers[batch.series]))


def _take(panel: Panel, indices: Sequence[int] | NDArray[np.int64]) -> Panel:
    return replace(panel, series=tuple(panel.series[at] for at in indices))


def _numbers_of(windows: Windows, series: NDArray[np.int64], origins: NDArray[np.int64]) -> NDArray[np.int64]:
    """The windows with these origins, which are there."""
    reach = int(max(len(each) for each in windows.panel)) + 1
    return np.searchsorted(windows.series * reach + windows.origins, series * reach + origins)


def _rounds(series: NDArray[np.int64], rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The rows in parts that hold each series once at most."""
    while rows.size:
        _, first = np.unique(series[rows], return_index=True)
        yield rows[first]
        rows = np.delete(rows, first)


def _in_order(parts: Sequence[tuple[NDArray[np.intp], Prediction]]) -> Prediction:
    """The forecasts of all parts, each in its rows."""
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    levels = parts[0][1].quantiles
    quantiles = {level: np.concatenate([found.quantiles[level] for _, found in parts])[order] for level in levels}
    return Prediction(np.concatenate([found.point for _, found in parts])[order], quantiles)
