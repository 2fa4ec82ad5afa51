"""The adding problem's sequences, network and score, on small ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grus.training import TrainingSettings
from tables import adding


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight steps, networks of the same shape with few weights."""
    monkeypatch.setattr(adding, "STEPS", 8)
    monkeypatch.setattr(adding, "SIZES", {"training": 2000, "validation": 100, "test": 300})
    monkeypatch.setattr(adding, "UNITS", {"gru": 16, "lstm": 4, "rnn_tanh": 4})
    monkeypatch.setattr(adding, "TRAINING", TrainingSettings(epochs=4, batch_size=16, learning_rate=0.02, patience=None))


@pytest.mark.usefixtures("small")
def test_two_numbers_anywhere_are_marked_and_summed() -> None:
    sums = adding.draw("training", 32)
    numbers, marks = sums.inputs.unbind(-1)
    assert sums.inputs.shape == (2000, 8, 2)
    assert set(marks.unique().tolist()) == {0.0, 1.0}
    assert (marks.sum(1) == 2).all()
    torch.testing.assert_close((numbers * marks).sum(1), sums.targets)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # Each place is one of the two in a quarter of the sequences; of the 28 pairs 12 lie within a half.
    assert marks.mean(0).numpy() == pytest.approx(1 / 4, abs=0.04)
    assert float((marks[:, :4].sum(1) != 1).float().mean()) == pytest.approx(12 / 28, abs=0.05)


@pytest.mark.usefixtures("small")
def test_parts_are_the_same_each_time_and_differ_from_each_other() -> None:
    assert torch.equal(adding.draw("test", 32).inputs, adding.draw("test", 50).inputs)
    heads = [adding.draw(part, 32).inputs[0, :, 0] for part in ("training", "validation", "test")]
    assert not any(torch.equal(heads[one], heads[other]) for one, other in ((0, 1), (0, 2), (1, 2)))


def test_epochs_hold_every_sequence_once_in_an_order_of_their_own() -> None:
    sums = adding.Sums(torch.arange(14.0).reshape(7, 1, 2), torch.arange(7.0), 3)
    epochs = {key: [targets.tolist() for _, targets in sums.epoch(*key)] for key in ((1, 0), (2, 0), (1, 5))}
    assert all([len(targets) for targets in batches] == [3, 3, 1] for batches in epochs.values())
    assert len(sums) == 3
    assert all(sorted(target for batch in batches for target in batch) == list(range(7)) for batches in epochs.values())
    assert epochs[1, 0] != epochs[2, 0] != epochs[1, 5] != epochs[1, 0]
    assert all(torch.equal(inputs[:, 0, 0], 2 * targets) for inputs, targets in sums.epoch(1, 0))


def test_networks_have_seventy_thousand_weights() -> None:
    counts = {cell: sum(weight.numel() for weight in adding.Adder(cell, units).parameters()) for cell, units in adding.UNITS.items()}
    assert all(69_000 <= count <= 71_000 for count in counts.values()), counts


@pytest.mark.usefixtures("small")
def test_answering_1_is_chance() -> None:
    network = adding.Adder("gru", 2)
    for weight in network.parameters():
        weight.data.zero_()
    network.head.bias.data.fill_(1.0)
    targets = adding.draw("test", 32).targets.double().numpy()
    assert adding.score(network) == {adding.MSE: pytest.approx(np.square(targets - 1).mean(), rel=1e-6)}
    assert adding.score(network)[adding.MSE] == pytest.approx(1 / 6, abs=0.03)


@pytest.mark.usefixtures("small")
def test_gru_learns_to_add(tmp_path: Path) -> None:
    rows = adding.run(tmp_path, (0, 1))
    gru = next(rows)
    assert gru.name == "GRU, 16 units"
    assert len(gru.figures[adding.MSE]) == 2
    assert max(gru.figures[adding.MSE]) < 0.01
    assert [(row.name, len(row.seconds)) for row in rows] == [("LSTM, 4 units", 1), ("tanh RNN, 4 units", 1)]
