"""A run's figures for other programs: a table of comma-separated values, and event files for TensorBoard.

Both are of a run with a folder, whose ``log.jsonl`` holds all rows before the one that is told: a run that is gone on with, from however long
before its end, has each epoch once.
"""
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from grus.errors import DataError
from grus.training.history import History
from grus.training.progress import Quiet, read_rows


class CsvLog(Quiet):
    """Each epoch as a line of ``log.csv`` in the folder of a run, at once; the first line has the names.

    Raises: DataError where the file cannot take it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path, self._names = folder, folder / "log.csv", list[str]()

    def epoch(self, row: dict[str, float]) -> None:
        try:
            if self._names:
                self._write(self._path, "a", [row])
            else:
                self._begin(row)
        except OSError as error:
            raise DataError(f"CsvLog: {self._path} must take a line, got {error.strerror or error}; make room, or leave it out.") from error

    def _begin(self, row: dict[str, float]) -> None:
        """The file anew, with what the run did before; it stays as it was if that fails."""
        rows, draft = [*_before(self._folder, row), row], self._folder / ".log.csv.draft"
        self._names = list(dict.fromkeys(name for each in rows for name in each))
        self._write(draft, "w", [dict(zip(self._names, self._names, strict=True)), *rows])
        draft.replace(self._path)

    def _write(self, path: Path, mode: str, rows: list[dict[str, Any]]) -> None:
        with path.open(mode, encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._names, lineterminator="\n").writerows(rows)


class TensorBoardLog(Quiet):
    """Each epoch as scalars of event files in ``tensorboard/`` of a run's folder, under the names of the row, with the epoch as the step.

    TensorBoard leaves out what an interrupted run wrote behind the checkpoint that it went on from. Values are kept as float32.
    Written without tensorboardX's SummaryWriter, whose queue waits for ever behind a disk that is full.

    Raises: DataError where a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._place, self._writer = folder, folder / "tensorboard", None

    def epoch(self, row: dict[str, float]) -> None:
        try:
            writer = self._writer or self._begin(row)
            self._add(writer, row)
            writer.flush()
        except OSError as error:
            raise DataError(f"TensorBoardLog: {self._place} must take a file, got {error.strerror or error}; make room, or leave it out.") from error

    def finish(self, history: History) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self, row: dict[str, float]) -> Any:
        """A new file. A run may have been killed between its checkpoint and what is told here, so the row before is written again."""
        before = _before(self._folder, row)[-1:]
        first = int((*before, row)[0]["epoch"])
        self._place.mkdir(exist_ok=True)
        # The names of files have whole seconds: the epoch keeps two of one second apart.
        self._writer = EventsWriter(str(self._place / "events"), f".{first:06d}")
        self._writer.write_event(Event(wall_time=time.time(), step=first, session_log=SessionLog(status=SessionLog.START)))
        for each in before:
            self._add(self._writer, each)
        return self._writer

    def _add(self, writer: Any, row: dict[str, float]) -> None:
        for name, value in row.items():
            if name != "epoch":
                writer.write_event(Event(wall_time=time.time(), step=int(row["epoch"]), summary=scalar(name, value)))


def _before(folder: Path, row: dict[str, float]) -> list[dict[str, float]]:
    """The rows of the run before this one."""
    return [each for each in read_rows(folder / "log.jsonl") if each["epoch"] < row["epoch"]]
