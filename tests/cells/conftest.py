"""An interpreter of step programs in float64, small enough to be right at a glance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from grus.cells import Cell
from grus.compiler.program import Node

Arrays = dict[str, np.ndarray]
SIZES = {"I": 3, "H": 4, "P": 2, "O": 5, "Q": 6}
OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
    "softplus": lambda v: np.log1p(np.exp(v)),
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "greater": lambda a, b: (a > b).astype(float),
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "mean": np.mean,
}


def evaluate(cell: Cell, values: Arrays) -> Arrays:
    """The outputs, and each state's new value under the state's name with a prime."""
    found: list[np.ndarray] = []

    def value(node: Node) -> np.ndarray:
        if node.op == "constant":
            return np.float64(node.value)
        if node.op in ("input", "state", "vector", "scalar"):
            return values[node.name]
        arguments = [found[argument] for argument in node.args]
        if node.op == "affine":
            return sum((values[term.matrix] @ found[term.operand] for term in node.terms), *arguments)
        return OPERATIONS[node.op](*arguments)

    for node in cell.program.nodes:
        found.append(value(node))
        assert np.shape(found[-1]) == (() if node.dim == "1" else (SIZES[node.dim],)), node
    following = {f"{name}'": found[node] for name, node in zip(cell.states, cell.program.next_states, strict=True)}
    return {**{name: found[node] for name, node in cell.program.outputs.items()}, **following}


def draw(cell: Cell, seed: int = 0) -> Arrays:
    """Random values for everything that a cell reads."""
    random = np.random.default_rng(seed)
    shapes = {v.name: () if v.dim == "1" else (SIZES[v.dim],) for v in (*cell.program.inputs, *cell.program.states)}
    shapes |= {parameter.name: tuple(SIZES[dim] for dim in parameter.shape) for parameter in cell.parameters}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


@pytest.fixture(name="evaluate")
def evaluate_fixture() -> Callable[[Cell, Arrays], Arrays]:
    return evaluate


@pytest.fixture(name="draw")
def draw_fixture() -> Callable[[Cell, int], Arrays]:
    return draw
