"""What every estimator does with what it was given: settings by name, each once, in Python's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grus.errors import OptionError


def joined(who: str, name: str, own: Mapping[str, Any], further: Mapping[str, Any] | None) -> dict[str, Any]:
    """The estimator's own settings and further ones.

    Raises: OptionError for one that is given twice.
    """
    twice = sorted(set(own) & set(further or {}))
    if twice:
        shown = "seed, which is random_state," if twice[0] == "seed" else twice[0]
        raise OptionError(f"{who}: {shown} must be given once, got it in {name} too; leave it out of {name}.")
    return {key: plain(value) for key, value in {**own, **(further or {})}.items()}


def plain(value: Any) -> Any:
    """NumPy's numbers, as searches over parameters draw them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value  # pyright: ignore[reportUnknownVariableType]
