"""The compiled kernels as a PyTorch function: NumPy views in, NumPy arrays out, gradients by the program's own derivative.

A gradient of a gradient is taken through the PyTorch back end, which runs the same program.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx

from grus.nn import torch_backend
from grus.nn.passes import Pass, Result

Array = NDArray[Any]


def run(request: Pass) -> Result:
    """Run one pass; the graph is recorded only where something needs a gradient."""
    tensors = (*request.inputs, *request.tensors, *request.states, *request.restart)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return unflatten(request, _Recurrence.apply(request, *tensors))
    arguments = Arguments.of(request)
    forward = request.plan.compiled(request.inputs[0].dtype).forward(
        *arguments.values(), **arguments.options, gates=request.gates, sequence=request.sequence
    )
    output = None if forward.output is None else torch.from_numpy(forward.output)
    states = tuple([torch.from_numpy(np.ascontiguousarray(forward.states[name])) for name in request.plan.states])
    gates = tuple([torch.from_numpy(forward.gates[name]) for name in request.plan.gates]) if request.gates else ()
    return Result(output, states, gates)


def flatten(result: Result) -> tuple[Tensor, ...]:
    """Output (where there is one), states, gates."""
    return (*(() if result.output is None else (result.output,)), *result.states, *result.gates)


def unflatten(request: Pass, values: Sequence[Tensor]) -> Result:
    """The inverse of ``flatten``."""
    first = int(request.sequence)
    last = first + len(request.plan.states)
    return Result(values[0] if first else None, tuple(values[first:last]), tuple(values[last:]))


@dataclass(slots=True)
class Arguments:
    """The arguments of a compiled cell, as views of a pass's tensors."""

    inputs: dict[str, Array]
    parameters: dict[str, Array]
    states: dict[str, Array | None]
    options: dict[str, Any]

    @staticmethod
    def of(request: Pass) -> Arguments:
        """Views of the tensors; what is not contiguous along its last dimension is copied."""
        plan, timeline = request.plan, request.timeline
        inputs = {name: view(tensor) for name, tensor in zip(plan.inputs, request.inputs, strict=True)}
        if request.views is None:
            parameters = plan.layout.split([view(tensor) for tensor in request.tensors])
        else:
            parameters = request.views.parameters(plan.layout, request.tensors, view)
        states = {name: None if state is None else view(state) for name, state in zip(plan.states, request.states, strict=True)}
        options: dict[str, Any] = {"reverse": request.reverse, "threads": torch.get_num_threads()}
        if timeline.batch_sizes is not None:
            options["batch_sizes"] = timeline.batch_sizes
        if timeline.resets is not None:
            restarts = timeline.restarts(request.reverse)
            options["resets"] = None if restarts is None else restarts.numpy()
            options["restart"] = {name: view(value) for name, value in zip(plan.states, request.restart, strict=True) if value is not None}
        return Arguments(inputs, parameters, states, options)

    @property
    def dtype(self) -> np.dtype[Any]:
        return next(iter(self.inputs.values())).dtype

    def values(self) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array | None]]:
        return self.inputs, self.parameters, self.states


def view(tensor: Tensor) -> Array:
    """A tensor's memory as an array whose last dimension is contiguous."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    array: Array = tensor.numpy()
    return array if array.flags.c_contiguous or array.strides[-1] == array.itemsize else np.ascontiguousarray(array)


def save(request: Pass) -> list[Array]:
    """What the gradient needs of a forward run."""
    arguments = Arguments.of(request)
    cell = request.plan.compiled(request.inputs[0].dtype)
    return cell.forward(*arguments.values(), **arguments.options, save=request.memory, gates=request.gates, sequence=request.sequence).saved


def gradients(request: Pass, saved: list[Array], upstream: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Array | None]:
    """The gradients of a pass's inputs, tensors, states and restart, in this order; None where none is wanted."""
    plan = request.plan
    arguments = Arguments.of(request)
    first = int(request.sequence)
    arrays = [None if gradient is None else view(gradient) for gradient in upstream]
    after = first + len(plan.states)
    at = len(request.inputs), len(request.inputs) + len(request.tensors)
    needs_parameters = any(wanted[at[0] : at[1]])
    tensors = [np.zeros(tensor.shape, arguments.dtype) for tensor in request.tensors]
    found = plan.compiled(request.inputs[0].dtype).backward(
        *arguments.values(),
        saved,
        arrays[0] if first else None,
        dict(zip(plan.states, arrays[first:after], strict=True)),
        **arguments.options,
        save=request.memory,
        gates=request.gates,
        sequence=request.sequence,
        d_gates={name: gradient for name, gradient in zip(plan.gates, arrays[after:], strict=False) if gradient is not None} or None,
        needs_inputs=frozenset(name for name, needed in zip(plan.inputs, wanted, strict=False) if needed),
        needs_parameters=needs_parameters,
        into=plan.layout.targets(tensors) if needs_parameters else None,
    )
    if needs_parameters:
        plan.layout.finish(tensors)
    restart = [found.restart.get(name) for name in plan.states]
    everything = [
        *(found.inputs.get(name) for name in plan.inputs),
        *(tensors if needs_parameters else [None] * len(tensors)),
        *(found.states[name] for name in plan.states),
        *restart,
    ]
    return [value if needed else None for value, needed in zip(everything, wanted, strict=True)]


