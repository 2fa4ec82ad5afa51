"""Normal scores: values by their rank among those of training, as quantiles of the normal distribution."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from grus.errors import DataError

EDGE = 0.002  # the smallest share below a value that is told from smaller ones
KNOTS = 1000  # values of a channel that are kept, with the scores of which others are interpolated

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormalScores:
    """z = Φ⁻¹(p) of a value v, where p is the share of training values below v and half of those equal to it, kept within [EDGE, 1 − EDGE].

    Between the values known it is linear, beyond them it is the outermost score, so that no outlier lies farther away than 2.9. A constant has
    the score 0.

    knots, scores: of each channel, distinct values in their order and z; empty for channels that are left as they are.
    mean: of the training values in these units.

    Source: rank-based inverse normal transformation, van der Waerden, Order tests for the two-sample problem and their power, 1952
    """

    knots: tuple[Floats, ...]
    scores: tuple[Floats, ...]
    mean: Floats

    @staticmethod
    def fit(columns: Iterable[Floats], left: Sequence[bool]) -> NormalScores:
        """Measured on the values of one channel after another; NaN is missing. left: which channels are left as they are."""
        found = [_ranked(values[~np.isnan(values)], stays) for values, stays in zip(columns, left, strict=True)]
        return NormalScores(tuple(own[0] for own in found), tuple(own[1] for own in found), np.array([own[2] for own in found]))

    def apply(self, values: Floats) -> Floats:
        """Values [..., C] as scores; NaN stays."""
        found = values.copy()
        for number, (knots, scores) in enumerate(zip(self.knots, self.scores, strict=True)):
            if len(knots):
                found[..., number] = np.interp(values[..., number], knots, scores)
        return found

    @cached_property
    def zero(self) -> Floats:
        """What 0 is in these units, of each channel. Shapes: [C]."""
        return self.apply(np.zeros(len(self.knots)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with exact floats."""
        return {"knots": [own.tolist() for own in self.knots], "scores": [own.tolist() for own in self.scores], "mean": self.mean.tolist()}

    @staticmethod
    def from_dict(values: Mapping[str, Any], channels: int) -> NormalScores:
        """The inverse of ``to_dict``.

        Raises: DataError where a value is missing or damaged.
        """
        try:
            knots, scores = (tuple(np.asarray(own, np.float64) for own in values[key]) for key in ("knots", "scores"))
            mean = np.asarray(values["mean"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"NormalScores: knots, scores and mean must be numbers of each channel, got none ({error}); the file is damaged."
            ) from error
        fits = len(knots) == len(scores) == channels and mean.shape == (channels,)
        if not fits or any(one.shape != other.shape or one.ndim != 1 for one, other in zip(knots, scores, strict=True)):
            raise DataError(f"NormalScores: there must be knots and as many scores for {channels} channels, got others; the file is damaged.")
        rises = all((np.diff(own) > 0).all() for own in knots) and all((np.diff(own) >= 0).all() for own in scores)
        if not rises or any(not np.isfinite(own).all() for own in (*knots, *scores, mean)):
            raise DataError("NormalScores: knots and scores must be finite and rise, got others; the file is damaged.")
        return NormalScores(knots, scores, mean)


def _ranked(values: Floats, stays: bool) -> tuple[Floats, Floats, float]:
    """Knots, their scores, and the mean score of all values; no knots for values that stay as they are, and their mean."""
    if stays or not len(values):
        return np.zeros(0), np.zeros(0), float(values.mean()) if len(values) else 0.0
    distinct, counts = np.unique(values, return_counts=True)
    shares = (np.cumsum(counts) - counts / 2) / counts.sum()
    scores = ndtri(np.clip(shares, EDGE, 1 - EDGE))
    mean = float(scores @ counts / counts.sum())
    if len(distinct) > KNOTS:
        above = np.searchsorted(shares, np.linspace(EDGE, 1 - EDGE, KNOTS // 2))
        kept = np.unique(np.concatenate([above - 1, above]).clip(0, len(distinct) - 1))  # both neighbours, as one may be shared by many
        distinct, scores = distinct[kept], scores[kept]
    return distinct, scores, mean
