"""The cell classes give what PyTorch's give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import grus.nn
from grus.errors import BackendError, DtypeError, OptionError, ShapeError

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("RNNCell", {}),
    "relu": ("RNNCell", {"nonlinearity": "relu"}),
    "gru": ("GRUCell", {}),
    "lstm": ("LSTMCell", {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (2,), (0,)], ids=["unbatched", "batch", "empty"])
def test_cell_agrees_with_pytorch(kind: str, bias: bool, rows: tuple[int, ...], backend: str) -> None:
    name, own = KINDS[kind]
    found: list[list[torch.Tensor]] = []
    x = torch.randn(*rows, 3, dtype=torch.float64)
    states = [torch.randn(*rows, 5, dtype=torch.float64, requires_grad=True) for _ in range(2 if kind == "lstm" else 1)]
    for module, extra in ((torch.nn, {}), (grus.nn, {"backend": backend})):
        torch.manual_seed(1)
        cell = getattr(module, name)(3, 5, bias=bias, dtype=torch.float64, **own, **extra)
        results: list[torch.Tensor] = []
        for hx in (None, tuple(states) if kind == "lstm" else states[0]):
            state = cell(x, hx)
            results += state if isinstance(state, tuple) else [state]
        gradients = torch.autograd.grad(sum(result.square().sum() for result in results), [*cell.parameters(), *states])  # pyright: ignore
        found.append([*cell.state_dict().values(), *results, *gradients])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_state_dict_names_and_repr_are_those_of_pytorch() -> None:
    for name, own in KINDS.values():
        theirs, ours = getattr(torch.nn, name)(3, 5, bias=False, **own), getattr(grus.nn, name)(3, 5, bias=False, **own)
        assert list(theirs.state_dict()) == list(ours.state_dict())
        assert repr(theirs) == repr(ours)


def test_bad_arguments_are_refused_in_one_sentence() -> None:
    cell = grus.nn.GRUCell(3, 4)
    with pytest.raises(
        ShapeError, match=r"^GRUCell: input must be \[B, I\] or \[I\] with I = 3, got \[2, 2, 3\]; its last dimension is the size given to the cell$"
    ):
        cell(torch.zeros(2, 2, 3))
    with pytest.raises(ShapeError, match=r"^GRUCell: h must be \[2, 4\], got \[2, 5\]; pass None to start from zeros$"):
        cell(torch.zeros(2, 3), torch.zeros(2, 5))
    with pytest.raises(DtypeError, match=r"input must be torch\.float32"):
        cell(torch.zeros(2, 3).double())
    with pytest.raises(DtypeError, match=r"^GRUCell: input must be a tensor, got a list; convert it with torch\.tensor$"):
        cell([1, 2])
    for hx in (torch.zeros(2, 4), 1):
        with pytest.raises(ShapeError, match="must be a pair"):
            grus.nn.LSTMCell(3, 4)(torch.zeros(2, 3), hx)  # pyright: ignore
    with pytest.raises(OptionError, match="nonlinearity must be"):
        grus.nn.RNNCell(3, 4, nonlinearity="sine")
    with pytest.raises(OptionError, match="hidden_size must be"):
        grus.nn.GRUCell(3, 0)
    with pytest.raises(OptionError, match=r"^GRUCell: backend must be one of 'auto', 'native', 'torch', got 'natve'"):
        grus.nn.GRUCell(3, 4, backend="natve")  # pyright: ignore
    with pytest.raises(OptionError, match=r"^GRUCell: bias must be True or False, got 1"):
        grus.nn.GRUCell(3, 4, bias=1)  # pyright: ignore


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_state_of_another_dtype_is_refused(dtype: torch.dtype, backend: str) -> None:
    h = torch.ones(2, 4, dtype=dtype)
    with pytest.raises(DtypeError, match=rf"^GRUCell: h must be torch\.float32 as the weights are, got {dtype}; convert it with"):
        grus.nn.GRUCell(3, 4, backend=backend)(torch.zeros(2, 3), h)  # pyright: ignore
    with pytest.raises(DtypeError, match=rf"^LSTMCell: c must be torch\.float32 as the weights are, got {dtype}"):
        grus.nn.LSTMCell(3, 4, backend=backend)(torch.zeros(2, 3), (torch.zeros(2, 4), h))  # pyright: ignore


def test_state_on_another_device_is_refused(backend: str) -> None:
    with pytest.raises(BackendError, match=r"^GRUCell: h must be on cpu as the weights are, got meta; move one of them"):
        grus.nn.GRUCell(3, 4, backend=backend)(torch.zeros(2, 3), torch.zeros(2, 4, device="meta"))  # pyright: ignore


def test_sizes_may_be_integers_of_numpy() -> None:
    cell = grus.nn.GRUCell(np.int64(3), np.int32(4))  # pyright: ignore
    assert type(cell.hidden_size) is int
    assert cell(torch.zeros(2, 3)).shape == (2, 4)
