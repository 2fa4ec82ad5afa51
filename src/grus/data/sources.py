"""Tables from files and from memory, as Arrow columns; nothing is interpreted yet."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache
from itertools import accumulate
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as dataset

from grus.data.checks import Place
from grus.data.delimited import Delimited, shortened
from grus.data.panel import Columns
from grus.errors import DataError, OptionError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
LISTED = 20  # columns in a message
SUFFIXES = ".csv, .csv.gz, .tsv, .tsv.gz, .parquet or a folder of Parquet files"


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length. `place` names a row, counted from 0: its file, and its number as an editor shows it."""

    name: str
    columns: Mapping[str, Any] = field(repr=False)
    place: Place = field(repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def open_table(source: Any, roles: Columns, wanted: Sequence[str]) -> Table:
    """The wanted columns of a file, a folder or a table in memory.

    Raises: DataError where it cannot be read or lacks a column or every row; OptionError for a source of another kind.
    """
    table = _open(source, roles, tuple(dict.fromkeys(wanted)))
    if len(table) == 0:
        raise DataError(f"{table.name}: must hold rows, got none; check that it was written to its end.")
    return table


def _open(source: Any, roles: Columns, wanted: Sequence[str]) -> Table:
    if isinstance(source, (str, PathLike)):
        path = Path(cast(str, source))
        if path.is_dir() or path.suffix == ".parquet":
            return _read_parquet(path, wanted)
        return _read_text(path, wanted)
    if isinstance(source, pd.Series):
        return _of_series(source, roles, wanted)
    if isinstance(source, pd.DataFrame):
        return _of_frame(source, roles, wanted)
    if isinstance(source, Mapping):
        return _in_memory("the mapping", cast(Mapping[Any, Any], source), wanted)
    if hasattr(source, "__arrow_c_stream__"):
        table = pa.table(source)
        check_columns("the table", table.column_names, wanted)
        return _in_memory("the table", {name: table.column(name).combine_chunks() for name in wanted}, wanted)
    if isinstance(source, (np.ndarray, list, tuple)):
        values = np.asarray(source)
        if values.ndim != 1:
            raise DataError(f"the array: must have one dimension, got shape {list(values.shape)}; pass a table for several columns.")
        return _in_memory("the array", {roles.time: np.arange(len(values)), roles.target: values}, wanted)
    kinds = "a path, a pandas, polars or pyarrow table, a mapping of arrays, a pandas Series or a 1-D array"
    raise OptionError(f"read_panel: source must be {kinds}, got {type(source).__name__}; convert it to one of these.")


def check_columns(name: str, there: Iterable[Any], wanted: Sequence[str]) -> None:
    """Raises: DataError where a wanted column is missing or there twice."""
    names = [str(entry) for entry in there]
    for column in wanted:
        if names.count(column) > 1:
            raise DataError(f"{name}: column {column!r} must be there once, got it {names.count(column)} times; rename one.")
        if column in names:
            continue
        near = get_close_matches(column, names, 1, 0.5) or [entry for entry in names if entry.strip().lower() == column.strip().lower()]
        if len(names) == 1 and ";" in names[0]:
            remedy = "its values seem to be separated by semicolons, write commas"
        elif near:
            remedy = f"perhaps {shortened(near[0])} was meant"
        else:
            remedy = "name the columns with Columns(id=…, time=…, target=…)"
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        raise DataError(f"{name}: column {column!r} must be there, got {', '.join(map(shortened, names[:LISTED]))}{more}; {remedy}.")


def _read_text(path: Path, wanted: Sequence[str]) -> Table:
    """A CSV or TSV file, every column as text."""
    delimiter = DELIMITERS.get(path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix)
    if delimiter is None:
        raise OptionError(f"read_panel: source must end in {SUFFIXES}, got {str(path)!r}; rename or convert it.")
    text = Delimited.of(path, delimiter)
    check_columns(text.name, text.header, wanted)
    return Table(text.name, text.columns(wanted), text.place)


def _read_parquet(path: Path, wanted: Sequence[str]) -> Table:
    found = open_dataset(path, wanted)
    try:
        table = found.to_table(columns=list(wanted))
        table.validate(full=True)  # texts of a damaged file may be no UTF-8
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: must be Parquet that can be read, got a fault ({_line(error)}); write it again.") from error

    @cache
    def ends() -> list[int]:
        return list(accumulate(fragment.count_rows() for fragment in found.get_fragments()))

    def place(row: int) -> str:
        number = bisect_right(ends(), row)
        return f"{found.files[number]}, row {row - ([0, *ends()][number]) + 1}"

    return Table(str(path), {name: table.column(name).combine_chunks() for name in wanted}, place)


def open_dataset(path: Path, wanted: Sequence[str] = ()) -> Any:
    """A Parquet file, or a folder of them, of which nothing is read yet.

    Raises: DataError where there is none, or where one of them lacks a wanted column.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: must be a Parquet file or a folder of them, got nothing there; check the path.")
    try:
        found = dataset.dataset(path, format="parquet", partitioning="hive")
        schemas = [fragment.physical_schema for fragment in found.get_fragments()]
        there = [schema.names for schema in schemas]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must be Parquet, got another content ({_line(error)}); write it with pandas, polars or pyarrow.") from error
    if not found.files:
        raise DataError(f"{path}: must hold Parquet files, got none; check the folder.")
    try:  # whole numbers in one file and others in the next are numbers
        unified = dataset.dataset(
            path, pa.unify_schemas([found.schema, *schemas], promote_options="permissive"), format="parquet", partitioning="hive"
        )
    except pa.ArrowException as error:
        raise DataError(f"{path}: must hold files whose columns are of one type, got others ({_line(error)}); write them alike.") from error
    for fragment, names in zip(unified.get_fragments(), there, strict=True):  # a column that one file lacks would be missing there
        check_columns(fragment.path, [*names, *dataset.get_partition_keys(fragment.partition_expression)], wanted)
    return unified


def _line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _of_series(source: Any, roles: Columns, wanted: Sequence[str]) -> Table:
    return _in_memory("the pandas Series", {roles.time: _pandas(source.index.to_series()), roles.target: _pandas(source)}, wanted)


def _of_frame(source: Any, roles: Columns, wanted: Sequence[str]) -> Table:
    """A pandas table; its index is the time where no column is and it is named so, or holds dates and has no name."""
    there = list(source.columns)
    index, names = source.index, [str(entry) for entry in there]
    dates = isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex))
    from_index = roles.time not in there and (index.name == roles.time or (dates and index.name is None))
    check_columns("the pandas table", [*there, roles.time] if from_index else there, wanted)
    columns = {name: index.to_series() if from_index and name == roles.time else source.iloc[:, names.index(name)] for name in wanted}
    return _in_memory("the pandas table", {name: _pandas(column) for name, column in columns.items()}, wanted)


def _pandas(column: Any) -> Any:
    """A pandas column in types that Arrow shares; a period is the time it starts."""
    return column.dt.to_timestamp() if isinstance(column.dtype, pd.PeriodDtype) else column


def _in_memory(name: str, columns: Mapping[Any, Any], wanted: Sequence[str]) -> Table:
    check_columns(name, columns, wanted)
    named = {str(column): values for column, values in columns.items()}
    for column in wanted:
        if np.ndim(named[column]) != 1 if hasattr(named[column], "ndim") else not isinstance(named[column], Iterable):
            raise DataError(
                f"{name}, column {column!r}: must be values in one dimension, got {type(named[column]).__name__}; give one value per row."
            )
    arrays = {column: _arrow(named[column]) for column in wanted}
    lengths = {column: len(array) for column, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{name}: columns must be of one length, got {lengths}; give every column a value per row.")
    return Table(name, arrays, lambda row: f"{name}, row {row + 1}")


def _arrow(values: Any) -> Any:
    """Values as an Arrow array; text where they are of no single type."""
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] in ("Y", "M", "W", "h", "m"):
        values = values.astype("datetime64[s]")  # Arrow has no such units
    try:
        found = pa.array(values, from_pandas=True)
        is_mixed = pa.types.is_temporal(found.type) and getattr(values, "dtype", np.dtype(object)).kind == "O" and _differ(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, OverflowError):
        is_mixed, found = True, pa.nulls(0)
    if is_mixed:
        found = pa.array([None if value is None or value is pd.NA or value is pd.NaT else str(value) for value in values])
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _differ(values: Iterable[Any]) -> bool:
    """Whether some dates have a time of day or a zone and others none, which Arrow would pass over."""
    known = [value for value in values if isinstance(value, date) and value is not pd.NaT]
    return len({(isinstance(value, datetime), getattr(value, "tzinfo", None) is None) for value in known}) > 1
