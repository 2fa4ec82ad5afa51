"""Walks a layer's time in segments: the forward run, and the backward run with what its saving policy kept.

A run is made for sizes, steps and options, and used again for every call that has the same: its tables, packed weights and work buffers stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, Block, Place, user_place
from grus.compiler.differentiate import Gradient
from grus.compiler.execution import Bound, Product, RowSums, Sizes, Slots, Walk, rows_at
from grus.compiler.native.kernels import address, aligned
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Mode, Stage
from grus.compiler.steps import Steps, block_table

FORWARD_BYTES = 1 << 20  # streams of a segment: few enough to stay in the cache, many enough to make few calls
BACKWARD_BYTES = 3 << 20
LEAST_ROWS = 192  # rows of a segment: with fewer, adding to the weight gradients costs as much as computing them
BLOCK_ROWS = 96  # rows of a time-parallel block: with its operands it stays in the second-level cache


@dataclass(frozen=True)
class Shape:
    """What a run is made for."""

    sizes: tuple[tuple[str, int], ...]
    steps: Steps
    mode: Mode
    save: str
    threads: int
    resets: bool


@dataclass(frozen=True, eq=False)
class Call:
    """The arrays of one call, packed: inputs [N, D] contiguous; states [B, D] or None."""

    inputs: Mapping[str, Array]
    parameters: Mapping[str, Array]
    states: Mapping[str, Array | None]
    resets: NDArray[np.uint8] | None
    restart: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of steps and its packed rows [low, high), with the tables to walk them."""

    low: int
    high: int
    forward: Walk
    backward: Walk
    blocks: Walk


