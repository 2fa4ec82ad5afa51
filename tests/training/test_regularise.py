"""Penalties on weights and activations: by hand, gradients against formulas, and what each kind takes hold of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from grus.errors import OptionError
from grus.models import ForecastSettings, ForecastShape, build
from grus.nn import GRU, LSTM, GRUCell, Recurrent
from grus.training.regularise import Penalty, Regulariser

DOUBLE = torch.float64


def paid(network: nn.Module, *penalties: Penalty, **activations: float) -> Tensor:
    found = Regulariser(network, penalties, **activations).penalty()
    assert found is not None
    return found


def charged(network: nn.Module, **given: Any) -> set[str]:
    """The parameters whose gradient is not zero under an L2 penalty on weights of 1."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(1.0)
    paid(network, Penalty(l2=0.5, **given)).backward()
    return {name for name, weight in network.named_parameters() if weight.grad is not None and bool((weight.grad == 1).all())}


@pytest.fixture
def linear() -> nn.Linear:
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 4.0]]))
        layer.bias.copy_(torch.tensor([3.0, -5.0]))
    return layer


@pytest.mark.parametrize(
    ("given", "expected", "weight", "bias"),
    [
        ({"l1": 0.1, "kind": "kernel"}, 0.7, [[0.1, -0.1], [0.0, 0.1]], None),
        ({"l1": 0.1, "kind": "bias"}, 0.8, None, [0.1, -0.1]),
        ({"l2": 0.1}, 0.1 * (21 + 34), [[0.2, -0.4], [0.0, 0.8]], [0.6, -1.0]),
        # WᵀW − I = [[0, −2], [−2, 19]], and the gradient of its squared norm is 4 W (WᵀW − I)
        ({"orthogonality": 0.5, "kind": "kernel"}, 0.5 * (4 + 4 + 361), [[8.0, -80.0], [-16.0, 152.0]], None),
        ({"l1": 0.1, "l2": 0.1, "kind": "bias", "names": "b*"}, 0.8 + 3.4, None, [0.7, -1.1]),
    ],
)
def test_penalty_by_hand(
    linear: nn.Linear, given: dict[str, Any], expected: float, weight: list[list[float]] | None, bias: list[float] | None
) -> None:
    found = paid(linear, Penalty(**given))
    found.backward()
    assert found.item() == pytest.approx(expected)
    for parameter, gradient in ((linear.weight, weight), (linear.bias, bias)):
        assert (parameter.grad is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(parameter.grad, torch.tensor(gradient, dtype=DOUBLE))


def test_several_penalties_add_up(linear: nn.Linear) -> None:
    assert paid(linear, Penalty(kind="bias", l1=1.0), Penalty(names="bias", l1=0.5), Penalty(kind="kernel", l2=1.0)).item() == 8 + 4 + 21


def test_orthogonality_is_that_of_each_gate() -> None:
    """Three orthogonal blocks cost nothing, though the whole of them is not orthogonal; one doubled block costs 9 for each of its 4 columns."""
    layer = GRU(3, 4, initialiser="orthogonal", dtype=DOUBLE)
    penalty = Penalty(kind="recurrent", orthogonality=0.1)
    assert paid(layer, penalty).item() == pytest.approx(0, abs=1e-20)
    with torch.no_grad():
        layer.weight_hh_l0[4:8] *= 2
    assert paid(layer, penalty).item() == pytest.approx(0.1 * 9 * 4)


def test_orthogonality_of_a_wide_matrix_is_that_of_its_rows() -> None:
    layer = nn.Linear(5, 2).double()
    with torch.no_grad():
        layer.weight.copy_(2 * torch.eye(2, 5))
    assert paid(layer, Penalty(kind="kernel", orthogonality=1.0)).item() == pytest.approx(9 * 2)


@pytest.mark.parametrize(
    ("network", "kernel", "recurrent", "bias"),
    [
        (GRU(2, 3), ["weight_ih_l0"], ["weight_hh_l0"], ["bias_ih_l0", "bias_hh_l0"]),
        (LSTM(2, 3, proj_size=2), ["weight_ih_l0"], ["weight_hh_l0", "weight_hr_l0"], ["bias_ih_l0", "bias_hh_l0"]),
        (GRU(2, 3, layer_norm=True, bias=False, learn_initial_state=True), ["weight_ih_l0"], ["weight_hh_l0"], []),
        (Recurrent("mgu", 2, 3), ["W_f_l0", "W_n_l0"], ["U_f_l0", "U_n_l0"], ["b_f_l0", "b_n_l0"]),
        (Recurrent("lstm_peephole", 2, 3), [f"W_{g}_l0" for g in "ifgo"], [f"U_{g}_l0" for g in "ifgo"], [f"b_{g}_l0" for g in "ifgo"]),
        (GRUCell(2, 3), ["weight_ih"], ["weight_hh"], ["bias_ih", "bias_hh"]),
        (nn.LSTM(2, 3, proj_size=2), ["weight_ih_l0"], ["weight_hh_l0", "weight_hr_l0"], ["bias_ih_l0", "bias_hh_l0"]),
        (nn.Sequential(nn.Embedding(3, 2), nn.Conv1d(2, 3, 2), nn.LayerNorm(3)), ["0.weight", "1.weight"], [], ["1.bias", "2.bias"]),
    ],
    ids=["gru", "lstm projected", "gru normed", "mgu", "peephole", "gru cell", "nn.LSTM", "others"],
)
def test_kinds_are_what_the_cell_does_with_them(network: nn.Module, kernel: list[str], recurrent: list[str], bias: list[str]) -> None:
    for kind, names in (("kernel", kernel), ("recurrent", recurrent), ("bias", bias)):
        if names:
            assert charged(network, kind=kind) == set(names)
        else:
            with pytest.raises(OptionError, match=f"must name weights of kind '{kind}' that learn, got none for '\\*'; they are none"):
                Regulariser(network, [Penalty(kind=kind, l2=1.0)])  # pyright: ignore[reportArgumentType]
        network.zero_grad()
    assert charged(network, kind="all") == {name for name, _ in network.named_parameters()}


def test_gates_of_pytorchs_own_layers_are_taken_apart_too() -> None:
    ours, theirs = LSTM(3, 4, proj_size=2, dtype=DOUBLE), nn.LSTM(3, 4, proj_size=2, dtype=DOUBLE)
    theirs.load_state_dict(ours.state_dict())
    penalties = [Penalty(kind="recurrent", orthogonality=1.0), Penalty(kind="kernel", orthogonality=0.1)]
    gates = sum((gate.T @ gate - torch.eye(2)).square().sum() for gate in ours.weight_hh_l0.chunk(4))
    projection = (ours.weight_hr_l0 @ ours.weight_hr_l0.T - torch.eye(2)).square().sum()
    inputs = sum((gate.T @ gate - torch.eye(3)).square().sum() for gate in ours.weight_ih_l0.chunk(4))
    torch.testing.assert_close(paid(ours, *penalties), gates + projection + 0.1 * inputs)
    torch.testing.assert_close(paid(theirs, *penalties), paid(ours, *penalties))


def test_names_choose_among_several_layers() -> None:
    network = nn.ModuleDict({"encoder": GRU(2, 3, num_layers=2), "decoder": nn.Linear(3, 1)})
    assert charged(network, names="encoder.*", kind="recurrent") == {"encoder.weight_hh_l0", "encoder.weight_hh_l1"}


def test_weights_that_do_not_learn_are_left_out(linear: nn.Linear) -> None:
    linear.weight.requires_grad_(False)
    assert paid(linear, Penalty(l2=1.0)).item() == 34


def outputs_of(layer: Recurrent, x: Any, penalty: Regulariser, **given: Any) -> tuple[Tensor, Tensor]:
    with penalty.watching():
        output = layer(x, **given)[0]
    found = penalty.penalty()
    assert found is not None
    return output, found


def both(layer: nn.Module) -> Regulariser:
    return Regulariser(layer, activation=2.0, temporal_activation=3.0)


def expected_of(rows: Sequence[Tensor]) -> Tensor:
    """2 mean h² + 3 mean (h_t − h_{t−1})² over the sequences [T, D]."""
    values = torch.cat([row.flatten() for row in rows])
    changes = torch.cat([row.diff(dim=0).flatten() for row in rows])
    return 2 * values.square().mean() + 3 * changes.square().mean()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_activations_of_whole_sequences(batch_first: bool, bidirectional: bool) -> None:
    layer = GRU(2, 3, batch_first=batch_first, bidirectional=bidirectional, dtype=DOUBLE)
    output, found = outputs_of(layer, torch.randn(5, 4, 2, dtype=DOUBLE), both(layer))
    rows = (output if batch_first else output.transpose(0, 1)).unbind()
    torch.testing.assert_close(found, expected_of(rows))
    weights = list(layer.parameters())
    for ours, theirs in zip(torch.autograd.grad(found, weights, retain_graph=True), torch.autograd.grad(expected_of(rows), weights), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_has_no_part(batch_first: bool) -> None:
    layer = GRU(2, 3, batch_first=batch_first, dtype=DOUBLE)
    x, lengths = torch.randn(3, 5, 2, dtype=DOUBLE), [2, 5, 1]
    rows = [layer(row[:length])[0] for row, length in zip(x, lengths, strict=True)]
    shown = x if batch_first else x.transpose(0, 1)
    _, padded = outputs_of(layer, shown, both(layer), lengths=lengths)
    _, packed = outputs_of(layer, pack_padded_sequence(shown, lengths, batch_first, enforce_sorted=False), both(layer))
    torch.testing.assert_close(padded, expected_of(rows))
    torch.testing.assert_close(packed, expected_of(rows))


@pytest.mark.parametrize("form", ["time first", "batch first", "packed", "one row"])
def test_steps_on_either_side_of_a_reset_are_not_compared(form: str) -> None:
    layer = GRU(2, 3, batch_first=form != "time first", dtype=DOUBLE)
    x, resets = torch.randn(1, 6, 2, dtype=DOUBLE), torch.tensor([[False, False, True, False, False, False]])
    rows = [layer(x[0, :2])[0], layer(x[0, 2:])[0]]
    shown: Any = x
    if form == "time first":
        shown, resets = x.transpose(0, 1), resets.T
    elif form == "packed":
        shown = pack_padded_sequence(x, [6], batch_first=True)
    elif form == "one row":
        shown, resets = x[0], resets[0]
    torch.testing.assert_close(outputs_of(layer, shown, both(layer), resets=resets)[1], expected_of(rows))


def test_activation_by_hand() -> None:
    """h' = relu(x): 1, 3, 0 and 2, 2, 2."""
    layer = Recurrent("rnn_relu", 1, 1, bias=False)
    with torch.no_grad():
        layer.W_l0.fill_(1.0)
        layer.U_l0.zero_()
    x = torch.tensor([[1.0, 2.0], [3.0, 2.0], [-5.0, 2.0]]).unsqueeze(-1)
    _, found = outputs_of(layer, x, Regulariser(layer, activation=0.5))
    assert found.item() == pytest.approx(0.5 * (1 + 9 + 0 + 3 * 4) / 6)
    _, found = outputs_of(layer, x, Regulariser(layer, temporal_activation=0.5))
    assert found.item() == pytest.approx(0.5 * (4 + 9) / 4)


def test_activation_is_of_the_last_layer_in_all_its_calls() -> None:
    network = nn.ModuleList([GRU(2, 3, dtype=DOUBLE), GRU(3, 3, dtype=DOUBLE)])
    regulariser = both(network)
    with regulariser.watching():
        between = network[0](torch.randn(5, 2, 2, dtype=DOUBLE))[0]
        first, second = network[1](between)[0], network[1](between[:3, :1])[0]
    found = regulariser.penalty()
    torch.testing.assert_close(found, expected_of([*first.unbind(1), second[:, 0]]))


def test_activation_of_a_layer_that_returns_its_last_output_is_of_that() -> None:
    layer = GRU(2, 3, output="last")
    output, found = outputs_of(layer, torch.randn(5, 4, 2), Regulariser(layer, activation=2.0))
    assert found.item() == pytest.approx(2 * output.square().mean().item())
    with pytest.raises(OptionError, match=re.escape("the last recurrent layer returns its last output alone, got 0.5; leave it out, or let")):
        Regulariser(layer, temporal_activation=0.5)


def test_single_steps_have_no_temporal_activation() -> None:
    layer = GRU(2, 3)
    with pytest.raises(OptionError, match="temporal_activation must be 0 where the last recurrent layer is shown one step at a time"):
        outputs_of(layer, torch.randn(1, 4, 2), Regulariser(layer, temporal_activation=1.0))


def test_nothing_is_watched_outside_or_twice() -> None:
    layer = GRU(2, 3)
    regulariser, x = Regulariser(layer, activation=1.0), torch.randn(4, 2, 2)
    layer(x)
    with pytest.raises(OptionError, match="whose last recurrent layer is not called"):
        regulariser.penalty()
    with regulariser.watching():
        layer(x)
    with regulariser.watching():
        output = layer(2 * x)[0]
    found = regulariser.penalty()
    assert found is not None
    assert found.item() == pytest.approx(output.square().mean().item())
    with pytest.raises(OptionError, match="is not called"):
        regulariser.penalty()


def test_nothing_is_computed_where_nothing_is_asked() -> None:
    layer = GRU(2, 3)
    regulariser = Regulariser(layer)
    with regulariser.watching():
        assert not layer._forward_hooks  # pyright: ignore[reportPrivateUsage]
        layer(torch.randn(4, 2, 2))
    assert regulariser.penalty() is None


@pytest.mark.parametrize("kept", ["all", "last"])
def test_activations_are_summed_in_float32(kept: Literal["all", "last"]) -> None:
    layer = GRU(2, 8, output=kept).bfloat16()
    output, found = outputs_of(layer, torch.randn(30, 20, 2).bfloat16(), Regulariser(layer, activation=1.0))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(output.float().square().mean().item(), rel=1e-5)


def test_penalties_of_a_forecasting_network() -> None:
    network = build(ForecastSettings(hidden_size=4, decoder="recursive"), ForecastShape(lookback=6, horizon=2, past=1))
    assert charged(network, kind="recurrent") == {f"body.{part}.layer.U_{gate}_l0" for part in ("encoder", "decoder") for gate in "rzn"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": "encodr.*", "l1": 1.0}, "must name weights that learn, got none for 'encodr.*'; they are "),
        ({"names": "weight_hh_10", "l1": 1.0}, "got none for 'weight_hh_10'; did you mean 'weight_hh_l0'?"),
        ({"names": "bias*", "kind": "recurrent", "l1": 1.0}, "must name weights of kind 'recurrent' that learn, got none for 'bias*'"),
        ({"names": "bias*"}, "must have l1, l2 or orthogonality above 0, got none for 'bias*'; give one, or leave it out."),
        ({"kind": "bias", "orthogonality": 1.0}, "with orthogonality must be of kind 'kernel' or 'recurrent', got 'bias'"),
        ({"orthogonality": 1.0}, "with orthogonality must be of kind 'kernel' or 'recurrent', got 'all'"),
    ],
)
def test_penalties_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)) as caught:
        Regulariser(GRU(2, 3), [Penalty(**given)])
    assert re.fullmatch(r"fit: .+, got .+; .+[.?]", str(caught.value))


@pytest.mark.parametrize("given", [{"l1": -1.0}, {"l2": float("nan")}, {"kind": "kernels"}, {"names": ""}, {"l3": 1.0}])
def test_penalty_checks_its_values(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Penalty(**given)


def test_activation_needs_a_recurrent_layer() -> None:
    with pytest.raises(OptionError, match="activation must be 0 for a network without recurrent layers of Grus"):
        Regulariser(nn.Linear(2, 2), activation=1.0)
