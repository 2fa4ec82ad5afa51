"""Networks of sequences under ``fit``: they learn, their runs are repeated and resumed to the bit, and parts of a batch are the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from grus.models import SequenceBatch, SequenceNetwork, SequenceObjective, SequenceSettings, SequenceShape
from grus.models.sequence import build
from grus.training import fit
from tests.training.conftest import bits, settings, untimed

WORDS = SequenceShape("class", outputs=2, vocabulary=12)
NUMBERS = SequenceShape("class", outputs=2, channels=1)


@dataclass(frozen=True)
class Sentences:
    """Whether a sequence holds the word 5, or begins above 0; batches in an order that the seed and the epoch decide."""

    batch: SequenceBatch
    size: int

    @staticmethod
    def of(shape: SequenceShape, count: int, seed: int, size: int = 16, *, taught: bool = False) -> Sentences:
        draw = torch.Generator().manual_seed(seed)
        lengths = torch.randint(3, 8, (count,), generator=draw)
        real = torch.arange(7) < lengths.unsqueeze(1)
        words = torch.randint(2, 12, (count, 7), generator=draw) * real
        values, target = words, (words == 5).any(1).long()
        if not shape.tokens:
            values = torch.randn(count, 7, 1, generator=draw) * real.unsqueeze(-1)
            target = (values[:, 0, 0] > 0).long()
        soft = torch.randn(count, 2, generator=draw).softmax(-1) if taught else None
        return Sentences(SequenceBatch(values, lengths, target, soft=soft), size)

    def __len__(self) -> int:
        return -(-len(self.batch.values) // self.size)

    def epoch(self, number: int, seed: int) -> Iterator[SequenceBatch]:
        order = torch.randperm(len(self.batch.values), generator=torch.Generator().manual_seed(1000 * seed + number))
        for rows in order.split(self.size):
            yield self.batch.rows(rows)


def network(shape: SequenceShape, seed: int = 0, **given: Any) -> SequenceNetwork:
    torch.manual_seed(seed)
    return build(SequenceSettings(**{"hidden_size": 8, "pooling": "max", **({"embedding_size": 6} if shape.tokens else {}), **given}), shape)


def additions(shape: SequenceShape) -> SequenceObjective:
    """All that go together."""
    own: dict[str, Any] = {"word_dropout": 0.1} if shape.tokens else {"mix_up": 0.2}
    return SequenceObjective(**own, adversarial=0.05, share=0.1)


def accuracy(trained: SequenceNetwork, batch: SequenceBatch) -> float:
    with torch.no_grad():
        right: Tensor = trained(batch).argmax(1) == batch.target
    return right.float().mean().item()


@pytest.mark.parametrize(("shape", "added"), [(WORDS, False), (WORDS, True), (NUMBERS, True)])
def test_a_rule_is_learnt(shape: SequenceShape, added: bool) -> None:
    trained, held = network(shape), Sentences.of(shape, 100, 2, 100)
    objective = additions(shape) if added else SequenceObjective()
    history = fit(trained, objective, Sentences.of(shape, 160, 1, 40, taught=added), held, settings(epochs=15, learning_rate=0.05))
    assert history.epochs[-1]["validation_loss"] < history.epochs[0]["validation_loss"]
    assert accuracy(trained, held.batch) > 0.95


@pytest.mark.parametrize("shape", [WORDS, NUMBERS])
def test_a_run_is_repeated_and_resumed_to_the_bit(shape: SequenceShape, tmp_path: Path) -> None:
    train, held, objective = Sentences.of(shape, 40, 1, taught=True), Sentences.of(shape, 20, 2), additions(shape)
    rule = {"schedule": "constant", "seed": 4}
    whole = [network(shape, dropout=0.2) for _ in range(2)]
    rows = [fit(each, objective, train, held, settings(epochs=4, **rule)).epochs for each in whole]
    assert bits(whole[0]) == bits(whole[1])
    resumed = network(shape, dropout=0.2)
    fit(resumed, objective, train, held, settings(epochs=2, **rule), folder=tmp_path)
    history = fit(network(shape, seed=7, dropout=0.2), objective, train, held, settings(epochs=4, **rule), folder=tmp_path, resume=True)
    assert untimed(history.epochs) == untimed(rows[0])


@pytest.mark.parametrize("shape", [WORDS, NUMBERS])
def test_accumulated_batches_make_the_update_of_a_large_one(shape: SequenceShape) -> None:
    objective = SequenceObjective(adversarial=0.1)
    weights = torch.tensor([0.5, 2.0])
    found = []
    for size, accumulate in ((32, 1), (16, 2)):
        torch.manual_seed(0)
        design = {"embedding_size": 6} if shape.tokens else {}
        trained = build(SequenceSettings(hidden_size=8, class_weights="balanced", **design), shape, weights)
        fit(
            trained,
            objective,
            Sentences.of(shape, 64, 1, size, taught=True),
            None,
            settings(epochs=2, accumulate=accumulate, optimiser="sgd", learning_rate=0.1),
        )
        found.append(trained.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-6)
