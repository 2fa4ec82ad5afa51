"""A configuration before it is checked: its values, and where each was written.

YAML is read as version 1.2 has it, for the words that mislead in 1.1: `no` and `on` are text, `010` and `1:30` are no numbers, `1e-3` is one
and a date is text. Aliases, tags of other languages and a key written twice are refused.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from yaml.composer import ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode

from grus.errors import OptionError

Location = tuple[str | int, ...]

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_WORDS = (
    ("null", re.compile(r"(~|null|Null|NULL|)$"), "~nN\0"),
    ("bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
)

_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own name and form

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise ComposerError(None, None, f"the alias *{event.anchor}", event.start_mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _tag, _pattern, _first in _WORDS:
    yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, [c if c != "\0" else "" for c in _first], Loader=_Loader, Dumper=_Dumper)


class Place(NamedTuple):
    """Where a value was written, as a message begins: "config.yaml line 7: ", "--set "."""

    text: str
    line: int = 0


class Draft:
    """A tree of plain values with the place of each.

    Example:
        >>> draft = Draft.parse("data:\\n  horizon: 24\\n", "config.yaml")
        >>> draft.assign(["data.target=sales"])
        >>> draft.tree
        {'data': {'horizon': 24, 'target': 'sales'}}
        >>> draft.place(("data", "horizon")).text, draft.place(("data", "target")).text
        ('config.yaml line 2: ', '--set ')
    """

    def __init__(self, name: str, tree: Mapping[str, Any] | None = None) -> None:
        self.tree: dict[str, Any] = dict(tree or {})
        self.places: dict[Location, Place] = {(): Place(f"{name}: ")}

    @classmethod
    def read(cls, path: str | Path) -> Draft:
        """The draft in a YAML file, which its messages name as it was given.

        Raises: OptionError if the file cannot be read or is not YAML.
        """
        try:
            return cls.parse(Path(path).read_bytes().decode("utf-8-sig"), str(path))
        except UnicodeDecodeError as error:
            raise OptionError(
                f"{path}: must be UTF-8 text, got byte 0x{error.object[error.start]:02x} at {error.start}; save it as UTF-8."
            ) from error
        except OSError as error:
            raise OptionError(f"{path}: must be a file that can be read, got {error.strerror}; name a configuration.") from error

    @classmethod
    def parse(cls, text: str, name: str) -> Draft:
        """The draft in YAML text; `name` begins its messages.

        Raises: OptionError if the text is not one YAML mapping.
        """
        draft = cls(name)
        node, value = _compose(text, name), None
        if node is not None:
            value = _Reading(name, draft.places).value(node, ())
            draft.places[()] = Place(f"{name}: ")
        if node is not None and not isinstance(value, dict):
            raise OptionError(f"{name}: must be a mapping of sections, got {value!r}; write data: and its keys below it.")
        draft.tree = cast(dict[str, Any], value or {})
        return draft

    def put(self, key: str, value: Any, place: str) -> None:
        """Set the value of "section.key", written at `place`."""
        location = tuple(key.split("."))
        if not all(location):
            raise OptionError(f"{place}{key!r}: must be a key such as training.epochs, got an empty part; write section.key.")
        branch = self.tree
        for depth, part in enumerate(location[:-1], 1):
            below = branch.setdefault(part, {})
            if not isinstance(below, dict):
                raise OptionError(
                    f"{place}{key} is unknown: {'.'.join(location[:depth])} is {below!r}, which has no keys; leave {location[depth]} out."
                )
            branch = cast(dict[str, Any], below)
        branch[location[-1]] = value
        for old in [old for old in self.places if old[: len(location)] == location]:
            del self.places[old]
        self.places[location] = Place(place)

    def assign(self, assignments: Iterable[str], flag: str = "--set ") -> None:
        """Put each "section.key=value", the value as YAML has it: `training.clip_norm=null`, `model.levels=[0.1, 0.9]`."""
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals or not text.strip():
                raise OptionError(
                    f"{flag}{assignment}: must be key=value, got no value; write {key or 'key'}=value, or {key or 'key'}=null for none."
                )
            node = _compose(text, f"{flag}{key.strip()}")
            self.put(key.strip(), _Reading(f"{flag}{key.strip()}", {}).value(node, ()) if node is not None else None, flag)

    def place(self, location: Location) -> Place:
        """Where the value was written, or else the nearest one around it."""
        while location not in self.places:
            location = location[:-1]
        return self.places[location]


class _Reading:
    """Plain values out of YAML's nodes, each with its line noted."""

    def __init__(self, name: str, places: dict[Location, Place]) -> None:
        self.name, self.places, self._constructor = name, places, _Loader("")

    def value(self, node: Node, location: Location, key: Node | None = None) -> Any:
        line = (key or node).start_mark.line + 1
        self.places[location] = Place(f"{self.name} line {line}: ", line)
        try:
            if isinstance(node, ScalarNode):
                return cast(Any, self._constructor).construct_object(node)
            if node.tag not in _COLLECTIONS:
                raise ValueError(node.tag)
        except (yaml.YAMLError, ValueError) as error:
            raise OptionError(f"{self.name} line {line}: must be a plain value, got one of {node.tag}; write it without a tag.") from error
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        return [self.value(item, (*location, index)) for index, item in enumerate(cast(list[Node], node.value))]

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in cast(list[tuple[Node, Node]], node.value):
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise OptionError(f"{self.name} line {line}: a key must be text, got a list or a mapping; write key: value.")
            text = str(key.value)
            here = (*location, text)
            if text in found:
                raise OptionError(
                    f"{self.name} line {line}: {'.'.join(map(str, here))} must be written once, got it on line {self.places[here].line} too;"
                    " remove one."
                )
            found[text] = self.value(value, here, key)
        return found


def _compose(text: str, name: str) -> Node | None:
    try:
        return cast(Node | None, yaml.compose(text, Loader=_Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "text that is none"
        raise OptionError(f"{name}{at}: must be plain YAML, got {problem}; mend that line.") from error
    except RecursionError as error:
        raise OptionError(f"{name}: must be nested a few levels deep, got too many; write section: and its keys.") from error


def dump(tree: Mapping[str, Any]) -> str:
    """YAML that `Draft.parse` reads back exactly; keys in the order of the tree."""
    return yaml.dump(dict(tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
