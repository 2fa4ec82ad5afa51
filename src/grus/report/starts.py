"""When the forecasts of a backtest start: a score says nothing of starts that were not tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grus.evaluation import Backtest
from grus.report.records import Words

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def start_sentence(backtest: Backtest, words: Words) -> str:
    """The time, the time of day, the day of the week or the step of the season that all forecasts share; "" where they share none."""
    first = backtest.times[:, 0]
    if len(first) < 2:
        return ""
    if (first == first[0]).all():
        return f"Every forecast starts at {words.time(first[0])}."
    shared = (shared_day(backtest), shared_clock(backtest, words))
    said = " ".join(filter(None, shared))
    if said:
        return f"Every forecast starts {said}: how good it is from other {'hours' if shared[1] else 'days'} on was not tested."
    if shares_season(backtest):
        season = f"season of {words.steps(backtest.season)}"
        return f"Every forecast of a series starts at the same step of its {season}: how good it is from other steps on was not tested."
    return ""


def shared_day(backtest: Backtest) -> str:
    """ "on a Monday" where all start on one and the times are of every day."""
    if backtest.times.dtype.kind != "M":
        return ""
    days = (backtest.times.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return f"on a {WEEKDAYS[days[0, 0]]}" if shared(days) else ""


def shared_clock(backtest: Backtest, words: Words) -> str:
    """ "at 00:00" where all start then and the times are of other hours too."""
    if backtest.times.dtype.kind != "M":
        return ""
    within = backtest.times - backtest.times.astype("datetime64[D]")
    return f"at {words.time(backtest.times[0, 0]).split(' ')[1]}" if shared(within) else ""


def shares_season(backtest: Backtest) -> bool:
    """Whether the forecasts of each series start a number of whole seasons apart, and some series has several."""
    names, origins = np.asarray(backtest.series), np.asarray(backtest.origins)
    order = np.argsort(names, kind="stable")
    same = names[order][1:] == names[order][:-1]
    gaps = np.diff(origins[order])[same]
    return backtest.season > 1 and gaps.size > 0 and bool((gaps % backtest.season == 0).all())


def shared(values: NDArray[np.generic]) -> bool:
    """Whether all windows [W, H] begin with the same value, and not all values are that one."""
    return bool((values[:, 0] == values[0, 0]).all() and (values != values[0, 0]).any())
