"""A series as what changed since one season before, and forecasts of the change as forecasts of the series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grus.data import Panel
from grus.evaluation import Prediction
from grus.evaluation.rolling import Predict
from grus.tasks.forecast import ForecastModel


def growth(panel: Panel) -> Panel:
    """log y_t − log y_{t−m} of every series, missing in the first season."""
    season = panel.step.season
    changes: list[NDArray[np.float64]] = []
    for series in panel:
        logarithm = np.log(series.target)
        changes.append(np.concatenate([np.full(season, np.nan), logarithm[season:] - logarithm[:-season]]))
    return replace(panel, series=tuple(replace(series, target=change) for series, change in zip(panel, changes, strict=True)))


def from_growth(model: ForecastModel) -> Predict:
    """Forecasts of a series by a model of its growth: y_{t−m} e^growth, for horizons of at most one season."""

    def predict(panel: Panel, series: NDArray[np.int64], origins: NDArray[np.int64], /) -> Prediction:
        season, horizon = panel.step.season, model.horizon
        before = [panel.series[int(index)].target[origin - season : origin - season + horizon] for index, origin in zip(series, origins, strict=True)]
        return Prediction(np.stack(before) * np.exp(model.predict_at(growth(panel), series, origins).point))

    return predict
