"""Named columns of vectors in one buffer: row r of every named value side by side, each padded to whole vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grus.compiler.native.kernels import address, aligned

Array = NDArray[Any]


class Place(NamedTuple):
    """Where a value's rows stand: the address its packed row 0 has (or would have), and elements from row to row."""

    base: int
    ld: int


@dataclass(frozen=True, eq=False)
class Block:
    """Rows [low, low + rows) of named columns."""

    buffer: Array  # [rows, ld]
    columns: Mapping[str, int]  # name → first element of its column
    low: int = 0

    @cached_property
    def places(self) -> dict[str, Place]:
        """Every column's place, in terms of packed rows of the whole sequence."""
        ld, size = self.buffer.shape[1], self.buffer.itemsize
        base = address(self.buffer) - self.low * ld * size
        return {name: Place(base + column * size, ld) for name, column in self.columns.items()}


@dataclass(frozen=True)
class Columns:
    """The layout of a block: names with their dimensions, in order."""

    names: tuple[tuple[str, str], ...]

    def offsets(self, padded: Mapping[str, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        at = 0
        for name, dim in self.names:
            found[name] = at
            at += padded[dim]
        return found

    def width(self, padded: Mapping[str, int]) -> int:
        return sum(padded[dim] for _, dim in self.names)

    def allocate(self, low: int, high: int, padded: Mapping[str, int], dtype: np.dtype[Any]) -> Block:
        return Block(aligned((high - low, self.width(padded)), dtype), self.offsets(padded), low)

    def over(self, buffer: Array, padded: Mapping[str, int], low: int = 0) -> Block:
        """The block whose rows are ``buffer``'s."""
        return Block(buffer, self.offsets(padded), low)


def user_place(array: Array) -> Place:
    """The place of an unpadded, contiguous array [N, D]."""
    return Place(address(array), array.shape[1])
