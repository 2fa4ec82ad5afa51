"""The records a forecast's report is made from, and the words its text uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.cells import Cell
from grus.errors import ShapeError
from grus.evaluation import Backtest
from grus.report.axes import Array, number, time_texts
from grus.tasks.counted import counted


@dataclass(frozen=True, eq=False)
class Example:
    """One forecast with what came before it, and what came where that is known.

    Shapes: times and values [T], NaN = missing; forecast_times, point, each quantile and truth [H].
    """

    series: str
    times: NDArray[Any]
    values: Array
    forecast_times: NDArray[Any]
    point: Array
    quantiles: Mapping[float, Array]
    truth: Array | None = None

    def __post_init__(self) -> None:
        sizes = {"values": (self.values, len(self.times)), "point": (self.point, len(self.forecast_times))}
        sizes |= {f"quantile {level}": (row, len(self.forecast_times)) for level, row in self.quantiles.items()}
        if self.truth is not None:
            sizes["truth"] = (self.truth, len(self.forecast_times))
        check_sizes("Example", sizes)


@dataclass(frozen=True, eq=False)
class Past:
    """All that was measured of a series, from which a page draws what came before a forecast.

    Shapes: times and values [T], NaN = missing.
    """

    times: NDArray[Any]
    values: Array

    def __post_init__(self) -> None:
        check_sizes("Past", {"values": (self.values, len(self.times))})

    def before(self, time: Any, count: int) -> Past:
        """The last `count` steps before a time, which is left out."""
        stop = int(np.count_nonzero(self.times < time))
        start = max(0, stop - count)
        return Past(self.times[start:stop], self.values[start:stop])


def judged(backtest: Backtest, index: int, past: Past) -> Example:
    """A forecast of the backtest's model after all that precedes it, with what came."""
    known = past.before(backtest.times[index, 0], len(past.times))
    quantiles = {level: rows[index] for level, rows in backtest.quantiles.items()}
    point = backtest.forecasts[backtest.model][index]
    return Example(backtest.series[index], known.times, known.values, backtest.times[index], point, quantiles, backtest.truth[index])


@dataclass(frozen=True, eq=False)
class GateTrace:
    """The gates over a window of the series of this name; the docstring of the `cell` that has them says what they mean.

    Shapes: times and input [L]; each gate [L, H].
    """

    times: NDArray[Any]
    input: Array
    gates: Mapping[str, Array]
    series: str = ""
    cell: str | Cell = "gru"

    def __post_init__(self) -> None:
        check_sizes("GateTrace", {name: (array, len(self.times)) for name, array in {"input": self.input, **self.gates}.items()})


def check_sizes(who: str, sizes: Mapping[str, tuple[Array, int]]) -> None:
    for name, (array, wanted) in sizes.items():
        if len(array) != wanted:
            raise ShapeError(f"{who}: {name} must have {wanted} steps, got {len(array)}; give one for each time.")


@dataclass(frozen=True)
class Words:
    """What the report calls things: the model, the target with its unit, one step of time; `clock` are times that say how finely all are told."""

    model: str
    target: str
    unit: str
    step: str
    clock: NDArray[Any] | None = None

    def with_unit(self, text: str) -> str:
        return f"{text} ({self.unit})" if self.unit else text

    def figure(self, value: float) -> str:
        """A number to three figures or so, as text reads best."""
        size = abs(value)
        if not math.isfinite(value) or not 1e-4 <= size < 1e7:
            return number(value)
        return number(value, min(6, max(0, 2 - math.floor(math.log10(size)))))

    def amount(self, value: float) -> str:
        return f"{self.figure(value)} {self.unit}".rstrip()

    def steps(self, count: int) -> str:
        return counted(count, self.step)

    def time(self, time: Any) -> str:
        return time_texts(np.array([time]), self.clock)[0]

    def times(self, times: NDArray[Any]) -> list[str]:
        return time_texts(times)


def cells(values: Array, *, least: bool = False) -> list[str]:
    """A column of numbers with the same decimals: three figures for the median, or for the least; "–" where missing."""
    known = np.abs(values[np.isfinite(values) & (values != 0)])
    if not known.size:
        return [number(value, 0) for value in values]
    middle = float(known.min() if least else np.median(known))
    if not 1e-5 <= middle < 1e9:
        return [number(value) for value in values]
    return [number(value, max(0, 2 - math.floor(math.log10(middle)))) for value in values]
