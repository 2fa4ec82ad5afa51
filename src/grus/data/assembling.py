"""From the rows of a table to series on one calendar."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from grus.data.calendar import DAY_NS, Step, Times, infer
from grus.data.checks import Defects, Rule, notice
from grus.data.covariates import Categories, Covariates, encode
from grus.data.order import Rows, check_order, show
from grus.data.panel import Columns, Panel, Series, Values
from grus.data.parsing import Column, labels, numbers, times
from grus.data.sources import Table
from grus.errors import DataError

ONLY = "series"  # the id of the one series of a table without an id column
SPARSE = 1000  # steps of the calendar per row, beyond which the step is surely not meant


@dataclass(frozen=True, eq=False)
class Known:
    """What holds before a table is read.

    step, categories: those of an earlier panel, or given by the caller; None finds them. ahead: the panel whose future the table holds.
    """

    columns: Columns
    step: Step | None = None
    categories: Categories | None = None
    allow_irregular: bool = False
    ahead: Panel | None = None


def assemble(table: Table, known: Known) -> Panel:
    """The panel of a table that holds the columns of its roles.

    Raises: DataError naming the rows that cannot be used.
    """
    roles, defects = known.columns, Defects(table.name, table.place, len(table))
    stamps, findings = times(Column.of(roles.time, table.columns[roles.time]), defects)
    ids, codes = _ids(table, roles, defects)
    target, past, static = _measured(table, known, defects)
    future = encode(table, roles.future, known.categories, defects, "known ahead")
    defects.refuse()
    rows = check_order(stamps, codes, roles, defects, target)
    _check_static(table, roles, rows, defects)
    defects.refuse()
    step = _calendar(table.name, stamps, rows, known, defects)
    defects.refuse()
    series: list[Series] = []
    for id, chosen in zip(ids, rows, strict=True):
        grid = _grid(table.name, id, stamps[chosen], step)
        at = np.searchsorted(grid, stamps[chosen])
        _check_future(grid, at, chosen, roles, defects)
        spread = [_spread(values[chosen], at, len(grid)) for values in (target, past.values, future.values)]
        series.append(Series(id, grid, spread[0], spread[1], spread[2], static.values[chosen[0]]))
    defects.refuse()
    categories = {**past.categories, **future.categories, **static.categories}
    panel = Panel(tuple(series), roles, step, past.names, future.names, static.names, categories, findings)
    if known.ahead is not None:
        return _after(panel, known.ahead, table.name)
    _check_targets(panel, table.name)
    return replace(panel, findings=findings + notice(panel, sum(map(len, panel.series)) - len(table)))


def _ids(table: Table, roles: Columns, defects: Defects) -> tuple[list[str], Rows]:
    """The ids in the order in which they first appear, and the number of each row's."""
    if roles.id is None:
        return [ONLY], np.zeros(len(table), np.int64)
    column = Column.of(roles.id, table.columns[roles.id], ("",))  # "NA" may be Namibia
    defects.add(np.flatnonzero(column.missing), Rule(roles.id, "the id of a series", "give every row its id"), column.got)
    codes, ids = pd.factorize(labels(column), use_na_sentinel=False)
    return [str(id) for id in ids], codes.astype(np.int64)


def _measured(table: Table, known: Known, defects: Defects) -> tuple[Values, Covariates, Covariates]:
    """Target, past and static covariates; all missing in a table of what is known ahead."""
    roles = known.columns
    if known.ahead is not None:
        past, static = (np.full((len(table), len(names)), np.nan) for names in (known.ahead.past_names, known.ahead.static_names))
        named = (Covariates(known.ahead.past_names, past, {}), Covariates(known.ahead.static_names, static, {}))
        return np.full(len(table), np.nan), *named
    past = encode(table, roles.past, known.categories, defects)
    static = encode(table, roles.static, known.categories, defects, "static")
    return numbers(Column.of(roles.target, table.columns[roles.target]), defects), past, static


def _check_static(table: Table, roles: Columns, rows: Sequence[Rows], defects: Defects) -> None:
    first = np.zeros(len(table), np.int64)
    for chosen in rows:
        first[chosen] = chosen[0]
    for name in (name for name in roles.static if name in table.columns):
        column = Column.of(name, table.columns[name])
        texts = labels(column)
        rule = Rule(name, "the same in every row of a series", "give the series one value, or name the column in past")

        def got(row: int, column: Column = column) -> str:
            return f"{column.got(row)}, but {column.got(int(first[row]))} in {defects.place(int(first[row]))}"

        defects.add(np.flatnonzero(texts != texts[first]), rule, got)


