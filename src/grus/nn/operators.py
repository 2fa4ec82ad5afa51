"""The compiled kernels as operators of ``torch.library``, so that ``torch.compile`` keeps its graph whole.

Eager calls go straight to ``native``, which costs less. The backward operator runs the forward kernel again, as what it saves has no
shape that PyTorch could know beforehand.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from grus.nn import native
from grus.nn.passes import Pass, Result, Timeline
from grus.nn.plan import OUTPUT, Plan


def run(request: Pass) -> Result:
    """Run one pass through the operators."""
    plan = request.plan
    parameters = plan.layout.split(request.tensors)
    sizes = plan.sizes(request.inputs, parameters, request.states)
    like, rows = request.inputs[0], request.timeline.rows
    names = plan.program.states
    states = [like.new_zeros(rows, sizes[v.dim]) if state is None else state for v, state in zip(names, request.states, strict=True)]
    restart = [like.new_zeros(sizes[v.dim]) if value is None else value for v, value in zip(names, request.restart, strict=True)]
    timeline = request.timeline
    batch_sizes = None if timeline.batch_sizes is None else torch.as_tensor(timeline.batch_sizes)
    lists = (list(request.inputs), list(request.tensors), states, restart)
    flags = [request.reverse, request.gates, request.sequence]
    return native.unflatten(request, recurrent_forward(plan.key, *lists, batch_sizes, timeline.resets, request.memory, flags))


def _request(
    plan: int,
    inputs: Sequence[Tensor],
    tensors: Sequence[Tensor],
    states: Sequence[Tensor],
    restart: Sequence[Tensor],
    batch_sizes: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: Sequence[bool],
) -> Pass:
    reverse, gates, sequence = flags
    counts = None if batch_sizes is None else batch_sizes.numpy()
    timeline = Timeline(len(inputs[0]) if counts is None else len(counts), len(states[0]), counts, resets)
    return Pass(Plan.of(plan), timeline, tuple(inputs), tuple(tensors), tuple(states), tuple(restart), reverse, memory, gates, sequence)


@torch.library.custom_op("grus::recurrent_forward", mutates_args=())
def recurrent_forward(
    plan: int,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    """One pass: the output where it is asked for, the last states, the gates where they are asked for."""
    with torch.no_grad():
        return list(native.flatten(native.run(_request(plan, inputs, tensors, states, restart, batch_sizes, resets, memory, flags))))


@recurrent_forward.register_fake
def _(
    plan: int,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    chosen = Plan.of(plan)
    _, gates, sequence = flags
    program = chosen.program
    sizes = chosen.sizes(tuple(inputs), chosen.layout.split(tensors), tuple(states))
    names = ((OUTPUT,) if sequence else ()) + (chosen.gates if gates else ())
    streams = [inputs[0].new_empty(*inputs[0].shape[:-1], sizes[program.nodes[program.outputs[name]].dim]) for name in names]
    first = int(sequence)
    return [*streams[:first], *(torch.empty_like(state, memory_format=torch.contiguous_format) for state in states), *streams[first:]]


@torch.library.custom_op("grus::recurrent_backward", mutates_args=())
def recurrent_backward(
    upstream: list[Tensor],
    plan: int,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    """The gradients of inputs, tensors, states and restart states, in this order."""
    request = _request(plan, inputs, tensors, states, restart, batch_sizes, resets, memory, flags)
    originals = (*inputs, *tensors, *states, *restart)
    saved = native.save(request)
    found = native.gradients(request, saved, upstream, [True] * len(originals))
    return [torch.zeros_like(like) if value is None else torch.from_numpy(value) for value, like in zip(found, originals, strict=True)]


@recurrent_backward.register_fake
def _(
    upstream: list[Tensor],
    plan: int,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (*inputs, *tensors, *states, *restart)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    plan, *lists, batch_sizes, resets, memory, flags = inputs
    ctx.plan, ctx.memory, ctx.flags = plan, memory, flags
    ctx.counts = [len(entry) for entry in lists]
    ctx.shapes = [value.shape for value in output]
    ctx.save_for_backward(*(tensor for entry in lists for tensor in entry), batch_sizes, resets)


def _backward(ctx: Any, upstream: list[Tensor | None]) -> tuple[Any, ...]:
    *flat, batch_sizes, resets = ctx.saved_tensors
    given = [flat[0].new_zeros(shape) if gradient is None else gradient for gradient, shape in zip(upstream, ctx.shapes, strict=True)]
    lists = _cut(flat, ctx.counts)
    found = recurrent_backward(given, ctx.plan, *lists, batch_sizes, resets, ctx.memory, ctx.flags)
    return None, *_cut(found, ctx.counts), None, None, None, None


def _cut(values: list[Tensor], counts: list[int]) -> list[list[Tensor]]:
    found: list[list[Tensor]] = []
    for count in counts:
        found.append(values[:count])
        values = values[count:]
    return found


recurrent_forward.register_autograd(_backward, setup_context=_setup)
