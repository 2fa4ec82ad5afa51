"""``RNN``, ``GRU`` and ``LSTM`` give what ``torch.nn`` gives: values, states, gradients, weights, forms of input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_leaves

import grus.nn

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
    "proj": ("LSTM", {"proj_size": 2}),
}
LSTM_KINDS = ("lstm", "proj")


def pair(kind: str, backend: str, *args: Any, dtype: torch.dtype = torch.float64, **options: Any) -> tuple[Any, Any]:
    """PyTorch's layer and ours, from one seed."""
    name, own = KINDS[kind]
    layers: list[Any] = []
    for module, extra in ((torch.nn, {}), (grus.nn, {"backend": backend})):
        torch.manual_seed(1)
        layers.append(getattr(module, name)(*args, dtype=dtype, **own, **options, **extra))
    return layers[0], layers[1]


def flat(value: Any) -> list[Tensor]:
    """Every tensor of a layer's result, in order."""
    if isinstance(value, PackedSequence):
        return [value.data]
    return [value] if isinstance(value, Tensor) else [tensor for entry in value for tensor in flat(entry)]


def agree(theirs: Any, ours: Any, arguments: tuple[Any, ...], leaves: list[Tensor], tolerance: float = 1e-10) -> None:
    """Results and all gradients of both layers are the same."""
    found: list[list[Tensor]] = []
    for layer in (theirs, ours):
        layer.zero_grad()
        for leaf in leaves:
            leaf.grad = None
        results = flat(layer(*arguments))
        torch.manual_seed(3)
        sum((result * torch.randn_like(result)).sum() for result in results).backward()  # pyright: ignore
        found.append([*results, *(parameter.grad for parameter in layer.parameters()), *(leaf.grad.clone() for leaf in leaves)])  # pyright: ignore
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def initial(kind: str, layers: int, rows: int, hidden: int) -> Any:
    def state(width: int) -> Tensor:
        return torch.randn(layers, rows, width, dtype=torch.float64, requires_grad=True)

    if kind not in LSTM_KINDS:
        return state(hidden)
    return state(2 if kind == "proj" else hidden), state(hidden)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "batch_first": True}],
    ids=["plain", "stacked bidirectional", "no bias, batch first"],
)
def test_layer_agrees_with_pytorch(kind: str, backend: str, options: dict[str, Any]) -> None:
    theirs, ours = pair(kind, backend, 3, 5, **options)
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x = torch.randn(4, 4, 3, dtype=torch.float64, requires_grad=True)
    hx = initial(kind, layers, 4, 5)
    agree(theirs, ours, (x,), [x])
    agree(theirs, ours, (x, hx), [x, *flat(hx)])


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_float32_agrees_with_pytorch(kind: str, backend: str) -> None:
    theirs, ours = pair(kind, backend, 16, 63, dtype=torch.float32)
    x = torch.randn(20, 7, 16, requires_grad=True)
    agree(theirs, ours, (x,), [x], tolerance=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ordered", [True, False], ids=["sorted", "unsorted"])
def test_packed_sequence_agrees_with_pytorch(kind: str, backend: str, ordered: bool) -> None:
    theirs, ours = pair(kind, backend, 3, 5, num_layers=2, bidirectional=True)
    lengths = [6, 4, 4, 1] if ordered else [4, 1, 6, 4]
    rows = [torch.randn(length, 3, dtype=torch.float64, requires_grad=True) for length in lengths]
    packed = pack_sequence(rows, enforce_sorted=ordered)
    hx = initial(kind, 4, 4, 5)
    for arguments in ((packed,), (packed, hx)):
        packed = arguments[0]
        expected, got = theirs(*arguments), ours(*arguments)
        assert torch.equal(got[0].batch_sizes, packed.batch_sizes)
        for one, other in zip(flat(expected), flat(got), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-10)
    leaf = rows[2]
    gradients = [torch.autograd.grad(layer(packed, hx)[0].data.square().sum(), [leaf, *flat(hx)], retain_graph=True) for layer in (theirs, ours)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched_input_agrees_with_pytorch(kind: str, backend: str, batch_first: bool) -> None:
    theirs, ours = pair(kind, backend, 3, 5, num_layers=2, batch_first=batch_first)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    hx = initial(kind, 2, 1, 5)
    hx = tuple(state[:, 0] for state in hx) if isinstance(hx, tuple) else hx[:, 0]
    agree(theirs, ours, (x,), [x])
    agree(theirs, ours, (x, hx), [x])


def test_dropout_drops_at_the_positions_of_pytorch(backend: str) -> None:
    theirs, ours = pair("gru", backend, 3, 5, num_layers=3, dropout=0.5)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    torch.manual_seed(5)
    expected, _ = theirs(x)
    torch.manual_seed(5)
    got, _ = ours(x)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.eval()(x)[0], theirs.eval()(x)[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_and_repr_are_those_of_pytorch(kind: str) -> None:
    theirs, ours = pair(kind, "auto", 3, 5, num_layers=2, bidirectional=True, bias=True)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(theirs.parameters(), ours.parameters(), strict=True))
    assert repr(theirs) == repr(ours)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-10, atol=1e-10)
    ours.load_state_dict(pair(kind, "auto", 3, 5, num_layers=2, bidirectional=True)[0].state_dict())


def test_empty_batch_gives_empty_results_as_pytorch_does(backend: str) -> None:
    theirs, ours = pair("lstm", backend, 3, 5, num_layers=2)
    for one, other in zip(
        flat(theirs(torch.zeros(4, 0, 3, dtype=torch.float64))), flat(ours(torch.zeros(4, 0, 3, dtype=torch.float64))), strict=True
    ):
        assert one.shape == other.shape


def test_nan_spreads_as_in_pytorch(backend: str) -> None:
    theirs, ours = pair("gru", backend, 3, 5)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    x[2, 1, 0] = float("nan")
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-10, atol=1e-10, equal_nan=True)


