"""Files of texts: rows of separated cells, lines of JSON, a file per class; every fault is told with file and line."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from grus.data.checks import Defects, Rule
from grus.data.delimited import BOM, SHOWN, shortened
from grus.data.text_quotes import quoted_records
from grus.data.text_rows import LISTED, Name, TextRows, TextRules, find_columns
from grus.errors import DataError, OptionError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
DECOMPRESSORS = {".xz": lzma.LZMADecompressor, ".bz2": bz2.BZ2Decompressor}
SUFFIXES = ".csv, .tsv, .jsonl or .ndjson, each also .gz, .xz or .bz2, a folder or .zip of a .txt per class"
FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)
UTF16, NEWLINE = (b"\xff\xfe", b"\xfe\xff"), b"\n"
Record = tuple[int, list[str]]  # the line in which it starts, and its cells


def is_of_classes(path: Path) -> bool:
    """Whether it holds a file per class, so that no column is named."""
    return path.is_dir() or path.suffix == ".zip"


def rows_of_file(path: Path, wanted: Sequence[Name], labels: Sequence[Name], rules: TextRules) -> TextRows:
    """The wanted columns of a file; those of labels are among them.

    Raises: DataError naming file, line, column and value; OptionError for a file of another kind.
    """
    is_packed = path.suffix == ".gz" or path.suffix in DECOMPRESSORS
    inner = path.with_suffix("").suffix if is_packed else path.suffix
    if inner not in SEPARATORS and inner not in (".jsonl", ".ndjson"):
        raise OptionError(f"read_texts: source must be {SUFFIXES}, got {str(path)!r}; rename or convert it.")
    data = path.read_bytes()
    if is_packed:
        try:
            data = gzip.decompress(data) if path.suffix == ".gz" else _decompressed(data, path.suffix)
        except FAULTS as error:
            raise DataError(f"{path}: must be compressed as {path.suffix} says, got bytes that are not ({error}); compress it again.") from error
    text, findings = _decoded(str(path), data, rules)
    if inner in SEPARATORS:
        return _of_cells(str(path), text, SEPARATORS[inner], wanted, labels, rules, findings)
    return _of_objects(str(path), text, wanted, findings)


def _decompressed(data: bytes, suffix: str) -> bytes:
    """All streams of a file: bz2.decompress and lzma.decompress pass over what they cannot read after the first."""
    parts: list[bytes] = []
    while data:
        stream = DECOMPRESSORS[suffix]()
        parts.append(stream.decompress(data))
        if not stream.eof:
            raise EOFError("it ends before its stream does")
        data = stream.unused_data
        if suffix == ".xz":  # whose streams may be padded
            data = data.lstrip(b"\0")
    return b"".join(parts)


def rows_of_classes(path: Path, rules: TextRules) -> TextRows:
    """A text for each line of the .txt files of a folder or .zip; columns "text" and "label", the file's name without .txt."""
    files, others = _class_files(path)
    texts: list[str] = []
    labels: list[str] = []
    places: list[tuple[str, int]] = []
    findings: list[str] = [f"left out, as no .txt: {', '.join(others[:LISTED])}"] if others else []
    for name, data in files:
        text, found = _decoded(f"{path}, {name}", data, rules)
        findings += found
        lines = _lines(text)
        texts += lines
        labels += [Path(name).stem] * len(lines)
        places += [(name, number) for number in range(1, len(lines) + 1)]
    return TextRows(
        str(path),
        {"text": texts, "label": labels},
        lambda row: f"{path}, {places[row][0]}, line {places[row][1]}",
        lambda row: f"{labels[row]} {places[row][1]}",
        tuple(findings),
    )


