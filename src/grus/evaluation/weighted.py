"""The metrics of `scores` over many draws at once: a sequence counts as often as a draw holds it, and nothing is copied or sorted for a draw.

The tests hold each of them to the metric of its name on the sequences that were drawn.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from grus.evaluation.classification import SMALLEST, Counts
from grus.evaluation.predictions import Array, Index, Predictions


class Areas(NamedTuple):
    """ROC AUC and average precision, NaN where they are undefined. Shapes: each [D]."""

    roc_auc: Array
    average_precision: Array


@dataclass(frozen=True, eq=False)
class Ranks:
    """M examples from the highest score on, P of them true. Those that share a score are counted together.

    Shapes: order [M], which examples they are; true [P], the places of the true ones; within and within_true, each a pair of [P]: how many of the
    examples, and of the true ones alone, have a higher score than each true one has, and how many have at least that.
    """

    order: Index
    true: Index
    within: tuple[Index, Index]
    within_true: tuple[Index, Index]

    @staticmethod
    def of(truth: Array, score: Array) -> Ranks:
        order = np.argsort(-score, kind="stable")
        rising, true = -score[order], np.flatnonzero(truth[order] > 0.5)
        (a, b), (c, d) = ([np.searchsorted(of, rising[true], side) for side in ("left", "right")] for of in (rising, rising[true]))
        return Ranks(order, true, (a, b), (c, d))

    def areas(self, columns: Array, width: int = 1) -> Areas:
        """Shapes: columns [N, D]. width: how many examples in a row are of one sequence."""
        drawn = columns.take(self.order // width if width > 1 else self.order, 0)
        there = drawn.take(self.true, 0)
        (above, to), (found, found_to) = (
            (sums.take(first, 0), sums.take(end, 0)) for sums, (first, end) in ((_sums(drawn), self.within), (_sums(there), self.within_true))
        )
        positive, negative = there.sum(0), drawn.sum(0) - there.sum(0)
        lost = np.einsum("pd,pd->d", there, above - found + to - found_to) / 2
        precise = np.einsum("pd,pd->d", there, found_to / np.maximum(to, 1))
        return Areas(1 - _ratio(lost, positive * negative), _ratio(precise, positive))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Predictions with what all draws share: their ranks, and what each sequence adds to a sum."""

    found: Predictions

    @cached_property
    def right(self) -> Array:
        return self.found.right.astype(np.float64)

    @cached_property
    def counted(self) -> list[Array]:
        """Those of `Counts`. Shapes: each [N, K]."""
        there, chosen = self.found.truth > 0.5, self.found.chosen
        return [each.astype(np.float64) for each in (there & chosen, ~there & chosen, there & ~chosen)]

    @cached_property
    def log_losses(self) -> Array:
        """Shapes: [N]."""
        found = self.found
        if found.kind == "labels":
            share = np.where(found.truth > 0.5, found.predicted, 1 - found.predicted)
        else:
            share = (found.truth * found.predicted).sum(1, keepdims=True) / found.predicted.sum(1, keepdims=True)
        return -np.log(np.maximum(share, SMALLEST)).mean(1)

    @cached_property
    def briers(self) -> Array:
        """Shapes: [N]."""
        squared = np.square(self.found.predicted - self.found.truth)
        if self.found.kind == "labels":
            return squared.mean(1)
        return squared[:, 1] if len(self.found.names) == 2 else squared.sum(1)

    @cached_property
    def each(self) -> list[Ranks]:
        return [Ranks.of(self.found.truth[:, k], self.found.predicted[:, k]) for k in range(len(self.found.names))]

    @cached_property
    def together(self) -> Ranks:
        return Ranks.of(self.found.truth.ravel(), self.found.predicted.ravel())

    def values(self, names: Sequence[str], weights: Array) -> Array:
        """The metrics of these names. Shapes: weights [D, N] of whole numbers, what is returned [D, len(names)]."""
        drawn = Drawn(self, weights)
        return np.stack([WEIGHTED[name](drawn) for name in names], 1)


@dataclass(frozen=True, eq=False)
class Drawn:
    """D draws of predictions."""

    ranked: Ranked
    weights: Array

    @property
    def found(self) -> Predictions:
        return self.ranked.found

    def mean(self, values: Array) -> Array:
        """Shapes: values [N] or [N, K], the means [D] or [D, K]."""
        total = self.weights.sum(1)
        return (self.weights @ values) / (total if values.ndim == 1 else total[:, None])

    @cached_property
    def counts(self) -> Counts:
        """Shapes: each [D, K]."""
        return Counts(*(self.weights @ each for each in self.ranked.counted))

    @cached_property
    def micro(self) -> Counts:
        """Shapes: each [D]."""
        return Counts(*(each.sum(1) for each in self.counts))

    @cached_property
    def areas(self) -> list[Areas]:
        return [ranks.areas(self._columns) for ranks in self.ranked.each]

    @cached_property
    def micro_areas(self) -> Areas:
        return self.ranked.together.areas(self._columns, len(self.found.names))

    @cached_property
    def second_areas(self) -> Areas:
        return self.ranked.each[1].areas(self._columns)

    @cached_property
    def _columns(self) -> Array:
        return np.ascontiguousarray(self.weights.T)  # by rows: to take them in another order is five times faster

    @property
    def second(self) -> Counts:
        """Of the second class. Shapes: each [D]."""
        return Counts(*(each[:, 1] for each in self.counts))


