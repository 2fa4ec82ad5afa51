"""Walks a layer's time in segments; the forward run.

A run is made for sizes, steps and options, and used again for every call that has the same: its tables, packed weights and work buffers stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, Block, Place, user_place
from grus.compiler.execution import Bound, Sizes, Slots, Walk
from grus.compiler.native.kernels import aligned
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Mode, Stage
from grus.compiler.steps import Steps, block_table
from grus.errors import ShapeError

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


class Run:
    """What forward and backward share: sizes, bound kernels, and how to run a segment forward."""

    def __init__(self, dtype: np.dtype[Any], target: Target, programs: CellPrograms, shape: Shape, bind: Callable[[Stage, Sizes], Bound]) -> None:
        self.dtype, self.programs, self.shape, self.mode, self.steps = dtype, programs, shape, shape.mode, shape.steps
        self.sizes = Sizes(dtype, target, dict(shape.sizes), shape.threads)
        self.units, self.padded = self.sizes.units, self.sizes.padded
        self.states = {v.name: v.dim for v in programs.program.states}
        self._bind = bind
        self.bounds: list[Bound] = []
        self.loop = self.bound(programs.loop(self.mode))
        prologue = programs.prologue(self.mode)
        self.prologue = None if prologue.idle else self.bound(prologue)

    def bound(self, stage: Stage) -> Bound:
        """The stage's kernel for this run's sizes."""
        self.bounds.append(self._bind(stage, self.sizes))
        return self.bounds[-1]

    @cached_property
    def bytes(self) -> int:
        """About how much memory an idle run keeps: packed weights, and a segment of everything that is stored."""
        stored = sum(bound.stage.stored.width(self.padded) for bound in self.bounds) + 2 * sum(self.padded[dim] for dim in self.states.values())
        return self.longest * stored * self.dtype.itemsize + sum(bound.bytes for bound in self.bounds)

    @cached_property
    def segments(self) -> list[Segment]:
        """The cuts of the sequence that forward and backward agree on."""
        save, steps, slots = self.shape.save, self.steps, "packed" if self.shape.save in ("store", "recompute") else "swap"
        if save == "checkpoint":
            rows = self.checkpoint_rows
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
    def checkpoint_rows(self) -> int:
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

    @cached_property
    def _expected(self) -> tuple[tuple[str, str, tuple[int, ...], str], ...]:
        """Every array of a call: of what kind, its name, its shape, and the shape in letters."""
        program, rows, batch = self.programs.program, self.steps.rows, self.steps.batch
        found = [("input", v.name, (rows, self.units[v.dim]), f"[N, {v.dim}]") for v in program.inputs]
        found += [("parameter", p.name, tuple(self.units[dim] for dim in p.shape), f"[{', '.join(p.shape)}]") for p in program.parameters]
        return (*found, *(("state", v.name, (batch, self.units[v.dim]), f"[B, {v.dim}]") for v in program.states))

    def check(self, groups: Mapping[str, Mapping[str, Array | None]]) -> None:
        """Refuse arrays of other shapes: the kernels would read or write beyond them."""
        for kind, name, shape, letters in self._expected:
            array = groups[kind].get(name) if kind in groups else None
            if array is not None and array.shape != shape:
                raise ShapeError(f"compiled cell: {kind} {name!r} must be {letters} = {list(shape)}, got {list(array.shape)}.")

    def saved_shapes(self) -> list[tuple[int, ...]]:
        """The arrays that a forward run keeps for its gradient, under this run's policy."""
        rows, batch = self.steps.rows, self.steps.batch
        padded = [self.padded[dim] for dim in self.states.values()]
        if self.shape.save == "checkpoint":
            return [(batch, width) for _ in self.segments for width in padded]
        found = [(rows, width) for width in padded]
        if self.shape.save == "store":
            stages = [self.loop.stage] + [self.programs.prologue(self.mode)] * self.programs.kept_streams(self.mode)
            found = [(rows, stage.stored.width(self.padded)) for stage in stages] + found
        return found

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
        restart = self.restart if self.shape.resets else None
        self.loop.run(walk, self.user | streams.places, outputs, slots, carry, restart, self.call.resets if resets else None)


class ForwardRun(Run):
    """Forward passes of one shape."""

    @cached_property
    def _streams(self) -> list[Block]:
        return self.blocks(self.programs.prologue(self.mode))

    @cached_property
    def _scrap(self) -> list[Block]:
        return self.blocks(self.loop.stage)

    def run(self, call: Call) -> tuple[Array | None, dict[str, Array], dict[str, Array], list[Array]]:
        """Output, gates, final states, and what the gradient needs back."""
        self.check({"input": call.inputs, "parameter": call.parameters, "state": call.states})
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
