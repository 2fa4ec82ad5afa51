"""The compiled kernels as a PyTorch function: NumPy views in, NumPy arrays out, gradients by the program's own derivative.

A gradient of a gradient is taken through the PyTorch back end, which runs the same program.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from grus.compiler.arguments import Parameters
from grus.compiler.layer import CompiledCell, Forward
from grus.compiler.native.kernels import address, aligned
from grus.nn import torch_backend, watch
from grus.nn.passes import Pass, Result
from grus.nn.plan import NATIVE_DTYPES
from grus.nn.rooms import Rooms

Array = NDArray[Any]
Values = tuple[dict[str, Array], Parameters, dict[str, Array | None]]


def run(request: Pass) -> Result:
    """Run one pass; the graph is recorded only where something needs a gradient."""
    if torch.is_grad_enabled():
        tensors = (*request.inputs, *request.tensors, *request.states, *request.restart)
        if any([tensor is not None and tensor.requires_grad for tensor in tensors]):  # noqa: C419 - a list is twice as fast as a generator
            return unflatten(request, _Recurrence.apply(request, *tensors))
    return unflatten(request, _forward(request, "none")[0])


def _forward(request: Pass, save: str) -> tuple[tuple[Tensor, ...], list[Array]]:
    """Output (where there is one), states, gates; and what the gradient needs."""
    cell = request.plan.compiled(request.inputs[0].dtype)
    values, options = arguments(request, cell)
    forward: Forward = cell.forward(*values, **options, save=save, out=request.out)
    found = [] if forward.output is None else [from_numpy(forward.output)]
    found += [from_numpy(np.ascontiguousarray(forward.states[name])) for name in request.plan.states]
    if request.gates:
        found += [from_numpy(forward.gates[name]) for name in request.plan.gates]
    return tuple(found), forward.saved


def flatten(result: Result) -> tuple[Tensor, ...]:
    """Output (where there is one), states, gates."""
    return (*(() if result.output is None else (result.output,)), *result.states, *result.gates)


def unflatten(request: Pass, values: Sequence[Tensor]) -> Result:
    """The inverse of ``flatten``."""
    first = int(request.sequence)
    last = first + len(request.plan.states)
    return Result(values[0] if first else None, tuple(values[first:last]), tuple(values[last:]))


def arguments(request: Pass, cell: CompiledCell) -> tuple[Values, dict[str, Any]]:
    """A compiled cell's inputs, parameters and states as views of a pass's tensors, and its options."""
    plan, timeline = request.plan, request.timeline
    inputs = {name: view(tensor) for name, tensor in zip(plan.inputs, request.inputs, strict=True)}
    if request.rooms is None:
        parameters = cell.parameters(plan.layout.split([view(tensor) for tensor in request.tensors]))
    else:
        parameters = request.rooms.parameters(cell, plan.layout, request.tensors, view)
    states = {name: None if state is None else view(state) for name, state in zip(plan.states, request.states, strict=True)}
    options: dict[str, Any] = {
        "reverse": request.reverse,
        "threads": torch.get_num_threads(),
        "gates": request.gates,
        "sequence": request.sequence,
    }
    if timeline.batch_sizes is not None:
        options["batch_sizes"] = timeline.batch_sizes
    if timeline.resets is not None:
        restarts = timeline.restarts(request.reverse)
        options["resets"] = None if restarts is None else restarts.numpy()
        options["restart"] = {name: view(value) for name, value in zip(plan.states, request.restart, strict=True) if value is not None}
    return (inputs, parameters, states), options


def view(tensor: Tensor) -> Array:
    """A tensor's memory as an array whose last dimension is contiguous."""
    array: Array = (tensor.detach() if tensor.requires_grad else tensor).numpy()
    return array if array.flags.c_contiguous or array.strides[-1] == array.itemsize else np.ascontiguousarray(array)


def save(request: Pass) -> list[Array]:
    """What the gradient needs of a forward run."""
    return _forward(request, request.memory)[1]


