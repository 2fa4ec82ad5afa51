"""What a caller passes again and again, looked at once: its parameters, and the arrays that their gradients are added to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grus.compiler.blocks import Array
from grus.compiler.native.kernels import address
from grus.compiler.program import Program
from grus.errors import DtypeError, OptionError, ShapeError


class Parameters:
    """A cell's parameters with their addresses; values written into the arrays later are seen, unless an array had to be converted.

    ``converted`` tells whether one had to be: it then holds a copy of the values of now.
    """

    def __init__(self, program: Program, dtype: np.dtype[Any], given: Mapping[str, Array]) -> None:
        self.program, self.dtype, self.found = program, dtype, dict[str, int]()
        self.arrays: dict[str, Array] = {}
        self.converted = False
        self._fits: Mapping[str, int] | None = None
        names = [parameter.name for parameter in program.parameters]
        if set(given) != set(names):
            raise OptionError(f"compiled cell: parameters must be named {sorted(names)}, got {sorted(given)}.")
        ranks = {parameter.name: len(parameter.shape) for parameter in program.parameters}
        for name in names:
            array, size = np.asarray(given[name]), dtype.itemsize
            if array.ndim != ranks[name]:
                raise ShapeError(f"compiled cell: parameter {name!r} must have {ranks[name]} dimensions, got {list(array.shape)}.")
            stride = array.strides[0] if array.ndim == 2 else size
            if array.dtype != dtype or (array.strides and array.strides[-1] != size and array.shape[-1] > 1) or stride < 0 or stride % size:
                array, self.converted = np.array(array, dtype, order="C"), True
            self.arrays[name] = array
            self.found[f"parameter {name}"] = address(array)
            self.found[f"stride {name}"] = array.strides[0] // size if array.ndim == 2 else 1

    def check(self, units: Mapping[str, int]) -> None:
        """Raises ShapeError where a shape differs from these sizes of dimensions."""
        if self._fits != units:
            check_shapes(self.program, units, self.arrays)
            self._fits = units


class Targets:
    """Zeroed arrays that parameters' gradients are added to, with their addresses.

    ``layout`` tells for every matrix the one whose array begins the piece of memory that its own lies in, the distance in bytes, and the
    elements from row to row: what lies in one piece can be summed as one product.
    """

    def __init__(self, program: Program, dtype: np.dtype[Any], arrays: Mapping[str, Array]) -> None:
        self.program, self.dtype, self.arrays, self.found = program, dtype, arrays, dict[str, int]()
        unknown = sorted(set(arrays) - {parameter.name for parameter in program.parameters})
        if unknown:
            raise OptionError(f"compiled cell: into must name parameters of the cell, got {unknown[0]!r}; leave it out.")
        self._fits: Mapping[str, int] | None = None
        pieces: dict[int, tuple[str, int]] = {}  # where a piece ends: its first matrix, and where it begins
        layout: list[tuple[str, int, int]] = []
        for parameter in program.parameters:
            name, array, size = parameter.name, arrays[parameter.name], dtype.itemsize
            adjacent = array.ndim == 0 or array.strides[-1] == size or array.shape[-1] <= 1
            whole = all(stride % size == 0 for stride in array.strides)
            if array.dtype != dtype or not adjacent or not whole or not array.flags.writeable:
                got = f"{array.dtype} with strides {array.strides}" + ("" if array.flags.writeable else ", read-only")
                raise DtypeError(
                    f"compiled cell: into {name!r} must be a writeable {dtype} array of whole elements with adjacent columns, got {got}."
                )
            base = address(array)
            if array.ndim != 2:
                self.found[f"gradient {name}"] = base
                continue
            first, start = pieces.pop(base, (name, base))
            pieces[base + len(array) * array.strides[0]] = first, start
            self.found[f"gradient {first}"] = start
            layout.append((first, base - start, array.strides[0] // size))
        self.layout = tuple(layout)

    def check(self, units: Mapping[str, int]) -> None:
        """Raises ShapeError where a shape differs from these sizes of dimensions."""
        if self._fits != units:
            check_shapes(self.program, units, self.arrays)
            self._fits = units


def check_shapes(program: Program, units: Mapping[str, int], arrays: Mapping[str, Array]) -> None:
    """Raises ShapeError where a parameter's array differs from these sizes of dimensions."""
    for parameter in program.parameters:
        shape, array = tuple(units[dim] for dim in parameter.shape), arrays[parameter.name]
        if array.shape != shape:
            letters = ", ".join(parameter.shape)
            raise ShapeError(f"compiled cell: parameter {parameter.name!r} must be [{letters}] = {list(shape)}, got {list(array.shape)}.")


def new_targets(program: Program, dtype: np.dtype[Any], units: Mapping[str, int], into: Mapping[str, Array]) -> Targets:
    """Zeroed arrays for what ``into`` leaves out; matrices of one width lie one after another."""
    found: dict[str, Array] = dict(into)
    widths: dict[int, list[tuple[str, int]]] = {}
    for parameter in program.parameters:
        shape = tuple(units[dim] for dim in parameter.shape)
        if parameter.name not in found and len(shape) == 2:
            widths.setdefault(shape[1], []).append((parameter.name, shape[0]))
        elif parameter.name not in found:
            found[parameter.name] = np.zeros(shape, dtype)
    for width, members in widths.items():
        whole = np.zeros((sum(rows for _, rows in members), width), dtype)
        first = 0
        for name, rows in members:
            found[name] = whole[first : first + rows]
            first += rows
    return Targets(program, dtype, found)
