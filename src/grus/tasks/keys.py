"""Every key of a configuration, read off the classes that check it, so that the list is never behind them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from grus.tasks.config import classes

_WORDS: dict[Any, str] = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", NoneType: "null"}
_BOUNDS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
_ENTRY = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)


class Key(NamedTuple):
    """A key as `--set` takes it; `default` is as YAML has it, "required" where there is none."""

    key: str
    type: str
    default: str
    meaning: str


def list_keys(task: str = "forecast") -> list[Key]:
    """All keys of a task, section by section.

    Example:
        >>> list_keys()[1]
        Key(key='data.horizon', type='whole number, at least 1', default='required', meaning='steps to forecast')
    """
    found = [Key("task", _type(field.annotation), _default(field), "what is learnt") for field in [classes(task)[""].model_fields["task"]]]
    for section, checked in classes(task).items():
        if section:
            meanings = dict(_meanings(checked))
            found += [
                Key(f"{section}.{name}", ", ".join((_type(field.annotation), *_bounds(field))), _default(field), meanings.get(name, ""))
                for name, field in checked.model_fields.items()
            ]
    return found


def _meanings(checked: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """What the docstrings of the class and of those it is made from say of its fields: "name: meaning." up to the next name or blank line."""
    if (base := checked.__mro__[1]) is not BaseModel and issubclass(base, BaseModel):
        yield from _meanings(base)
    text = inspect.cleandoc(checked.__doc__ or "")
    for entry in _ENTRY.finditer(text):
        meaning = re.split(_ENTRY.pattern + r"|\n\n", text[entry.end() :], maxsplit=1, flags=re.MULTILINE)[0]
        for name in entry[1].split(", "):
            yield name, re.sub(r"\bNone\b", "null", " ".join(meaning.replace("`", "").split())).removesuffix(".")


def _type(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, inside))
    if origin is Annotated:
        return _type(inside[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(word for word in map(_type, inside) if word))
    if origin is tuple:
        return f"list of {_type(inside[0])}"
    if origin is Mapping:
        return f"names with {_type(inside[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"names with {', '.join(annotation.model_fields)}"
    return _WORDS.get(annotation, "")  # an object of Python cannot be written in a file


def _bounds(field: FieldInfo) -> list[str]:
    return [f"{word} {getattr(rule, name)}" for rule in field.metadata for name, word in _BOUNDS if getattr(rule, name, None) is not None]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = json.loads(json.dumps(field.default))  # tuples as lists
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...").strip()
