"""Grus's ``Forecaster``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.peers.forecasters import GRUS, HORIZON, LEARNING_RATE, LOOKBACK, STEPS_PER_EPOCH, Array, Task, Trained, to_frame
from grus import Forecaster
from grus.data import Columns, read_panel

COLUMNS = Columns(id="unique_id", time="ds", target="y")


def fit(task: Task, frame: pd.DataFrame, seed: int) -> Trained:
    per_epoch = min(task.steps, STEPS_PER_EPOCH)
    forecaster = Forecaster(
        HORIZON,
        lookback=LOOKBACK,
        hidden_size=task.hidden,
        missing="forward",
        validation_split=0,
        epochs=task.steps // per_epoch,
        batch_size=task.windows,
        random_state=seed,
        columns=COLUMNS,
        model={"head": "point", "loss": "mae"},
        training={"learning_rate": LEARNING_RATE, "schedule": "constant", "clip_norm": None, "steps_per_epoch": per_epoch},
        verbose=0,
    ).fit(frame)

    def forecast() -> Array:
        panel = read_panel(to_frame(task.values), COLUMNS)
        places = np.arange(task.learnt, task.values.shape[1] - HORIZON + 1)
        series = np.repeat(np.arange(len(panel)), len(places))
        found = forecaster.model_.predict_at(panel, series, np.tile(places, len(panel))).point.reshape(len(panel), -1, HORIZON)
        return (found - task.shift[:, :, None]) / task.scale[:, :, None]

    weights = sum(weight.numel() for weight in forecaster.model_.network.parameters())
    return Trained(sum(row["seconds"] for row in forecaster.history_.epochs), weights, forecast)


FITS = {GRUS: fit}
