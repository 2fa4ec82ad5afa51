"""Which rows are active at which step, where they stand in memory, and how steps are cut into segments."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.errors import ShapeError

Array = NDArray[Any]


@lru_cache(maxsize=256)
def uniform_steps(count: int, batch: int, reverse: bool) -> Steps:
    """T steps of B rows each; one object per size, so that what is made for it is found again."""
    return Steps(np.full(count, batch, np.int64), reverse, batch)


@lru_cache(maxsize=256)
def ragged_steps(sizes: bytes, reverse: bool) -> Steps:
    """Steps of the given sizes (int64 as bytes); one object as long as they are in use.

    Raises: ShapeError where a size is negative or grows.
    """
    found = np.frombuffer(sizes, np.int64)
    if len(found) and (found[-1] < 0 or (np.diff(found) > 0).any()):
        raise ShapeError(f"batch_sizes: must never grow nor be negative, got {found.tolist()[:8]}; sort the rows by length, longest first.")
    return Steps(found, reverse)


@dataclass(frozen=True, eq=False)
class Steps:
    """T steps of which step t has ``sizes[t]`` active rows (never growing); rows are packed step after step.

    ``order`` lists the steps as the recurrence visits them: 0 … T-1, or T-1 … 0 where ``reverse``.
    """

    sizes: NDArray[np.int64]
    reverse: bool = False
    idle_batch: int = 0  # B where T = 0, so that no size tells it
    shapes: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)  # what runs over these steps are made for, by those who make them

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The packed row where each step begins, and the total at the end."""
        return np.concatenate(([0], np.cumsum(self.sizes)))

    @cached_property
    def count(self) -> int:
        return len(self.sizes)

    @cached_property
    def rows(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def batch(self) -> int:
        return int(self.sizes[0]) if len(self.sizes) else self.idle_batch

    @cached_property
    def uniform(self) -> bool:
        """Whether every step has all rows."""
        return self.rows == self.count * self.batch

    @cached_property
    def order(self) -> NDArray[np.int64]:
        steps = np.arange(self.count)
        return steps[::-1] if self.reverse else steps

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """[T, B]: whether the row is active at the step."""
        return np.arange(self.batch)[None, :] < self.sizes[:, None]

    def span(self, segment: slice) -> tuple[int, int]:
        """The packed rows [low, high) of a segment of the order."""
        first, last = self.order[segment.start], self.order[segment.stop - 1]
        return int(self.starts[min(first, last)]), int(self.starts[max(first, last) + 1])

    def segments(self, rows: int) -> list[slice]:
        """The order cut into runs of about ``rows`` packed rows."""
        if self.count == 0:
            return []
        length = max(1, min(self.count, round(rows * self.count / max(1, self.rows))))
        return [slice(start, min(start + length, self.count)) for start in range(0, self.count, length)]

    def table(self, segment: slice, slots: str, backward: bool = False) -> NDArray[np.int64]:
        """The kernel's table for a segment, visited backwards for a gradient.

        ``slots`` tells where states stand: "packed" keeps the state before each step at that step's packed rows; "swap" uses two slots
        of B rows in turn.
        """
        steps = self.order[segment]
        if backward:
            steps = steps[::-1]
        count = len(steps)
        table = np.zeros((count, 6), np.int64)
        table[:, 0] = self.sizes[steps]
        table[:, 1] = self.starts[steps]
        if slots == "packed":
            table[:, 2] = table[:, 1]
            table[:-1, 3] = table[1:, 1]
        else:
            table[:, 2] = (np.arange(count) % 2) * self.batch
            table[:, 3] = self.batch - table[:, 2]
        table[1:, 4] = np.minimum(table[1:, 0], table[:-1, 0])
        table[:-1, 5] = np.minimum(table[:-1, 0], table[1:, 0])
        return table


def block_table(low: int, high: int, block: int) -> NDArray[np.int64]:
    """A table whose steps are blocks of packed rows: for programs without states, or whose states are all known."""
    starts = np.arange(low, high, block)
    table = np.zeros((len(starts), 6), np.int64)
    table[:, 0] = np.minimum(block, high - starts)
    table[:, 1] = table[:, 2] = starts
    table[:, 4] = table[:, 0]
    return table
