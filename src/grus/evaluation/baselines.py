"""Forecasts that anybody can compute: what a model must beat before it is worth anything.

T is the length of the history, y_t its values, NaN where nothing was measured; m is the season in steps, h = 1 … H the steps ahead.
A history that is too short or too empty for a rule is a DataError: no rule stands in for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from grus.errors import DataError, OptionError

Array = NDArray[np.float64]


class Baseline(Protocol):
    """A rule that forecasts from the history of one series."""

    @property
    def name(self) -> str: ...

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        """Forecast the steps after the history.

        Shapes: history [T], NaN = missing; result [H].
        Raises: DataError, OptionError.
        """
        ...


@runtime_checkable
class ProbabilisticBaseline(Baseline, Protocol):
    """A rule that is fitted to the history, and says how sure it is."""

    def forecast_quantiles(self, history: Array, horizon: int, season: int, levels: Sequence[float]) -> tuple[Array, Array]:
        """What `forecast` gives and its quantiles, by one fit.

        Shapes: history [T], NaN = missing; results [H] and [H, Q], Q levels.
        Raises: DataError, OptionError.
        """
        ...


@dataclass(frozen=True)
class LastValue:
    """ŷ_{T+h} = the last known value. For m = 1 this is the naive forecast."""

    name: str = "last value"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        return np.full(horizon, history[_known(self.name, history, 1)[-1]])


@dataclass(frozen=True)
class Mean:
    """ŷ_{T+h} = the mean of the known values."""

    name: str = "mean"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        return np.full(horizon, history[_known(self.name, history, 1)].mean())


@dataclass(frozen=True)
class Drift:
    """The line through the first and the last known value, at steps i and j: ŷ_{T+h} = y_j + (T + h − j) (y_j − y_i) / (j − i)."""

    name: str = "drift"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        known = _known(self.name, history, 2)
        first, last = known[0], known[-1]
        slope = (history[last] - history[first]) / (last - first)
        return history[last] + (len(history) - last + np.arange(horizon)) * slope


@dataclass(frozen=True)
class SeasonalNaive:
    """ŷ_{T+h} = y_{T+h−km}, with the least k ≥ 1 for which that step is past and known."""

    name: str = "seasonal naive"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        return _last_seasons(self.name, history, horizon, season)[0]


@dataclass(frozen=True)
class SeasonalDrift:
    """Seasonal naive with the last change from season to season: ŷ_{T+h} = y_{T+h−km} + k d.

    d = mean (y_t − y_{t−m}) over the known pairs with t in the last season; k as in SeasonalNaive.
    """

    name: str = "seasonal drift"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        values, back = _last_seasons(self.name, history, horizon, season)
        if len(history) < 2 * season:
            raise DataError(f"{self.name}: history must have two seasons of {season} steps, got {len(history)} steps; start later.")
        changes = history[-season:] - history[-2 * season : -season]
        return values + back * changes[_known(self.name, changes, 1, "the last season beside the one before")].mean()


def standard(season: int) -> tuple[Baseline, ...]:
    """The baselines that cost nothing: last value and drift; with a season, seasonal naive and seasonal drift as well."""
    if season < 1:
        raise OptionError(f"standard: season must be at least 1, got {season}; 1 is a series without a season.")
    plain: tuple[Baseline, ...] = (LastValue(), Drift())
    return plain if season == 1 else (*plain, SeasonalNaive(), SeasonalDrift())


def interpolated(who: str, history: Array) -> Array:
    """The history from its first known value on, gaps filled on straight lines and the last value held to the end."""
    known = _known(who, history, 1)
    steps = np.arange(known[0], len(history), dtype=np.float64)
    return np.interp(steps, known.astype(np.float64), history[known])


def _known(who: str, values: Array, least: int, where: str = "history") -> NDArray[np.intp]:
    """The steps that are known. Raises: DataError for fewer than `least`."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < least:
        raise DataError(f"{who}: {where} must have at least {least} known value{'s'[: least > 1]}, got {len(known)}; start later.")
    return known


def _last_seasons(who: str, history: Array, horizon: int, season: int) -> tuple[Array, NDArray[np.int64]]:
    """For each step ahead, the last known value of its phase and how many seasons back it lies."""
    if season < 1:
        raise OptionError(f"{who}: season must be at least 1, got {season}; 1 is a series without a season.")
    known = _known(who, history, 1)
    latest = np.full(season, -1)
    latest[known % season] = known  # where a phase occurs more than once, the last assignment stays
    ahead = len(history) + np.arange(horizon)
    source = latest[ahead % season]
    if np.any(source < 0):
        step = int(np.argmax(source < 0)) + 1
        raise DataError(f"{who}: history must have a known value at every phase of the season of {season}, got none for step {step} ahead; fill it.")
    return history[source], (ahead - source) // season
