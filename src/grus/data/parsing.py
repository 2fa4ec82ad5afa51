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
from grus.data.delimited import shortened
from grus.data.panel import Values
from grus.errors import DataError

MISSING = ("", "NA", "NaN", "nan", "null", "None")
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER_LIKE = r"^[+-]?[0-9.,' ]*[0-9][0-9.,' ]*%?$"  # "1,5" is a number written otherwise, not a category
EXACT, LARGEST = 2**53, 2**62  # floats are whole numbers in full up to the one; differences of integers fit in int64 up to the other
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
INTEGER = r"-?\d{1,18}"
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
        if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
            array = _decoded(array)
        if pa.types.is_string_view(array.type):
            array = array.cast(pa.large_string())
        if is_text(array.type):
            trimmed = compute.utf8_trim_whitespace(array)
            missing = compute.is_in(trimmed, value_set=pa.array(markers, trimmed.type))
            array = compute.if_else(missing, pa.scalar(None, trimmed.type), trimmed)
        return Column(name, raw, array)

    @property
    def is_categorical(self) -> bool:
        """Whether it holds words: text, none of which looks like a number, and not only markers of missing numbers."""
        if not is_text(self.array.type) or self.array.null_count == len(self.array):
            return False
        return not compute.any(compute.match_substring_regex(self.array, NUMBER_LIKE)).as_py()

    @property
    def as_words(self) -> Column:
        """The column of which only what is empty is missing: among words "NA" may be Namibia."""
        return Column.of(self.name, self.raw, ("",))

    @property
    def missing(self) -> NDArray[np.bool_]:
        return compute.is_null(self.array, nan_is_null=True).to_numpy(zero_copy_only=False)

    def got(self, row: int) -> str:
        """The value of a row, as it stands in the table."""
        try:
            value = self.raw[row].as_py()
        except (OverflowError, ValueError):  # a time beyond what Python's datetime holds
            return f"{self.raw[row].value} as {self.raw.type}"
        return "nothing" if value is None or value == "" else shortened(value)


