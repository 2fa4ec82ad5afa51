"""Options by name, refused with the nearest name that there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from grus.errors import OptionError


def unknown_option(kind: str, chosen: str, allowed: Iterable[str], got: str) -> OptionError:
    """The error for an option that what was chosen of a kind, such as a schedule, does not have."""
    names = list(allowed)
    near = difflib.get_close_matches(got, names, 1)
    remedy = f"did you mean {near[0]}?" if near else f"leave it out, or choose another {kind} than {chosen!r}."
    return OptionError(f"TrainingSettings: {kind}_options must be among {', '.join(names) or 'none'} for {chosen!r}, got {got!r}; {remedy}")
