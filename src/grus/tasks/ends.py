"""Where what is known of a series ends, and what its rows behind that mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grus.data.panel import Panel, Series
from grus.errors import DataError
from grus.tasks.facts import time_text

TOLD = 3  # series that a sentence names


def known_and_ahead(panel: Panel) -> tuple[Panel, Panel | None]:
    """The panel to forecast from, and the one that holds what is known of the steps to come.

    Where something must be known ahead, future covariates or the times of an irregular calendar, rows behind the last known target give it.
    Elsewhere such rows are steps like others, which have passed without a value.
    """
    return (until_last_target(panel), panel) if panel.future_names or not panel.step.is_regular else (panel, None)


def check_ahead(panel: Panel, ahead: Panel | None, horizon: int, table: str) -> None:
    """Whether a table tells what must be known of the steps to forecast.

    panel, ahead: as ``known_and_ahead`` gives them. table: how a message calls it.

    Raises: DataError.
    """
    if ahead is None:
        return
    short = [(series, _blank(series)) for series in ahead if _blank(series) < horizon]
    if short:
        columns, (series, count) = panel.columns, short[0]
        which = f", with their {', '.join(columns.future)}" if columns.future else ""
        more = f", and too few of {len(short) - 1} more series" if len(short) > 1 else ""
        raise DataError(
            f"predict: {table} must end with {horizon} rows for the steps to forecast{which} and a blank {columns.target}, "
            f"got {count} such rows of series {series.id!r} after {time_text(panel[series.id].times[-1], panel)}{more}; "
            "add them behind the history in that file, or in a copy that is given with --data."
        )


def until_last_target(panel: Panel) -> Panel:
    """Every series up to its last known target; one that has none stays as it is."""

    def cut(series: Series) -> Series:
        stop = len(series) - _blank(series)
        return replace(series, **{name: getattr(series, name)[:stop] for name in ("times", "target", "past", "future")})

    return replace(panel, series=tuple(cut(series) for series in panel))


def blank_ends(panel: Panel) -> str | None:
    """What a reader of forecasts must know of series that end without a value, as one sentence; None where there are none."""
    found = [(series, count) for series in panel if (count := _blank(series))]
    if not found:
        return None
    told = [f"the last {count} of series {series.id!r}, forecast from {_first_ahead(panel, series)} on" for series, count in found[:TOLD]]
    more = [f"those of {len(found) - TOLD} more series"] if len(found) > TOLD else []
    return (
        f"{panel.columns.target}: values are missing at the end, and the forecast starts after them: {'; '.join(told + more)}. "
        "Leave those rows out for a forecast from the last known value on."
    )


def _blank(series: Series) -> int:
    """Steps behind the last known target; none where no target is known."""
    known = np.flatnonzero(~np.isnan(series.target))
    return len(series) - 1 - int(known[-1]) if known.size else 0


def _first_ahead(panel: Panel, series: Series) -> str:
    if not panel.step.is_regular:
        return f"the next time after {time_text(series.times[-1], panel)}"
    return time_text(panel.step.after(series.times[-1], 1)[0], panel)
