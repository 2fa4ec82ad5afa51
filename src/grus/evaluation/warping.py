"""Dynamic time warping within a Sakoe-Chiba band, and the nearest training sequence by it.

Step i of x may be paired with step j of y where |i − j| ≤ w, w = max(⌊window · max(n, m)⌋, |n − m|) for sequences of n and m steps.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from grus.data.sequence_inputs import prepare
from grus.data.sequence_scaling import SequenceScaling
from grus.data.sequences import Labels, Sequences
from grus.errors import DataError, OptionError
from grus.evaluation.sequence_baselines import Array, Data, Effort, as_columns, labels_of, spread_out

TOGETHER = 128  # training sequences warped at once: of fewer, NumPy's calls cost more than the sums
SLACK = 1 - 1e-9  # the bound and the distance are summed in different orders
FIRST_LOOK = 0.1  # of the time limit, after which an estimate decides whether to go on


@dataclass(frozen=True)
class NearestNeighbour:
    """1-NN DTW: the class, labels or numbers of the training sequence nearest by dynamic time warping, of equally near ones the first.

    All channels are warped together, scaled as `SequenceScaling` does; missing values are interpolated by time, the last one held to the end, and
    before the first one there is the mean. Probabilities are 0 or 1, so that log-loss and calibration say little.

    window: share of the longer sequence by which steps may be shifted; 0 compares step with step, 1 has no band.
    most: so many training sequences at most, drawn at random, each class by its share.
    scaling: one of the methods of `SequenceScaling`; "instance" takes each sequence's own mean and deviation away.

    Source: Sakoe and Chiba 1978; Keogh and Ratanamahatana 2005 for the bound; Shokoohi-Yekta et al. 2017, "DTW_D", for several channels.
    """

    window: float = 0.1
    most: int | None = None
    scaling: str = "standard"
    name: str = "1-NN DTW"

    def fit(self, data: Data, effort: Effort) -> FittedNeighbours:
        if not 0 <= self.window <= 1 or (self.most is not None and self.most < 1):
            raise OptionError(
                f"{self.name}: window must be from 0 to 1 and most at least 1, got {self.window} and {self.most}; 0.1 and None will do."
            )
        labels, findings = labels_of(self.name, data), list[str]()
        if not isinstance(data, Sequences):
            raise DataError(f"{self.name}: the data must be sequences of numbers, got texts; choose a baseline of texts.")
        scaling = SequenceScaling.fit(data, self.scaling)
        if self.most is not None and self.most < len(data):
            kept = np.sort(spread_out(labels, effort.seed)[: self.most])
            findings.append(f"compares with {self.most} of {len(data)} training sequences, drawn at random (seed {effort.seed})")
            data, labels = data.rows(kept), labels.rows(kept)
        series, lengths = _complete(data, scaling), data.lengths
        padded = np.zeros((len(data.names), int(lengths.max()), len(data)))
        for row, values in enumerate(series):
            padded[:, : len(values), row] = values.T
        return FittedNeighbours(self, scaling, padded, lengths, labels, tuple(findings))


@dataclass(frozen=True, eq=False)
class FittedNeighbours:
    """The training sequences, padded. Shapes: padded [C, T, N]; lengths [N]."""

    options: NearestNeighbour
    scaling: SequenceScaling
    padded: Array
    lengths: NDArray[np.int64]
    labels: Labels
    findings: tuple[str, ...]

    def predict(self, data: Data, effort: Effort) -> Array:
        """Shapes: [N, K]. Raises: OptionError where the time that is left will not do; DataError for other channels."""
        return as_columns(self.labels)[self.nearest(data, effort)]

    def nearest(self, data: Data, effort: Effort) -> NDArray[np.int64]:
        """The number of the nearest training sequence, among those that are kept. Shapes: [N]."""
        if not isinstance(data, Sequences):
            raise DataError(f"{self.options.name}: the data must be sequences of numbers as in training, got texts; give those.")
        found, began = np.empty(len(data), np.int64), effort.seconds
        for row, values in enumerate(_complete(data, self.scaling)):
            found[row] = self._nearest(values)
            used = effort.seconds - began
            left = used / (row + 1) * (len(data) - row - 1)
            if effort.limit_s is not None and used > FIRST_LOOK * effort.limit_s and effort.seconds + left > effort.limit_s:
                sizes = f"{len(data)} sequences to compare with {len(self.lengths)}"
                raise OptionError(
                    f"{self.options.name}: limit_s must be about {effort.seconds + left:.0f} for {sizes}, got {effort.limit_s:g}; "
                    "give more time, or a smaller window or most."
                )
            effort.tell(row + 1, len(data), f"{self.options.name}, about {left:.0f} s left")
        return found

    def _nearest(self, query: Array) -> int:
        window = self.options.window
        bounds = np.empty(len(self.lengths))
        for length in np.unique(self.lengths):
            members = np.flatnonzero(self.lengths == length)
            bounds[members] = keogh_bounds(query, self.padded[:, :length, members], window)
        order = np.argsort(bounds, kind="stable")
        best, nearest = np.inf, -1
        for chosen in _parts(order):
            chosen = chosen[bounds[chosen] * SLACK <= best]
            if not len(chosen):
                break
            longest = int(self.lengths[chosen].max())
            costs = squared_dtw(query, self.padded[:, :longest, chosen], self.lengths[chosen], window)
            least = costs.min()
            first = int(chosen[costs == least].min())
            if least < best or (least == best and first < nearest):
                best, nearest = float(least), first
        return nearest


def dtw(x: Array, y: Array, window: float = 1.0) -> float:
    """√ of the least sum of squared distances over the pairs of a warping path. Shapes: x [n, C], y [m, C].

    Example:
        >>> dtw(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [0.0], [1.0], [2.0]]))
        0.0
    """
    return float(np.sqrt(squared_dtw(x, y.T[:, :, None], np.array([len(y)]), window)[0]))


def squared_dtw(query: Array, others: Array, lengths: NDArray[np.int64], window: float) -> Array:
    """The squared distance to many sequences at once, by the diagonals i + j = d of the table

        D_{i,j} = |x_i − y_j|² + min(D_{i−1,j}, D_{i,j−1}, D_{i−1,j−1}),

    of which each depends on the two before alone. What is padded comes after the cell that is read.

    Shapes: query [n, C]; others [C, m, P], padded; lengths [P]; result [P].
    """
    n, m = len(query), others.shape[1]
    x, found = query.T[:, :, None], np.empty(len(lengths))
    bands = band(n, lengths, window)
    widest = int(bands.max())
    before, last, now = (np.full((n + 2, len(lengths)), np.inf) for _ in range(3))  # row i + 1 is step i
    before[0] = 0
    for d in range(n + m - 1):
        low, high = max(0, d - m + 1, (d - widest + 1) // 2), min(n - 1, d, (d + widest) // 2)
        steps = np.arange(low, high + 1)
        costs = np.square(x[:, low : high + 1] - others[:, d - high : d - low + 1][:, ::-1]).sum(0)
        reached = np.minimum(np.minimum(last[low : high + 1], last[low + 1 : high + 2]), before[low : high + 1])
        now[low + 1 : high + 2] = np.where(np.abs(2 * steps - d)[:, None] <= bands, costs + reached, np.inf)
        now[low] = now[high + 2] = np.inf  # the band moves by one step at most
        ends = lengths == d + 2 - n
        found[ends] = now[n, ends]
        before, last, now = last, now, before
    return found


def keogh_bounds(query: Array, others: Array, window: float) -> Array:
    """LB_Keogh, at most the squared distance: how far each step lies outside what the query reaches within the band.

    Shapes: query [n, C]; others [C, m, P], all of m steps; result [P].
    """
    n, m = len(query), others.shape[1]
    width = int(band(n, np.array([m]), window)[0])
    shape = (width, m + width - n)
    upper, lower = (
        reach(sliding_window_view(np.pad(query, (shape, (0, 0)), constant_values=end), 2 * width + 1, 0), axis=-1).T[:, :, None]
        for reach, end in ((np.max, -np.inf), (np.min, np.inf))
    )
    return np.square(np.maximum(others - upper, 0) + np.maximum(lower - others, 0)).sum((0, 1))


def band(n: int, lengths: NDArray[np.int64], window: float) -> NDArray[np.int64]:
    """w for each pair. Shapes: [P]."""
    return np.maximum(np.floor(window * np.maximum(n, lengths)).astype(np.int64), np.abs(n - lengths))


def _parts(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (order[first : first + TOGETHER] for first in range(0, len(order), TOGETHER))


def _complete(data: Sequences, scaling: SequenceScaling) -> list[Array]:
    """Each sequence scaled and without gaps. Shapes: [T, C]."""
    return [values.astype(np.float64) for values in prepare(data, scaling, "time").values]
