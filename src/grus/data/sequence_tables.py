"""Sequences from tables with a row per step, or with a row per sequence."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from grus.data.checks import Defects, Rule
from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_sources import Asked, Floats, Rows, open_columns, read_channels, read_clock, read_ids, some
from grus.data.sequence_truths import read_labels, told
from grus.data.sequences import Sequences
from grus.errors import DataError


def read_steps(source: Any, asked: Asked) -> Sequences:
    """From rows of id, time, channels and label."""
    columns = asked.columns
    roles = [name for name in (columns.id, columns.time, *(() if asked.labels is not None else columns.labels)) if name is not None]
    channels: tuple[str, ...] = ()

    def choose(there: Sequence[str]) -> Sequence[str]:
        nonlocal channels
        left = {*roles, *columns.labels}
        channels = asked.choose("read_sequences", [name for name in there if name not in left])
        return [*roles, *channels]

    table = open_columns(source, columns, choose)
    defects = Defects(table.name, table.place, len(table))
    ids, codes = read_ids(table, columns.id or "", defects)
    values = read_channels(table, channels, asked, defects)
    clock = None if columns.time is None else read_clock(table, columns.time, defects)
    defects.refuse()
    order = np.argsort(codes, kind="stable") if clock is None else np.lexsort((clock, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    _check_order(codes, clock, order, columns, defects)
    defects.refuse()
    parts = tuple(np.split(values[order], starts[1:]))
    stamps = None if clock is None else tuple(np.split(clock[order], starts[1:]))
    truth = read_labels(table, ids, codes, asked)
    return Sequences(parts, channels, tuple(ids), truth, stamps, told(truth))


def read_wide(source: Any, asked: Asked) -> Sequences:
    """From rows that hold a whole sequence each."""
    columns = asked.columns
    roles = [name for name in (columns.id, *(() if asked.labels is not None else columns.labels)) if name is not None]
    names = columns.channels or (asked.like.names if asked.like is not None and len(asked.like.names) > 1 else ())
    steps: list[list[str]] = []
    findings: list[str] = []

    def choose(there: Sequence[str]) -> Sequence[str]:
        left = [name for name in there if name not in {*roles, *columns.labels}]
        steps[:] = [left] if not names else [_numbered(name, left) for name in names]
        if len({len(own) for own in steps}) > 1 or not steps[0]:
            counts = ", ".join(f"{len(own)} of {name!r}" for name, own in zip(names, steps, strict=False)) or "none"
            raise DataError(f"read_sequences: channels must have as many columns each, numbered as x1, x2, …, got {counts}; name other channels.")
        used = {name for own in steps for name in own}
        unused = [name for name in left if name not in used]
        findings.extend([f"columns left out: {some(unused)}"] if unused else [])
        return [*roles, *(name for own in steps for name in own)]

    table = open_columns(source, columns, choose)
    defects = Defects(table.name, table.place, len(table))
    ids = [str(number) for number in range(len(table))]
    if columns.id is not None:
        ids, codes = read_ids(table, columns.id, defects)
        again = np.setdiff1d(np.arange(len(table)), np.unique(codes, return_index=True)[1])
        defects.add(again, Rule(columns.id, "distinct", "give each sequence its own id"), lambda row: repr(ids[codes[row]]))
    arrays = [read_channels(table, own, asked, defects, hidden=name) for own, name in zip(steps, names or ("value",), strict=True)]
    defects.refuse()
    truth = read_labels(table, ids, np.arange(len(table)), asked)
    return Sequences(tuple(np.stack(arrays, axis=2)), tuple(names) or ("value",), tuple(ids), truth, None, (*findings, *told(truth)))


def _check_order(codes: Rows, clock: Floats | None, order: Rows, columns: SequenceColumns, defects: Defects) -> None:
    if clock is None:
        changes = np.flatnonzero(np.diff(codes, prepend=-1))
        again = changes[np.setdiff1d(np.arange(len(changes)), np.unique(codes[changes], return_index=True)[1])]
        rule = Rule(columns.id, "in rows that stand together, as no column tells the time", "sort the rows, or name time")
        defects.add(again, rule, lambda row: "the rows of an id again after those of others")
        return
    same = order[1:][(np.diff(clock[order]) == 0) & (np.diff(codes[order]) == 0)]
    defects.add(same, Rule(columns.time, "there once in a sequence", "leave one of the rows out"), lambda row: f"{clock[row]:g} again")


def _numbered(channel: str, there: Sequence[str]) -> list[str]:
    """The columns x1, x2, … of channel x, by their numbers."""
    found = {int(match[1]): name for name in there if (match := re.fullmatch(re.escape(channel) + r"[_.\- ]?(\d+)", name))}
    return [found[number] for number in sorted(found)]
