"""The list of keys, read off the classes that check them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from grus.tasks import keys
from grus.tasks.keys import Key, list_keys


class Small(BaseModel):
    """What a small thing is.

    name: how it is called, by those
        who call it.
    low, high: its ends; None is ``no`` end.
    kind: one of "a" and "b".

    Raises: nothing.
    """

    name: str
    low: int | None = Field(default=None, ge=1)
    high: float = Field(default=0.5, gt=0, le=1)
    kind: Literal["a", "b"] = "a"
    parts: tuple[Literal["x"], ...] = ("x",)
    whether: bool = False


class Whole(BaseModel):
    """All."""

    task: Literal["small"] = "small"


def test_key_has_type_default_and_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {"": Whole, "one": Small}
    monkeypatch.setattr(keys, "classes", lambda task: found)
    assert list_keys("small") == [
        Key("task", "small", "small", "what is learnt"),
        Key("one.name", "text", "required", "how it is called, by those who call it"),
        Key("one.low", "whole number or null, at least 1", "null", "its ends; null is no end"),
        Key("one.high", "number, above 0, at most 1", "0.5", "its ends; null is no end"),
        Key("one.kind", "a | b", "a", 'one of "a" and "b"'),
        Key("one.parts", "list of x", "[x]", ""),
        Key("one.whether", "true or false", "false", ""),
    ]


def test_every_key_has_a_type_and_a_meaning() -> None:
    found = list_keys()
    assert [key.key for key in found if not key.type] == []
    assert [key.key for key in found if not key.meaning] == []
    assert [key.key for key in found if "whoever" in key.meaning or "``" in key.meaning] == []
