"""Tables from files and from memory, as Arrow columns; nothing is interpreted yet."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

import csv
import gzip
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from itertools import accumulate
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.dataset as dataset

from grus.data.checks import Defects, Place, Rule
from grus.data.panel import Columns
from grus.errors import DataError, OptionError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
BOM = b"\xef\xbb\xbf"
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
    table = _open(source, roles, wanted)
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
            remedy = f"perhaps {near[0]!r} was meant"
        else:
            remedy = "name the columns with Columns(id=…, time=…, target=…)"
        raise DataError(f"{name}: column {column!r} must be there, got {', '.join(map(repr, names))}; {remedy}.")


def _read_text(path: Path, wanted: Sequence[str]) -> Table:
    """A CSV or TSV file, every column as text."""
    delimiter = DELIMITERS.get(path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix)
    if delimiter is None:
        raise OptionError(f"read_panel: source must end in {SUFFIXES}, got {str(path)!r}; rename or convert it.")
    data = _decoded(path)
    try:
        header = next((fields for _, fields in _records(data, delimiter)), [])
    except csv.Error as error:
        raise DataError(f"{path}, row 1: must be the names of the columns, got text that is no CSV ({error}); check its quotes.") from error
    check_columns(str(path), header, wanted)
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    options = arrow_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=list(wanted))
    shape = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in data, invalid_row_handler=note)
    try:
        table = arrow_csv.read_csv(pa.BufferReader(data), parse_options=shape, convert_options=options)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: must be CSV, got text that is not ({error}); check its quotes.") from error

    @cache
    def lines() -> list[int]:
        return [line for line, _ in _records(data, delimiter)][1:]

    def place(row: int) -> str:
        return f"{path}, row {lines()[row]}"

    if ragged:
        _refuse_ragged(str(path), [fields for _, fields in _records(data, delimiter)], place)
    return Table(str(path), {name: table.column(name).combine_chunks() for name in wanted}, place)


def _refuse_ragged(name: str, records: Sequence[Sequence[str]], place: Place) -> None:
    width = len(records[0])
    rule = Rule(None, f"{width} values, one for each column", "quote values that hold the separator, and leave a missing one empty")
    defects = Defects(name, place)
    defects.add((row for row, fields in enumerate(records[1:]) if len(fields) != width), rule, lambda row: str(len(records[row + 1])))
    defects.refuse()


def _decoded(path: Path) -> bytes:
    """The content of a text file, without a byte order mark."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: must be compressed by gzip, got bytes that are not ({error}); compress it again.") from error
    if not data.strip():
        raise DataError(f"{path}: must hold a row of column names and rows of values, got an empty file; write it again.")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        row, value = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise DataError(f"{path}, row {row}: must be UTF-8, got byte 0x{value:02x} at position {error.start}; save the file as UTF-8.") from error
    return data.removeprefix(BOM)


def _records(data: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line it starts in."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""), delimiter=delimiter)
    start = 1
    for fields in reader:
        if fields:
            yield start, fields
        start = reader.line_num + 1


def _read_parquet(path: Path, wanted: Sequence[str]) -> Table:
    found = open_dataset(path)
    check_columns(str(path), found.schema.names, wanted)
    table = found.to_table(columns=list(wanted))

    @cache
    def ends() -> list[int]:
        return list(accumulate(fragment.count_rows() for fragment in found.get_fragments()))

    def place(row: int) -> str:
        number = bisect_right(ends(), row)
        return f"{found.files[number]}, row {row - ([0, *ends()][number]) + 1}"

    return Table(str(path), {name: table.column(name).combine_chunks() for name in wanted}, place)


def open_dataset(path: Path) -> Any:
    """A Parquet file, or a folder of them, of which nothing is read yet.

    Raises: DataError where there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: must be a Parquet file or a folder of them, got nothing there; check the path.")
    try:
        found = dataset.dataset(path, format="parquet", partitioning="hive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: must be Parquet, got another content ({error}); write it with pandas, polars or pyarrow.") from error
    if not found.files:
        raise DataError(f"{path}: must hold Parquet files, got none; check the folder.")
    return found


def _of_series(source: Any, roles: Columns, wanted: Sequence[str]) -> Table:
    return _in_memory("the pandas Series", {roles.time: _pandas(source.index.to_series()), roles.target: _pandas(source)}, wanted)


def _of_frame(source: Any, roles: Columns, wanted: Sequence[str]) -> Table:
    """A pandas table; its index is the time where no column is and it is named so, or holds dates and has no name."""
    there = list(source.columns)
    index = source.index
    dates = isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex))
    from_index = roles.time not in there and (index.name == roles.time or (dates and index.name is None))
    check_columns("the pandas table", [*there, roles.time] if from_index else there, wanted)
    columns = {name: index.to_series() if from_index and name == roles.time else source[name] for name in wanted}
    return _in_memory("the pandas table", {name: _pandas(column) for name, column in columns.items()}, wanted)


def _pandas(column: Any) -> Any:
    """A pandas column in types that Arrow shares; a period is the time it starts."""
    return column.dt.to_timestamp() if isinstance(column.dtype, pd.PeriodDtype) else column


def _in_memory(name: str, columns: Mapping[Any, Any], wanted: Sequence[str]) -> Table:
    check_columns(name, columns, wanted)
    arrays = {column: _arrow(columns[column]) for column in wanted}
    lengths = {column: len(array) for column, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{name}: columns must be of one length, got {lengths}; give every column a value per row.")
    return Table(name, arrays, lambda row: f"{name}, row {row + 1}")


def _arrow(values: Any) -> Any:
    """Values as an Arrow array; text where they are of no single type."""
    if isinstance(values, pa.Array):
        return values
    try:
        found = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, OverflowError):
        found = pa.array([None if value is None or value is pd.NA else str(value) for value in values])
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
