"""Panels of a few values, built by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel, Series

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01T00", "ns")  # a Monday


def hours(count: int) -> NDArray[Any]:
    """Times from a Monday at midnight on."""
    return START + np.arange(count) * HOUR


def series_of(
    target: Sequence[float],
    id: str = "a",
    times: ArrayLike | None = None,
    past: Sequence[Sequence[float]] = (),
    future: Sequence[Sequence[float]] = (),
    static: Sequence[float] = (),
) -> Series:
    """A series with its covariates, one sequence per column."""
    length = len(target)
    known, ahead = (np.array(columns, float).reshape(len(columns), length).T for columns in (past, future))
    return Series(id, np.arange(length) if times is None else np.asarray(times), np.array(target, float), known, ahead, np.array(static, float))


def panel_of(*series: Series, step: str = "1", past: Sequence[str] = (), future: Sequence[str] = (), static: Sequence[str] = ()) -> Panel:
    """A panel on this step, with the names of its covariates."""
    columns = Columns("id", "ds", "y", tuple(past), tuple(future), tuple(static))
    return Panel(series, columns, Step.of(step), tuple(past), tuple(future), tuple(static))
