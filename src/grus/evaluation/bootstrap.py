"""How far a score could be from what it is over all sequences of this sort: intervals by drawing the test sequences anew.

Sequences that belong together, as those of one patient do, are drawn together: each tells less than one of a patient of its own, so that intervals
would be too narrow if they were drawn one by one. Intervals speak of the test part alone. What another seed of the training would give is in
`grus.evaluation.seeds`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from grus.data.sequences import Labels
from grus.data.text_rows import is_missing
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.predictions import Array, Index, Predictions
from grus.evaluation.scores import metric_named, metrics_of
from grus.evaluation.weighted import Ranked

Method = Literal["percentile", "bca"]
Statistic = Callable[[Array], Array]  # of D draws, how often each holds every sequence [D, N]: a value of each [D]; NaN where it is undefined

# That are left out in turn for the acceleration of BCa; with fewer sequences, each one is. What the grouping adds to an end of a 95 % interval is of
# the order of z² √15 / (6 PARTS) = 0.01 standard deviations, a tenth of what 1000 draws do.
PARTS = 250
# An interval of 95 % held in 90 to 95 % of 600 data sets of 20 groups of 10, with an intra-class correlation of 0.5 and an accuracy of 50 to 90 %, in
# 77 to 94 % with 10 groups; drawn one by one, in 59 to 61 %.
LEAST_GROUPS = 20
SIZE = 2**17  # numbers in an array of several draws: larger ones leave the cache
ROUNDING = 1e-12  # of the largest value: what draws differ by where they would be alike without rounding
RARE = 20  # a class with fewer examples has a chance of more than 1e-9 to be absent from a draw of all sequences
SHARES = ("accuracy", "subset_accuracy")  # of the sequences, each of which counts as 0 or 1
UNDRAWN = ("ece", "ece_mass")  # chance adds to them, and a draw adds its own: most draws lie above the value, and tell nothing of it


@dataclass(frozen=True)
class Interval:
    """A value, the interval about it, and the share of draws above 0, a draw of 0 being half of one.

    For a difference of A less B, `above` near 0 or 1 says that the sign is hardly chance. `findings` has what a reader must know of the draws,
    `confidence` how often such an interval should hold.
    """

    value: float
    low: float
    high: float
    above: float
    findings: tuple[str, ...] = ()
    confidence: float = 0.95


class Intervals(NamedTuple):
    """Of metrics by name, and why others have none."""

    found: dict[str, Interval]
    none: dict[str, str]


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


@dataclass(frozen=True, eq=False)
class _Units:
    """What is drawn: U sequences, or groups of them, each out of its stratum. of [N]: the group of each sequence; None where each is by itself."""

    strata: list[Index]
    of: Index | None = None

    @staticmethod
    def make(count: int, strata: ArrayLike | None, groups: Sequence[str] | None) -> _Units:
        if count < 2:
            raise DataError(f"bootstrap: there must be at least two sequences, got {count}; test on more.")
        for name, given in (("strata", strata), ("groups", groups)):
            if given is not None and (shape := np.shape(given)) != (count,):
                raise ShapeError(f"bootstrap: {name} must be [N] = [{count}], got {list(shape)}; give one per sequence.")
        if groups is None:
            labels = np.zeros(count) if strata is None else np.asarray(strata)
            return _Units([np.flatnonzero(labels == label) for label in np.unique(labels)])
        if strata is not None:
            raise OptionError(
                "bootstrap: strata must be None with groups, got both; a group may have sequences in several strata, so leave them out."
            )
        missing = [row for row, group in enumerate(groups) if is_missing(group)]
        if missing:
            raise DataError(f"bootstrap: every sequence must have a group, got none in row {missing[0]} (in all {len(missing)}); give it.")
        names, of = np.unique(np.array(groups, object).astype(str), return_inverse=True)
        if len(names) < LEAST_GROUPS:
            raise DataError(f"bootstrap: there must be at least {LEAST_GROUPS} groups of sequences, got {len(names)}; test on more.")
        return _Units([np.arange(len(names))], of)

    @property
    def count(self) -> int:
        return sum(map(len, self.strata))

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """How often each of several draws holds every unit. Shapes: [size, U]."""
        held = np.zeros((size, self.count))
        for stratum in self.strata:
            n = len(stratum)
            chosen = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
            held[:, stratum] = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
        return held

    def without(self, stratum: Index, rng: np.random.Generator) -> NDArray[np.bool_]:
        """All but one of its units; with many units, but one of parts of it. Shapes: [parts, U]."""
        parts = len(stratum) if self.count <= PARTS else max(min(len(stratum), 2), len(stratum) * PARTS // self.count)
        held = np.ones((parts, self.count), np.bool_)
        for row, part in zip(held, np.array_split(rng.permutation(stratum), parts), strict=True):
            row[part] = False
        return held

    def values(self, statistic: Statistic, held: NDArray[Any]) -> Array:
        return statistic((held if self.of is None else held[:, self.of]).astype(np.float64, copy=False))


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Values of a statistic, or of several: of all sequences [...], of draws [D, ...], and without a part of each stratum [parts, ...]."""

    value: Array
    draws: Array
    without: list[Array]

    @staticmethod
    def of(statistic: Statistic, count: int, units: _Units, draws: Draws) -> _Drawn:
        rng, at_once = np.random.default_rng(draws.seed), max(1, SIZE // count)

        def values(held: NDArray[Any]) -> Array:
            return np.concatenate([units.values(statistic, held[at : at + at_once]) for at in range(0, len(held), at_once)])

        value = values(np.ones((1, units.count)))[0]
        drawn = [units.values(statistic, units.draw(rng, min(at_once, draws.count - at))) for at in range(0, draws.count, at_once)]
        strata = [] if draws.method == "percentile" else [stratum for stratum in units.strata if len(stratum) > 1]
        return _Drawn(value, np.concatenate(drawn), [values(units.without(stratum, rng)) for stratum in strata])

    def column(self, at: int) -> _Drawn:
        return _Drawn(self.value[at], self.draws[:, at], [values[:, at] for values in self.without])

    def interval(self, draws: Draws, units: _Units) -> Interval:
        """Of one statistic. Raises: DataError where it is undefined as it is, or in most draws."""
        value, drawn = float(self.value), self.draws[np.isfinite(self.draws)]
        if not np.isfinite(value):
            raise DataError(f"bootstrap: the statistic must be finite on all sequences, got {value}; choose a metric that is defined for them.")
        if len(drawn) < draws.count / 2:
            raise DataError(f"bootstrap: the statistic must be defined in most draws, got {len(drawn)} of {draws.count}; test on more sequences.")
        # Where rounding alone parts a draw from the value, as in 0.9 − 0.6 and 0.7 − 0.4, BCa must take them for equal.
        drawn = np.where(np.abs(drawn - value) <= ROUNDING * np.abs(drawn).max(), value, drawn)
        findings: list[str] = []
        if units.of is not None:
            findings.append(f"the sequences of a group are drawn together, {units.count} groups in every draw")
        if len(drawn) < draws.count:
            findings.append(f"{draws.count - len(drawn)} of {draws.count} draws are left out: the score is undefined in them")
        shares: Array = np.array([(1 - draws.confidence) / 2, (1 + draws.confidence) / 2])
        if np.all(drawn == drawn[0]):
            findings.append("every draw gives the same score: the interval cannot tell how rare what did not happen is")
            ends = np.full(2, drawn[0])
        else:
            ends: Array = np.quantile(drawn, shares if draws.method == "percentile" else _corrected(shares, value, drawn, self.without))
        return Interval(value, float(ends[0]), float(ends[1]), float((np.sign(drawn).mean() + 1) / 2), tuple(findings), draws.confidence)


def bootstrap(
    statistic: Statistic, count: int, draws: Draws = DRAWS, strata: ArrayLike | None = None, groups: Sequence[str] | None = None
) -> Interval:
    """The interval of any statistic of `count` sequences.

    strata [count]: each keeps its size in every draw. groups [count]: whole groups are drawn, as many as there are, and the jackknife of BCa leaves
    out groups; they have no strata, as one may have sequences in several. Draws in which the statistic is undefined are left out, and told.

    Raises: ShapeError, OptionError; DataError for fewer than 2 sequences or 20 groups, or a statistic that is undefined as it is or in most draws.
    Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapters 13 and 14; equation 14.15 is the acceleration. Of groups: Field
    and Welsh 2007, "Bootstrapping clustered data".
    """
    units = _Units.make(count, strata, groups)
    return _Drawn.of(statistic, count, units, draws).interval(draws, units)


def score_intervals(truth: Labels, predicted: ArrayLike, draws: Draws = DRAWS, groups: Sequence[str] | None = None) -> Intervals:
    """The interval of each of `drawn_metrics` that is defined, all by the same draws.

    Where a class has fewer than 20 examples, each class keeps its size in every draw, unless there are groups. An accuracy of 0 or 1, which every
    draw repeats, has the exact interval of the binomial where there are none.

    Raises: as `score`; ShapeError; DataError for fewer than 2 sequences or 20 groups.
    Source: Clopper and Pearson 1934.
    """
    ranked, names = Ranked(Predictions.of(truth, predicted)), drawn_metrics(truth)
    strata, told = _rare(truth, groups)
    units = _Units.make(len(truth), strata, groups)
    drawn = _Drawn.of(lambda weights: ranked.values(names, weights), len(truth), units, draws)
    found, none = dict[str, Interval](), dict[str, str]()
    for at, name in enumerate(names):
        value = float(drawn.value[at])
        if name in SHARES and value in (0, 1) and groups is None:
            found[name] = _binomial(value, len(truth), draws.confidence)
        elif np.isfinite(value):
            try:
                found[name] = _with(drawn.column(at).interval(draws, units), told)
            except DataError as error:
                none[name] = str(error)
    return Intervals(found, none)


def difference_interval(
    truth: Labels, a: ArrayLike, b: ArrayLike, metric: str, draws: Draws = DRAWS, groups: Sequence[str] | None = None
) -> Interval:
    """The interval of A's score less B's, both on the same sequences in every draw. Strata as in `score_intervals`.

    Raises: as `score_intervals` and `bootstrap`; OptionError for a name that is none of `drawn_metrics`.
    """
    if metric in UNDRAWN:
        raise OptionError(f"bootstrap: metric must be one of {', '.join(drawn_metrics(truth))}, got {metric!r}; draws tell nothing of that one.")
    metric_named(truth, metric)
    one, other = (Ranked(Predictions.of(truth, predicted)) for predicted in (a, b))
    strata, told = _rare(truth, groups)

    def difference(weights: Array) -> Array:
        return (one.values([metric], weights) - other.values([metric], weights))[:, 0]

    return _with(bootstrap(difference, len(truth), draws, strata, groups), told)


def drawn_metrics(truth: Labels) -> tuple[str, ...]:
    """Those that have intervals: all but the calibration errors."""
    return tuple(name for name in metrics_of(truth) if name not in UNDRAWN)


def _binomial(value: float, count: int, confidence: float) -> Interval:
    """Of a share of 0 or 1: the other end is where the chance of none, or of all, is half of what the interval leaves out."""
    least = ((1 - confidence) / 2) ** (1 / count)
    ends = (least, 1.0) if value else (0.0, 1 - least)
    return Interval(value, *ends, (1 + value) / 2, ("exact by the binomial, as every draw gives the same score",), confidence)


def _with(found: Interval, told: tuple[str, ...]) -> Interval:
    return replace(found, findings=told + found.findings)


def _rare(truth: Labels, groups: Sequence[str] | None) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """The classes as strata, where one could vanish from a draw. A set of labels is no stratum, and a group may have sequences of several classes."""
    if truth.kind == "number":
        return None, ()
    least = min((count for count in truth.counts.values() if count), default=RARE)
    if least >= RARE:
        return None, ()
    rarest = f"as the rarest has {least} example{'s'[: least > 1]}"
    if truth.kind == "labels" or groups is not None:
        what = "label" if truth.kind == "labels" else "class"
        return None, (f"a {what} without an example in a draw is left out of the mean there, {rarest}",)
    return truth.values, (f"each class keeps its size in every draw, {rarest}",)


def _corrected(shares: Array, value: float, drawn: Array, without: list[Array]) -> Array:
    """BCa's α₁ and α₂, Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))), where z₀ is the normal quantile of the share of draws below the value."""
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    bias = ndtri(np.clip(below, 1 / (len(drawn) + 1), 1 - 1 / (len(drawn) + 1)))
    shifted = bias + ndtri(shares)
    return cast(Array, ndtr(bias + shifted / (1 - _acceleration(without) * shifted)))


def _acceleration(without: list[Array]) -> float:
    """Σ d³ / 6 (Σ d²)^1.5, d the mean of the jackknife's values less each: within a stratum of n parts, (n − 1) / n of that."""
    apart = [np.zeros(1)]
    for values in without:
        known = values[np.isfinite(values)]
        if len(known) > 1:
            apart.append((len(values) - 1) / len(values) * (known.mean() - known))
    away = np.concatenate(apart)
    spread = float(np.square(away).sum())
    return float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
