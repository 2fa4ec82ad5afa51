"""``Recurrent``: every cell on both back ends, lengths, resets, gates, and the options that are no regularisers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from grus import cells
from grus.cells import cell, softplus
from grus.errors import BackendError, DtypeError, OptionError, ShapeError
from grus.nn import GRU, LSTM, Recurrent
from grus.nn.native import SideBySide

NAN = float("nan")
DOUBLE = torch.float64


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, PackedSequence):
        return [value.data]
    if isinstance(value, dict):
        return [tensor for entry in value.values() for tensor in tensors(entry)]
    return [value] if isinstance(value, Tensor) else [tensor for entry in value for tensor in tensors(entry)]


def same(one: Any, other: Any, tolerance: float = 1e-10) -> None:
    for expected, got in zip(tensors(one), tensors(other), strict=True):
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("cell", cells.names())
def test_cell_of_the_catalogue_agrees_on_both_back_ends(cell: str) -> None:
    found: list[list[Tensor]] = []
    dims = cells.get(cell).program.dims()
    sizes = {dim: 4 for dim in dims if dim not in ("H", "I")}
    inputs = cells.get(cell).program.inputs
    streams = [torch.rand(7, 3, 5, dtype=DOUBLE, requires_grad=True) for _ in inputs]
    for backend in ("torch", "native"):
        torch.manual_seed(1)
        layer = Recurrent(cell, 5, 3, backend=backend, dtype=DOUBLE, sizes=sizes)
        extras = {variable.name: stream for variable, stream in zip(inputs[1:], streams[1:], strict=True)} or None
        output, state, gates = layer(streams[0], inputs=extras, lengths=[4, 7, 1], return_gates=True)
        results = [output, *tensors(state), *tensors(gates)]
        loss = sum((result * result).sum() for result in results)
        gradients = torch.autograd.grad(loss, [*streams, *layer.parameters()], allow_unused=True)  # pyright: ignore
        found.append([*results, *(torch.zeros(1, dtype=DOUBLE) if g is None or not g.any() else g for g in gradients)])
        assert layer.backend_used == backend
    same(*found, tolerance=1e-9)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_equal_packing(cell: str, batch_first: bool, backend: str) -> None:
    layer = {"gru": GRU, "lstm": LSTM}[cell](3, 4, 2, bidirectional=True, batch_first=batch_first, dtype=DOUBLE, backend=backend)
    x = torch.randn(4, 6, 3, dtype=DOUBLE) if batch_first else torch.randn(6, 4, 3, dtype=DOUBLE)
    hx = torch.randn(4, 4, 4, dtype=DOUBLE)
    hx = (hx, hx + 1) if cell == "lstm" else hx
    for lengths in ([2, 5, 1, 4], [6, 1, 6, 2], [6, 6, 6, 6], [3, 2, 2, 1]):
        packed = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
        expected, state = layer(packed, hx)
        padded, _ = pad_packed_sequence(expected, batch_first=batch_first, total_length=6)
        for form in (lengths, torch.tensor(lengths), torch.tensor(lengths, dtype=torch.int32)):
            same((padded, state), layer(x, hx, lengths=form))


def test_poisoned_padding_reaches_no_value_and_no_gradient(backend: str) -> None:
    layer = GRU(3, 4, 2, bidirectional=True, dtype=DOUBLE, backend=backend)
    lengths = [2, 5, 3]
    clean = torch.randn(6, 3, 3, dtype=DOUBLE)
    found: list[list[Tensor]] = []
    for filling in (0.0, NAN):
        x = clean.clone()
        for row, length in enumerate(lengths):
            x[length:, row] = filling
        x.requires_grad_()
        output, state, gates = layer(x, lengths=lengths, return_gates=True)
        loss = output.square().sum() + state.sum()
        found.append([output, state, *tensors(gates), *torch.autograd.grad(loss, [x, *layer.parameters()])])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert not output[5].any()
    assert not output[2:, 0].any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_resets_equal_splitting(bidirectional: bool, backend: str) -> None:
    layer = LSTM(3, 4, bidirectional=bidirectional, dtype=DOUBLE, backend=backend)
    x = torch.randn(7, 1, 3, dtype=DOUBLE)
    resets = torch.zeros(7, 1, dtype=torch.bool)
    resets[[3, 5]] = True
    pieces = [layer(piece)[0] for piece in (x[:3], x[3:5], x[5:])]
    output, (h, _) = layer(x, resets=resets)
    same(torch.cat(pieces), output)
    same(pieces[-1][-1, 0, :4], h[0, 0])
    if bidirectional:
        same(pieces[0][0, 0, 4:], h[1, 0])


def test_resets_follow_rows_batch_first_and_lengths(backend: str) -> None:
    layer = GRU(3, 4, batch_first=True, bidirectional=True, dtype=DOUBLE, backend=backend)
    x = torch.randn(3, 6, 3, dtype=DOUBLE)
    lengths = [4, 6, 5]
    resets = torch.zeros(3, 6, dtype=torch.bool)
    resets[0, 2] = resets[1, 1] = resets[2, 4] = resets[0, 5] = True
    output, state = layer(x, lengths=lengths, resets=resets)
    for row, length in enumerate(lengths):
        alone, last = layer(x[row : row + 1, :length], resets=resets[row : row + 1, :length])
        same(alone[0], output[row, :length])
        same(last[:, 0], state[:, row])


def test_gates_are_those_of_the_equations(backend: str) -> None:
    layer = GRU(3, 4, 2, dtype=DOUBLE, backend=backend)
    x, h = torch.randn(5, 2, 3, dtype=DOUBLE), torch.randn(2, 2, 4, dtype=DOUBLE)
    output, _, gates = layer(x, h, return_gates=True)
    assert [set(entry) for entry in gates] == [{"r", "z", "n"}] * 2
    before = torch.cat([h[1:2], output[:-1]])
    found = gates[1]
    same((1 - found["z"]) * found["n"] + found["z"] * before, output)
    a = x[0] @ layer.weight_ih_l0.T + layer.bias_ih_l0
    b = h[0] @ layer.weight_hh_l0.T + layer.bias_hh_l0
    r, z = torch.sigmoid(a + b)[:, :4], torch.sigmoid(a + b)[:, 4:8]
    same([r, z, torch.tanh(a[:, 8:] + r * b[:, 8:])], [gates[0][name][0] for name in "rzn"])


def test_gates_take_gradients_and_the_form_of_the_input(backend: str) -> None:
    layer = GRU(3, 4, bidirectional=True, batch_first=True, dtype=DOUBLE, backend=backend)
    reference = GRU(3, 4, bidirectional=True, batch_first=True, dtype=DOUBLE, backend="torch")
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 3, dtype=DOUBLE)
    found: list[tuple[Tensor, ...]] = []
    for each in (layer, reference):
        gates = each(x, return_gates=True)[2]
        assert gates[0]["z"].shape == (2, 5, 8)
        found.append(torch.autograd.grad(gates[0]["r"].square().sum() + gates[0]["n"].sum(), list(each.parameters())))
    same(*found)
    packed = pack_padded_sequence(x, [5, 3], batch_first=True)
    assert isinstance(layer(packed, return_gates=True)[2][0]["r"], PackedSequence)


@pytest.mark.parametrize("cell", ["lstm", "sru"])
def test_last_output_is_that_of_the_sequence(cell: str, backend: str) -> None:
    x = torch.randn(6, 3, 3, dtype=DOUBLE)
    found: list[Tensor] = []
    for which in ("all", "last"):
        torch.manual_seed(1)
        layer = Recurrent(cell, 3, 4, 2, bidirectional=True, residual=True, output=which, dtype=DOUBLE, backend=backend)
        output, _ = layer(x, lengths=[2, 6, 4])
        packed, _ = layer(pack_padded_sequence(x, [2, 6, 4], enforce_sorted=False))
        if which == "all":
            ends = torch.tensor([1, 5, 3])
            found.append(torch.cat([output[ends, torch.arange(3), :4], output[0, :, 4:]], -1))
        else:
            same(output, packed)
            found.append(output)
            assert layer(x[:, 0])[0].shape == (8,)
    same(*found)


def test_residual_adds_each_layers_input_from_the_second_on(backend: str) -> None:
    x = torch.randn(4, 2, 3, dtype=DOUBLE)
    layer = GRU(3, 4, 2, residual=True, dtype=DOUBLE, backend=backend)
    first, second = GRU(3, 4, dtype=DOUBLE), GRU(4, 4, dtype=DOUBLE)
    first.load_state_dict({name: value for name, value in layer.state_dict().items() if "l0" in name})
    second.load_state_dict({name.replace("l1", "l0"): value for name, value in layer.state_dict().items() if "l1" in name})
    below = first(x)[0]
    same(below + second(below)[0], layer(x)[0])


def test_sizes_may_differ_between_layers(backend: str) -> None:
    layer = Recurrent("lstm", 3, [4, 6], 2, bidirectional=True, dtype=DOUBLE, backend=backend)
    x = torch.randn(5, 2, 3, dtype=DOUBLE)
    output, state = layer(x)
    assert output.shape == (5, 2, 12)
    assert [[part.shape for part in one] for one in state] == [[(2, 2, 4), (2, 2, 6)]] * 2
    with pytest.raises(ShapeError, match=r"h0 must be a tuple of 2 tensors, one per layer"):
        layer(x, (torch.zeros(4, 2, 4), torch.zeros(4, 2, 4)))
    forward = Recurrent("lstm", 3, [4, 6], 2, dtype=DOUBLE, backend=backend)
    whole, last = forward(x)
    first, state = forward(x[:2])
    second, end = forward(x[2:], state)
    same([whole, last], [torch.cat([first, second]), end])


def test_learnt_initial_state_starts_rows_and_restarts(backend: str) -> None:
    layer = Recurrent("gru", 3, 4, learn_initial_state=True, dtype=DOUBLE, backend=backend)
    assert not layer.h_0_l0.any()
    with torch.no_grad():
        layer.h_0_l0.normal_()
    x = torch.randn(5, 2, 3, dtype=DOUBLE)
    start = layer.h_0_l0.expand(1, 2, 4)
    same(layer(x, start), layer(x))
    resets = torch.zeros(5, 2, dtype=torch.bool)
    resets[2] = True
    output, state = layer(x, torch.zeros(1, 2, 4, dtype=DOUBLE), resets=resets)
    same(layer(x[2:], start), (output[2:], state))
    (got,) = torch.autograd.grad(output.square().sum(), layer.h_0_l0)
    (expected,) = torch.autograd.grad(layer(x[2:])[0].square().sum(), layer.h_0_l0)
    same(expected, got)
    assert torch.autograd.grad(layer(x)[0].sum(), layer.h_0_l0)[0].any()


def test_own_cell_is_a_layer_like_any_other(backend: str) -> None:
    @cells.cell(states="h")
    def leaky(x: Any, h: Any, p: Any) -> Any:
        return h + cells.sigmoid(p.scalar("rate")) * (p.W @ x + p.b - h)

    layer = Recurrent(leaky, 3, 4, dtype=DOUBLE, backend=backend)
    assert {name: tuple(value.shape) for name, value in layer.named_parameters()} == {"rate_l0": (), "W_l0": (4, 3), "b_l0": (4,)}
    x = torch.randn(5, 2, 3, dtype=DOUBLE)
    h, rows = torch.zeros(2, 4, dtype=DOUBLE), []
    for step in x:
        h = h + torch.sigmoid(layer.rate_l0) * (step @ layer.W_l0.T + layer.b_l0 - h)
        rows.append(h)
    output, state = layer(x)
    same([torch.stack(rows), h[None]], [output, state])
    expected = torch.autograd.grad(torch.stack(rows).square().sum(), list(layer.parameters()))
    same(expected, torch.autograd.grad(output.square().sum(), list(layer.parameters())))


def test_layer_without_biases_has_none(backend: str) -> None:
    layer = Recurrent("gru", 3, 4, bias=False, dtype=DOUBLE, backend=backend)
    assert {name for name, _ in layer.named_parameters()} == {"W_r_l0", "U_r_l0", "W_z_l0", "U_z_l0", "W_n_l0", "U_n_l0"}
    assert not layer(torch.zeros(3, 2, 3, dtype=DOUBLE))[0].any()


def test_half_precision_takes_pytorch_operations() -> None:
    layer = GRU(3, 4).bfloat16()
    assert layer.backend_used == "torch"
    assert layer(torch.randn(5, 2, 3).bfloat16())[0].dtype == torch.bfloat16


def test_autocast_casts_the_input_to_the_weights() -> None:
    layer = GRU(3, 4)
    x = torch.randn(5, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = layer(x.bfloat16())
        expected = layer(x.bfloat16().float())
        same(tuple(value.bfloat16() for value in expected), (output, state))
        same(layer(x, state.float()), layer(x, state))


def test_state_of_whole_numbers_is_refused_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(DtypeError, match=r"^GRU: h0 must be torch\.float32 as the input is"):
        GRU(3, 4)(torch.randn(5, 2, 3), torch.zeros(1, 2, 4, dtype=torch.int64))


def test_state_on_another_device_is_refused() -> None:
    with pytest.raises(BackendError, match=r"^GRU: h0 must be on cpu as the input is, got meta; move it with"):
        GRU(3, 4)(torch.randn(5, 2, 3), torch.zeros(1, 2, 4, device="meta"))


def test_softplus_of_large_values_is_the_same_on_both_back_ends() -> None:
    @cell(states="h")
    def soft(x: Any, h: Any, p: Any) -> Any:
        return softplus(p.W @ x + 0 * h)

    x = torch.tensor([-800.0, -20.5, 0.0, 20.5, 35.0, 800.0], dtype=DOUBLE).reshape(1, -1, 1)
    found: list[Tensor] = []
    for chosen in ("native", "torch"):
        layer = Recurrent(soft, 1, 1, backend=chosen, dtype=DOUBLE)  # pyright: ignore
        torch.nn.init.ones_(layer.W_l0)  # pyright: ignore
        leaf = x.clone().requires_grad_()
        output = layer(leaf)[0]
        found.append(torch.cat([output, *torch.autograd.grad(output.sum(), leaf)]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-15, atol=1e-15)


def test_bf16_products_stay_near_float32(backend: str) -> None:
    torch.manual_seed(1)
    exact = GRU(16, 32)
    rounded = GRU(16, 32, precision="bf16")
    rounded.load_state_dict(exact.state_dict())
    x = torch.randn(20, 4, 16)
    difference = (exact(x)[0] - rounded(x)[0]).abs().max().item()
    assert 0 < difference < 0.02


def test_threads_change_no_bit() -> None:
    layer = GRU(3, 8, 2, bidirectional=True)
    x = torch.randn(9, 8, 3)
    before = torch.get_num_threads()
    found: list[list[Tensor]] = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            output, state = layer(x, lengths=[9, 8, 8, 5, 3, 3, 2, 1])
            found.append([output, state])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for some in found[1:] for one, other in zip(found[0], some, strict=True))


@pytest.mark.parametrize("sizes", [1, 3, 16, (4, 1)])
@pytest.mark.parametrize("shape", [(5, 2), (1, 2), (5, 1), (1, 1), (3, 0)])
def test_directions_side_by_side_are_each_alone(sizes: int | tuple[int, int], shape: tuple[int, int]) -> None:
    """To the bit in the first layer; against PyTorch's operations in all."""
    count = len(sizes) if isinstance(sizes, tuple) else 1
    layer = Recurrent("gru", 3, sizes, count, bidirectional=True, dtype=DOUBLE)
    other = Recurrent("gru", 3, sizes, count, bidirectional=True, dtype=DOUBLE, backend="torch")
    other.load_state_dict(layer.state_dict())
    x = torch.randn(*shape, 3, dtype=DOUBLE, requires_grad=True)
    found, wanted = layer(x)[0], other(x)[0]
    torch.testing.assert_close(found, wanted)
    seeds = torch.randn_like(found)
    for one, two in zip(*(torch.autograd.grad(each, [x, *own.parameters()], seeds) for each, own in ((found, layer), (wanted, other))), strict=True):
        torch.testing.assert_close(one, two)
    if count > 1 or not shape[1]:
        return
    alone = Recurrent("gru", 3, sizes, dtype=DOUBLE)
    for part, way in zip(found.chunk(2, -1), ("", "_reverse"), strict=True):
        alone.load_state_dict({name: layer.state_dict()[name + way] for name in alone.state_dict()})
        output = alone(x.flip(0) if way else x)[0]
        assert torch.equal(output.flip(0) if way else output, part)


def test_directions_are_not_copied_to_lie_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = GRU(3, 4, 2, bidirectional=True), torch.randn(5, 2, 3)
    monkeypatch.setattr(torch, "cat", None)
    output, _ = layer(x)
    output.sum().backward()
    assert output.is_contiguous()


def test_outputs_that_lie_elsewhere_are_copied_side_by_side() -> None:
    outputs = [torch.randn(5, 2, 3), torch.randn(5, 2, 4)]
    joined = SideBySide(outputs[0], [3, 4]).join(outputs)
    assert torch.equal(joined, torch.cat(outputs, -1))


def test_a_refusal_names_the_layer_in_both_directions() -> None:
    x = torch.randn(5, 2, 3)
    for layer, given in (
        (GRU(3, 4, bidirectional=True, backend="native").half(), x.half()),
        (GRU(3, 4, bidirectional=True, precision="bf16").double(), x.double()),
    ):
        with pytest.raises((BackendError, OptionError), match=r"^GRU: "):
            layer(given)
