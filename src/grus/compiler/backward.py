"""The backward run: reverse time segment by segment, with what the saving policy kept of the forward run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from grus.compiler.blocks import Array, Block, Place, user_place
from grus.compiler.differentiate import Gradient
from grus.compiler.execution import Bound, Product, RowSums, Sizes, Slots, Walk, rows_at
from grus.compiler.native.kernels import address, aligned
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Stage
from grus.compiler.run import BLOCK_ROWS, Call, Run, Segment, Shape
from grus.errors import DtypeError, ShapeError

Arrays = dict[str, Array]


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
        self.zeros = aligned((max(self.padded.values()),), dtype)
        self.zeros[:] = 0

    def run(self, call: Call, saved: list[Array], upstream: Upstream) -> tuple[Arrays, Arrays, Arrays, Arrays]:
        """Gradients of inputs, parameters, initial states and restart states."""
        self.check({"input": call.inputs, "parameter": call.parameters, "state": upstream.states})
        self.check({"parameter": upstream.into})
        self._check_upstream(upstream)
        self._check_memory(saved, upstream.into)
        self.start(call)
        self.upstream = upstream
        steps, program = self.steps, self.programs.program
        dims = {v.name: v.dim for v in program.inputs}
        self.d_inputs = {name: aligned((steps.rows, self.units[dims[name]]), self.dtype) for name in self.wanted}
        for name in self.wanted - self.written:
            self.d_inputs[name][:] = 0
        self.d_parameters = self._parameter_gradients() if upstream.parameters else {}
        size = self.dtype.itemsize
        self.targets = {n: (address(d), d.strides[0] // size, *d.shape) for n, d in self.d_parameters.items() if d.ndim == 2}
        self.totals: dict[str, Array] = {}
        d_carry = self.carry(upstream.states)
        self.d_restart = self.carry({}) if self.shape.resets else {}
        self.d_states = {f"d_{name}": rows for name, rows in d_carry.items()}
        self.d_restarts = {f"d_{name}": rows for name, rows in self.d_restart.items()}
        stored = self._stored(saved) if self.shape.save == "store" else None
        for number in range(len(self.segments) - 1, -1, -1):
            forward, slots = stored or self._again(saved, number)
            self._segment(self.segments[number], number, forward, slots)
        self._finish_totals()
        restart = {name: rows.sum(0)[: self.units[self.states[name]]] for name, rows in self.d_restart.items()}
        results = self.d_inputs, self.d_parameters, self.finals(d_carry), restart
        self.finish()
        del self.upstream, self.d_inputs, self.d_parameters, self.targets, self.totals, self.d_restart, self.d_states, self.d_restarts
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
    def _buffers(self) -> tuple[list[Block], list[Block], dict[str, Array], dict[str, Array]]:
        """Buffers for running a segment again: streams, stored values, ignored results, states."""
        loop = self.loop.stage
        nodes, outputs = loop.program.nodes, loop.program.outputs
        ignored = {name: aligned((self.longest, self.units[nodes[outputs[name]].dim]), self.dtype) for name in self.programs.results(self.mode)}
        slots = {name: aligned((max(self.longest, BLOCK_ROWS), self.padded[dim]), self.dtype) for name, dim in self.states.items()}
        return self.blocks(self.programs.prologue(self.mode)), self.blocks(loop), ignored, slots

    def _stored(self, saved: list[Array]) -> tuple[dict[str, Place], Slots]:
        """Places of everything that the forward pass computed, and the states before each step: all kept."""
        places = dict(self.loop.stage.stored.over(saved[0], self.padded).places)
        if self.programs.kept_streams(self.mode):
            places |= self.programs.prologue(self.mode).stored.over(saved[1], self.padded).places
        return places, Slots(dict(zip(self.states, saved[len(saved) - len(self.states) :], strict=True)), 0)

    def _again(self, saved: list[Array], number: int) -> tuple[dict[str, Place], Slots]:
        """The same for one segment, computed again from the states that were kept."""
        segment, count = self.segments[number], len(self.states)
        all_streams, all_blocks, ignored, arrays = self._buffers
        streams, block = all_streams[number], all_blocks[number]
        outputs = block.places | Slots(ignored, segment.low).places
        self.run_prologue(segment, streams)
        if self.shape.save == "recompute":
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
        return [Walk.of(self.steps.table(cut, "packed")) for cut in self.steps.segments(self.checkpoint_rows)]

    @cached_property
    def d_swap(self) -> Slots:
        """Two slots of B rows for every state's gradient."""
        return Slots({f"d_{name}": array for name, array in self.swap.arrays.items()}, 0)

    # --- one segment -----------------------------------------------------------------------------------------------------------
    @cached_property
    def _adjoints(self) -> tuple[list[Block], list[Block]]:
        return self.blocks(self.loop_backward.stage), self.blocks(self.prologue_stage)

    def _segment(self, segment: Segment, number: int, forward: Mapping[str, Place], slots: Slots) -> None:
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
            self.d_states,
            self.d_restarts,
            self.call.resets,
        )
        places = known | made | {name: known[source] for name, source in stage.aliases.items()}
        self._add_sums(gradient, places, segment)
        known = self.user | {name: forward[self.programs.prologue_column(self.mode, name)] for name, _ in early.saved}
        known |= {name: places[gradient.input_gradients[stream]] for stream, name in early.upstream.items()}
        direct = {early.input_gradients[name]: user_place(d) for name, d in self.d_inputs.items() if name in self.written}
        made = self._adjoints[1][number].places | direct
        if self.prologue_backward is not None:
            self.prologue_backward.run(segment.blocks, known, made)
        early_places = known | made | {name: known[source] for name, source in self.prologue_stage.aliases.items()}
        self._add_sums(early, early_places, segment)
        for name, d_input in self.d_inputs.items():
            for found, where in ((gradient, places), (early, early_places)):
                output = found.input_gradients.get(name)
                if output is not None and not (found is early and name in self.written):
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
            if last and last.right == places[right] and last.inner == inner and last.follows(base, ld, at, self.dtype.itemsize):
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
