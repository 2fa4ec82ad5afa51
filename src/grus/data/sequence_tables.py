"""Sequences from tables with a row per step, or with a row per sequence."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from grus.data.checks import Defects, Rule
from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_sources import Asked, Floats, Rows, name_of_source, named, open_columns, read_channels, read_clock, read_ids, some
from grus.data.sequence_truths import read_labels
from grus.data.sequences import Sequences
from grus.errors import DataError


def read_steps(source: Any, asked: Asked) -> Sequences:
    """From rows of id, time, channels and label."""
    columns = asked.columns
    roles = [name for name in (columns.id, columns.time, *asked.truths) if name is not None]
    channels: tuple[str, ...] = ()

    def choose(there: Sequence[str]) -> Sequence[str]:
        nonlocal channels
        left = {*roles, *columns.labels}
        channels = asked.choose(name_of_source(source), named([name for name in there if name not in left], columns))
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
    truth, told = read_labels(table, ids, codes, asked)
    order_told = "" if columns.time is not None else "; no column tells the time, so that steps stand in the order of their rows"
    taken = () if columns.channels or asked.like is not None else (f"channels are all other columns, {some(channels)}{order_told}",)
    return Sequences(parts, channels, tuple(ids), truth, stamps, (*taken, *told))


def read_wide(source: Any, asked: Asked) -> Sequences:
    """From rows that hold a whole sequence each."""
    columns = asked.columns
    roles = [name for name in (columns.id, *asked.truths) if name is not None]
    names = columns.channels or (asked.like.names if asked.like is not None and len(asked.like.names) > 1 else ())
    steps: list[list[str]] = []
    findings: list[str] = []

    def choose(there: Sequence[str]) -> Sequence[str]:
        aside = {*roles, *columns.labels}
        left = [name for name in there if name not in aside]
        steps[:] = [_in_order(named(left, columns))] if not names else _numbered(names, left) if columns.header else _in_turn(names, left)
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
    truth, told = read_labels(table, ids, np.arange(len(table)), asked)
    return Sequences(tuple(np.stack(arrays, axis=2)), tuple(names) or ("value",), tuple(ids), truth, None, (*findings, *told))


def _check_order(codes: Rows, clock: Floats | None, order: Rows, columns: SequenceColumns, defects: Defects) -> None:
    if clock is None:
        changes = np.flatnonzero(np.diff(codes, prepend=-1))
        again = changes[np.setdiff1d(np.arange(len(changes)), np.unique(codes[changes], return_index=True)[1])]
        rule = Rule(columns.id, "in rows that stand together, as no column tells the time", "sort the rows, or name time")
        defects.add(again, rule, lambda row: "the rows of an id again after those of others")
        return
    same = order[1:][(np.diff(clock[order]) == 0) & (np.diff(codes[order]) == 0)]
    defects.add(same, Rule(columns.time, "there once in a sequence", "leave one of the rows out"), lambda row: f"{clock[row]:g} again")


def _numbered(channels: Sequence[str], there: Sequence[str]) -> list[list[str]]:
    """The columns x1, x2, … of each channel x, by their numbers.

    Raises: DataError where one has no columns, two of a number, or other numbers than the first one has.
    """
    found: list[dict[int, str]] = []
    for channel in channels:
        own: dict[int, str] = {}
        for name in there:
            match = re.fullmatch(re.escape(channel) + r"[_.\- ]?(\d+)", name)
            if match and (other := own.setdefault(int(match[1]), name)) != name:
                raise DataError(f"read_sequences: channel {channel!r} must have one column of a number, got {other!r} and {name!r}; rename one.")
        found.append(own)
        if not own or own.keys() != found[0].keys():
            got = ", ".join(f"{len(own)} of {name!r}" for name, own in zip(channels, found, strict=False))
            raise DataError(
                f"read_sequences: channels must have the same columns each, numbered as x1, x2, …, got {got}, or other numbers; name other channels."
            )
    return [[own[number] for number in sorted(own)] for own in found]


def _in_turn(channels: Sequence[str], there: Sequence[str]) -> list[list[str]]:
    """The columns of each channel where there is no header.

    Raises: DataError where they are no multiple of the channels.
    """
    if len(there) % len(channels):
        got = f"{len(there)} beside id and label for {len(channels)}"
        raise DataError(f"read_sequences: channels must take turns in the columns without a header, got {got}; name other channels.")
    return [list(there[number :: len(channels)]) for number in range(len(channels))]


def _in_order(steps: list[str]) -> list[str]:
    """The columns as they stand.

    Raises: DataError where all are numbered as x1, x2, … and their numbers neither rise nor fall: sorted as texts, x10 stands before x2.
    """
    parts = [match for name in steps if (match := re.fullmatch(r"(.*?)(\d+)", name))]
    if len(parts) < len(steps) or len({part[1] for part in parts}) > 1:
        return steps
    numbers = [int(part[2]) for part in parts]
    if numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        at = next(at for at, (one, other) in enumerate(pairwise(numbers)) if (one > other) != (numbers[0] > numbers[-1]))
        stem = f", or name the channel {parts[0][1]!r}, whose columns are then read by number" if parts[0][1] else ""
        raise DataError(
            f"read_sequences: columns of steps must stand in the order of their numbers, got {steps[at + 1]!r} after {steps[at]!r}; sort them{stem}."
        )
    return steps
