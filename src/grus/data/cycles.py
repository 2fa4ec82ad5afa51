"""What a step's time tells, ahead too: where it stands in its day, week and year, and how long it comes after the step before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.panel import Panel

CYCLES = ("day", "week", "year")
MONDAY = 3  # 1970-01-01, the origin of the times, was a Thursday
MONDAY_DATE = np.datetime64("2001-01-01", "ns")
# A cycle is kept where at least two steps fit into it; quarters and months still see the year.
LENGTHS = {"day": np.timedelta64(12, "h"), "week": np.timedelta64(84, "h"), "year": np.timedelta64(183, "D")}


def cycles_of(panel: Panel) -> tuple[str, ...]:
    """The cycles that hold two steps or more: none for whole numbers, all where the calendar is irregular."""
    if any(series.times.dtype.kind != "M" for series in panel.series):
        return ()
    if not panel.step.is_regular:
        return CYCLES
    length = np.diff(panel.step.after(MONDAY_DATE, 3))[-1]
    return tuple(name for name in CYCLES if length <= LENGTHS[name])


@dataclass(frozen=True)
class TimeChannels:
    """The channels that follow from times alone: the cycles, then "elapsed" where the calendar is irregular.

        elapsed = ln(1 + (s_t − s_{t−1}) / interval),  1 for the ratio where there is no step before

    interval: the usual time between steps; None on a regular calendar, where elapsed would be a constant.
    """

    cycles: tuple[str, ...]
    interval: float | None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        places = tuple(f"{function}_{cycle}" for cycle in self.cycles for function in ("sin", "cos"))
        return places if self.interval is None else (*places, "elapsed")

    def of(self, times: NDArray[Any], before: Any = None) -> NDArray[np.float64]:
        """The columns for the times of one series; ``before`` is that of the step before the first.

        Shapes:
            times [T]; result [T, names]
        """
        places = cycle_positions(times, self.cycles)
        if self.interval is None:
            return places
        ratios = np.ones(len(times))
        ratios[1:] = np.diff(times).astype(np.float64) / self.interval
        if before is not None:
            ratios[:1] = (times[:1] - before).astype(np.float64) / self.interval
        return np.concatenate([places, np.log1p(ratios)[:, None]], axis=1)


def cycle_positions(times: NDArray[Any], cycles: tuple[str, ...]) -> NDArray[np.float64]:
    """Sine and cosine of 2π times the part of each cycle that has passed.

    Shapes:
        times [T], datetime64; result [T, 2 × cycles]
    """
    if not cycles:
        return np.zeros((len(times), 0))
    days = times.astype("datetime64[D]")
    in_day = (times - days) / np.timedelta64(1, "D")
    parts: list[NDArray[np.float64]] = []
    for cycle in cycles:
        if cycle == "day":
            part = in_day
        elif cycle == "week":
            part = ((days.astype(np.int64) + MONDAY) % 7 + in_day) / 7
        else:
            years = times.astype("datetime64[Y]")
            first, after = years.astype("datetime64[D]"), (years + 1).astype("datetime64[D]")
            part = ((days - first) / np.timedelta64(1, "D") + in_day) / ((after - first) / np.timedelta64(1, "D"))
        parts += [np.sin(2 * np.pi * part), np.cos(2 * np.pi * part)]
    return np.stack(parts, axis=-1)
