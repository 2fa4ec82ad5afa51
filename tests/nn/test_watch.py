"""Under what follows every operation (tracing, torch.func, forward-mode) a layer runs on PyTorch's operations, and says so if it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian
from torch.func import grad, jacfwd, jacrev, jvp, vmap  # pyright: ignore[reportPrivateImportUsage]
from torch.fx.experimental.proxy_tensor import make_fx

import grus.nn
from grus.errors import BackendError

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
KINDS = pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
X, V = torch.zeros(4, 2, 3, dtype=torch.float64), torch.ones(4, 2, 3, dtype=torch.float64)


def _dual(layer: Callable[[Tensor], Tensor]) -> Tensor:
    with torch.no_grad(), forward_ad.dual_level():
        tangent: Any = forward_ad.unpack_dual(layer(forward_ad.make_dual(X + 0.1, V))).tangent
        return tangent.clone()


def _jvp_without_graph(layer: Callable[[Tensor], Tensor]) -> Tensor:
    with torch.no_grad():
        return jvp(layer, (X,), (V,))[1]


TRANSFORMS: dict[str, Callable[[Callable[[Tensor], Tensor]], Tensor]] = {
    "grad": lambda layer: grad(lambda x: layer(x).square().sum())(X),
    "jvp": lambda layer: jvp(layer, (X,), (V,))[1],
    "jvp without graph": _jvp_without_graph,
    "jacfwd": lambda layer: jacfwd(layer)(X),
    "dual": _dual,
    "batched gradients": lambda layer: jacobian(layer, X, vectorize=True),  # pyright: ignore
}


def _pair(kind: str, **options: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    theirs = getattr(torch.nn, kind)(3, 4, bidirectional=True, dtype=torch.float64)
    ours = getattr(grus.nn, kind)(3, 4, bidirectional=True, dtype=torch.float64, **options)
    ours.load_state_dict(theirs.state_dict())
    return lambda x: theirs(x)[0], lambda x: ours(x)[0]


@KINDS
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transform_gives_what_pytorch_gives(kind: str, transform: str) -> None:
    theirs, ours = _pair(kind)
    expected = TRANSFORMS[transform](theirs)
    assert expected.abs().max() > 0
    torch.testing.assert_close(TRANSFORMS[transform](ours), expected, rtol=1e-10, atol=1e-12)


@KINDS
@pytest.mark.parametrize("memory", ["store", "checkpoint"])
def test_vmap_and_jacrev_give_what_single_calls_give(kind: str, memory: str) -> None:
    theirs, ours = _pair(kind, memory=memory)
    batch = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(vmap(ours)(batch), torch.stack([theirs(x) for x in batch]), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(jacrev(ours)(X), jacobian(theirs, X), rtol=1e-10, atol=1e-12)


def test_transform_takes_lengths_and_resets() -> None:
    layer = grus.nn.GRU(3, 4, dtype=torch.float64)
    resets = torch.rand(4, 2) < 0.3
    for options in ({"lengths": [2, 4]}, {"lengths": torch.tensor([2, 4])}, {"resets": resets}):

        def loss(x: Tensor, options: Any = options) -> Tensor:
            return layer(x, **options)[0].square().sum()

        x = torch.randn_like(X, requires_grad=True)
        torch.testing.assert_close(grad(loss)(x.detach()), torch.autograd.grad(loss(x), x)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("transform", ["grad", "jvp", "dual"])
def test_native_back_end_refuses_a_transform(transform: str) -> None:
    _, ours = _pair("GRU", backend="native")
    message = r"^GRU: backend='native' must run outside (a transform of torch\.func|forward-mode .*), got a call inside it; use backend='auto'$"
    with pytest.raises(BackendError, match=message):
        TRANSFORMS[transform](ours)


def test_dual_level_without_a_tangent_changes_nothing() -> None:
    layer = grus.nn.GRU(3, 4, backend="native")
    expected = layer(torch.ones(4, 2, 3))[0]
    with forward_ad.dual_level():
        assert layer(torch.ones(4, 2, 3))[0].equal(expected)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(
    "build", [lambda: grus.nn.GRU(3, 4, 2), lambda: grus.nn.LSTM(3, 4), lambda: grus.nn.Recurrent("mgu", 3, 4), lambda: grus.nn.GRUCell(3, 4)]
)
def test_traced_layer_depends_on_its_input(build: Callable[[], torch.nn.Module], recorded: bool) -> None:
    layer = build()
    one, other = (torch.randn(2, 3) if isinstance(layer, grus.nn.GRUCell) else torch.randn(5, 2, 3) for _ in range(2))
    with torch.set_grad_enabled(recorded):
        traced = torch.jit.trace(layer, (one,))
        torch.testing.assert_close(traced(other), layer(other))


def test_traced_drop_in_layer_takes_other_sizes() -> None:
    layer = grus.nn.GRU(3, 4, bidirectional=True)
    with torch.no_grad():
        traced = torch.jit.trace(layer, (torch.randn(5, 2, 3),))
        other = torch.randn(7, 4, 3)
        torch.testing.assert_close(traced(other), layer(other))


def test_native_back_end_refuses_to_be_traced() -> None:
    layer = grus.nn.GRU(3, 4, backend="native")
    with pytest.raises(BackendError, match=r"^GRU: backend='native' must run outside torch\.jit\.trace, got a call inside it; use backend='auto'$"):
        torch.jit.trace(layer, (torch.randn(5, 2, 3),))


@pytest.mark.parametrize("build", [lambda: grus.nn.GRU(3, 4), lambda: grus.nn.Recurrent("mgu", 3, 4)])
def test_graph_of_make_fx_depends_on_its_input(build: Callable[[], torch.nn.Module]) -> None:
    layer, other = build(), torch.randn(5, 2, 3)
    graph = make_fx(lambda x: layer(x)[0])(torch.randn(5, 2, 3))
    torch.testing.assert_close(graph(other), layer(other)[0])


def test_fake_tensors_have_the_shapes_of_results() -> None:
    with FakeTensorMode():
        output, (h, c) = grus.nn.LSTM(3, 4, bidirectional=True)(torch.randn(5, 2, 3))
    assert (output.shape, h.shape, c.shape) == ((5, 2, 8), (2, 2, 4), (2, 2, 4))
