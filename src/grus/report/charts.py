"""Charts as data: what is drawn along which axes, and the numbers behind it. `svg` and `pictures` draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grus.report.axes import Array, Axis


@dataclass(frozen=True, eq=False)
class Line:
    """A line that breaks where y is NaN. `role` decides its colour, an empty `name` keeps it out of the legend; `label` stands at its end."""

    x: Array
    y: Array
    role: str
    name: str = ""
    label: str = ""


@dataclass(frozen=True, eq=False)
class Dots:
    """One dot for each y that is not NaN."""

    x: Array
    y: Array
    role: str
    name: str = ""


@dataclass(frozen=True, eq=False)
class Band:
    """The area between two lines."""

    x: Array
    low: Array
    high: Array
    name: str = ""
    role: str = "interval"


@dataclass(frozen=True, eq=False)
class Spans:
    """Full-height strips [start, stop]."""

    edges: tuple[tuple[float, float], ...]
    name: str = ""
    role: str = "gap"


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars from 0 to `heights` [N], between neighbouring `edges` [N + 1]."""

    edges: Array
    heights: Array
    name: str = ""
    role: str = "bars"


@dataclass(frozen=True)
class Rule:
    """A straight line at `place`: across the chart, or upright."""

    place: float
    upright: bool = False
    name: str = ""
    role: str = "rule"


@dataclass(frozen=True, eq=False)
class Heat:
    """Cells `values` [rows, columns] in [−1, 1] over the whole chart, row 0 at the bottom."""

    values: Array
    name: str = ""
    role: str = "heat"


Mark = Line | Dots | Band | Spans | Bars | Rule | Heat


@dataclass(frozen=True)
class Table:
    """Cells as text. `strong` are the (row, column) in bold, `ours` the rows that the report is about, `shades`, in [−1, 1], their grounds."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    strong: frozenset[tuple[int, int]] = frozenset()
    ours: tuple[int, ...] = ()
    shades: Mapping[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart with its title, its text alternative, and the numbers it shows; marks are drawn in their order.

    Charts with the same `letters`, the least width left of the axis, stand exactly above one another. `lines` of lettering beside the axis fit.
    """

    name: str
    title: str
    text: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    table: Table
    caption: str = ""
    flat: bool = False
    letters: int = 1
    lines: int = 0

    @property
    def legend(self) -> tuple[Mark, ...]:
        """One mark for each name."""
        named: dict[str, Mark] = {}
        for mark in self.marks:
            if mark.name and not (isinstance(mark, Spans) and not mark.edges):
                named.setdefault(mark.name, mark)
        return tuple(named.values())

    @property
    def labelled(self) -> tuple[tuple[Line, int], ...]:
        """The lines with a label, each with the index of its last known value."""
        lines = [mark for mark in self.marks if isinstance(mark, Line) and mark.label and np.isfinite(mark.y).any()]
        return tuple((line, int(np.flatnonzero(np.isfinite(line.y))[-1])) for line in lines)


def apart(places: Array, gap: float, low: float, high: float) -> Array:
    """The places, moved within [low, high] until each is `gap` from the next; closer where there is no room for that.

    >>> apart(np.array([5.0, 1.0, 5.0]), 2.0, 0.0, 6.0).tolist()
    [4.0, 1.0, 6.0]
    """
    order = np.argsort(places, kind="stable")
    steps = np.arange(len(places)) * min(gap, (high - low) / max(1, len(places) - 1))
    wanted = places[order] - steps
    # Midway between pushing each one up and pushing each one down.
    middle = (np.maximum.accumulate(wanted) + np.minimum.accumulate(wanted[::-1])[::-1]) / 2
    found = np.empty(len(places))
    found[order] = np.clip(middle, low, high - steps[-1:].sum()) + steps
    return found


def runs(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of each unbroken run of true entries.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def missing_spans(x: Array, values: Array) -> Spans:
    """Where values are missing, half a step to both sides."""
    half = half_step(x)
    return Spans(tuple((float(x[start]) - half, float(x[stop - 1]) + half) for start, stop in runs(np.isnan(values))), "not measured")


def half_step(x: Array) -> float:
    return float(np.median(np.diff(x))) / 2 if len(x) > 1 else 0.5
