"""Baselines that are fitted anew at every origin: exponential smoothing and ARIMA, both by statsforecast.

It stands apart from `baselines` because statsforecast takes seconds to import.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsforecast.models import MSTL, AutoARIMA, AutoETS

from grus.errors import DataError, OptionError
from grus.evaluation.baselines import interpolated

Array = NDArray[np.float64]

# Longer seasons have too many states for ETS, and a seasonal ARIMA of them takes minutes per fit.
LONGEST_SEASON = 24


class Fitted(ABC):
    """A rule that statsforecast fits to the history at every origin. Gaps are interpolated first."""

    name: str
    last: int | None

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        """The mean. Shapes: history [T], result [H]."""
        return self._fit(_tail(self.name, history, self.last), horizon, season, None)["mean"]

    def forecast_quantiles(self, history: Array, horizon: int, season: int, levels: Sequence[float]) -> tuple[Array, Array]:
        """The mean and the quantiles, by one fit. Shapes: history [T], results [H] and [H, Q], Q levels."""
        found = self._fit(_tail(self.name, history, self.last), horizon, season, _intervals(levels) or None)
        return found["mean"], _stack(found, levels)

    @abstractmethod
    def _fit(self, values: Array, horizon: int, season: int, intervals: list[float] | None) -> Mapping[str, Array]:
        """The mean and the central intervals, by statsforecast's names, from values without gaps."""


@dataclass(frozen=True)
class Ets(Fitted):
    """Exponential smoothing, its error, trend and season chosen by AICc.

    A season of over 24 steps is removed by STL and repeated as it was last; ETS without a season forecasts the rest. `last` keeps only that
    many steps of the history, where all of it would take too long.

    Source: Hyndman and Khandakar 2008, "Automatic time series forecasting"; Bandara, Hyndman and Bergmeir 2021, "MSTL".
    """

    last: int | None = None
    name: str = "ETS"

    def _fit(self, values: Array, horizon: int, season: int, intervals: list[float] | None) -> Mapping[str, Array]:
        if season <= LONGEST_SEASON:
            return _run(self.name, AutoETS(season_length=season), values, horizon, intervals)
        if len(values) < 2 * season:
            raise DataError(f"{self.name}: history must have two seasons of {season} steps, got {len(values)} steps; start later.")
        return _run(self.name, MSTL(season_length=season), values, horizon, intervals)


@dataclass(frozen=True)
class AutoArima(Fitted):
    """ARIMA, its orders chosen stepwise by AICc.

    A season of over 24 steps enters as a regression on `harmonics` pairs of sine and cosine, with ARIMA errors without a season. `last` keeps
    only that many steps of the history, where all of it would take too long.

    Source: Hyndman and Khandakar 2008, "Automatic time series forecasting".
    """

    last: int | None = None
    harmonics: int = 5
    name: str = "ARIMA"

    def _fit(self, values: Array, horizon: int, season: int, intervals: list[float] | None) -> Mapping[str, Array]:
        if season <= LONGEST_SEASON:
            return _run(self.name, AutoARIMA(season_length=season), values, horizon, intervals)
        if not 1 <= self.harmonics < season / 2:
            raise OptionError(f"{self.name}: harmonics must be between 1 and {(season - 1) // 2} for a season of {season}, got {self.harmonics}.")
        waves = fourier(len(values) + horizon, season, self.harmonics)
        regression = {"X": waves[: len(values)], "X_future": waves[len(values) :]}
        return _run(self.name, AutoARIMA(season_length=1), values, horizon, intervals, **regression)


def fourier(steps: int, season: int, harmonics: int) -> Array:
    """sin(2πkt/m) and cos(2πkt/m), k = 1 … K, side by side. Shapes: [steps, 2K]."""
    angles = 2 * np.pi * np.outer(np.arange(steps), np.arange(1, harmonics + 1)) / season
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(steps, -1)


def _tail(who: str, history: Array, last: int | None) -> Array:
    if last is not None and last < 1:
        raise OptionError(f"{who}: last must be at least 1 step, got {last}; None keeps the whole history.")
    return interpolated(who, history)[-(last or 0) :]


def _run(who: str, model: Any, values: Array, horizon: int, intervals: list[float] | None, **regression: Array) -> Mapping[str, Array]:
    try:
        found: dict[str, Array] = model.forecast(values, horizon, level=intervals, **regression)
    except Exception as error:  # statsforecast raises Exception itself
        raise DataError(f"{who}: history must be one that statsforecast can fit, got {len(values)} steps and: {error}; start later.") from error
    if not all(np.all(np.isfinite(part)) for part in found.values()):
        raise DataError(f"{who}: history must give a finite forecast, got one that is not from {len(values)} steps; leave this baseline out.")
    return {name: np.asarray(part, np.float64) for name, part in found.items()}


def _nominal(level: float) -> float:
    return round(abs(2 * level - 1) * 100, 9)


def _intervals(levels: Sequence[float]) -> list[float]:
    """The central intervals, in per cent, whose ends are these quantiles; statsforecast knows no other."""
    wrong = [level for level in levels if not 0 < level < 1]
    if wrong:
        raise OptionError(f"forecast_quantiles: a level must be between 0 and 1, both excluded, got {wrong[0]}; 0.9 is the ninth decile.")
    return sorted({_nominal(level) for level in levels if level != 0.5})


def _stack(found: Mapping[str, Array], levels: Sequence[float]) -> Array:
    """Shapes: [H, Q]. The median is the mean: the errors are taken as normal."""
    names = ["mean" if level == 0.5 else f"{'lo' if level < 0.5 else 'hi'}-{_nominal(level)}" for level in levels]
    return np.stack([found[name] for name in names], -1)
