"""Columns of a table as numbers, times and labels; what does not fit is noted with its row and value."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as arrow
from numpy.typing import NDArray

from grus.data.calendar import Times
from grus.data.checks import Defects, Rule
from grus.data.panel import Values

MISSING = ("", "NA", "NaN", "nan", "null", "None")
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER_LIKE = r"^[+-]?[0-9.,' ]*[0-9][0-9.,' ]*%?$"  # "1,5" is a number written otherwise, not a category
FIRST_YEAR, LAST_YEAR = 1678, 2261  # what datetime64[ns] holds in full
compute = cast(Any, arrow)


@dataclass(frozen=True)
class Written:
    """One way to write times: `pattern` matches its texts, `format` is for pandas; two formats where the order of day and month is open."""

    pattern: str
    formats: tuple[str, ...]
    has_offset: bool = False


_CLOCK = r"(?: \d{1,2}:\d{2}| \d{1,2}:\d{2}:\d{2})"
WAYS = (
    Written(r"\d{4}-\d{2}-\d{2}", ("%Y-%m-%d",)),
    Written(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?", ("ISO8601",)),
    Written(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})", ("ISO8601",), has_offset=True),
    Written(r"\d{4}-\d{2}", ("%Y-%m",)),
    Written(r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    Written(r"\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d{2}", ("%Y/%m/%d %H:%M",)),
    Written(r"\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d{2}:\d{2}", ("%Y/%m/%d %H:%M:%S",)),
    Written(r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    Written(r"\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d{2}", ("%d.%m.%Y %H:%M",)),
    Written(r"\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d{2}:\d{2}", ("%d.%m.%Y %H:%M:%S",)),
    Written(r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    Written(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}", ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")),
    Written(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}:\d{2}", ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S")),
)
DATE_REMEDY = "write every time as 2024-01-31 or 2024-01-31 18:00"


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, its Arrow array as it was read, and as it is used (text trimmed, missing markers null)."""

    name: str
    raw: Any
    array: Any

    @staticmethod
    def of(name: str, raw: Any, markers: tuple[str, ...] = MISSING) -> Column:
        array = raw.dictionary_decode() if pa.types.is_dictionary(raw.type) else raw
        if pa.types.is_string_view(array.type):
            array = array.cast(pa.large_string())
        if is_text(array.type):
            trimmed = compute.utf8_trim_whitespace(array)
            missing = compute.is_in(trimmed, value_set=pa.array(markers, trimmed.type))
            array = compute.if_else(missing, pa.scalar(None, trimmed.type), trimmed)
        return Column(name, raw, array)

    @property
    def is_categorical(self) -> bool:
        """Whether it holds words: text, none of which looks like a number."""
        if not is_text(self.array.type) or self.array.null_count == len(self.array):
            return False
        return not compute.any(compute.match_substring_regex(self.array, NUMBER_LIKE)).as_py()

    @property
    def missing(self) -> NDArray[np.bool_]:
        return compute.is_null(self.array, nan_is_null=True).to_numpy(zero_copy_only=False)

    def got(self, row: int) -> str:
        """The value of a row, as it stands in the table."""
        value = self.raw[row].as_py()
        return "nothing" if value in (None, "") else repr(value) if isinstance(value, str) else str(value)


