"""Small panels and forecasters that are trained in no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel, Series
from grus.tasks.forecaster import Forecaster

HORIZON, LOOKBACK = 3, 8


def wave(length: int, seed: int = 0, level: float = 0.0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=length)
    return level + np.sin(np.arange(length) * np.pi / 4) + 0.1 * noise


def panel_of(targets: Sequence[NDArray[np.float64]], starts: Sequence[int] | None = None, names: str = "abcdefgh") -> Panel:
    """Series on integer times, each from its own start."""
    begins = [0] * len(targets) if starts is None else list(starts)
    series = tuple(
        Series(names[at], np.arange(start, start + len(target)), target, np.zeros((len(target), 0)), np.zeros((len(target), 0)), np.zeros(0))
        for at, (target, start) in enumerate(zip(targets, begins, strict=True))
    )
    return Panel(series, Columns("id", "ds", "y"), Step("1", 1))


def changed(panel: Panel, stops: Sequence[int]) -> Panel:
    """The panel with other targets from these steps on."""
    return replace(panel, series=tuple(replace(each, target=_after(each.target, stop)) for each, stop in zip(panel, stops, strict=True)))


def _after(target: NDArray[np.float64], stop: int) -> NDArray[np.float64]:
    found = target.copy()
    found[stop:] = found[stop:] * -7 + 100
    return found


def small(**options: Any) -> Forecaster:
    """A forecaster of the smallest size."""
    given = {"horizon": HORIZON, "lookback": LOOKBACK, "hidden_size": 4, "epochs": 1, "verbose": 0}
    return Forecaster(**(given | options))
