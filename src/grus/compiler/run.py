"""Walks a layer's time in segments; the forward run.

A run is made for sizes, steps and options, and used again for every call that has the same: its tables, packed weights, work buffers and
the tape of its native calls stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.arguments import Parameters
from grus.compiler.blocks import Array, Place, Places, places_of
from grus.compiler.execution import Bound, Sizes, States, Walk
from grus.compiler.native.kernels import MOST_THREADS, NativeCall, address, aligned, product_functions
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Mode, Stage
from grus.compiler.steps import Steps, block_table
from grus.compiler.tape import Tape
from grus.errors import ShapeError

FORWARD_BYTES = 1 << 20  # streams of a segment: few enough to stay in the cache, many enough to make few calls
BACKWARD_BYTES = 3 << 20
LEAST_ROWS = 192  # rows of a segment: with fewer, adding to the weight gradients costs as much as computing them
BLOCK_ROWS = 96  # rows of a time-parallel block: with its operands it stays in the second-level cache
CACHE_LINE = 64
LEAST_WORK = 1 << 21  # multiplications that are worth a thread: about as long as it takes to wake one


@dataclass(frozen=True, eq=False)
class Shape:
    """What a run is made for; one object for equal ones (see ``shape_of``)."""

    sizes: tuple[tuple[str, int], ...]
    steps: Steps
    mode: Mode
    save: str
    threads: int
    resets: bool


def shape_of(
    sizes: tuple[tuple[str, int], ...], steps: Steps, sequence: bool, gates: bool, save: str, for_gradient: bool, threads: int, resets: bool
) -> Shape:
    """The shape of these; ``for_gradient`` is whether the forward pass keeps, or kept, what a gradient needs."""
    key = sizes, sequence, gates, save, for_gradient, threads, resets
    found = steps.shapes.get(key)
    if found is None:
        found = steps.shapes[key] = Shape(sizes, steps, Mode(sequence, gates, for_gradient), save, threads, resets)
    return found


@dataclass(slots=True)
class Call:
    """The arrays of one call, packed: inputs [N, D] contiguous; states [B, D] or None."""

    inputs: Mapping[str, Array]
    parameters: Parameters
    states: Mapping[str, Array | None]
    resets: NDArray[np.uint8] | None
    restart: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of steps and its packed rows [low, high), with the tables to walk them."""

    low: int
    high: int
    steps: Steps
    cut: slice
    slots: str  # how states stand in the forward table

    @cached_property
    def forward(self) -> Walk:
        return Walk.of(self.steps.table(self.cut, self.slots))

    @cached_property
    def backward(self) -> Walk:
        return Walk.of(self.steps.table(self.cut, "swap", backward=True))

    @cached_property
    def blocks(self) -> Walk:
        return Walk.of(block_table(self.low, self.high, BLOCK_ROWS))


