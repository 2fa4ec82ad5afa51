"""Who is told how a run goes: nobody, a bar in the terminal, plain lines in a log, or a file of JSON lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol, SupportsFloat, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from grus.errors import DataError
from grus.training.history import History

DRAW_EVERY_S = 0.1
WRITE_EVERY_S = 5.0


class Reporter(Protocol):
    """Is told of a run as it goes. ``finish`` comes once, however the run ends."""

    def start(self, epochs: int, steps: int) -> None:
        """A run of ``epochs`` epochs, at most, of ``steps`` steps each."""
        ...

    def step(self, epoch: int, step: int, samples: int, loss: SupportsFloat) -> None:
        """Step ``step`` of an epoch is done, both counted from 1; reading ``loss`` may wait for the device."""
        ...

    def epoch(self, row: dict[str, float]) -> None:
        """An epoch is done; ``row`` is its row of the history."""
        ...

    def finish(self, history: History) -> None: ...


class Quiet:
    """Says nothing."""

    def start(self, epochs: int, steps: int) -> None: ...

    def step(self, epoch: int, step: int, samples: int, loss: SupportsFloat) -> None: ...

    def epoch(self, row: dict[str, float]) -> None: ...

    def finish(self, history: History) -> None: ...


quiet = Quiet()


class Together:
    """Tells several reporters, in their order; every one is told of the end, even where another one fails."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def start(self, epochs: int, steps: int) -> None:
        for each in self._reporters:
            each.start(epochs, steps)

    def step(self, epoch: int, step: int, samples: int, loss: SupportsFloat) -> None:
        for each in self._reporters:
            each.step(epoch, step, samples, loss)

    def epoch(self, row: dict[str, float]) -> None:
        for each in self._reporters:
            each.epoch(row)

    def finish(self, history: History) -> None:
        with ExitStack() as ends:
            for each in reversed(self._reporters):
                ends.callback(each.finish, history)


class JsonLines(Quiet):
    """Writes each epoch's row as one line of JSON, at once, to a stream or to the end of a file.

    Raises: DataError where the file cannot take it.
    """

    def __init__(self, target: TextIO | Path) -> None:
        self._target = target

    def epoch(self, row: dict[str, float]) -> None:
        if not isinstance(self._target, Path):
            self._target.write(json_line(row))
            self._target.flush()
            return
        try:
            with self._target.open("a", encoding="utf-8") as stream:
                stream.write(json_line(row))
        except OSError as error:
            raise DataError(
                f"JsonLines: {self._target} must take a line, got {error.strerror or error}; make room or choose another file."
            ) from error


def json_line(row: dict[str, float]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows that ``JsonLines`` wrote into a file so far, without a last line that is not whole yet; none where there is no file.

    Raises: DataError naming the line that is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    rows: list[dict[str, float]] = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            found: Any = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: must be a row as training writes it, got {line[:40]!r}; restore the file.") from error
        if not isinstance(found, dict) or "epoch" not in found:
            raise DataError(f"{path}, line {number}: must be a row with its epoch, got {line[:40]!r}; restore the file.")
        rows.append(cast(dict[str, float], found))
    return rows


class Bar:
    """A bar with the loss, the validation loss, samples per second and the time left; drawn at most 10 times a second.

    It goes to standard error unless a console is given, and is not drawn where that is no terminal.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._console = console or Console(stderr=True)
        self._validation, self._begun, self._first, self._samples, self._drawn = "", 0.0, -1, 0, 0.0

    def start(self, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._validation, self._begun, self._first, self._samples, self._drawn = "", self._clock(), -1, 0, float("-inf")
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self._progress = Progress(*columns, console=self._console, auto_refresh=False, disable=not self._console.is_terminal)
        self._task = self._progress.add_task(f"epoch 1/{epochs}", total=epochs * steps, figures="")
        self._progress.start()

    def step(self, epoch: int, step: int, samples: int, loss: SupportsFloat) -> None:
        done = (epoch - 1) * self._steps + step
        self._samples += samples
        if self._first < 0:
            self._first = done - 1  # a resumed run begins further on
        now = self._clock()
        if now - self._drawn >= DRAW_EVERY_S:
            self._drawn = now
            self._draw(epoch, done, f"loss {float(loss):.4g}", max(now - self._begun, 1e-9))

    def epoch(self, row: dict[str, float]) -> None:
        if "validation_loss" in row:
            self._validation = f" · validation {row['validation_loss']:.4g}"

    def finish(self, history: History) -> None:
        if history.epochs:
            row = history.epochs[-1]
            done = int(row["epoch"]) * self._steps
            said = f"loss {row['loss']:.4g}{self._validation} · best epoch {history.best_epoch}"
            self._progress.update(self._task, description=f"epoch {int(row['epoch'])}/{self._epochs}", completed=done, figures=said, refresh=True)
        self._progress.stop()

    def _draw(self, epoch: int, done: int, loss: str, elapsed_s: float) -> None:
        left_s = (self._epochs * self._steps - done) * elapsed_s / (done - self._first)
        figures = f"{loss}{self._validation} · {self._samples / elapsed_s:,.0f} samples/s · {clock_face(left_s)} left"
        self._progress.update(self._task, description=f"epoch {epoch}/{self._epochs}", completed=done, figures=figures, refresh=True)


class PacedLines:
    """Lines of text, the first at once, then one every few seconds at most; ``flush`` writes the last one that was held back."""

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._begun, self._next, self._held = clock(), float("-inf"), ""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first."""
        return self._clock() - self._begun

    def write(self, line: str) -> None:
        self._held = line
        if self._clock() >= self._next:
            self.flush()
            self._next = self._clock() + WRITE_EVERY_S

    def flush(self) -> None:
        if self._held:
            self._stream.write(f"{self._held}\n")
            self._stream.flush()
            self._held = ""


class Lines(Quiet):
    """Plain lines for a log: what is trained, then epoch, loss, validation loss and the seconds since the start, one line every few seconds.

    title: what is trained on what.
    """

    def __init__(self, stream: IO[str], title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._title, self._clock = stream, title, clock

    def start(self, epochs: int, steps: int) -> None:
        self._epochs, self._paced = epochs, PacedLines(self._stream, self._clock)
        self._stream.write(f"{self._title}: at most {epochs} epoch{'s' * (epochs != 1)} of {steps} step{'s' * (steps != 1)}\n")
        self._stream.flush()

    def epoch(self, row: dict[str, float]) -> None:
        validation = f"  validation {row['validation_loss']:.4g}" if "validation_loss" in row else ""
        self._paced.write(f"epoch {int(row['epoch'])}/{self._epochs}  loss {row['loss']:.4g}{validation}  {self._paced.elapsed_s:.0f} s")

    def finish(self, history: History) -> None:
        self._paced.flush()


def bar_or_lines(console: Console, title: str) -> Reporter:
    """A bar where the console is a terminal, else plain lines: what suits whoever reads standard error."""
    return Bar(console) if console.is_terminal else Lines(console.file, title)


def clock_face(seconds: float) -> str:
    """Seconds as "4:05" or "1:04:05".

    >>> clock_face(245.4)
    '4:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
