"""The labels of texts: one column, one whose cells list several, or several columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from grus.data.checks import Defects, Rule
from grus.data.delimited import shortened
from grus.data.sequence_labels import labels_of_sets
from grus.data.sequences import Kind, Labels, Texts, make_labels
from grus.data.text_rows import Name, TextRows, is_missing
from grus.errors import DataError, OptionError


def labels_of(rows: TextRows, names: Sequence[Name], kind: Kind | None, like: Texts | None, separator: str | None) -> Labels | None:
    """The labels in these columns; with the kind and the names of `like`.

    Raises: DataError naming the row, its label and what it must be.
    """
    if not names:
        return None
    known = _known(like, kind)
    kind = kind if known is None else known.kind
    if len(names) > 1:
        return _of_columns(rows, names, kind, known)
    values, name = rows.columns[names[0]], str(names[0])
    defects = Defects(rows.name, rows.place, len(rows))
    missing = [row for row, value in enumerate(values) if is_missing(value) or (value == "" and separator is None)]
    defects.add(missing, Rule(name, "a label", "give the row its label, or leave it out"), lambda row: "nothing")
    defects.refuse()
    are_lists = [isinstance(value, list) for value in values]
    are_rows = all(are_lists) and not any(isinstance(part, str) for value in values for part in value) and any(values)
    if separator is not None or (any(are_lists) and not are_rows):
        return _of_lists(rows, name, values, separator, kind, known)
    flat: Any = values if are_rows else np.array([value.strip() if isinstance(value, str) else value for value in values], object)
    is_matrix = kind in ("labels", "number")
    own = None if known is None else known.names
    return make_labels(
        flat[:, None] if kind == "labels" and not are_rows else flat,
        kind,
        own or ((name,) if is_matrix and not are_rows else None),
        place=lambda row: f"{rows.place(row)}, column {name!r}",
        source=rows.name,
    )


def _known(like: Texts | None, kind: Kind | None) -> Labels | None:
    known = None if like is None else like.labels
    if like is not None and known is None:
        raise OptionError("read_texts: like must be texts with labels where labels are read, got texts without; say label=None.")
    if known is not None and kind not in (None, known.kind):
        raise OptionError(f"read_texts: kind must be that of like, {known.kind!r}, got {kind!r}; leave it out.")
    return known


def _of_columns(rows: TextRows, names: Sequence[Name], kind: Kind | None, known: Labels | None) -> Labels:
    columns = tuple(map(str, names))
    if known is not None and known.names != columns:
        raise DataError(f"{rows.name}: labels must be those of like, {', '.join(known.names)}, got {', '.join(columns)}; name the same columns.")
    if kind == "class":
        raise OptionError(f"read_texts: label must be one column for kind 'class', got {len(columns)}; name one, or say kind='labels'.")
    values = np.empty((len(rows), len(names)), object)
    for number, name in enumerate(names):
        values[:, number] = rows.columns[name]
    return make_labels(values, kind, columns, place=rows.place, source=rows.name)


def _of_lists(rows: TextRows, name: str, values: Sequence[Any], separator: str | None, kind: Kind | None, known: Labels | None) -> Labels:
    """From cells that list the labels that hold: lists in JSON, or texts with a separator."""
    if kind not in (None, "labels"):
        raise OptionError(f"read_texts: kind must be 'labels' where a cell lists several, got {kind!r}; leave it out.")
    lists: list[list[Any]] = []
    defects = Defects(rows.name, rows.place, len(rows))
    wrong: list[int] = []
    for row, value in enumerate(values):
        parts: Any = value
        if isinstance(value, str) and separator is not None:
            parts = value.split(separator) if value.strip() else []
        is_good = isinstance(parts, list) and all(isinstance(part, str) and part.strip() for part in cast("list[Any]", parts))
        wrong += [] if is_good else [row]
        lists.append(cast("list[Any]", parts) if is_good else [])
    what = "a list of names" if separator is None else f"names with {separator!r} between them"
    defects.add(wrong, Rule(name, what, "write each row's labels so"), lambda row: shortened(values[row]))
    defects.refuse()
    if known is None and not any(lists):
        raise DataError(f"{rows.name}, column {name!r}: must hold a label in some row, got none; name another column.")
    return labels_of_sets(lists, kind, None if known is None else known.names, lambda row: f"{rows.place(row)}, column {name!r}")
