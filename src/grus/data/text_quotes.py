"""Cells in quotes: what stands between "…" may hold separators, line ends and quotes, these written twice."""

from __future__ import annotations

import re

from grus.data.delimited import shortened
from grus.errors import DataError

_OPEN = re.compile(r'"(?:[^"]++|"")*+"?')


def quoted_records(name: str, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """The line in which each record starts, and its cells.

    Raises: DataError for a quote that is not closed, or closed before the end of its cell.
    """
    cell = re.compile(rf'"((?:[^"]++|"")*+)"(?={separator}|\r?\n|\Z)|(?!")([^{separator}\n]*+)')
    found: list[tuple[int, list[str]]] = []
    at, line, cells = 0, 1, list[str]()
    start = 1
    while at <= len(text):
        match = cell.match(text, at)
        if match is None:
            raise _fault(name, text, at, start, len(cells))
        is_quoted, at = match.group(1) is not None, match.end()
        line += text.count("\n", match.start(), at)
        has_end = at == len(text) or text[at] != separator
        value = match.group(1).replace('""', '"') if is_quoted else match.group(2)
        cells.append(value.removesuffix("\r") if has_end and not is_quoted else value)
        at += 1 + (is_quoted and text.startswith("\r\n", at))
        if has_end:
            if cells != [""] or at <= len(text):  # the end of the last line starts no record
                found.append((start, cells))
            line, cells = line + 1, []
            start = line
    return found


def _fault(name: str, text: str, at: int, line: int, cells: int) -> DataError:
    opened = _OPEN.match(text, at)
    value = "" if opened is None else opened.group()
    rest = text[at + len(value) :].split("\n", 1)[0]
    got = shortened(value) + (f" and then {shortened(rest.rstrip(chr(13)))}" if rest.strip() else "")
    remedy = "close the quote, write a quote inside it twice, or read with quoting=False"
    return DataError(f"{name}, line {line}, cell {cells + 1}: must end with a quote, as it begins with one, got {got}; {remedy}.")
