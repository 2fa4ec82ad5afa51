from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st
from torch import Tensor, nn

from grus.errors import DataError, OptionError, ShapeError
from grus.nn import Recurrent
from grus.training import fit
from grus.training.steps import count_samples
from grus.training.streams import Carried, Piece, Streams
from tests.training.conftest import bits, settings, untimed


class Reader(nn.Module):
    """A recurrent layer and a linear map over pieces of streams."""

    def __init__(self, cell: str = "gru") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.output = Recurrent(cell, 2, 4, dtype=torch.float64), nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, piece: Piece, states: Any) -> tuple[Tensor, Any]:
        output, states = self.layer(piece.values[0], states, resets=piece.resets)
        return self.output(output).squeeze(-1), states


def paid(output: Tensor, piece: Piece) -> tuple[Tensor, Tensor]:
    errors = (output - piece.values[1]).square()
    return errors[piece.known].sum(), piece.known.sum()


def sequences(*lengths: int) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [(torch.randn(length, 2, generator=draw).double(), torch.randn(length, generator=draw).double()) for length in lengths]


@example_count(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8), rows=st.integers(1, 4), steps=st.integers(1, 9), number=st.integers(1, 3),
    shuffle=st.booleans(),
)  # fmt: skip
def test_streams_hold_every_step_once_and_in_order(lengths: list[int], rows: int, steps: int, number: int, shuffle: bool) -> None:
    """Each step carries the number of its sequence and its place there."""
    given = [torch.tensor([[at, step] for step in range(length)]) for at, length in enumerate(lengths)]
    source = Streams(given, rows=rows, steps=steps, shuffle=shuffle)
    pieces = list(source.epoch(number, 5))
    assert len(pieces) == len(source)
    assert all(len(piece.resets) == steps for piece in pieces[:-1])
    values, resets, known = (torch.cat(parts) for parts in zip(*((piece.values[0], piece.resets, piece.known) for piece in pieces), strict=True))
    found: list[tuple[int, int]] = []
    for row in range(rows):
        before: tuple[int, int] | None = None
        for value, reset, here in zip(values[:, row].tolist(), resets[:, row].tolist(), known[:, row].tolist(), strict=True):
            if not here:
                before = None
                continue
            sequence, step = value
            assert reset == (before is None or before[0] != sequence)
            assert reset or before == (sequence, step - 1)
            before = (sequence, step)
            found.append(before)
    assert sorted(found) == [(at, step) for at, length in enumerate(lengths) for step in range(length)]


def test_streams_come_in_another_order_in_each_epoch_and_the_same_in_each_run() -> None:
    source = Streams(sequences(3, 4, 5, 6), rows=2, steps=4)

    def order(number: int) -> list[float]:
        return torch.cat([piece.values[1].T.reshape(-1) for piece in source.epoch(number, 0)]).tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize("cell", ["gru", "lstm", "mgu"])
def test_pieces_with_carried_states_are_the_whole_sequence(cell: str) -> None:
    network, objective = Reader(cell).eval(), None
    source = Streams(sequences(7, 5, 9), rows=3, steps=2, shuffle=False)
    objective = Carried(network, lambda output, piece: (output, piece.known.sum()))
    with torch.no_grad():
        found = torch.cat([objective(network, piece)[0] for piece in source.epoch(1, 0)])
        (whole,) = Streams(sequences(7, 5, 9), rows=3, steps=7, shuffle=False).epoch(1, 0)
        expected, _ = network(whole, None)
    assert torch.equal(found, expected)


def test_truncated_is_full_back_propagation_where_a_piece_covers_the_sequence() -> None:
    """Against the gradient of whole sequences, one after the other, without streams."""
    given, network = sequences(6, 6, 6), Reader()
    (piece,) = Streams(given, rows=3, steps=6, shuffle=False).epoch(1, 0)
    total, weight = Carried(network, paid)(network, piece)
    total.backward()
    found = [weight.grad for weight in network.parameters()]
    network.zero_grad()
    losses = [(network.output(network.layer(x.unsqueeze(1))[0]).reshape(-1) - y).square().sum() for x, y in given]
    sum(losses, torch.zeros(())).backward()
    assert int(weight) == 18
    for one, other in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-12, atol=1e-14)


