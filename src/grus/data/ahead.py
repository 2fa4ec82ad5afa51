"""The steps after a panel's end: their times, and the future covariates that must be known there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.calendar import Step
from grus.data.cycles import TimeChannels
from grus.data.order import show
from grus.data.panel import Panel, Series
from grus.data.scaling import Affine, affine
from grus.errors import DataError


def known_ahead(panel: Panel, future: Panel | None, scaling: Affine, stamped: TimeChannels, horizon: int) -> NDArray[np.float32]:
    """Scaled future covariates, then what the times tell, of the steps after each series.

    Shapes:
        result [series, H, F]
    Raises:
        DataError: a covariate, or on an irregular calendar a time, is not known
    """
    names = panel.future_names
    if future is None and names:
        raise DataError(
            f"predict: the future covariates {', '.join(map(repr, names))} must be known for the {horizon} steps to forecast, got none; "
            "give rows for these steps with a blank target behind the history in the table given to predict, or pass a table of them as future."
        )
    if future is not None and future.future_names != names:
        raise DataError(
            f"predict: future covariates must be {list(names)}, those of the training data, got {list(future.future_names)}; "
            "name the same columns and categories."
        )
    to_come = {} if future is None else {series.id: series for series in future.series}
    parts: list[NDArray[np.float64]] = []
    shared: dict[Any, tuple[NDArray[Any], NDArray[np.float64]]] = {}  # most series end at one time, and pandas takes its time over the next ones
    for series in panel.series:
        match, end = to_come.get(series.id), series.times[-1]
        if end in shared:
            times, positions = shared[end]
        else:
            times = _times(panel.step, series, match, horizon)
            positions = stamped.of(times, end)
            if panel.step.is_regular:
                shared[end] = times, positions
        parts.append(np.concatenate([affine(scaling, _covariates(series, match, times)), positions], axis=1) if names else positions)
    return np.stack(parts).astype(np.float32)


def _times(step: Step, series: Series, future: Series | None, horizon: int) -> NDArray[Any]:
    if step.is_regular:
        return step.after(series.times[-1], horizon)
    times = series.times[:0] if future is None else future.times[future.times > series.times[-1]][:horizon]
    if len(times) < horizon:
        raise DataError(
            f"predict: series {series.id!r} must have {horizon} times after {show(series.times[-1])}, as its calendar is irregular, "
            f"got {len(times)}; add their rows, without a target, behind the history in the table given to predict."
        )
    return times


def _covariates(series: Series, future: Series | None, times: NDArray[Any]) -> NDArray[np.float64]:
    if future is None:
        raise DataError(
            f"predict: series {series.id!r} must have future covariates, got none of that name; add its rows to the table passed as future."
        )
    places = np.minimum(np.searchsorted(future.times, times), len(future.times) - 1)
    absent = times[(future.times[places] != times) | np.isnan(future.future[places]).any(axis=1)]
    if absent.size:
        raise DataError(
            f"predict: the future covariates of series {series.id!r} must be known at {show(absent[0])}, got none "
            f"({absent.size} of {len(times)} times lack them); "
            "add those rows with a blank target behind the history in the table given to predict, or to the one passed as future."
        )
    return future.future[places]