def test_strided_and_expanded_input_is_accepted(backend: str) -> None:
    theirs, ours = pair("gru", backend, 3, 5)
    every = torch.randn(3, 6, 8, dtype=torch.float64)
    for x in (every.permute(2, 1, 0), every[:, ::2].permute(2, 1, 0), torch.randn(1, 1, 3, dtype=torch.float64).expand(4, 2, 3)):
        leaf = x.detach().requires_grad_()
        agree(theirs, ours, (leaf,), [leaf])


def test_deep_copy_and_pickle_give_the_same_layer(backend: str) -> None:
    import copy
    import pickle

    _, ours = pair("gru", backend, 3, 5, num_layers=2)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(other(x)[0], ours(x)[0])


def test_weights_may_be_replaced_for_one_call(backend: str) -> None:
    _, ours = pair("gru", backend, 3, 5)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    zero = {name: torch.zeros_like(parameter) for name, parameter in ours.named_parameters()}
    output, _ = torch.func.functional_call(ours, zero, (x,))
    assert not output.any()
    assert ours(x)[0].any()


def test_calls_read_the_weights_of_now(backend: str) -> None:
    theirs, ours = pair("gru", backend, 3, 5)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        ours(x)
        for each in (theirs, ours):
            each.bias_hh_l0.add_(1.0)
            each.weight_ih_l0.mul_(2.0)
        torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-10, atol=1e-10)
        for each in (theirs, ours):
            each.weight_hh_l0.data = each.weight_hh_l0.data.flip(0).t().contiguous().t()
            each.bias_ih_l0.data = each.bias_ih_l0.data + 1.0
        torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-10, atol=1e-10)
        for each in (theirs, ours):
            each.weight_hh_l0.mul_(0.5)
        torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.float()(x.float())[0], theirs.float()(x.float())[0])


def test_states_may_be_viewed_and_changed_in_place(backend: str) -> None:
    _, ours = pair("lstm", backend, 3, 5)
    output, (h, c) = ours(torch.randn(4, 2, 3, dtype=torch.float64))
    assert h.view(-1).shape == c.view(-1).shape == (10,)
    loss = output.square().sum() + h.sum()
    gradients = torch.autograd.grad(loss, ours.parameters(), retain_graph=True)
    with torch.no_grad():
        c.zero_()
    for one, other in zip(gradients, torch.autograd.grad(loss, ours.parameters()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_attributes_are_those_of_pytorch(kind: str, bias: bool) -> None:
    theirs, ours = pair(kind, "auto", 3, 5, num_layers=2, bidirectional=True, bias=bias)
    for name in ("mode", "proj_size", "_flat_weights_names", "_all_weights"):
        assert getattr(ours, name) == getattr(theirs, name)
    for ours_too, theirs_too in zip([ours._flat_weights, *ours.all_weights], [theirs._flat_weights, *theirs.all_weights], strict=True):
        assert all(map(torch.equal, ours_too, theirs_too))


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"])
def test_results_have_the_dtype_of_pytorch_under_autocast(kind: str, backend: str) -> None:
    x = torch.randn(2, 3) if kind.endswith("Cell") else torch.randn(5, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in (x.bfloat16(), x):
            found = getattr(grus.nn, kind)(3, 4, backend=backend)(given)
            assert {value.dtype for value in tree_leaves(found)} == {given.dtype}


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernel_of_pytorch_has_gradients_of_gradients(kind: str, dtype: torch.dtype) -> None:
    found: list[torch.Tensor] = []
    x = torch.randn(5, 2, 3, dtype=dtype, requires_grad=True)
    for module, options in ((torch.nn, {}), (grus.nn, {"backend": "torch"})):
        torch.manual_seed(1)
        layer = getattr(module, kind)(3, 4, dtype=dtype, **options)
        first = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(found[1], found[0])
