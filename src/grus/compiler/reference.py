"""The truth: step programs interpreted in NumPy float64, one step after the other.

``forward`` runs a cell's program as it was traced; ``backward`` runs what the compiler derives from it (split, differentiated) in the
same plain way, so it proves the derivation against finite differences and every kernel against the derivation.

Shapes: inputs [T, B, dim], states [B, dim], outputs and gates [T, B, dim], lengths [B], resets [T, B]; a scalar has dim 1.
A row takes no part in steps from its length on: what is there is never read, its outputs are zero, its final state is that of its last
step. Where ``resets`` is true, the state before the step is replaced by ``restart`` (default zeros) and no gradient passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.compiler.differentiate import Gradient, differentiate
from grus.compiler.hoist import split
from grus.compiler.program import SCALAR, Node, Program, Variable
from grus.errors import OptionError, ShapeError

Array = NDArray[np.float64]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Result:
    """What a sequence gives: ``output`` [T, B, D], each state after each row's last step [B, D], and the gates [T, B, D]."""

    output: Array
    states: Arrays
    gates: Arrays


@dataclass(frozen=True)
class Gradients:
    """The gradient of every parameter, input, initial state and restart value; zeros where nothing flows."""

    params: Arrays
    inputs: Arrays
    states: Arrays
    restart: Arrays


@dataclass(frozen=True)
class _Run:
    """A checked call: float64 arrays, the size of each dimension, which rows take part in which step, and where a row restarts."""

    inputs: Arrays
    params: Arrays
    states: Arrays
    restart: Arrays
    sizes: Mapping[str, int]
    alive: NDArray[np.bool_]
    resets: NDArray[np.bool_]


