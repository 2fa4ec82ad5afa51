"""A backtest of the same network trained with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.tasks.files import write_text

KEPT = "backtest.json"


def check_seeds(seeds: Sequence[Any], own: int, who: str = "backtest") -> tuple[int, ...]:
    """The seeds to train with beside the network's own; it may be among those asked for. who: begins a message.

    Raises: OptionError for one that is no seed, or is named twice.
    """
    for seed in seeds:
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise OptionError(f"{who}: seeds must be whole numbers of at least 0, got {seed!r}; write them as 0, 1, 2.")
    if len(set(seeds)) < len(seeds):
        raise OptionError(f"{who}: seeds must be different from each other, got {', '.join(map(str, seeds))}; name each once.")
    return tuple(int(seed) for seed in seeds if seed != own)


def over_seeds(
    found: Backtest,
    own: int,
    others: Sequence[int],
    again: Callable[[int, Path | None], Backtest],
    folder: Path | None = None,
    *,
    resume: bool = False,
) -> Backtest:
    """The backtest of a network trained with the seed `own`, and beside its scores those that `again` gives for each of `others`.

    `again` trains and tests; it is told the seed and a folder of its own, where `folder` is given. With `resume` a seed that was finished there is
    not done again.

    Raises: DataError where a backtest is of other windows.
    """
    if not others:
        return found
    scores = {own: found.scores()[found.model]}
    for seed in others:
        place = None if folder is None else folder / f"seed-{seed}"
        other = (_kept(place) if resume else None) or again(seed, place)
        if not (np.array_equal(other.times, found.times) and np.array_equal(other.truth, found.truth, equal_nan=True)):
            raise DataError(f"backtest: seed {seed} must be tested on the windows of the others, got others in {place}; empty that folder.")
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            write_text(place / KEPT, other.to_json())
        scores[seed] = other.scores()[other.model]
    return replace(found, seeds=dict(sorted(scores.items())))


def _kept(place: Path | None) -> Backtest | None:
    """What an interrupted run has finished of a seed."""
    file = None if place is None else place / KEPT
    return Backtest.from_json(file.read_text(encoding="utf-8")) if file is not None and file.exists() else None
