"""How a module's tensors hold a cell's parameters: one tensor each, or fused as PyTorch does.

A layout works on tensors and on NumPy arrays alike: ``split`` only slices and adds, so the parts of a fused matrix are views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grus.compiler.program import SCALAR, Parameter, Program

Array = NDArray[Any]
LETTERS = ("W", "U", "b")


@dataclass(frozen=True, slots=True)
class Part:
    """Where the values of one cell parameter live: ``slices`` of the module's tensors, whose sum is the parameter."""

    name: str
    slices: tuple[tuple[int, int | None], ...]  # (index of the tensor, block of rows or None for all of it)


class Layout(Protocol):
    """The module's tensors of one layer and direction, and their relation to the cell's parameters."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names, without the layer's suffix."""
        ...

    @property
    def parts(self) -> tuple[Part, ...]:
        """The cell's parameters in the order of the program."""
        ...

    def shapes(self, sizes: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
        """The tensors' shapes."""
        ...

    def split(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """The cell's parameters."""
        ...

    def refresh(self, arrays: Sequence[Array], parameters: Mapping[str, Array]) -> None:
        """Bring up to date what ``split`` computed from these arrays rather than cut from them."""
        ...

    def targets(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """Where each parameter's gradient belongs in arrays of the tensors' shapes."""
        ...

    def copies(self, arrays: Sequence[Array]) -> list[tuple[Array, Array]]:
        """What two tensors share: (place, value) to copy once the targets are filled."""
        ...


@dataclass(frozen=True)
class Plain:
    """One tensor per parameter, under the parameter's own name."""

    program: Program

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.program.parameters)

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(name, ((index, None),)) for index, name in enumerate(self.names))

    def shapes(self, sizes: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(1 if dim == SCALAR else sizes[dim] for dim in parameter.shape) for parameter in self.program.parameters)

    def split(self, tensors: Sequence[Any]) -> dict[str, Any]:
        return {parameter.name: tensor for parameter, tensor in zip(self.program.parameters, tensors, strict=True)}

    def refresh(self, arrays: Sequence[Array], parameters: Mapping[str, Array]) -> None:
        pass

    def targets(self, arrays: Sequence[Array]) -> dict[str, Array]:
        return self.split(arrays)

    def copies(self, arrays: Sequence[Array]) -> list[tuple[Array, Array]]:
        return []


@dataclass(frozen=True)
class Fused:
    """PyTorch's tensors: ``weight_ih`` [G·H, I], ``weight_hh`` [G·H, H], ``bias_ih`` and ``bias_hh`` [G·H], ``weight_hr`` [P, H].

    Block k of rows belongs to gate k. A gate's bias is b_ih + b_hh, unless its part inside the reset has a name of its own (``inner``:
    the GRU's c_n = b_hh).
    """

    gates: tuple[str, ...]  # the parameters' suffixes: ("_r", "_z", "_n"), or ("",) for one gate
    bias: bool = True
    inner: tuple[tuple[str, str], ...] = ()
    projection: str | None = None
    others: tuple[Parameter, ...] = ()  # parameters that PyTorch does not have, such as gains of a norm

    @property
    def names(self) -> tuple[str, ...]:
        biases = ("bias_ih", "bias_hh") if self.bias else ()
        others = (parameter.name for parameter in self.others)
        return ("weight_ih", "weight_hh", *biases, *(("weight_hr",) if self.projection else ()), *others)

    @property
    def _last(self) -> int:
        """The index of the projection, or of the first of the others."""
        return 4 if self.bias else 2

    @property
    def parts(self) -> tuple[Part, ...]:
        w, u, b = LETTERS
        inner = dict(self.inner)
        found: list[Part] = []
        for block, gate in enumerate(self.gates):
            found += [Part(w + gate, ((0, block),)), Part(u + gate, ((1, block),))]
            if self.bias and gate in inner:
                found += [Part(b + gate, ((2, block),)), Part(inner[gate], ((3, block),))]
            elif self.bias:
                found.append(Part(b + gate, ((2, block), (3, block))))
        if self.projection:
            found.append(Part(self.projection, ((self._last, None),)))
        after = self._last + bool(self.projection)
        found += [Part(parameter.name, ((after + index, None),)) for index, parameter in enumerate(self.others)]
        return tuple(found)

    def shapes(self, sizes: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
        rows, width = len(self.gates) * sizes["H"], sizes["P"] if self.projection else sizes["H"]
        biases = ((rows,), (rows,)) if self.bias else ()
        projection = ((width, sizes["H"]),) if self.projection else ()
        others = (tuple(sizes[dim] for dim in parameter.shape) for parameter in self.others)
        return ((rows, sizes["I"]), (rows, width), *biases, *projection, *others)

    def split(self, tensors: Sequence[Any]) -> dict[str, Any]:
        return self._cut(tensors, tensors[2] + tensors[3] if self.bias else None)

    def refresh(self, arrays: Sequence[Array], parameters: Mapping[str, Array]) -> None:
        if self.bias:
            np.add(arrays[2], arrays[3], out=parameters[self._summed].base)

    @cached_property
    def _summed(self) -> str:
        """A bias that is a sum; its array is a part of all the sums."""
        inner = dict(self.inner)
        return LETTERS[2] + next(gate for gate in self.gates if gate not in inner)

    def targets(self, arrays: Sequence[Array]) -> dict[str, Array]:
        return self._cut(arrays, arrays[2] if self.bias else None)

    def copies(self, arrays: Sequence[Array]) -> list[tuple[Array, Array]]:
        if not self.bias:
            return []
        size, inner = len(arrays[2]) // len(self.gates), dict(self.inner)
        blocks = [slice(block * size, (block + 1) * size) for block, gate in enumerate(self.gates) if gate not in inner]
        return [(arrays[3][rows], arrays[2][rows]) for rows in blocks]

    def _cut(self, tensors: Sequence[Any], biases: Any) -> dict[str, Any]:
        """The parameters, with those biases that are sums cut from ``biases``."""
        w, u, b = LETTERS
        size = len(tensors[0]) // len(self.gates)
        inner = dict(self.inner)
        found: dict[str, Any] = {}
        for block, gate in enumerate(self.gates):
            rows = slice(block * size, (block + 1) * size)
            found[w + gate] = tensors[0][rows]
            found[u + gate] = tensors[1][rows]
            if self.bias and gate in inner:
                found[b + gate] = tensors[2][rows]
                found[inner[gate]] = tensors[3][rows]
            elif self.bias:
                found[b + gate] = biases[rows]
        if self.projection:
            found[self.projection] = tensors[self._last]
        if self.others:
            found.update(zip((parameter.name for parameter in self.others), tensors[-len(self.others) :], strict=True))
        return found
