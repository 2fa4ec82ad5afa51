"""What a command line is answered with that the parser cannot read: one sentence, as everything else that is refused."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from grus.cli.console import load_module
from grus.tasks.registry import TASKS

if TYPE_CHECKING:
    from grus.tasks.keys import Key

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # of all that the parser refuses, which typer does not name itself
SETTING = ("fit", "tune", "evaluate")  # commands that take --set
VALID = "Input should be "  # how the parser says what a value must be
ALIKE = 0.7  # of names, for one to be meant by the other


def sentence_of(error: Any, words: Sequence[str]) -> str:
    """What is wrong with the words behind ``grus``, and what to do; error: the parser's own."""
    who, parameter = "grus" if words[0].startswith("-") else f"grus {words[0]}", getattr(error, "param", None)
    if hasattr(error, "possibilities"):  # an option that is none
        return f"{who}: options must be among those of {who} --help, got {error.option_name}; {_remedy(error, words)}"
    if parameter is None and isinstance(error, typer.BadParameter):  # from a command itself
        return f"{who}: {error.message}."
    name: str = "" if parameter is None else parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
    if name and not error.message:
        return f"{who}: {name} must be given, got none; {who} --help says what it is."
    if name and error.message.startswith(VALID):
        must = error.message.removeprefix(VALID).partition(",")[0]
        return f"{who}: {name} must be {must}, got {_given(words, name)}; {who} --help says what it is."
    message: str = error.format_message().rstrip(".")
    return f"{who}: {message[:1].lower()}{message[1:]}; {who} --help has all that it takes."


def _remedy(error: Any, words: Sequence[str]) -> str:
    """How to say it: with --set, where a key ends so, or with an option that is nearly called so."""
    option = str(error.option_name)
    bare = option.lstrip("-")
    keys = [key for key in _keys(words) if f".{key.key}".endswith(f".{bare.replace('-', '_')}")]
    if keys:
        return f"give {' or '.join(dict.fromkeys(_assignment(key, _given(words, option)) for key in keys))}."
    own = {flag.lstrip("-"): flag for parameter in error.ctx.command.params for flag in parameter.opts if flag.startswith("-")}
    near = difflib.get_close_matches(bare, own, 1, ALIKE)
    return f"did you mean {own[near[0]]}?" if near else "leave it out."


def _keys(words: Sequence[str]) -> list[Key]:
    """The keys that the command sets: of the task that is named, else of all."""
    command, task = words[0], _given(words, "--task")
    found: list[Key] = []
    for name in [] if command not in SETTING else [task] if task in TASKS else TASKS:
        keys: list[Key] = load_module("grus.tasks.keys", command).list_keys(name)
        found += [key for key in keys if command != "evaluate" or key.key.startswith(f"{TASKS[name].judged}.")]
    return found


def _assignment(key: Key, value: str | None) -> str:
    if value is None:
        value = "true" if key.type == "true or false" else "VALUE"
    elif "list of" in key.type and ("," in value or key.type.startswith("list of")):
        value = f"[{', '.join(part.strip() for part in value.split(','))}]"
    return f"--set {shlex.quote(f'{key.key}={value}')}"


def _given(words: Sequence[str], option: str) -> str | None:
    """The value that an option was given, if any: the last one, as the parser takes it."""
    found: str | None = None
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        if word == option:
            found = None if after.startswith("--") else after
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found
