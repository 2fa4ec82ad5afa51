"""What the commands share: results go to stdout, a table on a terminal and plain text elsewhere; modules are loaded when they are needed."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from grus.errors import MissingDependencyError

MOST_METRICS = 10  # in one row
WIDTH = 200  # of a table that goes to a file or a pipe, where nothing may be cut off


def load_module(name: str, command: str) -> ModuleType:
    """The module of Grus that does a command's work.

    Raises: MissingDependencyError if a package that it needs is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "grus":
            raise
        raise MissingDependencyError(
            f"grus {command}: needs the package {error.name!r}, which is not installed; pip install 'grus[train]'"
        ) from error


def print_facts(facts: Mapping[str, Any]) -> None:
    """One line per fact, its label first."""
    width = max(map(len, facts), default=0) + 2
    for label, value in facts.items():
        print(f"{label.replace('_', ' '):<{width}}{_number(value) if isinstance(value, float) else value}")


def print_scores(scores: Mapping[str, Mapping[str, float]], who: str = "forecaster") -> None:
    """One row per forecaster or model, one column per metric; the other way round where there are many metrics."""
    console = _console()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    metrics = list(dict.fromkeys(metric for row in scores.values() for metric in row))
    if len(metrics) > MOST_METRICS:
        rows: dict[str, Mapping[str, float]] = {metric: {name: row[metric] for name, row in scores.items() if metric in row} for metric in metrics}
        head, names = "metric", list(scores)
    else:
        rows, head, names = dict(scores), who, metrics
    table.add_column(head, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=len(metrics) <= MOST_METRICS)
    for name, row in rows.items():
        table.add_row(name, *(_number(row[other]) if other in row else "" for other in names))
    console.print(table)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of text: within the width of a terminal, one line per row elsewhere."""
    console, shown = _console(), [header, *rows]
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        for row in shown:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        return
    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in shown[1:]:
        table.add_row(*row)
    console.print(table)


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=WIDTH)


def command_line(*words: object) -> str:
    """A command of Grus as a reader may type it."""
    return shlex.join(["grus", *map(str, words)])


def print_note(sentence: str) -> None:
    """Something that is no result and no error, on stderr."""
    print(f"grus: {sentence}", file=sys.stderr)


def print_json(value: Any) -> None:
    """One line of JSON; what is no number, or has none, is null."""
    print(json.dumps(_finite(value), ensure_ascii=False))


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 or not math.isfinite(value) else f"{value:,.0f}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value