def numbers(column: Column, defects: Defects) -> Values:
    """The column as float64, NaN where it is missing; other text and infinities are defects."""
    kind = column.array.type
    cause = ""
    if is_text(kind):
        fit = compute.fill_null(compute.match_substring_regex(column.array, NUMBER), True)
        infinite = compute.fill_null(compute.match_substring_regex(column.array, r"(?i)^[+-]?inf(inity)?$"), False)
        bad = ~(fit.to_numpy(zero_copy_only=False) | infinite.to_numpy(zero_copy_only=False))
        fits = np.flatnonzero(~bad & ~column.missing)
        if fits.size and 2 * bad.sum() > len(bad) - column.missing.sum():
            cause = f"other rows hold numbers, {defects.place(int(fits[0]))} {column.got(int(fits[0]))}, so it is no column of categories"
        array = compute.if_else(pa.array(bad), pa.scalar(None, kind), column.array)
    elif pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        array, bad = column.array.cast(pa.uint8()) if pa.types.is_boolean(kind) else column.array, np.zeros(len(column.array), bool)
    else:
        array, bad = pa.nulls(len(column.array)), ~column.missing
    rule = Rule(column.name, "a number", "write it with a decimal point, or leave it empty if it is missing", cause)
    defects.add(np.flatnonzero(bad), rule, column.got)
    values = np.array(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    defects.add(np.flatnonzero(np.isinf(values)), Rule(column.name, "finite", "leave it empty if it is missing"), column.got)
    return values


def labels(column: Column) -> NDArray[np.object_]:
    """The column as text, None where it is missing."""
    array = column.array
    if not is_text(array.type):
        array = pa.array([None if value is None else str(value) for value in _plain(array)], pa.string())
    return np.array(array.to_numpy(zero_copy_only=False), object)


def times(column: Column, defects: Defects) -> tuple[Times, tuple[str, ...]]:
    """The column as datetime64[ns], in UTC if it has a time zone, or as int64; and what was noticed in doing so."""
    defects.add(np.flatnonzero(column.missing), Rule(column.name, "a time", "give every row its time"), column.got)
    array, kind = column.array, column.array.type
    if pa.types.is_decimal(kind):
        array, kind = array.cast(pa.float64(), safe=False), pa.float64()
    if is_text(kind):
        return _from_text(column, defects)
    if pa.types.is_floating(kind):
        values = np.where(column.missing, 0, array.to_numpy(zero_copy_only=False)).astype(np.float64)
        return _from_integers(column.name, _whole(column, values, EXACT, defects))
    if pa.types.is_integer(kind):
        values = np.asarray(compute.fill_null(array, 0).to_numpy(zero_copy_only=False))
        return _from_integers(column.name, _whole(column, values, LARGEST, defects))
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        defects.add(np.flatnonzero(~column.missing), Rule(column.name, "a date or a whole number", DATE_REMEDY), column.got)
        return np.zeros(len(array), np.int64), ()
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    try:
        years = compute.fill_null(compute.year(array), FIRST_YEAR).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise DataError(f"{defects.name}, column {column.name!r}: must be of a time zone there is, got {zone!r}; convert it to UTC.") from error
    outside = (years < FIRST_YEAR) | (years > LAST_YEAR)
    defects.add(np.flatnonzero(outside), _range_rule(column.name), column.got)
    stamps = compute.if_else(pa.array(outside), pa.scalar(None, kind), array).cast(pa.timestamp("ns", zone)).cast(pa.timestamp("ns"))
    found = np.array(stamps.to_numpy(zero_copy_only=False), "datetime64[ns]")
    return found, _zone_finding(column.name, zone)


def _from_text(column: Column, defects: Defects) -> tuple[Times, tuple[str, ...]]:
    """Dates all written in one way, or whole numbers."""
    known = column.array.drop_null()
    nothing: tuple[Times, tuple[str, ...]] = (np.full(len(column.array), np.datetime64("NaT"), "datetime64[ns]"), ())
    if len(known) == 0:
        return nothing
    pattern = _usual(column)
    if pattern == INTEGER:
        rows = _unlike(column, pattern, defects)
        integers = compute.if_else(pa.array(rows), pa.scalar(None, column.array.type), column.array).cast(pa.int64())
        return _from_integers(column.name, compute.fill_null(integers, 0).to_numpy(zero_copy_only=False))
    way = next((way for way in WAYS if way.pattern == pattern), None)
    if way is None:
        defects.add(np.flatnonzero(~column.missing), Rule(column.name, "a date or a whole number", DATE_REMEDY), column.got)
        return nothing
    rows = _unlike(column, way.pattern, defects)
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


def _usual(column: Column) -> str | None:
    """The pattern of most times, of the first one where several are as frequent; None where none is a time."""
    patterns = (INTEGER, *(way.pattern for way in WAYS))
    first = column.array.drop_null()[0].as_py()
    likely = next((pattern for pattern in patterns if re.fullmatch(pattern, first)), None)
    if likely is not None and 2 * _fitting(column, likely).sum() >= len(column.array) - column.array.null_count:
        return likely
    counts = {pattern: int(_fitting(column, pattern).sum()) for pattern in patterns}
    best = max(counts, key=lambda pattern: (counts[pattern], pattern == likely))
    return best if counts[best] else None


def _fitting(column: Column, pattern: str) -> NDArray[np.bool_]:
    return compute.fill_null(compute.match_substring_regex(column.array, f"^(?:{pattern})$"), False).to_numpy(zero_copy_only=False)


def _unlike(column: Column, pattern: str, defects: Defects) -> NDArray[np.bool_]:
    """The rows that are written otherwise than most, which are defects."""
    fits = _fitting(column, pattern)
    rows = ~fits & ~column.missing
    if rows.any():
        usual = int(np.flatnonzero(fits)[0])
        rule = Rule(column.name, f"a time written as in {defects.place(usual)}, {column.got(usual)}", DATE_REMEDY)
        defects.add(np.flatnonzero(rows), rule, column.got)
    return rows


def _parse(texts: Any, form: str, has_offset: bool) -> Times:
    """Each distinct text is parsed once: the series of a panel share their times."""
    coded = texts.dictionary_encode()
    parsed = pd.to_datetime(pd.Series(coded.dictionary.to_pylist(), dtype=object), format=form, utc=has_offset, errors="coerce")
    stamps = (parsed.dt.tz_localize(None) if has_offset else parsed).to_numpy().astype("datetime64[ns]")
    codes = compute.fill_null(coded.indices, len(stamps)).to_numpy(zero_copy_only=False)
    return np.append(stamps, np.datetime64("NaT", "ns"))[codes]


def _whole(column: Column, values: NDArray[Any], largest: int, defects: Defects) -> NDArray[np.int64]:
    """The numbers as int64; parts, infinities and those beyond the largest, either side of zero, are defects."""
    is_whole = values == np.rint(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
    fits = (values >= -largest) & (values <= largest)
    defects.add(np.flatnonzero(~is_whole), Rule(column.name, "a date or a whole number", DATE_REMEDY), column.got)
    defects.add(np.flatnonzero(is_whole & ~fits), Rule(column.name, f"between {-largest} and {largest}", DATE_REMEDY), column.got)
    return np.where(is_whole & fits, values, 0).astype(np.int64)


def _from_integers(name: str, values: NDArray[np.int64]) -> tuple[Times, tuple[str, ...]]:
    """Whole numbers, or dates where all have eight digits that are a year, a month and a day, or six that are a year and a month."""
    for form, parts, months in (("%Y%m%d", "year, month and day", values // 100), ("%Y%m", "year and month", values)):
        years = months // 100
        if not ((years >= FIRST_YEAR) & (years <= LAST_YEAR) & (months % 100 >= 1) & (months % 100 <= 12)).all():
            continue
        stamps = _parse(pa.array(values).cast(pa.string()), form, has_offset=False)
        if not np.isnat(stamps).any():
            return stamps, (f"column {name!r} is read as dates: its numbers are {parts}",)
    return values, ()


def _range_rule(name: str) -> Rule:
    return Rule(name, f"a date there is, between {FIRST_YEAR} and {LAST_YEAR}", "correct it")


def _zone_finding(name: str, zone: str | None) -> tuple[str, ...]:
    return () if zone in (None, "UTC") else (f"column {name!r} is converted from {zone} to UTC",)


def _plain(array: Any) -> list[Any]:
    """The values in Python's own types; times beyond what datetime holds as whole numbers."""
    try:
        return array.to_pylist()
    except (OverflowError, ValueError):
        return [scalar.value for scalar in array]


def _decoded(array: Any) -> Any:
    """Bytes as text where they are UTF-8: some writers of Parquet mark no column as text."""
    try:
        return array.cast(pa.large_string() if pa.types.is_large_binary(array.type) else pa.string())
    except pa.ArrowInvalid:
        return array


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text, also as a dictionary."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string_view(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
