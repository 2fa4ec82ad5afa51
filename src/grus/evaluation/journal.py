"""What a backtest has finished so far, one line of JSON per part, so that an interrupted run loses at most one part."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Failure, from_lists, read_failures, to_lists

Array = NDArray[np.float64]
NAME = "backtest.jsonl"


@dataclass(frozen=True, eq=False)
class Part:
    """The forecasts of N windows, NaN in those that `failures` tells of. Shapes: each forecast and quantile [N, H]."""

    forecasts: dict[str, Array]
    quantiles: dict[float, Array]
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    failures: dict[str, tuple[Failure, ...]] = field(default_factory=dict[str, tuple[Failure, ...]])

    def to_json(self) -> str:
        forecasts = {name: to_lists(name, array) for name, array in self.forecasts.items()}
        quantiles = {repr(float(level)): to_lists(f"quantile {level}", array) for level, array in self.quantiles.items()}
        failures = {name: [list(failure) for failure in found] for name, found in self.failures.items()}
        return json.dumps({"forecasts": forecasts, "quantiles": quantiles, "seconds": self.seconds, "failures": failures}, allow_nan=False)

    @staticmethod
    def from_json(line: str) -> Part:
        content: dict[str, Any] = json.loads(line)
        forecasts = {name: from_lists(rows) for name, rows in content["forecasts"].items()}
        quantiles = {float(level): from_lists(rows) for level, rows in content["quantiles"].items()}
        return Part(forecasts, quantiles, content["seconds"], read_failures(content["failures"]))


@dataclass(frozen=True, eq=False)
class Journal:
    """The file (None: nothing is kept) and the parts that it held when it was opened."""

    path: Path | None
    parts: tuple[Part, ...] = ()

    @staticmethod
    def open(folder: Path | None, digest: str, resume: bool) -> Journal:
        """Start the folder's file, or with `resume` read it. A last line that was cut short is dropped.

        Raises: OptionError where a file is there and `resume` is not asked for; DataError for the file of another run.
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
            path.write_text(_header(digest), encoding="utf-8")
            return Journal(path)
        return Journal(path, _read(path, digest))

    def append(self, part: Part) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(part.to_json() + "\n")


def _header(digest: str) -> str:
    return json.dumps({"backtest": 2, "sha256": digest}) + "\n"


def _read(path: Path, digest: str) -> tuple[Part, ...]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.decode("utf-8").splitlines(keepends=True)
    if not lines:
        path.write_text(_header(digest), encoding="utf-8")  # interrupted before the first line was whole
        return ()
    if lines[0] != _header(digest):
        raise DataError(f"run_backtest: {path} line 1 must be of this very run, got another model, windows or data; choose another folder.")
    parts: list[Part] = []
    for number, line in enumerate(lines[1:], 2):
        try:
            parts.append(Part.from_json(line))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"run_backtest: {path} line {number} must be as it was written, got {error}; delete the file and run again.") from error
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return tuple(parts)
