"""Rows of texts as their source holds them, each with its place; nothing is interpreted yet."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from grus.data.checks import Place
from grus.data.delimited import shortened
from grus.errors import DataError, OptionError

Name = str | int  # of a column: its name, or in a file without a header its number, counted from 0
LISTED = 8  # columns in a message


@dataclass(frozen=True)
class TextRules:
    """How texts are read.

    quoting: whether "…" holds a cell with separators, line ends and quotes, these written twice. None: in .csv it does, in .tsv a quote is a
        character as any other, a row ends with its line, and a cell holds no tab.
    separator: what stands between the labels in a cell, "|" in "fast|cheap"; an empty cell then says that no label holds.
    empty: "drop" leaves out texts of nothing but white space, "error" refuses them.
    undecodable: "replace" reads bytes that are not UTF-8 as �, "error" refuses them.
    max_characters: the most in one cell; one that is longer is mostly a quote that was never closed.
    """

    quoting: bool | None = None
    separator: str | None = None
    empty: Literal["error", "drop"] = "error"
    undecodable: Literal["error", "replace"] = "error"
    max_characters: int = 1_000_000

    def __post_init__(self) -> None:
        allowed = {"quoting": (None, True, False), "empty": ("error", "drop"), "undecodable": ("error", "replace")}
        for name, values in allowed.items():
            if (got := getattr(self, name)) not in values:
                raise OptionError(f"TextRules: {name} must be one of {', '.join(map(str, values))}, got {got!r}; choose one of them.")
        if self.separator is not None and not self.separator.strip(" "):
            raise OptionError(f"TextRules: separator must be text other than blanks, got {self.separator!r}; write what stands between labels.")
        if self.max_characters < 1:
            raise OptionError(f"TextRules: max_characters must be at least 1, got {self.max_characters}; give the most characters of a text.")


@dataclass(frozen=True, eq=False)
class TextRows:
    """Columns of one length. place: names a row, counted from 0, as an editor shows it. keys: what stands for an id where no column does."""

    name: str
    columns: Mapping[Name, Sequence[Any]]
    place: Place
    keys: Callable[[int], str]
    findings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def without(self, lost: Sequence[int]) -> TextRows:
        """The other rows, each with the place it had."""
        kept = sorted(set(range(len(self))) - set(lost))
        columns = {name: [cells[row] for row in kept] for name, cells in self.columns.items()}
        return TextRows(self.name, columns, lambda row: self.place(kept[row]), lambda row: self.keys(kept[row]), self.findings)


def find_columns(name: str, there: Sequence[str], wanted: Sequence[Name]) -> list[int]:
    """The places of the wanted columns.

    Raises: DataError where one is not there, or there twice.
    """
    shown = ", ".join(map(shortened, there[:LISTED])) + (f" and {len(there) - LISTED} more" if len(there) > LISTED else "")
    for column in wanted:
        if isinstance(column, int):
            if not 0 <= column < len(there):
                raise DataError(f"{name}: column {column} must be there, counted from 0, got {len(there)}: {shown}; give another number.")
        elif there.count(column) != 1:
            near = get_close_matches(column, there, 1, 0.6)
            remedy = f"perhaps {near[0]!r} was meant" if near else "name text= and label=, label=None without one, or number them without a header"
            if len(there) == 1 and (found := [sign for sign in "\t;|," if sign in there[0]]):
                remedy = f"its cells seem to be separated by {found[0]!r}, write commas in .csv and tabs in .tsv"
            if column in there:
                remedy = "rename one"
            got = f"it {there.count(column)} times" if column in there else shown
            raise DataError(f"{name}: column {column!r} must be there once, got {got}; {remedy}.")
    return [column if isinstance(column, int) else there.index(column) for column in wanted]


def rows_in_memory(source: Any, wanted: Sequence[Name]) -> TextRows:
    """From a pandas, polars or pyarrow table, or a mapping of columns.

    Raises: DataError where a column is missing or they are of several lengths; OptionError for a source of another kind.
    """
    if isinstance(source, pd.DataFrame):
        name, there = "the pandas table", list(source.columns)
    elif isinstance(source, Mapping):
        name, there = "the mapping", list(source)
    elif hasattr(source, "__arrow_c_stream__"):
        source = pa.table(source)
        name, there = "the table", source.column_names
    else:
        kinds = "a path, a list of texts, a pandas, polars or pyarrow table or a mapping of lists"
        raise OptionError(f"read_texts: source must be {kinds}, got {type(source).__name__}; convert it to one of these.")
    if any(isinstance(column, int) for column in wanted):
        raise OptionError(f"read_texts: columns of {name} must be named, got numbers; numbers are for files without a header.")
    places = find_columns(name, [str(column) for column in there], wanted)
    columns: dict[Name, list[Any]] = {}
    for column, place in zip(wanted, places, strict=True):
        values = source.iloc[:, place] if isinstance(source, pd.DataFrame) else source[there[place]]
        if isinstance(values, str):
            raise DataError(f"{name}, column {column!r}: must be a value per row, got one text, {shortened(values)}; write it in a list.")
        columns[column] = as_list(values)
    lengths = {str(column): len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{name}: columns must be of one length, got {lengths}; give every column a value per row.")
    return TextRows(name, columns, lambda row: f"{name}, row {row + 1}", str)


def as_list(values: Any) -> list[Any]:
    """Values in Python's own types; what is missing is None."""
    plain = values.to_pylist() if hasattr(values, "to_pylist") else values.tolist() if hasattr(values, "tolist") else list(values)
    return [None if is_missing(value) else value for value in plain]


def is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float | np.floating) and bool(value != value))