def evaluate(
    program: Program, values: Mapping[str, Array], params: Mapping[str, Array], states: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """One step of any step program for a batch of rows: (outputs, next states), each [B, dim]."""
    rows = next((len(array) for array in (*values.values(), *states.values())), 1)
    computed = _compute(program, values, params, states)
    sizes = _sizes(program, values, params, states)

    def full(index: int) -> Array:
        return np.broadcast_to(computed[index], (rows, sizes[program.nodes[index].dim])).astype(np.float64)

    outputs = {name: full(index) for name, index in program.outputs.items()}
    return outputs, {state.name: full(index) for state, index in zip(program.states, program.next_states, strict=True)}


def forward(
    program: Program,
    inputs: Mapping[str, ArrayLike],
    params: Mapping[str, ArrayLike],
    states: Mapping[str, ArrayLike] | None = None,
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    restart: Mapping[str, ArrayLike] | None = None,
) -> Result:
    """A cell over whole sequences, from ``states`` (default zeros).

    Raises:
        ShapeError: an array is missing or its shape is not what the program says.
        OptionError: a length is negative or beyond T.
    """
    run = _checked(program, inputs, params, states, lengths, resets, restart)
    outputs, final, _ = _forward_loop(program, run, run.inputs)
    return Result(outputs.pop("output"), final, outputs)


def backward(
    program: Program,
    inputs: Mapping[str, ArrayLike],
    params: Mapping[str, ArrayLike],
    states: Mapping[str, ArrayLike] | None = None,
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    restart: Mapping[str, ArrayLike] | None = None,
    *,
    d_outputs: Mapping[str, ArrayLike] | None = None,
    d_states: Mapping[str, ArrayLike] | None = None,
) -> Gradients:
    """The gradients of sum(d_outputs * outputs) + sum(d_states * final states).

    ``d_outputs`` [T, B, D] by name: "output" and any gates; ``d_states`` [B, D] by state. What is beyond a row's length is not read.

    Raises:
        ShapeError: an array is missing or its shape is not what the program says.
        OptionError: a length is negative or beyond T.
        CellError: the program cannot be differentiated (see ``differentiate``).
    """
    run = _checked(program, inputs, params, states, lengths, resets, restart)
    parts = split(program)
    early = {name: array[run.alive] for name, array in run.inputs.items()}
    early_values = _compute(parts.prologue, early, run.params, {})
    streams = {stream.name: _spread(run, early_values[parts.prologue.outputs[stream.name]], stream) for stream in parts.streams}

    upstream = {name: np.asarray(array, np.float64) for name, array in (d_outputs or {}).items()}
    loop = differentiate(parts.loop, outputs=tuple(upstream))
    carry = {state.name: np.zeros_like(run.states[state.name]) for state in program.states}
    carry |= {name: np.array(array, np.float64) for name, array in (d_states or {}).items()}
    result = _zeros(run)
    d_loop_inputs = _backward_loop(parts.loop, loop, run, run.inputs | streams, upstream, carry, result)

    reached = tuple(stream.name for stream in parts.streams if stream.name in d_loop_inputs)
    prologue = differentiate(parts.prologue, outputs=reached)
    values = early | {name: _rows(run, early_values[index], parts.prologue.nodes[index].dim) for name, index in prologue.saved}
    values |= {prologue.upstream[name]: d_loop_inputs[name][run.alive] for name in reached if name in prologue.upstream}
    outputs, _ = evaluate(prologue.program, values, run.params, {})
    _accumulate(prologue, outputs, values, result.params)
    for name in result.inputs:
        if name in d_loop_inputs:
            result.inputs[name] += d_loop_inputs[name]
        if name in prologue.input_gradients:
            result.inputs[name][run.alive] += _as_input(outputs[prologue.input_gradients[name]], result.inputs[name])
    return result


def _forward_loop(program: Program, run: _Run, inputs: Arrays, saved: tuple[tuple[str, int], ...] = ()) -> tuple[Arrays, Arrays, Arrays]:
    """Every output, the final states, and the saved values with the states before each step ([T, B, dim], NaN where no step is)."""
    state = {name: array.copy() for name, array in run.states.items()}
    kept = {name: _buffer(run, program.nodes[index].dim, np.nan) for name, index in saved}
    kept |= {variable.name: _buffer(run, variable.dim, np.nan) for variable in program.states}
    outputs = {name: _buffer(run, program.nodes[index].dim, 0.0) for name, index in program.outputs.items()}
    for step, alive in enumerate(run.alive):
        for name, value in run.restart.items():
            state[name][run.resets[step] & alive] = value
        values = {name: array[step, alive] for name, array in inputs.items()}
        before = {name: array[alive] for name, array in state.items()}
        computed = _compute(program, values, run.params, before)
        for name, array in before.items():
            kept[name][step, alive] = array
        for name, index in saved:
            kept[name][step, alive] = computed[index]
        for name, index in program.outputs.items():
            outputs[name][step, alive] = computed[index]
        for variable, index in zip(program.states, program.next_states, strict=True):
            state[variable.name][alive] = computed[index]
    return outputs, state, kept


def _backward_loop(program: Program, gradient: Gradient, run: _Run, inputs: Arrays, upstream: Arrays, carry: Arrays, result: Gradients) -> Arrays:
    """Runs the loop's gradient from the last step to the first; returns the adjoints of the loop's inputs."""
    _, _, kept = _forward_loop(program, run, {variable.name: inputs[variable.name] for variable in program.inputs}, gradient.saved)
    available = inputs | kept | {gradient.upstream[name]: array for name, array in upstream.items() if name in gradient.upstream}
    read = {variable.name for variable in gradient.program.inputs} | {item.operand for item in gradient.matrix_gradients}
    d_inputs = {variable.name: _buffer(run, variable.dim, 0.0) for variable in program.inputs if variable.name in gradient.input_gradients}
    for step in reversed(range(len(run.alive))):
        alive = run.alive[step]
        values = {name: available[name][step, alive] for name in read}
        outputs, before = evaluate(gradient.program, values, run.params, {f"d_{name}": array[alive] for name, array in carry.items()})
        _accumulate(gradient, outputs, values, result.params)
        for name, array in d_inputs.items():
            array[step, alive] = _as_input(outputs[gradient.input_gradients[name]], array)
        restarted = run.resets[step] & alive
        for name, array in carry.items():
            array[alive] = before[f"d_{name}"]
            result.restart[name] += array[restarted].sum(axis=0)
            array[restarted] = 0.0
    result.states.update(carry)
    return d_inputs


def _accumulate(gradient: Gradient, outputs: Arrays, values: Mapping[str, Array], params: Arrays) -> None:
    """Adds a batch of rows to the parameters' gradients."""
    for product in gradient.matrix_gradients:
        adjoint, operand = outputs[product.adjoint], values[product.operand]
        params[product.matrix] += operand.T @ adjoint if product.transposed else adjoint.T @ operand
    for name, output in gradient.vector_gradients.items():
        params[name] += outputs[output].sum(axis=0)
    for name, output in gradient.scalar_gradients.items():
        params[name] += outputs[output].sum()


def _compute(program: Program, values: Mapping[str, Array], params: Mapping[str, Array], states: Mapping[str, Array]) -> list[Array]:
    """Every node's value: [B, dim], or what broadcasts to it."""
    computed: list[Array] = []
    for node in program.nodes:
        if node.op in ("input", "state"):
            computed.append((values if node.op == "input" else states)[node.name])
        elif node.op in ("vector", "scalar"):
            computed.append(params[node.name])
        elif node.op == "constant":
            computed.append(np.full(1, node.value))
        elif node.op == "affine":
            computed.append(_affine(node, computed, params))
        elif node.op == "mean":
            computed.append(computed[node.args[0]].mean(axis=-1, keepdims=True))
        else:
            computed.append(_ELEMENTWISE[node.op](*(computed[arg] for arg in node.args)))
    return computed


def _affine(node: Node, computed: list[Array], params: Mapping[str, Array]) -> Array:
    total = computed[node.args[0]] if node.args else np.zeros(1)
    for term in node.terms:
        matrix = params[term.matrix]
        total = total + computed[term.operand] @ (matrix if term.transposed else matrix.T)
    return total


def _sigmoid(x: Array) -> Array:
    return np.where(x >= 0, 1.0, np.exp(-np.abs(x))) / (1.0 + np.exp(-np.abs(x)))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _greater(a: Array, b: Array) -> Array:
    return np.greater(a, b).astype(np.float64)


def _where(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition != 0.0, a, b)


def _first(value: Array, limit: Array) -> Array:
    return value


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": _relu,
    "softplus": _softplus,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "greater": _greater,
    "where": _where,
    "clip_gradient": _first,
}


