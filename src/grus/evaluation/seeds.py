"""What a result is worth: its spread over seeds, and whether a difference between two models could be chance."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit  # pyright: ignore[reportUnknownVariableType]

from grus.errors import DataError, OptionError, ShapeError

CHUNK = 1000  # draws that are in memory together
ANY = (-math.inf, math.inf)


@dataclass(frozen=True)
class Spread:
    """The mean over seeds, their standard deviation (n − 1), and the interval for the mean."""

    mean: float
    deviation: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.deviation:.2g} ({self.count} seeds)"


class Spreads(dict[str, Spread]):
    """The spread of each metric; what is printed is `table`."""

    def table(self) -> pd.DataFrame:
        """A row per metric, a column per field of `Spread`."""
        return pd.DataFrame.from_dict({name: asdict(found) for name, found in self.items()}, orient="index").rename_axis("metric")

    def __repr__(self) -> str:
        return str(self.table())


@dataclass(frozen=True)
class Difference:
    """Mean error of A less that of B, its interval, and the share of draws in which A's error is the lower."""

    mean: float
    low: float
    high: float
    better: float


def spread(values: Sequence[float], confidence: float = 0.95, limits: tuple[float, float] = ANY) -> Spread:
    """The mean over seeds with Student's interval: x̄ ± t_{n−1} · s / √n, as far as it lies within the limits of what such a value can be.

    It speaks of seeds only: another data set or split is another matter. What the limits cut off cannot be the mean, so that the interval holds as
    often without it.

    Raises: OptionError; DataError for fewer than two values or one that is not finite.
    """
    _check_confidence("spread", confidence)
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or len(found) < 2 or not np.all(np.isfinite(found)):
        raise DataError(f"spread: values must be at least two finite numbers, one per seed, got {found.tolist()}; run more seeds.")
    mean, deviation = float(found.mean()), float(found.std(ddof=1))
    half = float(stdtrit(len(found) - 1, (1 + confidence) / 2)) * deviation / math.sqrt(len(found))
    return Spread(mean, deviation, max(mean - half, limits[0]), min(mean + half, limits[1]), len(found))


def spreads(
    scores: Mapping[int, Mapping[str, float]], confidence: float = 0.95, limits_of: Callable[[str], tuple[float, float]] = lambda name: ANY
) -> Spreads:
    """From seed → metric → score, the spread of every metric that all seeds have a finite value of.

    limits_of: the least and the greatest value that a metric can have, by its name.

    Raises: OptionError; DataError for fewer than two seeds.
    """
    if len(scores) < 2:
        raise DataError(f"spreads: scores must be of at least two seeds, got {len(scores)}; run more seeds.")
    rows = list(scores.values())
    shared = [name for name in rows[0] if all(math.isfinite(row.get(name, math.nan)) for row in rows)]
    return Spreads((name, spread([row[name] for row in rows], confidence, limits_of(name))) for name in shared)


def compare(
    errors_a: ArrayLike, errors_b: ArrayLike, blocks: ArrayLike, *, draws: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Paired bootstrap of the mean of a − b, drawing whole blocks of windows with replacement; percentile interval.

    Windows of one origin, and windows that overlap, err together: give them one block. `origins // horizon` puts neighbours together.

    Shapes: errors [W] or [W, H], NaN in both = truth not known; blocks [W], any labels.
    Raises: ShapeError, OptionError; DataError for fewer than two blocks, or an error that only one of the two has.
    Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", sections 8.5 and 13.3.
    """
    _check_confidence("compare", confidence)
    if draws < 1:
        raise OptionError(f"compare: draws must be at least 1, got {draws}; 10 000 is customary.")
    sums, counts = _by_block(np.asarray(errors_a, np.float64), np.asarray(errors_b, np.float64), np.asarray(blocks))
    rng = np.random.default_rng(seed)
    means: list[NDArray[np.float64]] = []
    for first in range(0, draws, CHUNK):
        chosen = rng.integers(len(sums), size=(min(CHUNK, draws - first), len(sums)))
        means.append(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1))
    drawn = np.concatenate(means)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(float(sums.sum() / counts.sum()), float(low), float(high), float(np.mean(drawn < 0)))


def _by_block(a: NDArray[np.float64], b: NDArray[np.float64], blocks: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the known differences in each block that has any."""
    if a.shape != b.shape or a.ndim not in (1, 2) or blocks.shape != a.shape[:1]:
        shapes = [list(array.shape) for array in (a, b, blocks)]
        raise ShapeError(f"compare: errors must be of one shape [W] or [W, H] and blocks [W], got {', '.join(map(str, shapes))}.")
    if np.any(np.isnan(a) != np.isnan(b)):
        place = [int(i) for i in np.argwhere(np.isnan(a) != np.isnan(b))[0]]
        raise DataError(f"compare: an error must be known for both or for neither, got one alone at {place}; forecast the same windows.")
    known = ~np.isnan(a)
    difference = np.where(known, np.where(known, a, 0) - np.where(known, b, 0), 0)
    labels, index = np.unique(blocks, return_inverse=True)
    sums, counts = np.zeros(len(labels)), np.zeros(len(labels))
    np.add.at(sums, index, difference.reshape(len(a), -1).sum(axis=1))
    np.add.at(counts, index, known.reshape(len(a), -1).sum(axis=1))
    kept = counts > 0
    if kept.sum() < 2:
        raise DataError(f"compare: there must be at least two blocks with known errors, got {kept.sum()}; take more origins or smaller blocks.")
    return sums[kept], counts[kept]


def _check_confidence(who: str, confidence: float) -> None:
    if not 0 < confidence < 1:
        raise OptionError(f"{who}: confidence must be between 0 and 1, both excluded, got {confidence}; 0.95 is customary.")
