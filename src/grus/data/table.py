"""A panel as flat arrays from which a window is one run of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from grus.data.cycles import TimeChannels
from grus.data.panel import Panel
from grus.data.scaling import Scaling, affine


@dataclass(frozen=True)
class Channels:
    """The names of a batch's channels, in order.

    past: the target; under "+mask" the masks of the target ("mask_y" for "y") and of every past covariate that lacks a value in training;
    the past covariates; what is in future.
    future: the future covariates, the calendar ("sin_day", "cos_day", and so on for week and year), "elapsed" where steps are irregular.
    static: the static covariates.
    """

    past: tuple[str, ...]
    future: tuple[str, ...]
    static: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """N rows: each series after ``lead`` empty rows and before ``tail`` empty ones, in scaled units.

    values: every past channel, 0 where missing. target: NaN where missing. masks: of the target, then of each past covariate.
    clock: intervals since the series' first row, on an irregular calendar only. times: the same where windows are filled by time.
    """

    channels: Channels
    values: NDArray[np.float32]  # [N, C]
    target: NDArray[np.float32]  # [N]
    masks: NDArray[np.bool_]  # [1 + P, N]
    static: NDArray[np.float32]  # [series, S]
    bases: NDArray[np.int64]  # [series], the first of its empty rows
    lengths: NDArray[np.int64]  # [series]
    clock: NDArray[np.float64] | None
    times: NDArray[np.float64] | None


def runs(rows: NDArray[Any], length: int) -> NDArray[Any]:
    """A view whose row s is rows s to s + length − 1 of ``rows`` end to end.

    Shapes:
        rows [N] or [N, C]; result [N − length + 1, length × C]
    """
    width = 1 if rows.ndim == 1 else rows.shape[1]
    return sliding_window_view(rows.reshape(-1), length * width)[::width]


def tabulate(panel: Panel, scaling: Scaling, lead: int, tail: int, *, masked: bool, stamped: TimeChannels, by_time: bool) -> Table:
    """The panel's table; ``scaling`` is aligned to the panel."""
    lengths = np.array([len(series.times) for series in panel.series], np.int64)
    bases = np.concatenate([[0], np.cumsum(lengths + lead + tail)])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.arange(len(owner)) + (bases[:-1] + lead - np.cumsum(lengths) + lengths)[owner]
    ahead = (*panel.future_names, *stamped.names)
    names = (panel.columns.target, *panel.past_names)
    shown = [0, *(names.index(name, 1) for name in scaling.lacking)] if masked else []
    channels = Channels((names[0], *(f"mask_{names[column]}" for column in shown), *names[1:], *ahead), ahead, tuple(panel.static_names))

    target = np.concatenate([series.target for series in panel.series])
    target = (target - scaling.target.shift[owner]) / scaling.target.scale[owner]
    past = affine(scaling.past, np.concatenate([series.past for series in panel.series]))
    future = affine(scaling.future, np.concatenate([series.future for series in panel.series]))
    measured = ~np.isnan(np.concatenate([target[:, None], past], axis=1))
    columns = [target[:, None], measured[:, shown], past, future, _stamped(panel, stamped)]

    values = np.zeros((bases[-1], len(channels.past)), np.float32)
    values[rows] = np.concatenate(columns, axis=1)
    values[np.isnan(values)] = 0
    flat_target = np.full(bases[-1], np.nan, np.float32)
    flat_target[rows] = target
    masks = np.zeros((len(names), bases[-1]), np.bool_)
    masks[:, rows] = measured.T
    irregular = not panel.step.is_regular
    stamps = _stamps(panel, scaling.interval, lead, tail) if irregular or by_time else None
    static = affine(scaling.static, np.stack([series.static for series in panel.series])).astype(np.float32)
    return Table(channels, values, flat_target, masks, static, bases[:-1], lengths, stamps if irregular else None, stamps if by_time else None)


def _stamped(panel: Panel, stamped: TimeChannels) -> NDArray[np.float64]:
    """The channels of every step's time, series after series."""
    if stamped.interval is None:
        return stamped.of(np.concatenate([series.times for series in panel.series]))
    return np.concatenate([stamped.of(series.times) for series in panel.series])


def _stamps(panel: Panel, interval: float, lead: int, tail: int) -> NDArray[np.float64]:
    """Times from each series' first one, in intervals; its empty rows are one interval apart."""
    parts: list[NDArray[np.float64]] = []
    for series in panel.series:
        own = (series.times - series.times[0]).astype(np.float64) / interval
        parts += [np.arange(-lead, 0, dtype=np.float64), own, own[-1] + np.arange(1, tail + 1)]
    return np.concatenate(parts)
