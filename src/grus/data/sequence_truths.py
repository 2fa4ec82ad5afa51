"""The labels of sequences in a table: of their rows, or in a table of their own."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from grus.data.checks import Defects, Rule
from grus.data.parsing import Column, labels
from grus.data.sequence_sources import Asked, Rows, open_columns, read_ids, some
from grus.data.sequences import Labels
from grus.data.sources import Table
from grus.errors import DataError, OptionError


def read_labels(table: Table, ids: Sequence[str], codes: Rows, asked: Asked) -> tuple[Labels | None, tuple[str, ...]]:
    """The label of each id, of its rows, all of which must have the same, or of the table of labels; and what is odd."""
    names = asked.columns.labels
    if asked.labels is None:
        return with_findings(_labels_of_rows(table, codes, asked.truths, asked) if asked.truths else None)
    if isinstance(asked.labels, list | tuple | np.ndarray | pd.Series):
        if asked.columns.kind_of_row != "sequence":
            raise OptionError("read_sequences: labels must be a table of id and label where rows are steps, got a list; name its columns as here.")
        if len(asked.labels) != len(ids):
            raise DataError(f"labels: must be {len(ids)}, one per sequence, got {len(asked.labels)}; give one for each row.")
        return with_findings(asked.make(asked.labels, None, lambda row: f"labels, row {row + 1}"))
    if asked.columns.id is None or not names:
        raise OptionError("read_sequences: id and label must be named for a table of labels, got None; name them in SequenceColumns.")
    second = open_columns(asked.labels, asked.columns, lambda there: [asked.columns.id or "", *names])
    defects = Defects(second.name, second.place, len(second))
    known, rows = read_ids(second, asked.columns.id, defects)
    again = np.setdiff1d(np.arange(len(second)), np.unique(rows, return_index=True)[1])
    defects.add(again, Rule(asked.columns.id, "there once in a table of labels", "leave one out"), lambda row: repr(known[rows[row]]))
    defects.refuse()
    places = {id: number for number, id in enumerate(known)}
    lacking = [id for id in ids if id not in places]
    if lacking:
        raise DataError(
            f"{second.name}: every sequence must have a label, got none for {lacking[0]!r} (in all {len(lacking)} of {len(ids)}); add a row for it."
        )
    there = set(ids)
    unused = [id for id in known if id not in there]
    told = (f"{second.name}: {len(unused)} of {len(known)} ids have no sequence: {some(unused)}",) if unused else ()
    return with_findings(_labels_at(second, np.array([places[id] for id in ids], np.int64), names, asked), told)


def _labels_of_rows(table: Table, codes: Rows, names: Sequence[str], asked: Asked) -> Labels:
    defects, first = Defects(table.name, table.place, len(table)), np.unique(codes, return_index=True)[1]
    for name in names:
        column = Column.of(name, table.columns[name], ("",))
        texts = labels(column)
        again = np.flatnonzero(texts != texts[first][codes])

        def got(row: int, column: Column = column) -> str:
            return f"{column.got(row)}, but {column.got(int(first[codes[row]]))} in {table.place(int(first[codes[row]]))}"

        rule = Rule(name, "the same in every row of a sequence", "give the sequence one label")
        defects.add(again, rule, got)
    defects.refuse()
    return _labels_at(table, first, names, asked)


def _labels_at(table: Table, rows: Rows, names: Sequence[str], asked: Asked) -> Labels:
    """Labels of the sequences whose rows these are."""
    columns = [labels(Column.of(name, table.columns[name], ("",)))[rows] for name in names]
    values = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
    where = f", column {names[0]!r}" if len(names) == 1 else ""
    numeric = len(names) > 1 or asked.kind in ("number", "labels")
    if len(names) == 1 and asked.kind == "labels":
        values = values[:, None]
    return asked.make(values, names if numeric else None, lambda row: f"{table.place(int(rows[row]))}{where}", f"{table.name}{where}")


def with_findings(found: Labels | None, told: tuple[str, ...] = ()) -> tuple[Labels | None, tuple[str, ...]]:
    """Labels, if there are any, and what is odd in them after what was told."""
    return found, told if found is None else (*told, *found.findings)
