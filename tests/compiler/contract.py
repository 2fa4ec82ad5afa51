"""Cases for the compiled layer: random arguments of a cell, what the layer makes of them, and what the float64 reference does.

Results are flat: "output", "gate:r", "state:h", and the gradients "d_input:x", "d_parameter:W_r", "d_state:h" and "d_restart:h".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import grus.cells
from grus.compiler import reference
from grus.compiler.layer import CompiledCell, compile_cell
from grus.compiler.native import target as targets
from grus.compiler.program import SCALAR, Program

Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Case:
    """Arguments of a layer, and a random weight on everything it gives. Arrays are [T, B, D], whatever the lengths are."""

    program: Program
    dtype: str
    inputs: Arrays
    parameters: Arrays
    states: Arrays
    restart: Arrays
    d_output: Array
    d_gates: Arrays
    d_states: Arrays
    lengths: NDArray[np.int64]
    resets: NDArray[np.bool_] | None = None
    reverse: bool = False

    @property
    def steps(self) -> int:
        return next(iter(self.inputs.values())).shape[0]

    @property
    def batch_sizes(self) -> NDArray[np.int64] | None:
        """None where every row takes part in every step."""
        return None if (self.lengths == self.steps).all() else (np.arange(self.steps)[:, None] < self.lengths).sum(1)

    @property
    def padding(self) -> NDArray[np.bool_]:
        """[T, B]: where rows have ended."""
        return np.arange(self.steps)[:, None] >= self.lengths

    @property
    def terms(self) -> int:
        """About how many rounded operations meet in one result: a sum over units at every step, then one over all rows."""
        return self.d_output.shape[0] * (self.d_output.shape[1] + 16) + max(size for array in self.parameters.values() for size in (1, *array.shape))


def make_case(
    name: str,
    dtype: str = "float64",
    sizes: tuple[int, int, int, int] = (5, 3, 4, 7),
    *,
    ragged: bool = False,
    resets: bool = False,
    reverse: bool = False,
) -> Case:
    """A case of the cell ``name`` for (T, B, I, H) = ``sizes``; other dimensions differ from H, unless H is a whole number of vectors."""
    program = grus.cells.get(name).program
    T, B, I, H = sizes  # noqa: E741
    rng = np.random.default_rng(len(name) * 1000 + T + 10 * B + 100 * H)
    size = {SCALAR: 1, "I": I, "H": H, "P": H if H % 16 == 0 else H // 2 + 1, "O": H if H % 16 == 0 else H + 2}

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return np.asarray(rng.standard_normal(shape) * scale, dtype)

    inputs = {v.name: normal(T, B, size[v.dim]) for v in program.inputs}
    if "mask" in inputs:
        inputs["mask"] = np.asarray(inputs["mask"] > 0, dtype)
        inputs["delta"] = np.abs(inputs["delta"])
    parameters = {
        p.name: normal(*(size[d] for d in p.shape), scale=0.9 / size[p.shape[-1]] ** 0.5 if p.kind == "matrix" else 0.5) for p in program.parameters
    }
    outputs = {key: size[program.nodes[index].dim] for key, index in program.outputs.items()}
    lengths = np.sort(np.concatenate(([T], rng.integers(1, T + 1, B - 1))))[::-1] if ragged else np.full(B, T)
    return Case(
        program,
        dtype,
        inputs,
        parameters,
        {v.name: normal(B, size[v.dim]) for v in program.states},
        {v.name: normal(size[v.dim]) for v in program.states},
        normal(T, B, outputs["output"]),
        {key: normal(T, B, width) for key, width in outputs.items() if key != "output"},
        {v.name: normal(B, size[v.dim]) for v in program.states},
        lengths.astype(np.int64),
        rng.random((T, B)) < 0.3 if resets else None,
        reverse,
    )


def fresh_layer(case: Case) -> CompiledCell:
    """A layer that keeps nothing from earlier calls."""
    return CompiledCell(case.program, case.dtype, targets.get(), case.dtype)


def run(
    case: Case,
    target: str | None = None,
    *,
    save: str = "store",
    gates: bool = True,
    sequence: bool = True,
    threads: int = 1,
    layer: CompiledCell | None = None,
) -> Arrays:
    """What the compiled layer gives, and (unless ``save`` is "none") every gradient."""
    layer = layer or compile_cell(case.program, case.dtype, target)
    options: dict[str, Any] = {"batch_sizes": case.batch_sizes, "reverse": case.reverse, "resets": case.resets, "save": save, "gates": gates}
    options |= {"sequence": sequence, "threads": threads, "restart": None if case.resets is None else case.restart}
    made = layer.forward(case.inputs, case.parameters, case.states, **options)
    found = {} if made.output is None else {"output": made.output}
    found |= _prefixed("gate", made.gates) | _prefixed("state", made.states)
    if save == "none":
        return found
    d_gates = case.d_gates if gates else None
    d = layer.backward(case.inputs, case.parameters, case.states, made.saved, case.d_output, case.d_states, d_gates=d_gates, **options)
    return found | _gradients(d.inputs, d.parameters, d.states, {} if case.resets is None else d.restart)


def expected(case: Case, *, gates: bool = True, sequence: bool = True) -> Arrays:
    """What the reference gives in float64, for the arguments as they are after rounding to the case's dtype."""
    turned = _turned(case) if case.reverse else case
    arguments = (turned.program, _clean(turned, turned.inputs), turned.parameters, turned.states, turned.lengths, turned.resets, turned.restart)
    forward = reference.forward(*arguments)
    upstream = ({"output": turned.d_output} if sequence else {}) | (turned.d_gates if gates else {})
    d = reference.backward(*arguments, d_outputs=upstream, d_states=turned.d_states)
    found = (
        ({"output": forward.output} if sequence else {}) | (_prefixed("gate", forward.gates) if gates else {}) | _prefixed("state", forward.states)
    )
    found |= _gradients(d.inputs, d.params, d.states, {} if case.resets is None else d.restart)
    if case.reverse:
        found |= {key: _turn(array, case.lengths) for key, array in found.items() if array.ndim == 3}
    return found


