"""Whether probabilities are what they say, and one number that makes them truer."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, softmax

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError

Array = NDArray[np.float64]
By = Literal["width", "mass"]


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

    values: one T, or one for each label. `findings` says of a T that it is at a bound, or could be anything.

    Source: Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks".
    """

    values: tuple[float, ...]
    findings: tuple[str, ...] = ()

    @staticmethod
    def fit(truth: Labels, logits: ArrayLike, *, each: bool = False, bounds: tuple[float, float] = (0.05, 20.0)) -> Temperature:
        """The T within the bounds, ends counted, of the least log-loss on sequences that the network was not trained on.

        The loss is convex in 1/T, so that its slope tells the minimum, and whether it lies beyond a bound.

        Shapes: logits [N, K]. each: one T per label rather than one for all.
        Raises: ShapeError, OptionError; DataError for no sequence, or logits that are not finite.
        """
        z = _logits(truth, logits, bounds)
        if each and truth.kind != "labels":
            raise OptionError(f"Temperature: each must be False for labels of kind {truth.kind!r}, got True; the classes share one softmax.")
        if truth.kind == "class":
            found = [_minimum(z - z.max(1, keepdims=True), np.eye(len(truth.names))[truth.values], False, bounds, "T")]
        elif each:
            found = [_minimum(z[:, [k]], truth.values[:, [k]], True, bounds, f"T of label {name!r}") for k, name in enumerate(truth.names)]
        else:
            found = [_minimum(z, truth.values, True, bounds, "T")]
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


def _minimum(z: Array, truth: NDArray[np.generic], apart: bool, bounds: tuple[float, float], what: str) -> tuple[float, str | None]:
    """T, and what is to be said about it."""
    y = truth.astype(np.float64)

    def slope(sharpness: float) -> float:
        p = expit(sharpness * z) if apart else softmax(sharpness * z, axis=1)
        return float(((p - y) * z).sum())

    coldest, hottest = slope(1 / bounds[0]), slope(1 / bounds[1])
    if hottest >= 0 >= coldest:
        return min(
            max(1.0, bounds[0]), bounds[1]
        ), f"{what} could be any: none changes the loss, as where all logits are equal; it is left at 1, or at the bound next to it"
    if coldest <= 0:
        return bounds[0], f"{what} is at its lower bound {bounds[0]:g}: a smaller one would still lower the loss, as where nothing is mistaken"
    if hottest >= 0:
        return bounds[1], f"{what} is at its upper bound {bounds[1]:g}: the logits tell nothing of these sequences, or mislead"
    return 1 / cast(float, brentq(slope, 1 / bounds[1], 1 / bounds[0], xtol=1e-12)), None


def _logits(truth: Labels, logits: ArrayLike, bounds: tuple[float, float]) -> Array:
    if truth.kind == "number":
        raise OptionError("Temperature: labels must be classes or labels, got numbers; they have no probabilities.")
    if not 0 < bounds[0] < bounds[1] < np.inf:
        raise OptionError(f"Temperature: bounds must be two numbers above 0, the smaller one first, got {bounds}; (0.05, 20) is wide.")
    z, size = np.asarray(logits, np.float64), [len(truth), len(truth.names)]
    if list(z.shape) != size:
        raise ShapeError(f"Temperature: logits must be [N, K] = {size}, got {list(z.shape)}; give one row per sequence.")
    if not len(z) or not np.all(np.isfinite(z)):
        raise DataError(f"Temperature: logits must be finite numbers of at least one sequence, got {len(z)} sequences; validate on some.")
    return z