class _Run:
    """What forward and backward share: sizes, bound kernels, and how to run a segment forward."""

    def __init__(self, dtype: np.dtype[Any], target: Target, programs: CellPrograms, shape: Shape) -> None:
        self.dtype, self.programs, self.shape, self.mode, self.steps = dtype, programs, shape, shape.mode, shape.steps
        self.sizes = Sizes(dtype, target, dict(shape.sizes), shape.threads)
        self.units, self.padded = self.sizes.units, self.sizes.padded
        self.states = {v.name: v.dim for v in programs.program.states}
        self.loop = Bound(programs.loop(self.mode), self.sizes)
        prologue = programs.prologue(self.mode)
        self.prologue = None if prologue.idle else Bound(prologue, self.sizes)

    @cached_property
    def segments(self) -> list[Segment]:
        """The cuts of the sequence that forward and backward agree on."""
        save, steps, slots = self.shape.save, self.steps, "packed" if self.shape.save in ("store", "recompute") else "swap"
        if save == "checkpoint":
            rows = self._checkpoint_rows
        elif save == "none":
            rows = self._rows_within(FORWARD_BYTES, self.programs.prologue(self.mode))
        else:
            rows = self._rows_within(BACKWARD_BYTES, self.programs.loop_backward(self.mode))
        return [
            Segment(
                *steps.span(cut),
                Walk.of(steps.table(cut, slots)),
                Walk.of(steps.table(cut, "swap", backward=True)),
                Walk.of(block_table(*steps.span(cut), BLOCK_ROWS)),
            )
            for cut in steps.segments(rows)
        ]

    @property
    def _checkpoint_rows(self) -> int:
        """Packed rows between snapshots: T / k snapshots of the states weigh as much as k steps of everything, about 16 times a state."""
        return max(LEAST_ROWS, max(1, isqrt(self.steps.count // 16)) * self.steps.batch)

    def _rows_within(self, budget: int, stage: Stage) -> int:
        return max(LEAST_ROWS, budget // max(1, stage.stored.width(self.padded) * self.dtype.itemsize))

    @cached_property
    def longest(self) -> int:
        """The most packed rows of a segment."""
        return max((segment.high - segment.low for segment in self.segments), default=0)

    @cached_property
    def swap(self) -> Slots:
        """Two slots of B rows for every state."""
        return Slots({name: aligned((2 * self.steps.batch, self.padded[dim]), self.dtype) for name, dim in self.states.items()}, 0)

    @cached_property
    def restart(self) -> dict[str, Array]:
        """Rows that a restarted state takes."""
        return {name: aligned((self.steps.batch, self.padded[dim]), self.dtype) for name, dim in self.states.items()}

    def start(self, call: Call) -> None:
        """Take a call's parameters and places."""
        self.call = call
        for bound in (self.prologue, self.loop):
            if bound is not None:
                bound.load(call.parameters)
        self.user = {name: user_place(array) for name, array in call.inputs.items()}
        if call.resets is not None:
            for name, dim in self.states.items():
                self._fill(self.restart[name], call.restart.get(name), dim)

    def finish(self) -> None:
        """Let go of the call's arrays."""
        del self.call, self.user

    def _fill(self, rows: Array, value: Array | None, dim: str) -> Array:
        units = self.units[dim]
        if value is None:
            rows[:] = 0
        else:
            rows[:, :units] = value
            rows[:, units:] = 0
        return rows

    def carry(self, values: Mapping[str, Array | None]) -> dict[str, Array]:
        """Fresh rows that a state starts from and ends in."""
        return {n: self._fill(aligned((self.steps.batch, self.padded[dim]), self.dtype), values.get(n), dim) for n, dim in self.states.items()}

    def finals(self, carry: Mapping[str, Array]) -> dict[str, Array]:
        return {name: carry[name][:, : self.units[dim]] for name, dim in self.states.items()}

    def blocks(self, stage: Stage) -> list[Block]:
        """One buffer for what a stage stores, as a block of each segment."""
        buffer = self.forward_blocks(stage, 0, self.longest).buffer
        return [stage.stored.over(buffer, self.padded, segment.low) for segment in self.segments]

    def forward_blocks(self, stage: Stage, low: int, high: int) -> Block:
        return stage.stored.allocate(low, high, self.padded, self.dtype)

    def run_prologue(self, segment: Segment, streams: Block) -> None:
        """Everything that does not depend on the state."""
        if self.prologue is not None:
            self.prologue.run(segment.blocks, self.user, streams.places)

    def run_loop(
        self, walk: Walk, streams: Block, outputs: Mapping[str, Place], slots: Slots, carry: Mapping[str, Array], resets: bool = True
    ) -> None:
        """The recurrence."""
        self.loop.run(walk, self.user | streams.places, outputs, slots, carry, self.restart if resets and self.shape.resets else None, self.call.resets if resets else None)


class ForwardRun(_Run):
    """Forward passes of one shape."""

    @cached_property
    def _streams(self) -> list[Block]:
        return self.blocks(self.programs.prologue(self.mode))

    @cached_property
    def _scrap(self) -> list[Block]:
        return self.blocks(self.loop.stage)

    def run(self, call: Call) -> tuple[Array | None, dict[str, Array], dict[str, Array], list[Array]]:
        """Output, gates, final states, and what the gradient needs back."""
        self.start(call)
        save, rows, loop = self.shape.save, self.steps.rows, self.loop.stage
        dims = {name: loop.program.nodes[index].dim for name, index in loop.program.outputs.items()}
        results = {name: aligned((rows, self.units[dims[name]]), self.dtype) for name in self.programs.results(self.mode)}
        places = {name: user_place(array) for name, array in results.items()}
        carry = self.carry(call.states)
        store, keep = save == "store", save in ("store", "recompute")
        block = self.forward_blocks(loop, 0, rows) if store else None
        early = self.programs.prologue(self.mode)
        whole = self.forward_blocks(early, 0, rows) if store and self.programs.kept_streams(self.mode) else None
        slots = Slots({n: aligned((rows, self.padded[dim]), self.dtype) for n, dim in self.states.items()}, 0) if keep else self.swap
        snapshots: list[Array] = []
        for number, segment in enumerate(self.segments):
            streams = whole or self._streams[number]
            self.run_prologue(segment, streams)
            if save == "checkpoint":
                snapshots += [carry[name].copy() for name in self.states]
            self.run_loop(segment.forward, streams, places | (block or self._scrap[number]).places, slots, carry)
        kept = [*slots.arrays.values()] if keep else snapshots
        saved = [found.buffer for found in (block, whole) if found is not None] + kept
        self.finish()
        return results.pop("output", None), results, self.finals(carry), saved if save != "none" else []


@dataclass(frozen=True, eq=False)
class Upstream:
    """What a backward pass is given: gradients of outputs [N, D] and of final states, and which gradients are wanted."""

    outputs: Mapping[str, Array | None]
    states: Mapping[str, Array | None]
    inputs: frozenset[str]
    parameters: bool
    into: Mapping[str, Array]


class BackwardRun(_Run):
    """Backward passes of one shape that want the gradients of the same inputs."""

    def __init__(self, dtype: np.dtype[Any], target: Target, programs: CellPrograms, shape: Shape, wanted: frozenset[str]) -> None:
        super().__init__(dtype, target, programs, shape)
        self.wanted = wanted
        self.sums = RowSums(self.sizes, programs.bf16)
        self.gradient, self.early = programs.loop_gradient(self.mode), programs.prologue_gradient(self.mode)
        self.loop_backward = Bound(programs.loop_backward(self.mode), self.sizes)
        stage = programs.prologue_backward(self.mode, wanted)
        self.prologue_stage = stage
        self.prologue_backward = None if stage.idle else Bound(stage, self.sizes)
        self.zeros = aligned((max(self.padded.values()),), dtype)
        self.zeros[:] = 0

    def run(self, call: Call, saved: list[Array], upstream: Upstream) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array], dict[str, Array]]:
        """Gradients of inputs, parameters, initial states and restart states."""
        self.start(call)
        self.upstream = upstream
        steps, program = self.steps, self.programs.program
        dims = {v.name: v.dim for v in program.inputs}
        written = {name for name in self.wanted if self.early.input_gradients.get(name) in self.prologue_stage.user}
        self.d_inputs = {name: aligned((steps.rows, self.units[dims[name]]), self.dtype) for name in self.wanted}
        for name in self.wanted - written:
            self.d_inputs[name][:] = 0
        self.d_parameters = self._parameter_gradients() if upstream.parameters else {}
        size = self.dtype.itemsize
        self.targets = {n: (address(d), d.strides[0] // size, *d.shape) for n, d in self.d_parameters.items() if d.ndim == 2}
        self.totals: dict[str, Array] = {}
        d_carry = self.carry(upstream.states)
        self.d_restart = self.carry({}) if self.shape.resets else {}
        for number in range(len(self.segments) - 1, -1, -1):
            segment = self.segments[number]
            forward, slots = self._remember(saved, segment, number)
            self._segment(segment, number, forward, slots, d_carry)
        self._finish_totals()
        restart = {name: rows.sum(0)[: self.units[self.states[name]]] for name, rows in self.d_restart.items()}
        results = self.d_inputs, self.d_parameters, self.finals(d_carry), restart
        self.finish()
        del self.upstream, self.d_inputs, self.d_parameters, self.targets, self.totals, self.d_restart
        return results

    def start(self, call: Call) -> None:
        """Take a call's parameters; the forward kernels only need them to run again."""
        if self.shape.save != "store":
            super().start(call)
        else:
            self.call = call
            self.user = {name: user_place(array) for name, array in call.inputs.items()}
        self.loop_backward.load(call.parameters)
        if self.prologue_backward is not None:
            self.prologue_backward.load(call.parameters)

    def _parameter_gradients(self) -> dict[str, Array]:
        """Zeroed arrays; matrices of one width lie one after another, so that their sums can be taken at once."""
        found: dict[str, Array] = {}
        widths: dict[int, list[tuple[str, int]]] = {}
        for parameter in self.programs.program.parameters:
            shape = tuple(self.units[dim] for dim in parameter.shape)
            if parameter.name in self.upstream.into:
                found[parameter.name] = self.upstream.into[parameter.name]
            elif len(shape) == 2:
                widths.setdefault(shape[1], []).append((parameter.name, shape[0]))
            else:
                found[parameter.name] = np.zeros(shape, self.dtype)
        for width, members in widths.items():
            whole = np.zeros((sum(rows for _, rows in members), width), self.dtype)
            first = 0
            for name, rows in members:
                found[name] = whole[first : first + rows]
                first += rows
        return found

    # --- what the forward pass had -------------------------------------------------------------------------------------------
    @cached_property
    def _again(self) -> tuple[list[Block], list[Block], dict[str, Array], dict[str, Array]]:
        """Buffers for running a segment again: streams, stored values, ignored results, states."""
        loop = self.loop.stage
        nodes, outputs = loop.program.nodes, loop.program.outputs
        ignored = {name: aligned((self.longest, self.units[nodes[outputs[name]].dim]), self.dtype) for name in self.programs.results(self.mode)}
        slots = {name: aligned((max(self.longest, BLOCK_ROWS), self.padded[dim]), self.dtype) for name, dim in self.states.items()}
        return self.blocks(self.programs.prologue(self.mode)), self.blocks(loop), ignored, slots

    def _remember(self, saved: list[Array], segment: Segment, number: int) -> tuple[dict[str, Place], Slots]:
        """Places of everything the forward pass computed in a segment, and the states before each step: kept, or computed again."""
        save, count, loop = self.shape.save, len(self.states), self.programs.loop(self.mode)
        early = self.programs.prologue(self.mode)
        if save == "store":
            places = loop.stored.over(saved[0], self.padded).places
            if self.programs.kept_streams(self.mode):
                places |= early.stored.over(saved[1], self.padded).places
            return places, Slots(dict(zip(self.states, saved[len(saved) - count :], strict=True)), 0)
        all_streams, all_blocks, ignored, arrays = self._again
        streams, block = all_streams[number], all_blocks[number]
        outputs = block.places | Slots(ignored, segment.low).places
        self.run_prologue(segment, streams)
        if save == "recompute":
            slots = Slots(dict(zip(self.states, saved, strict=True)), 0)
            self.run_loop(segment.blocks, streams, outputs, slots, arrays, resets=False)
        else:
            slots = Slots(arrays, segment.low)
            carry = dict(zip(self.states, (s.copy() for s in saved[number * count : (number + 1) * count]), strict=True))
            self.run_loop(self._packed_walks[number], streams, outputs, slots, carry)
        return block.places | streams.places, slots

    @cached_property
    def _packed_walks(self) -> list[Walk]:
        """The tables of the segments that keep every state before its step."""
        return [Walk.of(self.steps.table(cut, "packed")) for cut in self.steps.segments(self._checkpoint_rows)]

    @cached_property
    def d_swap(self) -> Slots:
        """Two slots of B rows for every state's gradient."""
        return Slots({f"d_{name}": array for name, array in self.swap.arrays.items()}, 0)

    # --- one segment -----------------------------------------------------------------------------------------------------------
    @cached_property
    def _adjoints(self) -> tuple[list[Block], list[Block]]:
        return self.blocks(self.loop_backward.stage), self.blocks(self.prologue_stage)

    def _segment(self, segment: Segment, number: int, forward: Mapping[str, Place], slots: Slots, d_carry: Mapping[str, Array]) -> None:
        gradient, early, outputs = self.gradient, self.early, self.upstream.outputs
        known = self.user | dict(forward) | slots.places
        known |= {name: forward[f"saved:{name}"] for name, _ in gradient.saved}
        known |= {name: self._upstream_place(outputs.get(output)) for output, name in gradient.upstream.items()}
        stage = self.loop_backward.stage
        made = self._adjoints[0][number].places
        self.loop_backward.run(
            segment.backward,
            known,
            made,
            self.d_swap,
            {f"d_{name}": array for name, array in d_carry.items()},
            {f"d_{name}": array for name, array in self.d_restart.items()},
            self.call.resets,
        )
        places = known | made | {name: known[source] for name, source in stage.aliases.items()}
        self._add_sums(gradient, places, segment)
        known = self.user | {name: forward[self.programs.prologue_column(self.mode, name)] for name, _ in early.saved}
        known |= {name: places[gradient.input_gradients[stream]] for stream, name in early.upstream.items()}
        made = self._adjoints[1][number].places | {early.input_gradients[n]: user_place(d) for n, d in self.d_inputs.items() if early.input_gradients.get(n) in self.prologue_stage.user}
        if self.prologue_backward is not None:
            self.prologue_backward.run(segment.blocks, known, made)
        early_places = known | made | {name: known[source] for name, source in self.prologue_stage.aliases.items()}
        self._add_sums(early, early_places, segment)
        for name, d_input in self.d_inputs.items():
            for found, where in ((gradient, places), (early, early_places)):
                output = found.input_gradients.get(name)
                if output is not None and not (found is early and output in self.prologue_stage.user):
                    d_input[segment.low : segment.high] += rows_at(where[output], segment.low, segment.high, d_input.shape[1], self.dtype)

    def _upstream_place(self, value: Array | None) -> Place:
        """Where an upstream gradient is; for none, one row of zeros that every row reads."""
        return Place(address(self.zeros), 0) if value is None else user_place(value)

    # --- sums over rows ----------------------------------------------------------------------------------------------------------
    def _add_sums(self, gradient: Gradient, places: Mapping[str, Place], segment: Segment) -> None:
        if not self.upstream.parameters:
            return
        products: list[Product] = []
        for found in gradient.matrix_gradients:
            left, right = (found.operand, found.adjoint) if found.transposed else (found.adjoint, found.operand)
            base, ld, units, inner = self.targets[found.matrix]
            at = places[left]
            last = products[-1] if products else None
            # Gates that lie side by side in every array are one product.
            if last and last.right == places[right] and last.follows(base, ld, at):
                products[-1] = Product(last.target, ld, last.units + units, inner, last.left, last.right)
            else:
                products.append(Product(base, ld, units, inner, at, places[right]))
        for product in products:
            self.sums.outer(product, segment.low, segment.high)
        for name, output in (*gradient.vector_gradients.items(), *gradient.scalar_gradients.items()):
            if name not in self.totals:
                self.totals[name] = np.zeros(self.padded[self._dim(gradient, output)], self.dtype)
            self.sums.columns(self.totals[name], places[output], segment.low, segment.high)

    def _dim(self, gradient: Gradient, output: str) -> str:
        return gradient.program.nodes[gradient.program.outputs[output]].dim

    def _finish_totals(self) -> None:
        for name, total in self.totals.items():
            target = self.d_parameters[name]
            if target.ndim:
                target += total[: target.shape[0]]
            else:
                gradient = self.early if name in self.early.scalar_gradients else self.gradient
                target += total[: self.units[self._dim(gradient, gradient.scalar_gradients[name])]].sum()

