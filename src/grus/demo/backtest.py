"""Forecasts from rolling origins, held against baselines that anybody can compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from grus.demo.data import WEEKS_PER_YEAR, Array, Series, fill_forward

Method = Callable[[Series, list[int]], Array]

# Weeks ahead, first and last; together they cover the year.
BUCKETS = ((1, 4), (5, 13), (14, 26), (27, 52))
INTERVAL = 0.8


def last_value(past: Array, horizon: int) -> Array:
    """ŷ_{t+h} = f_t."""
    return np.full(horizon, fill_forward(past)[-1])


def seasonal_naive(past: Array, horizon: int) -> Array:
    """ŷ_{t+h} = f_{t+h−52k} with the least k for which that week is past."""
    return fill_forward(past)[len(past) - WEEKS_PER_YEAR + np.arange(horizon) % WEEKS_PER_YEAR]


def drift(past: Array, horizon: int) -> Array:
    """ŷ_{t+h} = f_t + h (f_t − f_0) / t: the line from the first value through the last."""
    filled = fill_forward(past)
    return filled[-1] + np.arange(1, horizon + 1) * (filled[-1] - filled[0]) / (len(filled) - 1)


def seasonal_growth(past: Array, horizon: int) -> Array:
    """Seasonal naive, raised by the mean growth of the last year over the year before it."""
    filled = fill_forward(past)
    growth = filled[-WEEKS_PER_YEAR:].mean() - filled[-2 * WEEKS_PER_YEAR : -WEEKS_PER_YEAR].mean()
    return seasonal_naive(past, horizon) + growth * (1 + np.arange(horizon) // WEEKS_PER_YEAR)


BASELINES: dict[str, Callable[[Array, int], Array]] = {
    "last value": last_value,
    "seasonal naive": seasonal_naive,
    "drift": drift,
    "seasonal naive + growth": seasonal_growth,
}


def baseline(name: str, horizon: int) -> Method:
    """A baseline in the form of a method: (series, origins) → forecasts [origins, horizon]."""
    rule = BASELINES[name]
    return lambda series, origins: np.stack([rule(series.before(origin).values, horizon) for origin in origins])


@dataclass(frozen=True)
class Backtest:
    """Forecasts [origins, horizon] made at `origins`, and the `truth` that came, NaN where nothing was measured."""

    origins: list[int]
    forecasts: Array
    truth: Array

    @property
    def residuals(self) -> Array:
        return self.truth - self.forecasts

    def mae(self, first: int = 1, last: int | None = None) -> float:
        """The mean absolute error over the weeks ahead `first` to `last`, both counted."""
        return float(np.nanmean(np.abs(self.residuals[:, first - 1 : last])))

    def coverage(self, half_width: Array) -> float:
        """The share of measured weeks within forecast ± half_width."""
        measured = ~np.isnan(self.truth)
        return float((np.abs(self.residuals) <= half_width)[measured].mean())


def run_backtest(method: Method, series: Series, first: int, horizon: int, every: int = 4) -> Backtest:
    """Forecasts at weeks first, first + every, … as long as all weeks ahead are in the series."""
    origins = list(range(first, len(series) - horizon + 1, every))
    truth = np.stack([series.values[origin : origin + horizon] for origin in origins])
    return Backtest(origins, method(series, origins), truth)


def interval(backtest: Backtest, near: int = 6) -> Array:
    """Half the width of the empirical interval for each week ahead [horizon].

    It is the INTERVAL quantile of the absolute residuals over all origins and the weeks ahead within `near` of it.
    """
    size = np.abs(backtest.residuals)
    return np.array([np.nanquantile(size[:, max(0, week - near) : week + near + 1], INTERVAL) for week in range(size.shape[1])])
