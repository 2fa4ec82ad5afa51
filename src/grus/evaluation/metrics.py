"""How far forecasts are from what came. NaN truths are left out; every function takes arrays [..., H].

Each takes ``axis``: None for one number over everything, or the axes to average over. With an axis, a slice without any known truth is NaN;
with no known truth at all there is nothing to measure, which is a DataError.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.errors import DataError, OptionError, ShapeError

Array = NDArray[np.float64]
Axis = int | tuple[int, ...] | None


def mae(truth: ArrayLike, forecast: ArrayLike, *, axis: Axis = None) -> Array:
    """Mean absolute error: mean |y − ŷ|.

    Units: the series'.
    Raises: DataError, ShapeError.
    """
    y, f = aligned("mae", truth, forecast)
    return known_mean(np.abs(y - f), axis)


def rmse(truth: ArrayLike, forecast: ArrayLike, *, axis: Axis = None) -> Array:
    """Root of the mean squared error: √ mean (y − ŷ)².

    Units: the series'.
    Raises: DataError, ShapeError.
    """
    y, f = aligned("rmse", truth, forecast)
    return np.sqrt(known_mean(np.square(y - f), axis))


def mape(truth: ArrayLike, forecast: ArrayLike, *, axis: Axis = None) -> Array:
    """Mean absolute percentage error: 100 · mean |y − ŷ| / |y|.

    Units: per cent.
    Raises: DataError, where a known truth is 0 as well; ShapeError.
    """
    y, f = aligned("mape", truth, forecast)
    if np.any(y == 0):
        place = [int(i) for i in np.argwhere(y == 0)[0]]
        raise DataError(f"mape: truth must not be 0, got 0 at {place}; a percentage of 0 has no meaning, use mae or mase.")
    return 100 * known_mean(np.abs(y - f) / np.abs(y), axis)


def smape(truth: ArrayLike, forecast: ArrayLike, *, axis: Axis = None) -> Array:
    """Symmetric mean absolute percentage error: 200 · mean |y − ŷ| / (|y| + |ŷ|), between 0 and 200. Where y = ŷ = 0 the term is 0.

    Units: per cent.
    Raises: DataError, ShapeError.
    Source: Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 Competition".
    """
    y, f = aligned("smape", truth, forecast)
    size = np.abs(y) + np.abs(f)
    return 200 * known_mean(np.abs(y - f) / np.where(size == 0, 1.0, size), axis)


def seasonal_scale(train: ArrayLike, season: int) -> Array:
    """What mase divides by: the in-sample error of the seasonal naive forecast, mean |y_t − y_{t−m}| over the pairs that are known.

    NaN where no pair is known. 0 for a series that repeats itself exactly.

    Shapes: train [..., T], result [...].
    Units: the series'.
    Raises: OptionError.
    """
    values = np.asarray(train, np.float64)
    if season < 1:
        raise OptionError(f"seasonal_scale: season must be at least 1, got {season}; 1 compares each step with the one before.")
    errors = np.abs(values[..., season:] - values[..., :-season])
    return _mean(errors, -1)


def mase(truth: ArrayLike, forecast: ArrayLike, train: ArrayLike, season: int, *, axis: Axis = None) -> Array:
    """Mean absolute scaled error: mean |y − ŷ| / s, s = mean |y_t − y_{t−m}| over the training part (see seasonal_scale).

    Shapes: truth and forecast [..., H]; train [..., T] or [T], series of unequal length padded with NaN on the left.
    Units: none; 1 is as far off as the seasonal naive forecast of one step was in the training part.
    Raises: DataError, where s is 0 or unknown as well; OptionError, ShapeError.
    Source: Hyndman and Koehler 2006, "Another look at measures of forecast accuracy".
    """
    y, f = aligned("mase", truth, forecast)
    scale = seasonal_scale(train, season)
    if not np.all(scale > 0):
        raise DataError(
            f"mase: the training part must have two different known values {season} steps apart, got a scale of {np.min(scale)}; "
            "use mae, or leave that series out."
        )
    return known_mean(np.abs(y - f) / scale[..., None], axis)


def owa(truth: ArrayLike, forecast: ArrayLike, naive2: ArrayLike, train: ArrayLike, season: int) -> float:
    """Overall weighted average: ½ (sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2), each averaged over all series first.

    Shapes: truth, forecast and naive2 [..., H]; train as in mase.
    Units: none; below 1 is better than Naive2.
    Raises: DataError, OptionError, ShapeError.
    Source: Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 Competition".
    """
    measured = (smape(truth, forecast), mase(truth, forecast, train, season))
    against = (smape(truth, naive2), mase(truth, naive2, train, season))
    if not all(value > 0 for value in against):
        raise DataError("owa: Naive2 must have an error to compare with, got a forecast without any; use mae.")
    return float(0.5 * (measured[0] / against[0] + measured[1] / against[1]))


def pinball(truth: ArrayLike, forecast: ArrayLike, level: float, *, axis: Axis = None) -> Array:
    """Loss of a quantile forecast: mean max(τ (y − q), (τ − 1)(y − q)), τ the level.

    Units: the series'.
    Raises: DataError, OptionError, ShapeError.
    Source: Koenker and Bassett 1978, "Regression quantiles".
    """
    _check_levels("pinball", (level,))
    y, q = aligned("pinball", truth, forecast)
    return known_mean(np.maximum(level * (y - q), (level - 1) * (y - q)), axis)


def crps_quantiles(truth: ArrayLike, quantiles: ArrayLike, levels: Sequence[float], *, axis: Axis = None) -> Array:
    """Continuous ranked probability score from quantiles: 2 / Q · Σ_τ pinball_τ, the mean over the levels of twice the pinball loss.

    CRPS = 2 ∫ pinball_τ dτ, so the more levels, evenly spaced in (0, 1), the nearer. Two models compare only at the same levels.

    Shapes: truth [..., H], quantiles [..., H, Q] in the order of levels.
    Units: the series'.
    Raises: DataError, OptionError, ShapeError.
    Source: Gneiting and Ranjan 2011, "Comparing density forecasts using threshold- and quantile-weighted scoring rules".
    """
    _check_levels("crps_quantiles", levels)
    found = np.asarray(quantiles, np.float64)
    if found.ndim == 0 or found.shape[-1] != len(levels):
        raise ShapeError(f"crps_quantiles: quantiles must be [..., H, Q], Q = {len(levels)} levels, got {list(found.shape)}; stack them last.")
    return 2 * np.mean([pinball(truth, found[..., i], level, axis=axis) for i, level in enumerate(levels)], axis=0)


def coverage(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, axis: Axis = None) -> Array:
    """The share of known truths within [lower, upper], both ends counted.

    Units: a share of 1.
    Raises: DataError, ShapeError.
    """
    y, low = aligned("coverage", truth, lower)
    _, high = aligned("coverage", truth, upper)
    return known_mean(np.where(np.isnan(y), np.nan, (low <= y) & (y <= high)), axis)


def width(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, axis: Axis = None) -> Array:
    """Mean width of the interval where the truth is known: mean (u − l).

    Units: the series'.
    Raises: DataError, ShapeError.
    """
    y, low = aligned("width", truth, lower)
    _, high = aligned("width", truth, upper)
    return known_mean(np.where(np.isnan(y), np.nan, high - low), axis)


def winkler(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike, nominal: float, *, axis: Axis = None) -> Array:
    """Interval score: mean (u − l) + 2/α · max(l − y, 0) + 2/α · max(y − u, 0), where α = 1 − nominal. Lower is better.

    Units: the series'.
    Raises: DataError, OptionError, ShapeError.
    Source: Winkler 1972; Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", section 6.2.
    """
    _check_levels("winkler", (nominal,))
    y, low = aligned("winkler", truth, lower)
    _, high = aligned("winkler", truth, upper)
    missed = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return known_mean((high - low) + 2 / (1 - nominal) * missed, axis)


def known_mean(errors: Array, axis: Axis = None) -> Array:
    """The mean over the errors that are not NaN; NaN where a slice has none.

    Raises: DataError where all are NaN.
    """
    if np.all(np.isnan(errors)):
        raise DataError(f"metrics: truth must have a known value, got {errors.size} of which none is known; choose windows that were measured.")
    return _mean(errors, axis)


def _mean(errors: Array, axis: Axis) -> Array:
    known = ~np.isnan(errors)
    count = known.sum(axis)
    total = np.where(known, errors, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[()]


def aligned(who: str, truth: ArrayLike, forecast: ArrayLike) -> tuple[Array, Array]:
    """Truth and forecast as float64 of one shape.

    Raises: ShapeError; DataError where a truth is infinite, or a forecast is NaN beside a known truth.
    """
    y, f = np.asarray(truth, np.float64), np.asarray(forecast, np.float64)
    if y.shape != f.shape:
        raise ShapeError(f"{who}: forecast must be {list(y.shape)} as the truth is, got {list(f.shape)}; give one forecast per truth.")
    bad = np.isinf(y) | (np.isnan(f) & ~np.isnan(y))
    if np.any(bad):
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        what = f"a truth of {y[place]}" if np.isinf(y[place]) else "a forecast of nan"
        raise DataError(f"{who}: truths must be finite or nan, and forecasts known beside them, got {what} at {list(place)}; mend it at its origin.")
    return y, f


def _check_levels(who: str, levels: Sequence[float]) -> None:
    for level in levels:
        if not 0 < level < 1:
            raise OptionError(f"{who}: a level must be between 0 and 1, both excluded, got {level}; 0.9 is the ninth decile.")
