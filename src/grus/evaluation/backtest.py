"""The record of a backtest: what was forecast from where, what came, and the scores of both."""
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.errors import DataError, GrusError, OptionError, ShapeError
from grus.evaluation import metrics
from grus.evaluation.seeds import Spreads, spreads

Array = NDArray[np.float64]
VERSION = 1
POINT_METRICS = ("mae", "rmse", "smape", "mase")
INTERVAL_METRICS = ("coverage", "width", "winkler")
NAIVE2 = "naive 2"  # the baseline by which OWA is measured
NO_ERROR = ("coverage", "width")  # larger is not worse


def central(levels: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The pairs of levels (τ, 1 − τ) that are there, the widest interval first.

    Example:
        >>> central([0.1, 0.5, 0.9, 0.25])
        ((0.1, 0.9),)
    """
    low = sorted(level for level in levels if level < 0.5)
    return tuple((level, high) for level in low for high in levels if abs(level + high - 1) < 1e-9)


class Failure(NamedTuple):
    """Why a baseline gave no forecast of a window."""

    series: str
    time: str  # of the window's first step
    message: str


@dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """W forecasts of H steps each, and the truth.

    The first of `forecasts` is the model's, the others are baselines; `quantiles` are the model's and may be empty, `baseline_quantiles` has those
    of the baselines that say how sure they are, at the same levels. `scale` divides the errors for MASE: it comes from the history before the
    origin, and is NaN where that gives none. `seconds` is the time each forecaster took to forecast: a baseline's fits are in it, and a network's
    training only where it was trained anew on the way. `seeds` has the model's scores on the same windows by the seed of its training, its own
    among them; it is empty where one alone was tried. `failures` tells of each window that a baseline could not forecast; the forecast is NaN
    there, and its scores are over the other windows.

    Shapes: series and origins [W]; times, truth, each forecast and each quantile [W, H], NaN = truth not known; scale [W].
    Raises: ShapeError, DataError.
    """

    horizon: int
    season: int
    series: tuple[str, ...]
    origins: NDArray[np.int64]
    times: NDArray[Any]
    truth: Array
    forecasts: Mapping[str, Array]
    quantiles: Mapping[float, Array]
    scale: Array
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    seeds: Mapping[int, Mapping[str, float]] = field(default_factory=dict[int, Mapping[str, float]])
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict[str, tuple[Failure, ...]])
    baseline_quantiles: Mapping[str, Mapping[float, Array]] = field(default_factory=dict[str, Mapping[float, Array]])

    def __post_init__(self) -> None:
        W, H = len(self.series), self.horizon
        if not self.forecasts:
            raise DataError("Backtest: forecasts must hold the model's, got none; run the model first.")
        arrays = {"origins": (self.origins, [W]), "scale": (self.scale, [W]), "times": (self.times, [W, H]), "truth": (self.truth, [W, H])}
        arrays |= {f"forecasts[{name!r}]": (array, [W, H]) for name, array in self.forecasts.items()}
        arrays |= {f"quantiles[{level}]": (array, [W, H]) for level, array in self.quantiles.items()}
        for name, found in self.baseline_quantiles.items():
            if name not in self.forecasts or name == self.model or set(found) != set(self.quantiles):
                must = f"of a baseline in forecasts, at the model's levels {sorted(self.quantiles)}"
                raise DataError(f"Backtest: baseline_quantiles must be {must}, got {name!r} at {sorted(found)}; ask it for these levels.")
            arrays |= {f"baseline_quantiles[{name!r}][{level}]": (array, [W, H]) for level, array in found.items()}
        for name, (array, shape) in arrays.items():
            if list(array.shape) != shape:
                raise ShapeError(f"Backtest: {name} must be {shape}, got {list(array.shape)}; one row per window, one column per step ahead.")

    def __len__(self) -> int:
        return len(self.series)

    def __repr__(self) -> str:
        """The mae of each forecaster, and over how many windows, where those are not all."""
        known = not np.isnan(self.truth).all()
        errors = {name: self._point("mae", self._truth(name), array, None) if known else np.nan for name, array in self.forecasts.items()}
        told = [
            f"{name} {errors[name]:.4g}" + (f" on {count} of {len(self)} windows" if count < len(self) else "") for name, count in self.counts.items()
        ]
        sizes = f"{len(self)} windows of {len(set(self.series))} series, {self.horizon} steps ahead, season {self.season}"
        return f"Backtest({sizes}; mae: {', '.join(told)})"

    @property
    def model(self) -> str:
        """The name of the model among `forecasts`."""
        return next(iter(self.forecasts))

    @property
    def counts(self) -> dict[str, int]:
        """How many of the windows each forecaster could forecast. Scores over fewer than all of them do not compare with the others."""
        return {name: len(self) - len(self.failures.get(name, ())) for name in self.forecasts}

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The pairs of levels (τ, 1 − τ) that are there, the widest first."""
        return central(list(self.quantiles))

    @property
    def probabilistic(self) -> tuple[str, ...]:
        """The forecasters that gave quantiles, the model first."""
        return tuple(name for name in self.forecasts if self.quantiles_of(name))

    def quantiles_of(self, name: str) -> Mapping[float, Array]:
        """A forecaster's quantiles; empty for one that gave none."""
        return self.quantiles if name == self.model else self.baseline_quantiles.get(name, {})

    def scores(self) -> dict[str, dict[str, float]]:
        """Every forecaster's mae, rmse, smape and mase, owa where Naive2 is one of them; of those with quantiles crps, coverage, width and winkler.

        The last three are those of the widest interval. mase is over the windows that have a scale, NaN where none has, and so is its part in owa.
        Where a baseline failed, `windows` says how many windows each forecaster's scores are over.
        Raises: DataError where no truth is known.
        """
        found = {name: {metric: float(self._measure(metric, name, None)) for metric in self._metrics(name)} for name in self.forecasts}
        if self.failures:
            for name, count in self.counts.items():
                found[name]["windows"] = float(count)
        return found

    def by_horizon(self, metric: str) -> dict[str, Array]:
        """A metric of `scores` for each step ahead: forecaster → [H], NaN where no truth is known at that step.

        Raises: OptionError, DataError.
        """
        names = [name for name in self.forecasts if metric in self._metrics(name)]
        if not names:
            raise OptionError(f"by_horizon: metric must be one of {', '.join(self._metrics(self.model))}, got {metric!r}.")
        return {name: self._measure(metric, name, 0) for name in names}

    def coverages(self, name: str | None = None) -> dict[float, float]:
        """For each interval of a forecaster, by default the model, the nominal share → the share of known truths within it."""
        return self._by_interval("coverage", self.model if name is None else name)

    def widths(self, name: str | None = None) -> dict[float, float]:
        """For each interval of a forecaster, by default the model, the nominal share → its mean width where the truth is known."""
        return self._by_interval("width", self.model if name is None else name)

    def worst(self, count: int, model: str | None = None, metric: str = "mae") -> list[int]:
        """The windows with the largest error, the largest first; windows without a known truth or scale are left out.

        Raises: OptionError, DataError.
        """
        name = self.model if model is None else model
        if name not in self.forecasts or metric not in self._metrics(name) or metric in NO_ERROR:
            raise OptionError(
                f"worst: model must be one of {', '.join(self.forecasts)}, with an error that it has, got {name!r} and {metric!r}; see scores()."
            )
        errors = self._measure(metric, name, 1)
        order = np.argsort(-errors, kind="stable")  # NaN goes last
        return [int(window) for window in order[~np.isnan(errors[order])][:count]]

    def table(self) -> pd.DataFrame:
        """The scores: a row per forecaster, the lowest mae first, a column per metric, NaN where it has none; last, the seconds to forecast."""
        found = pd.DataFrame.from_dict(self.scores(), orient="index").rename_axis("forecaster")
        found["seconds to forecast"] = pd.Series(self.seconds, dtype=np.float64)
        return found.sort_values(POINT_METRICS[0], kind="stable")

    def over_seeds(self, confidence: float = 0.95) -> Spreads:
        """For each metric the model's mean over the seeds and its interval, printed as a table; metrics that a seed has no value of are left out.

        Raises: DataError where fewer than two seeds were tried.
        """
        return spreads(self.seeds, confidence)

    def _metrics(self, name: str) -> tuple[str, ...]:
        points = (*POINT_METRICS, *(("owa",) if NAIVE2 in self.forecasts else ()))
        if not self.quantiles_of(name):
            return points
        return (*points, "crps", *(INTERVAL_METRICS if self.intervals else ()))

    def _measure(self, metric: str, name: str, axis: int | None) -> Array:
        if metric == "owa":
            return self._overall(name, axis)
        if metric in POINT_METRICS:
            return self._point(metric, self._truth(name), self.forecasts[name], axis)
        if metric in INTERVAL_METRICS:
            return self._interval(metric, name, self.intervals[0], axis)
        quantiles = self.quantiles_of(name)
        stacked, levels = np.stack(list(quantiles.values()), -1), list(quantiles)
        return self._over_known(self._truth(name), axis, lambda truth: metrics.crps_quantiles(truth, stacked, levels, axis=axis))

    def _point(self, metric: str, truth: Array, forecast: Array, axis: int | None) -> Array:
        if metric != "mase":
            return self._over_known(truth, axis, lambda known: getattr(metrics, metric)(known, forecast, axis=axis))
        scale = np.where(self.scale > 0, self.scale, np.nan)[:, None]
        return self._over_known(truth / scale, axis, lambda known: metrics.mae(known, forecast / scale, axis=axis))

    def _overall(self, name: str, axis: int | None) -> Array:
        """OWA over the windows that Naive2 forecast too; NaN where it has no error to compare with."""
        against = self.forecasts[NAIVE2]
        truth = np.where(np.isnan(against), np.nan, self._truth(name))
        ratios: list[Array] = []
        for metric in ("smape", "mase"):
            least = self._point(metric, truth, against, axis)
            ratios.append(self._point(metric, truth, self.forecasts[name], axis) / np.where(least > 0, least, np.nan))
        return (ratios[0] + ratios[1]) / 2

    def _interval(self, metric: str, name: str, pair: tuple[float, float], axis: int | None) -> Array:
        low, high = (self.quantiles_of(name)[level] for level in pair)
        rules: dict[str, Callable[..., Array]] = {
            "coverage": metrics.coverage,
            "width": metrics.width,
            "winkler": partial(metrics.winkler, nominal=_nominal(pair)),
        }
        return self._over_known(self._truth(name), axis, lambda truth: rules[metric](truth, low, high, axis=axis))

    def _by_interval(self, metric: str, name: str) -> dict[float, float]:
        if name not in self.probabilistic:
            got = ", ".join(self.probabilistic) or "none"
            raise OptionError(f"Backtest: {metric} must be asked of a forecaster with quantiles ({got}), got {name!r}; see quantiles_of().")
        return {_nominal(pair): float(self._interval(metric, name, pair, None)) for pair in self.intervals}

    def _truth(self, name: str) -> Array:
        """The truth where the forecaster gave a forecast."""
        return np.where(np.isnan(self.forecasts[name]), np.nan, self.truth) if name in self.failures else self.truth

    def _over_known(self, truth: Array, axis: int | None, measure: Callable[[Array], Array]) -> Array:
        """What is measured over a part of the truth; NaN where nothing in that part is known, as long as something in the record is."""
        if np.all(np.isnan(truth)):
            return np.full_like(metrics.mae(self.truth, np.zeros_like(self.truth), axis=axis), np.nan)
        return measure(truth)

    def to_json(self) -> str:
        """The record as JSON: floats exact, NaN as null, times as ISO text or whole numbers.

        Raises: DataError for a value that is infinite.
        """
        content = {
            "version": VERSION,
            "horizon": self.horizon,
            "season": self.season,
            "series": list(self.series),
            "origins": self.origins.tolist(),
            "times": _texts(self.times),
            "truth": to_lists("truth", self.truth),
            "forecasts": {name: to_lists(name, array) for name, array in self.forecasts.items()},
            "quantiles": quantiles_to_lists(self.model, self.quantiles),
            "scale": to_lists("scale", self.scale),
            "seconds": dict(self.seconds),
            "seeds": {str(seed): {name: None if np.isnan(score) else score for name, score in row.items()} for seed, row in self.seeds.items()},
            "failures": {name: [list(failure) for failure in found] for name, found in self.failures.items()},
            "baseline_quantiles": {name: quantiles_to_lists(name, found) for name, found in self.baseline_quantiles.items()},
        }
        return json.dumps(content, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Backtest:
        """Raises: DataError for text that to_json did not write, ShapeError."""
        try:
            content: dict[str, Any] = json.loads(text)
            version = content["version"]
            if version != VERSION:
                raise DataError(f"Backtest.from_json: version must be {VERSION}, got {version}; run the backtest again.")
            return _read(content)
        except GrusError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"Backtest.from_json: text must be as to_json wrote it, got {type(error).__name__}: {error}; write it again.") from error


def _read(content: Mapping[str, Any]) -> Backtest:
    shape = (len(content["series"]), content["horizon"])
    times = np.array(content["times"]).reshape(shape)
    return Backtest(
        horizon=content["horizon"],
        season=content["season"],
        series=tuple(content["series"]),
        origins=np.array(content["origins"], np.int64),
        times=times.astype("datetime64[ns]") if times.dtype.kind == "U" else times.astype(np.int64),
        truth=from_lists(content["truth"]),
        forecasts={name: from_lists(rows) for name, rows in content["forecasts"].items()},
        quantiles=quantiles_from_lists(content["quantiles"]),
        scale=from_lists(content["scale"]),
        seconds=content["seconds"],
        seeds={int(seed): _scores(row) for seed, row in content.get("seeds", {}).items()},
        failures=_read_failures(content.get("failures", {})),
        baseline_quantiles={name: quantiles_from_lists(found) for name, found in content.get("baseline_quantiles", {}).items()},
    )


def _read_failures(content: Mapping[str, list[list[str]]]) -> dict[str, tuple[Failure, ...]]:
    return {name: tuple(Failure(series, time, message) for series, time, message in found) for name, found in content.items()}


def _scores(row: Mapping[str, float | None]) -> dict[str, float]:
    return {name: np.nan if score is None else float(score) for name, score in row.items()}


def to_lists(name: str, array: Array) -> list[Any]:
    """Nested lists with None for NaN. Raises: DataError for infinite values."""
    if np.any(np.isinf(array)):
        place = [int(i) for i in np.argwhere(np.isinf(array))[0]]
        raise DataError(f"Backtest: {name} must be finite or nan, got inf at {place}; mend the forecaster.")
    cells = array.astype(object)
    cells[np.isnan(array)] = None
    return cast(list[Any], cells.tolist())


def from_lists(rows: list[Any]) -> Array:
    return np.array(rows, dtype=np.float64)  # None becomes NaN


def quantiles_to_lists(name: str, quantiles: Mapping[float, Array]) -> dict[str, list[Any]]:
    return {repr(float(level)): to_lists(f"quantile {level} of {name}", array) for level, array in quantiles.items()}


def quantiles_from_lists(found: Mapping[str, list[Any]]) -> dict[float, Array]:
    return {float(level): from_lists(rows) for level, rows in found.items()}


def _nominal(pair: tuple[float, float]) -> float:
    """The share of truths that an interval should hold."""
    return round(pair[1] - pair[0], 9)


def _texts(times: NDArray[Any]) -> list[Any]:
    return cast(list[Any], (np.datetime_as_string(times) if times.dtype.kind == "M" else times).tolist())
