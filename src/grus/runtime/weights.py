"""The weights of a session: checked, copied, and packed once for the kernels; sessions cloned from one another share them."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.cells import Cell
from grus.compiler.blocks import Array, Place
from grus.compiler.execution import NO_STATES, Bound, Sizes, States, Walk
from grus.compiler.native.kernels import NativeCall, address
from grus.compiler.native.target import Target
from grus.compiler.program import SCALAR, Parameter, Program
from grus.compiler.programs import CellPrograms, Mode, Stage
from grus.errors import DtypeError, OptionError, ShapeError
from grus.runtime.arguments import as_array
from grus.runtime.parameters import check_parameter_names

_programs: dict[tuple[int, bool, bool], CellPrograms] = {}


@dataclass(frozen=True, eq=False)
class Record:
    """One kernel call, ready to be made again and again; ``walk`` and ``scratch`` are kept because the call points to them."""

    call: NativeCall
    walk: Walk
    scratch: Array

    def addresses(self) -> tuple[int, int]:
        """The function's address and its arguments'."""
        return self.call.function.address, ctypes.addressof(self.call.arguments)

    def rewrite(self, table: NDArray[np.int64]) -> None:
        """Let the call visit the steps of ``table``, of which there are no more than there were at first."""
        self.walk.table[: len(table)] = table
        self.call.arguments[self.call.function.index["steps"]] = len(table)


class Recorder:
    """A stage with packed weights that gives calls of its own to everyone who asks."""

    def __init__(self, stage: Stage, sizes: Sizes, parameters: Mapping[str, Array]) -> None:
        self.stage, self._bound = stage, Bound(stage, sizes)
        for call in self._bound.load({name: _place(array) for name, array in parameters.items()}):
            call.run()
        self._lock = threading.Lock()

    def record(self, table: NDArray[np.int64], inputs: Mapping[str, Place], outputs: Mapping[str, Place], states: States = NO_STATES) -> Record:
        """The call that runs the stage, with a table and scratch rows of its own."""
        with self._lock:
            walk, self._bound.scratch = Walk.of(table.copy()), []
            (call,) = self._bound.run(walk, inputs, outputs, states)
            (scratch,) = self._bound.scratch
        scratch[:] = 0
        return Record(call, walk, scratch)


def _place(array: Array) -> Place:
    """A parameter's place; it is contiguous."""
    return Place(address(array), array.shape[-1] if array.ndim else 1)


class Layer:
    """One layer: its parameters as they were given, and its kernels with packed weights."""

    def __init__(
        self, program: Program, parameters: Mapping[str, Array], sizes: Mapping[str, int], target: Target, mode: Mode, *, bf16: bool
    ) -> None:
        self.dtype = next(iter(parameters.values())).dtype
        self.program, self.parameters, self.target, self.mode = program, parameters, target, mode
        self.sizes = Sizes(self.dtype, target, sizes, 1)
        self.programs = programs_of(program, all(size % self.sizes.lanes == 0 for dim, size in sizes.items() if dim != SCALAR), bf16)
        self.output_dim = program.nodes[program.outputs["output"]].dim
        prologue = self.programs.prologue(mode)
        self.prologue = None if prologue.idle else Recorder(prologue, self.sizes, parameters)
        self.loop = Recorder(self.programs.loop(mode), self.sizes, parameters)


def programs_of(program: Program, exact: bool, bf16: bool) -> CellPrograms:
    """The programs derived from a cell's, made once; they keep the program alive, so its identity stays its own."""
    key = id(program), exact, bf16
    if key not in _programs:
        _programs[key] = CellPrograms(program, exact, bf16)
    return _programs[key]


def check_dtype(dtype: str) -> np.dtype[Any]:
    """The element type of a session.

    Raises: DtypeError where it is neither float32 nor float64.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in (np.dtype("float32"), np.dtype("float64")):
        raise DtypeError(f"Session: dtype must be 'float32' or 'float64', got {dtype!r}; convert the weights, the session does it for you.")
    return found


def check_precision(precision: str | None, dtype: np.dtype[Any]) -> str:
    """The precision of a session's products.

    Raises: OptionError where it is neither that of ``dtype`` nor bf16 with float32.
    """
    if precision not in (None, dtype.name) and (precision, dtype.name) != ("bf16", "float32"):
        raise OptionError(
            f"Session: precision must be {dtype.name!r}, or 'bf16' with dtype 'float32', got {precision!r} with {dtype.name!r}; drop it."
        )
    return precision or dtype.name


def check_stack(cell: Cell, layers: Sequence[Mapping[str, ArrayLike]], dtype: np.dtype[Any]) -> list[tuple[dict[str, Array], dict[str, int]]]:
    """Own, read-only copies of every layer's parameters, and the layer's size of each dimension.

    Raises: OptionError for names, ShapeError for shapes, DtypeError for what is not real numbers.
    """
    if not layers:
        raise OptionError("Session: parameters must be those of at least one layer, got an empty sequence; pass a mapping for one layer.")
    first, output = cell.program.inputs[0], cell.program.nodes[cell.program.outputs["output"]].dim
    if len(layers) > 1 and len(cell.inputs) > 1:
        raise OptionError(
            f"Session({cell.name}): must have one layer, as layers above have no {cell.inputs[1]!r} to read, got {len(layers)}; open one for each."
        )
    checked: list[tuple[dict[str, Array], dict[str, int]]] = []
    for number, layer in enumerate(layers):
        who = f"Session({cell.name})" + (f": layer {number}" if len(layers) > 1 else "")
        arrays, sizes = _check_layer(cell, layer, dtype, who)
        if checked and sizes[first.dim] != checked[-1][1][output]:
            below = checked[-1][1][output]
            raise ShapeError(
                f"{who}: {first.dim} must be {below}, the size of the layer below's output, got {sizes[first.dim]}; order the layers from below."
            )
        checked.append((arrays, sizes))
    return checked


def _check_layer(cell: Cell, given: Mapping[str, ArrayLike], dtype: np.dtype[Any], who: str) -> tuple[dict[str, Array], dict[str, int]]:
    check_parameter_names(who, cell, given)
    sizes: dict[str, int] = {SCALAR: 1}
    arrays: dict[str, Array] = {}
    for parameter in cell.parameters:
        array = as_array(who, parameter.name, given[parameter.name], dtype)
        _check_shape(parameter, array, sizes, who)
        arrays[parameter.name] = np.array(array, dtype, order="C")
        arrays[parameter.name].flags.writeable = False
    unknown = [v.dim for v in (*cell.program.inputs, *cell.program.states) if v.dim not in sizes]
    if unknown:
        raise OptionError(f"{who}: the size of every dimension must follow from a parameter's shape, got none with {unknown[0]}; scale by a vector.")
    return arrays, sizes


def _check_shape(parameter: Parameter, array: Array, sizes: dict[str, int], who: str) -> None:
    """Compare with the sizes known so far, and learn the others."""
    known = [sizes.get(dim, dim) for dim in parameter.shape]
    fits = array.ndim == len(known) and all(isinstance(want, str) or want == size for want, size in zip(known, array.shape, strict=True))
    if not fits or 0 in array.shape:
        want = ", ".join(f"{dim} = {sizes[dim]}" if dim in sizes else f"{dim} ≥ 1" for dim in parameter.shape)
        raise ShapeError(f"{who}: {parameter.name} must be [{want}], got {list(array.shape)}; all parameters must agree on the sizes.")
    sizes |= dict(zip(parameter.shape, array.shape, strict=True))
