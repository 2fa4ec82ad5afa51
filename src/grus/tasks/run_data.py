"""The table of a run: read, whole or in parts, cut where the last target is known, and split."""
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from grus.data.panel import Columns, Panel
from grus.data.parsing import Column
from grus.data.reading import read_panel
from grus.data.sources import open_table
from grus.data.splitting import Split, split
from grus.data.streaming import OnePart, PanelStream, SplitParts, SplitStream
from grus.errors import DataError
from grus.tasks.ends import known_and_ahead
from grus.tasks.facts import time_text
from grus.tasks.forecast_config import ForecastConfig, ForecastData

STDIN = "stdin"
_IN_PYTHON = "name the columns with Columns(id=…, time=…, target=…)"  # the data layer's remedy, for which a command has options


def read_run(config: ForecastConfig, data: Path | BinaryIO | None = None, like: Panel | None = None) -> Panel:
    """The run's table, or another one read as the run's was: a file, or CSV from a stream, which messages call stdin.

    Raises: DataError.
    """
    if data is None or isinstance(data, Path):
        return _read(config.data, config.data.path if data is None else data, like)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "stdin.csv"
        with file.open("xb") as copy:
            shutil.copyfileobj(data, copy)
        try:
            panel = _read(config.data, file, like)
        except DataError as error:  # the file is gone when this is read
            raise DataError(str(error).replace(str(file), STDIN)) from error
    return replace(panel, findings=tuple(finding.replace(str(file), STDIN) for finding in panel.findings))


def _read(given: ForecastData, path: Path | None, like: Panel | None) -> Panel:
    columns = columns_of(given) if like is None else like.columns
    with _told_to_user(path, columns, is_new=like is None):
        if like is not None:
            return read_panel(path, like=like)
        return read_panel(path, columns, step=given.step, season=given.season)


@contextmanager
def _told_to_user(path: Path | None, columns: Columns, *, is_new: bool) -> Generator[None]:
    """What is wrong with a table as a whole, told with the options of a command; `is_new` says that they are still to be chosen."""
    if path is not None and not path.exists():
        raise DataError(f"{path}: must be a table, got nothing there; check the path.")
    try:
        yield
    except DataError as error:
        if _IN_PYTHON in str(error):
            flag = _flag_of(str(error), columns)
            remedy = f"name the right one with {flag}" if is_new else "name it as in the table that the network has learnt from"
            if not is_new and flag == "--target":
                remedy += ", and give the history of the series, not only the rows to forecast"
            raise DataError(str(error).replace(_IN_PYTHON, remedy)) from error
        if not is_new and path is not None and _is_blank(path, columns):
            raise DataError(
                f"{path}: must hold the history of the series, and behind it the rows to forecast, got no value of {columns.target!r} in any row; "
                f"put both into one table, {columns.target!r} blank in the rows to forecast."
            ) from error
        raise


def _flag_of(sentence: str, columns: Columns) -> str:
    """The option of `grus fit` for the column that a sentence misses."""
    named: dict[str, tuple[str | None, ...]] = {"--target": (columns.target,), "--id": (columns.id,)}
    named |= {"--past": columns.past, "--future": columns.future, "--static": columns.static}
    return next((flag for flag, names in named.items() if any(f"column {name!r} must" in sentence for name in names)), "--time")


def _is_blank(path: Path, columns: Columns) -> bool:
    """Whether the column of the target is there, without any value."""
    try:
        table = open_table(path, columns, [columns.target])
    except DataError:
        return False
    return bool(Column.of(columns.target, table.columns[columns.target]).missing.all())


def columns_of(given: ForecastData) -> Columns:
    """Which column is what."""
    return Columns(given.id, given.time, given.target, given.past, given.future, given.static)


def stream_run(config: ForecastConfig, data: Path | None = None, like: Panel | None = None) -> PanelStream | None:
    """The run's Parquet table, or another one, as parts; None where it is to be read whole.

    Raises: DataError, OptionError.
    """
    given, path = config.data, config.data.path if data is None else data
    if given.ids_per_part is None or path is None or not (path.is_dir() or path.suffix == ".parquet" or data is None):
        return None
    columns = columns_of(given) if like is None else like.columns
    step, season = (given.step, given.season) if like is None else (None, None)
    with _told_to_user(path, columns, is_new=like is None):
        return PanelStream(path, columns, ids_per_part=given.ids_per_part, step=step, season=season, like=like)


