"""The record of a backtest: what was forecast from where, what came, and the scores of both."""
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.errors import DataError, GrusError, OptionError, ShapeError
from grus.evaluation import metrics
from grus.evaluation.seeds import Spread, spreads

Array = NDArray[np.float64]
VERSION = 1
POINT_METRICS = ("mae", "rmse", "smape", "mase")
MODEL_METRICS = ("crps", "coverage", "width", "winkler")
NO_ERROR = ("coverage", "width")  # larger is not worse


class Failure(NamedTuple):
    """Why a baseline gave no forecast of a window."""

    series: str
    time: str  # of the window's first step
    message: str


@dataclass(frozen=True, eq=False)
class Backtest:
    """W forecasts of H steps each, and the truth.

    The first of `forecasts` is the model's, the others are baselines; `quantiles` are the model's and may be empty. `scale` divides the errors
    for MASE: it comes from the history before the origin, and is NaN where that gives none. `seconds` is the time each forecaster took. `seeds` has
    the model's scores on the same windows by the seed of its training, its own among them; it is empty where one alone was tried.
    `failures` tells of each window that a baseline could not forecast; the forecast is NaN there, and its scores are over the other windows.

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

    def __post_init__(self) -> None:
        W, H = len(self.series), self.horizon
        if not self.forecasts:
            raise DataError("Backtest: forecasts must hold the model's, got none; run the model first.")
        arrays = {"origins": (self.origins, [W]), "scale": (self.scale, [W]), "times": (self.times, [W, H]), "truth": (self.truth, [W, H])}
        arrays |= {f"forecasts[{name!r}]": (array, [W, H]) for name, array in self.forecasts.items()}
        arrays |= {f"quantiles[{level}]": (array, [W, H]) for level, array in self.quantiles.items()}
        for name, (array, shape) in arrays.items():
            if list(array.shape) != shape:
                raise ShapeError(f"Backtest: {name} must be {shape}, got {list(array.shape)}; one row per window, one column per step ahead.")

    def __len__(self) -> int:
        return len(self.series)

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
        low = sorted(level for level in self.quantiles if level < 0.5)
        return tuple((a, b) for a in low for b in self.quantiles if abs(a + b - 1) < 1e-9)

    def scores(self) -> dict[str, dict[str, float]]:
        """Every forecaster's mae, rmse, smape and mase, and for the model with quantiles crps, coverage, width and winkler.

        The last three are those of the widest interval. mase is over the windows that have a scale, NaN where none has. Where a baseline failed,
        `windows` says how many windows each forecaster's scores are over.
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

    def coverages(self) -> dict[float, float]:
        """For each interval the nominal share → the share of known truths within it."""
        return {round(high - low, 9): float(metrics.coverage(self.truth, self.quantiles[low], self.quantiles[high])) for low, high in self.intervals}

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
        """The scores: a row per forecaster, the lowest mae first, a column per metric, NaN where it has none; last, the seconds it took."""
        found = pd.DataFrame.from_dict(self.scores(), orient="index").rename_axis("forecaster")
        found["seconds"] = pd.Series(self.seconds, dtype=np.float64)
        return found.sort_values(POINT_METRICS[0], kind="stable")

    def over_seeds(self, confidence: float = 0.95) -> dict[str, Spread]:
        """For each metric the model's mean over the seeds and its interval; metrics that a seed has no value of are left out.

        Raises: DataError where fewer than two seeds were tried.
        """
        return spreads(self.seeds, confidence)

    def _metrics(self, name: str) -> tuple[str, ...]:
        if name != self.model or not self.quantiles:
            return POINT_METRICS
        return (*POINT_METRICS, *(MODEL_METRICS if self.intervals else ("crps",)))

    def _measure(self, metric: str, name: str, axis: int | None) -> Array:
        if metric in POINT_METRICS:
            return self._measure_point(metric, name, axis)
        if metric == "crps":
            return metrics.crps_quantiles(self.truth, np.stack(list(self.quantiles.values()), -1), list(self.quantiles), axis=axis)
        low, high = self.intervals[0]
        rules: dict[str, Callable[..., Array]] = {
            "coverage": metrics.coverage,
            "width": metrics.width,
            "winkler": partial(metrics.winkler, nominal=round(high - low, 9)),
        }
        return rules[metric](self.truth, self.quantiles[low], self.quantiles[high], axis=axis)

    def _measure_point(self, metric: str, name: str, axis: int | None) -> Array:
        forecast = self.forecasts[name]
        own = np.where(np.isnan(forecast), np.nan, self.truth) if name in self.failures else self.truth
        if np.all(np.isnan(own)) and not np.all(np.isnan(self.truth)):
            return np.full_like(metrics.mae(self.truth, np.zeros_like(self.truth), axis=axis), np.nan)
        if metric != "mase":
            return getattr(metrics, metric)(own, forecast, axis=axis)
        scale = np.where(self.scale > 0, self.scale, np.nan)[:, None]
        truth = own / scale
        if np.all(np.isnan(truth)):
            return np.full_like(metrics.mae(own, forecast, axis=axis), np.nan)
        return metrics.mae(truth, forecast / scale, axis=axis)

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
            "quantiles": {repr(float(level)): to_lists(f"quantile {level}", array) for level, array in self.quantiles.items()},
            "scale": to_lists("scale", self.scale),
            "seconds": dict(self.seconds),
            "seeds": {str(seed): {name: None if np.isnan(score) else score for name, score in row.items()} for seed, row in self.seeds.items()},
            "failures": {name: [list(failure) for failure in found] for name, found in self.failures.items()},
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
        quantiles={float(level): from_lists(rows) for level, rows in content["quantiles"].items()},
        scale=from_lists(content["scale"]),
        seconds=content["seconds"],
        seeds={int(seed): _scores(row) for seed, row in content.get("seeds", {}).items()},
        failures=read_failures(content.get("failures", {})),
    )


def read_failures(content: Mapping[str, list[list[str]]]) -> dict[str, tuple[Failure, ...]]:
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


def _texts(times: NDArray[Any]) -> list[Any]:
    return cast(list[Any], (np.datetime_as_string(times) if times.dtype.kind == "M" else times).tolist())
