"""Kernels bound to sizes, and the native calls that run them: arguments filled in, work split over threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, Place
from grus.compiler.native import products
from grus.compiler.native.kernels import NativeCall, address, aligned, kernel_function, product_functions
from grus.compiler.native.target import Target
from grus.compiler.program import SCALAR
from grus.compiler.programs import Stage

ROW_TILE = 8  # threads get whole tiles of rows
ALL_ROWS = 1 << 40
PANELS_PER_THREAD = 16  # with fewer, a step takes no longer than meeting at the barrier


@dataclass(frozen=True, eq=False)
class Walk:
    """The steps a kernel visits: its table, and the most rows that a step has."""

    table: NDArray[np.int64]
    start: int
    rows: int

    @staticmethod
    def of(table: NDArray[np.int64]) -> Walk:
        table = np.ascontiguousarray(table)
        return Walk(table, address(table), int(max(table[0, 0], table[-1, 0])) if len(table) else 0)  # rows only grow, or only become fewer


class Sizes:
    """The sizes of a run: each dimension's units, and its units rounded up to whole vectors."""

    def __init__(self, dtype: np.dtype[Any], target: Target, sizes: Mapping[str, int], threads: int) -> None:
        self.dtype, self.target, self.threads = dtype, target, threads
        self.lanes = target.lanes(dtype.name)
        self.units = {**sizes, SCALAR: 1}
        self.padded = {dim: -(-size // self.lanes) * self.lanes for dim, size in self.units.items()}


@dataclass(frozen=True, slots=True)
class States:
    """Where a kernel finds its states: their rows before every step, what they start from and end in, and what a restart gives them.

    The last two are addresses of rows [B, D]; ``resets`` is that of one byte a packed row, 0 where no row restarts.
    """

    slots: Mapping[str, Place]
    carry: Mapping[str, int]
    restart: Mapping[str, int] = field(default_factory=dict[str, int])
    resets: int = 0


NO_STATES = States({}, {})


class Bound:
    """A stage with its sizes, packed weights and scratch: gives the native calls that load parameters and run it."""

    def __init__(self, stage: Stage, sizes: Sizes) -> None:
        self.stage, self.sizes, self.dtype = stage, sizes, sizes.dtype
        self.function = kernel_function(stage.spec, sizes.dtype.name, sizes.target)
        self._products = product_functions(sizes.dtype.name, sizes.target)
        self._arguments = self.function.empty()
        self._vectors: dict[str, Array] = {}
        self._packed: list[Array] = []
        self.scratch: list[Array] = []
        for dim in stage.program.dims():
            self._set(f"size:{dim}", sizes.units[dim])
            self._set(f"padded:{dim}", sizes.padded[dim])
        for parameter in stage.program.parameters:
            if parameter.kind != "matrix":
                room = aligned((sizes.padded[parameter.shape[0]] if parameter.shape else 1,), self.dtype)
                room[:] = 0
                self._set(f"{parameter.kind}:{parameter.name}", address(room))
                self._vectors[parameter.name] = room
        for number, group in enumerate(stage.spec.plan.groups):
            dim = stage.program.nodes[group.products[0][0]].dim
            size = sizes.padded[dim] * self._deep(group.inner) * len(group.products)
            self._packed.append(aligned((max(1, size),), self.dtype))
            self._set(f"weights:{number}", address(self._packed[number]))
        self._set("unit_count", 1)
        self._set("row1", ALL_ROWS)

    def _deep(self, dim: str) -> int:
        """Elements of a panel's lane: in bfloat16 one for two values."""
        return -(-self.sizes.units[dim] // 2) if self.stage.spec.bf16 else self.sizes.units[dim]

    @property
    def bytes(self) -> int:
        """The packed weights' size."""
        return sum(room.nbytes for room in self._packed)

    def _set(self, name: str, value: int) -> None:
        self._arguments[self.function.index[name]] = value

    def load(self, parameters: Mapping[str, Place]) -> list[NativeCall]:
        """The calls that take the parameters' values: vectors are copied, matrices become panels [panel][k][product][lane]."""
        units, found = self.sizes.units, list[NativeCall]()
        for parameter in self.stage.program.parameters:
            if parameter.kind != "matrix":
                room, count = self._vectors[parameter.name], units[parameter.shape[0]] if parameter.shape else 1
                found.append(self._products["copy_rows"].call(address(room), 0, parameters[parameter.name].base, 0, count, 1))
        for group, room in zip(self.stage.spec.plan.groups, self._packed, strict=True):
            dim, count = self.stage.program.nodes[group.products[0][0]].dim, len(group.products)
            for index, (_, term) in enumerate(group.products):
                pack = self._products[("pack_columns" if term.transposed else "pack_rows") + ("_bf16" if self.stage.spec.bf16 else "")]
                base, ld = parameters[term.matrix]
                found.append(pack.call(address(room), base, ld, units[dim], units[group.inner], count, index))
        return found

    def run(
        self, walk: Walk, inputs: Mapping[str, Place], outputs: Mapping[str, Place], states: States = NO_STATES, counter: int = 0
    ) -> list[NativeCall]:
        """The calls, each for a thread of its own, that run the stage over the steps of ``walk``; none where it has no rows.

        Steps without state are shared out; else every thread has its own rows, or its own units of all rows and meets the others at ``counter``.
        """
        threads, by_units = self._threads(walk)
        self.reserve(walk.rows, 1 if self.stage.program.states else threads)
        if walk.rows == 0:
            return []
        program, calls = self.stage.program, list[NativeCall]()
        for number in range(threads):
            call = NativeCall(self.function, type(self._arguments).from_buffer_copy(self._arguments))
            values = {"table": walk.start, "steps": len(walk.table), "resets": states.resets, "scratch": address(self.scratch[0])}
            for variable in program.inputs:
                values[f"in:{variable.name}"], values[f"in_ld:{variable.name}"] = inputs[variable.name]
            for name in program.outputs:
                values[f"out:{name}"], values[f"out_ld:{name}"] = outputs[name]
            for variable in program.states:
                values[f"slots:{variable.name}"], values[f"ld:{variable.name}"] = states.slots[variable.name]
                values[f"carry:{variable.name}"], values[f"restart:{variable.name}"] = (
                    states.carry[variable.name],
                    states.restart.get(variable.name, 0),
                )
            if by_units:
                values |= {"unit_index": number, "unit_count": threads, "barrier": counter}
            elif program.states:
                values["row0"] = _share(walk.rows, number, threads)
                values["row1"] = ALL_ROWS if number == threads - 1 else _share(walk.rows, number + 1, threads)
            else:
                first, last = len(walk.table) * number // threads, len(walk.table) * (number + 1) // threads
                values |= {"table": walk.start + first * walk.table.strides[0], "steps": last - first, "scratch": address(self.scratch[number])}
            for name, value in values.items():
                call.arguments[self.function.index[name]] = value
            calls.append(call)
        return calls

    def _threads(self, walk: Walk) -> tuple[int, bool]:
        """How many threads run a walk, and whether they split the units."""
        threads = self.sizes.threads
        if not self.stage.program.states:
            return max(1, min(threads, len(walk.table))), False
        by_units = threads > 1 and walk.rows < 2 * ROW_TILE and self._panels() >= PANELS_PER_THREAD * threads
        return (threads if by_units else max(1, min(threads, -(-walk.rows // ROW_TILE)))), by_units

    def _panels(self) -> int:
        """Panels of the narrowest phase that has products; none where there are no products."""
        dims = [phase.dim for phase in self.stage.spec.plan.phases if phase.groups]
        return min((self.sizes.padded[dim] // self.sizes.lanes for dim in dims), default=0)

    def reserve(self, rows: int, count: int) -> None:
        """Scratch for ``count`` threads and steps of ``rows``; calls given before for fewer rows must not be made any more."""
        plan = self.stage.spec.plan
        width = sum(self.sizes.padded[plan.program.nodes[node].dim] for node in plan.scratch) + len(plan.means)
        if self.stage.spec.bf16:
            width += sum(self.sizes.padded[group.inner] // 2 + 1 for group in plan.groups)
        elements = max(1, rows * -(-width // 16) * 16)
        if self.scratch and self.scratch[0].size < elements:
            self.scratch.clear()
        while len(self.scratch) < count:
            self.scratch.append(aligned((max(elements, self.scratch[0].size if self.scratch else 0),), self.dtype))


def _share(rows: int, number: int, threads: int) -> int:
    """The first row of a thread, on a boundary of tiles."""
    return -(-rows * number // threads // ROW_TILE) * ROW_TILE


class Product(NamedTuple):
    """A weight gradient to add to: its target [units, inner] and both operands."""

    target: int
    ld: int
    units: int
    inner: int
    left: Place
    right: Place

    def follows(self, target: int, ld: int, left: Place, size: int) -> bool:
        """Whether a product with that target and left operand, of elements of ``size`` bytes, lies right behind this one."""
        adjoins = left.base - self.left.base == self.units * size and target - self.target == self.units * ld * size
        return adjoins and left.ld == self.left.ld and ld == self.ld


class RowSums:
    """Sums over packed rows: the weight gradients."""

    def __init__(self, sizes: Sizes, bf16: bool) -> None:
        self.sizes, self.size = sizes, sizes.dtype.itemsize
        functions = product_functions(sizes.dtype.name, sizes.target)
        self._outer, self._column_sum = functions["outer_bf16" if bf16 else "outer"], functions["column_sum"]
        inner = max(sizes.padded.values())
        room = products.outer_room(inner, sizes.lanes, sizes.target.registers)
        self._rooms = [aligned((room,), sizes.dtype) for _ in range(sizes.threads)]

    def outer(self, product: Product, low: int, high: int) -> list[NativeCall]:
        """target[m, k] += sum over packed rows of left[row, m] * right[row, k]; threads split m, so that every sum has one order."""
        units, left, right = product.units, product.left, product.right
        threads, calls = min(self.sizes.threads, -(-units // ROW_TILE)), list[NativeCall]()
        for number in range(threads):
            first = min(units, _share(units, number, threads))
            last = units if number == threads - 1 else min(units, _share(units, number + 1, threads))
            target = product.target + first * product.ld * self.size
            at_left, at_right = left.base + (low * left.ld + first) * self.size, right.base + low * right.ld * self.size
            sides = at_left, left.ld, last - first, at_right, right.ld, product.inner
            calls.append(self._outer.call(target, product.ld, *sides, high - low, address(self._rooms[number])))
        return calls

    def columns(self, target: Array, source: Place, low: int, high: int) -> NativeCall:
        """target[u] += sum over packed rows of source[row, u]; whole padded rows."""
        return self._column_sum.call(address(target), source.base + low * source.ld * self.size, source.ld, len(target), high - low)