def _class_files(path: Path) -> tuple[list[tuple[str, bytes]], list[str]]:
    """The .txt files in the order of their names, and the names of what is left out, but for what a system hides."""
    try:
        if path.is_dir():
            entries = sorted(entry for entry in path.iterdir() if not _is_hidden(entry.name))
            chosen = [entry for entry in entries if entry.suffix == ".txt" and entry.is_file()]
            files = [(entry.name, entry.read_bytes()) for entry in chosen]
            others = [entry.name for entry in entries if entry not in chosen]
        else:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if not (name.endswith("/") or any(map(_is_hidden, Path(name).parts))))
                files = [(name, archive.read(name)) for name in names if name.endswith(".txt")]
                others = [name for name in names if not name.endswith(".txt")]
    except FileNotFoundError:
        raise
    except FAULTS as error:
        raise DataError(f"{path}: must be a .zip that can be read, got a fault ({error}); write it again.") from error
    if not files or len({Path(name).parent for name, _ in files}) > 1:
        got = f"them in several, such as {files[0][0]} and {files[-1][0]}" if files else ", ".join(others[:LISTED]) or "nothing"
        raise DataError(f"{path}: must hold a .txt file per class in one folder, a text in each line, got {got}; write them so, or as .jsonl.")
    return files, others


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _decoded(name: str, data: bytes, rules: TextRules) -> tuple[str, tuple[str, ...]]:
    """The text of a file without a byte order mark, and what was noticed."""
    data = data.removeprefix(BOM)
    ended = data.rstrip()
    if not ended:
        raise DataError(f"{name}: must hold texts, got an empty file; check that it was written to its end.")
    if data.startswith(UTF16) or b"\0" in data:
        got = "the mark of UTF-16" if data.startswith(UTF16) else f"a zero byte in line {data.count(NEWLINE, 0, data.index(0)) + 1}"
        raise DataError(f"{name}: must be text in UTF-8, got {got}; save it so, without zero bytes.")
    if b"\r" in ended and NEWLINE not in ended:
        raise DataError(f"{name}: must have lines that end with \\n or \\r\\n, got \\r alone; save the file with such line ends.")
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        bad = [number for number, line in enumerate(data.split(b"\n"), 1) if not _is_utf8(line)]
        if rules.undecodable == "replace":
            shown = ", ".join(map(str, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
            return data.decode("utf-8", "replace"), (f"{name}: bytes that are not UTF-8 are read as �: {_count(bad, 'line')}: {shown}",)
        at = error.start - data.rfind(b"\n", 0, error.start)
        more = f" (in all {len(bad)} lines)" if len(bad) > 1 else ""
        raise DataError(
            f"{name}, line {bad[0]}: must be UTF-8, got byte 0x{data[error.start]:02x} as byte {at} of the line{more}; "
            "save the file as UTF-8, or read it with undecodable='replace'."
        ) from error


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _count(of: Sequence[Any], noun: str) -> str:
    return f"{len(of)} {noun}{'s' if len(of) > 1 else ''}"


def _lines(text: str) -> list[str]:
    r"""Lines end with \n or \r\n; what Unicode takes for line ends beside these is part of a text."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _of_cells(
    name: str, text: str, separator: str, wanted: Sequence[Name], labels: Sequence[Name], rules: TextRules, findings: tuple[str, ...]
) -> TextRows:
    is_quoted = separator == "," if rules.quoting is None else rules.quoting
    records: list[Record]
    if is_quoted and '"' in text:
        records = quoted_records(name, text, separator)
    else:
        records = [(number, line.split(separator)) for number, line in enumerate(_lines(text), 1)]
    first = next((cells for _, cells in records if cells != [""]), None)
    if first is None:
        raise DataError(f"{name}: must hold texts, got only empty lines; check that it was written to its end.")
    if len(first) > 1:  # in a file of one column a blank line is an empty text
        records = [record for record in records if record[1] != [""]]
    has_header = not any(isinstance(column, int) for column in wanted)
    header = first if has_header else [str(number) for number in range(len(first))]
    places = find_columns(name, [cell.strip() for cell in header] if has_header else first, wanted)
    rows = records[1:] if has_header else records
    if not rows:
        raise DataError(f"{name}: must hold rows of texts, got a header alone; check that it was written to its end.")
    defects = Defects(name, lambda row: f"{name}, line {rows[row][0]}", len(rows))
    ragged = [row for row, (_, cells) in enumerate(rows) if len(cells) != len(header)]
    hint = "quote cells that hold the separator" if is_quoted else "write no separator in a cell, or read with quoting=True where cells are quoted"
    defects.add(ragged, Rule(None, f"{len(header)} cells, as in the first line", hint), lambda row: str(len(rows[row][1])))
    defects.refuse()
    if is_quoted:
        _refuse_swallowed(name, rows, [place for place, column in zip(places, wanted, strict=True) if column in labels], separator)
    columns = {column: [cells[place] for _, cells in rows] for column, place in zip(wanted, places, strict=True)}
    return TextRows(name, columns, lambda row: f"{name}, line {rows[row][0]}", lambda row: str(rows[row][0]), findings)


def _refuse_swallowed(name: str, rows: Sequence[Record], places: Sequence[int], separator: str) -> None:
    """A quote that is closed lines later hides rows: a line inside the cell then is a row with a label that other rows have.

    Raises: DataError for such a cell.
    """
    known = {tuple(cells[place] for place in places) for _, cells in rows}
    for line, cells in rows:
        inside = [text for cell in cells for text in cell.split("\n")[1:]]
        for text in inside if places else ():
            split = text.rstrip("\r").split(separator)
            if len(split) == len(cells) and tuple(split[place] for place in places) in known:
                raise DataError(
                    f"{name}, line {line}: must end each quote in its own row, got a cell of several lines, of which {text.strip()[:SHOWN]!r} looks "
                    "like a row; close the quote, or give the texts as .jsonl."
                )


def _of_objects(name: str, text: str, wanted: Sequence[Name], findings: tuple[str, ...]) -> TextRows:
    """Lines of JSON, each an object."""
    if any(isinstance(column, int) for column in wanted):
        raise OptionError(f"read_texts: columns of {name!r} must be named, got numbers; numbers are for .csv and .tsv without a header.")
    numbers: list[int] = []
    objects: list[dict[str, Any]] = []
    faults: dict[int, str] = {}
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        numbers.append(number)
        try:
            found = json.loads(line, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            found, faults[len(numbers) - 1] = {}, f"{shortened(line)} ({error})"
        if not isinstance(found, dict):
            found, faults[len(numbers) - 1] = {}, shortened(line)
        objects.append(cast("dict[str, Any]", found))
    defects = Defects(name, lambda row: f"{name}, line {numbers[row]}", len(objects))
    defects.add(list(faults), Rule(None, "one JSON object", "write each text as an object in a line of its own"), lambda row: faults[row])
    if not faults:  # a column that no row has is named wrongly
        find_columns(name, list(objects[0]), [column for column in wanted if not any(column in entry for entry in objects)])
    for column in wanted:
        lacking = [row for row, entry in enumerate(objects) if row not in faults and column not in entry]
        rule = Rule(str(column), "there", "write it, or name another column")
        defects.add(lacking, rule, lambda row: re.sub(r"^$", "no keys", ", ".join(map(shortened, objects[row]))))
    defects.refuse()
    columns = {column: [entry[cast(str, column)] for entry in objects] for column in wanted}
    return TextRows(name, columns, lambda row: f"{name}, line {numbers[row]}", lambda row: str(numbers[row]), findings)


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found
