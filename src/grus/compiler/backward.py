"""The backward run: reverse time segment by segment, with what the saving policy kept of the forward run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from grus.compiler.blocks import Array, Place, Places, places_of
from grus.compiler.differentiate import Gradient
from grus.compiler.execution import Bound, Product, RowSums, Sizes, States, Walk
from grus.compiler.native.kernels import NativeCall, address, aligned
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Stage
from grus.compiler.run import BLOCK_ROWS, Call, Run, Segment, Shape
from grus.compiler.tape import Tape
from grus.errors import DtypeError, ShapeError

Arrays = dict[str, Array]
Layout = tuple[tuple[str, int, int], ...] | None  # of the matrices' gradients: see _layout


@dataclass(frozen=True, eq=False)
class Upstream:
    """What a backward pass is given: gradients of outputs [N, D] and of final states, and which gradients are wanted."""

    outputs: Mapping[str, Array | None]
    states: Mapping[str, Array | None]
    inputs: frozenset[str]
    parameters: bool
    into: Mapping[str, Array]


class BackwardRun(Run):
    """Backward passes of one shape that want the gradients of the same inputs."""

    def __init__(
        self,
        dtype: np.dtype[Any],
        target: Target,
        programs: CellPrograms,
        shape: Shape,
        bind: Callable[[Stage, Sizes], Bound],
        wanted: frozenset[str],
    ) -> None:
        super().__init__(dtype, target, programs, shape, bind)
        self.wanted = wanted
        self.sums = RowSums(self.sizes, programs.bf16)
        self.gradient, self.early = programs.loop_gradient(self.mode), programs.prologue_gradient(self.mode)
        self.loop_backward = self.bound(programs.loop_backward(self.mode))
        stage = programs.prologue_backward(self.mode, wanted)
        self.prologue_stage = stage
        self.prologue_backward = None if stage.idle else self.bound(stage)
        self.written = frozenset(name for name in wanted if self.early.input_gradients.get(name) in stage.user)
        self._zeros = aligned((max(self.padded.values()),), dtype)
        self._zeros[:] = 0
        self._tapes: dict[Layout, Tape] = {}

    def tapes(self) -> Sequence[Tape]:
        return tuple(self._tapes.values())

    def run(self, call: Call, saved: list[Array], upstream: Upstream) -> tuple[Arrays, Arrays, Arrays, Arrays]:
        """Gradients of inputs, parameters, initial states and restart states."""
        self.check({"input": call.inputs, "parameter": call.parameters, "state": upstream.states})
        self.check({"parameter": upstream.into})
        self._check_upstream(upstream)
        self._check_memory(saved, upstream.into)
        found, alive = self.given(call)
        dims = {v.name: v.dim for v in self.programs.program.inputs}
        d_inputs = {name: aligned((self.steps.rows, self.units[dims[name]]), self.dtype) for name in self.wanted}
        for name in self.wanted - self.written:
            d_inputs[name][:] = 0
        d_parameters = self._parameter_gradients(upstream.into) if upstream.parameters else {}
        d_carry = self.carry(upstream.states)
        for rows in (*self.d_restart.values(), *self._totals.values()):
            rows[:] = 0
        for number, array in enumerate(saved):
            found[f"saved {number}"] = address(array)
        for output in self.gradient.upstream:
            given = upstream.outputs.get(output)  # where none is given, every row reads the same zeros
            found[f"upstream {output}"], found[f"stride of {output}"] = (
                (address(self._zeros), 0) if given is None else (address(given), given.shape[1])
            )
        for name, array in d_inputs.items():
            found[f"d_input {name}"] = address(array)
        for name, array in d_carry.items():
            found[f"d_state {name}"] = address(array)
        layout = self._layout(d_parameters, found) if upstream.parameters else None
        if layout not in self._tapes:
            self._tapes[layout] = self._record(layout)
        self._tapes[layout].run(found)
        del alive
        self._add_totals(d_parameters)
        restart = {name: rows.sum(0)[: self.units[self.states[name]]] for name, rows in self.d_restart.items()}
        return d_inputs, d_parameters, self.finals(d_carry), restart

    def _check_upstream(self, upstream: Upstream) -> None:
        loop = self.programs.split.loop
        for name, array in upstream.outputs.items():
            shape = (self.steps.rows, self.units[loop.nodes[loop.outputs[name]].dim])
            if array is not None and array.shape != shape:
                raise ShapeError(f"compiled cell: gradient of {name!r} must be [N, D] = {list(shape)}, got {list(array.shape)}.")

    def _check_memory(self, saved: list[Array], into: Mapping[str, Array]) -> None:
        """What kernels write to, or read by address, must be what they think it is."""
        wanted = self.saved_shapes()
        if [array.shape for array in saved] != wanted or any(a.dtype != self.dtype or not a.flags.c_contiguous for a in saved):
            raise ShapeError(f"compiled cell: saved must be what forward gave with the same arguments, {wanted}, got {[a.shape for a in saved]}.")
        for name, array in into.items():
            adjacent = array.ndim == 0 or array.strides[-1] == self.dtype.itemsize or array.shape[-1] <= 1
            if array.dtype != self.dtype or not adjacent or not array.flags.writeable:
                raise DtypeError(f"compiled cell: into {name!r} must be a writeable {self.dtype} array with adjacent columns, got {array.dtype}.")

    def _parameter_gradients(self, into: Mapping[str, Array]) -> dict[str, Array]:
        """Zeroed arrays; matrices of one width lie one after another, so that their sums can be taken at once."""
        found: dict[str, Array] = {}
        widths: dict[int, list[tuple[str, int]]] = {}
        for parameter in self.programs.program.parameters:
            shape = tuple(self.units[dim] for dim in parameter.shape)
            if parameter.name in into:
                found[parameter.name] = into[parameter.name]
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

    def _layout(self, gradients: Mapping[str, Array], found: dict[str, int]) -> Layout:
        """For every matrix the one whose gradient begins the piece of memory that its own lies in, the distance, and the row's length.

        The pieces' addresses go to ``found``.
        """
        pieces: dict[int, tuple[str, int]] = {}  # where a piece ends: its first matrix, and where it begins
        layout: list[tuple[str, int, int]] = []
        for name in self._matrices:
            base, (rows, _), stride = address(gradients[name]), gradients[name].shape, gradients[name].strides[0]
            first, start = pieces.pop(base, (name, base))
            pieces[base + rows * stride] = first, start
            found[f"gradient {first}"] = start
            layout.append((first, base - start, stride // self.dtype.itemsize))
        return tuple(layout)

    # --- memory ------------------------------------------------------------------------------------------------------------------
    @cached_property
    def d_restart(self) -> dict[str, Array]:
        """Where the gradients of restarted states are added up."""
        return self.carry({}) if self.shape.resets else {}

    @cached_property
    def _totals(self) -> dict[tuple[int, str], Array]:
        """By gradient and parameter, the sums that vectors and scalars take their gradients from."""
        outputs = [(gradient, *each) for gradient in (self.gradient, self.early) for each in _row_sums(gradient)]
        return {(id(gradient), name): aligned((self.padded[_dim(gradient, output)],), self.dtype) for gradient, name, output in outputs}

    @cached_property
    def _again(self) -> tuple[Array, Array, Arrays, Arrays, Arrays]:
        """Buffers for running a segment again: streams, stored values, ignored results, states before each step and at the end."""
        loop = self.loop.stage
        nodes, outputs = loop.program.nodes, loop.program.outputs
        ignored = {name: aligned((self.longest, self.units[nodes[outputs[name]].dim]), self.dtype) for name in self.programs.results(self.mode)}
        slots = {name: aligned((max(self.longest, BLOCK_ROWS), self.padded[dim]), self.dtype) for name, dim in self.states.items()}
        return self.buffer(self.programs.prologue(self.mode)), self.buffer(loop), ignored, slots, self.carry({})

    @cached_property
    def _adjoints(self) -> tuple[Array, Array]:
        """Buffers for a segment's gradients: of the loop, and of the prologue."""
        return self.buffer(self.loop_backward.stage), self.buffer(self.prologue_stage)

    @cached_property
    def _packed_walks(self) -> list[Walk]:
        """The tables of the segments that keep every state before its step."""
        return [Walk.of(self.steps.table(cut, "packed")) for cut in self.steps.segments(self.checkpoint_rows)]

    # --- recording ---------------------------------------------------------------------------------------------------------------
    def _record(self, layout: Layout) -> Tape:
        """Everything that a pass does; without a layout no parameter's gradient is wanted."""
        tape = Tape(self.target, self.sizes.threads)
        again = () if self.shape.save == "store" else (self.prologue, self.loop)  # forward kernels are only needed to run again
        self.record_load(tape, (*again, self.loop_backward, self.prologue_backward))
        targets: Places | None = None
        if layout is not None:
            targets = {name: Place(tape.open(f"gradient {first}") + at, ld) for name, (first, at, ld) in zip(self._matrices, layout, strict=True)}
        saved = [Place(tape.open(f"saved {number}"), width) for number, (_, width) in enumerate(self.saved_shapes())]
        for number in range(len(self.segments) - 1, -1, -1):
            forward, slots = self._stored(saved) if self.shape.save == "store" else self._run_again(tape, saved, number)
            self._segment(tape, self.segments[number], forward, slots, targets)
        return tape

    def _stored(self, saved: list[Place]) -> tuple[Places, Places]:
        """Places of everything that the forward pass computed, and of the states before each step: all kept."""
        places = self.stored(self.loop.stage, saved[0].base)
        if self.programs.kept_streams(self.mode):
            places |= self.stored(self.programs.prologue(self.mode), saved[1].base)
        return places, dict(zip(self.states, saved[len(saved) - len(self.states) :], strict=True))

    def _run_again(self, tape: Tape, saved: list[Place], number: int) -> tuple[Places, Places]:
        """The same for one segment, computed again from the states that were kept."""
        segment, batch = self.segments[number], self.steps.batch
        stream_room, block_room, ignored, kept, carry_rows = self._again
        streams = self.stored(self.programs.prologue(self.mode), address(stream_room), segment.low)
        block = self.stored(self.loop.stage, address(block_room), segment.low)
        places = self.open_inputs(tape) | block | places_of(ignored, segment.low)
        carry = {name: address(rows) for name, rows in carry_rows.items()}
        if self.shape.save == "recompute":
            slots = dict(zip(self.states, saved, strict=True))
            ignored_states = {name: address(rows) for name, rows in kept.items()}
            self.record_forward(tape, segment, segment.blocks, places, streams, States(slots, ignored_states))
            return block | streams, slots
        slots = places_of(kept, segment.low)
        starts = [Place(place.base + number * batch * place.ld * self.dtype.itemsize, place.ld) for place in saved]
        tape.spread([self.copy_rows(Place(carry[n], start.ld), start, start.ld, batch) for n, start in zip(carry, starts, strict=True)])
        self.record_forward(tape, segment, self._packed_walks[number], places, streams, self.record_states(tape, slots, carry))
        return block | streams, slots

    def _segment(self, tape: Tape, segment: Segment, forward: Places, slots: Places, targets: Places | None) -> None:
        gradient, early = self.gradient, self.early
        inputs = self.open_inputs(tape)
        known = inputs | forward | slots
        known |= {name: forward[f"saved:{name}"] for name, _ in gradient.saved}
        known |= {name: Place(tape.open(f"upstream {output}"), tape.open(f"stride of {output}")) for output, name in gradient.upstream.items()}
        made = self.stored(self.loop_backward.stage, address(self._adjoints[0]), segment.low)
        states = States(
            {f"d_{name}": place for name, place in places_of(self.swap).items()},
            {f"d_{name}": tape.open(f"d_state {name}") for name in self.states},
            {f"d_{name}": address(rows) for name, rows in self.d_restart.items()},
            tape.open("resets") if self.shape.resets else 0,
        )
        tape.add([[call] for call in self.loop_backward.run(segment.backward, known, made, states, tape.counter)])
        places = known | made | {name: known[source] for name, source in self.loop_backward.stage.aliases.items()}
        if targets is not None:
            self._record_sums(tape, gradient, places, segment, targets)
        known = inputs | {name: forward[self.programs.prologue_column(self.mode, name)] for name, _ in early.saved}
        known |= {name: places[gradient.input_gradients[stream]] for stream, name in early.upstream.items()}
        d_inputs = {name: Place(tape.open(f"d_input {name}"), inputs[name].ld) for name in self.wanted}
        made = self.stored(self.prologue_stage, address(self._adjoints[1]), segment.low)
        made |= {early.input_gradients[name]: d_inputs[name] for name in self.written}
        if self.prologue_backward is not None:
            tape.add([[call] for call in self.prologue_backward.run(segment.blocks, known, made)])
        early_places = known | made | {name: known[source] for name, source in self.prologue_stage.aliases.items()}
        if targets is not None:
            self._record_sums(tape, early, early_places, segment, targets)
        for name, d_input in d_inputs.items():
            for found, where in ((gradient, places), (early, early_places)):
                output = found.input_gradients.get(name)
                if output is not None and not (found is early and name in self.written):
                    tape.add([[self._add_rows(d_input, where[output], segment)]])

    def _add_rows(self, target: Place, source: Place, segment: Segment) -> NativeCall:
        """A segment's rows of one place added to another's, as wide as the target."""
        low, size = segment.low, self.dtype.itemsize
        at = [(place.base + low * place.ld * size, place.ld) for place in (target, source)]
        return self.rows["add_rows"].call(*at[0], *at[1], target.ld, segment.high - low)

    # --- sums over rows ----------------------------------------------------------------------------------------------------------
    def _record_sums(self, tape: Tape, gradient: Gradient, places: Mapping[str, Place], segment: Segment, targets: Places) -> None:
        """A segment's share of the parameters' gradients."""
        products: list[Product] = []
        for found in gradient.matrix_gradients:
            left, right = (found.operand, found.adjoint) if found.transposed else (found.adjoint, found.operand)
            (base, ld), (units, inner) = targets[found.matrix], self._matrices[found.matrix]
            at = places[left]
            last = products[-1] if products else None
            # Gates that lie side by side in every array are one product.
            if last and last.right == places[right] and last.inner == inner and last.follows(base, ld, at, self.dtype.itemsize):
                products[-1] = Product(last.target, ld, last.units + units, inner, last.left, last.right)
            else:
                products.append(Product(base, ld, units, inner, at, places[right]))
        lanes: list[list[NativeCall]] = [[] for _ in range(self.sizes.threads)]
        for product in products:
            for lane, call in zip(lanes, self.sums.outer(product, segment.low, segment.high), strict=False):
                lane.append(call)
        for number, (name, output) in enumerate(_row_sums(gradient)):
            lanes[number % len(lanes)].append(self.sums.columns(self._totals[id(gradient), name], places[output], segment.low, segment.high))
        tape.add(lanes)

    @cached_property
    def _matrices(self) -> dict[str, tuple[int, int]]:
        """Every matrix's shape."""
        return {p.name: (self.units[p.shape[0]], self.units[p.shape[1]]) for p in self.programs.program.parameters if p.kind == "matrix"}

    def _add_totals(self, d_parameters: Arrays) -> None:
        for gradient in (self.gradient, self.early):
            for name, output in _row_sums(gradient) if d_parameters else ():
                target, total = d_parameters[name], self._totals[id(gradient), name]
                if target.ndim:
                    target += total[: len(target)]
                else:
                    target += total[: self.units[_dim(gradient, output)]].sum()


def _row_sums(gradient: Gradient) -> list[tuple[str, str]]:
    """Parameters whose gradient is a sum over rows (and over units, for a scalar), and the output that is summed."""
    return [*gradient.vector_gradients.items(), *gradient.scalar_gradients.items()]


def _dim(gradient: Gradient, output: str) -> str:
    return gradient.program.nodes[gradient.program.outputs[output]].dim