class Run(ABC):
    """What forward and backward share: sizes, bound kernels, and how to run a segment forward."""

    def __init__(self, dtype: np.dtype[Any], target: Target, programs: CellPrograms, shape: Shape, bind: Callable[[Stage, Sizes], Bound]) -> None:
        self.dtype, self.target, self.programs, self.shape, self.mode, self.steps = dtype, target, programs, shape, shape.mode, shape.steps
        self.sizes = Sizes(dtype, target, dict(shape.sizes), self._threads(dict(shape.sizes)))
        self.units, self.padded = self.sizes.units, self.sizes.padded
        self.states = {v.name: v.dim for v in programs.program.states}
        self.rows = product_functions(dtype.name, target)
        self._bind = bind
        self.bounds: list[Bound] = []
        self.loop = self.bound(programs.loop(self.mode))
        prologue = programs.prologue(self.mode)
        self.prologue = None if prologue.idle else self.bound(prologue)

    def _threads(self, sizes: Mapping[str, int]) -> int:
        """As many threads as were asked for, unless there is too little work to share."""
        work = sum(sizes[p.shape[0]] * sizes[p.shape[1]] for p in self.programs.program.parameters if p.kind == "matrix") * self.steps.rows
        return max(1, min(self.shape.threads, work // LEAST_WORK, MOST_THREADS + 1))

    def bound(self, stage: Stage) -> Bound:
        """The stage's kernel for this run's sizes, with all the scratch that it will need."""
        bound = self._bind(stage, self.sizes)
        recurrent = bool(stage.program.states)
        bound.reserve(max(self.steps.batch, BLOCK_ROWS) if recurrent else BLOCK_ROWS, 1 if recurrent else self.sizes.threads)
        self.bounds.append(bound)
        return bound

    @cached_property
    def bytes(self) -> int:
        """About how much memory an idle run keeps: packed weights, a segment of everything that is stored, and the calls."""
        stored = sum(bound.stage.stored.width(self.padded) for bound in self.bounds) + 2 * sum(self.padded[dim] for dim in self.states.values())
        tapes = sum(tape.bytes for tape in self.tapes())
        return self.longest * stored * self.dtype.itemsize + sum(bound.bytes for bound in self.bounds) + tapes

    @abstractmethod
    def tapes(self) -> Sequence[Tape]:
        """What was recorded so far."""

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
        return [Segment(*steps.span(cut), steps, cut, slots) for cut in steps.segments(rows)]

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

    # --- memory ----------------------------------------------------------------------------------------------------------------
    @cached_property
    def swap(self) -> dict[str, Array]:
        """Two slots of B rows for every state."""
        return {name: aligned((2 * self.steps.batch, self.padded[dim]), self.dtype) for name, dim in self.states.items()}

    @cached_property
    def restart(self) -> dict[str, Array]:
        """Rows that a restarted state takes."""
        return {name: aligned((self.steps.batch, self.padded[dim]), self.dtype) for name, dim in self.states.items()}

    def buffer(self, stage: Stage) -> Array:
        """Room for what a stage stores of a segment."""
        return aligned((self.longest, stage.stored.width(self.padded)), self.dtype)

    def stored(self, stage: Stage, base: int, low: int = 0) -> Places:
        """Where a stage stores its values in a buffer."""
        return stage.stored.places(base, self.padded, self.dtype.itemsize, low)

    @cached_property
    def saved(self) -> list[Place]:
        """What a forward run keeps for its gradient under this run's policy, as places in a buffer at address 0.

        First, with "store", what the loop stores and, where it is needed, what the prologue does; then every state: before each step, or
        with "checkpoint" at the start of each segment.
        """
        return self._saved[0]

    @property
    def saved_size(self) -> int:
        """The elements of that buffer."""
        return self._saved[1]

    @cached_property
    def _saved(self) -> tuple[list[Place], int]:
        rows = len(self.segments) * self.steps.batch if self.shape.save == "checkpoint" else self.steps.rows
        widths: list[int] = []
        if self.shape.save == "store":
            stages = [self.loop.stage] + [self.programs.prologue(self.mode)] * self.programs.kept_streams(self.mode)
            widths += [stage.stored.width(self.padded) for stage in stages]
        if self.shape.save != "none":
            widths += [self.padded[dim] for dim in self.states.values()]
        size, at, found = self.dtype.itemsize, 0, list[Place]()
        for width in widths:
            found.append(Place(at, width))
            at += -(-rows * width * size // CACHE_LINE) * CACHE_LINE
        return found, at // size

    def open_saved(self, tape: Tape) -> list[Place]:
        """The same in the buffer of a call."""
        base = tape.stand_in("saved") if self.saved else 0
        return [Place(base + at, width) for at, width in self.saved]

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

    # --- a call's arrays ---------------------------------------------------------------------------------------------------------
    @cached_property
    def _expected(self) -> tuple[tuple[str, str, tuple[int, ...], str], ...]:
        """Every array of a call: of what kind, its name, its shape, and the shape in letters."""
        program, rows, batch = self.programs.program, self.steps.rows, self.steps.batch
        found = [("input", v.name, (rows, self.units[v.dim]), f"[N, {v.dim}]") for v in program.inputs]
        return (*found, *(("state", v.name, (batch, self.units[v.dim]), f"[B, {v.dim}]") for v in program.states))

    def check(self, call: Call, states: Mapping[str, Array | None]) -> None:
        """Refuse arrays of other shapes: the kernels would read or write beyond them."""
        call.parameters.check(self.units)
        for kind, name, shape, letters in self._expected:
            array = call.inputs[name] if kind == "input" else states.get(name)
            if array is not None and array.shape != shape:
                raise ShapeError(f"compiled cell: {kind} {name!r} must be {letters} = {list(shape)}, got {list(array.shape)}.")

    def open_inputs(self, tape: Tape) -> Places:
        """The places of the caller's inputs."""
        return {v.name: Place(tape.stand_in(f"input {v.name}"), self.units[v.dim]) for v in self.programs.program.inputs}

    def open_parameters(self, tape: Tape) -> Places:
        """The places of the caller's parameters."""
        return {p.name: Place(tape.stand_in(f"parameter {p.name}"), tape.stand_in(f"stride {p.name}")) for p in self.programs.program.parameters}

    def given(self, call: Call) -> dict[str, int]:
        """Where a call's inputs, parameters and resets are."""
        found = call.parameters.found.copy()
        for name, array in call.inputs.items():
            found[f"input {name}"] = address(array)
        if call.resets is not None:
            found["resets"] = address(call.resets)
            for name, dim in self.states.items():
                self._fill(self.restart[name], call.restart.get(name), dim)
        return found

    # --- recording ---------------------------------------------------------------------------------------------------------------
    def record_states(self, tape: Tape, slots: Places, carry: Mapping[str, int]) -> States:
        """States of the loop that restart where the call says so."""
        if not self.shape.resets:
            return States(slots, carry)
        return States(slots, carry, {name: address(rows) for name, rows in self.restart.items()}, tape.stand_in("resets"))

    def record_forward(self, tape: Tape, segment: Segment, walk: Walk, places: Places, streams: Places, states: States) -> None:
        """A segment's prologue and recurrence; ``places`` are the inputs' and the outputs'."""
        if self.prologue is not None:
            tape.add([[call] for call in self.prologue.run(segment.blocks, places, streams)])
        tape.add([[call] for call in self.loop.run(walk, places | streams, places, states, tape.counter)])

    def record_load(self, tape: Tape, bounds: Sequence[Bound | None]) -> None:
        """Take the call's parameters."""
        parameters = self.open_parameters(tape)
        tape.spread([call for bound in bounds if bound is not None for call in bound.load(parameters)])

    def copy_rows(self, target: Place, source: Place, units: int, rows: int) -> NativeCall:
        """Rows from one place to another."""
        return self.rows["copy_rows"].call(*target, *source, units, rows)


class ForwardRun(Run):
    """Forward passes of one shape."""

    @cached_property
    def tape(self) -> Tape:
        """Everything that a pass does."""
        tape, save = Tape(self.target, self.sizes.threads), self.shape.save
        self.record_load(tape, (self.prologue, self.loop))
        loop, early = self.loop.stage, self.programs.prologue(self.mode)
        results = {name: Place(tape.stand_in(f"result {name}"), tape.stand_in(f"stride of {name}")) for name in self.widths}
        saved = self.open_saved(tape)
        carry = {name: tape.stand_in(f"state {name}") for name in self.states}
        slots = places_of(self.swap) if save in ("none", "checkpoint") else dict(zip(self.states, saved[-len(self.states) :], strict=True))
        whole = save == "store" and self.programs.kept_streams(self.mode)
        self._buffers = self.buffer(early), self.buffer(loop)
        for number, segment in enumerate(self.segments):
            streams = self.stored(early, saved[1].base) if whole else self.stored(early, address(self._buffers[0]), segment.low)
            block = self.stored(loop, saved[0].base) if save == "store" else self.stored(loop, address(self._buffers[1]), segment.low)
            if save == "checkpoint":
                tape.spread([self._snapshot(number, place, carry[name]) for name, place in zip(self.states, saved, strict=True)])
            states = self.record_states(tape, slots, carry)
            self.record_forward(tape, segment, segment.forward, self.open_inputs(tape) | results | block, streams, states)
        return tape

    @cached_property
    def widths(self) -> dict[str, int]:
        """The units of every result."""
        loop = self.loop.stage.program
        return {name: self.units[loop.nodes[loop.outputs[name]].dim] for name in self.programs.results(self.mode)}

    def _snapshot(self, number: int, place: Place, carry: int) -> NativeCall:
        batch, width = self.steps.batch, place.ld
        target = Place(place.base + number * batch * width * self.dtype.itemsize, width)
        return self.copy_rows(target, Place(carry, width), width, batch)

    def tapes(self) -> Sequence[Tape]:
        return (self.tape,)

    def run(self, call: Call, out: Array | None) -> tuple[Array | None, dict[str, Array], dict[str, Array], list[Array]]:
        """Output, gates, final states, and what the gradient needs back; ``out`` [N, D] is where the output goes."""
        self.check(call, call.states)
        if out is not None and out.shape[1] != self.widths["output"]:
            raise ShapeError(f"compiled cell: out must be [N, D] = {[len(out), self.widths['output']]}, got {list(out.shape)}.")
        tape, found, saved = self.tape, self.given(call), list[Array]()
        if self.saved:
            saved.append(aligned((self.saved_size,), self.dtype))
            found["saved"] = address(saved[0])
        results = {} if out is None else {"output": out}
        results |= {name: aligned((self.steps.rows, width), self.dtype) for name, width in self.widths.items() if name not in results}
        for name, array in results.items():
            found[f"result {name}"] = address(array)
            found[f"stride of {name}"] = array.strides[0] // self.dtype.itemsize
        carry = self.carry(call.states)
        for name, array in carry.items():
            found[f"state {name}"] = address(array)
        tape.run(found)
        return results.pop("output", None), results, self.finals(carry), saved
