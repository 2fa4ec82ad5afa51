"""What a direction keeps between calls: arrays over its tensors, and memory for their gradients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grus.compiler.arguments import Parameters
from grus.compiler.layer import CompiledCell
from grus.nn.layout import Layout

Array = NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]


class GradientRoom:
    """Memory for the gradients of a layout's tensors, in one piece.

    Matrices of one width lie one after another: the gradients of gates that lie side by side are then one product.
    """

    def __init__(self, cell: CompiledCell, layout: Layout, shapes: Shapes) -> None:
        self.shapes, self.dtype = shapes, cell.dtype
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
        self._whole = np.zeros(sum(sizes), cell.dtype)
        self.arrays: list[Array] = [self._whole] * len(shapes)
        low = 0
        for index in sorted(range(len(shapes)), key=lambda index: (len(shapes[index]) != 2, shapes[index][-1:])):
            self.arrays[index] = self._whole[low : low + sizes[index]].reshape(shapes[index])
            low += sizes[index]
        self.targets = cell.targets(layout.targets(self.arrays))
        self._copies = layout.copies(self.arrays)
        self._at_rest = self._references()

    def _references(self) -> list[int]:
        return [sys.getrefcount(array) for array in self.arrays]

    @property
    def free(self) -> bool:
        """Whether no tensor made from the arrays is alive; such a tensor refers to its array for as long as its memory is in use."""
        return self._references() == self._at_rest

    def clear(self) -> None:
        """Set every gradient to 0."""
        self._whole.fill(0)

    def finish(self) -> None:
        """Copy what two tensors share, once the targets are filled."""
        for place, value in self._copies:
            place[:] = value


class _Views(NamedTuple):
    places: list[tuple[Any, ...]]
    arrays: list[Array]
    parameters: Parameters


class Rooms:
    """Arrays over a direction's tensors, kept for as long as these stay where they are in memory, and a room for their gradients."""

    __slots__ = ("_room", "_views")

    def __init__(self) -> None:
        self._views: _Views | None = None
        self._room: list[GradientRoom] = []

    def parameters(self, cell: CompiledCell, layout: Layout, tensors: tuple[Tensor, ...], view: Callable[[Tensor], Array]) -> Parameters:
        """The cell's parameters with the tensors' values of now."""
        places = [(tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors]
        views = self._views
        if views is not None and places == views.places and views.parameters.program is cell.program:
            layout.refresh(views.arrays, views.parameters.arrays)
            return views.parameters
        arrays = [view(tensor) for tensor in tensors]
        parameters = cell.parameters(layout.split(arrays))
        copied = parameters.converted or any(array.ctypes.data != place[0] for array, place in zip(arrays, places, strict=True))
        self._views = _Views([] if copied else places, arrays, parameters)
        return parameters

    def take(self, cell: CompiledCell, layout: Layout, tensors: tuple[Tensor, ...]) -> GradientRoom:
        """A zeroed room: the last one where its gradients are gone, which costs less than touching fresh memory."""
        shapes = tuple([tensor.shape for tensor in tensors])
        try:
            room = self._room.pop()  # no other thread gets it
        except IndexError:
            return GradientRoom(cell, layout, shapes)
        if room.shapes != shapes or room.dtype != cell.dtype or room.targets.program is not cell.program or not room.free:
            return GradientRoom(cell, layout, shapes)
        room.clear()
        return room

    def give_back(self, room: GradientRoom) -> None:
        """Keep a room for the next call, once its gradients are gone."""
        self._room[:] = [room]

    def clear(self) -> None:
        """Hold no memory; the next pass makes its own views and room."""
        self._views = None
        self._room.clear()

    def release(self) -> None:
        """Hold no memory for gradients."""
        self._room.clear()

    def __reduce__(self) -> tuple[type[Rooms], tuple[()]]:
        return Rooms, ()
