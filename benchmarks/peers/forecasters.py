"""What forecasters are given to learn, and which there are; each goes from a data frame to a trained network in one call.

All read windows of one channel, scale each series by its training part and each window by its own mean and deviation, and take the same number
of steps of Adam at one rate, on as many windows drawn at random. The recurrent layer is the same. neuralforecast decodes each of its states into
the step a horizon later; Grus decodes the last state into all steps.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MODULES = ("grus_forecaster", "neuralforecast")
GRUS, YARDSTICK, ONE_SERIES = "grus", "neuralforecast", "neuralforecast, one series a step"
LOOKBACK = HORIZON = 96
LEARNING_RATE = 1e-3
STEPS_PER_EPOCH = 100
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Task:
    """Series [S, T] of which the first ``learnt`` steps are for training, and the size of what learns them."""

    values: Array
    learnt: int
    hidden: int
    steps: int
    windows: int

    @property
    def shift(self) -> Array:
        return self.values[:, : self.learnt].mean(1, keepdims=True)

    @property
    def scale(self) -> Array:
        return self.values[:, : self.learnt].std(1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Trained:
    """``loop_s``: seconds of the fit in the optimiser's loop; ``forecast`` gives [S, origins, H], scaled, of all origins after the training part."""

    loop_s: float
    weights: int
    forecast: Callable[[], Array]


Fit = Callable[[Task, pd.DataFrame, int], Trained]  # a frame of the training part and a seed


def load() -> tuple[dict[str, Fit], dict[str, str]]:
    """The forecasters that are there, and why each of the others is not."""
    found: dict[str, Fit] = {}
    missing: dict[str, str] = {}
    for module in MODULES:
        try:
            found |= importlib.import_module(f"benchmarks.peers.{module}").FITS
        except ImportError as error:
            if module == "grus_forecaster":
                raise
            missing[module] = "not installed" if isinstance(error, ModuleNotFoundError) else f"not available ({error})"
    return found, missing


def to_frame(values: Array) -> pd.DataFrame:
    """Series [S, T] as one long table, numbered by the hour: with dates Grus would read a calendar too."""
    hours = np.arange(values.shape[1])
    parts = [pd.DataFrame({"unique_id": f"series {number}", "ds": hours, "y": row}) for number, row in enumerate(values)]
    return pd.concat(parts, ignore_index=True)
