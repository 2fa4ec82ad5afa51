"""Every error that the runtime, the conversions and the cell language raise has the one form: who, what it must be, what it got, what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import grus
from grus import errors

SOURCE = Path(grus.__file__).parent
SENTENCE = re.compile(r"\S.*: .*\bmust .+(, | )got .+; .+\.", re.DOTALL)
COMPLAINT = re.compile(r".*\bmust .+(, | )got .+; .+[^.]", re.DOTALL)  # of a cell: its name and its line come around it


def sentences(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line and text, with {} for what is filled in, of what a file raises itself, and whether a cell's trace completes it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
            text = written(node.args[0])
            if text and (name == "fail" or isinstance(getattr(errors, name, None), type)):
                yield node.lineno, text, name == "fail"


def written(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


FOUND = [
    (f"{path.relative_to(SOURCE)}:{line}", text, inner)
    for layer in ("runtime", "convert", "cells")
    for path in sorted((SOURCE / layer).rglob("*.py"))
    for line, text, inner in sentences(path)
    if text != "{}: {}\n{}"
]


@pytest.mark.parametrize(("place", "text", "inner"), FOUND, ids=[place for place, _, _ in FOUND])
def test_error_sentence_has_the_form(place: str, text: str, inner: bool) -> None:
    assert (COMPLAINT if inner else SENTENCE).fullmatch(text), f"{place}: {text}"