def numbers(column: Column, defects: Defects) -> Values:
    """The column as float64, NaN where it is missing; other text and infinities are defects."""
    kind = column.array.type
    rule = Rule(column.name, "a number", "write it with a decimal point, or leave it empty if it is missing")
    if is_text(kind):
        fit = compute.fill_null(compute.match_substring_regex(column.array, NUMBER), True)
        infinite = compute.fill_null(compute.match_substring_regex(column.array, r"(?i)^[+-]?inf(inity)?$"), False)
        bad = ~(fit.to_numpy(zero_copy_only=False) | infinite.to_numpy(zero_copy_only=False))
        array = compute.if_else(pa.array(bad), pa.scalar(None, kind), column.array)
    elif pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        array, bad = column.array.cast(pa.uint8()) if pa.types.is_boolean(kind) else column.array, np.zeros(len(column.array), bool)
    else:
        array, bad = pa.nulls(len(column.array)), ~column.missing
    defects.add(np.flatnonzero(bad), rule, column.got)
    values = np.array(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    defects.add(np.flatnonzero(np.isinf(values)), Rule(column.name, "finite", "leave it empty if it is missing"), column.got)
    return values


def labels(column: Column) -> NDArray[np.object_]:
    """The column as text, None where it is missing."""
    array = column.array if is_text(column.array.type) else pa.array([None if value is None else str(value) for value in column.array.to_pylist()])
    return np.array(array.to_numpy(zero_copy_only=False), object)


def times(column: Column, defects: Defects) -> tuple[Times, tuple[str, ...]]:
    """The column as datetime64[ns], in UTC if it has a time zone, or as int64; and what was noticed in doing so."""
    defects.add(np.flatnonzero(column.missing), Rule(column.name, "a time", "give every row its time"), column.got)
    array, kind = column.array, column.array.type
    if is_text(kind):
        return _from_text(column, defects)
    if pa.types.is_floating(kind):
        values = np.nan_to_num(np.asarray(array.to_numpy(zero_copy_only=False), np.float64))
        defects.add(np.flatnonzero(values != np.rint(values)), Rule(column.name, "a date or a whole number", DATE_REMEDY), column.got)
        array, kind = pa.array(np.rint(values).astype(np.int64)), pa.int64()
    if pa.types.is_integer(kind):
        return _from_integers(column.name, np.asarray(compute.fill_null(array, 0).to_numpy(zero_copy_only=False)).astype(np.int64))
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        defects.add(np.flatnonzero(~column.missing), Rule(column.name, "a date or a whole number", DATE_REMEDY), column.got)
        return np.zeros(len(array), np.int64), ()
    years = compute.fill_null(compute.year(array), FIRST_YEAR).to_numpy(zero_copy_only=False)
    outside = (years < FIRST_YEAR) | (years > LAST_YEAR)
    defects.add(np.flatnonzero(outside), _range_rule(column.name), column.got)
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    stamps = compute.if_else(pa.array(outside), pa.scalar(None, kind), array).cast(pa.timestamp("ns", zone)).cast(pa.timestamp("ns"))
    found = np.array(stamps.to_numpy(zero_copy_only=False), "datetime64[ns]")
    return found, _zone_finding(column.name, zone)


def _from_text(column: Column, defects: Defects) -> tuple[Times, tuple[str, ...]]:
    """Dates all written in one way, or whole numbers."""
    known = column.array.drop_null()
    nothing: tuple[Times, tuple[str, ...]] = (np.full(len(column.array), np.datetime64("NaT"), "datetime64[ns]"), ())
    if len(known) == 0:
        return nothing
    first = known[0].as_py()
    if re.fullmatch(r"-?\d{1,18}", first):
        rows = _unlike(column, r"-?\d{1,18}", first, defects)
        integers = compute.if_else(pa.array(rows), pa.scalar(None, column.array.type), column.array).cast(pa.int64())
        return _from_integers(column.name, compute.fill_null(integers, 0).to_numpy(zero_copy_only=False))
    way = next((way for way in WAYS if re.fullmatch(way.pattern, first)), None)
    if way is None:
        readable = ~compute.fill_null(compute.match_substring_regex(column.array, _any_way()), False).to_numpy(zero_copy_only=False)
        defects.add(np.flatnonzero(readable & ~column.missing), Rule(column.name, "a date or a whole number", DATE_REMEDY), column.got)
        return nothing
    rows = _unlike(column, way.pattern, first, defects)
    texts = compute.if_else(pa.array(rows), pa.scalar(None, column.array.type), column.array)
    stamps = [_parse(texts, form, way.has_offset) for form in way.formats]
    failed = [np.isnat(found) & ~rows & ~column.missing for found in stamps]
    best = min(range(len(stamps)), key=lambda number: int(failed[number].sum()))
    if len(stamps) > 1 and not failed[0].any() and not failed[1].any() and (stamps[0] != stamps[1])[~rows & ~column.missing].any():
        rule = Rule(column.name, "a date whose day and month can be told apart", DATE_REMEDY)
        defects.add(np.flatnonzero(~rows & ~column.missing & (stamps[0] != stamps[1])), rule, column.got)
    defects.add(np.flatnonzero(failed[best]), _range_rule(column.name), column.got)
    order = (f"column {column.name!r} is read as {way.formats[best]}",) if len(stamps) > 1 else ()
    return stamps[best], order + _zone_finding(column.name, "their offsets" if way.has_offset else None)


def _unlike(column: Column, pattern: str, first: str, defects: Defects) -> NDArray[np.bool_]:
    """The rows that are written otherwise than the first, which are defects."""
    fits = compute.fill_null(compute.match_substring_regex(column.array, f"^(?:{pattern})$"), True)
    rows = ~fits.to_numpy(zero_copy_only=False)
    known = int(np.flatnonzero(~column.missing)[0])
    defects.add(np.flatnonzero(rows), Rule(column.name, f"a time written as in {defects.place(known)}, {first!r}", DATE_REMEDY), column.got)
    return rows


def _parse(texts: Any, form: str, has_offset: bool) -> Times:
    """Each distinct text is parsed once: the series of a panel share their times."""
    coded = texts.dictionary_encode()
    parsed = pd.to_datetime(pd.Series(coded.dictionary.to_pylist(), dtype=object), format=form, utc=has_offset, errors="coerce")
    stamps = (parsed.dt.tz_localize(None) if has_offset else parsed).to_numpy().astype("datetime64[ns]")
    codes = compute.fill_null(coded.indices, len(stamps)).to_numpy(zero_copy_only=False)
    return np.append(stamps, np.datetime64("NaT", "ns"))[codes]


def _from_integers(name: str, values: NDArray[np.int64]) -> tuple[Times, tuple[str, ...]]:
    """Whole numbers, or dates where all have eight digits that are a year, a month and a day."""
    years, days = values // 10_000, values % 100
    months = values // 100 % 100
    if not ((years >= FIRST_YEAR) & (years <= LAST_YEAR) & (months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)).all():
        return values, ()
    stamps = _parse(pa.array(values).cast(pa.string()), "%Y%m%d", has_offset=False)
    return (values, ()) if np.isnat(stamps).any() else (stamps, (f"column {name!r} is read as dates: its numbers are year, month and day",))


def _range_rule(name: str) -> Rule:
    return Rule(name, f"a date there is, between {FIRST_YEAR} and {LAST_YEAR}", "correct it")


def _zone_finding(name: str, zone: str | None) -> tuple[str, ...]:
    return () if zone in (None, "UTC") else (f"column {name!r} is converted from {zone} to UTC",)


def _any_way() -> str:
    return "^(?:" + "|".join(f"(?:{way.pattern})" for way in WAYS) + ")$"


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text, also as a dictionary."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string_view(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
