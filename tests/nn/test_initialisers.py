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
    fused = GRU(3, 4, 2, initialiser=("glorot_uniform", "orthogonal"))
    for matrix in (*fused.weight_hh_l0.chunk(3), *fused.weight_hh_l1.chunk(3)):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(4))
    assert not fused.bias_ih_l0.any()
    assert not fused.bias_hh_l1.any()
    layer = Recurrent("mgu", 3, 4, initialiser="orthogonal")
    torch.testing.assert_close(layer.U_f_l0 @ layer.U_f_l0.T, torch.eye(4))
    assert layer.b_f_l0.abs().max() <= 0.5


def test_glorot_bound_follows_the_sizes_of_one_gate() -> None:
    bound = math.sqrt(6 / (30 + 20))
    largest = GRU(30, 20, initialiser="glorot_uniform").weight_ih_l0.abs().max().item()
    assert 0.98 * bound < largest <= bound


ROWS, COLUMNS = 120, 90
BOUNDS = {"glorot_uniform": math.sqrt(6 / (ROWS + COLUMNS)), "he_uniform": math.sqrt(6 / COLUMNS)}
VARIANCES = {"glorot_uniform": 2 / (ROWS + COLUMNS), "glorot_normal": 2 / (ROWS + COLUMNS), "he_uniform": 2 / COLUMNS, "he_normal": 2 / COLUMNS}


@pytest.mark.parametrize("name", VARIANCES)
def test_variance_follows_the_sizes_of_one_gate(name: str) -> None:
    layer = GRU(COLUMNS, ROWS, initialiser=name)
    for gate in layer.weight_ih_l0.chunk(3):
        assert abs(gate.mean().item()) < 5 * math.sqrt(VARIANCES[name] / gate.numel())
        torch.testing.assert_close(gate.var().item(), VARIANCES[name], rtol=0.08, atol=0)
        largest = gate.abs().max().item()
        if name in BOUNDS:
            assert 0.99 * BOUNDS[name] < largest <= BOUNDS[name]
        else:  # 10 800 normal values reach beyond three deviations
            assert largest > 3 * math.sqrt(VARIANCES[name])
    for gate in layer.weight_hh_l0.chunk(3):
        wanted = 2 / ROWS if name.startswith("he") else 1 / ROWS
        torch.testing.assert_close(gate.var().item(), wanted, rtol=0.08, atol=0)
    assert not layer.bias_ih_l0.any()
    assert not layer.bias_hh_l0.any()


def test_identity_and_zeros_are_exact() -> None:
    layer = GRU(3, 4, 2, initialiser=("identity", "zeros"))
    for matrix in (*layer.weight_hh_l0.chunk(3), *layer.weight_hh_l1.chunk(3)):
        assert torch.equal(matrix, torch.eye(4))
    assert 0 < layer.weight_ih_l0.abs().max() <= 0.5
    assert not layer.bias_ih_l0.any()
    assert not layer.bias_hh_l1.any()


def test_a_mapping_names_gates_one_by_one() -> None:
    layer = GRU(90, 120, bidirectional=True, initialiser={"W_*": "he_normal", "U_n": "identity", "U_[rz]": "orthogonal", "b_*": "zeros"})
    for suffix in ("_l0", "_l0_reverse"):
        r, z, n = getattr(layer, "weight_hh" + suffix).chunk(3)
        assert torch.equal(n, torch.eye(120))
        for gate in (r, z):
            torch.testing.assert_close(gate @ gate.T, torch.eye(120), atol=1e-5, rtol=0)
        torch.testing.assert_close(getattr(layer, "weight_ih" + suffix).var().item(), 2 / 90, rtol=0.05, atol=0)
        assert not getattr(layer, "bias_ih" + suffix).any()
        first, last = getattr(layer, "bias_hh" + suffix).split([240, 120])
        assert not first.any()
        assert 0.9 / math.sqrt(120) < last.abs().max() <= 1 / math.sqrt(120)  # c_n, which no pattern names, stays as PyTorch draws it


def test_names_in_turn_and_in_mappings_read_like_a_configuration_file() -> None:
    layer = Recurrent("lstm", 3, 64, initialiser=["glorot_uniform", {"U_*": "orthogonal", "b_f": "chrono:100", "b_g": "pytorch"}])
    torch.testing.assert_close(layer.U_g_l0 @ layer.U_g_l0.T, torch.eye(64))
    assert 0 <= layer.b_f_l0.min() < 3 < layer.b_f_l0.max() <= math.log(99)
    assert not layer.b_i_l0.any()  # only b_f is named, so the entering gate keeps its zeros
    assert 0.1 < layer.b_g_l0.abs().max() <= 0.125
    whole = Recurrent("lstm", 3, 64, initialiser=("glorot_uniform", "chrono:100"))
    assert torch.equal(whole.b_i_l0, -whole.b_f_l0)


def test_a_gain_stays_one_where_a_pattern_names_it() -> None:
    layer = Recurrent("rnn_tanh", 3, 4, layer_norm=True, initialiser={"*": "pytorch"})
    assert torch.equal(layer.gain_W_l0, torch.ones(4))
    assert 0 < layer.W_l0.abs().max() <= 0.5


WRONG: list[tuple[Any, str]] = [
    ("he_norml", "initialiser must be one of pytorch, .* got 'he_norml'; did you mean 'he_normal'?"),
    ("glorot", "got 'glorot'; did you mean 'glorot_(uniform|normal)'?"),
    (7, "got 7; pass one of these"),
    ("chrono:long", "got 'chrono:long'; did you mean 'chrono:500'?"),
    ("chrono:2", "initialiser chrono:N must have an N of at least 3 steps, got chrono:2"),
    ({"U_m": "identity"}, r"initialiser must name parameters of the cell \(W_r, .*\), got 'U_m'; did you mean 'U_"),
    ({"weights": "zeros"}, "got 'weights'; name one of these, or a pattern"),
    ({"U_n": "identty"}, "did you mean 'identity'?"),
    ({"b_*": "he_normal"}, "'he_normal' must be given to matrices, got b_r, which is none"),
    ({"b_r": "chrono:9"}, "chrono: the parameter must be b_z in gru, got b_r"),
]


@pytest.mark.parametrize(("initialiser", "sentence"), WRONG)
def test_wrong_names_are_refused_with_the_nearest_right_one(initialiser: Any, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence.replace("?", "[?]")):
        GRU(3, 4, initialiser=initialiser)


def test_recurrent_matrices_must_be_there_for_what_sets_them_alone() -> None:
    with pytest.raises(OptionError, match="'orthogonal' must be for a cell with recurrent matrices, got indrnn"):
        Recurrent("indrnn", 3, 4, initialiser="orthogonal")


def test_unit_forget_bias_is_one_in_sum() -> None:
    layer = LSTM(3, 4, initialiser="unit_forget_bias")
    total = layer.bias_ih_l0 + layer.bias_hh_l0
    assert torch.equal(total[4:8], torch.ones(4))
    assert not torch.equal(total[:4], torch.ones(4))
    assert torch.equal(Recurrent("lstm_coupled", 3, 4, initialiser="unit_forget_bias").b_i_l0, -torch.ones(4))


@pytest.mark.parametrize(("cell", "keeps", "enters"), [("lstm", "f", "i"), ("gru", "z", None), ("gru_reset_before", None, "z"), ("ugrnn", "g", None)])
def test_chrono_gates_keep_for_up_to_the_longest_dependency(cell: str, keeps: str | None, enters: str | None) -> None:
    layer = Recurrent(cell, 3, 64, initialiser=("glorot_uniform", chrono(100)))
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
