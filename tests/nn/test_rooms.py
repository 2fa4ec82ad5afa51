"""Memory for gradients: used again once they are gone, never while anything holds them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from grus.nn import GRU, GRUCell, Recurrent


def gradients(layer: torch.nn.Module, stream: Tensor) -> list[Tensor]:
    layer.zero_grad()
    layer(stream)[0].sum().backward()
    return [parameter.grad for parameter in layer.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("make", [lambda: GRU(3, 4), lambda: Recurrent("lstm_peephole", 3, 4), lambda: GRUCell(3, 4)])
def test_gradients_that_are_held_are_not_overwritten(make: type[torch.nn.Module]) -> None:
    layer = make()
    first, second = (torch.randn(2, 3), torch.randn(2, 3)) if isinstance(layer, GRUCell) else (torch.randn(5, 2, 3), torch.randn(5, 2, 3))
    held = gradients(layer, first)
    values = [gradient.clone() for gradient in held]
    others = gradients(layer, second)
    assert all(gradient.equal(value) for gradient, value in zip(held, values, strict=True))
    assert not any(gradient.data_ptr() == other.data_ptr() for gradient, other in zip(held, others, strict=True))


def test_one_view_of_a_gradient_keeps_all_its_memory() -> None:
    layer = GRU(3, 4)
    part = gradients(layer, torch.randn(5, 2, 3))[2][1:2].numpy()
    value = part.copy()
    gradients(layer, torch.randn(5, 2, 3))
    assert part == value


def test_memory_of_gradients_that_are_gone_is_used_again() -> None:
    layer, stream = GRU(3, 4), torch.randn(5, 2, 3)
    before = [gradient.data_ptr() for gradient in gradients(layer, stream)]
    first = [gradient.clone() for gradient in gradients(layer, stream)]
    again = gradients(layer, stream)
    assert [gradient.data_ptr() for gradient in again] == before
    assert all(gradient.equal(value) for gradient, value in zip(again, first, strict=True))


def test_gradients_accumulate_over_passes() -> None:
    layer, stream = GRU(3, 4), torch.randn(5, 2, 3)
    once = [gradient.clone() for gradient in gradients(layer, stream)]
    for _ in range(2):
        layer(stream)[0].sum().backward()
    for parameter, value in zip(layer.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 3 * value)


def test_copies_of_a_layer_share_no_gradient_memory() -> None:
    layer, stream = GRU(3, 4), torch.randn(5, 2, 3)
    held = gradients(layer, stream)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert not {gradient.data_ptr() for gradient in gradients(other, stream)} & {gradient.data_ptr() for gradient in held}
