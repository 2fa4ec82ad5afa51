"""The kernel's contract at its door: rows it is called for, panels shared at a barrier, tiles that fit the registers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.compiler.native import kernels
from grus.compiler.native import target as targets
from grus.compiler.native.spec import Spec
from grus.compiler.native.tile import tiles
from grus.compiler.program import Builder, Parameter, Program, Term, Variable
from grus.compiler.schedule import schedule

Array = NDArray[Any]
NAN = float("nan")


def plain_rnn() -> Program:
    """h' = tanh(x + U tanh(V h)): two phases, the first one's result in scratch."""
    build = Builder()
    x, h = build.leaf("input", "H", "x"), build.leaf("state", "H", "h")
    first = build.elementwise("tanh", build.affine("H", (Term("V", h),)))
    after = build.elementwise("tanh", build.affine("H", (Term("U", first),), x))
    matrices = tuple(Parameter(name, "matrix", ("H", "H")) for name in "UV")
    return Program((Variable("x", "H"),), (Variable("h", "H"),), matrices, tuple(build.nodes), (after,), {"output": after})


@dataclass
class Door:
    """Everything one call of the kernel of ``plain_rnn`` needs, for ``steps`` steps of ``rows`` rows."""

    rows: int
    units: int
    steps: int = 3
    target: str | None = None
    dtype: str = "float64"
    keep: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng, machine = np.random.default_rng(7), targets.get(self.target)
        lanes = machine.lanes(self.dtype)
        self.padded = -(-self.units // lanes) * lanes
        self.spec = Spec(schedule(plain_rnn()), frozenset({"in:x", "out:output"}))
        self.function = kernels.kernel_function(self.spec, self.dtype, machine)
        self.matrices = {name: rng.standard_normal((self.units, self.units)) / self.units**0.5 for name in "UV"}
        self.x = rng.standard_normal((self.steps * self.rows, self.units))
        self.start = rng.standard_normal((self.rows, self.units))
        self.output = np.full((self.steps * self.rows, self.units), NAN)
        self.slots = np.full((2 * self.rows, self.padded), NAN)
        self.carry = np.full((self.rows, self.padded), 0.0)
        self.carry[:, : self.units] = self.start
        self.scratch = np.full((self.rows, -(-self.padded // 16) * 16), NAN)
        self.barrier = np.zeros(1, np.int64)
        self.table = np.zeros((self.steps, 6), np.int64)
        for step in range(self.steps):
            low, high = (step % 2) * self.rows, (1 - step % 2) * self.rows
            carried = 0 if step == 0 else self.rows
            self.table[step] = (self.rows, step * self.rows, low, high, carried, 0 if step == self.steps - 1 else self.rows)

    def arguments(self, **changes: int) -> Any:
        values = {"table": self.at(self.table), "steps": self.steps, "row0": 0, "row1": 1 << 40, "scratch": self.at(self.scratch)}
        values |= {"unit_index": 0, "unit_count": 1, "barrier": self.at(self.barrier), "resets": 0, "size:H": self.units, "padded:H": self.padded}
        values |= {"in:x": self.at(self.x), "in_ld:x": self.units, "out:output": self.at(self.output), "out_ld:output": self.units}
        values |= {"slots:h": self.at(self.slots), "carry:h": self.at(self.carry), "restart:h": 0, "ld:h": self.padded}
        for number, group in enumerate(self.spec.plan.groups):
            values[f"weights:{number}"] = self.at(self.panels(self.matrices[group.products[0][1].matrix]))
        values |= changes
        return self.function.call(*[values[name] for name in self.function.index]).arguments

    def at(self, array: Array) -> int:
        self.keep.append(array)
        return kernels.address(array)

    def panels(self, matrix: Array) -> Array:
        """[panel][k][lane], zero beyond the last unit."""
        lanes = targets.get(self.target).lanes(self.dtype)
        rows = np.zeros((self.padded, self.units))
        rows[: self.units] = matrix
        return np.ascontiguousarray(rows.reshape(-1, lanes, self.units).transpose(0, 2, 1))

    def expected(self) -> Array:
        h, found = self.start, []
        for step in range(self.steps):
            x = self.x[step * self.rows : (step + 1) * self.rows]
            h = np.tanh(x + np.tanh(h @ self.matrices["V"].T) @ self.matrices["U"].T)
            found.append(h)
        return np.concatenate(found)


@pytest.mark.parametrize("target", [name for name in targets.NAMES if targets.get(name).runnable])
@pytest.mark.parametrize(("rows", "units"), [(1, 1), (7, 5), (13, 16), (3, 70), (13, 70)])
def test_kernel_runs_its_steps(rows: int, units: int, target: str) -> None:
    door = Door(rows, units, target=target)
    door.function.run(door.arguments())
    np.testing.assert_allclose(door.output, door.expected(), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(door.carry[:, :units], door.output[-rows:])


def test_kernel_touches_only_the_rows_it_is_called_for() -> None:
    whole, part = Door(11, 5), Door(11, 5)
    whole.function.run(whole.arguments())
    part.function.run(part.arguments(row0=3, row1=7))
    mine = np.arange(11 * 3) % 11
    inside = (mine >= 3) & (mine < 7)
    np.testing.assert_array_equal(part.output[inside], whole.output[inside])
    assert np.isnan(part.output[~inside]).all()
    np.testing.assert_array_equal(part.carry[[0, 1, 2, 7, 8, 9, 10], :5], part.start[[0, 1, 2, 7, 8, 9, 10]])
    assert np.isnan(part.slots[[0, 2, 7, 10, 11, 13, 18, 21]]).all()
    assert np.isnan(part.scratch[[0, 1, 2, 7, 8, 9, 10]]).all()


@pytest.mark.parametrize("units", [5, 33, 70])
@pytest.mark.parametrize("rows", [2, 13])
@pytest.mark.parametrize("count", [2, 3])
def test_calls_that_share_the_panels_give_the_same_bits(count: int, rows: int, units: int) -> None:
    alone, shared = Door(rows, units, steps=40), Door(rows, units, steps=40)
    alone.function.run(alone.arguments())
    calls = [shared.arguments(unit_index=index, unit_count=count) for index in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(shared.function.run, calls))
    np.testing.assert_array_equal(shared.output, alone.output)
    np.testing.assert_array_equal(shared.carry, alone.carry)
    assert shared.barrier[0] % count == 0


def test_no_steps_touch_nothing() -> None:
    door = Door(3, 5)
    door.function.run(door.arguments(steps=0))
    assert np.isnan(door.output).all()
    np.testing.assert_array_equal(door.carry[:, :5], door.start)


def test_reset_rows_start_again() -> None:
    door = Door(4, 5)
    resets, restart = np.zeros(12, np.uint8), np.zeros((4, door.padded))
    resets[[5, 11]] = 1
    restart[:, :5] = np.arange(5)
    door.function.run(door.arguments(**{"resets": door.at(resets), "restart:h": door.at(restart)}))
    fresh = np.tanh(door.x[[5, 11]] + np.tanh(restart[:2, :5] @ door.matrices["V"].T) @ door.matrices["U"].T)
    np.testing.assert_allclose(door.output[[5, 11]], fresh, rtol=1e-12)
    np.testing.assert_allclose(door.output[:5], door.expected()[:5], rtol=1e-12)


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("products", range(1, 13))
def test_tiles_fit_the_registers_and_end_with_one_row(products: int, registers: int) -> None:
    found = tiles(products, registers)
    assert found[-1].rows == 1
    assert [tile.rows for tile in found] == sorted({tile.rows for tile in found}, reverse=True)
    for tile in found:
        assert tile.panels >= 1
        assert tile.rows == tile.panels == 1 or tile.rows * tile.panels * products <= registers


def test_argument_names_are_unique() -> None:
    names = list(Door(1, 1).spec.slots())
    assert len(names) == len(set(names))
    assert {"table", "steps", "in:x", "out:output", "slots:h", "weights:0", "weights:1"} <= set(names)
