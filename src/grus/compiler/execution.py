"""Kernels bound to sizes: parameters packed, arguments filled in, work split over threads; made once, run again and again."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, Place
from grus.compiler.native import products
from grus.compiler.native.kernels import Function, address, aligned, kernel_function, product_functions, run_parallel
from grus.compiler.native.target import Target
from grus.compiler.program import SCALAR
from grus.compiler.programs import Stage

ROW_TILE = 8  # threads get whole tiles of rows
ALL_ROWS = 1 << 40
PANELS_PER_THREAD = 16  # with fewer, a step takes no longer than meeting at the barrier


@dataclass(frozen=True, eq=False)
class Slots:
    """State rows by name; row 0 of each array is packed row ``low``."""

    arrays: Mapping[str, Array]
    low: int

    @cached_property
    def places(self) -> dict[str, Place]:
        """Every state's place."""
        found: dict[str, Place] = {}
        for name, array in self.arrays.items():
            ld = array.shape[1]
            found[name] = Place(address(array) - self.low * ld * array.itemsize, ld)
        return found


@dataclass(frozen=True, eq=False)
class Walk:
    """The steps a kernel visits: its table, and the most rows that a step has."""

    table: NDArray[np.int64]
    start: int
    rows: int

    @staticmethod
    def of(table: NDArray[np.int64]) -> Walk:
        table = np.ascontiguousarray(table)
        return Walk(table, address(table), int(table[:, 0].max()) if len(table) else 0)


