"""Memory for gradients: used again once they are gone, never while anything holds them."""

from __future__ import annotations

import copy
import pickle
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from grus.nn import GRU, RNN, GRUCell, Recurrent


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


@pytest.mark.parametrize("change", [lambda w: w.t(), lambda w: torch.as_strided(w, (4, 4), (0, 1)), lambda w: w[:, :1].expand(4, 4)])
def test_weights_that_change_their_strides_in_place_are_seen(change: Callable[[Tensor], Tensor]) -> None:
    layer, stream = RNN(4, 4), torch.randn(5, 2, 4)
    layer(stream)
    layer.weight_hh_l0.data = change(layer.weight_hh_l0.data)
    theirs = torch.nn.RNN(4, 4)
    theirs.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(stream), theirs(stream))


def test_weights_of_functional_call_are_told_apart_by_their_strides() -> None:
    layer, stream, weights = GRU(4, 4), torch.randn(5, 2, 4), torch.randn(24, 4)
    theirs = torch.nn.GRU(4, 4)
    theirs.load_state_dict(layer.state_dict())
    for chosen in ({"weight_hh_l0": weights[:12]}, {"weight_hh_l0": weights[::2]}):
        torch.testing.assert_close(functional_call(layer, chosen, (stream,)), functional_call(theirs, chosen, (stream,)))


@pytest.mark.parametrize("make", [lambda: GRU(3, 4), lambda: Recurrent("mgu", 3, 4), lambda: GRUCell(3, 4)])
def test_layer_that_moves_away_holds_no_memory(make: Callable[[], torch.nn.Module]) -> None:
    layer = make()
    stream = torch.randn(2, 3) if isinstance(layer, GRUCell) else torch.randn(5, 2, 3)
    gradients(layer, stream)
    layer.zero_grad()
    rooms = layer._rooms if isinstance(layer, GRUCell) else layer._directions[0].rooms  # pyright: ignore
    assert rooms._room
    assert rooms._views.arrays
    layer.to("meta")
    assert not rooms._room
    assert rooms._views is None


@pytest.mark.parametrize("make", [lambda: GRU(3, 4), lambda: GRUCell(3, 4)])
def test_evaluation_mode_lets_go_of_gradient_memory(make: Callable[[], torch.nn.Module]) -> None:
    layer = make()
    gradients(layer, torch.randn(2, 3) if isinstance(layer, GRUCell) else torch.randn(5, 2, 3))
    rooms = layer._rooms if isinstance(layer, GRUCell) else layer._directions[0].rooms  # pyright: ignore
    room = weakref.ref(rooms._room[0])
    layer.eval()
    assert room() is None
