"""Columns of a table of sequences: what is asked of them, and each kind of column read strictly."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as arrow
from numpy.typing import NDArray

from grus.data.checks import Defects, Place, Rule
from grus.data.delimited import Delimited
from grus.data.panel import Columns
from grus.data.parsing import NUMBER, Column, is_text, labels, numbers, times
from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_labels import LARGEST, Kind, make_labels
from grus.data.sequences import Labels, Sequences
from grus.data.sources import DELIMITERS, LISTED, SUFFIXES, Table, open_dataset, open_table
from grus.errors import DataError, OptionError

compute = cast(Any, arrow)
CLOCK = r"^\d{1,4}:[0-5]\d(:[0-5]\d(\.\d+)?)?$"
HOUR_NS = 3_600_000_000_000
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Choice = Callable[[Sequence[str]], Sequence[str]]
UNNAMED = re.compile(r"|Unnamed: \d+")  # what pandas writes above its index, and what it reads there
OF_TEXTS = (".zip", ".jsonl", ".ndjson", ".txt", ".json", ".xz", ".bz2")
_ANY = Columns(time="", target=" ")  # no column of a table is asked for by these


@dataclass(frozen=True, eq=False)
class Asked:
    """What was asked for beside the table.

    labels: a table of id → label; for rows that are sequences also one label each. like: sequences whose channels and classes hold.
    absent: the number that stands for a missing value of a channel. mean: whether values at one time are averaged, else the last counts.
    """

    columns: SequenceColumns
    labels: Any = None
    kind: Kind | None = None
    like: Sequences | None = None
    absent: Mapping[str, float] | None = None
    mean: bool = False

    @property
    def truths(self) -> tuple[str, ...]:
        """The columns of labels that are read in the source itself: none where labels were given, or `like` has none."""
        is_read = self.labels is None and (self.like is None or self.like.labels is not None)
        return self.columns.labels if is_read else ()

    def make(self, values: Any, names: Sequence[str] | None, place: Place, source: str = "") -> Labels:
        """Labels with the names of `like`, if it has any; source: what is named in errors about all of them together."""
        known = None if self.like is None else self.like.labels
        if known is not None and self.kind not in (None, known.kind):
            raise OptionError(f"read_sequences: kind must be that of like, {known.kind!r}, got {self.kind!r}; leave it out.")
        kind, names = (self.kind, names) if known is None else (known.kind, known.names)
        return make_labels(values, kind, names, place=place, source=source)

    def hide(self, name: str, values: Floats) -> Floats:
        """NaN where a number stands for a missing value."""
        absent = (self.absent or {}).get(name)
        return values if absent is None else np.where(values == absent, np.nan, values)

    def choose(self, who: str, there: Sequence[str]) -> tuple[str, ...]:
        """The channels among those that are there.

        Raises: DataError where the channels of `like` are others and none were named.
        """
        if self.columns.channels or self.like is None:
            return self.columns.channels or tuple(there)
        extra = [name for name in there if name not in self.like.names]
        if extra:
            raise DataError(
                f"{who}: channels must be those learnt, {some(self.like.names)}, got also {extra[0]!r}; leave it out, or name the channels."
            )
        return self.like.names


def open_columns(source: Any, columns: SequenceColumns, choose: Choice) -> Table:
    """The columns that are chosen of those there.

    Raises: DataError where one is not there, or there are no rows.
    """
    is_path = isinstance(source, str | PathLike)
    path = Path(cast(str, source)) if is_path else Path()
    is_text = is_path and not (path.is_dir() or path.suffix == ".parquet")
    if not columns.header and not is_text:
        raise OptionError("read_sequences: header must be True for a table that names its columns itself, got False; leave it out.")
    if is_path:
        if is_text:
            delimiter = DELIMITERS.get(path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix)
            if delimiter is None:
                remedy = "read texts with read_texts" if path.suffix in OF_TEXTS else "rename or convert it"
                raise OptionError(f"read_sequences: source must end in .ts, .ts.gz, .npz, {SUFFIXES}, got {str(path)!r}; {remedy}.")
            text = Delimited.of(path, delimiter, columns.header)
            wanted = _wanted(text.name, text.header, choose, has_header=columns.header)
            table = Table(text.name, text.columns(wanted), text.place)
        else:
            wanted = _wanted(str(path), open_dataset(path).schema.names, choose)
            table = open_table(path, _ANY, wanted)
    elif isinstance(source, pd.DataFrame | Mapping):
        table = open_table(source, _ANY, _wanted("the table", list(source), choose))
    elif hasattr(source, "__arrow_c_stream__"):
        table = open_table(source, _ANY, _wanted("the table", pa.table(source).column_names, choose))
    else:
        kinds = "a path, a pandas, polars or pyarrow table, a mapping of arrays, an array or a list of arrays"
        raise OptionError(f"read_sequences: source must be {kinds}, got {type(source).__name__}; convert it to one of these.")
    if not len(table):
        raise DataError(f"{table.name}: must hold rows, got none; check that it was written to its end.")
    return table


def name_of_source(source: Any) -> str:
    """What a message calls it."""
    return str(cast(str, source)) if isinstance(source, str | PathLike) else "the table"


def _wanted(name: str, names: Sequence[Any], choose: Choice, *, has_header: bool = True) -> list[str]:
    there = list(map(str, names))
    if has_header and there and all(isinstance(column, str) and re.fullmatch(NUMBER, column.strip()) for column in names):
        raise DataError(f"{name}: the first row must name the columns, got numbers, {some(there)}; write them there, or say header=False.")
    wanted, times_there = list(choose(there)), Counter(there)
    for column in wanted:
        if times_there[column] != 1:
            near = get_close_matches(column, there, 1, 0.5)
            remedy = f"perhaps {near[0]!r} was meant" if near else "name the columns with SequenceColumns(id=…, time=…, label=…, channels=…)"
            if column in times_there:
                remedy = "rename one"
            got = f"it {times_there[column]} times" if column in times_there else some(there)
            raise DataError(f"{name}: column {column!r} must be there once, got {got}; {remedy}.")
    if not wanted:
        raise DataError(f"{name}: must have a column of values, got {some(there)}; name the channels.")
    return wanted


def named(there: list[str], columns: SequenceColumns) -> list[str]:
    """The columns that are left for channels.

    Raises: DataError where one has no name and none were chosen: the number of a row is no measurement, and often tells the class.
    """
    unnamed = [name for name in there if UNNAMED.fullmatch(name)]
    if unnamed and not columns.channels:
        raise DataError(
            f"read_sequences: columns of channels must have names, got {unnamed[0]!r}, such as pandas' index has; leave it out, or name the channels."
        )
    return there


def read_ids(table: Table, name: str, defects: Defects) -> tuple[list[str], Rows]:
    """The ids in the order in which they first appear, and the number of each row's."""
    column = Column.of(name, table.columns[name], ("",))
    defects.add(np.flatnonzero(column.missing), Rule(name, "the id of a sequence", "give every row its id"), column.got)
    codes, ids = pd.factorize(labels(column), use_na_sentinel=False)
    return [str(id) for id in ids], codes.astype(np.int64)


