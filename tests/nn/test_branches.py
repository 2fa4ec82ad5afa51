"""One step with each of several inputs, against the same step written out: states repeated, an input each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from grus import cells
from grus.errors import DtypeError, ShapeError
from grus.nn import GRU, LSTM, Recurrent, branches

DOUBLE = torch.float64
NAMES = [name for name in cells.names() if len(cells.get(name).program.inputs) == 1]


def plainly(layer: Any, inputs: Tensor, hx: Any, which: Tensor | None = None) -> Tensor:
    """The layer's own forward, once per input."""
    rows = (hx if isinstance(hx, Tensor) else hx[0]).shape[1]
    chosen = inputs.expand(rows, -1, -1) if which is None else inputs[which]
    outputs = [layer(chosen[:, k].unsqueeze(0), hx)[0].reshape(rows, -1) for k in range(inputs.shape[1])]
    return torch.stack(outputs, 1)


def compare(layer: Any, kinds: int, which: Tensor | None, rows: int = 5) -> None:
    inputs = torch.randn(kinds, 3, layer.input_size, dtype=DOUBLE, requires_grad=True)
    shapes = layer(torch.randn(2, rows, layer.input_size, dtype=DOUBLE))[1]
    hx = shapes.detach().requires_grad_() if isinstance(shapes, Tensor) else tuple(state.detach().requires_grad_() for state in shapes)
    leaves = [inputs, *([hx] if isinstance(hx, Tensor) else hx), *layer.parameters()]
    found: list[tuple[Tensor | None, ...]] = []
    for each in (layer.branch, lambda *given: plainly(layer, *given)):
        output = each(inputs, hx, which)
        weights = torch.linspace(-1, 1, output.numel(), dtype=DOUBLE).view_as(output)
        found.append((output, *torch.autograd.grad((output.square() * weights).sum(), leaves, allow_unused=True, materialize_grads=True)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_gives_the_same_outputs_and_gradients(name: str) -> None:
    sizes = {dim: 2 for dim in cells.get(name).program.dims() if dim not in ("I", "H")}
    layer = Recurrent(name, 4, 4, sizes=sizes, dtype=DOUBLE, memory="store")
    compare(layer, 1, None)
    compare(layer, 3, torch.tensor([2, 0, 2, 1, 2]))


@pytest.mark.parametrize(("kinds", "which"), [(1, None), (5, None), (2, torch.tensor([1, 0, 0, 1, 1])), (1, torch.zeros(5, dtype=torch.long))])
@pytest.mark.parametrize("part", [1, 24, 1 << 18], ids=["row by row", "two rows", "whole"])
def test_parts_of_any_size_give_the_same(kinds: int, which: Tensor | None, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "PART", part)
    compare(LSTM(3, 4, dtype=DOUBLE), kinds, which)


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2},
        {"bidirectional": True},
        {"batch_first": True, "num_layers": 1},
        {"layer_norm": True},
        {"zoneout": 0.3},
        {"output": "last"},
        {"bias": False},
        {"backend": "torch"},
    ],
    ids=str,
)
def test_every_option_gives_the_same(options: dict[str, Any]) -> None:
    layer = GRU(3, 4, dtype=DOUBLE, **options).eval()
    if options.get("batch_first"):
        other = GRU(3, 4, dtype=DOUBLE).eval()
        other.load_state_dict(layer.state_dict())
        inputs, hx = torch.randn(2, 3, 3, dtype=DOUBLE), torch.randn(1, 2, 4, dtype=DOUBLE)
        torch.testing.assert_close(layer.branch(inputs, hx), plainly(other, inputs, hx))
    else:
        compare(layer, 2, torch.tensor([1, 0, 0, 1, 1]))


def test_gradients_of_the_state_are_clipped_for_every_row_and_input() -> None:
    layer = GRU(3, 4, dtype=DOUBLE, clip_state_gradient=0.01)
    compare(layer, 1, None)


def test_masks_are_drawn_in_training() -> None:
    layer = GRU(3, 64, zoneout=0.5)
    inputs, hx = torch.randn(1, 2, 3), torch.randn(1, 4, 64)
    kept = layer.branch(inputs, hx) == hx[0].unsqueeze(1)
    assert 0.3 < kept.double().mean() < 0.7
    layer.eval()
    torch.testing.assert_close(layer.branch(inputs, hx), plainly(layer, inputs, hx))


def test_no_rows_give_none() -> None:
    assert GRU(3, 4).branch(torch.randn(1, 2, 3), torch.zeros(1, 0, 4)).shape == (0, 2, 4)


def test_bad_arguments_are_named() -> None:
    layer, inputs, hx = GRU(3, 4), torch.randn(2, 5, 3), torch.zeros(1, 6, 4)
    with pytest.raises(ShapeError, match=r"inputs of branch must be \[N, K, 3\], got \[5, 3\]"):
        layer.branch(inputs[0], hx)
    with pytest.raises(ShapeError, match="one set or one for each of 6 rows, got 2; pass which"):
        layer.branch(inputs, hx)
    with pytest.raises(ShapeError, match=r"which must have one number for each of 6 rows, got \[5\]"):
        layer.branch(inputs, hx, torch.zeros(5, dtype=torch.long))
    with pytest.raises(ShapeError, match=r"h0 must be .* = \[1, 6, 4\], got \[2, 6, 4\]"):
        layer.branch(inputs[:1], hx.expand(2, -1, -1))
    with pytest.raises(DtypeError, match=r"inputs must be torch\.float32"):
        layer.branch(inputs.double(), hx, torch.zeros(6, dtype=torch.long))
