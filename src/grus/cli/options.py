"""Options of the command line as keys of a configuration, each task's own among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

import typer

from grus.errors import OptionError
from grus.tasks.registry import DEFAULT, TASKS

if TYPE_CHECKING:
    from grus.tasks.draft import Draft

PATH = "DATA"
SHARED = {
    PATH: "data.path",
    "--task": "task",
    "--id": "data.id",
    "--time": "data.time",
    "--missing": "data.missing",
    "--cell": "model.cell",
    "--epochs": "training.epochs",
    "--seed": "training.seed",
}


def settle(command: str, written: Draft, flags: Mapping[str, Any], assignments: Iterable[str]) -> None:
    """Put what was given on the command line into a draft: options win over a file, --set over both.

    flags: by name, as the user wrote them; None is not given.

    Raises: OptionError for an option that the task does not have, which names its own, and for what must be given.
    """
    given, assignments = {flag: value for flag, value in flags.items() if value is not None}, list(assignments)
    task = _task(written, given, assignments)
    for flag, key in _keys(command, task, given).items():
        written.put(key, given[flag], f"{flag}: ")
    for flag in ("--cell", "--missing"):  # the cell and what it is shown go together
        if given.get(flag) == "gru_d":
            wanted = {"model.cell": "gru_d", "data.missing": "gru_d", "model.missing_aware": True}
            for key in wanted.keys() - {SHARED[other] for other in given if other in SHARED}:
                written.put(key, wanted[key], f"{flag}: ")
    written.assign(assignments)
    tree: Any = written.tree.get("data", {})
    for key, remedy in TASKS[task].needs.items() if task in TASKS else ():
        if isinstance(tree, dict) and key not in tree:
            raise OptionError(f"grus {command}: data.{key} must be given, got none; {remedy.format(command)}.")


def _task(written: Draft, given: Mapping[str, Any], assignments: list[str]) -> str:
    """The task that all this is for, right or wrong."""
    seen = deepcopy(written)
    if "--task" in given:
        seen.put("task", given["--task"], "--task: ")
    seen.assign(assignments)
    return str(seen.tree.get("task", DEFAULT))


def _keys(command: str, task: str, given: Mapping[str, Any]) -> dict[str, str]:
    """The key of each option.

    Raises: OptionError for one that the task does not have.
    """
    if task not in TASKS:  # which the configuration refuses
        return {"--task": "task"} if "--task" in given else {}
    own = TASKS[task]
    found = {flag: key for flag in given if (key := SHARED.get(flag) or own.flags.get(flag)) is not None}
    for flag, value in given.items():
        if flag not in found:
            others = " or ".join(name for name, other in TASKS.items() if flag in other.flags)
            instead = own.renamed.get(flag)
            remedy = f"give {instead}, or --task {others}" if instead else f"leave it out, or give --task {others}"
            raise OptionError(f"grus {command}: {flag} must be left out for task {task}, got {_shown(value)}; {remedy}.")
    return found


def _shown(value: Any) -> str:
    return ",".join(map(str, cast(list[Any], value))) if isinstance(value, list) else str(value)


def columns(text: str | None, flag: str) -> list[str] | None:
    """Names out of "a,b"."""
    names = None if text is None else [name.strip() for name in text.split(",")]
    if names is not None and not all(names):
        raise typer.BadParameter(f"{flag} must be names with commas between them, got {text!r}")
    return names


def column(text: str | None) -> str | int | None:
    """A column's name; its number, where the file has no header."""
    return int(text) if text is not None and text.isdecimal() else text


def labels(text: str | None) -> list[str | int] | str | int | None:
    """A column, or several out of "a,b"."""
    found = columns(text, "--label")
    if found is None or text is None:
        return None
    return column(found[0]) if len(found) == 1 else [part for name in found if (part := column(name)) is not None]


def part(text: str | None) -> str | int | float | None:
    """A share, a number of sequences or a file."""
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text
