"""More of the same series, behind what is known of them."""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from grus.data.panel import Panel, Series
from grus.data.reading import read_panel
from grus.data.splitting import Range, Split


def continued(panel: Panel, more: Split) -> Split:
    """The parts of `more` in longer series, which begin as those of `panel` do up to where `more` begins.

    Steps between the two are missing. A series that `panel` alone has stays, with empty parts.

    Raises: DataError where the two cannot be one table, for example as covariates of the steps between must be known.
    """
    starts: dict[str, Any] = {series.id: series.times[0] for series in more.panel}
    earlier = {series.id: _before(series, starts.get(series.id)) for series in panel}
    if not any(len(series) for series in earlier.values()):
        return more
    later = {series.id: series for series in more.panel}
    parts = [part[id] for id in {**earlier, **later} for part in (earlier, later) if id in part and len(part[id])]
    table = pd.concat([replace(more.panel, series=(part,)).to_frame() for part in parts], ignore_index=True)
    joined = replace(read_panel(table, like=more.panel), findings=more.panel.findings)
    places = {series.id: at for at, series in enumerate(more.panel)}

    def moved(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        return tuple(_moved(series, ranges[places[series.id]], starts[series.id]) if series.id in places else (0, 0) for series in joined)

    return Split(joined, moved(more.train), moved(more.validation), moved(more.test), more.findings)


def _before(series: Series, time: Any) -> Series:
    """The steps before a time; None: all."""
    stop = len(series) if time is None else int(np.searchsorted(series.times, time))
    return replace(series, **{name: getattr(series, name)[:stop] for name in ("times", "target", "past", "future")})


def _moved(series: Series, part: Range, start: Any) -> Range:
    """A range that counted from `start` on, counted from the beginning."""
    by = int(np.searchsorted(series.times, start))
    return part[0] + by, part[1] + by
