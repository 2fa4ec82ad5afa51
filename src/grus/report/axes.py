"""The axes of a chart: ranges, and round numbers or calendar dates along them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ticks = list[tuple[float, str]]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SECONDS = {"s": 1, "m": 60, "h": 3600, "D": 86400, "M": 2629746, "Y": 31556952}
COUNTS = {"s": (1, 5, 15, 30), "m": (1, 5, 15, 30), "h": (1, 3, 6, 12), "D": (1, 2, 7, 14), "M": (1, 3, 6), "Y": (1, 2, 5, 10, 20, 50, 100, 200, 500)}
# What index 0 of NumPy's unit is: multiples then fall on round years, and on Mondays for seven days.
OFFSETS = {"Y": 1970, "D": 3}


@dataclass(frozen=True)
class Axis:
    """A range and how it is labelled. On a "time" axis positions are seconds since 1970, on a "count" axis ticks are whole.

    names: what stands at the positions 0, 1, … in place of numbers.
    """

    low: float
    high: float
    label: str
    kind: Literal["linear", "count", "log", "time"] = "linear"
    names: tuple[str, ...] = ()

    def share(self, values: Array) -> Array:
        """Where the values lie between low, 0, and high, 1."""
        if self.kind == "log":
            return np.log(values / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def ticks(self, wanted: int) -> Ticks:
        """About `wanted` positions within the range, each with its label; all that have names."""
        if self.names:
            return [(float(place), name) for place, name in enumerate(self.names)]
        if self.kind == "time":
            return time_ticks(self.low, self.high, wanted)
        if self.kind == "log":
            return log_ticks(self.low, self.high, wanted)
        return round_ticks(self.low, self.high, wanted, 1.0 if self.kind == "count" else 0.0)


def round_ticks(low: float, high: float, wanted: int, least: float = 0.0) -> Ticks:
    """Numbers 1, 2 or 5 times a power of ten apart, at least `least`; two or more where that allows it, as one alone gives no scale."""
    rough = max((high - low) / wanted, least)
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    power = math.floor(math.log10(gap * (1 + 1e-9)))
    places = [gap * count for count in range(math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9) + 1)]
    if len(places) < 2 and rough > least:
        return round_ticks(low, high, wanted + 1, least)
    return [(place, tick_label(place, power)) for place in places]


def tick_label(place: float, power: int) -> str:
    """A multiple of 10^power with all its figures and no more."""
    if power >= -6 and abs(place) < 1e9:
        return signed(f"{place + 0.0:.{max(0, -power)}f}")
    return signed(f"{place:.{max(0, math.floor(math.log10(abs(place))) - power)}e}") if place else "0"


def log_ticks(low: float, high: float, wanted: int) -> Ticks:
    """1, 2 and 5 times the powers of ten; only the powers where that is too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        places = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(places) <= wanted + 2:
            break
    return [(place, f"{place:g}") for place in places]


def time_ticks(low: float, high: float, wanted: int) -> Ticks:
    """Round times of day, days, Mondays, months or years."""
    rough = (high - low) / wanted
    choices = [(unit, count) for unit in SECONDS for count in COUNTS[unit]]
    unit, count = next((choice for choice in choices if SECONDS[choice[0]] * choice[1] >= rough), choices[-1])
    first, last = (int(np.datetime64(math.floor(edge), "s").astype(f"datetime64[{unit}]").astype(np.int64)) for edge in (low, high))
    ticks: Ticks = []
    for index in range(first, last + 2):
        moment = np.array(index).astype(f"datetime64[{unit}]").astype("datetime64[s]")
        place = float(moment.astype(np.int64))
        if (index + OFFSETS.get(unit, 0)) % count == 0 and low <= place <= high:
            ticks.append((place, time_label(str(moment), unit)))
    return ticks


def time_label(moment: str, unit: str) -> str:
    """The part of an ISO time that changes from tick to tick: "18:00", "3 Mar", "Apr" or "2024"."""
    date, clock = moment.split("T")
    year, month, day = date.rsplit("-", 2)
    if unit == "Y" or (unit == "M" and month == "01"):
        return year
    if unit == "M":
        return MONTHS[int(month) - 1]
    if unit == "D" or clock == "00:00:00":
        return f"{int(day)} {MONTHS[int(month) - 1]}"
    return clock if unit == "s" else clock[:5]


def positions(times: NDArray[Any]) -> Array:
    """Times as numbers on an axis: seconds since 1970 for datetime64, else the numbers themselves."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[ns]").astype(np.int64) / 1e9
    return times.astype(np.float64)


def time_axis(times: NDArray[Any], step: str = "step") -> Axis:
    """The axis over all of `times`, labelled with its first and last day."""
    places = positions(times)
    low, high = float(places.min()), float(places.max())
    if times.dtype.kind != "M":
        return Axis(low, max(high, low + 1), step, "count")
    days = [str(moment.astype("datetime64[D]")) for moment in (times.min(), times.max())]
    return Axis(low, max(high, low + 1), f"time, {days[0]} to {days[1]}" if days[0] != days[1] else f"time on {days[0]}", "time")


def value_axis(label: str, *values: Array, zero: bool = False) -> Axis:
    """The axis over all finite values with a margin of 5 %; from 0 where `zero`."""
    found = [part[np.isfinite(part)] for part in values]
    known = np.concatenate([*found, np.zeros(1 if zero else 0)])
    if not known.size:
        return Axis(0.0, 1.0, label)
    low, high = float(known.min()), float(known.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low if zero and low == 0 else low - margin, high + margin, label)


def signed(text: str) -> str:
    """A number's text with a true minus sign."""
    return text.replace("-", "−")


def time_texts(times: NDArray[Any], among: NDArray[Any] | None = None) -> list[str]:
    """Times as text, all with the clock where one of them, or of those they are `among`, is not at midnight."""
    if times.dtype.kind != "M":
        return [str(time) for time in times]
    every = times if among is None else among
    unit = next(unit for unit in ("D", "m", "s", "ns") if (every.astype(f"M8[{unit}]") == every).all())
    return [str(time).replace("T", " ") for time in times.astype(f"M8[{unit}]")]


def number(value: float, decimals: int | None = None) -> str:
    """A number for reading: `decimals`, or about four figures; "–" where it is missing."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else signed(f"{value}").replace("inf", "∞")
    if decimals is None:
        size = abs(value)
        if size and not 1e-4 <= size < 1e7:
            return signed(f"{value:.3e}")
        decimals = min(6, max(0, 3 - math.floor(math.log10(size)))) if size else 0
    return signed(f"{value + 0.0:.{decimals}f}")
