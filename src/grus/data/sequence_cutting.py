"""Sequences that are longer than a network is to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grus.errors import DataError, OptionError

Truncate = Literal["head", "tail", "middle"]
TRUNCATIONS = ("head", "tail", "middle")


def kept(length: int, most: int, truncate: Truncate) -> NDArray[np.int64]:
    """The steps that are left where "head" cuts off the first ones, "tail" the last ones and "middle" those between the ends."""
    if length <= most:
        return np.arange(length)
    first = {"head": 0, "tail": most, "middle": most - most // 2}[truncate]
    return np.concatenate([np.arange(first), np.arange(length - most + first, length)])


def check_lengths(who: str, ids: Sequence[str], lengths: NDArray[np.int64], most: int | None, truncate: Truncate | None) -> tuple[str, ...]:
    """What is to be told of the sequences that are cut.

    Raises: OptionError for options that are not allowed; DataError where one is too long and nothing says how to cut it.
    """
    if truncate is not None and truncate not in TRUNCATIONS:
        raise OptionError(f"{who}: truncate must be one of {', '.join(TRUNCATIONS)}, got {truncate!r}; name what is cut off, or leave it out.")
    if most is not None and (isinstance(most, bool) or most < 1):
        raise OptionError(f"{who}: the most steps must be at least 1, got {most!r}; give the length of the longest sequence that is read.")
    if most is None:
        if truncate is not None:
            raise OptionError(f"{who}: the most steps must be given with truncate={truncate!r}, got None; give them, or leave it out.")
        return ()
    long = np.flatnonzero(lengths > most)
    if not long.size:
        return ()
    extent = f"{long.size} of {len(lengths)} sequences"
    if truncate is None:
        first = int(long[0])
        raise DataError(
            f"{who}: sequences must have at most {most} steps, got {lengths[first]} in {ids[first]!r} ({extent} are longer, up to {lengths.max()}); "
            "say truncate='head', 'tail' or 'middle', or allow more."
        )
    return (f"cut: {extent} had more than {most} steps, up to {lengths.max()}; their {truncate} was cut off",)
