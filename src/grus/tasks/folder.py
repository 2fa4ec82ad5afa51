"""The folder of a run: what it holds, how it is made, and what a folder is that is none.

run.json          what kind of folder this is, and until when the network has learnt from each series
config.yaml       every value that decided the run
running.json      a sign of life, as long as the training goes on
log.jsonl         one line per epoch
log.csv           the same as a table, with logging.csv
tensorboard/      the same for TensorBoard, with logging.tensorboard
checkpoints/      to go on from after an interruption
model/            the trained network
metrics.json      the scores of the judgement, by model and metric
backtest.json     every forecast of the backtest beside the truth
evaluation.json   in its place, of sequences: what was said of each test sequence beside the truth
report.html       the page
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from grus.errors import DataError, OptionError
from grus.tasks.config import Config, load
from grus.tasks.files import alone, write_text
from grus.tasks.registry import TASKS, Task

VERSION = 1
KINDS = {task.kind: task for task in TASKS.values()}
ENTRIES = (
    "run.json",
    "config.yaml",
    "running.json",
    "log.jsonl",
    "log.csv",
    "tensorboard",
    "checkpoints",
    "model",
    "metrics.json",
    *dict.fromkeys(task.record for task in TASKS.values()),
    "report.html",
)
PREVIOUS = ".previous"
LOCK = ".lock"  # an empty file that no other replaces, as a lock is on the file and not on its name; a folder with nothing else is empty
UNTRAINED = {"run.json", "config.yaml", "running.json", "log.jsonl", "checkpoints", PREVIOUS, LOCK}  # all that a run has before its first epoch
# How each part is made that a run lacks, as the remedy of a message.
_MADE_BY = {"model": "grus fit --resume --out {}", "metrics.json": "grus evaluate {}"} | {task.record: "grus evaluate {}" for task in TASKS.values()}


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. One that replaces another keeps that one in .previous until it has a network of its own.

    Example:
        >>> RunFolder(Path("runs/one")).report.as_posix()
        'runs/one/report.html'
    """

    path: Path
    made: tuple[Path, ...] = field(default=(), compare=False, repr=False)  # folders that were made for it, the innermost first

    @property
    def marker(self) -> Path:
        """Says what kind of folder this is."""
        return self.path / "run.json"

    @property
    def config_file(self) -> Path:
        """Every value that decided the run."""
        return self.path / "config.yaml"

    @property
    def pulse(self) -> Path:
        """A sign of life, as long as the training goes on."""
        return self.path / "running.json"

    @property
    def log(self) -> Path:
        """One line per epoch."""
        return self.path / "log.jsonl"

    @property
    def table(self) -> Path:
        """The log as a table."""
        return self.path / "log.csv"

    @property
    def tensorboard(self) -> Path:
        """The log for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """What an interrupted training goes on from."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        """Scores by forecaster and metric."""
        return self.path / "metrics.json"

    @property
    def backtest(self) -> Path:
        """Every forecast of the backtest beside the truth."""
        return self.path / "backtest.json"

    @property
    def evaluation(self) -> Path:
        """What was said of each test sequence beside the truth."""
        return self.path / "evaluation.json"

    @property
    def record(self) -> Path:
        """That of the two that runs of its task have.

        Raises: DataError where the marker is damaged.
        """
        return self.path / self.task.record

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def lock(self) -> Path:
        """Held by the process that trains; no part of the run."""
        return self.path / LOCK

    @property
    def previous(self) -> Path:
        """The run that this one replaces, until this one is trained."""
        return self.path / PREVIOUS

    @property
    def task(self) -> Task:
        """What the run learns.

        Raises: DataError where the marker is damaged.
        """
        return _kind(self)

    @property
    def trained(self) -> bool:
        """Whether the training came to its end."""
        return (self.model / "config.json").exists()

    @property
    def learnt_until(self) -> dict[str, str | int]:
        """The last time of each series that the network has learnt from, as it was noted; empty before the end of the training.

        Raises: DataError where the marker is damaged.
        """
        found = _marker(self).get("learnt_until", {})
        try:
            return {str(id): time if isinstance(time, int) else str(np.datetime64(time, "ns")) for id, time in found.items()}
        except (AttributeError, ValueError, TypeError) as error:
            raise DataError(f"{self.marker}: learnt_until must have a time for each series, got other content; train the run again.") from error

    def held(self) -> AbstractContextManager[None]:
        """This folder for one training alone.

        Raises: OptionError where another process trains in it.
        """
        return alone(self.lock, f"{self.path}: must be a run that no process trains, got one that is; wait for it, or name another --out.")

    def note_learnt(self, until: Mapping[str, str | int]) -> None:
        """Write down the last time of each series that the network has learnt from."""
        write_text(self.marker, json.dumps({"kind": self.task.kind, "version": VERSION, "learnt_until": dict(until)}, ensure_ascii=False) + "\n")

    @property
    def config(self) -> Config:
        """The run's configuration.

        Raises: OptionError if the file was changed to something that is none.
        """
        return load(self.config_file)

    def withdraw(self) -> None:
        """Take back a run of which no epoch was finished, with the folders that were made for it; leave any other as it is.

        The run that it was to replace is in its place again.

        Raises: OptionError where another process trains in it.
        """
        if self._has_begun or {entry.name for entry in self.path.iterdir()} - UNTRAINED:
            return
        with self.held():
            _clear(self)
            if self.previous.exists():
                _move(self.previous, self.path, ENTRIES)
                self.previous.rmdir()
            self.lock.unlink()
        for place in self.made:
            if not any(place.iterdir()):
                place.rmdir()

    @property
    def _has_begun(self) -> bool:
        """Whether there is an epoch, a part of one in the checkpoint, or the evidence of what diverged."""
        state = self.checkpoints / "state.json"
        if (self.log.exists() and self.log.stat().st_size) or (self.checkpoints / "diverged").exists():
            return True
        try:
            return state.exists() and json.loads(state.read_bytes())["tally"] is not None
        except (ValueError, KeyError, TypeError):
            return True  # not known to be a first checkpoint, so it stays

    def drop_previous(self) -> None:
        """Remove the run that this one has replaced."""
        if self.previous.exists():
            shutil.rmtree(self.previous)


def check_place(path: str | Path, *, overwrite: bool = False) -> None:
    """Whether `create` may make a run there.

    Raises: OptionError if the folder holds a run and `overwrite` was not asked for, or if it holds other files.
    """
    folder = RunFolder(Path(path))
    if folder.path.exists() and not folder.path.is_dir():
        raise OptionError(f"{path}: must be a folder, got a file; name another --out.")
    if folder.marker.exists() or RunFolder(folder.previous).marker.exists():
        if folder.marker.exists():
            _kind(folder)
        if not overwrite:
            raise OptionError(f"{path}: must be a new folder, got one that holds a run; give --overwrite to replace it, or another --out.")
        if folder.lock.exists():
            with folder.held():
                pass
    elif folder.path.exists() and _names(folder.path):
        raise OptionError(f"{path}: must be a new or an empty folder, got {_describe(folder.path)}; name another --out.")


def create(path: str | Path, config: Config, *, overwrite: bool = False) -> RunFolder:
    """A folder for a new run, which holds its marker and its configuration; `overwrite` sets the run aside that is there, and nothing else.

    Raises: OptionError as `check_place` does.
    """
    check_place(path, overwrite=overwrite)
    folder = RunFolder(Path(path), _make(Path(path)))
    if folder.marker.exists():
        _set_aside(folder)
    try:
        with folder.marker.open("x", encoding="utf-8") as file:
            file.write(json.dumps({"kind": TASKS[config.task].kind, "version": VERSION}) + "\n")
    except FileExistsError as error:
        raise OptionError(f"{path}: must be a new folder, got one that another run has just taken; name another --out.") from error
    write_text(folder.config_file, config.to_yaml())
    return folder


def _make(path: Path) -> tuple[Path, ...]:
    """Make a folder and those above it; the ones that were not there, the innermost first."""
    made = tuple(place for place in (path, *path.parents) if not place.exists())
    path.mkdir(parents=True, exist_ok=True)
    return made


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run, whole or not."""
    return RunFolder(Path(path)).marker.exists()


