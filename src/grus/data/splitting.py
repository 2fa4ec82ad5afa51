"""Training, validation and test targets: split by time, never shuffled, and never cut, so that a window may look back across the border."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, cast

import numpy as np

from grus.data.calendar import Times, as_time
from grus.data.panel import Panel, Series
from grus.errors import DataError, OptionError

Amount = float | int | str | date | np.datetime64
Range = tuple[int, int]
LISTED = 5  # series in a finding
LEAST = 1e-9  # a fraction below it would need more steps than a series has


@dataclass(frozen=True, eq=False)
class Split:
    """Which targets are for what: for each series of `panel`, in its order, the half-open range [lo, hi) of their indices.

    panel: the panel that was split, without the series that were dropped.
    findings: what was dropped, and why.
    """

    panel: Panel
    train: tuple[Range, ...]
    validation: tuple[Range, ...]
    test: tuple[Range, ...]
    findings: tuple[str, ...] = ()


def split(panel: Panel, validation: Amount, test: Amount, *, at_least: int = 1, short: Literal["error", "drop"] = "error") -> Split:
    """The last targets of every series for testing, those before them for validation, the rest for training.

    validation, test: a fraction of each series (a float below 1, rounded down), a number of steps (an int), or the time of the first target (a
    text or date); 0 is none. On a panel of integer times an int is still a number of steps.
    at_least: steps that must be left for training.
    short: what becomes of series that are too short for the parts: an error that counts them, or they are dropped and listed in the findings.

    Raises: OptionError for an amount that is none of these; DataError for a series that is too short.

    Example:
        >>> from grus.data import read_panel
        >>> done = split(read_panel(np.arange(10.0)), 0.2, 3)
        >>> done.train, done.validation, done.test
        (((0, 5),), ((5, 7),), ((7, 10),))
    """
    if short not in ("error", "drop"):
        raise OptionError(f"split: short must be 'error' or 'drop', got {short!r}; write one of the two.")
    if isinstance(at_least, bool) or at_least < 1:
        raise OptionError(f"split: at_least must be at least 1, got {at_least!r}; give the steps that training needs.")
    for name, amount in (("validation", validation), ("test", test)):
        _check(name, amount, panel)
    fractions = sum(amount for amount in (validation, test) if isinstance(amount, float))
    if fractions >= 1:
        raise OptionError(f"split: validation and test must leave something for training, got fractions of {fractions:g} together; ask for less.")
    kept: list[Series] = []
    ranges: list[tuple[Range, Range, Range]] = []
    reasons: list[str] = []
    for series in panel:
        reason = _too_short(series, validation, test, at_least)
        if reason is None:
            kept.append(series)
            ranges.append(_ranges(series.times, validation, test))
        else:
            reasons.append(reason)
    if reasons and (short == "error" or not kept):
        remedy = "make validation and test smaller" + (", or leave out what is too short with short='drop'" if kept else "")
        raise DataError(f"split: {reasons[0]} ({len(reasons)} of {len(panel)} series are too short); {remedy}.")
    train, val, tests = zip(*ranges, strict=True)
    return Split(replace(panel, series=tuple(kept)), train, val, tests, _dropped(reasons, len(panel)))


def _dropped(reasons: list[str], total: int) -> tuple[str, ...]:
    if not reasons:
        return ()
    more = f" and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    return (f"dropped: {len(reasons)} of {total} series that are too short: {'; '.join(reasons[:LISTED])}{more}",)


def _check(name: str, amount: Any, panel: Panel) -> None:
    """Raises: OptionError unless the amount is a fraction, a number of steps or a time."""
    wanted = "a fraction below 1, a number of steps or a time"
    if isinstance(amount, bool) or not isinstance(amount, (float, int, np.integer, str, date, np.datetime64)):
        raise OptionError(f"split: {name} must be {wanted}, got {amount!r}; write 0.1, 24 or '2024-01-31'.")
    if isinstance(amount, float) and amount and not LEAST <= amount < 1:
        raise OptionError(f"split: {name} must be {wanted}, got {amount!r}; write an int for a number of steps.")
    if isinstance(amount, (int, np.integer)) and amount < 0:
        raise OptionError(f"split: {name} must be {wanted}, got {amount!r}; write 0 for none.")
    if _is_time(amount):
        as_time(amount, panel.series[0].times, f"split: {name}")


def _is_time(amount: Any) -> bool:
    return isinstance(amount, (str, date, np.datetime64))


def _ranges(times: Times, validation: Amount, test: Amount) -> tuple[Range, Range, Range]:
    total = len(times)
    middle = _start(times, total, test)
    first = min(_start(times, middle, validation), middle)
    return (0, first), (first, middle), (middle, total)


def _start(times: Times, stop: int, amount: Any) -> int:
    """Where the part begins that ends at `stop`; below 0 where there are not so many steps."""
    if _is_time(amount):
        return int(cast(np.int64, np.searchsorted(times, as_time(amount, times, "split"))))
    return stop - _steps(len(times), amount)


def _steps(total: int, amount: Any) -> int:
    # 0.29 × 100 is 28.999… in binary.
    return int(total * amount + 1e-9) if isinstance(amount, float) else int(amount)


def _too_short(series: Series, validation: Amount, test: Amount, at_least: int) -> str | None:
    """Why the series cannot be split so; None where it can."""
    train, val, tests = _ranges(series.times, validation, test)
    enough = all(hi > lo for (lo, hi), amount in ((val, validation), (tests, test)) if amount != 0)
    if enough and train[1] >= at_least:
        return None
    if _is_time(validation) or _is_time(test):
        needed = f"must have {at_least} steps for training, and some of each part"
        return f"series {series.id!r} {needed}, got {_counts(train, val, tests)} from {series.times[0]} to {series.times[-1]}"
    return f"series {series.id!r} must have {_needed(validation, test, at_least)} steps, got {len(series)}"


def _counts(*ranges: Range) -> str:
    names = ("for training", "for validation", "for testing")
    return ", ".join(f"{max(hi - max(lo, 0), 0)} {name}" for (lo, hi), name in zip(ranges, names, strict=True))


def _needed(validation: Any, test: Any, at_least: int) -> int:
    """The shortest length that leaves every part that is asked for its steps."""
    fractions = [amount for amount in (validation, test) if isinstance(amount, float) and amount > 0]
    steps = at_least + sum(int(amount) for amount in (validation, test) if not isinstance(amount, float))
    # Rounding down frees less than one step for each fraction.
    total = max(steps, int((steps - len(fractions)) / (1 - sum(fractions))), *(int(1 / fraction) for fraction in fractions), 1)
    while True:
        parts = [_steps(total, amount) for amount in (validation, test) if amount != 0]
        if all(part > 0 for part in parts) and total - sum(parts) >= at_least:
            return total
        total += 1
