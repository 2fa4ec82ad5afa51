"""Panels read from files and tables: every row checked, every step of the calendar there."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as dataset

from grus.data.assembling import Known, assemble
from grus.data.calendar import Step
from grus.data.clock import join_times, parts_of
from grus.data.covariates import find_categories
from grus.data.panel import Columns, Panel
from grus.data.parsing import Column, is_text
from grus.data.sources import Table, check_columns, open_dataset, open_table
from grus.errors import DataError, OptionError


def read_panel(
    source: Any,
    columns: Columns | None = None,
    *,
    step: str | None = None,
    allow_irregular: bool = False,
    like: Panel | None = None,
    ahead: bool = False,
) -> Panel:
    """The series of a file or table.

    source: a path (.csv, .tsv, each also .gz, .parquet, a folder of Parquet files), a pandas, polars or pyarrow table, a mapping of arrays, a
    pandas Series indexed by time, or a 1-D array, whose times are 0, 1, 2, …
    step: an offset alias or whole number; None infers it. Missing rows of a regular calendar are inserted with a missing target.
    allow_irregular: times without a step are kept as they are.
    like: a panel read earlier, whose columns, step and categories hold.
    ahead: the table holds only what is known ahead, id, time and future columns, of series of `like`; targets and past are missing.

    The time may stand in several columns: Columns(time="year,month,day,hour"), from the year on as far as to the second.

    Missing numbers are empty, NA, NaN, nan, null or None. Text columns are categories where no value looks like a number. Times with a zone are
    converted to UTC. `Panel.findings` says what was noticed.

    Raises: DataError naming file, row, column and value; OptionError for options that contradict each other.

    Example:
        >>> panel = read_panel({"ds": ["2024-01-01", "2024-01-02", "2024-01-04"], "y": [1.0, 2.0, 4.0]})
        >>> panel.step.name, panel.series[0].target.tolist(), panel.findings
        ('D', [1.0, 2.0, nan, 4.0], ('gaps: 1 of 4 steps had no row',))
    """
    known = _settle(columns, step, allow_irregular, like, ahead)
    roles = known.columns
    wanted = [name for name in roles.names if not ahead or name in (roles.id, roles.time, *roles.future)]
    if parts := parts_of(roles.time, source):
        table = join_times(open_table(source, roles, [*parts, *(name for name in wanted if name != roles.time)]), roles.time, parts)
    else:
        table = open_table(source, roles, wanted)
    if len(table) == 1 and like is None:
        raise DataError(f"{table.name}: must hold at least two rows, got one; give the series' history.")
    return assemble(table, known)


def _settle(columns: Columns | None, step: str | None, allow_irregular: bool, like: Panel | None, ahead: bool) -> Known:
    if like is None:
        if ahead:
            raise OptionError("read_panel: like must be a panel with ahead=True, got none; pass the panel whose future this is.")
        return Known(columns or Columns(), None if step is None else Step.of(step), None, allow_irregular)
    if columns is not None and columns != like.columns:
        raise OptionError(f"read_panel: columns must be those of like, {like.columns}, got {columns}; leave them out.")
    if step is not None and Step.of(step).name != like.step.name:
        raise OptionError(f"read_panel: step must be that of like, {like.step.name!r}, got {step!r}; leave it out.")
    return Known(like.columns, like.step, like.categories, allow_irregular, like if ahead else None)


def open_panels(
    source: str | PathLike[str], columns: Columns, *, ids_per_part: int = 1000, step: str | None = None, allow_irregular: bool = False
) -> Iterator[Panel]:
    """The series of a Parquet file or folder that is larger than memory, some ids at a time, in the order in which the ids first appear.

    The step is that of the first part unless given, and the categories are those of the whole. Rows that an error names count within the part.

    Raises: as read_panel; OptionError without an id column.
    """
    if columns.id is None:
        raise OptionError("open_panels: columns.id must name the column of the series, got none; a table of one series is read by read_panel.")
    if ids_per_part < 1:
        raise OptionError(f"open_panels: ids_per_part must be at least 1, got {ids_per_part}; give the number of series held at once.")
    found = open_dataset(Path(source))
    check_columns(str(source), found.schema.names, columns.names)
    return _parts(found, str(source), columns, ids_per_part, Known(columns, None if step is None else Step.of(step), None, allow_irregular))


def _parts(found: Any, name: str, columns: Columns, ids_per_part: int, known: Known) -> Iterator[Panel]:
    ids, categories = _survey(found, name, columns)
    for start in range(0, len(ids), ids_per_part):
        part = ids[start : start + ids_per_part]
        label = f"{name}, series {part[0]!r} to {part[-1]!r}"
        kept = found.to_table(columns=list(columns.names), filter=dataset.field(columns.id).isin(pa.array(part)))
        arrays = {column: kept.column(column).combine_chunks() for column in columns.names}
        panel = assemble(Table(label, arrays, lambda row, label=label: f"{label}, row {row + 1}"), replace(known, categories=categories))
        known = replace(known, step=panel.step)
        yield panel


def _survey(found: Any, name: str, columns: Columns) -> tuple[list[Any], dict[str, tuple[str, ...]]]:
    """The distinct ids, and the categories of the columns of text, from one pass over those columns alone."""
    texts = [column for column in (*columns.past, *columns.future, *columns.static) if is_text(found.schema.field(column).type)]
    seen: dict[str, dict[Any, None]] = {column: {} for column in (columns.id or "", *texts)}
    for batch in found.to_batches(columns=list(seen)):
        for column, values in seen.items():
            values.update(dict.fromkeys(batch.column(column).unique().to_pylist()))
    ids = list(seen.pop(columns.id or ""))
    if None in ids:
        raise DataError(f"{name}, column {columns.id!r}: must be the id of a series in every row, got nothing; give every row its id.")
    if not ids:
        raise DataError(f"{name}: must hold rows, got none; check that it was written to its end.")
    columns_of_text = (Column.of(column, pa.array(list(values), pa.string())) for column, values in seen.items())
    return ids, {column.name: find_categories(column) for column in columns_of_text if column.is_categorical}
