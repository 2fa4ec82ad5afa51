"""neuralforecast's ``GRU``, its windows from every series at each step, as it does by itself, or from one."""

from __future__ import annotations

import logging
import time
import warnings
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MAE
from neuralforecast.models import GRU
from neuralforecast.tsdataset import TimeSeriesDataset
from pytorch_lightning import Callback

from benchmarks.peers.forecasters import HORIZON, LEARNING_RATE, LOOKBACK, ONE_SERIES, YARDSTICK, Array, Task, Trained, to_frame

for _name in ("pytorch_lightning", "lightning_fabric"):  # they say at each fit which devices there are
    logging.getLogger(_name).setLevel(logging.ERROR)


class Clock(Callback):
    """The seconds between the first batch and the last."""

    seconds = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.seconds = -time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        self.seconds += time.perf_counter()


def fit(task: Task, frame: pd.DataFrame, seed: int, *, series: int) -> Trained:
    """``series``: how many may give windows to a step, its own default 32; a step cuts all windows of each before it draws some."""
    model = GRU(
        h=HORIZON,
        input_size=LOOKBACK,
        encoder_n_layers=1,
        encoder_hidden_size=task.hidden,
        decoder_hidden_size=task.hidden,
        loss=MAE(),
        max_steps=task.steps,
        learning_rate=LEARNING_RATE,
        batch_size=series,
        windows_batch_size=task.windows,
        scaler_type="standard",
        random_seed=seed,
        val_check_steps=task.steps,
        callbacks=[Clock()],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    fitted = NeuralForecast([model], freq=1, local_scaler_type="standard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library's warnings about itself and PyTorch
        fitted.fit(frame)
    learnt = fitted.models[0]

    def forecast() -> Array:
        whole = TimeSeriesDataset.from_df(to_frame((task.values - task.shift) / task.scale))[0]
        learnt.set_test_size(task.values.shape[1] - task.learnt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return learnt.predict(whole, step_size=1).reshape(len(task.values), -1, HORIZON).astype(np.float64)

    (clock,) = learnt.trainer_kwargs["callbacks"]  # the model that was fitted is a copy
    return Trained(clock.seconds, sum(weight.numel() for weight in learnt.parameters()), forecast)


FITS = {YARDSTICK: partial(fit, series=32), ONE_SERIES: partial(fit, series=1)}
