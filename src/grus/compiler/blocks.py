"""Named columns of vectors in one buffer: row r of every named value side by side, each padded to whole vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from grus.compiler.native.kernels import address

Array = NDArray[Any]
Places = dict[str, "Place"]


class Place(NamedTuple):
    """Where a value's rows stand: the address its packed row 0 has (or would have), and elements from row to row."""

    base: int
    ld: int


@dataclass(frozen=True)
class Columns:
    """The layout of a block: names with their dimensions, in order."""

    names: tuple[tuple[str, str], ...]

    def width(self, padded: Mapping[str, int]) -> int:
        return sum(padded[dim] for _, dim in self.names)

    def places(self, base: int, padded: Mapping[str, int], size: int, low: int = 0) -> Places:
        """Every column's place in a buffer [rows, width] at ``base``, of elements of ``size`` bytes, whose row 0 is packed row ``low``."""
        ld, found = self.width(padded), Places()
        at = base - low * ld * size
        for name, dim in self.names:
            found[name] = Place(at, ld)
            at += padded[dim] * size
        return found


def place_of(array: Array, low: int = 0) -> Place:
    """The place of contiguous rows [N, D] of which row 0 is packed row ``low``."""
    return Place(address(array) - low * array.shape[1] * array.itemsize, array.shape[1])


def places_of(arrays: Mapping[str, Array], low: int = 0) -> Places:
    """The same for every name."""
    return {name: place_of(array, low) for name, array in arrays.items()}
