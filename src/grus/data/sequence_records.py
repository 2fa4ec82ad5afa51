"""Sequences from irregular records, one measurement of one variable per row."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data.checks import Defects, Rule
from grus.data.parsing import Column, labels
from grus.data.sequence_sources import Asked, Floats, Rows, name_of_source, open_columns, read_clock, read_ids, read_numbers, some
from grus.data.sequence_truths import read_labels
from grus.data.sequences import Sequences
from grus.data.sources import Table
from grus.errors import DataError


def read_records(source: Any, asked: Asked) -> Sequences:
    """From rows of id, time, variable and value: a step for each time at which a channel was measured, NaN for the others.

    Values of one channel at one time: the last row counts, or their mean. A sequence without a value has one step, at its first time.
    """
    columns = asked.columns
    id_name, time, variable, value = columns.id or "", columns.time or "", columns.variable or "", columns.value or ""
    roles = [id_name, time, variable, value, *asked.truths]

    def choose(there: Sequence[str]) -> Sequence[str]:
        absent = [name for name in asked.truths if name not in there]
        if absent:  # which mostly stand in a table of their own, as a row is one measurement
            must = f"column {absent[0]!r} of labels must be there, got {some(there)}"
            raise DataError(f"{name_of_source(source)}: {must}; name another, or give labels= a table of id and label.")
        return roles

    table = open_columns(source, columns, choose)
    defects = Defects(table.name, table.place, len(table))
    ids, codes = read_ids(table, id_name, defects)
    clock = read_clock(table, time, defects)
    column = Column.of(variable, table.columns[variable], ("",))
    defects.add(np.flatnonzero(column.missing), Rule(variable, "the name of what was measured", "name it, or leave the row out"), column.got)
    values = read_numbers(Column.of(value, table.columns[value]), defects, asked)
    defects.refuse()
    kinds, variables = pd.factorize(labels(column))
    there = [str(name) for name in variables]
    names, findings = _channels(table, there, asked)
    places = {name: number for number, name in enumerate(names)}
    channel = np.array([places.get(name, -1) for name in there], np.int64)[kinds]
    for name in (name for name in asked.absent or {} if name in places):
        values = np.where(channel == places[name], asked.hide(name, values), values)
    measured = np.flatnonzero((channel >= 0) & ~np.isnan(values))
    grid, stamps, owner, twice = _spread(codes, clock, channel, values, measured, len(names), mean=asked.mean)
    lacking = np.setdiff1d(np.arange(len(ids)), owner)
    grid, stamps, owner = _with_empty(grid, stamps, owner, lacking, codes, clock)
    ends = np.flatnonzero(np.diff(owner)) + 1
    if twice:
        findings.append(
            f"{twice} of {len(measured)} values stand at a time that has one already: {'their mean' if asked.mean else 'the last'} counts"
        )
    absent = int(np.isnan(values)[channel >= 0].sum())
    findings += [f"{absent} of {len(table)} rows hold no value"] if absent else []
    truth, told = read_labels(table, ids, codes, asked)
    parts = tuple(np.split(grid, ends))
    return Sequences(parts, names, tuple(ids), truth, tuple(np.split(stamps, ends)), (*findings, *told))


def _channels(table: Table, there: list[str], asked: Asked) -> tuple[tuple[str, ...], list[str]]:
    """The variables that count, sorted unless they were named; and what was left out."""
    names = asked.choose(table.name, sorted(there))
    unknown = [name for name in names if name not in there]
    if unknown and asked.like is None:
        raise DataError(
            f"{table.name}, column {asked.columns.variable!r}: channel {unknown[0]!r} must be there, got {some(sorted(there))}; leave it out."
        )
    left = sorted(set(there) - set(names))
    return tuple(names), [f"variables left out: {some(left)}"] if left else []


def _spread(
    codes: Rows, clock: Floats, channel: Rows, values: Floats, measured: Rows, width: int, *, mean: bool
) -> tuple[NDArray[np.float32], Floats, Rows, int]:
    """The steps of all sequences end to end, the time and the sequence of each, and how many values stood at a time that had one."""
    order = measured[np.lexsort((clock[measured], codes[measured]))]
    is_new = (np.diff(codes[order], prepend=-1) != 0) | (np.diff(clock[order], prepend=np.nan) != 0)
    firsts = order[is_new]
    cells = (np.cumsum(is_new) - 1) * width + channel[order]
    flat = np.full(len(firsts) * width, np.nan)
    flat[cells] = values[order]  # of cells that come again the last counts
    filled = int((~np.isnan(flat)).sum())
    if mean and filled < len(order):
        counts = np.bincount(cells, minlength=len(flat))
        sums = np.bincount(cells, values[order], minlength=len(flat))
        flat = np.where(counts > 1, sums / np.maximum(counts, 1), flat)
    return flat.reshape(len(firsts), width).astype(np.float32), clock[firsts], codes[firsts], len(order) - filled


def _with_empty(
    grid: NDArray[np.float32], stamps: Floats, owner: Rows, lacking: Rows, codes: Rows, clock: Floats
) -> tuple[NDArray[np.float32], Floats, Rows]:
    """One step at its first time for each sequence of which nothing was measured."""
    if not lacking.size:
        return grid, stamps, owner
    first = np.full(int(codes.max()) + 1, np.inf)
    np.minimum.at(first, codes, clock)
    owner = np.concatenate([owner, lacking])
    order = np.argsort(owner, kind="stable")
    grid = np.concatenate([grid, np.full((lacking.size, grid.shape[1]), np.nan, np.float32)])
    return grid[order], np.concatenate([stamps, first[lacking]])[order], owner[order]
