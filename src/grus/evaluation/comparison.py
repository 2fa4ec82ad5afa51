"""Whether one of two classifiers is better on the same sequences: McNemar's test of their mistakes, DeLong's of their ROC AUC.

For any other score, and for sequences that belong together in groups, `grus.evaluation.bootstrap.difference_interval`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.errors import DataError, OptionError, ShapeError

Array = NDArray[np.float64]

FEW = 25  # sequences on which they disagree, below which the binomial is computed exactly


@dataclass(frozen=True)
class McNemar:
    """How many sequences both had right, A alone, B alone, neither; and the probability of a disagreement this lopsided if both are as good.

    statistic: χ² with continuity correction, NaN where `exact`.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float
    statistic: float
    exact: bool

    def __str__(self) -> str:
        how = "exact" if self.exact else f"χ² = {self.statistic:.3g}"
        return f"right: both {self.both}, only A {self.only_a}, only B {self.only_b}, neither {self.neither}; p = {self.p_value:.3g} ({how})"


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> McNemar:
    """Two-sided test of the sequences that only one of two had right, n_A and n_B of them; they must be independent of one another.

    Exactly by the binomial below 25 of them, else by χ² = max(|n_A − n_B| − 1, 0)² / (n_A + n_B) with one degree of freedom.

    Shapes: right_a and right_b [N], True where the model was right.
    Raises: ShapeError; DataError for no sequence or values that are not true or false.
    Source: McNemar 1947; Edwards 1948 for the correction; Dietterich 1998, "Approximate statistical tests for comparing classifiers".
    """
    from scipy.stats import binom, chi2  # here, as it takes a second to import

    a, b = _flags(right_a), _flags(right_b)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ShapeError(f"mcnemar: right_a and right_b must be [N] with N ≥ 1, got {list(a.shape)} and {list(b.shape)}; test both on the same.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    apart = only_a + only_b
    exact = apart < FEW
    statistic = math.nan if exact else max(abs(only_a - only_b) - 1, 0) ** 2 / apart
    p_value = min(1.0, 2 * float(binom.cdf(min(only_a, only_b), apart, 0.5))) if exact else float(chi2.sf(statistic, 1))
    return McNemar(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), p_value, statistic, exact)


@dataclass(frozen=True)
class AucDifference:
    """The ROC AUC of A and B, A's less B's with its interval, and the probability of a difference this large if there were none.

    p_value: NaN where the difference has no variance, as where both rank everything right.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float


def delong(outcome: ArrayLike, a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> AucDifference:
    """Two-sided test of the ROC AUC of two scores of the same sequences, and the normal interval of their difference, within [−1, 1].

    The sequences must be independent of one another.

    Shapes: outcome [N] of 0 and 1, at least two of each; a and b [N], probabilities or any scores.
    Raises: ShapeError, OptionError, DataError.
    Source: DeLong, DeLong and Clarke-Pearson 1988; by ranks, Sun and Xu 2014.
    """
    if not 0 < confidence < 1:
        raise OptionError(f"delong: confidence must be between 0 and 1, both excluded, got {confidence}; 0.95 is customary.")
    y, scores = np.asarray(outcome), np.stack([np.asarray(each, np.float64) for each in (a, b)]) if np.shape(a) == np.shape(b) else np.empty((0, 0))
    if y.ndim != 1 or scores.shape != (2, *y.shape):
        raise ShapeError(f"delong: outcome, a and b must be [N], got {list(y.shape)}, {list(np.shape(a))} and {list(np.shape(b))}.")
    there = _flags(y)
    if min(there.sum(), (~there).sum()) < 2 or not np.all(np.isfinite(scores)):
        got = f"{there.sum()} and {(~there).sum()}"
        raise DataError(f"delong: there must be two sequences at least with the outcome and two without, with finite scores, got {got}.")
    with_it, without = (np.array([_wins(row, there)[side] for row in scores]) for side in (0, 1))
    areas = with_it.mean(1)
    covariance = np.cov(with_it) / with_it.shape[1] + np.cov(without) / without.shape[1]
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    deviation = math.sqrt(max(variance, 0.0))
    from scipy.stats import norm

    half = float(norm.ppf((1 + confidence) / 2)) * deviation
    p_value = 2 * float(norm.sf(abs(difference) / deviation)) if deviation > 0 else math.nan
    low, high = max(difference - half, -1.0), min(difference + half, 1.0)
    return AucDifference(float(areas[0]), float(areas[1]), difference, low, high, p_value)


def _wins(score: Array, there: NDArray[np.bool_]) -> tuple[Array, Array]:
    """For each sequence with the outcome the share of those without that it outranks, and for each without the share that outranks it."""
    from scipy.stats import rankdata

    ranks, positive, negative = rankdata(score), score[there], score[~there]
    above = (ranks[there] - rankdata(positive)) / len(negative)
    below = 1 - (ranks[~there] - rankdata(negative)) / len(positive)
    return above, below


def _flags(values: ArrayLike) -> NDArray[np.bool_]:
    found = np.asarray(values)
    if not np.all((found == 0) | (found == 1)):
        raise DataError("mcnemar, delong: values must be true or false, or 1 or 0, got others; compare what was chosen with the truth.")
    return found.astype(np.bool_)