def replaced(request: Pass, tensors: Sequence[Tensor | None]) -> Pass:
    """The same pass over other tensors: inputs, layout tensors, states and restart in one sequence."""
    bounds = np.cumsum([0, len(request.inputs), len(request.tensors), len(request.states), len(request.restart)])
    inputs, parameters, states, restart = (tuple(tensors[low:high]) for low, high in pairwise(bounds))
    return Pass(
        request.plan,
        request.timeline,
        inputs,  # pyright: ignore[reportArgumentType]
        parameters,  # pyright: ignore[reportArgumentType]
        states,
        restart,
        request.reverse,
        request.memory,
        request.gates,
        request.sequence,
    )


def reference_gradients(request: Pass, upstream: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor | None]:
    """The same gradients by the PyTorch back end, as a graph that can be differentiated again."""
    originals = (*request.inputs, *request.tensors, *request.states, *request.restart)
    # Aliases cut the graph at this pass: one argument may have been computed from another.
    aliases = [None if tensor is None else tensor.view_as(tensor) for tensor in originals]
    values = flatten(torch_backend.run(replaced(request, aliases)))
    targets = [alias for alias, needed in zip(aliases, wanted, strict=True) if needed and alias is not None]
    pairs = [(value, gradient) for value, gradient in zip(values, upstream, strict=True) if gradient is not None and value.requires_grad]
    if not pairs:
        return [None] * len(originals)
    heads, seeds = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(heads, targets, seeds, create_graph=True, allow_unused=True))
    return [next(found) if needed and alias is not None else None for alias, needed in zip(aliases, wanted, strict=True)]


class _Recurrence(torch.autograd.Function):
    """One pass with its gradient; what the forward kernel saved is kept like any tensor of the graph."""

    @staticmethod
    def forward(ctx: Any, request: Pass, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        arguments = Arguments.of(request)
        forward = request.plan.compiled(request.inputs[0].dtype).forward(
            *arguments.values(), **arguments.options, save=request.memory, gates=request.gates, sequence=request.sequence
        )
        arrays = [np.ascontiguousarray(forward.states[name]) for name in request.plan.states]
        if forward.output is not None:
            arrays.insert(0, forward.output)
        if request.gates:
            arrays += [forward.gates[name] for name in request.plan.gates]
        ctx.set_materialize_grads(False)
        ctx.request = replaced(request, [None] * len(tensors))
        ctx.save_for_backward(*tensors, *(torch.from_numpy(array) for array in forward.saved))
        return tuple([torch.from_numpy(array) for array in arrays])

    @staticmethod
    def backward(ctx: FunctionCtx, *upstream: Tensor | None) -> tuple[Any, ...]:
        kept: tuple[Tensor | None, ...] = ctx.saved_tensors  # pyright: ignore
        empty: Pass = ctx.request  # pyright: ignore
        wanted: tuple[bool, ...] = ctx.needs_input_grad[1:]  # pyright: ignore
        request = replaced(empty, kept[: len(wanted)])
        if torch.is_grad_enabled():
            return None, *reference_gradients(request, upstream, wanted)
        saved = [tensor.numpy() for tensor in kept[len(wanted) :] if tensor is not None]
        found = gradients(request, saved, upstream, wanted)
        return None, *(None if value is None else torch.from_numpy(value) for value in found)
