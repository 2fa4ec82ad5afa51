"""How the work on a run is told: a bar on a terminal, plain lines elsewhere, lines of JSON, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from grus.evaluation.rolling import Progress as Tell
from grus.training import JsonLines, PacedLines, Reporter, bar_or_lines, quiet

BAR_WIDTH = 20  # leaves room for what is fitted and the time left in 80 columns


def training_reporter(name: str, title: str) -> Reporter:
    """Whom the training tells of itself: "bar", "json" or "quiet"; `title` says what is trained on what."""
    if name == "quiet":
        return quiet
    return JsonLines(sys.stdout) if name == "json" else bar_or_lines(Console(stderr=True), title)


class TimeLeft:
    """Seconds to go, as long per window as it took since the first that was told; None until one is done."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._first, self._last = clock, 0, -1
        self._began = clock()

    def after(self, done: int, total: int) -> float | None:
        """With so many of all windows done; fewer than before are those of another backtest."""
        if self._last < 0 or done < self._last:
            self._began, self._first = self._clock(), done
        self._last = done
        return None if done == self._first else (total - done) * (self._clock() - self._began) / (done - self._first)


@contextmanager
def backtest_progress(name: str, title: str, clock: Callable[[], float] = time.monotonic) -> Generator[Tell]:
    """What is told how a backtest goes on, as ``run_backtest`` tells it; `title` says what is tested on what."""
    console, left = Console(stderr=True), TimeLeft(clock)
    if name == "quiet":
        yield lambda done, total, fitting: None
    elif name == "json":
        yield _each_fit_once(
            left,
            lambda fitting, fits: _print_line(json.dumps({"fitting": fitting, "fits": fits}), sys.stdout),
            lambda done, total, left_s: _print_line(json.dumps({"done": done, "windows": total, "left_s": left_s}), sys.stdout),
        )
    elif console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(BAR_WIDTH), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("backtest", total=None, left="")

            def draw(done: int, total: int, fitting: str) -> None:
                said = f"fitting {fitting}, fits to come: {total - done}" if fitting else "backtest"
                # A fit may keep the thread that draws from its turn.
                bar.update(task, completed=done, total=total, description=said, left=_left(left.after(done, total)), refresh=bool(fitting))

            yield draw
    else:
        _print_line(title, sys.stderr)
        lines = PacedLines(sys.stderr, clock)
        yield _each_fit_once(
            left,
            lambda fitting, fits: _print_line(f"backtest: {fitting} is fitted anew for each window; fits to come: {fits}", sys.stderr),
            lambda done, total, left_s: lines.write(f"backtest: {done} of {total} windows  {lines.elapsed_s:.0f} s  {_left(left_s)}".rstrip()),
        )
        lines.flush()


@contextmanager
def judging_progress(name: str, title: str, clock: Callable[[], float] = time.monotonic) -> Generator[Tell]:
    """What is told how the judgement of a network goes on: steps done, all steps, and what they are of; `title` says what is tested on what."""
    console = Console(stderr=True)
    if name == "quiet":
        yield lambda done, total, what: None
    elif name == "json":
        yield lambda done, total, what: _print_line(json.dumps({"judging": what, "done": done, "steps": total}), sys.stdout)
    elif console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(BAR_WIDTH), MofNCompleteColumn()
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what, refresh=True)
    else:
        _print_line(title, sys.stderr)
        lines = PacedLines(sys.stderr, clock)
        yield lambda done, total, what: lines.write(f"{what}: {done} of {total}  {lines.elapsed_s:.0f} s")
        lines.flush()


def _each_fit_once(left: TimeLeft, begin: Callable[[str, int], object], count: Callable[[int, int, float | None], object]) -> Tell:
    """`begin` is told when a baseline is first fitted, with the number of its fits to come; `count` of each window."""
    begun = set[str]()

    def tell(done: int, total: int, fitting: str) -> None:
        left_s = left.after(done, total)
        if not fitting:
            count(done, total, left_s)
        elif fitting not in begun:
            begun.add(fitting)
            begin(fitting, total - done)

    return tell


def _print_line(line: str, stream: TextIO) -> None:
    stream.write(f"{line}\n")
    stream.flush()


def _left(seconds: float | None) -> str:
    return f"{timedelta(seconds=round(seconds))} left" if seconds else ""
