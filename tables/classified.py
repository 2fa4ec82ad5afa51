"""What the tables of classification share: a network with its training and what is done to its data, and how test sequences are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike

from grus.data import Sequences, Texts
from grus.errors import DataError
from grus.evaluation.classification import accuracy
from grus.evaluation.predictions import Predictions
from grus.evaluation.sequence_baselines import SequenceBaseline
from grus.evaluation.sequence_judging import judge_baselines
from grus.models import SequenceSettings
from grus.tasks.sequence_learning import Additions, train
from grus.tasks.sequence_model import Reading, SequenceModel, ensemble
from grus.training import TrainingSettings
from tables.table import Figures, Row, over_seeds

ACCURACY = "accuracy %"
Data = Sequences | Texts


@dataclass(frozen=True)
class Recipe:
    """A network and its training but for the seed, and how many such networks give their mean.

    more: training sequences with changed copies of them, from sequences and a seed; None trains on them as they are.
    """

    model: SequenceSettings
    training: TrainingSettings
    additions: Additions = field(default_factory=Additions)
    reading: Reading = field(default_factory=Reading)
    members: int = 1
    more: Callable[[Sequences, int], Sequences] | None = None

    @property
    def name(self) -> str:
        """What a row calls it."""
        settings = self.model
        several = f"{self.members} × " if self.members > 1 else ""
        conv = "conv, " if settings.convolution_filters else ""
        return f"{several}{conv}{settings.cell} {settings.hidden_size}{' both ways' if settings.bidirectional else ''}"

    def train(self, learnt: Data, held: Data | None, seed: int) -> SequenceModel:
        """The model of a seed, whose networks have seeds of their own; held sequences choose the epochs."""
        if self.more is not None:
            assert isinstance(learnt, Sequences)
            learnt = self.more(learnt, seed)  # one for all networks, which must have the same units
        return ensemble([self._one(learnt, held, seed * self.members + member) for member in range(self.members)])

    def _one(self, learnt: Data, held: Data | None, seed: int) -> SequenceModel:
        training = self.training.model_copy(update={"seed": seed})
        return train(learnt, held, self.reading, self.model, training, self.additions)[0]


def score(data: Data, predicted: ArrayLike) -> Figures:
    """The share of sequences whose class is the likeliest one, in percent."""
    if data.labels is None:
        raise DataError("tables: test sequences must have labels, got none; give them.")
    return {ACCURACY: 100 * accuracy(Predictions.of(data.labels, predicted))}


def rows(recipe: Recipe, learnt: Data, held: Data | None, test: Data, seeds: Sequence[int], beside: Sequence[SequenceBaseline]) -> Iterator[Row]:
    """The network, trained once per seed, then each baseline, which learns from the held out sequences too; one that is better is named so."""

    def once(seed: int) -> Figures:
        return score(test, recipe.train(learnt, held, seed).predict(test))

    network = over_seeds(recipe.name, seeds, once)
    yield network
    for baseline in beside:
        row = beside_row(baseline, learnt if held is None else joined(learnt, held), test)
        is_better = row.figures[ACCURACY][0] > fmean(network.figures[ACCURACY])
        yield replace(row, name=f"{row.name}, better") if is_better else row


def beside_row(baseline: SequenceBaseline, learnt: Data, test: Data) -> Row:
    """A baseline, fitted once.

    Raises: DataError where it fails.
    """
    (judged,) = judge_baselines([baseline], learnt, test)
    if judged.predicted is None:
        raise DataError(f"tables: {baseline.name} must fit these data, got: {judged.failure}")
    return Row(judged.name, {name: (value,) for name, value in score(test, judged.predicted).items()}, (judged.seconds,))


def joined(one: Data, other: Data) -> Data:
    """The sequences or texts of both, whose ids are numbered anew."""
    assert one.labels is not None
    assert other.labels is not None
    labels = type(one.labels)(one.labels.kind, one.labels.names, np.concatenate([one.labels.values, other.labels.values]))
    ids = tuple(map(str, range(len(one) + len(other))))
    if isinstance(one, Texts):
        assert isinstance(other, Texts)
        return Texts((*one.texts, *other.texts), ids, labels)
    assert isinstance(other, Sequences)
    return Sequences((*one.values, *other.values), one.names, ids, labels)
