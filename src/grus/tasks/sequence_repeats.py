"""Sequences that stand in two parts of the data: a score on those that training holds too says less of new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grus.data.sequences import Sequences, Texts

ALIKE = "part too, exactly alike"


def rows_in(part: Sequences | Texts, test: Sequences | Texts) -> tuple[int, ...]:
    """The rows of the test sequences that stand in a part too, exactly alike."""
    known = set(_contents(part))
    return tuple(row for row, content in enumerate(_contents(test)) if content in known)


def repeats(name: str, count: int, whole: int, part: str) -> tuple[str, ...]:
    """How many sequences of a part stand in another one too, for a reader; nothing where none does.

    >>> repeats("test", 2, 9, "training")
    ('test: 2 of 9 stand in the training part too, exactly alike',)
    """
    return (f"{name}: {count} of {whole} {'stands' if count == 1 else 'stand'} in the {part} {ALIKE}",) if count else ()


def _contents(data: Sequences | Texts) -> Iterator[Any]:
    """What each sequence is known again by: its text; or its values, and their times from the first one on."""
    if isinstance(data, Texts):
        return iter(data.texts)
    clocks = [b""] * len(data) if data.times is None else [(times - times[:1]).tobytes() for times in data.times]
    return ((values.shape, values.tobytes(), clock) for values, clock in zip(data.values, clocks, strict=True))