def _sizes(program: Program, values: Mapping[str, Array], params: Mapping[str, Array], states: Mapping[str, Array]) -> dict[str, int]:
    """The size of each dimension, from the arrays' last axes."""
    sizes = {SCALAR: 1}

    def bind(owner: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
        if len(dims) != len(shape) or any(sizes.setdefault(dim, size) != size for dim, size in zip(dims, shape, strict=True)):
            expected = [sizes.get(dim, dim) for dim in dims]
            raise ShapeError(f"reference: {owner} must be {list(dims)} = {expected}, got {list(shape)}; give it that shape.")

    for kind, variables, arrays in (("input", program.inputs, values), ("state", program.states, states)):
        for variable in variables:
            if variable.name not in arrays:
                raise ShapeError(f"reference: {kind} {variable.name!r} must be given, got {sorted(arrays)}; add it.")
            bind(f"the last axis of {kind} {variable.name!r}", (variable.dim,), arrays[variable.name].shape[-1:])
    for parameter in program.parameters:
        if parameter.name not in params:
            raise ShapeError(f"reference: parameter {parameter.name!r} must be given, got {sorted(params)}; add it.")
        bind(f"parameter {parameter.name!r}", parameter.shape, np.shape(params[parameter.name]))
    return sizes


def _checked(
    program: Program,
    inputs: Mapping[str, ArrayLike],
    params: Mapping[str, ArrayLike],
    states: Mapping[str, ArrayLike] | None,
    lengths: ArrayLike | None,
    resets: ArrayLike | None,
    restart: Mapping[str, ArrayLike] | None,
) -> _Run:
    """The call's arrays as float64, its shapes checked, defaults filled in."""
    values = {name: np.asarray(array, np.float64) for name, array in inputs.items()}
    weights = {name: np.asarray(array, np.float64) for name, array in params.items()}
    given = {name: np.asarray(array, np.float64) for name, array in (states or {}).items()}
    if not values:
        raise ShapeError("reference: inputs must hold one array [T, B, dim] for each input, got none; give at least one.")
    for name, array in values.items():
        if array.ndim != 3 or array.shape[:2] != next(iter(values.values())).shape[:2]:
            raise ShapeError(f"reference: input {name!r} must be [T, B, dim] like the others, got {list(array.shape)}; give it one row per step.")
    steps, rows = (int(size) for size in next(iter(values.values())).shape[:2])
    known = tuple(state for state in program.states if state.name in given)
    sizes = _sizes(replace(program, states=known), values, weights, given)
    start = {state.name: _shaped(f"state {state.name!r}", given.get(state.name), (rows, sizes[state.dim])) for state in program.states}
    again = restart or {}
    fresh = {state.name: _shaped(f"restart {state.name!r}", again.get(state.name), (sizes[state.dim],)) for state in program.states}
    ends: NDArray[np.int64] = np.full(rows, steps, np.int64) if lengths is None else np.asarray(lengths, np.int64)
    if ends.shape != (rows,):
        raise ShapeError(f"reference: lengths must be [B] = [{rows}], got {list(ends.shape)}; give one length per row.")
    if ends.size and (ends.min() < 0 or ends.max() > steps):
        raise OptionError(f"reference: lengths must be from 0 to T = {steps}, got {ends.tolist()}; cut them to the sequence.")
    alive: NDArray[np.bool_] = np.less(np.arange(steps)[:, None], ends)
    marks = np.asarray(_shaped("resets", resets, (steps, rows)), bool)
    return _Run(values, weights, start, fresh, sizes, alive, marks)


def _shaped(owner: str, array: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    given = np.zeros(shape) if array is None else np.asarray(array, np.float64)
    if given.shape != shape:
        raise ShapeError(f"reference: {owner} must be {list(shape)}, got {list(given.shape)}; pass None for zeros.")
    return given


def _buffer(run: _Run, dim: str, fill: float) -> Array:
    return np.full((*run.alive.shape, run.sizes[dim]), fill)


def _rows(run: _Run, values: Array, dim: str) -> Array:
    return np.broadcast_to(values, (int(run.alive.sum()), run.sizes[dim]))


def _spread(run: _Run, rows: Array, variable: Variable) -> Array:
    """Values of the rows that take part, as [T, B, dim] with NaN elsewhere."""
    array = _buffer(run, variable.dim, np.nan)
    array[run.alive] = rows
    return array


def _as_input(adjoint: Array, target: Array) -> Array:
    """An input's adjoint; that of a scalar input is summed over the units it comes from."""
    return adjoint.sum(axis=-1, keepdims=True) if target.shape[-1] == 1 else adjoint


def _zeros(run: _Run) -> Gradients:
    def like(arrays: Arrays) -> Arrays:
        return {name: np.zeros_like(array) for name, array in arrays.items()}

    return Gradients(like(run.params), like(run.inputs), like(run.states), like(run.restart))