def read_channels(table: Table, names: Sequence[str], asked: Asked, defects: Defects, hidden: str | None = None) -> NDArray[np.float32]:
    """Columns [rows, C] of numbers."""
    if not names:
        raise DataError(f"{table.name}: must have a channel, got no column beside id, time and label; add one.")
    found = np.empty((len(table), len(names)), np.float32)
    for number, name in enumerate(names):
        found[:, number] = read_numbers(Column.of(name, table.columns[name]), defects, asked, hidden or name)
    return found


def read_numbers(column: Column, defects: Defects, asked: Asked, channel: str | None = None) -> Floats:
    """A column of numbers that 32 bits hold."""
    values = numbers(column, defects)
    large = np.flatnonzero((np.abs(values) > LARGEST) & np.isfinite(values))
    defects.add(large, Rule(column.name, "finite in 32 bits", "divide it, or leave it empty if it is missing"), column.got)
    shown = values if channel is None else asked.hide(channel, values)
    return np.where(np.abs(shown) > LARGEST, np.nan, shown)


def read_clock(table: Table, name: str, defects: Defects) -> Floats:
    """Times as numbers: numbers as they are; hours for 07:30, 07:30:15 and dates."""
    column = Column.of(name, table.columns[name])
    defects.add(np.flatnonzero(column.missing), Rule(name, "a time", "give every row its time"), column.got)
    kind, known = column.array.type, column.array.drop_null()
    if is_text(kind) and len(known) and compute.all(compute.match_substring_regex(known, CLOCK)).as_py():
        coded = column.array.dictionary_encode()
        parts = [[float(part) for part in text.split(":")] for text in coded.dictionary.to_pylist()]
        hours = np.array([sum(part / 60**at for at, part in enumerate(own)) for own in parts] + [np.nan])
        return hours[compute.fill_null(coded.indices, len(parts)).to_numpy(zero_copy_only=False)]
    if not is_text(kind) and not pa.types.is_temporal(kind):
        return numbers(column, defects)
    if is_text(kind) and len(known) and compute.all(compute.match_substring_regex(known, NUMBER)).as_py():
        return numbers(column, defects)
    stamps, _ = times(column, defects)
    return stamps.astype(np.int64) / HOUR_NS if stamps.dtype.kind == "M" else stamps.astype(np.float64)


def some(names: Sequence[str]) -> str:
    """The first names, as a message shows them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(repr, names[:LISTED])) + more