def _sums(values: Array) -> Array:
    """Of the first 0, 1, 2, … rows. Shapes: values [M, D], what is returned [M + 1, D]."""
    found = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, 0, out=found[1:])
    return found


def _ratio(part: Array, whole: Array, otherwise: float = np.nan) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), otherwise)


def _macro(values: Array) -> Array:
    """The mean over what is not NaN, NaN where nothing is defined. Shapes: values [D, K], what is returned [D]."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(1), known.sum(1))


def _f1_weighted(drawn: Drawn) -> Array:
    counts = drawn.counts.true_positive + drawn.counts.false_negative
    return _ratio((np.nan_to_num(drawn.counts.f1) * counts).sum(1), counts.sum(1))


def _variances(drawn: Drawn) -> Array:
    """Of each target, NaN where it does not vary. Shapes: [D, K]."""
    found = drawn.found
    y = found.truth - found.truth.mean(0)  # so that little is lost where squares are subtracted
    is_there = drawn.weights > 0
    varies = np.stack([np.where(is_there, of, -np.inf).max(1) > np.where(is_there, of, np.inf).min(1) for of in found.truth.T], 1)
    variances = drawn.mean(np.square(y)) - np.square(drawn.mean(y))
    return np.where(varies & (variances > 0), variances, np.nan)


def _over_targets(drawn: Drawn, values: Array) -> Array:
    """The mean over the targets that vary in all sequences, NaN where one of them does not in the draw: without it the mean would be another score.

    Shapes: values [D, K], what is returned [D].
    """
    varies = np.ptp(drawn.found.truth, axis=0) > 0
    return values[:, varies].mean(1) if varies.any() else np.full(len(values), np.nan)


def _absolute(drawn: Drawn) -> Array:
    """Shapes: [D, K]."""
    return drawn.mean(np.abs(drawn.found.truth - drawn.found.predicted))


def _squared(drawn: Drawn) -> Array:
    """Shapes: [D, K]."""
    return drawn.mean(np.square(drawn.found.truth - drawn.found.predicted))


# By the names that `scores` has, but for the calibration errors.
WEIGHTED: Mapping[str, Callable[[Drawn], Array]] = {
    "accuracy": lambda drawn: drawn.mean(drawn.ranked.right),
    "subset_accuracy": lambda drawn: drawn.mean(drawn.ranked.right),
    "balanced_accuracy": lambda drawn: _macro(drawn.counts.recall),
    "hamming_loss": lambda drawn: (drawn.micro.false_positive + drawn.micro.false_negative) / drawn.weights.sum(1) / len(drawn.found.names),
    "precision": lambda drawn: drawn.second.precision,
    "recall": lambda drawn: drawn.second.recall,
    "f1": lambda drawn: drawn.second.f1,
    "precision_macro": lambda drawn: _macro(drawn.counts.precision),
    "recall_macro": lambda drawn: _macro(drawn.counts.recall),
    "precision_micro": lambda drawn: drawn.micro.precision,
    "recall_micro": lambda drawn: drawn.micro.recall,
    "f1_macro": lambda drawn: _macro(drawn.counts.f1),
    "f1_micro": lambda drawn: drawn.micro.f1,
    "f1_weighted": _f1_weighted,
    "roc_auc": lambda drawn: drawn.second_areas.roc_auc,
    "roc_auc_ovr": lambda drawn: _macro(np.stack([areas.roc_auc for areas in drawn.areas], 1)),
    "roc_auc_macro": lambda drawn: _macro(np.stack([areas.roc_auc for areas in drawn.areas], 1)),
    "roc_auc_micro": lambda drawn: drawn.micro_areas.roc_auc,
    "average_precision": lambda drawn: drawn.second_areas.average_precision,
    "average_precision_macro": lambda drawn: _macro(np.stack([areas.average_precision for areas in drawn.areas], 1)),
    "average_precision_micro": lambda drawn: drawn.micro_areas.average_precision,
    "log_loss": lambda drawn: drawn.mean(drawn.ranked.log_losses),
    "brier": lambda drawn: drawn.mean(drawn.ranked.briers),
    "mae": lambda drawn: _absolute(drawn)[:, 0],
    "rmse": lambda drawn: np.sqrt(_squared(drawn))[:, 0],
    "scaled_mae": lambda drawn: _over_targets(drawn, _absolute(drawn) / np.sqrt(_variances(drawn))),
    "scaled_rmse": lambda drawn: _over_targets(drawn, np.sqrt(_squared(drawn) / _variances(drawn))),
    "r2": lambda drawn: _over_targets(drawn, 1 - _squared(drawn) / _variances(drawn)),
}
