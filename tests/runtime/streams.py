"""Cells with random parameters and inputs, sessions on them, and the offline run they are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus import cells
from grus.cells import Cell, cell, gates, sigmoid
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step
from grus.compiler.layer import compile_cell
from grus.runtime import Session

Array = NDArray[Any]
STEPS, ROWS = 9, 3
SIZES = {"I": 5, "H": 11, "O": 6, "P": 3, "R": 2, "1": 1}


@cell(states="h")
def leaky(x: Vector, h: Vector, p: Parameters) -> Step:
    """A cell that is not in the catalogue."""
    keep = sigmoid(p.k)
    return gates(keep=keep), keep * h + (1 - keep) * (p.W @ x)


@cell(states="h")
def faster(x: Vector, h: Vector, p: Parameters) -> Step:
    """Another function of the same parameters as ``leaky``."""
    keep = sigmoid(p.k)
    return gates(keep=keep), keep * h + p.W @ x


@dataclass(frozen=True)
class Streams:
    """One layer's parameters and the inputs [T, B, D] of some streams."""

    cell: Cell
    parameters: dict[str, Array]
    inputs: dict[str, Array]

    @property
    def first(self) -> str:
        return self.cell.inputs[0]

    def row(self, b: int) -> dict[str, Array]:
        """One stream's inputs [T, D]."""
        return {name: np.ascontiguousarray(array[:, b]) for name, array in self.inputs.items()}


def streams(which: str | Cell, dtype: str = "float32", seed: int = 0, steps: int = STEPS, rows: int = ROWS, **sizes: int) -> Streams:
    """Standard normal inputs, weights of standard deviation 0.4; masks are 0 or 1 and times positive."""
    chosen = cells.get(which)
    rng = np.random.default_rng(seed)
    all_sizes = dict.fromkeys(chosen.program.dims(), 4) | SIZES | sizes
    parameters = {p.name: (0.4 * rng.standard_normal([all_sizes[dim] for dim in p.shape])).astype(dtype) for p in chosen.parameters}
    inputs = {v.name: rng.standard_normal((steps, rows, all_sizes[v.dim])).astype(dtype) for v in chosen.program.inputs}
    if "mask" in inputs:
        inputs["mask"] = (inputs["mask"] > 0).astype(dtype)
    if "delta" in inputs:
        inputs["delta"] = np.abs(inputs["delta"])
    return Streams(chosen, parameters, inputs)


def stack(which: str, layers: int, rows: int = ROWS) -> tuple[list[dict[str, Array]], Array]:
    """Parameters of layers of different sizes, and the lowest one's x [T, B, I]."""
    sizes = [5, 11, 7, 9]
    found = [streams(which, seed=number, rows=rows, I=sizes[number], H=sizes[number + 1]) for number in range(layers)]
    return [layer.parameters for layer in found], found[0].inputs["x"]


def offline(given: Streams, inputs: dict[str, Array] | None = None, precision: str | None = None) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """Output, final states and gates of a run over the whole sequences from zero."""
    program = given.cell.program
    arrays = given.inputs if inputs is None else inputs
    dtype = next(iter(given.parameters.values())).dtype.name
    run = compile_cell(program, dtype, precision=precision).forward(arrays, given.parameters, {v.name: None for v in program.states}, gates=True)
    assert run.output is not None
    return run.output, run.states, run.gates


def walk(session: Session, inputs: dict[str, Array]) -> Array:
    """Step after step over [T, ...]."""
    first, *further = inputs
    count = len(inputs[first])
    return np.array([session.step(inputs[first][t], **{name: inputs[name][t] for name in further}) for t in range(count)])


def block(session: Session, inputs: dict[str, Array]) -> Array:
    """All at once over [T, ...]."""
    first, *further = inputs
    return session.block(inputs[first], **{name: inputs[name] for name in further})
