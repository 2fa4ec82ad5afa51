"""Numbers of things as text tells them."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """So many of what `noun` calls one of; plural: of a noun to which no s is added.

    >>> counted(1, "epoch"), counted(1200, "step"), counted(0, "class", "classes")
    ('1 epoch', '1200 steps', '0 classes')
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
