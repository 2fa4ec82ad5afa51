"""What a model said of sequences beside what is true of them, checked once and in one form for every metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequences import Kind, Labels
from grus.errors import DataError, OptionError, ShapeError

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SUM_TOLERANCE = 1e-2  # by which the probabilities of a sequence's classes may miss 1: those of a bfloat16 network do


@dataclass(frozen=True, eq=False)
class Predictions:
    """N sequences, K classes, labels or targets.

    kind "class":  truth and chosen have one 1 in each row; predicted are probabilities that sum to 1
    kind "labels": predicted are probabilities, each by itself; chosen is where they reach the threshold
    kind "number": truth and predicted are numbers; chosen is empty

    Shapes: truth and predicted [N, K] float64; chosen [N, K] bool.
    """

    kind: Kind
    names: tuple[str, ...]
    truth: Array
    predicted: Array
    chosen: NDArray[np.bool_]

    @staticmethod
    def of(truth: Labels, predicted: ArrayLike, threshold: ArrayLike = 0.5) -> Predictions:
        """Probabilities, or numbers where the labels are numbers; threshold is one for all labels, or one for each.

        Shapes: predicted [N, K]; [N] will do for one target.
        Raises: ShapeError, OptionError; DataError for no sequence, or a value that cannot be a probability or is not finite.
        """
        N, K = len(truth), len(truth.names)
        values = np.asarray(predicted, np.float64)
        if truth.kind == "number" and values.shape == (N,) and K == 1:
            values = values[:, None]
        if values.shape != (N, K):
            raise ShapeError(f"score: predicted must be [N, K] = [{N}, {K}], got {list(values.shape)}; give one row per sequence, in their order.")
        if N == 0:
            raise DataError("score: there must be a sequence to judge by, got none; give some with labels.")
        _check_values(truth, values)
        if truth.kind == "number":
            return Predictions(truth.kind, truth.names, truth.values.astype(np.float64), values, np.empty((N, 0), np.bool_))
        if truth.kind == "labels":
            return Predictions(truth.kind, truth.names, truth.values.astype(np.float64), values, values >= _thresholds(threshold, K))
        return Predictions(truth.kind, truth.names, np.eye(K)[truth.values], values, np.eye(K, dtype=np.bool_)[values.argmax(1)])

    def __len__(self) -> int:
        return len(self.truth)

    def rows(self, index: Index) -> Predictions:
        return Predictions(self.kind, self.names, self.truth.take(index, 0), self.predicted.take(index, 0), self.chosen.take(index, 0))

    @property
    def counts(self) -> Array:
        """How many sequences have each class or label [K]."""
        return self.truth.sum(0)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where everything that was chosen is true [N]."""
        return (self.chosen == (self.truth > 0.5)).all(1)


def _check_values(truth: Labels, values: Array) -> None:
    wrong = ~np.isfinite(values) if truth.kind == "number" else ~((values >= 0) & (values <= 1))
    if np.any(wrong):
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        must = "finite" if truth.kind == "number" else "probabilities between 0 and 1"
        raise DataError(
            f"score: predicted must be {must}, got {values[row, column]} for {truth.names[column]!r} in row {row}; mend it at its origin."
        )
    sums = values.sum(1)
    if truth.kind == "class" and np.any(np.abs(sums - 1) > SUM_TOLERANCE):
        row = int(np.argmax(np.abs(sums - 1)))
        raise DataError(f"score: the probabilities of a sequence must sum to 1, got {sums[row]:.6g} in row {row}; give those after the softmax.")


def _thresholds(threshold: ArrayLike, K: int) -> Array:
    found = np.asarray(threshold, np.float64)
    if found.shape not in ((), (K,)):
        raise ShapeError(f"score: threshold must be one number or [K] = [{K}], got {list(found.shape)}; give one for all or one per label.")
    if not np.all((found > 0) & (found <= 1)):
        raise OptionError(f"score: threshold must be above 0 and at most 1, got {found.tolist()}; 0.5 is customary.")
    return found
