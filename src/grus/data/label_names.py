"""How the name of a class or label is written: in one way, wherever it stands."""
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from itertools import groupby
from typing import Any

import numpy as np

from grus.data.checks import Place
from grus.data.delimited import shortened
from grus.errors import DataError

WHOLE, NUMBER = re.compile(r"[+-]?\d+"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TRUTHS = ("true", "false")


def name_of(value: Any) -> str:
    """The name of a class: without the blanks around it, and whole numbers without a point."""
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    text = str(value).strip()
    if match := re.fullmatch(r"([+-]?\d+)\.0*", text):
        return match[1]
    return str(int(float(text))) if "." in text and NUMBER.fullmatch(text) and float(text).is_integer() else text


def check_written_alike(values: Sequence[Any], where: Place) -> None:
    """One number and one truth value are written in one way by all, and texts, numbers and truth values do not stand side by side.

    In "1" and "1.0", or "True" and "true", another class may be meant or the same; who wrote them knows. In Python's own numbers, 1 and 1.0 are one.

    values: one per row, none missing. where: names a row, counted from 0.

    Raises: DataError naming two rows of which one must be changed.
    """
    first: dict[tuple[str, str], int] = {}
    for row, value in enumerate(values):
        first.setdefault((_type(value), str(value).strip() if isinstance(value, str) else name_of(value)), row)
    alike: dict[Decimal | str, tuple[str, int]] = {}
    for (kind, text), row in first.items():
        begun = _type(values[0])
        if kind != begun:
            got = f"{shortened(values[row])}, a {kind}"
            raise DataError(f"{where(row)}: must be a {begun} as in {where(0)}, {shortened(values[0])}, got {got}; write all labels as texts.")
        number = _number(text)
        meant = text.casefold() if number is None else number
        written, row_of_it = alike.setdefault(meant, (text, row))
        if written != text and (isinstance(meant, Decimal) or meant in TRUTHS):
            raise DataError(f"{where(row)}: must be {written!r} as in {where(row_of_it)}, got {text!r}; write one class in one way.")


def _type(value: Any) -> str:
    return "text" if isinstance(value, str) else "truth value" if isinstance(value, bool | np.bool_) else "number"


def _number(text: str) -> Decimal | None:
    """The number that a text is, exactly, as floats join numbers of 17 digits; None for others, and for one that no Decimal holds."""
    try:
        return Decimal(text) if NUMBER.fullmatch(text) else None
    except InvalidOperation:  # an exponent of twenty digits, as in an id of hexadecimal digits
        return None


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """By number where all are numbers, else as texts."""
    numbers = {name: number for name in names if (number := _number(name)) is not None}
    return tuple(sorted(names, key=lambda name: (numbers[name], name)) if len(numbers) == len(names) else sorted(names))


def differing_in_case(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The names that are one without regard to upper and lower case."""
    ordered = sorted(names, key=lambda name: (name.casefold(), name))
    return [found for _, group in groupby(ordered, str.casefold) if len(found := tuple(group)) > 1]
