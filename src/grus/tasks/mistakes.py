"""What pydantic refuses, as sentences that name place, key, value and remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from grus.cells import names as cell_names
from grus.tasks.command_words import SECTIONS, with_keys
from grus.tasks.draft import Draft, Location

# Pydantic's kinds of error, as what the value must be; {} takes the bounds that pydantic names.
_MUST: dict[str, str] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} character",
    "path_type": "a path",
    "tuple_type": "a list such as [a, b]",
    "list_type": "a list such as [a, b]",
    "dict_type": "a section with keys",
    "model_type": "a section with keys",
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "a list of at least {min_length}",
    "literal_error": "{expected}",
}


UNKNOWN_CELL = "cell"  # what an error begins with that tells of a cell's name


def sentences(error: ValidationError, draft: Draft, sections: Callable[[], Mapping[str, tuple[str, ...]]]) -> list[str]:
    """One sentence for each mistake, in the order of the lines; `sections` names the keys of each, "" those at the top."""
    found: dict[Location, ErrorDetails] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "default_factory_not_called":  # what another mistake caused
            continue
        # Pydantic says which member of a union refused a value: the value was written once, so one sentence does.
        location = details["loc"] if details["type"] == "missing" else _written(_meant(details), draft.tree)
        found.setdefault(location, details)
    ordered = sorted(found.items(), key=lambda item: draft.place(item[0]).line)
    return [draft.place(location).text + _sentence(location, details, sections) for location, details in ordered]


def _meant(details: ErrorDetails) -> Location:
    """Where the value is: a section's own error names the key, where pydantic's location is the section's."""
    location = details["loc"]
    who, _, rest = str(details.get("ctx", {}).get("error", "")).partition(": ")
    key = rest.partition(" ")[0] if who in SECTIONS else who if who == UNKNOWN_CELL else None
    return location if key is None else (*location[:1], key)


def _written(location: Location, tree: Any) -> Location:
    """The part of a location that the tree holds."""
    for depth, part in enumerate(location):
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return location[:depth]
    return location


def spell(location: Location) -> str:
    """A location as it is written: ("data", "past", 0) is data.past[0]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _sentence(location: Location, details: ErrorDetails, sections: Callable[[], Mapping[str, tuple[str, ...]]]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    name = spell(location)
    if kind == "missing":
        return f"{name} is missing; add it."
    if kind == "extra_forbidden":
        return f"{name} is unknown; {_remedy(location, sections())}"
    if kind == "value_error":
        return _placed(str(context["error"]), details)
    must = _MUST.get(kind)
    phrase = must.format_map(context) if must is not None else details["msg"].removeprefix("Input should be ")
    remedy = _guess(details["input"], phrase) if kind == "literal_error" else _spacing(details["input"])
    return f"{name} must be {phrase}, got {_shown(details['input'])}{remedy}"


def _placed(sentence: str, details: ErrorDetails) -> str:
    """A sentence of the class that checks a section, which names itself, with the section in its place."""
    if sentence.startswith(f"{UNKNOWN_CELL}: "):
        return _unknown_cell(details)
    return with_keys(sentence) or sentence


def _unknown_cell(details: ErrorDetails) -> str:
    given, names = details["input"]["cell"], ", ".join(cell_names())
    guess = _guess(given, names)
    remedy = f"; take one of {names}." if guess == "." else guess
    return f"model.cell must be a cell of the catalogue, got {_shown(given)}{remedy}"


def _remedy(location: Location, sections: Mapping[str, tuple[str, ...]]) -> str:
    """The section that has this very key, else the nearest key beside it or elsewhere, else all that there are."""
    wrong, section = str(location[-1]), spell(location[:-1])
    here = sections.get(section, ())
    for other, keys in sections.items():
        if other != section and wrong in keys:
            return f"did you mean {other}.{wrong}?" if other else f"did you mean {wrong} at the top?"
    if near := difflib.get_close_matches(wrong, here, 1):
        return f"did you mean {section}.{near[0]}?" if section else f"did you mean {near[0]}?"
    for other, keys in sections.items():
        if other != section and (near := difflib.get_close_matches(wrong, keys, 1, 0.75)):
            return f"did you mean {other}.{near[0]}?" if other else f"did you mean {near[0]} at the top?"
    return f"{section or 'the top'} has {', '.join(here)}." if here else f"leave {wrong} out."


def _guess(value: Any, phrase: str) -> str:
    choices = [part.strip("' ") for part in phrase.replace(" or ", ", ").split(",")]
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(value.casefold(), folded, 1) if isinstance(value, str) else []
    return f"; did you mean {folded[near[0]]}?" if near else "."


def _spacing(value: Any) -> str:
    """The remedy for {key:value} in YAML, which is a key without a value."""
    slips = [key for key, part in cast(dict[Any, Any], value).items() if part is None and ":" in str(key)] if isinstance(value, dict) else []
    return f"; put a space behind the colon of {slips[0]}." if slips else "."


def _shown(value: Any) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
