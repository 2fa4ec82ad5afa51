"""Runs kernels for given sizes: packs parameters, fills in arguments, splits the work over threads."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, Block, Place
from grus.compiler.native import products
from grus.compiler.native.kernels import Function, address, aligned, kernel_function, product_functions, run_parallel
from grus.compiler.native.target import Target
from grus.compiler.program import SCALAR
from grus.compiler.programs import Stage

ROW_TILE = 8  # threads get whole tiles of rows
ALL_ROWS = 1 << 40


@dataclass(frozen=True, eq=False)
class Slots:
    """State rows by name; row 0 of each array is packed row ``low``."""

    arrays: Mapping[str, Array]
    low: int

    def place(self, name: str) -> Place:
        array = self.arrays[name]
        ld = array.shape[1]
        return Place(address(array) - self.low * ld * array.itemsize, ld)


class Execution:
    """One run's sizes, packed weights and buffers."""

    def __init__(self, dtype: np.dtype[Any], target: Target, sizes: Mapping[str, int], threads: int) -> None:
        self.dtype, self.target, self.threads = dtype, target, threads
        self.lanes = target.lanes(dtype.name)
        self.sizes = {**sizes, SCALAR: 1}
        self.padded = {dim: -(-size // self.lanes) * self.lanes for dim, size in self.sizes.items()}
        self.products = product_functions(dtype.name, target)
        self._prepared: dict[int, tuple[Function, dict[str, int]]] = {}
        self._alive: list[Any] = []

    def keep(self, block: Block) -> None:
        """Keep a block's memory as long as this run."""
        self._alive.append(block)

    def keep_array(self, array: Array) -> Array:
        self._alive.append(array)
        return array

    # --- parameters --------------------------------------------------------------------------------------------------------
    def prepared(self, stage: Stage, parameters: Mapping[str, Array]) -> tuple[Function, dict[str, int]]:
        """A stage's function and the arguments that do not change during this run: sizes and packed parameters."""
        if id(stage) not in self._prepared:
            values = {"barrier": 0, "resets": 0, "unit_index": 0, "unit_count": 1}
            for dim in stage.program.dims():
                values |= {f"size:{dim}": self.sizes[dim], f"padded:{dim}": self.padded[dim]}
            for p in stage.program.parameters:
                if p.kind == "vector":
                    values[f"vector:{p.name}"] = self._padded_vector(parameters[p.name], p.shape[0])
                elif p.kind == "scalar":
                    values[f"scalar:{p.name}"] = address(self.keep_array(np.array(parameters[p.name], self.dtype).reshape(1)))
            for number in range(len(stage.spec.plan.groups)):
                values[f"weights:{number}"] = address(self.keep_array(self._packed(stage, number, parameters)))
            self._prepared[id(stage)] = kernel_function(stage.spec, self.dtype.name, self.target), values
        return self._prepared[id(stage)]

    def _padded_vector(self, value: Array, dim: str) -> int:
        padded = self.keep_array(np.zeros(self.padded[dim], self.dtype))
        padded[: self.sizes[dim]] = value
        return address(padded)

    def _packed(self, stage: Stage, number: int, parameters: Mapping[str, Array]) -> Array:
        """The weights of one group of products as panels [panel][k][product][lane]."""
        group = stage.spec.plan.groups[number]
        dim = stage.program.nodes[group.products[0][0]].dim
        units, inner, count = self.sizes[dim], self.sizes[group.inner], len(group.products)
        target = aligned((max(1, self.padded[dim] * inner * count),), self.dtype)
        for index, (_, term) in enumerate(group.products):
            source = self.keep_array(_rows(parameters[term.matrix], self.dtype))
            pack = self.products["pack_columns" if term.transposed else "pack_rows"]
            ld = source.strides[0] // self.dtype.itemsize
            values = (address(target), address(source), ld, units, inner, count, index)
            pack(dict(zip(products.PACK, values, strict=True)))
        return target

    # --- kernels -----------------------------------------------------------------------------------------------------------
    def run(
        self,
        stage: Stage,
        parameters: Mapping[str, Array],
        inputs: Mapping[str, Place],
        outputs: Mapping[str, Place],
        table: NDArray[np.int64],
        slots: Slots | None = None,
        carry: Mapping[str, Array] | None = None,
        restart: Mapping[str, Array] | None = None,
        resets: NDArray[np.uint8] | None = None,
    ) -> None:
        """Run a stage over the steps of ``table``."""
        function, fixed = self.prepared(stage, parameters)
        values = dict(fixed)
        for variable in stage.program.inputs:
            place = inputs[variable.name]
            values |= {f"in:{variable.name}": place.base, f"in_ld:{variable.name}": place.ld}
        for name in stage.program.outputs:
            place = outputs[name]
            values |= {f"out:{name}": place.base, f"out_ld:{name}": place.ld}
        for variable in stage.program.states:
            assert slots is not None and carry is not None
            place = slots.place(variable.name)
            start = address(restart[variable.name]) if restart else 0
            values |= {f"slots:{variable.name}": place.base, f"ld:{variable.name}": place.ld}
            values |= {f"carry:{variable.name}": address(carry[variable.name]), f"restart:{variable.name}": start}
        if resets is not None:
            values["resets"] = address(resets)
        self._dispatch(stage, function, values, table)

    def _dispatch(self, stage: Stage, function: Function, values: dict[str, int], table: NDArray[np.int64]) -> None:
        rows = int(table[:, 0].max()) if len(table) else 0
        table = np.ascontiguousarray(table)
        room = aligned((max(1, rows * self._scratch_width(stage)),), self.dtype)
        values |= {"table": address(table), "steps": len(table), "row0": 0, "row1": ALL_ROWS, "scratch": address(room)}
        calls: list[dict[str, int]] = []
        if self.threads == 1 or rows == 0:
            function(values)
            return
        if stage.program.states:
            per_thread = -(-rows // (self.threads * ROW_TILE)) * ROW_TILE
            calls = [values | {"row0": first, "row1": first + per_thread} for first in range(0, rows, per_thread)]
        else:
            rooms = [aligned(room.shape, self.dtype) for _ in range(self.threads)]
            bounds = [len(table) * i // self.threads for i in range(self.threads + 1)]
            for own, first, last in zip(rooms, bounds, bounds[1:], strict=False):
                calls.append(values | {"table": address(table) + first * table.strides[0], "steps": last - first, "scratch": address(own)})
            self._alive.append(rooms)
        run_parallel(function, [function.arguments(call) for call in calls])

    def _scratch_width(self, stage: Stage) -> int:
        plan = stage.spec.plan
        width = sum(self.padded[plan.program.nodes[node].dim] for node in plan.scratch) + len(plan.means)
        return -(-width // 16) * 16

    # --- sums over rows ------------------------------------------------------------------------------------------------------
    def outer(self, target: Array, left: Place, right: Place, low: int, high: int) -> None:
        """target[m, k] += sum over packed rows of left[row, m] * right[row, k]."""
        units, inner = target.shape
        size = self.dtype.itemsize
        ld = target.strides[0] // size
        room = (products.outer_room(units, inner, self.lanes, self.target.registers),)
        function = self.products["outer"]
        bounds = [min(units, -(-units * i // self.threads // ROW_TILE) * ROW_TILE) for i in range(self.threads)] + [units]
        calls: list[Any] = []
        for first, last in zip(bounds, bounds[1:], strict=False):
            own = self.keep_array(aligned(room, self.dtype))
            values = (
                address(target) + first * target.strides[0],
                ld,
                left.base + (low * left.ld + first) * size,
                left.ld,
                last - first,
                right.base + low * right.ld * size,
                right.ld,
                inner,
                high - low,
                address(own),
            )
            calls.append(function.arguments(dict(zip(products.OUTER, values, strict=True))))
        run_parallel(function, calls)
        del self._alive[-len(calls) :]

    def column_sum(self, target: Array, source: Place, low: int, high: int) -> None:
        """target[u] += sum over packed rows of source[row, u]; whole padded rows."""
        values = (address(target), source.base + low * source.ld * self.dtype.itemsize, source.ld, len(target), high - low)
        self.products["column_sum"](dict(zip(products.COLUMN_SUM, values, strict=True)))

    def add_rows(self, target: Array, source: Place, low: int, high: int) -> None:
        """target[row] += source[row] for packed rows [low, high)."""
        count = (high - low - 1) * source.ld + target.shape[1]
        raw = (ctypes.c_byte * (count * self.dtype.itemsize)).from_address(source.base + low * source.ld * self.dtype.itemsize)
        flat = np.frombuffer(raw, self.dtype)
        rows = np.lib.stride_tricks.as_strided(flat, (high - low, target.shape[1]), (source.ld * self.dtype.itemsize, self.dtype.itemsize))
        target[low:high] += rows


def _rows(matrix: Array, dtype: np.dtype[Any]) -> Array:
    """The matrix with adjacent columns; copied only if it must be."""
    if matrix.dtype == dtype and (matrix.strides[1] == dtype.itemsize or matrix.shape[1] <= 1) and matrix.strides[0] >= 0:
        return matrix
    return np.ascontiguousarray(matrix, dtype)
