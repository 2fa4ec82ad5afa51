"""The compiled kernels as operators of ``torch.library``, so that ``torch.compile`` keeps its graph whole.

Eager calls go straight to ``native``, which costs less. The backward operator runs the forward kernel again, as what it saves has no
shape that PyTorch could know beforehand. Rows with ``lengths`` are packed inside the operators, where their values are known.
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
from grus.nn.sequences import Batch, pack_by_length


def run(request: Pass) -> Result:
    """Run one pass through the operators."""
    plan, timeline = request.plan, request.timeline
    parameters = plan.layout.split(request.tensors)
    sizes = plan.sizes(request.inputs, parameters, request.states)
    like, variables = request.inputs[0], plan.program.states
    states = [like.new_zeros(timeline.rows, sizes[v.dim]) if state is None else state for v, state in zip(variables, request.states, strict=True)]
    restart = [like.new_zeros(sizes[v.dim]) if value is None else value for v, value in zip(variables, request.restart, strict=True)]
    lists = (list(request.inputs), list(request.tensors), states, restart)
    batch_sizes = None if timeline.batch_sizes is None else torch.as_tensor(timeline.batch_sizes)
    flags = [request.reverse, request.gates, request.sequence]
    found = recurrent_forward(plan.key, *lists, batch_sizes, timeline.lengths, timeline.resets, request.memory, flags)
    return native.unflatten(request, found)


@torch.library.custom_op("grus::recurrent_forward", mutates_args=())
def recurrent_forward(
    plan: str,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    """One pass: the output where it is asked for, the last states, the gates where they are asked for.

    ``flags`` are reverse, gates, sequence.
    """
    batch, request = _open(plan, inputs, tensors, states, restart, batch_sizes, lengths, resets, memory, flags)
    with torch.no_grad():
        result = native.run(request)
    output = () if result.output is None else (_closed(batch, result.output),)
    rows = [batch.restore_rows(state, 0) for state in result.states]
    return [*output, *rows, *(_closed(batch, gate) for gate in result.gates)]


@recurrent_forward.register_fake
def _(
    plan: str,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    lengths: Tensor | None,
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
    return [*streams[:first], *(_like(state) for state in states), *streams[first:]]


@torch.library.custom_op("grus::recurrent_backward", mutates_args=())
def recurrent_backward(
    upstream: list[Tensor],
    plan: str,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    """The gradients of inputs, tensors, states and restart states, in this order."""
    batch, request = _open(plan, inputs, tensors, states, restart, batch_sizes, lengths, resets, memory, flags)
    originals = (*inputs, *tensors, *states, *restart)
    first, last = int(flags[2]), int(flags[2]) + len(states)
    streams = [batch.sort_rows(value) if first <= at < last else batch.pack(value) for at, value in enumerate(upstream)]
    gradients = native.gradients(request, native.save(request), streams, (True,) * len(originals))
    found = [torch.zeros_like(like) if value is None else value for value, like in zip(gradients, originals, strict=True)]
    cut = len(inputs), len(inputs) + len(tensors), len(inputs) + len(tensors) + len(states)
    rows = [batch.restore_rows(state, 0).contiguous() for state in found[cut[1] : cut[2]]]
    # An operator's results must not share memory, and these gradients lie in one piece.
    own = [gradient.clone() for gradient in found[cut[0] : cut[1]]]
    return [*(_closed(batch, stream) for stream in found[: cut[0]]), *own, *rows, *found[cut[2] :]]


@recurrent_backward.register_fake
def _(
    upstream: list[Tensor],
    plan: str,
    inputs: list[Tensor],
    tensors: list[Tensor],
    states: list[Tensor],
    restart: list[Tensor],
    batch_sizes: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: list[bool],
) -> list[Tensor]:
    return [_like(tensor) for tensor in (*inputs, *tensors, *states, *restart)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    plan, *lists, batch_sizes, lengths, resets, memory, flags = inputs
    ctx.plan, ctx.memory, ctx.flags = plan, memory, flags
    ctx.counts = [len(entry) for entry in lists]
    ctx.shapes = [value.shape for value in output]
    ctx.save_for_backward(*(tensor for entry in lists for tensor in entry), batch_sizes, lengths, resets)


def _backward(ctx: Any, upstream: list[Tensor | None]) -> tuple[Any, ...]:
    *flat, batch_sizes, lengths, resets = ctx.saved_tensors
    given = [flat[0].new_zeros(shape) if gradient is None else gradient for gradient, shape in zip(upstream, ctx.shapes, strict=True)]
    found = recurrent_backward(given, ctx.plan, *_cut(flat, ctx.counts), batch_sizes, lengths, resets, ctx.memory, ctx.flags)
    return None, *_cut(found, ctx.counts), None, None, None, None, None


recurrent_forward.register_autograd(_backward, setup_context=_setup)


def _open(
    plan: str,
    inputs: Sequence[Tensor],
    tensors: Sequence[Tensor],
    states: Sequence[Tensor],
    restart: Sequence[Tensor],
    batch_sizes: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    memory: str,
    flags: Sequence[bool],
) -> tuple[Batch, Pass]:
    """The pass that an operator's arguments stand for, packed where rows have lengths."""
    reverse, gates, sequence = flags
    counts = None if batch_sizes is None else batch_sizes.numpy()
    timeline = Timeline(len(inputs[0]) if counts is None else len(counts), len(states[0]), counts)
    batch = Batch(tuple(inputs), timeline, timeline.steps)
    if lengths is not None:
        batch = pack_by_length("grus.nn", batch, lengths)
    if resets is not None:
        batch.timeline.resets = batch.sort_resets(resets)
    rows = tuple(batch.sort_rows(state) for state in states)
    return batch, Pass(Plan.of(plan), batch.timeline, batch.streams, tuple(tensors), rows, tuple(restart), reverse, memory, gates, sequence)


def _closed(batch: Batch, stream: Tensor) -> Tensor:
    closed = batch.close(stream)
    assert isinstance(closed, Tensor)
    return closed.contiguous()


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _cut(values: list[Tensor], counts: list[int]) -> list[list[Tensor]]:
    found: list[list[Tensor]] = []
    for count in counts:
        found.append(values[:count])
        values = values[count:]
    return found
