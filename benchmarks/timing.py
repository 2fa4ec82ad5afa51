"""Interleaved timing: one repetition of each peer in turn, many rounds, so that a change of the machine meets all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

REPETITION_S = 5e-3
WARM_S = 20e-3


@dataclass(frozen=True)
class Spread:
    """Quartiles of the time of one call in microseconds, over ``rounds`` repetitions."""

    median_us: float
    lower_us: float
    upper_us: float
    rounds: int


def interleave(calls: Mapping[str, Callable[[], Any]], budget_s: float, least: int, most: int = 200) -> dict[str, Spread]:
    """Rounds until ``budget_s`` is spent, at least ``least``.

    A repetition lasts 5 ms or one call. Before calls of less than 20 ms an untimed one goes first, because the peer before has taken the
    caches: each is timed as it runs in a loop of its own.
    """
    once = {name: min(_once(call) for _ in range(3)) for name, call in calls.items()}
    counts = {name: max(1, round(REPETITION_S / seconds)) for name, seconds in once.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for done in range(most):
            if done >= least and time.perf_counter() - start > budget_s:
                break
            for name, call in calls.items():
                samples[name].append(_repeat(call, counts[name], warm=once[name] < WARM_S))
    finally:
        gc.enable()
    return {name: spread(values) for name, values in samples.items()}


def spread(seconds: list[float]) -> Spread:
    lower, median, upper = np.percentile(np.array(seconds) * 1e6, [25, 50, 75])
    return Spread(float(median), float(lower), float(upper), len(seconds))


def _once(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _repeat(call: Callable[[], Any], count: int, *, warm: bool) -> float:
    if warm:
        call()
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
