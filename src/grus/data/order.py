"""The rows of each series in the order of their times; what breaks it, and why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grus.data.calendar import DAY_NS, Times
from grus.data.checks import Defects, Rule
from grus.data.panel import Columns, Values

MANY = 0.1  # of the rows: so many repeated times are no slip
Rows = NDArray[np.int64]


def check_order(stamps: Times, codes: Rows, roles: Columns, defects: Defects, target: Values) -> list[Rows]:
    """The rows of each series, told apart by `codes`; times that repeat or go back are defects."""
    order = np.argsort(codes, kind="stable")
    same = np.diff(codes[order]) == 0
    back = order[1:][same & (np.diff(stamps[order].astype(np.int64)) < 0)]
    by_time = np.lexsort((np.arange(len(codes)), stamps, codes))
    again = np.flatnonzero((np.diff(codes[by_time]) == 0) & (np.diff(stamps[by_time].astype(np.int64)) == 0)) + 1
    first = dict(zip(by_time[again].tolist(), by_time[again - 1].tolist(), strict=True))

    def got(row: int) -> str:
        return f"{show(stamps[row])} again, first in {defects.place(first[row])}" if row in first else f"{show(stamps[row])} after a later time"

    if len(again) > MANY * len(codes) and len(again) > 1:
        rows = np.union1d(back, by_time[again])
        cause, remedy = _why_repeated(stamps, roles, defects, first, back, target)
        defects.add(rows, Rule(roles.time, "later in each row than in the one before", remedy, cause), got)
    else:
        remedy = "keep one row for each time" + ("" if roles.id is not None else ", or name the column that tells series apart as id")
        if stamps.dtype.kind == "M" and (stamps.astype(np.int64) % DAY_NS).any():
            remedy += "; the hour that repeats when summer time ends needs times in UTC or with their offset"
        defects.add(by_time[again], Rule(roles.time, "a time of its own", remedy), got)
        sort = f"sort the rows by {roles.time}" if roles.id is None else f"sort the rows by {roles.id} and {roles.time}"
        newest = len(back) == int(same.sum())
        cause = f"the rows {'stand newest first' if newest else 'are not sorted by time'}" if len(back) > 1 else ""
        defects.add(back, Rule(roles.time, "later than the time before it", sort, cause), lambda row: show(stamps[row]))
    return np.split(order, np.flatnonzero(~same) + 1)


def _why_repeated(stamps: Times, roles: Columns, defects: Defects, first: dict[int, int], back: Rows, target: Values) -> tuple[str, str]:
    """The cause of many repeated times, and its remedy."""
    rows, before = np.array(list(first)), np.array(list(first.values()))
    if np.array_equal(target[rows], target[before], equal_nan=True) and not np.isnan(target).all():
        return f"{len(rows)} rows repeat an earlier one, its target too: the table seems to hold them twice", "keep each row once"
    times, counts = np.unique(stamps, return_counts=True)
    most = f"{counts.max()} rows have the time {show(times[counts.argmax()])}"
    if roles.id is not None:
        return f"rows of one {roles.id!r} share their times", f"name as id a column that tells all series apart, as {roles.id!r} does not"
    where = f"times go back at {defects.place(int(back.min()))} and repeat" if back.size else "times repeat"
    return f"{where}, {most}: the table seems to hold several series", "name the column that tells them apart as id (on the command line --id)"


def show(time: object) -> str:
    """A time without the zeros of its nanoseconds."""
    text = str(time)
    return text.removesuffix("000000000").rstrip(".").removesuffix("T00:00:00") if "T" in text else text
