"""Whether probabilities are what they say, and one number that makes them truer."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError

Array = NDArray[np.float64]
By = Literal["width", "mass"]
BOUND = 100.0  # of T and of 1 / T
GRID: list[float] = np.linspace(-np.log(BOUND), np.log(BOUND), 41).tolist()  # of ln T; 0 is on it


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins that hold something, from the least probable on: the mean probability told, the share that came true, and how many they are.

    Shapes: told, true and count [M], M ≤ bins.
    """

    told: Array
    true: Array
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: Σ n_b / N · |true_b − told_b|."""
        return float(np.abs(self.true - self.told) @ self.count / self.count.sum())

    @property
    def worst(self) -> float:
        """Maximum calibration error: max |true_b − told_b|."""
        return float(np.abs(self.true - self.told).max())


def reliability(outcome: ArrayLike, probability: ArrayLike, bins: int = 15, by: By = "width") -> Reliability:
    """What came true of what was told, in bins of the same width or of (nearly) the same mass. Equal probabilities are in one bin.

    A bin holds (low, high]; the first one holds 0 as well.

    Shapes: outcome [N] of 0 and 1, probability [N].
    Raises: OptionError, ShapeError, DataError.
    """
    if bins < 1 or by not in ("width", "mass"):
        raise OptionError(f"reliability: bins must be at least 1 and by one of width, mass, got {bins} and {by!r}; 15 by width is customary.")
    y, p = np.asarray(outcome, np.float64), np.asarray(probability, np.float64)
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise ShapeError(f"reliability: outcome and probability must be [N] with N ≥ 1, got {list(y.shape)} and {list(p.shape)}.")
    if not np.all((p >= 0) & (p <= 1)) or not np.all((y == 0) | (y == 1)):
        raise DataError("reliability: outcomes must be 0 or 1 and probabilities between them, got others; give those after softmax or sigmoid.")
    edges = np.arange(1, bins) / bins if by == "width" else np.quantile(p, np.arange(1, bins) / bins, method="inverted_cdf")
    place = np.searchsorted(edges, p, side="left")
    count = np.bincount(place, minlength=bins)
    held = count > 0
    told, true = (np.bincount(place, weights=values, minlength=bins)[held] / count[held] for values in (p, y))
    return Reliability(told, true, count[held])


@dataclass(frozen=True)
class Temperature:
    """Logits are divided by T before the softmax or the sigmoid: T > 1 makes a network less sure. The class chosen stays the same.

    values: one T, or one for each label. `findings` says of a T that it is at a bound.

    Source: Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks".
    """

    values: tuple[float, ...]
    findings: tuple[str, ...] = ()

    @staticmethod
    def fit(truth: Labels, logits: ArrayLike, *, each: bool = False, spread: float = 0.5) -> Temperature:
        """The likeliest T between 0.01 and 100 after sequences that the network was not trained on, where ln T ~ N(0, spread²) before them.

        It has the least Σ log-loss + (ln T / spread)² / 2. A thousand sequences say far more than the second term; a few dozen do not, and leave
        T near 1. An infinite spread takes the least log-loss.

        Shapes: logits [N, K]. each: one T per label rather than one for all.
        Raises: ShapeError, OptionError; DataError for no sequence, or logits that are not finite.
        """
        z = _logits(truth, logits, spread)
        if each and truth.kind != "labels":
            raise OptionError(f"Temperature: each must be False for labels of kind {truth.kind!r}, got True; the classes share one softmax.")
        if truth.kind == "class":
            parts = [(z - z[np.arange(len(z)), truth.values][:, None], "T")]
        else:
            beyond = np.stack([np.zeros_like(z), np.where(truth.values == 1, -z, z)], -1)  # the truth, and its contrary
            named = [(beyond[:, k], f"T of label {name!r}") for k, name in enumerate(truth.names)]
            parts = named if each else [(beyond.reshape(-1, 2), "T")]
        found = [_likeliest(part, spread, what) for part, what in parts]
        return Temperature(tuple(value for value, _ in found), tuple(finding for _, finding in found if finding))

    def apply(self, logits: ArrayLike) -> Array:
        """Shapes: [N, K].

        Numerics: float64, in which no two different float32 logits become equal.
        Raises: ShapeError.
        """
        z = np.asarray(logits, np.float64)
        if len(self.values) > 1 and (z.ndim == 0 or z.shape[-1] != len(self.values)):
            raise ShapeError(f"Temperature: logits must be [N, K] with K = {len(self.values)} labels, got {list(z.shape)}.")
        return z / np.array(self.values)


def _likeliest(beyond: Array, spread: float, what: str) -> tuple[float, str | None]:
    """T of the least loss, with what ln T costs before any sequence is seen; and what is to be said about it.

    The sum may have several minima, so a grid comes before the search.

    Shapes: beyond [M, J], by how much the logit of each answer is above that of the truth, which is one of them.
    """

    def cost(log: float) -> float:
        losses: Array = np.logaddexp.reduce(beyond * np.exp(-log), axis=1)
        return float(losses.sum()) + (log / spread) ** 2 / 2

    costs = [cost(log) for log in GRID]
    at = min(range(len(GRID)), key=lambda place: (costs[place], abs(GRID[place])))  # 1 where all are alike
    from scipy.optimize import minimize_scalar  # here, as it takes half a second to import

    between = GRID[max(at - 1, 0)], GRID[min(at + 1, len(GRID) - 1)]
    found: Any = minimize_scalar(cost, bounds=between, method="bounded", options={"xatol": 1e-9})
    if found.fun < costs[at]:
        return float(np.exp(found.x)), None
    if at in (0, len(GRID) - 1):
        side, T = ("lower", 1 / BOUND) if at == 0 else ("upper", BOUND)
        return T, f"{what} is at its {side} bound {T:g}: one beyond it would lower the loss still more"
    return float(np.exp(GRID[at])), None


def _logits(truth: Labels, logits: ArrayLike, spread: float) -> Array:
    if truth.kind == "number":
        raise OptionError("Temperature: labels must be classes or labels, got numbers; they have no probabilities.")
    if not spread > 0:
        raise OptionError(f"Temperature: spread must be above 0, got {spread}; at 0.5 two temperatures in three are within a factor of 1.65 of 1.")
    z, size = np.asarray(logits, np.float64), [len(truth), len(truth.names)]
    if list(z.shape) != size:
        raise ShapeError(f"Temperature: logits must be [N, K] = {size}, got {list(z.shape)}; give one row per sequence.")
    if not len(z) or not np.all(np.isfinite(z)):
        raise DataError(f"Temperature: logits must be finite numbers of at least one sequence, got {len(z)} sequences; validate on some.")
    return z
