"""The record of a backtest: what was forecast from where, what came, and the scores of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from grus.errors import DataError, GrusError, OptionError, ShapeError
from grus.evaluation import metrics

Array = NDArray[np.float64]
VERSION = 1
POINT_METRICS = ("mae", "rmse", "smape", "mase")
MODEL_METRICS = ("crps", "coverage", "width", "winkler")
NO_ERROR = ("coverage", "width")  # larger is not worse


@dataclass(frozen=True, eq=False)
class Backtest:
    """W forecasts of H steps each, and the truth.

    The first of `forecasts` is the model's, the others are baselines; `quantiles` are the model's and may be empty. `scale` divides the errors
    for MASE: it comes from the history before the origin, and is NaN where that gives none. `seconds` is the time each forecaster took.

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
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The pairs of levels (τ, 1 − τ) that are there, the widest first."""
        low = sorted(level for level in self.quantiles if level < 0.5)
        return tuple((a, b) for a in low for b in self.quantiles if abs(a + b - 1) < 1e-9)

    def scores(self) -> dict[str, dict[str, float]]:
        """Every forecaster's mae, rmse, smape and mase, and for the model with quantiles crps, coverage, width and winkler.

        The last three are those of the widest interval. mase is over the windows that have a scale, NaN where none has.
        Raises: DataError where no truth is known.
        """
        return {name: {metric: float(self._measure(metric, name, None)) for metric in self._metrics(name)} for name in self.forecasts}

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

    def table(self) -> list[list[str]]:
        """The scores as rows of text, the header first, then the forecasters by their mae; four significant digits."""
        scores = self.scores()
        columns = list(scores[self.model])
        ranked = sorted(scores, key=lambda name: scores[name]["mae"])
        rows = [[name, *(f"{scores[name][column]:.4g}" if column in scores[name] else "" for column in columns)] for name in ranked]
        times = [f"{self.seconds[name]:.3g}" if name in self.seconds else "" for name in ranked]
        return [["forecaster", *columns, "seconds"], *([*row, seconds] for row, seconds in zip(rows, times, strict=True))]

    def _metrics(self, name: str) -> tuple[str, ...]:
        if name != self.model or not self.quantiles:
            return POINT_METRICS
        return (*POINT_METRICS, *(MODEL_METRICS if self.intervals else ("crps",)))

    def _measure(self, metric: str, name: str, axis: int | None) -> Array:
        if metric in POINT_METRICS:
            return self._measure_point(metric, self.forecasts[name], axis)
        if metric == "crps":
            return metrics.crps_quantiles(self.truth, np.stack(list(self.quantiles.values()), -1), list(self.quantiles), axis=axis)
        low, high = self.intervals[0]
        rules: dict[str, Callable[..., Array]] = {
            "coverage": metrics.coverage,
            "width": metrics.width,
            "winkler": partial(metrics.winkler, nominal=round(high - low, 9)),
        }
        return rules[metric](self.truth, self.quantiles[low], self.quantiles[high], axis=axis)

    def _measure_point(self, metric: str, forecast: Array, axis: int | None) -> Array:
        if metric != "mase":
            return getattr(metrics, metric)(self.truth, forecast, axis=axis)
        scale = np.where(self.scale > 0, self.scale, np.nan)[:, None]
        truth = self.truth / scale
        if np.all(np.isnan(truth)):
            return np.full_like(metrics.mae(self.truth, forecast, axis=axis), np.nan)
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
    )


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
