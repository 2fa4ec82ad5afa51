"""One layer of a cell in one direction, compiled: forward and backward over whole sequences of NumPy arrays.

    prologue (all rows at once)  →  loop (step by step)  →  outputs and final states
    loop gradient (reverse)  →  prologue gradient (all rows at once)  →  weight gradients (products over all rows)

Time is walked in segments, so that what the prologue hands to the loop, and the gates' gradients, stay in the cache. What a gradient needs
is kept by policy: "store" keeps every gate, "recompute" keeps every state and computes the gates again (for all steps of a segment at
once), "checkpoint" keeps the state at the start of every segment of about sqrt(T) steps and runs each segment again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.arguments import Parameters, Targets, new_targets
from grus.compiler.backward import BackwardRun, Upstream
from grus.compiler.blocks import Array
from grus.compiler.execution import Bound, Sizes
from grus.compiler.idle import IdleRuns
from grus.compiler.native.target import Target
from grus.compiler.native.target import get as get_target
from grus.compiler.program import Program
from grus.compiler.programs import CellPrograms, Stage
from grus.compiler.run import Call, ForwardRun, Shape, shape_of
from grus.compiler.steps import Steps, ragged_steps, uniform_steps
from grus.errors import DtypeError, OptionError, ShapeError

SAVING = ("none", "store", "recompute", "checkpoint")


@dataclass(frozen=True, eq=False)
class Forward:
    """What a run gives; ``saved`` is what its gradient needs back."""

    output: Array | None
    states: dict[str, Array]
    gates: dict[str, Array]
    saved: list[Array]


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients by name; ``restart`` are those of the restart states."""

    inputs: dict[str, Array]
    parameters: dict[str, Array]
    states: dict[str, Array]
    restart: dict[str, Array]


@lru_cache(maxsize=256)
def _compiled(key: _Key, dtype: str, target: Target, precision: str) -> CompiledCell:
    return CompiledCell(key.program, dtype, target, precision)