def open(path: str | Path, *, needs: Iterable[str] = ()) -> RunFolder:
    """The run in a folder that `create` made; `needs` names the parts that must be there, such as "model".

    Raises: DataError if the folder holds no run, or a run without those parts; the message says what it holds.
    """
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        got = "a file" if folder.path.exists() else "nothing"
        raise DataError(f"{path}: must be the folder of a run, got {got}; name a folder that grus fit made.")
    if not folder.marker.exists():
        raise DataError(f"{path}: must be the folder of a run, got {_describe(folder.path)}; name a folder that grus fit made.")
    _kind(folder)
    missing = [name for name in dict.fromkeys(("config.yaml", *needs)) if not (folder.path / name).exists()]
    if missing:
        there = ", ".join(name for name in ENTRIES if (folder.path / name).exists())
        remedy = _MADE_BY.get(missing[0], "grus fit --overwrite --out {}").format(path)
        raise DataError(f"{path}: must hold {' and '.join(missing)}, got a run with {there} only; run {remedy} first.")
    return folder


def _marker(folder: RunFolder) -> dict[str, Any]:
    """Raises: DataError unless the marker says what kind of folder this is."""
    try:
        found: dict[str, Any] = json.loads(folder.marker.read_text(encoding="utf-8"))
        _ = found["kind"], found["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder.marker}: must say what kind of run this is, got other content; name a folder that grus fit made.") from error
    return found


