"""Starting values, on tensors of one parameter each and on PyTorch's fused ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from grus.errors import OptionError
from grus.nn import GRU, LSTM, Recurrent
from grus.nn.initialisers import chrono


def test_orthogonal_makes_each_gates_matrix_orthogonal() -> None:
    fused = GRU(3, 4, 2, initialiser=("glorot", "orthogonal"))
    for matrix in (*fused.weight_hh_l0.chunk(3), *fused.weight_hh_l1.chunk(3)):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(4))
    assert not fused.bias_ih_l0.any()
    assert not fused.bias_hh_l1.any()
    layer = Recurrent("mgu", 3, 4, initialiser="orthogonal")
    torch.testing.assert_close(layer.U_f_l0 @ layer.U_f_l0.T, torch.eye(4))
    assert layer.b_f_l0.abs().max() <= 0.5


def test_glorot_bound_follows_the_sizes_of_one_gate() -> None:
    bound = math.sqrt(6 / (30 + 20))
    largest = GRU(30, 20, initialiser="glorot").weight_ih_l0.abs().max().item()
    assert 0.98 * bound < largest <= bound


def test_unit_forget_bias_is_one_in_sum() -> None:
    layer = LSTM(3, 4, initialiser="unit_forget_bias")
    total = layer.bias_ih_l0 + layer.bias_hh_l0
    assert torch.equal(total[4:8], torch.ones(4))
    assert not torch.equal(total[:4], torch.ones(4))
    assert torch.equal(Recurrent("lstm_coupled", 3, 4, initialiser="unit_forget_bias").b_i_l0, -torch.ones(4))


@pytest.mark.parametrize(("cell", "keeps", "enters"), [("lstm", "f", "i"), ("gru", "z", None), ("gru_reset_before", None, "z"), ("ugrnn", "g", None)])
def test_chrono_gates_keep_for_up_to_the_longest_dependency(cell: str, keeps: str | None, enters: str | None) -> None:
    layer = Recurrent(cell, 3, 64, initialiser=("glorot", chrono(100)))
    values: list[torch.Tensor] = []
    if keeps:
        values.append(getattr(layer, f"b_{keeps}_l0"))
    if enters:
        values.append(-getattr(layer, f"b_{enters}_l0"))
    for value in values:
        assert value.min() >= 0
        assert value.max() <= math.log(99)
        assert value.max() > math.log(30)
        assert torch.equal(value, values[0])


def test_keeping_gate_keeps_the_state_of_every_cell_that_names_one(backend: str) -> None:
    from grus.nn.initialisers import KEEPING

    def keep_all(weights: Any) -> None:
        keep, enter = KEEPING[weights.cell]
        for tensor in weights.tensors:
            tensor.zero_()
        for name, value in ((keep, 40.0), (enter, -40.0)):
            if name is not None:
                weights.set_bias(name, value)

    for cell in KEEPING:
        sizes = {"P": 2} if cell == "lstm_projected" else {}
        layer = Recurrent(cell, 3, 4, initialiser=keep_all, dtype=torch.float64, backend=backend, sizes=sizes)  # pyright: ignore
        x = torch.zeros(3, 2, 3, dtype=torch.float64)
        names = layer.cell.states
        start = [torch.randn(1, 2, 2 if cell == "lstm_projected" and name == "h" else 4, dtype=torch.float64) for name in names]
        extras = dict.fromkeys(layer.cell.inputs[1:], x) or None
        _, state = layer(x, start[0] if len(start) == 1 else tuple(start), inputs=extras)
        last = state if isinstance(state, torch.Tensor) else state[-1]
        torch.testing.assert_close(last, start[-1], msg=lambda text, cell=cell: f"{cell}: {text}")


def test_what_a_cell_does_not_have_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unit_forget_bias: the cell must be one of .* got rnn_tanh"):
        Recurrent("rnn_tanh", 3, 4, initialiser="unit_forget_bias")
    with pytest.raises(OptionError, match="unit_forget_bias: the layer must have biases"):
        LSTM(3, 4, bias=False, initialiser="unit_forget_bias")
    with pytest.raises(OptionError, match="longest must be at least 3 steps, got 2"):
        chrono(2)
