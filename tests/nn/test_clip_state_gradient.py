"""The state's gradient kept within bounds at every step: values against loops with hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from grus import cells
from grus.compiler import reference
from grus.compiler.layer import compile_cell
from grus.errors import OptionError
from grus.nn import GRU, LSTM, Recurrent
from grus.nn.rewrite import with_clipped_gradient

DOUBLE = torch.float64
LIMIT = 0.7


def clipped(state: Tensor) -> Tensor:
    if state.requires_grad:
        state.register_hook(lambda gradient: gradient.clamp(-LIMIT, LIMIT))
    return state


def gru_step(gates: tuple[Tensor, Tensor], states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (r, z, n), (hr, hz, hn) = (part.chunk(3) for part in gates)
    z = torch.sigmoid(z + hz)
    return (clipped((1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * states[0]),)


def lstm_step(gates: tuple[Tensor, Tensor], states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    i, f, g, o = (gates[0] + gates[1]).chunk(4)
    c = clipped(torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g))
    return clipped(torch.sigmoid(o) * torch.tanh(c)), c


KINDS: dict[str, tuple[type[Recurrent], Callable[..., tuple[Tensor, ...]], int]] = {"gru": (GRU, gru_step, 1), "lstm": (LSTM, lstm_step, 2)}


def by_hand(step: Callable[..., tuple[Tensor, ...]], count: int, layer: Recurrent, x: Tensor, lengths: list[int]) -> list[Tensor]:
    """Every gradient of a weighted sum of outputs and last states, rows one by one."""
    total: Any = 0.0
    for reverse in (False, True)[: 1 + layer.bidirectional]:
        suffix = "_l0_reverse" if reverse else "_l0"
        w, u, b, c = (getattr(layer, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        for row, length in enumerate(lengths):
            states = tuple(torch.full((4,), 0.25 * (k + 1), dtype=DOUBLE) for k in range(count))
            for t in reversed(range(length)) if reverse else range(length):
                states = step((w @ x[t, row] + b, u @ states[0] + c), states)
                total = total + weigh(states[0], 1.0 + reverse)
            total = total + sum(weigh(state, 3.0 + k) for k, state in enumerate(states))
    return list(torch.autograd.grad(total, [x, *layer.parameters()]))


def weigh(value: Tensor, factor: float) -> Tensor:
    """A loss whose gradient is well beyond the limit in places: up to ``factor``."""
    return (factor * value * torch.linspace(-1.0, 1.0, value.shape[-1], dtype=DOUBLE)).sum()


def of_layer(layer: Recurrent, x: Tensor, form: str, lengths: list[int]) -> list[Tensor]:
    ways, count = 1 + layer.bidirectional, len(layer.cell.states)
    start = tuple(torch.full((ways, len(lengths), 4), 0.25 * (k + 1), dtype=DOUBLE) for k in range(count))
    hx = start[0] if count == 1 else start
    if form == "packed":
        output, states = layer(pack_padded_sequence(x, lengths, enforce_sorted=False), hx)
    else:
        output, states = layer(x, hx, lengths=lengths if form == "lengths" else None)
    stream = output.data if isinstance(output, PackedSequence) else output
    total = sum((weigh(part, 1.0 + way) for way, part in enumerate(stream.chunk(ways, -1))), torch.zeros((), dtype=DOUBLE))
    total = total + sum(weigh(state, 3.0 + k) for k, state in enumerate((states,) if isinstance(states, Tensor) else states))
    return list(torch.autograd.grad(total, [x, *layer.parameters()]))


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("form", ["dense", "lengths", "packed"])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gradients_are_those_of_a_loop_with_hooks(kind: str, form: str, bidirectional: bool, memory: Any, backend: Any) -> None:
    ours, step, count = KINDS[kind]
    layer = ours(3, 4, bidirectional=bidirectional, dtype=DOUBLE, backend=backend, memory=memory, clip_state_gradient=LIMIT)
    x = torch.randn(9, 3, 3, dtype=DOUBLE, requires_grad=True)
    lengths = [9, 9, 9] if form == "dense" else [4, 9, 7]
    expected = by_hand(step, count, layer, x, lengths)
    for one, other in zip(of_layer(layer, x, form, lengths), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["scalar", "avx2", "avx512"])
def test_every_target_clips_as_the_reference_does(target: str, dtype: str) -> None:
    program = with_clipped_gradient(cells.lstm_peephole.program, 0.05)
    cell, rng = compile_cell(program, dtype, target), np.random.default_rng(0)
    sizes = {"I": 3, "H": 19}
    x, upstream = (rng.standard_normal((7, 5, size)).astype(dtype) for size in (3, 19))
    parameters = {p.name: 0.3 * rng.standard_normal([sizes[dim] for dim in p.shape]).astype(dtype) for p in program.parameters}
    nothing = {state.name: None for state in program.states}
    saved = cell.forward({"x": x}, parameters, nothing, save="store").saved
    found = cell.backward({"x": x}, parameters, nothing, saved, upstream, nothing, save="store")
    expected = reference.backward(program, {"x": x}, parameters, d_outputs={"output": upstream})
    free = reference.backward(cells.lstm_peephole.program, {"x": x}, parameters, d_outputs={"output": upstream})
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for name, gradient in found.parameters.items():
        np.testing.assert_allclose(gradient, expected.params[name], rtol=tolerance, atol=tolerance)
        assert np.abs(expected.params[name] - free.params[name]).max() > 0.01
    np.testing.assert_allclose(found.inputs["x"], expected.inputs["x"], rtol=tolerance, atol=tolerance)


def test_a_growing_gradient_stays_at_the_limit(backend: Any) -> None:
    def gradient_of_start(mode: bool, **options: Any) -> Tensor:
        layer = Recurrent("rnn_relu", 1, 1, bias=False, backend=backend, **options).train(mode)
        with torch.no_grad():
            layer.W_l0.fill_(1.0)
            layer.U_l0.fill_(2.0)
        start = torch.ones(1, 1, 1, requires_grad=True)
        return torch.autograd.grad(layer(torch.ones(10, 1, 1), start)[1].sum(), start)[0]

    assert gradient_of_start(True).item() == 2.0**10
    assert gradient_of_start(True, clip_state_gradient=0.5).item() == 2 * 0.5  # ten times clipped and doubled
    assert gradient_of_start(False, clip_state_gradient=0.5).item() == 2.0**10  # not in evaluation


def test_outputs_are_those_without_it_and_a_wide_limit_changes_no_gradient(backend: Any) -> None:
    x = torch.randn(6, 2, 3)
    results: list[list[Tensor]] = []
    for options in ({}, {"clip_state_gradient": 1e6}):
        torch.manual_seed(5)
        layer = LSTM(3, 4, 2, backend=backend, **options)  # pyright: ignore
        output, (h, c) = layer(x)
        results.append([output, h, c, *torch.autograd.grad(output.square().sum() + c.sum(), list(layer.parameters()))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_back_ends_agree_beside_the_other_regularisers_and_resets() -> None:
    x, resets = torch.randn(8, 3, 3, dtype=DOUBLE), torch.zeros(8, 3, dtype=torch.bool)
    resets[4, 1] = resets[2, 2] = True
    found: list[list[Tensor]] = []
    for backend in ("torch", "native"):
        torch.manual_seed(1)
        options: dict[str, Any] = {"zoneout": 0.2, "recurrent_dropout": 0.2, "weight_drop": 0.2, "layer_norm": True, "learn_initial_state": True}
        layer = LSTM(3, 4, bidirectional=True, dtype=DOUBLE, backend=backend, clip_state_gradient=0.05, **options)
        output, _ = layer(x, resets=resets)
        found.append([output, *torch.autograd.grad(output.square().sum(), list(layer.parameters()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_second_derivative_is_that_of_the_clipped_first(backend: Any) -> None:
    layer = Recurrent("rnn_tanh", 1, 1, dtype=DOUBLE, backend=backend, clip_state_gradient=0.5)
    x = torch.full((1, 1, 1), 0.3, dtype=DOUBLE, requires_grad=True)
    (first,) = torch.autograd.grad(3 * layer(x)[0].sum(), x, create_graph=True)
    w, b, y = layer.W_l0.detach(), layer.b_l0.detach(), layer(x)[0].detach()
    torch.testing.assert_close(first.flatten(), (0.5 * (1 - y * y) * w).flatten())
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second.flatten(), (0.5 * -2 * y * (1 - y * y) * w * w).flatten())
    assert b.numel() == 1


def test_a_state_that_another_one_hands_on_is_clipped_too() -> None:
    program = cells.rnn_tanh.program
    state = next(index for index, node in enumerate(program.nodes) if node.op == "state")
    delayed = replace(program, states=(*program.states, replace(program.states[0], name="before")), next_states=(*program.next_states, state))
    new = with_clipped_gradient(delayed, 2.0)
    assert [new.nodes[index].op for index in new.next_states] == ["clip_gradient", "clip_gradient"]
    assert new.outputs["output"] == new.next_states[0]
    assert all(new.nodes[term.operand].op != "clip_gradient" for node in new.nodes for term in node.terms)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), True, "1"])
def test_limits_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(OptionError, match="clip_state_gradient must be a finite number above 0, or None, got"):
        GRU(3, 4, clip_state_gradient=value)