class Sizes:
    """The sizes of a run: each dimension's units, and its units rounded up to whole vectors."""

    def __init__(self, dtype: np.dtype[Any], target: Target, sizes: Mapping[str, int], threads: int) -> None:
        self.dtype, self.target, self.threads = dtype, target, threads
        self.lanes = target.lanes(dtype.name)
        self.units = {**sizes, SCALAR: 1}
        self.padded = {dim: -(-size // self.lanes) * self.lanes for dim, size in self.units.items()}


class Bound:
    """A stage with its sizes: packs parameters and runs, without looking anything up twice."""

    def __init__(self, stage: Stage, sizes: Sizes) -> None:
        self.stage, self.sizes, self.dtype = stage, sizes, sizes.dtype
        self.function = kernel_function(stage.spec, sizes.dtype.name, sizes.target)
        self.arguments = self.function.empty()
        self.index = self.function.index
        self._vectors: list[tuple[str, Array]] = []
        self._packs: list[tuple[str, Function, ctypes.Array[ctypes.c_int64], Array]] = []
        self._scratch: list[Array] = []
        for dim in stage.program.dims():
            self.set(f"size:{dim}", sizes.units[dim])
            self.set(f"padded:{dim}", sizes.padded[dim])
        for parameter in stage.program.parameters:
            if parameter.kind != "matrix":
                room = aligned((sizes.padded[parameter.shape[0]] if parameter.shape else 1,), self.dtype)
                room[:] = 0
                self.set(f"{parameter.kind}:{parameter.name}", address(room))
                self._vectors.append((parameter.name, room[: sizes.units[parameter.shape[0]]] if parameter.shape else room))
        for number in range(len(stage.spec.plan.groups)):
            self._bind_group(number)
        self.set("unit_count", 1)
        self.set("row1", ALL_ROWS)

    @property
    def bytes(self) -> int:
        """The packed weights' size."""
        return sum({id(room): room.nbytes for _, _, _, room in self._packs}.values())

    def set(self, name: str, value: int) -> None:
        self.arguments[self.index[name]] = value

    def _bind_group(self, number: int) -> None:
        """Room for one group's panels [panel][k][product][lane], and the calls that fill it."""
        group, sizes = self.stage.spec.plan.groups[number], self.sizes
        dim = self.stage.program.nodes[group.products[0][0]].dim
        units, inner, count = sizes.units[dim], sizes.units[group.inner], len(group.products)
        bf16 = self.stage.spec.bf16
        deep = -(-inner // 2) if bf16 else inner
        room = aligned((max(1, sizes.padded[dim] * deep * count),), self.dtype)
        self.set(f"weights:{number}", address(room))
        functions = product_functions(self.dtype.name, sizes.target)
        for index, (_, term) in enumerate(group.products):
            function = functions[("pack_columns" if term.transposed else "pack_rows") + ("_bf16" if bf16 else "")]
            arguments = function.filled((address(room), 0, 0, units, inner, count, index))
            self._packs.append((term.matrix, function, arguments, room))

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take the parameters' values as they are now."""
        size = self.dtype.itemsize
        for name, room in self._vectors:
            room[:] = parameters[name]
        for name, function, arguments, _ in self._packs:
            matrix = parameters[name]
            if matrix.dtype != self.dtype or (matrix.strides[1] != size and matrix.shape[1] > 1) or matrix.strides[0] < 0 or matrix.strides[0] % size:
                matrix = np.ascontiguousarray(matrix, self.dtype)
            arguments[1] = address(matrix)
            arguments[2] = matrix.strides[0] // size
            function.run(arguments)

    def run(
        self,
        walk: Walk,
        inputs: Mapping[str, Place],
        outputs: Mapping[str, Place],
        slots: Slots | None = None,
        carry: Mapping[str, Array] | None = None,
        restart: Mapping[str, Array] | None = None,
        resets: NDArray[np.uint8] | None = None,
    ) -> None:
        """Run the stage over the steps of ``walk``; ``restart`` must be given with ``resets``."""
        arguments, index, program = self.arguments, self.index, self.stage.program
        for variable in program.inputs:
            place = inputs[variable.name]
            at = index[f"in:{variable.name}"]
            arguments[at], arguments[at + 1] = place.base, place.ld
        for name in program.outputs:
            place = outputs[name]
            at = index[f"out:{name}"]
            arguments[at], arguments[at + 1] = place.base, place.ld
        for variable in program.states:
            assert slots is not None
            assert carry is not None
            place = slots.places[variable.name]
            at = index[f"slots:{variable.name}"]
            start = address(restart[variable.name]) if restart and resets is not None else 0
            arguments[at : at + 4] = (place.base, address(carry[variable.name]), start, place.ld)
        self.set("resets", 0 if resets is None else address(resets))
        self.set("table", walk.start)
        self.set("steps", len(walk.table))
        self._dispatch(walk)

    def _dispatch(self, walk: Walk) -> None:
        """One call, or several at once: for steps without state each has its own steps, otherwise its own rows, or its own units of all rows."""
        recurrent = bool(self.stage.program.states)
        threads, by_units = self.sizes.threads, False
        if recurrent:
            by_units = threads > 1 and walk.rows < 2 * ROW_TILE and self._panels() >= PANELS_PER_THREAD * threads
            threads = threads if by_units else min(threads, -(-walk.rows // ROW_TILE))
        else:
            threads = min(threads, len(walk.table))
        if walk.rows == 0:
            return
        self._make_room(walk.rows, 1 if recurrent else threads)
        self.set("scratch", address(self._scratch[0]))
        if threads <= 1:
            self.function.run(self.arguments)
            return
        calls = [type(self.arguments).from_buffer_copy(self.arguments) for _ in range(threads)]
        barrier = np.zeros(1, np.int64)
        for number, call in enumerate(calls):
            if by_units:
                call[self.index["unit_index"]], call[self.index["unit_count"]] = number, threads
                call[self.index["barrier"]] = address(barrier)
            elif recurrent:
                call[self.index["row0"]] = -(-walk.rows * number // threads // ROW_TILE) * ROW_TILE
                call[self.index["row1"]] = ALL_ROWS if number == threads - 1 else -(-walk.rows * (number + 1) // threads // ROW_TILE) * ROW_TILE
            else:
                first, last = len(walk.table) * number // threads, len(walk.table) * (number + 1) // threads
                call[self.index["table"]] = walk.start + first * walk.table.strides[0]
                call[self.index["steps"]] = last - first
                call[self.index["scratch"]] = address(self._scratch[number])
        run_parallel([(self.function, call) for call in calls], barrier)

    def _panels(self) -> int:
        """Panels of the narrowest phase that has products; none where there are no products."""
        dims = [phase.dim for phase in self.stage.spec.plan.phases if phase.groups]
        return min((self.sizes.padded[dim] // self.sizes.lanes for dim in dims), default=0)

    def _make_room(self, rows: int, count: int) -> None:
        plan = self.stage.spec.plan
        width = sum(self.sizes.padded[plan.program.nodes[node].dim] for node in plan.scratch) + len(plan.means)
        if self.stage.spec.bf16:
            width += sum(self.sizes.padded[group.inner] // 2 + 1 for group in plan.groups)
        elements = max(1, rows * -(-width // 16) * 16)
        while len(self._scratch) < count or self._scratch[0].size < elements:
            if self._scratch and self._scratch[0].size < elements:
                self._scratch.clear()
            self._scratch.append(aligned((elements,), self.dtype))


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
        self.sizes, self.dtype = sizes, sizes.dtype
        functions = product_functions(sizes.dtype.name, sizes.target)
        self._outer, self._column_sum = functions["outer_bf16" if bf16 else "outer"], functions["column_sum"]
        self._rooms: list[Array] = []

    def outer(self, product: Product, low: int, high: int) -> None:
        """target[m, k] += sum over packed rows of left[row, m] * right[row, k]; threads split m, so that every sum has one order."""
        units, inner, left, right = product.units, product.inner, product.left, product.right
        size, threads = self.dtype.itemsize, min(self.sizes.threads, -(-units // ROW_TILE))
        self._make_room(products.outer_room(inner, self.sizes.lanes, self.sizes.target.registers), threads)
        calls: list[tuple[Function, ctypes.Array[ctypes.c_int64]]] = []
        for number in range(threads):
            first = min(units, -(-units * number // threads // ROW_TILE) * ROW_TILE)
            last = units if number == threads - 1 else min(units, -(-units * (number + 1) // threads // ROW_TILE) * ROW_TILE)
            target = product.target + first * product.ld * size
            at_left, at_right = left.base + (low * left.ld + first) * size, right.base + low * right.ld * size
            values = (target, product.ld, at_left, left.ld, last - first, at_right, right.ld, inner, high - low, address(self._rooms[number]))
            calls.append((self._outer, self._outer.filled(values)))
        run_parallel(calls)

    def _make_room(self, elements: int, count: int) -> None:
        if self._rooms and self._rooms[0].size < elements:
            self._rooms.clear()
        while len(self._rooms) < count:
            self._rooms.append(aligned((elements,), self.dtype))

    def columns(self, target: Array, source: Place, low: int, high: int) -> None:
        """target[u] += sum over packed rows of source[row, u]; whole padded rows."""
        at = source.base + low * source.ld * self.dtype.itemsize
        self._column_sum.run(self._column_sum.filled((address(target), at, source.ld, len(target), high - low)))


def rows_at(place: Place, low: int, high: int, width: int, dtype: np.dtype[Any]) -> Array:
    """Packed rows [low, high) of a place as an array, for as long as their memory lives."""
    size = dtype.itemsize
    count = (high - low - 1) * place.ld + width
    raw = memoryview((ctypes.c_byte * (count * size)).from_address(place.base + low * place.ld * size))
    return np.lib.stride_tricks.as_strided(np.frombuffer(raw, dtype), (high - low, width), (place.ld * size, size))
