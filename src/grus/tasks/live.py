"""Whether a run is going on, and how far it has come: what the training says of itself every few seconds, and how that is read.

The sign of life is a file with the time in it, and no lock or process number, so that it can be read on another machine that shares the folder.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, SupportsFloat

from grus.errors import DataError
from grus.tasks.folder import RunFolder
from grus.training.progress import Quiet, clock_face
from grus.training.progress import read_rows as read_rows

BEAT_S = 2.0
SILENT_S = 30.0  # without a sign of life a run is taken for dead
State = Literal["trained", "running", "not running"]
Row = dict[str, float]


@dataclass(frozen=True)
class Beat:
    """A sign of life: when (seconds since 1970), which step of which epoch was the last, of how many; before the first step these are 0.

    seconds_per_step: from step to step since the start, validation and all; 0 before the first.
    """

    time: float
    epochs: int = 0
    steps: int = 0
    epoch: int = 0
    step: int = 0
    seconds_per_step: float = 0.0

    @property
    def left_s(self) -> float:
        """Seconds to the end of the last epoch that may come."""
        done = (self.epoch - 1) * self.steps + self.step
        return (self.epochs * self.steps - done) * self.seconds_per_step


class Pulse(Quiet):
    """A reporter that writes a sign of life into a file every 2 seconds, as long as its ``with`` block lasts, and then removes the file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._draft, self._clock = path, path.with_name(f".{path.name}.draft"), clock
        self._beat = Beat(0.0)
        self._begun, self._first, self._done, self._ended = 0.0, -1, 0, threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self.write()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def start(self, epochs: int, steps: int) -> None:
        self._begun, self._first = self._clock(), -1
        self._beat = Beat(0.0, epochs, steps)

    def step(self, epoch: int, step: int, samples: int, loss: SupportsFloat) -> None:
        beat, now = self._beat, self._clock()
        done = (epoch - 1) * beat.steps + step
        if self._first < 0:
            self._first = done - 1
        elif done <= self._done:  # of an epoch that was gone back to
            self._begun, self._first = now, done
        self._done = done
        per_step = (now - self._begun) / (done - self._first) if done > self._first else beat.seconds_per_step
        self._beat = Beat(0.0, beat.epochs, beat.steps, epoch, step, per_step)

    def write(self) -> None:
        """A sign of life now."""
        self._draft.write_text(json.dumps(asdict(self._beat) | {"time": time.time()}) + "\n", encoding="utf-8")
        self._draft.replace(self._path)

    def _go_on(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self.write()
            except OSError as error:
                warnings.warn(f"fit: {self._path} takes no more signs of life ({error}): grus info will say that the run has ended.", stacklevel=2)
                return


def last_beat(folder: RunFolder) -> Beat | None:
    """The last sign of life of a run that has not come to its end; None where there is none.

    Raises: DataError for a file that is none.
    """
    try:
        return Beat(**json.loads(folder.pulse.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder.pulse}: must be a sign of life of a run, got other content; remove it.") from error


def state_of(folder: RunFolder) -> State:
    """Whether a run is trained, being trained, or neither.

    One look compares this machine's clock with that of the machine that trains: they must agree to within 25 seconds. ``watch`` needs one alone.
    """
    if folder.trained:
        return "trained"
    beat = last_beat(folder)
    return "running" if beat is not None and time.time() - beat.time < SILENT_S else "not running"


def watch(folder: RunFolder, pause: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> Generator[Row, None, State]:
    """The epochs of a run as they come, the ones that have been first, until it does not run; then how it stands.

    A run that is gone on with may make epochs again that it had made; these come again. It is taken for dead where its sign of life has not
    changed for ``SILENT_S`` by the reader's own clock.
    """
    shown: list[Row] = []
    last, heard = None, clock()
    while True:
        beat = last_beat(folder)
        if beat != last:
            last, heard = beat, clock()
        lives = beat is not None and clock() - heard < SILENT_S
        state: State = "trained" if folder.trained else "running" if lives else "not running"
        rows = read_rows(folder.log)  # after the state: no row comes behind the end
        same = next((at for at, (old, new) in enumerate(zip(shown, rows, strict=False)) if old != new), min(len(shown), len(rows)))
        yield from rows[same:]
        shown = rows
        if state != "running":
            return state
        pause()


def row_line(row: Row, epochs: int, best: bool) -> str:
    """An epoch in a line; `best` where its weights are the best so far."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}", f"loss {row['loss']:.4g}"]
    if "validation_loss" in row:
        parts.append(f"validation {row['validation_loss']:.4g}{' (best)' if best else ''}")
    parts += [f"gradient {row['gradient_norm']:.3g}", f"clipped {100 * row['clipped']:.0f} %", f"rate {row['learning_rate']:.3g}"]
    return "  ".join([*parts, f"{row['seconds']:.3g} s"])


def progress_facts(rows: Iterable[Row], beat: Beat | None) -> dict[str, str]:
    """How far a run has come, from its epochs and, as long as it runs, its last sign of life."""
    from_log, facts = list(rows), dict[str, str]()
    if from_log:
        last, judged = from_log[-1], [row for row in from_log if "validation_loss" in row]
        facts["last epoch"] = f"{int(last['epoch'])}: {_losses(last)}"
        best = min(judged, key=lambda row: row["validation_loss"]) if judged else last
        facts["best epoch"] = f"{int(best['epoch'])}: {_losses(best)}" if judged else f"{int(best['epoch'])}, the last, without validation"
    if beat is not None and beat.seconds_per_step:
        facts["time per epoch"] = f"{_seconds(beat.seconds_per_step * beat.steps)} with validation"
        facts["time left"] = f"at most {clock_face(beat.left_s)}"
    elif from_log:
        facts["time per epoch"] = f"{_seconds(sum(row['seconds'] for row in from_log) / len(from_log))} without validation"
    return facts


def _losses(row: Row) -> str:
    return f"loss {row['loss']:.4g}" + (f", validation {row['validation_loss']:.4g}" if "validation_loss" in row else "")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 60 else clock_face(seconds)