def test_truncated_gradient_stops_at_the_piece_and_the_state_does_not() -> None:
    """The second piece alone, from the state of the first given as a constant."""
    (x, y), network = sequences(6)[0], Reader()
    source = Streams([(x, y)], rows=1, steps=3, shuffle=False)
    objective = Carried(network, paid)
    first, second = source.epoch(1, 0)
    objective(network, first)
    network.zero_grad()
    objective(network, second)[0].backward()
    found = [weight.grad for weight in network.parameters()]
    network.zero_grad()
    with torch.no_grad():
        _, states = network.layer(x[:3].unsqueeze(1))
    output, _ = network.layer(x[3:].unsqueeze(1), states)
    (network.output(output).reshape(-1) - y[3:]).square().sum().backward()
    for one, other in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-12, atol=1e-14)


def test_states_start_anew_in_each_epoch_and_validation_leaves_no_trace() -> None:
    network = Reader()
    begun: list[bool] = []

    class Watched(Carried):
        def __call__(self, network: nn.Module, piece: Piece) -> tuple[Tensor, Tensor]:
            begun.append(self.states is None)
            return super().__call__(network, piece)

    train, held = Streams(sequences(9, 9), rows=2, steps=3), Streams(sequences(4), rows=1, steps=2)
    fit(network, Watched(network, paid), train, held, settings(epochs=2))
    assert begun == [True, False, False, True, False] * 2


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_run_of_streams_resumed_within_an_epoch_gives_the_same_bits(cell: str, tmp_path: Path) -> None:
    rule = settings(epochs=3, checkpoint_every_s=1e-9)

    class LostError(Exception):
        pass

    class Dying(Streams):
        def epoch(self, number: int, seed: int) -> Any:
            for at, piece in enumerate(super().epoch(number, seed)):
                if (number, at) == (2, 3):
                    raise LostError
                yield piece

    whole, parted, again = Reader(cell), Reader(cell), Reader(cell)
    lengths = (9, 14, 5, 11, 7)
    rows = fit(whole, Carried(whole, paid), Streams(sequences(*lengths), rows=2, steps=4), None, rule).epochs
    with pytest.raises(LostError):
        fit(parted, Carried(parted, paid), Dying(sequences(*lengths), rows=2, steps=4), None, rule, folder=tmp_path)
    found = fit(again, Carried(again, paid), Streams(sequences(*lengths), rows=2, steps=4), None, rule, folder=tmp_path, resume=True).epochs
    assert bits(whole) == bits(again)
    assert untimed(rows) == untimed(found)


def test_shares_of_ranks_are_the_streams_of_one() -> None:
    one = list(Streams(sequences(9, 14, 5, 11), rows=4, steps=3).epoch(2, 7))
    ranks = [list(Streams(sequences(9, 14, 5, 11), rows=2, steps=3).share(rank, 2).epoch(2, 7)) for rank in (0, 1)]
    for whole, left, right in zip(one, *ranks, strict=True):
        np.testing.assert_array_equal(whole.values[0], torch.cat([left.values[0], right.values[0]], 1))
        np.testing.assert_array_equal(whole.resets, torch.cat([left.resets, right.resets], 1))
        np.testing.assert_array_equal(whole.known, torch.cat([left.known, right.known], 1))


def test_bad_streams_are_refused() -> None:
    with pytest.raises(DataError, match="at least one sequence"):
        Streams([], rows=1, steps=1)
    with pytest.raises(DataError, match=r"sequence 1 must have one length of at least 1, got \[0\]"):
        Streams([torch.zeros(2), torch.zeros(0)], rows=1, steps=1)
    with pytest.raises(DataError, match=r"sequence 0 must have one length of at least 1, got \[2, 3\]"):
        Streams([(torch.zeros(2), torch.zeros(3))], rows=1, steps=1)
    with pytest.raises(ShapeError, match=r"sequence 1 must be as the first one, torch.float32 \[T, 2\], got torch.float32 \[3, 4\]"):
        Streams([torch.zeros(2, 2), torch.zeros(3, 4)], rows=1, steps=1)
    with pytest.raises(OptionError, match="steps must be a whole number of at least 1, got 0"):
        Streams([torch.zeros(2)], rows=1, steps=0)
    with pytest.raises(DataError, match="a step for each of 4 streams, got 3"):
        Streams([torch.zeros(3)], rows=2, steps=1).share(0, 2)
    with pytest.raises(OptionError, match="must not be bidirectional, got 0"):
        Carried(nn.Sequential(Recurrent("gru", 1, 1, bidirectional=True)), paid)


def test_samples_of_a_piece_are_its_streams() -> None:
    (piece, *_) = Streams(sequences(9, 9), rows=3, steps=2).epoch(1, 0)
    assert count_samples(piece) == 3