def central_difference(loss: Callable[[], float], array: Array, step: float = 1e-6) -> Array:
    """The slope of ``loss`` along every element of ``array``, which is changed for each and put back."""
    slope = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = loss()
        array[index] = value - step
        slope[index] = (above - loss()) / (2 * step)
        array[index] = value
    return slope


def assert_agrees(found: Arrays, wanted: Arrays, case: Case) -> None:
    """Every result of ``found`` is finite and within ``terms`` roundings of the largest value of its kind."""
    for key, array in found.items():
        assert array.dtype == case.dtype, key
        assert array.shape == wanted[key].shape, key
        scale = max(1.0, float(np.abs(wanted[key]).max(initial=0.0)))
        np.testing.assert_allclose(array, wanted[key], rtol=0, atol=case.terms * float(np.finfo(case.dtype).eps) * scale, err_msg=key)


def assert_same(found: Arrays, wanted: Arrays) -> None:
    """The same keys and the same bits."""
    assert found.keys() == wanted.keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, wanted[key], err_msg=key)


def rows_of(case: Case, rows: list[int]) -> Case:
    """The case with only these rows, in this order."""

    def pick(arrays: Arrays) -> Arrays:
        return {key: array[:, rows] for key, array in arrays.items()}

    return replace(
        case,
        inputs=pick(case.inputs),
        states={key: array[rows] for key, array in case.states.items()},
        d_output=case.d_output[:, rows],
        d_gates=pick(case.d_gates),
        d_states={key: array[rows] for key, array in case.d_states.items()},
        lengths=case.lengths[rows],
        resets=None if case.resets is None else case.resets[:, rows],
    )


def poisoned(case: Case) -> Case:
    """The case with NaN in the padding of inputs and upstream gradients."""

    def poison(array: Array) -> Array:
        return np.where(case.padding[..., None], np.asarray(np.nan, array.dtype), array)

    gates = {key: poison(array) for key, array in case.d_gates.items()}
    return replace(case, inputs={key: poison(array) for key, array in case.inputs.items()}, d_output=poison(case.d_output), d_gates=gates)


def _prefixed(kind: str, arrays: Arrays) -> Arrays:
    return {f"{kind}:{key}": array for key, array in arrays.items()}


def _gradients(inputs: Arrays, parameters: Arrays, states: Arrays, restart: Arrays) -> Arrays:
    kinds = {"d_input": inputs, "d_parameter": parameters, "d_state": states, "d_restart": restart}
    return {key: array for kind, arrays in kinds.items() for key, array in _prefixed(kind, arrays).items()}


def _clean(case: Case, arrays: Arrays) -> Arrays:
    return {key: np.where(case.padding[..., None], 0.0, array) for key, array in arrays.items()}


def _turn(array: Array, lengths: NDArray[np.int64]) -> Array:
    """Every row's own steps in the opposite order."""
    turned = array.copy()
    for row, length in enumerate(lengths):
        turned[:length, row] = array[:length, row][::-1]
    return turned


def _turned(case: Case) -> Case:
    return replace(
        case,
        inputs={key: _turn(array, case.lengths) for key, array in case.inputs.items()},
        d_output=_turn(case.d_output, case.lengths),
        d_gates={key: _turn(array, case.lengths) for key, array in case.d_gates.items()},
        resets=None if case.resets is None else _turn(case.resets, case.lengths),
    )
