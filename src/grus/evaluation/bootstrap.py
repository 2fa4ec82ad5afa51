"""How far a score could be from what it is over all sequences of this sort: intervals by drawing the test sequences anew.

They speak of the test part alone. What another seed of the training would give is in `grus.evaluation.seeds`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.classification import Metric
from grus.evaluation.predictions import Array, Index, Predictions
from grus.evaluation.scores import metric_named, metrics_of

Method = Literal["percentile", "bca"]
Statistic = Callable[[Index], float]  # of the sequences with these numbers, which may repeat; NaN where it is undefined

# That are left out in turn for the acceleration of BCa; with fewer sequences, each one is. What the grouping adds to an end of a 95 % interval is of
# the order of z² √15 / (6 GROUPS) = 0.01 standard deviations, a tenth of what 1000 draws do.
GROUPS = 250
RARE = 20  # a class with fewer examples has a chance of more than 1e-9 to be absent from a draw of all sequences
SHARES = ("accuracy", "subset_accuracy")  # of the sequences, each of which counts as 0 or 1
UNDRAWN = ("ece", "ece_mass")  # chance adds to them, and a draw adds its own: most draws lie above the value, and tell nothing of it


@dataclass(frozen=True)
class Interval:
    """A value, the interval about it, and the share of draws above 0, a draw of 0 being half of one.

    For a difference of A less B, `above` near 0 or 1 says that the sign is hardly chance. `findings` has what a reader must know of the draws.
    """

    value: float
    low: float
    high: float
    above: float
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draws:
    """How to draw: the number of draws, the interval's confidence, how it is read off the draws, and the seed.

    percentile: the quantiles of the draws. bca: those corrected for bias and for a spread that changes with the value.
    """

    count: int = 2000
    confidence: float = 0.95
    method: Method = "bca"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 100:
            raise OptionError(f"Draws: count must be at least 100, got {self.count}; 2000 is customary.")
        if not 0 < self.confidence < 1:
            raise OptionError(f"Draws: confidence must be between 0 and 1, both excluded, got {self.confidence}; 0.95 is customary.")
        if self.method not in ("percentile", "bca"):
            raise OptionError(f"Draws: method must be one of percentile, bca, got {self.method!r}; choose one of them.")


DRAWS = Draws()


def bootstrap(statistic: Statistic, count: int, draws: Draws = DRAWS, strata: ArrayLike | None = None) -> Interval:
    """The interval of any statistic of `count` sequences; with strata [count], each stratum keeps its size in every draw.

    Draws in which the statistic is undefined are left out, and told.

    Raises: ShapeError; DataError for fewer than two sequences, or a statistic that is undefined as it is or in most draws.
    Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapters 13 and 14; equation 14.15 is the acceleration.
    """
    groups = _strata(count, strata)
    whole = np.arange(count)
    value = statistic(whole)
    if not np.isfinite(value):
        raise DataError(f"bootstrap: the statistic must be finite on all {count} sequences, got {value}; choose a metric that is defined for them.")
    rng = np.random.default_rng(draws.seed)
    every = np.array([statistic(np.concatenate([rng.choice(group, len(group)) for group in groups])) for _ in range(draws.count)])
    drawn = every[np.isfinite(every)]
    if len(drawn) < draws.count / 2:
        raise DataError(f"bootstrap: the statistic must be defined in most draws, got {len(drawn)} of {draws.count}; give more sequences, or strata.")
    findings: list[str] = []
    if len(drawn) < draws.count:
        findings.append(f"{draws.count - len(drawn)} of {draws.count} draws are left out: the score is undefined in them")
    shares: Array = np.array([(1 - draws.confidence) / 2, (1 + draws.confidence) / 2])
    if np.all(drawn == drawn[0]):
        findings.append("every draw gives the same score: the interval cannot tell how rare what did not happen is")
    elif draws.method == "bca":
        shares = _corrected(shares, value, drawn, _acceleration(statistic, groups, rng))
    ends: Array = np.quantile(drawn, shares)
    return Interval(value, float(ends[0]), float(ends[1]), float((np.sign(drawn).mean() + 1) / 2), tuple(findings))


def score_interval(truth: Labels, predicted: ArrayLike, metric: str, draws: Draws = DRAWS) -> Interval:
    """The interval of a metric by the name it has in `Scores`. Where a class has fewer than 20 examples, each class keeps its size in every draw.

    An accuracy of 0 or 1, which every draw repeats, has the exact interval of the binomial.

    Raises: as `score` and `bootstrap`; OptionError for a name that is none of `drawn_metrics`.
    Source: Clopper and Pearson 1934.
    """
    found, measure = Predictions.of(truth, predicted), _measure(truth, metric)
    if metric in SHARES and (value := measure(found)) in (0, 1):
        return _binomial(value, len(found), draws.confidence)
    strata, told = _rare(truth)
    return _with(bootstrap(lambda index: measure(found.rows(index)), len(found), draws, strata), told)


def difference_interval(truth: Labels, a: ArrayLike, b: ArrayLike, metric: str, draws: Draws = DRAWS) -> Interval:
    """The interval of A's score less B's, both on the same sequences in every draw. Strata as in `score_interval`.

    Raises: as `score_interval`.
    """
    one, other, measure = Predictions.of(truth, a), Predictions.of(truth, b), _measure(truth, metric)
    strata, told = _rare(truth)
    return _with(bootstrap(lambda index: measure(one.rows(index)) - measure(other.rows(index)), len(one), draws, strata), told)


def drawn_metrics(truth: Labels) -> tuple[str, ...]:
    """Those that have intervals: all but the calibration errors."""
    return tuple(name for name in metrics_of(truth) if name not in UNDRAWN)


def _measure(truth: Labels, metric: str) -> Metric:
    if metric in UNDRAWN:
        raise OptionError(f"bootstrap: metric must be one of {', '.join(drawn_metrics(truth))}, got {metric!r}; draws tell nothing of that one.")
    return metric_named(truth, metric)


def _binomial(value: float, count: int, confidence: float) -> Interval:
    """Of a share of 0 or 1: the other end is where the chance of none, or of all, is half of what the interval leaves out."""
    least = ((1 - confidence) / 2) ** (1 / count)
    ends = (least, 1.0) if value else (0.0, 1 - least)
    return Interval(value, *ends, (1 + value) / 2, ("exact by the binomial, as every draw gives the same score",))


def _with(found: Interval, told: tuple[str, ...]) -> Interval:
    return Interval(found.value, found.low, found.high, found.above, told + found.findings)


def _rare(truth: Labels) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """The classes as strata, where one could vanish from a draw. A set of labels is no stratum."""
    if truth.kind == "number":
        return None, ()
    least = min((count for count in truth.counts.values() if count), default=RARE)
    if least >= RARE:
        return None, ()
    rarest = f"as the rarest has {least} example{'s'[: least > 1]}"
    if truth.kind == "labels":
        return None, (f"a label without an example in a draw is left out of the mean there, {rarest}",)
    return truth.values, (f"each class keeps its size in every draw, {rarest}",)


def _strata(count: int, strata: ArrayLike | None) -> list[Index]:
    if count < 2:
        raise DataError(f"bootstrap: there must be at least two sequences, got {count}; test on more.")
    if strata is None:
        return [np.arange(count)]
    labels = np.asarray(strata)
    if labels.shape != (count,):
        raise ShapeError(f"bootstrap: strata must be [N] = [{count}], got {list(labels.shape)}; give one per sequence.")
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _corrected(shares: Array, value: float, drawn: Array, acceleration: float) -> Array:
    """BCa's α₁ and α₂, Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))), where z₀ is the normal quantile of the share of draws below the value."""
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    bias = ndtri(np.clip(below, 1 / (len(drawn) + 1), 1 - 1 / (len(drawn) + 1)))
    shifted = bias + ndtri(shares)
    return cast(Array, ndtr(bias + shifted / (1 - acceleration * shifted)))


def _acceleration(statistic: Statistic, groups: list[Index], rng: np.random.Generator) -> float:
    """Σ d³ / 6 (Σ d²)^1.5, d the mean of the jackknife's values less each: within a stratum of n, (n − 1) / n of that.

    With many sequences, several of a stratum are left out rather than one.
    """
    count = sum(map(len, groups))
    apart: list[Array] = []
    for group in (group for group in groups if len(group) > 1):
        parts = len(group) if count <= GROUPS else max(min(len(group), 2), len(group) * GROUPS // count)
        values = np.array([statistic(np.delete(np.arange(count), part)) for part in np.array_split(rng.permutation(group), parts)])
        values = values[np.isfinite(values)]
        if len(values) > 1:
            apart.append((parts - 1) / parts * (values.mean() - values))
    away = np.concatenate(apart) if apart else np.zeros(1)
    spread = float(np.square(away).sum())
    return float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
