"""The records a forecast's report is made from, and the words its text uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grus.errors import ShapeError
from grus.report.axes import Array, number, time_text, time_texts


class Backtest(Protocol):
    """Forecasts of W windows, H steps each, by the model and by baselines.

    Shapes: times, truth and every entry of forecasts and quantiles [W, H]; truth is NaN where nothing was measured. `quantiles` are the model's.
    """

    @property
    def horizon(self) -> int: ...
    @property
    def series(self) -> Sequence[str]: ...
    @property
    def origins(self) -> Sequence[int] | NDArray[np.int64]: ...
    @property
    def times(self) -> NDArray[Any]: ...
    @property
    def truth(self) -> Array: ...
    @property
    def forecasts(self) -> Mapping[str, Array]: ...
    @property
    def quantiles(self) -> Mapping[float, Array]: ...
    def scores(self) -> Mapping[str, Mapping[str, float]]: ...
    def by_horizon(self, metric: str) -> Mapping[str, Array]: ...
    def worst(self, count: int, model: str) -> Sequence[int] | NDArray[np.int64]: ...


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


@dataclass(frozen=True, eq=False)
class GateTrace:
    """The gates over the window an example was read from.

    Shapes: times and input [L]; each gate [L, H].
    """

    times: NDArray[Any]
    input: Array
    gates: Mapping[str, Array]

    def __post_init__(self) -> None:
        check_sizes("GateTrace", {name: (array, len(self.times)) for name, array in {"input": self.input, **self.gates}.items()})


def check_sizes(who: str, sizes: Mapping[str, tuple[Array, int]]) -> None:
    for name, (array, wanted) in sizes.items():
        if len(array) != wanted:
            raise ShapeError(f"{who}: {name} must have {wanted} steps, got {len(array)}; give one for each time.")


@dataclass(frozen=True)
class Words:
    """What the report calls things: the model, the target with its unit, one step of time."""

    model: str
    target: str
    unit: str
    step: str

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
        return f"{count} {self.step}" + ("" if count == 1 else "s")

    def time(self, time: Any) -> str:
        return time_text(time)

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


def intervals(levels: Sequence[float]) -> list[tuple[float, float]]:
    """The pairs of levels that lie symmetrically about one half, widest first.

    >>> intervals([0.1, 0.5, 0.9, 0.25])
    [(0.1, 0.9)]
    """
    low = sorted(level for level in levels if level < 0.5)
    return [(level, high) for level in low for high in levels if abs(level + high - 1) < 1e-9]
