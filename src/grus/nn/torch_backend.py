"""A step program on PyTorch's own operations: any device and element type, gradients of any order.

What does not depend on the state runs over all steps at once; the loop multiplies each operand once by all matrices that share it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from grus.nn import library, watch
from grus.nn.evaluate import Machine
from grus.nn.passes import Pass, Result, row_of
from grus.nn.plan import OUTPUT, Plan


def run(request: Pass, kernels: bool = True) -> Result:
    """Run one pass, by a kernel of PyTorch's where one fits, unless ``kernels`` is False."""
    kernel = library.kernel_for(request.plan) if kernels and _takes_kernel(request) else None
    if kernel is not None:
        return library.run(request, kernel)
    plan, timeline = request.plan, request.timeline
    parameters = plan.layout.split(request.tensors)
    sizes = plan.sizes(request.inputs, parameters, request.states)
    split = plan.split()
    like = request.inputs[0]
    before = Machine(split.prologue, parameters, sizes, plan.precision, like).values(dict(zip(plan.inputs, request.inputs, strict=True)))
    streams = {**dict(zip(plan.inputs, request.inputs, strict=True)), **{name: before[node] for name, node in split.prologue.outputs.items()}}
    loop = _Loop(request, Machine(split.loop, parameters, sizes, plan.precision, like), streams, timeline.restarts(request.reverse))
    return loop.run()


def _takes_kernel(request: Pass) -> bool:
    """Whether a kernel of PyTorch's could run the pass: none of what only a step program gives, no conversion, no batching rule."""
    device = request.inputs[0].device.type
    plain = request.timeline.resets is None and not request.gates and request.memory == "store" and request.timeline.rows > 0
    if not plain or device not in ("cpu", "cuda") or torch.compiler.is_compiling() or watch.in_transform():
        return False
    return device == "cuda" or not torch.is_autocast_enabled("cpu")


class _Loop:
    """The recurrence over the steps of one pass."""

    def __init__(self, request: Pass, machine: Machine, streams: Mapping[str, Tensor], restarts: Tensor | None) -> None:
        self.request = request
        self.machine = machine
        self.plan: Plan = request.plan
        timeline = request.timeline
        self.counts = [int(timeline.rows)] * int(timeline.steps) if timeline.batch_sizes is None else [int(size) for size in timeline.batch_sizes]
        read = {node.name for node in machine.program.nodes if node.op == "input"}
        packed = timeline.batch_sizes is not None
        self.streams = {
            name: stream.split(self.counts) if packed else stream.expand(timeline.steps, timeline.rows, stream.shape[-1]).unbind(0)
            for name, stream in streams.items()
            if name in read
        }
        self.restarts = restarts
        self.names = ((OUTPUT,) if request.sequence else ()) + (self.plan.gates if request.gates else ())

    def run(self) -> Result:
        """Every step in the pass's order; rows join (backward) or leave (forward) as their own length says."""
        steps = range(len(self.counts))
        order = list(reversed(steps)) if self.request.reverse else list(steps)
        initial = self._initial()
        rows = self.counts[order[0]]
        states = tuple(state[:rows] for state in initial)
        finished: list[tuple[Tensor, ...]] = []
        collected: dict[int, tuple[Tensor, ...]] = {}
        for chunk in self._chunks(order):
            states, left, values = self._run_chunk(chunk, states, initial)
            finished += left
            collected.update(zip(chunk, values, strict=True))
        last = tuple(torch.cat([states[k], *(left[k] for left in reversed(finished))]) if finished else states[k] for k in range(len(states)))
        return self._result(collected, last)

    def _chunks(self, order: list[int]) -> list[list[int]]:
        if self._keeps_all():
            return [order]
        length = max(1, math.isqrt(len(order)))
        return [order[at : at + length] for at in range(0, len(order), length)]

    def _keeps_all(self) -> bool:
        """Whether nothing is computed again for the gradient, which transforms of torch.func do not allow."""
        if self.request.memory == "store" or not torch.is_grad_enabled():
            return True
        return not torch.compiler.is_compiling() and watch.in_transform()

    def _run_chunk(
        self, chunk: list[int], states: tuple[Tensor, ...], initial: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], list[tuple[Tensor, ...]], list[tuple[Tensor, ...]]]:
        if self._keeps_all():
            return self._steps(chunk, states, initial)
        return checkpoint(self._steps, chunk, states, initial, use_reentrant=False)  # pyright: ignore[reportReturnType]

    def _steps(
        self, chunk: list[int], states: tuple[Tensor, ...], initial: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], list[tuple[Tensor, ...]], list[tuple[Tensor, ...]]]:
        finished: list[tuple[Tensor, ...]] = []
        collected: list[tuple[Tensor, ...]] = []
        program = self.machine.program
        for t in chunk:
            rows, now = self.counts[t], len(states[0]) if states else 0
            if rows < now:
                finished.append(tuple(state[rows:] for state in states))
                states = tuple(state[:rows] for state in states)
            elif rows > now:
                states = tuple(torch.cat([state, first[now:rows]]) for state, first in zip(states, initial, strict=True))
            states = self._restart(t, states)
            variables = {name: stream[t] for name, stream in self.streams.items()}
            variables.update(zip(self.plan.states, states, strict=True))
            values = self.machine.values(variables)
            collected.append(tuple(self._rows(values[program.outputs[name]], rows, program.nodes[program.outputs[name]].dim) for name in self.names))
            states = tuple(self._rows(values[node], rows, state.dim) for state, node in zip(program.states, program.next_states, strict=True))
        return states, finished, collected

    def _restart(self, t: int, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.restarts is None:
            return states
        where = self.restarts[t, : len(states[0]), None]
        fresh = (state.new_zeros(()) if value is None else value for state, value in zip(states, self.request.restart, strict=True))
        return tuple(torch.where(where, value, state) for value, state in zip(fresh, states, strict=True))

    def _initial(self) -> tuple[Tensor, ...]:
        like, rows = self.machine.like, self.request.timeline.rows
        return tuple(
            like.new_zeros(rows, self.machine.sizes[variable.dim]) if state is None else state
            for variable, state in zip(self.plan.program.states, self.request.states, strict=True)
        )

    def _rows(self, value: Tensor, rows: int, dim: str) -> Tensor:
        """``value`` as [rows, size of dim]; only values made from parameters alone need it."""
        return value if value.dim() == 2 else value.expand(rows, self.machine.sizes[dim])

    def _result(self, collected: dict[int, tuple[Tensor, ...]], states: tuple[Tensor, ...]) -> Result:
        join = torch.stack if self.request.timeline.batch_sizes is None else torch.cat
        over_time = [join([collected[t][k] for t in range(len(self.counts))]) for k in range(len(self.names))]
        output = over_time.pop(0) if self.request.sequence else None
        return Result(output, states, tuple(over_time))


def packed_rows(batch_sizes: NDArray[np.int64], device: torch.device) -> Tensor:
    """The batch row of each row of a packed stream, as an index on ``device``."""
    return torch.from_numpy(row_of(batch_sizes)).to(device)