def parts_of_run(config: ForecastConfig, data: Path | None = None, like: Panel | None = None) -> SplitParts:
    """The run's table, or another one read as the run's was, split.

    Raises: as ``split_run``, for parts when they are read.
    """
    panels = stream_run(config, data, like)
    if panels is None:
        return OnePart(split_run(config, read_run(config, data, like)))
    return SplitStream(panels, partial(split_run, config, may_be_empty=True))


def split_run(config: ForecastConfig, panel: Panel, *, may_be_empty: bool = False) -> Split:
    """The run's training, validation and test parts of what is known: rows that only say what is known ahead are in none of them.

    Raises: DataError where a series is too short for them and may not be dropped, or none is left and that is not allowed.
    """
    given, least = config.data, config.data.horizon + 1
    known, _ = known_and_ahead(panel)
    try:
        parts = split(known, given.validation, given.test, at_least=least, short="drop")
    except DataError as error:
        if not may_be_empty or given.short == "error":
            raise _without_room(known, given, least) or error from error
        return Split(replace(known, series=()), (), (), (), (f"dropped: all {len(known)} series, which are too short ({error})",))
    kept = {series.id for series in parts.panel}
    short = [series for series in known if series.id not in kept]
    if short and given.short == "error":
        must = f"{least} steps to learn from, and some of each of data.validation {given.validation} and data.test {given.test}"
        got = f"{len(short)} of {len(panel)} that are too short, the first {short[0].id!r} of {len(short[0])} steps"
        raise DataError(f"data: every series must have {must}, got {got}; ask for smaller parts, or leave such series out with data.short=drop.")
    return parts


def _without_room(panel: Panel, given: ForecastData, least: int) -> DataError | None:
    """That the horizon is too long for every series; None where they cannot be split whatever it is."""
    longest = max(panel, key=len)
    if len(longest) >= least:
        try:
            split(panel, given.validation, given.test, short="drop")
        except DataError:
            return None
    return DataError(
        f"data.horizon: a series must have {least} steps to learn from for a horizon of {given.horizon}, got {len(longest)} in the longest, "
        f"{longest.id!r}, of which data.validation {given.validation} and data.test {given.test} are set aside; "
        "forecast fewer steps, or give longer series."
    )


@dataclass
class Outline:
    """What a reader is told of series that came in parts, and the last time that a network learns from in each."""

    until: dict[str, str | int] = field(default_factory=dict[str, "str | int"])
    steps: int = 0
    known: int = 0
    split: list[int] = field(default_factory=lambda: [0, 0, 0])
    ends: list[tuple[Any, str]] = field(default_factory=list[tuple[Any, str]])

    @staticmethod
    def of(parts: SplitParts) -> Outline:
        """From one pass."""
        found = Outline()
        for part in (part for part in parts if len(part.panel)):
            found.until |= last_learnt(part)
            found.steps += sum(map(len, part.panel))
            found.known += sum(int((~np.isnan(series.target)).sum()) for series in part.panel)
            ranges = (part.train, part.validation, part.test)
            found.split = [count + sum(high - low for low, high in each) for count, each in zip(found.split, ranges, strict=True)]
            times = [time for series in part.panel for time in (series.times[0], series.times[-1])]
            ends = [*found.ends, *((time, time_text(time, part.panel)) for time in (min(times), max(times)))]
            found.ends = [min(ends), max(ends)]
        return found

    def facts(self, parts: int) -> dict[str, str]:
        """The facts of all parts that those of one part do not tell."""
        learnt, chosen, tested = self.split
        counted = f"{parts} part{'s' if parts > 1 else ''}"
        return {
            "series": f"{len(self.until)}, {self.steps} steps, {self.steps - self.known} without a value, read in {counted}",
            "times": f"{self.ends[0][1]} to {self.ends[1][1]}",
            "split": f"steps by time: training {learnt}, validation {chosen}, test {tested}",
        }


def last_learnt(parts: Split) -> dict[str, str | int]:
    """The last time of each series that a network learns from, be it for its weights, its best epoch or its intervals."""
    rows = zip(parts.panel, parts.validation, strict=True)
    last: dict[str, Any] = {series.id: series.times[high - 1] for series, (_, high) in rows}
    return {id: str(time) if isinstance(time, np.datetime64) else int(time) for id, time in last.items()}
