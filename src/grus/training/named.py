"""Names that are not there, answered with the nearest one that is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from grus.errors import OptionError


def nearest(got: object, names: Iterable[str], otherwise: str) -> str:
    """What to do about a name that is none of these."""
    near = difflib.get_close_matches(got, list(names), 1) if isinstance(got, str) else []
    return f"did you mean {near[0]!r}?" if near else otherwise


def unknown_option(kind: str, chosen: str, allowed: Iterable[str], got: str) -> OptionError:
    """The error for an option that what was chosen of a kind, such as a schedule, does not have."""
    names = list(allowed)
    remedy = nearest(got, names, f"leave it out, or choose another {kind} than {chosen!r}.")
    return OptionError(f"TrainingSettings: {kind}_options must be among {', '.join(names) or 'none'} for {chosen!r}, got {got!r}; {remedy}")