class _Key:
    """A program as a dictionary key, by identity (programs are immutable and live as long as their cells)."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __hash__(self) -> int:
        return id(self.program)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.program is self.program


def compile_cell(program: Program, dtype: str = "float32", target: str | None = None, precision: str | None = None) -> CompiledCell:
    """The compiled layer of a cell's program; one object per program, dtype, target and precision.

    ``precision`` "bf16" rounds the operands of all products to bfloat16; sums, states and gradients stay float32.

    Raises:
        OptionError: the dtype or the precision is unknown, or bf16 is asked for with float64.
    """
    if dtype not in ("float32", "float64"):
        raise OptionError(f"compile_cell: dtype must be 'float32' or 'float64', got {dtype!r}.")
    precision = dtype if precision is None else precision
    if precision != dtype and (precision, dtype) != ("bf16", "float32"):
        raise OptionError(f"compile_cell: precision must be {dtype!r}, or 'bf16' with dtype 'float32', got {precision!r} with {dtype!r}.")
    return _compiled(_Key(program), dtype, get_target(target), precision)


class CompiledCell:
    """A cell compiled for one dtype, target and precision, for any sizes. See ``forward`` and ``backward``."""

    def __init__(self, program: Program, dtype: str, target: Target, precision: str) -> None:
        self.program, self.target = program, target
        self.dtype = np.dtype(dtype)
        self.lanes = target.lanes(dtype)
        self._widths = tuple({variable.dim: variable.name for variable in program.inputs}.items())
        self._measures = _measures(program)
        self._names = {kind: frozenset(v.name for v in found) for kind, found in (("inputs", program.inputs), ("states", program.states))}
        self._idle = IdleRuns(self._make_run)
        self._programs = {exact: CellPrograms(program, exact, precision == "bf16") for exact in (False, True)}

    def forward(
        self,
        inputs: Mapping[str, Array],
        parameters: Mapping[str, Array] | Parameters,
        states: Mapping[str, Array | None],
        *,
        batch_sizes: NDArray[np.int64] | None = None,
        reverse: bool = False,
        resets: NDArray[Any] | None = None,
        restart: Mapping[str, Array] | None = None,
        save: str = "none",
        gates: bool = False,
        sequence: bool = True,
        threads: int = 1,
        out: Array | None = None,
    ) -> Forward:
        """Run the cell over a batch of sequences.

        Shapes: inputs [T, B, D], or packed [N, D] with ``batch_sizes``; states [B, D] or None for zeros; resets [T, B]. The output and the
        gates come in the inputs' shape, zero at padded steps; states are each row's own last. ``out`` is an array of that shape, without padded
        steps, that the output is written to, such as some columns of a wider one.
        """
        steps = self._steps(inputs, batch_sizes, reverse)
        target = None if out is None else _target(out, inputs[self.program.inputs[0].name].shape[:-1], sequence, steps, self.dtype)
        known = self._known(parameters)
        key = shape_of(self._sizes(inputs, known), steps, sequence, gates, _policy(save), save != "none", _count(threads), resets is not None)
        call = self._call(inputs, known, states, steps, resets, restart)
        run = self._idle.take(key, None)
        assert isinstance(run, ForwardRun)
        output, gate_values, finals, saved = run.run(call, target)
        self._idle.give_back(key, None, run)
        shape = inputs[self.program.inputs[0].name].shape
        return Forward(
            None if output is None else _unpack(output, shape, steps) if out is None else out,
            finals,
            {name: _unpack(value, shape, steps) for name, value in gate_values.items()},
            saved,
        )

    def backward(
        self,
        inputs: Mapping[str, Array],
        parameters: Mapping[str, Array] | Parameters,
        states: Mapping[str, Array | None],
        saved: list[Array],
        d_output: Array | None,
        d_states: Mapping[str, Array | None],
        *,
        batch_sizes: NDArray[np.int64] | None = None,
        reverse: bool = False,
        resets: NDArray[Any] | None = None,
        restart: Mapping[str, Array] | None = None,
        save: str = "store",
        gates: bool = False,
        sequence: bool = True,
        threads: int = 1,
        d_gates: Mapping[str, Array | None] | None = None,
        needs_inputs: frozenset[str] | None = None,
        needs_parameters: bool = True,
        into: Mapping[str, Array] | Targets | None = None,
    ) -> Gradients:
        """The gradients of ``forward`` with the same arguments. ``into`` names zeroed arrays that parameters' gradients are added to."""
        steps = self._steps(inputs, batch_sizes, reverse)
        known = self._known(parameters)
        key = shape_of(self._sizes(inputs, known), steps, sequence, gates, _policy(save), True, _count(threads), resets is not None)
        call = self._call(inputs, known, states, steps, resets, restart)
        wanted = frozenset(inputs) if needs_inputs is None else needs_inputs
        outputs = {"output": d_output, **(d_gates or {})} if sequence else dict(d_gates or {})
        packed = {name: None if value is None else _rows(value, steps, self.dtype) for name, value in outputs.items()}
        run = self._idle.take(key, wanted)
        assert isinstance(run, BackwardRun)
        targets: Targets | None = None
        if needs_parameters:
            if isinstance(into, Targets):
                self._check_own(into)
            targets = into if isinstance(into, Targets) else new_targets(self.program, self.dtype, run.units, into or {})
        d_inputs, d_parameters, d_initial, d_restart = run.run(call, saved, Upstream(packed, d_states, targets))
        self._idle.give_back(key, wanted, run)
        shape = inputs[self.program.inputs[0].name].shape
        return Gradients({name: _unpack(value, shape, steps) for name, value in d_inputs.items()}, d_parameters, d_initial, d_restart)

    def saved_bytes(self, sizes: Mapping[str, int], steps: int, rows: int, save: str, sequence: bool = True) -> int:
        """The size of what ``forward`` saves for T steps of B rows, where the dimensions have these sizes."""
        shape = shape_of(tuple(sizes.items()), uniform_steps(steps, rows, False), sequence, False, _policy(save), True, 1, False)
        run = self._make_run(shape, None, Bound)
        return run.saved_size * self.dtype.itemsize

    def _make_run(self, shape: Shape, wanted: frozenset[str] | None, bind: Callable[[Stage, Sizes], Bound]) -> ForwardRun | BackwardRun:
        programs = self._programs[all(size % self.lanes == 0 for _, size in shape.sizes)]
        if wanted is None:
            return ForwardRun(self.dtype, self.target, programs, shape, bind)
        return BackwardRun(self.dtype, self.target, programs, shape, bind, wanted)

    def _steps(self, inputs: Mapping[str, Array], batch_sizes: NDArray[np.int64] | None, reverse: bool) -> Steps:
        _check_names("inputs", self._names["inputs"], inputs)
        if batch_sizes is None:
            shape = inputs[self.program.inputs[0].name].shape
            return uniform_steps(shape[0], shape[1], reverse)
        return ragged_steps(np.ascontiguousarray(batch_sizes, np.int64).tobytes(), reverse)

    def parameters(self, given: Mapping[str, Array]) -> Parameters:
        """Parameters whose names and addresses are looked at once, for many calls."""
        return Parameters(self.program, self.dtype, given)

    def targets(self, given: Mapping[str, Array]) -> Targets:
        """Arrays for the gradients of all parameters that are looked at once, for many calls."""
        return Targets(self.program, self.dtype, given)

    def _known(self, given: Mapping[str, Array] | Parameters) -> Parameters:
        if not isinstance(given, Parameters):
            return self.parameters(given)
        self._check_own(given)
        return given

    def _check_own(self, given: Parameters | Targets) -> None:
        """Raises: OptionError."""
        if given.program is not self.program or given.dtype != self.dtype:
            got = f"{type(given).__name__} of {given.dtype}" + ("" if given.program is self.program else " of another cell")
            raise OptionError(f"compiled cell: what is passed for many calls must be of this cell and {self.dtype}, got {got}; make it anew.")

    def _sizes(self, inputs: Mapping[str, Array], parameters: Parameters) -> tuple[tuple[str, int], ...]:
        """Every dimension's size."""
        arrays = parameters.arrays
        measured = [(dim, arrays[name].shape[axis]) for dim, name, axis in self._measures]
        return (*[(dim, inputs[name].shape[-1]) for dim, name in self._widths], *measured)

    def _call(
        self,
        inputs: Mapping[str, Array],
        parameters: Parameters,
        states: Mapping[str, Array | None],
        steps: Steps,
        resets: NDArray[Any] | None,
        restart: Mapping[str, Array] | None,
    ) -> Call:
        if not states.keys() <= self._names["states"]:
            _check_names("states", self._names["states"], states)
        if resets is not None and resets.shape != (steps.count, steps.batch):
            raise ShapeError(f"compiled cell: resets must be [T, B] = {[steps.count, steps.batch]}, got {list(resets.shape)}.")
        packed_resets = None if resets is None else np.ascontiguousarray(np.asarray(resets, bool)[steps.mask]).view(np.uint8)
        packed = {v.name: _pack(inputs[v.name], steps, self.dtype) for v in self.program.inputs}
        return Call(packed, parameters, states, packed_resets, restart or {})


