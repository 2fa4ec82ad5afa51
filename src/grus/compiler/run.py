"""Walks a layer's time in segments: the forward run, and the backward run with what its saving policy kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, Block, Place, user_place
from grus.compiler.differentiate import Gradient
from grus.compiler.execution import Execution, Slots
from grus.compiler.native.kernels import aligned
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Mode, Stage
from grus.compiler.steps import Steps, block_table

FORWARD_BYTES = 1 << 20  # streams of a segment: few enough to stay in the cache, many enough to make few calls
BACKWARD_BYTES = 3 << 20
BLOCK_ROWS = 96  # rows of a time-parallel block: with its operands it stays in the second-level cache


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments that forward and backward share, checked and packed."""

    inputs: Mapping[str, Array]  # [N, D] contiguous
    parameters: Mapping[str, Array]
    states: Mapping[str, Array | None]
    steps: Steps
    resets: NDArray[np.uint8] | None
    restart: Mapping[str, Array]
    save: str
    mode: Mode
    threads: int
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])


class _Run(Execution):
    """What forward and backward share: where things are, and how to run a segment forward."""

    def __init__(self, dtype: np.dtype[Any], target: Target, programs: CellPrograms, call: Call) -> None:
        super().__init__(dtype, target, call.sizes, call.threads)
        self.programs, self.call, self.mode, self.steps = programs, call, call.mode, call.steps
        self.states = {v.name: v.dim for v in programs.program.states}
        self.user = {name: user_place(array) for name, array in call.inputs.items()}
        self.restart = {} if call.resets is None else {name: self.rows_of(self.steps.batch, dim, call.restart.get(name)) for name, dim in self.states.items()}

    def rows_of(self, rows: int, dim: str, value: Array | None) -> Array:
        """Padded rows holding ``value``, or zeros."""
        found = aligned((rows, self.padded[dim]), self.dtype)
        found[:] = 0
        if value is not None:
            found[:, : self.sizes[dim]] = value
        return found

    def carry(self, values: Mapping[str, Array | None]) -> dict[str, Array]:
        return {name: self.rows_of(self.steps.batch, dim, values.get(name)) for name, dim in self.states.items()}

    def swap_slots(self) -> Slots:
        return Slots({name: aligned((2 * self.steps.batch, self.padded[dim]), self.dtype) for name, dim in self.states.items()}, 0)

    def packed_slots(self, low: int, high: int) -> Slots:
        return Slots({name: aligned((high - low, self.padded[dim]), self.dtype) for name, dim in self.states.items()}, low)

    def segments(self, save: str) -> list[slice]:
        """The cuts of the sequence that forward and backward agree on."""
        if save == "checkpoint":
            return self.steps.segments(max(1, isqrt(self.steps.count)) * self.steps.batch)
        if save == "none":
            width = self.programs.prologue(self.mode).stored.width(self.padded)
            budget = FORWARD_BYTES
        else:
            width = self.programs.loop_backward(self.mode).stored.width(self.padded)
            budget = BACKWARD_BYTES
        return self.steps.segments(max(256, budget // max(1, width * self.dtype.itemsize)))

    def prologue(self, low: int, high: int, block: Block) -> None:
        """Everything that does not depend on the state, for packed rows [low, high)."""
        stage = self.programs.prologue(self.mode)
        if not stage.idle:
            self.run(stage, self.call.parameters, self.user, block.places(), block_table(low, high, BLOCK_ROWS))

    def loop(
        self,
        table: NDArray[np.int64],
        streams: Block,
        outputs: Mapping[str, Place],
        slots: Slots,
        carry: Mapping[str, Array],
        resets: bool = True,
    ) -> None:
        """The recurrence over the steps of a table."""
        stage, inputs = self.programs.loop(self.mode), self.user | streams.places()
        self.run(stage, self.call.parameters, inputs, outputs, table, slots, carry, self.restart, self.call.resets if resets else None)

    def prologue_block(self, low: int, high: int) -> Block:
        return self.programs.prologue(self.mode).stored.allocate(low, high, self.padded, self.dtype)

    def finals(self, carry: Mapping[str, Array]) -> dict[str, Array]:
        return {name: carry[name][:, : self.sizes[dim]] for name, dim in self.states.items()}


class ForwardRun(_Run):
    """One forward pass."""

    def run_all(self) -> tuple[Array | None, dict[str, Array], dict[str, Array], list[Array]]:
        """Output, gates, final states, and what the gradient needs back."""
        save, steps = self.call.save, self.steps
        loop = self.programs.loop(self.mode)
        dims = {name: loop.program.nodes[index].dim for name, index in loop.program.outputs.items()}
        results = {name: aligned((steps.rows, self.sizes[dims[name]]), self.dtype) for name in self.programs.results(self.mode)}
        places = {name: user_place(array) for name, array in results.items()}
        carry = self.carry(self.call.states)
        store, keep = save == "store", save in ("store", "recompute")
        block = loop.stored.allocate(0, steps.rows if store else 0, self.padded, self.dtype)
        whole = self.prologue_block(0, steps.rows) if store and self.programs.kept_streams(self.mode) else None
        slots = self.packed_slots(0, steps.rows) if keep else self.swap_slots()
        snapshots: list[Array] = []
        for segment in self.segments(save):
            low, high = steps.span(segment)
            streams = whole or self.prologue_block(low, high)
            self.prologue(low, high, streams)
            if save == "checkpoint":
                snapshots += [carry[name].copy() for name in self.states]
            here = block if store else loop.stored.allocate(low, high, self.padded, self.dtype)
            table = steps.table(segment, "packed" if keep else "swap")
            self.loop(table, streams, places | here.places(), slots, carry)
        saved = [block.buffer, *slots.arrays.values()] if store else [*slots.arrays.values()] if keep else snapshots
        return results.pop("output", None), results, self.finals(carry), saved + ([whole.buffer] if whole else [])


class BackwardRun(_Run):
    """One backward pass."""

    def run_all(
        self,
        saved: list[Array],
        upstream: Mapping[str, Array | None],
        d_states: Mapping[str, Array | None],
        wanted: frozenset[str],
        into: Mapping[str, Array],
        needs_parameters: bool,
    ) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array], dict[str, Array]]:
        """Gradients of inputs, parameters, initial states and restart states."""
        steps, save = self.steps, self.call.save
        self.wanted, self.needs_parameters = wanted, needs_parameters
        self.d_inputs = {v.name: np.zeros((steps.rows, self.sizes[v.dim]), self.dtype) for v in self.programs.program.inputs if v.name in wanted}
        self.d_parameters = self.parameter_gradients(into)
        self.sums: dict[str, Array] = {}
        d_carry = self.carry(d_states)
        self.d_restart = {name: self.rows_of(steps.batch, dim, None) for name, dim in self.states.items()} if self.call.resets is not None else {}
        swap = self.swap_slots()
        segments = self.segments(save)
        for number in range(len(segments) - 1, -1, -1):
            low, high = steps.span(segments[number])
            forward, slots = self.remember(saved, segments[number], number, low, high)
            self.segment_backward(segments[number], low, high, forward, slots, upstream, swap, d_carry)
        self.finish_sums()
        restart = {name: rows.sum(0)[: self.sizes[self.states[name]]] for name, rows in self.d_restart.items()}
        return self.d_inputs, self.d_parameters, self.finals(d_carry), restart

    def parameter_gradients(self, into: Mapping[str, Array]) -> dict[str, Array]:
        if not self.needs_parameters:
            return {}
        return {
            p.name: into[p.name] if p.name in into else np.zeros(tuple(self.sizes[dim] for dim in p.shape), self.dtype)
            for p in self.programs.program.parameters
        }

    # --- what the forward pass had -------------------------------------------------------------------------------------------
    def remember(self, saved: list[Array], segment: slice, number: int, low: int, high: int) -> tuple[dict[str, Place], Slots]:
        """Places of everything the forward pass computed in a segment, and the states before each step: kept, or computed again."""
        save, count = self.call.save, len(self.states)
        loop = self.programs.loop(self.mode)
        if save == "store":
            block = loop.stored.over(saved[0], self.padded)
            slots = Slots(dict(zip(self.states, saved[1 : 1 + count], strict=True)), 0)
            if self.programs.kept_streams(self.mode):
                return block.places() | self.programs.prologue(self.mode).stored.over(saved[1 + count], self.padded).places(), slots
            return block.places(), slots
        streams, block = self.prologue_block(low, high), loop.stored.allocate(low, high, self.padded, self.dtype)
        self.prologue(low, high, streams)
        results = loop.program.outputs
        ignored = {
            name: aligned((high - low, self.sizes[loop.program.nodes[results[name]].dim]), self.dtype) for name in self.programs.results(self.mode)
        }
        self.keep(streams)
        self.keep(block)
        outputs = block.places() | {name: Slots({name: array}, low).place(name) for name, array in ignored.items()}
        if save == "recompute":
            slots = Slots(dict(zip(self.states, saved[:count], strict=True)), 0)
            waste = {name: aligned((BLOCK_ROWS, self.padded[dim]), self.dtype) for name, dim in self.states.items()}
            self.loop(block_table(low, high, BLOCK_ROWS), streams, outputs, slots, waste, resets=False)
        else:
            slots = self.packed_slots(low, high)
            carry = dict(zip(self.states, (s.copy() for s in saved[number * count : (number + 1) * count]), strict=True))
            self.loop(self.steps.table(segment, "packed"), streams, outputs, slots, carry)
        return block.places() | streams.places(), slots

    # --- one segment -----------------------------------------------------------------------------------------------------------
    def segment_backward(
        self,
        segment: slice,
        low: int,
        high: int,
        forward: Mapping[str, Place],
        slots: Slots,
        upstream: Mapping[str, Array | None],
        swap: Slots,
        d_carry: Mapping[str, Array],
    ) -> None:
        gradient, stage = self.programs.loop_gradient(self.mode), self.programs.loop_backward(self.mode)
        known = self.user | dict(forward) | {name: slots.place(name) for name in self.states}
        known |= {name: forward[f"saved:{name}"] for name, _ in gradient.saved}
        known |= {name: self.upstream_place(upstream.get(output), stage, name) for output, name in gradient.upstream.items()}
        made = self.gradient_stage(stage, gradient, known, low, high, self.steps.table(segment, "swap", backward=True), swap, d_carry)
        places = known | made
        self.matrix_gradients(gradient, places, low, high)
        pro, pro_stage = self.programs.prologue_gradient(self.mode), self.programs.prologue_backward(self.mode, self.wanted)
        known = self.user | {name: forward[self.programs.prologue_column(self.mode, name)] for name, _ in pro.saved}
        known |= {pro.upstream[stream]: places[gradient.input_gradients[stream]] for stream in pro.upstream}
        made = self.gradient_stage(pro_stage, pro, known, low, high, block_table(low, high, BLOCK_ROWS))
        self.matrix_gradients(pro, known | made, low, high)
        for name, d_input in self.d_inputs.items():
            for found, where in ((gradient, places), (pro, known | made)):
                output = found.input_gradients.get(name)
                if output is not None and output not in pro_stage.user:
                    self.add_rows(d_input, where[output], low, high)

    def gradient_stage(
        self,
        stage: Stage,
        gradient: Gradient,
        known: Mapping[str, Place],
        low: int,
        high: int,
        table: NDArray[np.int64],
        swap: Slots | None = None,
        d_carry: Mapping[str, Array] | None = None,
    ) -> dict[str, Place]:
        """Run a gradient's kernel; the places of its outputs, aliases resolved."""
        block = stage.stored.allocate(low, high, self.padded, self.dtype)
        outputs = block.places()
        for name, array in self.d_inputs.items():
            output = gradient.input_gradients.get(name)
            if output in stage.user:
                outputs[output] = user_place(array)
        if not stage.idle:
            self.keep(block)
            slots = None if swap is None else Slots({f"d_{name}": array for name, array in swap.arrays.items()}, swap.low)
            carry = {f"d_{name}": array for name, array in (d_carry or {}).items()}
            restart = {f"d_{name}": array for name, array in self.d_restart.items()}
            self.run(stage, self.call.parameters, known, outputs, table, slots, carry, restart, self.call.resets if swap else None)
        return outputs | {name: known[source] for name, source in stage.aliases.items()}

    def upstream_place(self, value: Array | None, stage: Stage, name: str) -> Place:
        """Where an upstream gradient is; for none, one row of zeros that every row reads."""
        if value is not None:
            return user_place(value)
        dim = next((v.dim for v in stage.program.inputs if v.name == name), None)
        zeros = self.keep_array(np.zeros(self.padded[dim] if dim else 1, self.dtype))
        return Place(user_place(zeros[None]).base, 0)

    # --- sums over rows ----------------------------------------------------------------------------------------------------------
    def matrix_gradients(self, gradient: Gradient, places: Mapping[str, Place], low: int, high: int) -> None:
        if not self.needs_parameters:
            return
        for found in gradient.matrix_gradients:
            left, right = (found.operand, found.adjoint) if found.transposed else (found.adjoint, found.operand)
            self.outer(self.d_parameters[found.matrix], places[left], places[right], low, high)
        for name, output in (*gradient.vector_gradients.items(), *gradient.scalar_gradients.items()):
            parameter = self.programs.program.parameter(name)
            dim = parameter.shape[0] if parameter.shape else self.dim_of(gradient, output)
            if name not in self.sums:
                self.sums[name] = np.zeros(self.padded[dim], self.dtype)
            self.column_sum(self.sums[name], places[output], low, high)

    def dim_of(self, gradient: Gradient, output: str) -> str:
        return gradient.program.nodes[gradient.program.outputs[output]].dim

    def finish_sums(self) -> None:
        for name, total in self.sums.items():
            target = self.d_parameters[name]
            if target.ndim:
                target += total[: target.shape[0]]
            else:
                pro, loop = self.programs.prologue_gradient(self.mode), self.programs.loop_gradient(self.mode)
                gradient = pro if name in pro.scalar_gradients else loop
                target += total[: self.sizes[self.dim_of(gradient, gradient.scalar_gradients[name])]].sum()
