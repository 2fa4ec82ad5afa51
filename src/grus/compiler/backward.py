"""The backward run: reverse time segment by segment, with what the saving policy kept of the forward run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from grus.compiler.arguments import Targets
from grus.compiler.blocks import Array, Place, Places, places_of
from grus.compiler.differentiate import Gradient
from grus.compiler.execution import Bound, Product, RowSums, Sizes, States, Walk
from grus.compiler.native.kernels import NativeCall, address, aligned
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Stage
from grus.compiler.run import BLOCK_ROWS, Call, Run, Segment, Shape
from grus.compiler.tape import Tape
from grus.errors import ShapeError

Arrays = dict[str, Array]
Layout = tuple[tuple[str, int, int], ...]  # of the matrices' gradients: see Targets


@dataclass(frozen=True, eq=False)
class Upstream:
    """What a backward pass is given: gradients of outputs, in rows [N, D] that may lie apart, of final states, and where those of parameters go."""

    outputs: Mapping[str, Array | None]
    states: Mapping[str, Array | None]
    targets: Targets | None  # None where no parameter's gradient is wanted


LAYOUTS = 4  # of gradients that one run keeps a tape for


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
        self._tapes: dict[Layout | None, Tape] = {}

    def tapes(self) -> Sequence[Tape]:
        return tuple(self._tapes.values())

    def run(self, call: Call, saved: list[Array], upstream: Upstream) -> tuple[Arrays, Arrays, Arrays, Arrays]:
        """Gradients of inputs, parameters, initial states and restart states."""
        self.check(call, upstream.states)
        self._check_upstream(upstream)
        self._check_saved(saved)
        found, targets = self.given(call), upstream.targets
        if targets is not None:
            targets.check(self.units)
            found |= targets.found
        if saved:
            found["saved"] = address(saved[0])
        for output in self.gradient.upstream:
            given = upstream.outputs.get(output)  # where none is given, every row reads the same zeros
            found[f"upstream {output}"] = address(self._zeros if given is None else given)
            found[f"stride of {output}"] = 0 if given is None else given.strides[0] // self.dtype.itemsize
        d_inputs = {name: aligned((self.steps.rows, width), self.dtype) for name, width in self.widths.items()}
        for name, array in d_inputs.items():
            found[f"d_input {name}"] = address(array)
            if name not in self.written and not self._sources(name):
                array[:] = 0
        d_carry = self.carry(upstream.states)
        for name, array in d_carry.items():
            found[f"d_state {name}"] = address(array)
        for rows in (*self.d_restart.values(), self._totals[0]):
            rows[:] = 0
        layout = None if targets is None else targets.layout
        if layout not in self._tapes:
            if len(self._tapes) == LAYOUTS:
                del self._tapes[next(iter(self._tapes))]
            self._tapes[layout] = self._record(layout)
        self._tapes[layout].run(found)
        if targets is not None:
            self._add_scalars(targets)
        restart = {name: rows.sum(0)[: self.units[self.states[name]]] for name, rows in self.d_restart.items()}
        return d_inputs, {} if targets is None else dict(targets.arrays), self.finals(d_carry), restart

    @cached_property
    def widths(self) -> dict[str, int]:
        """The units of every input whose gradient is wanted."""
        return {v.name: self.units[v.dim] for v in self.programs.program.inputs if v.name in self.wanted}

    def _check_upstream(self, upstream: Upstream) -> None:
        loop = self.programs.split.loop
        for name, array in upstream.outputs.items():
            shape = (self.steps.rows, self.units[loop.nodes[loop.outputs[name]].dim])
            if array is not None and array.shape != shape:
                raise ShapeError(f"compiled cell: gradient of {name!r} must be [N, D] = {list(shape)}, got {list(array.shape)}.")

    def _check_saved(self, saved: list[Array]) -> None:
        """What kernels read by address must be what they think it is."""
        wanted = [(self.saved_size,)] if self.saved else []
        if [array.shape for array in saved] != wanted or any(a.dtype != self.dtype or not a.flags.c_contiguous for a in saved):
            raise ShapeError(f"compiled cell: saved must be what forward gave with the same arguments, {wanted}, got {[a.shape for a in saved]}.")

    # --- memory ------------------------------------------------------------------------------------------------------------------
    @cached_property
    def d_restart(self) -> dict[str, Array]:
        """Where the gradients of restarted states are added up."""
        return self.carry({}) if self.shape.resets else {}

    @cached_property
    def _totals(self) -> tuple[Array, dict[tuple[int, str], Array]]:
        """A buffer, and in it by gradient and parameter the sums that vectors and scalars take their gradients from."""
        outputs = [(id(gradient), name, _dim(gradient, output)) for gradient in (self.gradient, self.early) for name, output in _row_sums(gradient)]
        ends = np.cumsum([0, *(self.padded[dim] for _, _, dim in outputs)])
        whole = aligned((int(ends[-1]),), self.dtype)
        return whole, {(at, name): whole[first:last] for (at, name, _), first, last in zip(outputs, ends[:-1], ends[1:], strict=True)}

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
    def _record(self, layout: Layout | None) -> Tape:
        """Everything that a pass does but the gradients of scalars; without a layout no parameter's gradient is wanted."""
        tape = Tape(self.target, self.sizes.threads)
        again = () if self.shape.save == "store" else (self.prologue, self.loop)  # forward kernels are only needed to run again
        self.record_load(tape, (*again, self.loop_backward, self.prologue_backward))
        targets: Places | None = None
        if layout is not None:
            targets = {name: Place(tape.stand_in(f"gradient {first}") + at, ld) for name, (first, at, ld) in zip(self._matrices, layout, strict=True)}
        saved = self.open_saved(tape)
        for number in range(len(self.segments) - 1, -1, -1):
            forward, slots = self._stored(saved) if self.shape.save == "store" else self._run_again(tape, saved, number)
            self._segment(tape, self.segments[number], forward, slots, targets)
        for gradient in (self.gradient, self.early) if targets is not None else ():
            tape.add([[self._add_total(tape, gradient, name) for name in gradient.vector_gradients]])  # one thread: two may have one target
        return tape

    def _add_total(self, tape: Tape, gradient: Gradient, name: str) -> NativeCall:
        """A vector's sum added to its gradient."""
        units = next(self.units[p.shape[0]] for p in self.programs.program.parameters if p.name == name)
        return self.rows["add_rows"].call(tape.stand_in(f"gradient {name}"), 0, address(self._totals[1][id(gradient), name]), 0, units, 1)

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
        known |= {
            name: Place(tape.stand_in(f"upstream {output}"), tape.stand_in(f"stride of {output}")) for output, name in gradient.upstream.items()
        }
        made = self.stored(self.loop_backward.stage, address(self._adjoints[0]), segment.low)
        states = States(
            {f"d_{name}": place for name, place in places_of(self.swap).items()},
            {f"d_{name}": tape.stand_in(f"d_state {name}") for name in self.states},
            {f"d_{name}": address(rows) for name, rows in self.d_restart.items()},
            tape.stand_in("resets") if self.shape.resets else 0,
        )
        tape.add([[call] for call in self.loop_backward.run(segment.backward, known, made, states, tape.counter)])
        places = known | made | {name: known[source] for name, source in self.loop_backward.stage.aliases.items()}
        if targets is not None:
            self._record_sums(tape, gradient, places, segment, targets)
        known = inputs | {name: forward[self.programs.prologue_column(self.mode, name)] for name, _ in early.saved}
        known |= {name: places[gradient.input_gradients[stream]] for stream, name in early.upstream.items()}
        d_inputs = {name: Place(tape.stand_in(f"d_input {name}"), inputs[name].ld) for name in self.wanted}
        made = self.stored(self.prologue_stage, address(self._adjoints[1]), segment.low)
        made |= {early.input_gradients[name]: d_inputs[name] for name in self.written}
        if self.prologue_backward is not None:
            tape.add([[call] for call in self.prologue_backward.run(segment.blocks, known, made)])
        early_places = known | made | {name: known[source] for name, source in self.prologue_stage.aliases.items()}
        if targets is not None:
            self._record_sums(tape, early, early_places, segment, targets)
        for name, d_input in d_inputs.items():
            for number, found in enumerate(self._sources(name)):
                where = places if found is gradient else early_places
                how = "add_rows" if number or name in self.written else "copy_rows"
                tape.add([[self._rows(how, d_input, where[found.input_gradients[name]], segment)]])

    def _sources(self, name: str) -> list[Gradient]:
        """Whose gradients make up that of an input, but for what is written where it belongs at once."""
        return [g for g in (self.gradient, self.early) if name in g.input_gradients and not (g is self.early and name in self.written)]

    def _rows(self, how: str, target: Place, source: Place, segment: Segment) -> NativeCall:
        """A segment's rows of one place copied or added to another's, as wide as the target."""
        low, size = segment.low, self.dtype.itemsize
        at = [(place.base + low * place.ld * size, place.ld) for place in (target, source)]
        return self.rows[how].call(*at[0], *at[1], target.ld, segment.high - low)

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
        shares: list[list[NativeCall]] = [[] for _ in range(self.sizes.threads)]
        written: list[tuple[int, int]] = []
        for product in products:
            first, end = product.target, product.target + product.units * product.ld * self.dtype.itemsize
            if any(first < other_end and other < end for other, other_end in written):  # a matrix that is used twice
                tape.add(shares)
                shares, written = [[] for _ in range(self.sizes.threads)], []
            written.append((first, end))
            for share, call in zip(shares, self.sums.outer(product, segment.low, segment.high), strict=False):
                share.append(call)
        for number, (name, output) in enumerate(_row_sums(gradient)):
            shares[number % len(shares)].append(self.sums.columns(self._totals[1][id(gradient), name], places[output], segment.low, segment.high))
        tape.add(shares)

    @cached_property
    def _matrices(self) -> dict[str, tuple[int, int]]:
        """Every matrix's shape."""
        return {p.name: (self.units[p.shape[0]], self.units[p.shape[1]]) for p in self.programs.program.parameters if p.kind == "matrix"}

    def _add_scalars(self, targets: Targets) -> None:
        for gradient in (self.gradient, self.early):
            for name, output in gradient.scalar_gradients.items():
                targets.arrays[name][...] += self._totals[1][id(gradient), name][: self.units[_dim(gradient, output)]].sum()


def _row_sums(gradient: Gradient) -> list[tuple[str, str]]:
    """Parameters whose gradient is a sum over rows (and over units, for a scalar), and the output that is summed."""
    return [*gradient.vector_gradients.items(), *gradient.scalar_gradients.items()]


def _dim(gradient: Gradient, output: str) -> str:
    return gradient.program.nodes[gradient.program.outputs[output]].dim
