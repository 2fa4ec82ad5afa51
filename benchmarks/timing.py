"""Interleaved timing: one repetition of each peer in turn, many rounds, so that a change of the machine meets all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

REPETITION_S = 3e-3


@dataclass(frozen=True)
class Spread:
    """Quartiles of the time of one call in microseconds, over ``rounds`` repetitions."""

    median_us: float
    lower_us: float
    upper_us: float
    rounds: int


def interleave(calls: Mapping[str, Callable[[], Any]], budget_s: float, least: int, most: int = 200) -> dict[str, Spread]:
    """Rounds until ``budget_s`` is spent, at least ``least``.

    A repetition lasts 3 ms or one call. Where it is many calls an untimed one goes first, because the peer before has taken the caches.
    """
    counts = {name: max(1, round(REPETITION_S / _once(call))) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for done in range(most):
            if done >= least and time.perf_counter() - start > budget_s:
                break
            for name, call in calls.items():
                samples[name].append(_repeat(call, counts[name]))
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


def _repeat(call: Callable[[], Any], count: int) -> float:
    if count > 1:
        call()
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
