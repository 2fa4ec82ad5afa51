"""Changed copies of training sequences: series noisier, larger and faster, strokes turned, slanted and stretched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grus.data import Labels, Sequences

Values = NDArray[np.float64]
Change = Callable[[Values, np.random.Generator], Values]
KNOTS = 5


@dataclass(frozen=True)
class Bend:
    """A series [T, C] read at other places, in other units, with noise.

    noise: σ of normal noise, as a share of each channel's own deviation in the series. size: σ of the logarithm of each channel's factor.
    warp: σ of the shift of three inner knots of five, as a share of the length. copies: of each sequence, besides itself.
    """

    copies: int
    noise: float = 0.0
    size: float = 0.0
    warp: float = 0.0

    def __call__(self, data: Sequences, seed: int) -> Sequences:
        return with_copies(data, self.copies, seed, self._change)

    def _change(self, values: Values, draw: np.random.Generator) -> Values:
        steps, channels = values.shape
        place = np.linspace(0, 1, steps)
        shift = np.concatenate([[0], draw.normal(0, self.warp, KNOTS - 2), [0]])
        bent = np.maximum.accumulate(np.clip(place + np.interp(place, np.linspace(0, 1, KNOTS), shift), 0, 1)) * (steps - 1)
        read = np.stack([np.interp(bent, np.arange(steps), values[:, channel]) for channel in range(channels)], 1)
        return read * np.exp(draw.normal(0, self.size, channels)) + draw.normal(0, self.noise, values.shape) * values.std(0)


@dataclass(frozen=True)
class Slant:
    """Points [T, 2] around a middle, turned, slanted and stretched.

    turn: σ of the angle. slant: σ of the share of y that is added to x. stretch: σ of the logarithm of the factors of x and y. noise: σ in the
    units of the points. copies: of each sequence, besides itself.
    """

    copies: int
    middle: float
    turn: float = 0.0
    slant: float = 0.0
    stretch: float = 0.0
    noise: float = 0.0

    def __call__(self, data: Sequences, seed: int) -> Sequences:
        return with_copies(data, self.copies, seed, self._change)

    def _change(self, values: Values, draw: np.random.Generator) -> Values:
        angle, slant = draw.normal(0, self.turn), draw.normal(0, self.slant)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turned @ np.array([[1, slant], [0, 1]]) @ np.diag(np.exp(draw.normal(0, self.stretch, 2)))
        return (values - self.middle) @ matrix.T + self.middle + draw.normal(0, self.noise, values.shape)


def with_copies(data: Sequences, copies: int, seed: int, change: Change) -> Sequences:
    """The sequences, and so many changed copies of each, with its label; the same for the same seed."""
    assert data.labels is not None
    draw = np.random.default_rng(seed)
    values, ids = list(data.values), list(data.ids)
    for number in range(1, copies + 1):
        values += [change(each.astype(np.float64), draw).astype(np.float32) for each in data.values]
        ids += [f"{id}, copy {number}" for id in data.ids]
    labels = Labels(data.labels.kind, data.labels.names, np.tile(data.labels.values, copies + 1))
    return Sequences(tuple(values), data.names, tuple(ids), labels)
