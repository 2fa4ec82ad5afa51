"""What a backtest has finished so far, one line of JSON per forecast, so that an interrupted run loses no more than the one it was at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.errors import CheckpointError, OptionError
from grus.evaluation.backtest import from_lists, to_lists

Array = NDArray[np.float64]
NAME = "backtest.jsonl"
VERSION = 3


@dataclass(frozen=True, eq=False)
class Part:
    """What one forecaster gave for n windows in a row, from the window number `first` on, all NaN with a `failure`.

    Shapes: point and each quantile [n, H].
    """

    forecaster: str
    first: int
    point: Array
    quantiles: Mapping[float, Array] = field(default_factory=dict[float, Array])
    seconds: float = 0.0
    failure: str | None = None

    def to_json(self) -> str:
        content = {
            "forecaster": self.forecaster,
            "first": self.first,
            "point": to_lists(self.forecaster, self.point),
            "quantiles": {repr(float(level)): to_lists(f"quantile {level}", array) for level, array in self.quantiles.items()},
            "seconds": self.seconds,
            "failure": self.failure,
        }
        return json.dumps(content, allow_nan=False)

    @staticmethod
    def from_json(line: bytes) -> Part:
        content: dict[str, Any] = json.loads(line)
        quantiles = {float(level): from_lists(rows) for level, rows in content["quantiles"].items()}
        failure: str | None = content["failure"]
        return Part(content["forecaster"], content["first"], from_lists(content["point"]), quantiles, float(content["seconds"]), failure)


@dataclass(frozen=True, eq=False)
class Journal:
    """The file (None: nothing is kept), which the first part begins, and the parts that it held when it was opened."""

    path: Path | None
    parts: tuple[Part, ...] = ()
    header: str = ""

    @staticmethod
    def open(folder: Path | None, run: Mapping[str, str], resume: bool) -> Journal:
        """Start the folder's file, or with `resume` read it. A last line that was cut short is dropped.

        run: what makes this run what it is, by name, each as a digest.
        Raises: OptionError where a file is there and `resume` is not asked for; CheckpointError for the file of another run, or a damaged one.
        """
        if folder is None:
            if resume:
                raise OptionError("run_backtest: resume must have a folder to go on from, got None; give the folder of the interrupted run.")
            return Journal(None)
        path = folder / NAME
        if path.exists() and not resume:
            raise OptionError(f"run_backtest: the folder must hold no {NAME}, got {path}; resume it, or choose another folder.")
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            return Journal(path, header=_header(run))
        return Journal(path, _read(path, run), _header(run))

    def append(self, part: Part) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(("" if file.tell() else self.header) + part.to_json() + "\n")


def _header(run: Mapping[str, str]) -> str:
    return json.dumps({"version": VERSION, **run}) + "\n"


def _read(path: Path, run: Mapping[str, str]) -> tuple[Part, ...]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        path.write_text(_header(run), encoding="utf-8")  # interrupted before the first line was whole
        return ()
    parts: list[Part] = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            if number == 1:
                _check_run(path, json.loads(line), run)
            else:
                parts.append(Part.from_json(line))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            got = f"{path} line {number} must be as it was written, got {type(error).__name__}: {error}"
            raise CheckpointError(f"run_backtest: {got}; delete the file and run again.") from error
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return tuple(parts)


def _check_run(path: Path, found: Mapping[str, Any], run: Mapping[str, str]) -> None:
    if found.get("version") != VERSION:
        got = f"version {found.get('version')!r} of the file, not {VERSION}"
        raise CheckpointError(f"run_backtest: {path} must be of this very run, got {got}; delete the file, or choose another folder.")
    other = [name for name, digest in run.items() if found.get(name) != digest]
    if other:
        got = f"one that differs in {', '.join(other)}"
        raise CheckpointError(f"run_backtest: {path} must be of this very run, got {got}; delete the file, or choose another folder.")
