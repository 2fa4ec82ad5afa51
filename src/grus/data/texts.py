"""Texts with labels, read from files and tables: every cell checked, nothing mended unless it was asked for."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from grus.data.checks import Defects, Rule
from grus.data.delimited import shortened
from grus.data.sequences import Kind, Labels, Texts
from grus.data.text_files import is_of_classes, rows_of_classes, rows_of_file
from grus.data.text_labels import labels_of
from grus.data.text_rows import Name, TextRows, TextRules, as_list, is_missing, rows_in_memory
from grus.errors import DataError, OptionError

SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 5  # rows in a finding


def read_texts(
    source: Any,
    text: Name = "text",
    label: Name | Sequence[Name] | None = "label",
    id: Name | None = None,
    *,
    labels: Sequence[Any] | None = None,
    kind: Kind | None = None,
    like: Texts | None = None,
    rules: TextRules | None = None,
) -> Texts:
    """The texts of a file, a table or a list, each with its id and label.

    source: a path (.csv, .tsv, .jsonl, .ndjson, each also .gz, .xz or .bz2; a folder or .zip with a .txt file per class, a text in each line), a
        pandas, polars or pyarrow table, a mapping of lists, or a list of texts.
    text, label, id: columns by name; by number, counted from 0, in a .csv or .tsv file without a header. label: several columns of 0 and 1, or of
        numbers; None reads texts without labels. id: None takes the line in a file, the place, 0, 1, 2, …, in tables and lists.
    labels: of a list of texts, one for each.
    kind: "class", "labels" or "number"; None finds it as make_labels does.
    like: texts read earlier, whose kind and names of labels hold.
    rules: quotes, several labels in a cell, empty texts, bytes that are not UTF-8, the longest text.

    Texts are kept as they are; labels and ids lose the white space around them. Blank lines between rows of cells are passed over.

    Raises: DataError naming file, line, column and value; OptionError for options that do not go together.

    Example:
        >>> found = read_texts({"text": ["good", "bad", "so good"], "label": ["pos", "neg", "pos"]})
        >>> found.texts[0], found.labels.names, found.labels.values.tolist()
        ('good', ('neg', 'pos'), [1, 0, 1])
    """
    rules = rules or TextRules()
    truths: tuple[Name, ...] = () if label is None else (label,) if isinstance(label, str | int) else tuple(label)
    wanted = [text, *truths, *(() if id is None else (id,))]
    path = Path(cast(str, source)) if isinstance(source, str | PathLike) else None
    if labels is not None and not _is_list(source):
        raise OptionError("read_texts: labels must be left out where source is no list of texts, got some; name their column with label=.")
    if (path is not None and is_of_classes(path)) or _is_list(source):
        if (text, label or "label", id) != ("text", "label", None):
            what = "a list, labels= being one for each" if path is None else "a file per class"
            raise OptionError(f"read_texts: columns must be left out for {what}, got {', '.join(map(repr, wanted))}; leave them out.")
        rows = _of_list(source, labels) if path is None else rows_of_classes(path, rules)
        truths = truths if "label" in rows.columns else ()
    else:
        _check(wanted)
        rows = rows_in_memory(source, wanted) if path is None else rows_of_file(path, wanted, truths, rules)
    rows = _clean(rows, text, [column for column in (*truths, id) if column is not None], rules)
    found = labels_of(rows, truths, kind, like, rules.separator)
    ids = tuple(map(rows.keys, range(len(rows)))) if id is None else _ids(rows, id)
    texts = tuple(map(str, rows.columns[text]))
    findings = (*rows.findings, *_unseparated(rows, truths, rules), *_contradictions(rows, texts, found), *(() if found is None else found.findings))
    return Texts(texts, ids, found, findings)


def _check(wanted: Sequence[Name]) -> None:
    if len(set(wanted)) < len(wanted):
        raise OptionError(f"read_texts: each column must have one role, got {', '.join(map(repr, wanted))}; name each once.")
    if len({isinstance(name, str) for name in wanted}) > 1:
        raise OptionError(f"read_texts: columns must all be named, or all numbered, got {', '.join(map(repr, wanted))}; write them alike.")


def _is_list(source: Any) -> bool:
    """Whether it is a list of texts, or an array or column of them."""
    return isinstance(source, list | tuple | pa.Array | pa.ChunkedArray) or len(getattr(source, "shape", ())) == 1


def _of_list(source: Any, labels: Any) -> TextRows:
    columns: dict[Name, Sequence[Any]] = {"text": as_list(source)}
    if labels is not None:
        columns["label"] = as_list(labels)
        if len(columns["label"]) != len(columns["text"]):
            raise DataError(f"read_texts: labels must be one for each of {len(columns['text'])} texts, got {len(columns['label'])}; give as many.")
    return TextRows("the list", columns, lambda row: f"the list, row {row + 1}", str)


def _clean(rows: TextRows, text: Name, others: Sequence[Name], rules: TextRules) -> TextRows:
    """The rows that hold texts.

    Raises: DataError for what is no text, empty, too long, or not Unicode, unless the rules say what to do.
    """
    defects, values = Defects(rows.name, rows.place, len(rows)), list(rows.columns[text])
    findings = list(rows.findings)
    for column in (text, *others):
        cells = rows.columns[column]
        long = [row for row, cell in enumerate(cells) if isinstance(cell, str) and len(cell) > rules.max_characters]
        rule = Rule(str(column), f"at most {rules.max_characters} characters long", "cut it, or give more as TextRules(max_characters=…)")
        defects.add(long, rule, _length_in(cells))
    wrong = [row for row, value in enumerate(values) if not isinstance(value, str) and not is_missing(value)]
    defects.add(wrong, Rule(str(text), "a text", "write it as text, or name another column"), lambda row: shortened(values[row]))
    broken = [row for row, value in enumerate(values) if isinstance(value, str) and not value.isascii() and SURROGATE.search(value)]
    if rules.undecodable == "replace" and broken:
        for row in broken:
            values[row] = SURROGATE.sub("�", values[row])
        findings.append(f"halves of surrogate pairs are read as �: {_of(rows, broken)}")
    else:
        rule = Rule(str(text), "Unicode", "write it again, or read it with TextRules(undecodable='replace')")
        defects.add(broken, rule, lambda row: f"half of a surrogate pair in {shortened(values[row])}")
    empty = [row for row, value in enumerate(values) if is_missing(value) or (isinstance(value, str) and not value.strip())]
    if rules.empty == "error":
        rule = Rule(str(text), "a text", "write it, or leave empty ones out with TextRules(empty='drop')")
        defects.add(empty, rule, lambda row: "nothing" if not values[row] else f"only white space, {shortened(values[row])}")
    defects.refuse()
    if not len(rows) or (rules.empty == "drop" and len(empty) == len(rows)):
        raise DataError(f"{rows.name}: must hold texts, got {'only empty ones' if len(rows) else 'none'}; give at least one.")
    if empty:
        findings.append(f"empty texts are left out: {_of(rows, empty)}")
    return replace(rows, columns={**rows.columns, text: values}, findings=tuple(findings)).without(empty)


def _length_in(cells: Sequence[Any]) -> Callable[[int], str]:
    return lambda row: f"{len(cells[row])} characters, {shortened(cells[row])}"


def _of(rows: TextRows, found: Sequence[int]) -> str:
    shown = "; ".join(rows.place(row).removeprefix(f"{rows.name}, ") for row in found[:SHOWN])
    return f"{len(found)} of {len(rows)} rows: {shown}" + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _ids(rows: TextRows, name: Name) -> tuple[str, ...]:
    values = ["" if is_missing(value) else str(value).strip() for value in rows.columns[name]]
    defects = Defects(rows.name, rows.place, len(rows))
    defects.add([row for row, value in enumerate(values) if not value], Rule(str(name), "an id", "give every row its id"), lambda row: "nothing")
    first = {value: row for row, value in reversed(list(enumerate(values)))}
    again = [row for row, value in enumerate(values) if value and first[value] != row]
    rule = Rule(str(name), "distinct", "give each row its own id")
    defects.add(again, rule, lambda row: f"{shortened(values[row])} as in {rows.place(first[values[row]])}")
    defects.refuse()
    return tuple(values)


def _unseparated(rows: TextRows, truths: Sequence[Name], rules: TextRules) -> tuple[str, ...]:
    """A separator that no cell of labels holds may be the wrong one."""
    cells = [cell for column in truths for cell in rows.columns[column] if isinstance(cell, str)]
    if rules.separator is None or not cells or any(rules.separator in cell for cell in cells):
        return ()
    return (f"no cell of labels holds the separator {rules.separator!r}, so that each has one label at most",)


def _contradictions(rows: TextRows, texts: Sequence[str], labels: Labels | None) -> tuple[str, ...]:
    """Texts that stand there again with another label."""
    if labels is None:
        return ()
    first: dict[str, int] = {}
    other: dict[str, int] = {}
    for row, text in enumerate(texts):
        if first.setdefault(text, row) != row and not np.array_equal(labels.values[first[text]], labels.values[row]):
            other.setdefault(text, row)
    if not other:
        return ()
    text, row = next(iter(other.items()))
    places = " and ".join(rows.place(at).removeprefix(f"{rows.name}, ") for at in (first[text], row))
    noun = "text stands" if len(other) == 1 else "texts stand"
    return (f"{len(other)} {noun} there with different labels, such as {shortened(text)} in {places}",)
