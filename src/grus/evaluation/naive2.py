"""Naive2, M4's benchmark. It stands apart from `baselines` because statsmodels takes seconds to import."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.seasonal import seasonal_decompose

from grus.errors import DataError
from grus.evaluation.baselines import interpolated

Array = NDArray[np.float64]

# 90 % two-sided: the critical value of M4's test of seasonality.
CRITICAL = 1.645


@dataclass(frozen=True)
class Naive2:
    """M4's benchmark: the last value of the seasonally adjusted history, times the season's figure.

    The adjustment is the classical multiplicative decomposition. It is made where T ≥ 3m and the autocorrelation at lag m exceeds
    1.645 · √((1 + 2 Σ_{k<m} ρ_k²) / T); otherwise this is LastValue. Gaps are interpolated first.

    Raises: DataError for a seasonal history with values of 0 or less, which a multiplicative season does not fit.
    Source: Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 Competition"; its code is in R.
    """

    name: str = "naive 2"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        values = interpolated(self.name, history)
        if not seasonal(values, season):
            return np.full(horizon, values[-1])
        if np.any(values <= 0):
            raise DataError(f"{self.name}: history must be above 0 where it is seasonal, got {values.min()}; use SeasonalNaive.")
        figure = np.asarray(seasonal_decompose(values, model="multiplicative", period=season).seasonal, np.float64)
        return values[-1] / figure[-1] * figure[(len(values) + np.arange(horizon)) % season]


def seasonal(values: Array, season: int) -> bool:
    """M4's test of seasonality, without its limit on long seasons (R's acf stops at lag 10 log10 T). Shapes: values [T], none missing."""
    if season < 2 or len(values) < 3 * season or np.all(values == values[0]):
        return False
    centred = values - values.mean()
    ratios = np.array([centred[lag:] @ centred[:-lag] for lag in range(1, season + 1)]) / (centred @ centred)
    limit = CRITICAL * np.sqrt((1 + 2 * np.sum(ratios[:-1] ** 2)) / len(values))
    return bool(abs(ratios[-1]) > limit)
