"""Forecasts as tables."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from grus.data.clock import PARTS, parts_of
from grus.data.panel import Panel, Series
from grus.errors import DataError


def prediction_frame(panel: Panel, ahead: Panel | None, horizon: int, values: Mapping[str, Any]) -> pd.DataFrame:
    """Values of the steps after each series, one row per series and step, with the panel's own column names.

    Times that were read from several columns stand in these again.

    ahead: on an irregular calendar, the panel that holds the times to come.

    Shapes: each value [series, H].
    Raises: DataError where the times to come are not known.
    """
    names = panel.columns
    ids = {} if names.id is None else {names.id: np.repeat(np.array([series.id for series in panel], object), horizon)}
    times = np.concatenate([_times_after(panel, series, ahead, horizon) for series in panel])
    return pd.DataFrame(ids | _time_columns(names.time, times) | {name: array.reshape(-1) for name, array in values.items()})


def _time_columns(name: str, times: Any) -> dict[str, Any]:
    """One column of times, or those that "year,month,day,hour" stands for, and as many finer ones as the times need."""
    parts = parts_of(name, ())
    if not parts:
        return {name: times}
    index: Any = pd.DatetimeIndex(times)
    needed = max((at for at, part in enumerate(PARTS, 1) if (getattr(index, part) != (part in ("month", "day"))).any()), default=0)
    return {column: getattr(index, part) for column, part in zip((*parts, *PARTS[len(parts) : needed]), PARTS, strict=False)}


def _times_after(panel: Panel, series: Series, ahead: Panel | None, horizon: int) -> Any:
    """The times of the steps to forecast; on an irregular calendar the next ones that are known ahead."""
    if panel.step.is_regular:
        return panel.step.after(series.times[-1], horizon)
    times = series.times[:0] if ahead is None else np.concatenate([each.times for each in ahead if each.id == series.id] or [series.times[:0]])
    times = times[times > series.times[-1]][:horizon]
    if len(times) < horizon:
        raise DataError(
            f"predict: series {series.id!r} must have {horizon} times after {series.times[-1]}, as its calendar is irregular, "
            f"got {len(times)}; add their rows, without a target."
        )
    return times