def gradients(request: Pass, saved: list[Array], upstream: Sequence[Tensor | None], wanted: tuple[bool, ...]) -> list[Tensor | None]:
    """The gradients of a pass's inputs, tensors, states and restart, in this order; None where none is wanted."""
    plan = request.plan
    cell = plan.compiled(request.inputs[0].dtype)
    values, options = arguments(request, cell)
    given = [None if gradient is None else view(gradient) for gradient in upstream]
    d_output = given.pop(0) if request.sequence else None
    count = len(plan.states)
    needs_parameters = True in wanted[plan.cuts[0] : plan.cuts[1]]
    rooms = request.rooms or Rooms()
    room = rooms.take(cell, plan.layout, request.tensors) if needs_parameters else None
    if room is not None:
        options["into"] = room.targets
    if request.gates:
        options["d_gates"] = {name: gradient for name, gradient in zip(plan.gates, given[count:], strict=True) if gradient is not None}
    found = cell.backward(
        *values,
        saved,
        d_output,
        dict(zip(plan.states, given[:count], strict=True)),
        **options,
        save=request.memory,
        needs_inputs=_needed(plan.inputs, wanted[: plan.cuts[0]]),
        needs_parameters=needs_parameters,
    )
    if room is not None:
        room.finish()
    everything = [
        *[found.inputs.get(name) for name in plan.inputs],
        *(request.tensors if room is None else room.arrays),
        *[found.states[name] for name in plan.states],
        *[found.restart.get(name) for name in plan.states],
    ]
    results = [from_numpy(value) if needed and value is not None else None for value, needed in zip(everything, wanted, strict=True)]
    if room is not None:
        rooms.give_back(room)
    return results


@cache
def _needed(names: tuple[str, ...], wanted: tuple[bool, ...]) -> frozenset[str]:
    return frozenset(name for name, needed in zip(names, wanted, strict=True) if needed)


def reference_gradients(request: Pass, upstream: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor | None]:
    """The same gradients by the PyTorch back end, as a graph that can be differentiated again."""
    originals = (*request.inputs, *request.tensors, *request.states, *request.restart)
    # Aliases cut the graph at this pass: one argument may have been computed from another.
    aliases = tuple([None if tensor is None else tensor.view_as(tensor) for tensor in originals])
    values = flatten(torch_backend.run(request.over(aliases), kernels=False))
    targets = [alias for alias, needed in zip(aliases, wanted, strict=True) if needed and alias is not None]
    pairs = [(value, gradient) for value, gradient in zip(values, upstream, strict=True) if gradient is not None and value.requires_grad]
    if not pairs:
        return [None] * len(originals)
    heads, seeds = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(heads, targets, seeds, create_graph=True, allow_unused=True))
    return [next(found) if needed and alias is not None else None for alias, needed in zip(aliases, wanted, strict=True)]


class SideBySide:
    """Room for the outputs of several passes side by side, so that they need not be copied there.

    like: a tensor of the steps; widths: the units of each pass; parts: each pass's own part of the room, for ``Pass.out``.

    Shapes: like [T, B, any] or packed [N, any]; a part [T, B, H] or [N, H], H units wide.
    """

    def __init__(self, like: Tensor, widths: Sequence[int]) -> None:
        self._room = aligned((*like.shape[:-1], sum(widths)), np.dtype(NATIVE_DTYPES[like.dtype]))
        self.parts: list[Array] = np.split(self._room, np.cumsum(widths[:-1]), -1)

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        """The outputs, shaped as the parts, as one tensor as wide as all; the room, if they lie there."""
        if [output.data_ptr() for output in outputs] != [address(part) for part in self.parts]:
            return torch.cat([*outputs], -1)
        return _Joined.apply(self._room, *outputs)


class _Joined(torch.autograd.Function):
    """The room [..., D·H] that outputs [..., H] lie in side by side."""

    @staticmethod
    def forward(ctx: Any, room: Array, *outputs: Tensor) -> Tensor:
        ctx.widths = [output.shape[-1] for output in outputs]
        return from_numpy(room)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, *upstream[0].split(ctx.widths, -1)


class _Recurrence(torch.autograd.Function):
    """One pass with its gradient; what the forward kernel saved is kept like any tensor of the graph."""

    @staticmethod
    def forward(ctx: Any, request: Pass, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        values, saved = _forward(request, request.memory)
        ctx.set_materialize_grads(False)
        ctx.request = request.over(())
        ctx.save_for_backward(*tensors, *[from_numpy(array) for array in saved])
        return values

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
        kept: tuple[Any, ...] = ctx.saved_tensors
        wanted: tuple[bool, ...] = ctx.needs_input_grad[1:]
        request: Pass = ctx.request.over(kept[: len(wanted)])
        if torch.is_grad_enabled():
            return None, *reference_gradients(request, upstream, wanted)
        if watch.batched(upstream):
            with torch.enable_grad():
                return None, *reference_gradients(request, upstream, wanted)
        return None, *gradients(request, [tensor.numpy() for tensor in kept[len(wanted) :]], upstream, wanted)
