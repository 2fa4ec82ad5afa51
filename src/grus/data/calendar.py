"""The calendar of a panel: the step from one time to the next, how it is found, and which times do not fit it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries import offsets
from pandas.tseries.frequencies import to_offset

from grus.errors import DataError, OptionError

Times = NDArray[Any]
Offset = offsets.BaseOffset

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
RARE = 0.05  # a difference that fewer than this share of steps have is a stray time, not the step
LONGEST = 5  # series that pandas.infer_freq is asked about
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True)
class Step:
    """From one time to the next.

    name: a pandas offset alias ("h", "15min", "W-SAT", "MS"), a whole number ("1") for integer times, or "irregular".
    season: steps of the customary season: those of a day for minutes and hours, 7 days, 5 business days, 52 weeks, 12 months, 4 quarters;
    1 where there is none.

    Example:
        >>> Step.of("h")
        Step(name='h', season=24)
        >>> Step.of("MS").after(np.datetime64("2024-12-01"), 2).astype("datetime64[D]").tolist()
        [datetime.date(2025, 1, 1), datetime.date(2025, 2, 1)]
    """

    name: str
    season: int = 1

    irregular: ClassVar[Step]

    @staticmethod
    def of(name: str) -> Step:
        """The step of that name, with its customary season.

        Raises: OptionError for a name that pandas does not know, or a step that does not go forward.
        """
        if name == "irregular":
            return Step.irregular
        if name.isdecimal() and int(name) > 0:
            return Step(str(int(name)), 1)
        return Step(name, _season(_offset(name)))

    @property
    def is_regular(self) -> bool:
        return self.name != "irregular"

    @property
    def is_integer(self) -> bool:
        """Whether it counts in whole numbers, not in dates."""
        return self.name.isdecimal()

    def after(self, time: Any, count: int) -> Times:
        """The next `count` times after `time`, which is on the calendar.

        Raises: OptionError where the calendar is irregular.
        """
        if not self.is_regular:
            raise OptionError("Step.after: the calendar must be regular to know the next times, got an irregular one; give the times to predict.")
        if self.is_integer:
            return int(time) + int(self.name) * np.arange(1, count + 1, dtype=np.int64)
        return _nanoseconds(pd.date_range(pd.Timestamp(time), periods=count + 1, freq=_offset(self.name)))[1:]

    def between(self, first: Any, last: Any) -> Times:
        """Every time of the calendar from `first`, which is on it, to `last`, both included.

        Raises: OptionError where the calendar is irregular.
        """
        if not self.is_regular:
            raise OptionError("Step.between: the calendar must be regular to list its times, got an irregular one; use the times of the series.")
        if self.is_integer:
            return np.arange(int(first), int(last) + 1, int(self.name), dtype=np.int64)
        if self.length is not None:  # as date_range has them, in a hundredth of its time
            start, stop = (int(np.datetime64(time, "ns").astype(np.int64)) for time in (first, last))
            return (start + self.length * np.arange((stop - start) // self.length + 1)).astype("datetime64[ns]")
        return _nanoseconds(pd.date_range(pd.Timestamp(first), pd.Timestamp(last), freq=_offset(self.name)))

    def misfits(self, times: Times) -> NDArray[np.int64]:
        """Indices of those increasing times that are not on the calendar. Steps of a fixed length start at the most common phase."""
        if not self.is_regular or len(times) == 0:
            return np.zeros(0, np.int64)
        length = self.length
        if length is None:
            return np.flatnonzero(~np.isin(times, self.between(times[0], times[-1])))
        phases, counts = np.unique(times.astype(np.int64) % length, return_counts=True)
        return np.flatnonzero(times.astype(np.int64) % length != phases[counts.argmax()])

    @property
    def length(self) -> int | None:
        """Nanoseconds, or whole numbers, of a step; None where steps differ in length, as months do."""
        return int(self.name) if self.is_integer else _fixed_ns(_offset(self.name)) if self.is_regular else None


Step.irregular = Step("irregular", 1)


def infer(series: Sequence[Times]) -> Step | None:
    """The step that the times of all series share; None where there is none.

    First what pandas.infer_freq says of the longest series, where it fits all of them. Else, as gaps hide the step from pandas: months if all
    times are first or last days of months, business days if no day is a weekend, and otherwise the smallest difference that is not rare.
    Whole numbers have their greatest common difference.
    """
    kept = [times for times in series if len(times) > 1]
    if not kept:
        return None
    differences = np.concatenate([np.diff(times.astype(np.int64)) for times in kept])
    if kept[0].dtype.kind != "M":
        return Step.of(str(np.gcd.reduce(differences)))
    for times in sorted(kept, key=len, reverse=True)[:LONGEST]:
        alias = pd.infer_freq(pd.DatetimeIndex(times)) if len(times) > 2 else None
        if alias is not None and _fits(Step.of(alias), kept):
            return Step.of(alias)
    return Step.of(_by_months(kept) or _by_difference(kept, differences))


def _fits(step: Step, series: Sequence[Times]) -> bool:
    return not any(step.misfits(times).size for times in series)


def _by_months(series: Sequence[Times]) -> str | None:
    """The alias where every time is at midnight on the first, or on the last, day of a month."""
    times = np.concatenate(series)
    days, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    first, last = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]") - 1
    if (days != times).any() or not ((days == first).all() or (days == last).all()):
        return None
    count = int(np.gcd.reduce(np.concatenate([np.diff(times.astype("datetime64[M]").astype(np.int64)) for times in series])))
    letter, anchor = ("S" if (days == first).all() else "E"), _MONTHS[int(months[0].astype(np.int64)) % 12]
    if count % 12 == 0:
        return _times(count // 12, f"Y{letter}-{anchor}")
    return _times(count // 3, f"Q{letter}-{anchor}") if count % 3 == 0 else _times(count, f"M{letter}")


def _by_difference(series: Sequence[Times], differences: NDArray[np.int64]) -> str:
    values, counts = np.unique(differences, return_counts=True)
    step = int(values[counts >= RARE * len(differences)].min(initial=values[counts.argmax()]))
    if step == DAY_NS and _only_weekdays(np.concatenate(series)):
        return "B"
    if step % (7 * DAY_NS) == 0:
        return _times(step // (7 * DAY_NS), f"W-{_WEEKDAYS[int(weekdays(series[0][:1])[0])]}")
    return cast(str, cast(Any, to_offset)(pd.Timedelta(step)).freqstr)


def _only_weekdays(times: Times) -> bool:
    days = weekdays(times)
    return len(times) > 5 and int(days.max()) < 5 and int(days.min()) < int(days.max())


def weekdays(times: Times) -> NDArray[np.int64]:
    """The day of the week of each time, 0 for Monday."""
    return (times.astype("datetime64[D]").astype(np.int64) + 3) % 7


def _times(count: int, alias: str) -> str:
    return alias if count == 1 else f"{count}{alias}"


@cache
def _offset(name: str) -> Offset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            offset: Offset | None = cast(Any, to_offset)(name)
    except (ValueError, FutureWarning) as error:
        raise _refusal(name, str(error)) from error
    if offset is None or offset.n < 1:
        raise _refusal(name, "it must go forward")
    return offset


def _refusal(name: str, reason: str) -> OptionError:
    wanted = 'a pandas offset alias such as "h", "D", "W-SAT" or "MS", or a whole number of at least 1'
    return OptionError(f"Step: name must be {wanted}, got {name!r} ({reason.rstrip('.')}); choose one of those.")


def _fixed_ns(offset: Offset) -> int | None:
    if isinstance(offset, offsets.Day):
        return offset.n * DAY_NS
    return int(offset.nanos) if isinstance(offset, offsets.Tick) else None


def _season(offset: Offset) -> int:
    length = _fixed_ns(offset)
    if length is None:
        base = offset.name.split("-")[0].lstrip("B") or "B"
        return _share({"B": 5, "W": 52, "MS": 12, "ME": 12, "QS": 4, "QE": 4}.get(base, 1), offset.n)
    if length % DAY_NS == 0:
        return 52 if length == 7 * DAY_NS else _share(7, length // DAY_NS)
    return DAY_NS // length if DAY_NS % length == 0 and length >= MINUTE_NS else 1


def _share(whole: int, count: int) -> int:
    return whole // count if whole % count == 0 else 1


def _nanoseconds(index: pd.DatetimeIndex) -> Times:
    return index.to_numpy().astype("datetime64[ns]")


def as_time(value: Any, like: Times, who: str) -> Any:
    """`value`, a text, date or whole number, as a time of the same kind as `like`.

    Raises: DataError where it is of the other kind or no date.
    """
    if like.dtype.kind != "M":
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            return np.int64(value)
        raise DataError(f"{who}: the time must be a whole number, as the times of the panel are, got {value!r}; pass an int.")
    if isinstance(value, (int, np.integer)):
        raise DataError(f"{who}: the time must be a date, as the times of the panel are, got {value!r}; pass a text such as '2024-01-31'.")
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise _no_date(who, value) from error
    if stamp is pd.NaT:
        raise _no_date(who, value)
    return (stamp.tz_convert("UTC").tz_localize(None) if stamp.tz is not None else stamp).to_datetime64().astype("datetime64[ns]")


def _no_date(who: str, value: object) -> DataError:
    return DataError(f"{who}: the time must be a date, got {value!r}; write it as 2024-01-31 or 2024-01-31 18:00.")
