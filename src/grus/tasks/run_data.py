"""The table of a run: read, cut where the last target is known, and split."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from grus.data.panel import Columns, Panel
from grus.data.reading import read_panel
from grus.data.splitting import Split, split
from grus.errors import DataError
from grus.tasks.config import Config, DataConfig
from grus.tasks.ends import known_and_ahead

STDIN = "stdin"


def read_run(config: Config, data: Path | BinaryIO | None = None, like: Panel | None = None) -> Panel:
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


def _read(given: DataConfig, path: Path | None, like: Panel | None) -> Panel:
    if like is not None:
        return read_panel(path, like=like)
    return read_panel(path, columns_of(given), step=given.step, season=given.season)


def columns_of(given: DataConfig) -> Columns:
    """Which column is what."""
    return Columns(given.id, given.time, given.target, given.past, given.future, given.static)


def split_run(config: Config, panel: Panel) -> Split:
    """The run's training, validation and test parts of what is known: rows that only say what is known ahead are in none of them.

    Raises: DataError where a series is too short for them and may not be dropped, or none is left.
    """
    given, least = config.data, config.data.horizon + 1
    known, _ = known_and_ahead(panel)
    parts = split(known, given.validation, given.test, at_least=least, short="drop")
    kept = {series.id for series in parts.panel}
    short = [series for series in known if series.id not in kept]
    if short and given.short == "error":
        must = f"{least} steps to learn from, and some of each of data.validation {given.validation} and data.test {given.test}"
        got = f"{len(short)} of {len(panel)} that are too short, the first {short[0].id!r} of {len(short[0])} steps"
        raise DataError(f"data: every series must have {must}, got {got}; ask for smaller parts, or leave such series out with data.short=drop.")
    return parts
