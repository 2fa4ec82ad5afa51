"""Intervals that hold what they promise, from the errors on a calibration part that the model was not fitted on.

For each step ahead, with n calibration windows and nominal coverage 1 − α, the k-th smallest score, k = ⌈(n + 1)(1 − α)⌉, bounds the next score
with probability at least 1 − α as long as the windows are exchangeable. Series drift, so they seldom quite are: see AdaptiveConformal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.metrics import aligned

Array = NDArray[np.float64]

POOLED = 50  # windows: with fewer, the k-th score of one step alone is mostly chance
LEAST_WIDTH = 1e-6  # of the truths' deviation: half-widths below it count as this


@dataclass(frozen=True, eq=False)
class SplitConformal:
    """ŷ ± radius, where the scores are |y − ŷ|. Shapes: radius [H].

    Source: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, "Distribution-free predictive inference for regression".
    """

    radius: Array
    coverage: float

    @staticmethod
    def fit(truth: ArrayLike, point: ArrayLike, coverage: float) -> SplitConformal:
        """Calibrate. Shapes: truth and point [N, H]; NaN truths are left out.

        Raises: DataError for too few known truths at a step ahead; OptionError, ShapeError.
        """
        y, f = _calibration("SplitConformal", truth, point)
        return SplitConformal(_bounds("SplitConformal", np.abs(y - f), coverage), coverage)

    def interval(self, point: ArrayLike) -> tuple[Array, Array]:
        """Lower and upper end. Shapes: [..., H]."""
        f = _ahead("SplitConformal", point, self.radius)
        return f - self.radius, f + self.radius


@dataclass(frozen=True, eq=False)
class ScaledQuantiles:
    """Conformalised quantile regression in units of the model's own half-widths: [m − f · (m − lower), m + f · (upper − m)] about the median m.

    The scores are max((m − y) / (m − lower), (y − m) / (upper − m)), so that f is never below 0 and no end crosses the median. Where the windows are
    fewer than `POOLED` at a step, the scores of all steps decide one f together, and the coverage holds over the steps rather than at each.

    Shapes: factor [H].
    Source: Romano, Patterson and Candès 2019, "Conformalized quantile regression"; Kivaranovic, Johnson and Leeb 2020, "Adaptive, distribution-free
    prediction intervals for deep networks"; Sesia and Candès 2020.
    """

    factor: Array
    coverage: float

    @staticmethod
    def fit(truth: ArrayLike, lower: ArrayLike, median: ArrayLike, upper: ArrayLike, coverage: float) -> ScaledQuantiles:
        """Calibrate. Shapes: all [N, H]; NaN truths are left out.

        Raises: DataError for too few known truths at a step ahead; OptionError, ShapeError.
        """
        who = "ScaledQuantiles"
        y, low = _calibration(who, truth, lower)
        (_, middle), (_, high) = _calibration(who, truth, median), _calibration(who, truth, upper)
        least = LEAST_WIDTH * np.nanstd(y) if np.isfinite(y).any() else 1.0
        scores = np.maximum((middle - y) / np.maximum(middle - low, least or 1.0), (y - middle) / np.maximum(high - middle, least or 1.0))
        each = _bounds(who, scores, coverage)
        if (~np.isnan(scores)).sum(axis=0).min() < POOLED:
            each = np.full_like(each, _bounds(who, scores.reshape(-1, 1), coverage)[0])
        return ScaledQuantiles(each, coverage)

    def interval(self, lower: ArrayLike, median: ArrayLike, upper: ArrayLike) -> tuple[Array, Array]:
        """The corrected ends. Shapes: [..., H]."""
        low, middle, high = (_ahead("ScaledQuantiles", each, self.factor) for each in (lower, median, upper))
        return middle - self.factor * (middle - low), middle + self.factor * (high - middle)


@dataclass(frozen=True, eq=False)
class AdaptiveConformal:
    """ŷ ± radius for series that drift: after each truth, α' = α + rate · (nominal α − 1 if it was missed, else nominal α).

    Over T truths the share missed differs from the nominal by at most (max(α₁, 1 − α₁) + rate) / (rate · T), whatever the series does. The radius is
    infinite where α ≤ 0; where α ≥ 1 it is 0 and counts as missed. `scores` holds the last `window` of |y − ŷ|, the oldest first.

    Shapes: alpha [H]; scores [N, H], NaN = not known.
    Source: Gibbs and Candès 2021, "Adaptive conformal inference under distribution shift".
    """

    coverage: float
    rate: float
    alpha: Array
    scores: Array
    window: int | None = None

    @staticmethod
    def fit(truth: ArrayLike, point: ArrayLike, coverage: float, rate: float = 0.01, window: int | None = None) -> AdaptiveConformal:
        """Start from a calibration part as SplitConformal does. Shapes: truth and point [N, H].

        Raises: DataError for too few known truths at a step ahead; OptionError, ShapeError.
        """
        who = "AdaptiveConformal"
        if not 0 < rate < 1:
            raise OptionError(f"{who}: rate must be between 0 and 1, both excluded, got {rate}; 0.01 follows slowly.")
        if window is not None and window < needed(coverage):
            raise OptionError(f"{who}: window must be at least {needed(coverage)} for a coverage of {coverage}, got {window}; None keeps all.")
        y, f = _calibration(who, truth, point)
        scores = np.abs(y - f)[-(window or 0) :]
        _bounds(who, scores, coverage)
        alpha = np.repeat(np.float64(1 - _exact(who, coverage)), y.shape[1])
        return AdaptiveConformal(coverage, rate, alpha, scores, window)

    @property
    def radius(self) -> Array:
        """The half width at each step ahead [H]."""
        return np.array([_adaptive_bound(column[~np.isnan(column)], 1 - alpha) for column, alpha in zip(self.scores.T, self.alpha, strict=True)])

    def interval(self, point: ArrayLike) -> tuple[Array, Array]:
        """Lower and upper end. Shapes: [..., H]."""
        f = _ahead("AdaptiveConformal", point, self.alpha)
        return f - self.radius, f + self.radius

    def update(self, truth: ArrayLike, point: ArrayLike) -> AdaptiveConformal:
        """What follows from one more truth at each step ahead [H]; NaN changes nothing there.

        The truth h steps ahead comes h steps later: give it then, and NaN for those that have not come.
        """
        y, f = aligned("AdaptiveConformal", truth, point)
        _ahead("AdaptiveConformal", f, self.alpha)
        score = np.abs(y - f)
        missed: Array = np.asarray((score > self.radius) | (self.alpha >= 1), np.float64)
        change = self.rate * (float(1 - _exact("AdaptiveConformal", self.coverage)) - missed)
        alpha = self.alpha + np.where(np.isnan(score), 0.0, change)
        return replace(self, alpha=alpha, scores=np.concatenate([self.scores, score[None]])[-(self.window or 0) :])


def rank(count: int, coverage: float) -> int:
    """k = ⌈(n + 1)(1 − α)⌉, exactly for the decimal fraction that was written. Raises: OptionError."""
    return math.ceil((count + 1) * _exact("rank", coverage))


def needed(coverage: float) -> int:
    """The least n for which k ≤ n: ⌈(1 − α) / α⌉. Raises: OptionError."""
    exact = _exact("needed", coverage)
    return math.ceil(exact / (1 - exact))


def _exact(who: str, coverage: float) -> Fraction:
    if not 0 < coverage < 1:
        raise OptionError(f"{who}: coverage must be between 0 and 1, both excluded, got {coverage}; 0.9 is nine in ten.")
    return Fraction(repr(float(coverage)))  # the binary fraction of 0.9 is above it, which would raise the rank


def _bounds(who: str, scores: Array, coverage: float) -> Array:
    """The k-th smallest known score of each column."""
    counts = (~np.isnan(scores)).sum(axis=0)
    least = needed(coverage)
    if np.any(counts < least):
        step = int(np.argmin(counts))
        raise DataError(
            f"{who}: calibration must have at least {least} known truths at each step ahead for a coverage of {coverage}, got {counts[step]} "
            f"at step {step + 1}; give more windows or ask for less coverage."
        )
    ordered = np.sort(scores, axis=0)  # NaN goes last
    return np.array([ordered[rank(int(count), coverage) - 1, step] for step, count in enumerate(counts)])


def _adaptive_bound(scores: Array, coverage: float) -> float:
    if coverage <= 0:
        return 0.0
    place = math.ceil(round((len(scores) + 1) * coverage, 9))  # alpha is a sum of floats: 9.000000000000002 is rank 9
    return math.inf if place > len(scores) else float(np.sort(scores)[place - 1])


def _calibration(who: str, truth: ArrayLike, forecast: ArrayLike) -> tuple[Array, Array]:
    y, f = aligned(who, truth, forecast)
    if y.ndim != 2:
        raise ShapeError(f"{who}: calibration must be [N, H], got {list(y.shape)}; give one row per window and one column per step ahead.")
    return y, f


def _ahead(who: str, forecast: ArrayLike, like: Array) -> Array:
    found = np.asarray(forecast, np.float64)
    if found.ndim == 0 or found.shape[-1] != len(like):
        raise ShapeError(f"{who}: a forecast must be [..., H] with H = {len(like)} as in calibration, got {list(found.shape)}.")
    return found
