"""Polyphonic music: how pieces are read, cut, packed and scored, on made-up ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from grus.training import TrainingSettings
from tables import music
from tables.music import Choice, Pieces

TRAINING = TrainingSettings(epochs=15, batch_size=1, learning_rate=0.03, clip_norm=None, patience=None)
CHOICE = Choice({"gru": 32, "lstm": 32, "rnn_tanh": 48}, 0.0, 8, {}, TRAINING)


def numbered(*lengths: int) -> list[Tensor]:
    """Pieces whose steps are told apart by their first key."""
    ends = np.cumsum(lengths)
    return [torch.arange(end - length, end).float()[:, None].expand(-1, music.KEYS) for length, end in zip(lengths, ends.tolist(), strict=True)]


def scale(length: int) -> np.ndarray:
    """One key after another, of four."""
    return np.eye(music.KEYS, dtype=np.uint8)[np.arange(length) % 4]


@pytest.mark.parametrize(("longest", "parts"), [(None, [[0, 1, 2, 3, 4, 5], [6, 7]]), (2, [[0, 1, 2], [2, 3, 4], [4, 5], [6, 7]])])
def test_each_step_but_the_first_of_a_piece_is_predicted_once(longest: int | None, parts: list[list[float]]) -> None:
    pieces = Pieces(numbered(6, 2), 2, longest)
    assert [part[:, 0].tolist() for part in pieces.parts] == parts
    batches = list(pieces.epoch(1, 0))
    assert len(batches) == len(pieces) == -(-len(parts) // 2)
    assert sorted(value for batch in batches for value in batch.targets[:, 0].tolist()) == [1, 2, 3, 4, 5, 7]
    # Packed alike: a step is followed by the next one.
    assert all(torch.equal(batch.inputs.data + 1, batch.targets) for batch in batches)


def test_epochs_have_an_order_of_their_own() -> None:
    pieces = Pieces(numbered(*[2] * 9), 1)
    orders = [[float(batch.inputs.data[0, 0]) for batch in pieces.epoch(*key)] for key in ((1, 0), (1, 0), (2, 0), (1, 1))]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
    assert all(sorted(order) == [2.0 * index for index in range(9)] for order in orders)


def test_score_is_the_mean_over_steps_of_the_sum_over_keys() -> None:
    network = music.Player("gru", CHOICE).eval()
    for weight in network.parameters():
        weight.data.zero_()
    assert music.score(network, [torch.zeros(3, 88), torch.ones(9, 88)]) == {music.NLL: pytest.approx(88 * math.log(2), rel=1e-6)}
    # At log-odds of -2 a silent step costs 88 · log(1 + e⁻²), a full one 88 · log(1 + e²): 2 of the one and 8 of the other.
    network.head.bias.data.fill_(-2.0)
    silent, full = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert music.score(network, [torch.zeros(3, 88), torch.ones(9, 88)]) == {music.NLL: pytest.approx(88 * (2 * silent + 8 * full) / 10, rel=1e-6)}


def test_dropout_acts_in_training_alone() -> None:
    network = music.Player("gru", Choice({"gru": 50}, 0.5, None, {}, TRAINING))
    (batch,) = Pieces([torch.ones(4, 88)], 1).epoch(0, 0)
    assert not torch.equal(network(batch.inputs), network(batch.inputs))
    network.eval()
    assert torch.equal(network(batch.inputs), network(batch.inputs))


def test_every_cell_learns_a_scale(tmp_path: Path) -> None:
    held: dict[str, np.ndarray] = {}
    for part, lengths in {"train": [30, 21, 40], "valid": [12], "test": [8, 25]}.items():
        held |= {part: np.concatenate([scale(length) for length in lengths]), f"{part}_lengths": np.array(lengths)}
    np.savez(tmp_path / "scales.npz", **held)
    assert [len(piece) for piece in music.read(tmp_path / "scales.npz", "test")] == [8, 25]
    rows = list(music.run("scales.npz", CHOICE, tmp_path, (0,)))
    assert [row.name for row in rows] == ["GRU, 32 units", "LSTM, 32 units", "tanh RNN, 48 units"]
    assert all(len(row.figures[music.NLL]) == 1 for row in rows)
    assert max(value for row in rows for value in row.figures[music.NLL]) < 1.0  # one key of four, not known which, costs 2.2
