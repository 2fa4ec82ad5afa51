"""Packing, weight gradients and column sums against NumPy: every target, sizes that fit nothing, rows inside larger arrays."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.compiler.native import kernels, products
from grus.compiler.native import target as targets

Array = NDArray[Any]
TARGETS = [name for name in targets.NAMES if targets.get(name).runnable]
DTYPES = ("float32", "float64")


def canvas(rng: np.random.Generator, rows: int, columns: int, extra: int, dtype: str) -> Array:
    """Random numbers as a view of a wider array of NaN."""
    room = np.full((rows + 1, columns + extra), np.nan, dtype)
    room[:rows, :columns] = rng.standard_normal((rows, columns))
    return room[:rows, :columns]


def call(name: str, target: str, dtype: str, names: tuple[str, ...], *values: int) -> None:
    function, given = kernels.product_functions(dtype, targets.get(target))[name], dict(zip(names, values, strict=True))
    function.call(*[given[key] for key in function.index]).run()


def panels(matrices: list[Array], lanes: int) -> Array:
    """[panel][k][product][lane] by definition, zero beyond the last unit."""
    units, inner = matrices[0].shape
    packed = np.zeros((-(-units // lanes), inner, len(matrices), lanes), matrices[0].dtype)
    for (number, matrix), unit, k in itertools.product(enumerate(matrices), range(units), range(inner)):
        packed[unit // lanes, k, number, unit % lanes] = matrix[unit, k]
    return packed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("by_rows", [True, False])
def test_packed_panels_hold_every_weight_once(target: str, dtype: str, by_rows: bool) -> None:
    rng, lanes = np.random.default_rng(0), targets.get(target).lanes(dtype)
    for units, inner, count, extra in itertools.product((1, 7, 16, 33), (1, 5, 16, 35), (1, 3), (0, 3)):
        matrices = [canvas(rng, *((units, inner) if by_rows else (inner, units)), extra, dtype) for _ in range(count)]
        wanted = panels([matrix if by_rows else matrix.T for matrix in matrices], lanes)
        room = np.full(wanted.size + 8, np.nan, dtype)
        for number, matrix in enumerate(matrices):
            values = (kernels.address(room), kernels.address(matrix), matrix.strides[0] // matrix.itemsize, units, inner, count, number)
            call("pack_rows" if by_rows else "pack_columns", target, dtype, products.PACK, *values)
        np.testing.assert_array_equal(room[: wanted.size].reshape(wanted.shape), wanted)
        assert np.isnan(room[wanted.size :]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", TARGETS)
def test_outer_adds_the_sum_of_outer_products(target: str, dtype: str) -> None:
    rng, machine = np.random.default_rng(1), targets.get(target)
    for left_units, right_units, rows in ((1, 1, 1), (7, 3, 5), (65, 49, 9), (9, 63, 193), (130, 17, 400), (8, 48, 64), (3, 4, 0)):
        left, right = canvas(rng, rows, left_units, 5, dtype), canvas(rng, rows, right_units, 2, dtype)
        room = np.full((left_units + 2, right_units + 4), np.nan, dtype)
        target_view = room[1:-1, 2:-2]
        target_view[...] = start = rng.standard_normal(target_view.shape).astype(dtype)
        work = np.full(products.outer_room(right_units, machine.lanes(dtype), machine.registers) + 8, np.nan, dtype)
        values = (kernels.address(target_view), room.shape[1], kernels.address(left), left_units + 5, left_units)
        values += (kernels.address(right), right_units + 2, right_units, rows, kernels.address(work))
        call("outer", target, dtype, products.OUTER, *values)
        wanted = start.astype("float64") + left.T.astype("float64") @ right.astype("float64")
        np.testing.assert_allclose(target_view, wanted, rtol=0, atol=(rows + 2) * float(np.finfo(dtype).eps) * 5)
        assert np.isnan(room).sum() == room.size - target_view.size
        assert np.isnan(work[-8:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_outer_is_the_same_bits_on_every_target(dtype: str) -> None:
    rng = np.random.default_rng(2)
    left, right = rng.standard_normal((333, 21)).astype(dtype), rng.standard_normal((333, 37)).astype(dtype)
    found: list[Array] = []
    for target in TARGETS:
        machine, result = targets.get(target), np.zeros((21, 37), dtype)
        work = np.empty(products.outer_room(37, machine.lanes(dtype), machine.registers), dtype)
        values = (kernels.address(result), 37, kernels.address(left), 21, 21, kernels.address(right), 37, 37, 333, kernels.address(work))
        call("outer", target, dtype, products.OUTER, *values)
        found.append(result)
    for result in found[1:]:
        np.testing.assert_array_equal(result, found[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", TARGETS)
def test_column_sum_adds_every_row_in_order(target: str, dtype: str) -> None:
    rng, lanes = np.random.default_rng(3), targets.get(target).lanes(dtype)
    for count, rows in itertools.product((1, 3), (0, 1, 77)):
        units = count * lanes
        source = canvas(rng, rows, units, 3, dtype)
        total = np.full(units + 4, np.nan, dtype)
        total[:units] = start = rng.standard_normal(units).astype(dtype)
        call("column_sum", target, dtype, products.COLUMN_SUM, kernels.address(total), kernels.address(source), units + 3, units, rows)
        summed = np.zeros(units, dtype)
        for row in source:
            summed += row
        np.testing.assert_array_equal(total[:units], start + summed)
        assert np.isnan(total[units:]).all()


def test_buffers_start_on_a_cache_line() -> None:
    for shape in ((1,), (3, 5), (2, 7, 9)):
        array = kernels.aligned(shape, np.dtype("float32"))
        assert array.shape == shape
        assert kernels.address(array) % 64 == 0
