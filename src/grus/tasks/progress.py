"""How the work on a run is told: a bar on a terminal, plain lines elsewhere, lines of JSON, or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from grus.training import JsonLines, PacedLines, Reporter, bar_or_lines, quiet

Tell = Callable[[int, int], None]


def training_reporter(name: str, title: str) -> Reporter:
    """Whom the training tells of itself: "bar", "json" or "quiet"; `title` says what is trained on what."""
    if name == "quiet":
        return quiet
    return JsonLines(sys.stdout) if name == "json" else bar_or_lines(Console(stderr=True), title)


@contextmanager
def backtest_progress(name: str, title: str) -> Generator[Tell]:
    """What is told how many windows of a backtest are done; `title` says what is tested on what."""
    console = Console(stderr=True)
    if name == "quiet":
        yield lambda done, total: None
    elif name == "json":
        yield lambda done, windows: print(json.dumps({"done": done, "windows": windows}), flush=True)
    elif console.is_terminal:
        with Progress(TextColumn("backtest"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("backtest", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        sys.stderr.write(f"{title}\n")
        sys.stderr.flush()
        lines = PacedLines(sys.stderr)
        yield lambda done, total: lines.write(f"backtest: {done} of {total} windows  {lines.elapsed_s:.0f} s")
        lines.flush()
