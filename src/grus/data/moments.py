"""Counts, means and spreads of columns that are measured part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the known values of some columns: n, their mean, Σ (x − mean)², the smallest, the largest, and whether all are 0 or 1.

    a + b is what both parts have together: d = mean_b − mean_a, mean = mean_a + d n_b / n, Σ = Σ_a + Σ_b + d² n_a n_b / n.

    Shapes: each [columns].
    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979
    """

    count: Values
    mean: Values
    squares: Values
    low: Values
    high: Values
    flags: NDArray[np.bool_]

    @staticmethod
    def of(columns: Sequence[Values]) -> Moments:
        """From the values of each column; NaN is missing."""
        known = [values[~np.isnan(values)] for values in columns]
        mean = np.array([values.mean() if values.size else 0.0 for values in known])
        return Moments(
            np.array([values.size for values in known], np.float64),
            mean,
            np.array([((values - middle) ** 2).sum() for values, middle in zip(known, mean, strict=True)]),
            np.array([values.min(initial=np.inf) for values in known]),
            np.array([values.max(initial=-np.inf) for values in known]),
            np.array([bool(np.isin(values, (0, 1)).all()) for values in known], np.bool_),
        )

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * share,
            self.squares + other.squares + apart**2 * self.count * share,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.flags & other.flags,
        )

    @property
    def deviation(self) -> Values:
        """The standard deviation of the population; 0 for a constant, whose own may round to something else."""
        return np.where(self.low == self.high, 0.0, np.sqrt(self.squares / np.maximum(self.count, 1)))