def _kind(folder: RunFolder) -> Task:
    """The task whose run this is.

    Raises: DataError unless the marker is one of ours.
    """
    found = _marker(folder)
    kind, version = found["kind"], found["version"]
    if kind not in KINDS:
        raise DataError(f"{folder.path}: must be a run of a task that is known ({', '.join(KINDS)}), got a {kind}; name a folder that grus fit made.")
    if version != VERSION:
        raise DataError(f"{folder.path}: must be a run of version {VERSION}, got {version}; read it with the version of Grus that wrote it.")
    return KINDS[kind]


def _set_aside(folder: RunFolder) -> None:
    """Keep a run for the case that the one which replaces it fails; one that never was trained makes way for the one that it was to replace."""
    if folder.trained:
        folder.drop_previous()
    if RunFolder(folder.previous).marker.exists():
        _clear(folder)
        return
    folder.previous.mkdir(exist_ok=True)
    _move(folder.path, folder.previous, ENTRIES[::-1])


def _move(place: Path, other: Path, names: Sequence[str]) -> None:
    """A run's parts from one folder to another; the marker goes last out of a run's own folder, and first into it."""
    for name in names:
        if os.path.lexists(place / name):
            (place / name).rename(other / name)


def _clear(folder: RunFolder) -> None:
    """Remove the parts of a run, its marker last, so that a removal cut short can be taken up again."""
    for name in reversed(ENTRIES):
        entry = folder.path / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _names(path: Path) -> list[str]:
    """What is in a folder, besides the lock."""
    return sorted(entry.name for entry in path.iterdir() if entry.name != LOCK)


def _describe(path: Path) -> str:
    """What a folder is that holds no run."""
    names = _names(path)
    if path.resolve().name in ENTRIES and (path.resolve().parent / "run.json").exists():
        return f"the part {path.resolve().name} of the run above it"
    if not names:
        return "an empty folder"
    if RunFolder(path / PREVIOUS).marker.exists():
        return f"a folder whose run is in {path / PREVIOUS}, as the one that was to replace it never began"
    known = [name for name in ENTRIES if name in names]
    if known:
        missing = ", ".join(name for name in ENTRIES[:2] if name not in names)
        return f"a folder with {', '.join(known)} but without {missing}"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"a folder of other files ({', '.join(names[:3])}{more})"
