"""Files of values separated by commas or tabs, in which no row may be lost to a quote."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from grus.data.checks import Defects, Rule
from grus.errors import DataError

BOM = b"\xef\xbb\xbf"
BLOCK = 2**20  # bytes that Arrow reads at once
CHUNK = 65_536  # records held as Python texts
SHOWN = 40  # characters of a value in a message
NUMBER, MISSING = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?"), re.compile(r"|NA|NaN|nan|null|None")


@dataclass(frozen=True, eq=False)
class Delimited:
    """A file's text, its first record the header unless it has none; columns are "0", "1", … then.

    Without a quote every line is a record, and Arrow reads it; with one, csv does, strictly.
    """

    name: str
    data: bytes
    delimiter: str
    has_header: bool = True

    @staticmethod
    def of(path: Path, delimiter: str, has_header: bool = True) -> Delimited:
        """Raises: DataError where it is empty, or no UTF-8."""
        return Delimited(str(path), _decoded(path), delimiter, has_header)

    @cached_property
    def header(self) -> list[str]:
        """Raises: DataError where its quotes are wrong, or where it should have none and its first row numbers the columns."""
        first = next((fields for _, _, fields in self._records()), [])
        if self.has_header:
            return first
        numbered = list(map(str, range(len(first))))
        if first == numbered and len(first) > 2:
            got = f"{', '.join(first[:SHOWN])}, which number the columns"
            raise DataError(
                f"{self.name}: the first row must be values where there is no header, got {got}; leave it out, or say that it is a header."
            )
        return numbered

    @cached_property
    def _lines(self) -> list[int]:
        return [start for start, _, _ in self._records()][int(self.has_header) :]

    @cached_property
    def _texts(self) -> list[str]:
        return list(self._stream())

    def _stream(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self.data), "utf-8", newline="")

    def place(self, row: int) -> str:
        """The line in which a row, counted from 0, starts."""
        return f"{self.name}, row {self._lines[row]}"

    def columns(self, wanted: Sequence[str]) -> dict[str, Any]:
        """The wanted columns as text.

        Raises: DataError for a record of another width than the header, and for quotes that are not closed.
        """
        return self._columns_with_quotes(wanted) if b'"' in self.data else self._columns_without_quotes(wanted)

    def _columns_without_quotes(self, wanted: Sequence[str]) -> dict[str, Any]:
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "skip"

        options = arrow_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=list(wanted))
        shape = arrow_csv.ParseOptions(delimiter=self.delimiter, quote_char=False, invalid_row_handler=note)
        ends = np.flatnonzero(np.frombuffer(self.data + b"\n", np.uint8) == ord("\n"))
        block = max(BLOCK, int(np.diff(ends, prepend=-1).max()))  # in which Arrow must find a whole row
        how = arrow_csv.ReadOptions(block_size=block, column_names=None if self.has_header else self.header)
        try:
            table = arrow_csv.read_csv(pa.BufferReader(self.data), how, shape, options)
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.name}: must be rows of separated values, got text that is not ({error}); check how it was written.") from error
        if ragged:
            self._refuse_ragged([(row, len(fields)) for row, (_, _, fields) in enumerate(self._records(), -int(self.has_header))])
            raise DataError(f"{self.name}: must hold {len(self.header)} values in every row, got {ragged[0].actual_columns}; check its separators.")
        return {name: table.column(name).combine_chunks() for name in wanted}

    def _columns_with_quotes(self, wanted: Sequence[str]) -> dict[str, Any]:
        places = {name: self.header.index(name) for name in wanted}
        values: dict[str, list[str]] = {name: [] for name in wanted}
        chunks: dict[str, list[Any]] = {name: [] for name in wanted}
        widths: list[tuple[int, int]] = []

        def flush() -> None:
            for name, texts in values.items():
                chunks[name].append(pa.array(texts, pa.string()))
                texts.clear()

        width, records = len(self.header), self._records()
        if self.has_header:
            start, end, _ = next(records)
            if end > start:
                self._refuse_swallowed(start, self._texts[start - 1 : end], self.header, list(places.values()))
        for row, (start, end, fields) in enumerate(records):
            if len(fields) != width:
                widths.append((row, len(fields)))
                continue
            if end > start:
                self._refuse_swallowed(start, self._texts[start - 1 : end], fields, list(places.values()))
            for name, at in places.items():
                values[name].append(fields[at])
            if row % CHUNK == CHUNK - 1:
                flush()
        flush()
        self._refuse_ragged(widths)
        return {name: pa.concat_arrays(arrays) for name, arrays in chunks.items()}

    def _records(self) -> Iterator[tuple[int, int, list[str]]]:
        """The records that are not blank: the lines each starts and ends in, and its values."""
        if b'"' not in self.data:
            for number, line in enumerate(self._stream(), 1):
                if text := line.rstrip("\r\n"):
                    yield number, number, text.split(self.delimiter)
            return
        reader = csv.reader(self._stream(), delimiter=self.delimiter, strict=True)
        start, header = 1, None
        try:
            for fields in reader:
                end = reader.line_num
                if fields:
                    header = header or fields
                    yield start, end, fields
                start = end + 1
        except csv.Error as error:
            raise self._fault(start, header, "".join(self._texts[start - 1 : reader.line_num]), str(error)) from error

    def _fault(self, start: int, header: Sequence[str] | None, text: str, reason: str) -> DataError:
        """What is wrong with the quotes of the record that starts there."""
        field = re.compile(rf'"(?:[^"]+|"")*+"?|[^{self.delimiter}\r\n]*+')
        number, at, value, rest = 0, 0, "", self.delimiter
        while rest == self.delimiter and len(value) <= csv.field_size_limit():
            found = field.match(text, at)
            value, at = ("", at) if found is None else (found.group(), found.end())
            number, rest, at = number + 1, text[at : at + 1], at + 1
        column = "" if header is None else f", column {shortened(header[number - 1])}" if number <= len(header) else f", value {number}"
        if "limit" in reason:
            must, remedy = f"be at most {csv.field_size_limit()} characters long", "shorten it, or close the quote it begins with"
        else:
            must, remedy = "end with a quote, as it begins with one", "close the quote, and write a quote inside a value twice"
        got = shortened(value) + (f" and then {text[at - 1 :].splitlines()[0][:SHOWN]!r}" if rest.strip() and "limit" not in reason else "")
        return DataError(f"{self.name}, row {start}{column}: must {must}, got {got}; {remedy}.")

    def _refuse_swallowed(self, start: int, lines: Sequence[str], fields: Sequence[str], places: Sequence[int]) -> None:
        """A quote that is closed rows later hides those rows: a line inside it then looks like a row.

        Raises: DataError for such a value.
        """
        quoted = next((at for at, text in enumerate(fields) if "\n" in text or "\r" in text), len(fields))
        for number, line in enumerate(lines[1:], 2):
            inner = line.rstrip("\r\n").split(self.delimiter)
            told = [at for at in places if at < quoted or (at > quoted and number < len(lines))]
            if len(inner) < len(fields) or not any(map(str.isdigit, "".join(inner[at] for at in told))):
                continue
            if fields == self.header or all(_are_alike(inner[at], fields[at]) for at in told):
                raise DataError(
                    f"{self.name}, row {start}, column {shortened(self.header[quoted])}: must end with its quote in its own row, got a value of "
                    f"{len(lines)} lines, of which {line.strip()[:SHOWN]!r} looks like a row; close the quote, or write the value in one line."
                )

    def _refuse_ragged(self, widths: Sequence[tuple[int, int]]) -> None:
        """Raises: DataError where a row, given with the number of its values, has more or fewer than the header."""
        width = len(self.header)
        counts = {row: count for row, count in widths if row >= 0 and count != width}
        if counts:
            rule = Rule(None, f"{width} values, one for each column", "quote values that hold the separator, and leave a missing one empty")
            defects = Defects(self.name, self.place, len(self._lines))
            defects.add(list(counts), rule, lambda row: str(counts[row]))
            defects.refuse()


def shortened(value: object) -> str:
    """A value as a message shows it."""
    shown, length = (repr(value[:SHOWN]), len(value)) if isinstance(value, str) else (str(value)[:SHOWN], len(str(value)))
    return shown + (f" and {length - SHOWN} characters more" if length > SHOWN else "")


def _are_alike(one: str, other: str) -> bool:
    """Whether both are numbers, or words, or texts whose digits stand alike, as in dates; what is missing is like anything."""
    one, other = one.strip(), other.strip()
    return MISSING.fullmatch(one) is not None or MISSING.fullmatch(other) is not None or _form(one) == _form(other)


def _form(text: str) -> str:
    if NUMBER.fullmatch(text):
        return "number"
    return re.sub(r"\d+", "0", text) if any(map(str.isdigit, text)) else "words"


def _decoded(path: Path) -> bytes:
    """The content of a text file, without a byte order mark."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: must be compressed by gzip, got bytes that are not ({error}); compress it again.") from error
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        row, value = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise DataError(f"{path}, row {row}: must be UTF-8, got byte 0x{value:02x} at position {error.start}; save the file as UTF-8.") from error
    if b"\0" in data:
        row = data.count(b"\n", 0, data.index(0)) + 1
        raise DataError(f"{path}, row {row}: must be text in UTF-8, got a zero byte; save the file as UTF-8, without zero bytes.")
    data = data.removeprefix(BOM)
    if not data.strip():
        raise DataError(f"{path}: must hold a row of column names and rows of values, got an empty file; write it again.")
    return data
