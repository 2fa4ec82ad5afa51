"""What anybody can say of sequences and texts without a network: what one must beat before it is worth anything.

A baseline holds its options; `fit` gives what it learnt, whose `predict` gives what `grus.evaluation.scores.score` takes.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError

Array = NDArray[np.float64]
Data = Sequences | Texts
Progress = Callable[[int, int, str], None]  # steps done, all steps, what they are of


@dataclass(frozen=True)
class Effort:
    """The seed, the time a baseline may take from now on, fitting and predicting together, and who is told how far it is.

    A baseline that can stop early does so when the time is over, and says so in its findings; one that cannot raises OptionError.
    """

    seed: int = 0
    limit_s: float | None = None
    on_progress: Progress | None = None
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.limit_s is not None and not self.limit_s > 0:
            raise OptionError(f"baselines: limit_s must be above 0 seconds, got {self.limit_s}; None sets no limit.")

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        return self.limit_s is not None and self.seconds > self.limit_s

    def tell(self, done: int, total: int, what: str) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total, what)


class FittedBaseline(Protocol):
    """What a baseline learnt."""

    @property
    def findings(self) -> tuple[str, ...]:
        """What a reader of its scores must know, as sentences."""
        ...

    def predict(self, data: Data, effort: Effort) -> Array:
        """Probabilities of the classes or labels, or numbers. Shapes: [N, K].

        Raises: DataError; OptionError where the time does not do.
        """
        ...


class SequenceBaseline(Protocol):
    """A rule that learns from labelled sequences or texts."""

    @property
    def name(self) -> str: ...

    def fit(self, data: Data, effort: Effort) -> FittedBaseline:
        """Learn from all of the data.

        Raises: DataError, OptionError.
        """
        ...


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was learnt, as a function [N, K] of the data."""

    function: Callable[[Data], Array]
    findings: tuple[str, ...] = ()

    def predict(self, data: Data, effort: Effort) -> Array:
        return self.function(data)


@dataclass(frozen=True)
class Constant:
    """The same for every sequence: the share of each class or label in training, so that the most frequent one is chosen, or the targets' mean."""

    name: str = "majority class"

    def fit(self, data: Data, effort: Effort) -> Fitted:
        row = as_columns(labels_of(self.name, data)).mean(0)
        return Fitted(lambda other: np.tile(row, (len(other), 1)))


def labels_of(who: str, data: Data) -> Labels:
    """Raises: DataError where there are none."""
    if data.labels is None or not len(data):
        raise DataError(f"{who}: the data must have labels of at least one sequence, got {len(data)} sequences without; give those of training.")
    return data.labels


def as_columns(labels: Labels) -> Array:
    """1 for the class or labels that hold, 0 for others; numbers as they are. Shapes: [N, K]."""
    return np.eye(len(labels.names))[labels.values] if labels.kind == "class" else labels.values.astype(np.float64)


def fit_columns(labels: Labels, features: Any, learn: Callable[[Any, NDArray[Any]], Any]) -> Callable[[Any], Array]:
    """Scikit-learn's estimators as one function from features to [N, K]: one for all classes, or one for each label or target.

    A class that training lacks has probability 0; a label that is always the same there is told with probability 0 or 1.

    learn: fits an estimator to features and a column of labels.
    """
    if labels.kind == "class":
        present = np.unique(labels.values)
        if len(present) == 1:
            return lambda other: np.tile(np.eye(len(labels.names))[present], (other.shape[0], 1))
        estimator = learn(features, labels.values)

        def of_classes(other: Any) -> Array:
            found = np.zeros((other.shape[0], len(labels.names)))
            found[:, estimator.classes_] = estimator.predict_proba(other)
            return found

        return of_classes
    columns = [_fit_column(labels.values[:, k], labels.kind == "number", features, learn) for k in range(len(labels.names))]
    return lambda other: np.stack([column(other) for column in columns], 1)


def _fit_column(values: NDArray[Any], is_number: bool, features: Any, learn: Callable[[Any, NDArray[Any]], Any]) -> Callable[[Any], Array]:
    if np.all(values == values[0]):
        constant = float(values[0])
        return lambda other: np.repeat(constant, other.shape[0])
    estimator = learn(features, values)

    def of_column(other: Any) -> Array:
        return estimator.predict(other) if is_number else estimator.predict_proba(other)[:, 1]

    return of_column


def spread_out(labels: Labels, seed: int) -> NDArray[np.int64]:
    """All sequences in an order of which every piece has each class by its share; at random where labels are no classes. Shapes: [N]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if labels.kind != "class":
        return order
    place = np.empty(len(labels))
    for number in range(len(labels.names)):
        members = order[labels.values[order] == number]
        place[members] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
    return order[np.argsort(place[order], kind="stable")]
