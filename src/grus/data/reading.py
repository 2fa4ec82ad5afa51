"""Panels read from files and tables: every row checked, every step of the calendar there."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import Any

from grus.data.assembling import Known, assemble
from grus.data.calendar import Step
from grus.data.clock import join_times, parts_of
from grus.data.panel import Columns, Panel
from grus.data.sources import open_table
from grus.errors import DataError, OptionError


def read_panel(
    source: Any,
    columns: Columns | None = None,
    *,
    step: str | None = None,
    season: int | None = None,
    allow_irregular: bool = False,
    like: Panel | None = None,
    ahead: bool = False,
) -> Panel:
    """The series of a file or table.

    source: a path (.csv, .tsv, each also .gz, .parquet, a folder of Parquet files), a pandas, polars or pyarrow table, a mapping of arrays, a
    pandas Series indexed by time, or a 1-D array, whose times are 0, 1, 2, …
    step: an offset alias or whole number; None infers it. Missing rows of a regular calendar are inserted with a missing target.
    season: the steps after which the series repeats itself, for baselines, MASE and seasonal differences; None is the step's customary one,
        24 for hours, 12 for months, and 1, no season, for whole numbers.
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
    if season is not None and like is not None and season != like.step.season:
        raise OptionError(f"read_panel: season must be that of like, {like.step.season}, got {season}; leave it out.")
    roles = known.columns
    wanted = [name for name in roles.names if not ahead or name in (roles.id, roles.time, *roles.future)]
    if parts := parts_of(roles.time, source):
        table = join_times(open_table(source, roles, [*parts, *(name for name in wanted if name != roles.time)]), roles.time, parts)
    else:
        table = open_table(source, roles, wanted)
    if len(table) == 1 and like is None:
        raise DataError(f"{table.name}: must hold at least two rows, got one; give the series' history.")
    panel = assemble(table, known)
    return panel if season is None else panel.with_season(season)


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
