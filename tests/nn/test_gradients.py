"""Gradients by finite differences, of first and second order, on both back ends and under every saving policy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import grus.nn


def _function(layer: grus.nn.Recurrent, count: int, **options: Any) -> Any:
    names = [name for name, _ in layer.named_parameters()]

    def run(x: torch.Tensor, *rest: torch.Tensor) -> Any:
        states = rest[:count]
        hx = states[0] if count == 1 else states
        output, state = torch.func.functional_call(layer, dict(zip(names, rest[count:], strict=True)), (x, hx), options)
        return (output, state) if isinstance(state, torch.Tensor) else (output, *state)

    return run


def _arguments(layer: grus.nn.Recurrent, count: int) -> list[torch.Tensor]:
    ways = layer.num_layers * (2 if layer.bidirectional else 1)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(ways, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(count)]
    return [x, *states, *(parameter.detach().clone().requires_grad_() for parameter in layer.parameters())]


@pytest.mark.parametrize(("kind", "count"), [("GRU", 1), ("LSTM", 2), ("RNN", 1)])
def test_gradients_pass_finite_differences(kind: str, count: int, backend: str) -> None:
    layer = getattr(grus.nn, kind)(2, 3, bidirectional=True, dtype=torch.float64, backend=backend)
    arguments = _arguments(layer, count)
    assert gradcheck(_function(layer, count), arguments, fast_mode=True)
    assert gradgradcheck(_function(layer, count), arguments, fast_mode=True)


def test_gradients_with_lengths_and_resets_pass_finite_differences(backend: str) -> None:
    layer = grus.nn.GRU(2, 3, bidirectional=True, dtype=torch.float64, backend=backend)
    resets = torch.tensor([[False, False], [True, False], [False, True]])
    function = _function(layer, 1, lengths=[2, 3], resets=resets)
    assert gradcheck(function, _arguments(layer, 1), fast_mode=True)
    assert gradgradcheck(function, _arguments(layer, 1), fast_mode=True)


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_saving_policy_changes_no_gradient(memory: str, cell: str, backend: str) -> None:
    found: list[tuple[torch.Tensor, ...]] = []
    x = torch.randn(17, 3, 2, dtype=torch.float64, requires_grad=True)
    for policy in ("store", memory):
        torch.manual_seed(1)
        layer = grus.nn.Recurrent(cell, 2, 3, backend=backend, memory=policy, dtype=torch.float64)  # pyright: ignore
        output, _ = layer(x, lengths=[17, 5, 9])
        found.append((output, *torch.autograd.grad(output.square().sum(), [x, *layer.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_only_wanted_gradients_are_computed(backend: str) -> None:
    layer = grus.nn.GRU(2, 3, dtype=torch.float64, backend=backend)  # pyright: ignore
    layer.weight_ih_l0.requires_grad_(False)
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    layer(x)[1].sum().backward()
    assert layer.weight_ih_l0.grad is None
    assert layer.weight_hh_l0.grad is not None
    assert x.grad is None
    layer.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    layer(leaf)[0].sum().backward()
    assert leaf.grad is not None
    assert not layer(x)[0].requires_grad


def test_second_backward_over_a_freed_graph_is_refused(backend: str) -> None:
    layer = grus.nn.GRU(2, 3, backend=backend)  # pyright: ignore
    loss = layer(torch.randn(4, 2, 2))[0].sum()
    loss.backward(retain_graph=True)
    first = layer.weight_hh_l0.grad.clone()
    loss.backward()
    torch.testing.assert_close(layer.weight_hh_l0.grad, 2 * first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_gradient_through_an_input_made_from_the_weights_is_counted_once(backend: str) -> None:
    layer = grus.nn.GRU(3, 3, dtype=torch.float64, backend=backend)  # pyright: ignore
    reference = torch.nn.GRU(3, 3, dtype=torch.float64)
    reference.load_state_dict(layer.state_dict())
    found: list[torch.Tensor] = []
    for each in (layer, reference):
        x = each.weight_hh_l0[:3].expand(2, 3, 3)
        (first,) = torch.autograd.grad(each(x)[0].square().sum(), each.weight_hh_l0, create_graph=True)
        first.square().sum().backward()
        found.append(each.weight_hh_l0.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)
