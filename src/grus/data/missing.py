"""Missing values: what stands in their place within one window, how long they have been missing, and how to hide some for a study.

The functions see one window, or many side by side, and nothing else. A window ends before the forecast's origin, so a filled value
may come from a later one of the same window but never from what is to be forecast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.panel import Panel
from grus.errors import DataError, OptionError, ShapeError

FILLS = ("zero", "mean", "forward", "linear", "time")
STRATEGIES = (*(name for fill in FILLS for name in (fill, f"{fill}+mask")), "gru_d")

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_] | Floats
Places = NDArray[np.int64]


class Missing(NamedTuple):
    """A strategy's two halves: what is filled in ("none" leaves it to the cell), and whether channels say what was measured."""

    fill: str
    mask: bool


def parse(strategy: str) -> Missing:
    """The halves of one of ``STRATEGIES``.

    Raises:
        OptionError: the strategy is unknown
    """
    if strategy not in STRATEGIES:
        raise OptionError(f"missing: strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}; choose one of them.")
    return Missing("none", False) if strategy == "gru_d" else Missing(strategy.removesuffix("+mask"), strategy.endswith("+mask"))


def fill(
    values: Floats, mask: Mask, strategy: str, times: NDArray[Any] | None = None, mean: ArrayLike | None = None, zero: ArrayLike = 0.0
) -> Floats:
    """The window with every value replaced where the mask is 0.

    zero:    0, which is ``zero`` in the units of the values
    mean:    the mean of the training data
    forward: the last measured value
    linear:  on the line between the measured values on either side, by step; after the last one, that one
    time:    the same by time stamp
    gru_d:   the last measured value, for the cell to let it decay
    Before the first measured value forward, linear, time and gru_d give the mean.

    Shapes:
        values, mask [..., L]; times [L] or [..., L]; mean and zero [...], one per window
    Raises:
        OptionError: the strategy is unknown, or needs the mean or times and has none
        ShapeError: the arrays do not fit together
    """
    how = parse(strategy).fill
    measured = _measured(values, mask)
    level = _level(strategy, "zero" if how == "zero" else "mean", zero if how == "zero" else mean, values)
    if how in ("zero", "mean"):
        return np.where(measured, values, level)
    before = _last_measured(measured)
    carried = np.take_along_axis(values, np.maximum(before, 0), -1)
    if how in ("forward", "none"):
        return np.where(before < 0, level, carried)
    filled = np.ascontiguousarray(np.where(before < 0, level, carried))
    absent = np.flatnonzero(~measured)
    filled.reshape(-1)[absent] += _rises(values, measured, absent, before, _clock(times, values.shape) if how == "time" else None)
    return filled


def deltas(mask: Mask, times: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """GRU-D's delta: how long before each step the value was last measured, counted from the window's first step if it never was.

    delta_1 = 0
    delta_t = s_t − s_{t−1} + (0 if mask_{t−1} else delta_{t−1})

    Shapes:
        mask [..., L]; times s [L] or [..., L], each step's number by default
    Units:
        those of times: plain numbers, in which 1 is one step
    Source:
        Che et al., Recurrent neural networks for multivariate time series with missing values, 2018, equation 2
    """
    if times is not None and times.dtype.kind not in "iuf":
        raise OptionError(f"deltas: times must be numbers in which 1 is one step, got {times.dtype}; divide by the length of a step.")
    measured = np.asarray(mask) != 0
    before = np.zeros(measured.shape, np.int64)
    before[..., 1:] = np.maximum(_last_measured(measured)[..., :-1], 0)
    if times is None:
        return np.arange(measured.shape[-1], dtype=np.float64) - before
    clock = _clock(times, measured.shape)
    return clock - np.take_along_axis(clock, before, -1)


def remove(panel: Panel, fraction: float, seed: int) -> Panel:
    """The panel with this share of its known target values hidden, drawn at random over all series together.

    Raises:
        OptionError: the fraction is not in [0, 1)
        DataError: a series would have no value left
    """
    if not 0 <= fraction < 1:
        raise OptionError(f"remove: fraction must be at least 0 and less than 1, got {fraction!r}; give the share of values to hide.")
    target = np.concatenate([series.target for series in panel.series])
    known = np.flatnonzero(~np.isnan(target))
    target[np.random.default_rng(seed).choice(known, round(fraction * len(known)), replace=False)] = np.nan
    parts = np.split(target, np.cumsum([len(series.target) for series in panel.series])[:-1])
    for series, part in zip(panel.series, parts, strict=True):
        if np.isnan(part).all() and not np.isnan(series.target).all():
            raise DataError(f"remove: series {series.id!r} must keep a value, got none left of {len(part)}; hide less, or take another seed.")
    return replace(panel, series=tuple(replace(series, target=part) for series, part in zip(panel.series, parts, strict=True)))


def _measured(values: Floats, mask: Mask) -> NDArray[np.bool_]:
    if mask.shape != values.shape:
        raise ShapeError(f"missing: mask must be {list(values.shape)} as values are, got {list(mask.shape)}; give one entry per value.")
    return np.asarray(mask) != 0


def _level(strategy: str, name: str, given: ArrayLike | None, values: Floats) -> Floats:
    if given is None:
        raise OptionError(f"missing: {name} must be given with strategy {strategy!r}, got None; pass the training data's mean.")
    level = np.asarray(given, values.dtype)
    if level.shape not in ((), values.shape[:-1]):
        raise ShapeError(f"missing: {name} must be {list(values.shape[:-1])}, got {list(level.shape)}; give one per window.")
    return level[..., None]


def _last_measured(measured: NDArray[np.bool_]) -> Places:
    """The place of the last measured value at or before each step, −1 where there is none."""
    places = np.arange(1, measured.shape[-1] + 1, dtype=np.int64) * measured
    return np.maximum.accumulate(places, axis=-1) - 1


def _rises(values: Floats, measured: NDArray[np.bool_], absent: Places, before: Places, clock: NDArray[np.float64] | None) -> Floats:
    """How far the line to the next measured value has left the last one at each absent place of the flat window; 0 where either is lacking."""
    length = values.shape[-1]
    after = length - 1 - np.flip(_last_measured(np.flip(measured, -1)), -1)
    previous, following, step = before.reshape(-1)[absent], after.reshape(-1)[absent], absent % length
    between = (previous >= 0) & (following < length)
    row = absent - step
    left, right = row + np.maximum(previous, 0), row + np.minimum(following, length - 1)
    here, start, end = (absent, left, right) if clock is None else (clock.reshape(-1)[place] for place in (absent, left, right))
    flat = values.reshape(-1)
    part = (here - start) / np.where(between, end - start, 1)
    return np.where(between, (flat[right] - flat[left]) * part, 0).astype(values.dtype)


def _clock(times: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Times as numbers from the window's first one on: nanoseconds since 1970 would lose digits as floats."""
    if times is None:
        raise OptionError("missing: times must be given to fill by time, got None; pass the window's time stamps.")
    if times.shape not in (shape, shape[-1:]):
        raise ShapeError(f"missing: times must be {list(shape)}, got {list(times.shape)}; give one per value.")
    return np.broadcast_to((times - times[..., :1]).astype(np.float64), shape)
