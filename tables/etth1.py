"""ETTh1: seven hourly series of a transformer, 96 steps ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data import Columns, Panel, Split, read_panel
from grus.data.splitting import Range
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.learning import train
from grus.training import TrainingSettings
from tables.table import Figures, Row, Table, over_seeds

FILE = "ett/etth1.csv.gz"
MSE, MAE = "MSE", "MAE"
BORDERS = (0, 8640, 11520, 14400)
WINDOWS = WindowSettings(lookback=96, horizon=96)
MODEL = ForecastSettings(
    hidden_size=128, dropout=0.5, decoder="segment", segment_length=24, series_embedding=True, normalisation="last", head="point", loss="mae"
)
TRAINING = TrainingSettings(epochs=10, batch_size=256, patience=4, threads=1)


def read(path: Path) -> Panel:
    """The columns as series, numbered by the hour: with dates the network would read a calendar, which the published ones did not."""
    frame = pd.read_csv(path).iloc[: BORDERS[-1]]
    names = [name for name in frame.columns if name != "date"]
    parts = [pd.DataFrame({"id": name, "hour": np.arange(len(frame)), "value": frame[name].to_numpy()}) for name in names]
    return read_panel(pd.concat(parts), Columns(id="id", time="hour", target="value"))


def cut(panel: Panel) -> Split:
    """12, 4 and 4 months of 30 days."""
    train_part, validation, test = (tuple[Range, ...]([part] * len(panel)) for part in pairwise(BORDERS))
    return Split(panel, train_part, validation, test)


def run(folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
    """The network, trained once per seed."""
    parts = cut(read(folder / FILE))

    def once(seed: int) -> Figures:
        model, _ = train(parts, WINDOWS, MODEL, TRAINING.model_copy(update={"seed": seed}))
        return score(model, parts)

    yield over_seeds("GRU segments, 128 units", seeds, once)


def places(parts: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Series and origin of every test window: none is left out, however many fill the last batch."""
    found = [(index, origin) for index, (low, high) in enumerate(parts.test) for origin in range(low, high - WINDOWS.horizon + 1)]
    series, origins = np.array(found, np.int64).T
    return series, origins


def score(model: ForecastModel, parts: Split) -> Figures:
    """The errors in units of each series' training deviation, over all windows, steps and series."""
    series, origins = places(parts)
    forecast = model.predict_at(parts.panel, series, origins).point
    targets = np.stack([each.target for each in parts.panel])
    truth = targets[series[:, None], origins[:, None] + np.arange(WINDOWS.horizon)]
    error = (forecast - truth) / model.scaling.target.scale[series, None]
    return {MSE: float(np.square(error).mean()), MAE: float(np.abs(error).mean())}


TABLE = Table(
    name="etth1",
    title="ETTh1, seven series, 96 hours ahead from 96 hours",
    protocol=(
        "Rows 8640/2880/2880 for training, validation and test, a test window may look back into validation; scaled by the training mean and\n"
        "deviation; all 2785 windows of each series count, the last partial batch too."
    ),
    chosen=(
        "SegRNN's network with 128 units for its 512, its loss (MAE, not MSE) and the epoch chosen on validation; one network for all series.\n"
        "The test part was read once."
    ),
    files=(FILE,),
    metrics=(MSE, MAE),
    run=run,
    published=(
        Row("SegRNN", {MSE: (0.368,), MAE: (0.395,)}),
        Row("iTransformer", {MSE: (0.386,)}),
        Row("DLinear", {MSE: (0.386,)}),
        Row("PatchTST", {MSE: (0.414,)}),
    ),
)