def _calendar(name: str, stamps: Times, rows: Sequence[Rows], known: Known, defects: Defects) -> Step:
    """The step given or found, which every time must fit."""
    series = [stamps[chosen] for chosen in rows]
    step = known.step or infer(series)
    if step is None:
        raise DataError(f"{name}: a series must have two times for the step to be found, got one each; give step=.")
    if step.is_regular and step.is_integer != (stamps.dtype.kind != "M"):
        kind = "dates" if step.is_integer else "whole numbers"
        raise DataError(f"{name}, column {known.columns.time!r}: times must suit the step {step.name!r}, got {kind}; give another step.")
    misfits = [chosen[step.misfits(times)] for chosen, times in zip(rows, series, strict=True)]
    if known.allow_irregular and known.step is None and any(map(len, misfits)):
        return Step.irregular
    stray = np.concatenate(misfits)
    remedy = "correct the time, give another step, or keep the times as they are with step='irregular'"
    cause = _why_off(series, known.step) if 2 * len(stray) > len(stamps) else ""
    defects.add(stray, Rule(known.columns.time, f"on the calendar of step {step.name!r}", remedy, cause), lambda row: show(stamps[row]))
    return step


def _why_off(series: Sequence[Times], given: Step | None) -> str:
    """Why most times do not fit the step."""
    if given is None:
        return "the times seem to have no step"
    found = infer(series)
    return f"the times fit the step {found.name!r}" if found is not None and not any(found.misfits(times).size for times in series) else ""


def _grid(name: str, id: str, stamps: Times, step: Step) -> Times:
    """Every time of the calendar from the first to the last."""
    if not step.is_regular:
        return stamps
    first, last = (int(time) for time in stamps[[0, -1]].astype(np.int64))
    steps = (last - first) // (step.length or DAY_NS) + 1
    if steps > SPARSE * (len(stamps) + 10):
        raise DataError(
            f"{name}: step must suit the times of series {id!r}, got {step.name!r}, that is {steps} steps of {len(stamps)} rows; give a longer one."
        )
    return step.between(stamps[0], stamps[-1])


def _check_future(grid: Times, at: Rows, chosen: Rows, roles: Columns, defects: Defects) -> None:
    """What is known ahead must be there for every step."""
    if not roles.future or len(at) == len(grid):
        return
    after = np.flatnonzero(np.diff(at) > 1) + 1
    counts = dict(zip(chosen[after].tolist(), (np.diff(at)[after - 1] - 1).tolist(), strict=True))
    firsts = dict(zip(chosen[after].tolist(), grid[at[after - 1] + 1], strict=True))
    rule = Rule(roles.future[0], "given for every step, because it is known ahead", "add those rows")
    defects.add(chosen[after], rule, lambda row: f"no row for the {counts[row]} before it, from {show(firsts[row])} on")


def _spread(values: Values, at: Rows, length: int) -> Values:
    spread = np.full((length, *values.shape[1:]), np.nan)
    spread[at] = values
    return spread


def _check_targets(panel: Panel, name: str) -> None:
    empty = [series for series in panel if np.isnan(series.target).all()]
    if empty:
        more = f" (and of {len(empty) - 1} more series)" if len(empty) > 1 else ""
        raise DataError(
            f"{name}, column {panel.columns.target!r}: the target of series {empty[0].id!r}{more} must have a number, "
            f"got {len(empty[0])} missing values; leave the series out."
        )


def _after(panel: Panel, earlier: Panel, name: str) -> Panel:
    """The panel of what is known ahead, with the static values of the earlier one."""
    static = {series.id: series.static for series in earlier}
    unknown = [series.id for series in panel if series.id not in static]
    if unknown:
        raise DataError(f"{name}: series must be those of the earlier panel, got {unknown[0]!r}; leave it out, or read its history first.")
    series = tuple(replace(entry, static=static[entry.id]) for entry in panel)
    return replace(panel, series=series, static_names=earlier.static_names, categories=earlier.categories)