def _policy(save: str) -> str:
    if save not in SAVING:
        raise OptionError(f"compiled cell: save must be one of {', '.join(SAVING)}, got {save!r}.")
    return save


def _count(threads: int) -> int:
    if threads < 1:
        raise OptionError(f"compiled cell: threads must be at least 1, got {threads}.")
    return threads


def _check_names(kind: str, wanted: frozenset[str], given: Mapping[str, object]) -> None:
    if len(given) != len(wanted) or not wanted.issuperset(given):
        raise OptionError(f"compiled cell: {kind} must be named {sorted(wanted)}, got {sorted(given)}.")


def _measures(program: Program) -> tuple[tuple[str, str, int], ...]:
    """For every dimension that no input has: a parameter and an axis of it that show its size."""
    known = {variable.dim for variable in program.inputs}
    found: dict[str, tuple[str, str, int]] = {}
    for parameter in program.parameters:
        for axis, dim in enumerate(parameter.shape):
            if dim not in known and dim not in found:
                found[dim] = dim, parameter.name, axis
    return tuple(found.values())


def _pack(array: Array, steps: Steps, dtype: np.dtype[Any]) -> Array:
    """[T, B, D] (or packed [N, D]) as contiguous packed rows [N, D]."""
    return np.ascontiguousarray(_rows(array, steps, dtype))


def _rows(array: Array, steps: Steps, dtype: np.dtype[Any]) -> Array:
    """The same as rows that may lie apart, of adjacent columns.

    Raises: ShapeError where the sequence has not the steps' sizes; DtypeError.
    """
    if array.ndim == 3:
        if array.shape[:2] != (steps.count, steps.batch):
            raise ShapeError(f"compiled cell: a sequence must be [T, B, D] with [T, B] = {[steps.count, steps.batch]}, got {list(array.shape)}.")
        uniform = steps.rows == array.shape[0] * array.shape[1]
        array = array.reshape(steps.rows, array.shape[2]) if uniform else array[steps.mask]
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"compiled cell: a sequence must hold real numbers, got {array.dtype}; convert it first.")
    return array if array.dtype == dtype and _has_rows(array) else np.ascontiguousarray(array, dtype)


def _has_rows(array: Array) -> bool:
    """Whether rows [N, D] lie whole elements apart, forwards, and their columns side by side."""
    apart, adjacent = array.strides
    return (adjacent == array.itemsize or array.shape[1] == 1) and apart >= 0 and apart % array.itemsize == 0


def _target(out: Array, shape: tuple[int, ...], sequence: bool, steps: Steps, dtype: np.dtype[Any]) -> Array:
    """The rows [N, D] of an array that an output over steps of this shape is written to.

    Raises: OptionError where there is no such output, or it has padded steps; ShapeError, DtypeError for another array.
    """
    if not sequence or steps.rows != prod(shape):
        reason = "the output has padded steps" if sequence else "sequence is False"
        raise OptionError(f"compiled cell: out must be None where {reason}, got an array; leave it out.")
    if out.shape[:-1] != shape:
        raise ShapeError(f"compiled cell: out must be {[*shape]} rows as the inputs are, got {[*out.shape[:-1]]}.")
    rows = out.reshape(steps.rows, out.shape[-1])
    apart = len(rows) < 2 or rows.strides[0] >= rows.shape[1] * dtype.itemsize
    own = out.dtype == dtype and out.flags.writeable and (not rows.size or np.may_share_memory(rows, out))
    if not (own and apart and _has_rows(rows)):
        got = f"{out.dtype} with strides {out.strides}" + ("" if out.flags.writeable else ", read-only")
        raise DtypeError(f"compiled cell: out must be a writeable {dtype} array of rows of adjacent columns, evenly apart, got {got}.")
    return rows


def _unpack(packed: Array, shape: tuple[int, ...], steps: Steps) -> Array:
    """Packed rows in the shape of the inputs, zero at padded steps."""
    if len(shape) == 2:
        return packed
    if steps.rows == shape[0] * shape[1]:
        return packed.reshape(*shape[:2], packed.shape[1])
    full = np.zeros((*shape[:2], packed.shape[1]), packed.dtype)
    full[steps.mask] = packed
    return full
