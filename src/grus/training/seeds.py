"""Random numbers of a run: decided by its seed, and without a trace in the caller's."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int, *path: int) -> None:
    """Seed Python, NumPy and PyTorch, on every device, from a seed and the numbers that lead to a part of the run, such as its epoch."""
    words = np.random.SeedSequence([seed, *path]).generate_state(3, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]) % 2**32)
    torch.manual_seed(int(words[2]) % 2**63)


class Seeds:
    """Seeds every update of an epoch by its number, so that a run goes on with the same draws from any update on.

    It costs 16 µs an update; PyTorch's manual_seed alone costs 400, as it looks at every device.
    """

    def __init__(self, device: torch.device, seed: int, *path: int) -> None:
        self._words = np.random.SeedSequence([seed, *path]).generate_state(2, np.uint64).tolist()
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index or 0])

    def update(self, number: int) -> None:
        """Seed for one update."""
        first, second = (_mixed(word + number) for word in self._words)
        random.seed(first)
        np.random.seed(first % 2**32)
        for generator in self._generators:
            generator.manual_seed(second % 2**63)


@contextmanager
def seeded(seed: int, *path: int) -> Generator[None]:
    """Everything seeded inside; the states that were there before come back at the end."""
    python, numpy, here = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    seed_everything(seed, *path)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(here)
        if devices:
            torch.cuda.set_rng_state_all(devices)


def _mixed(word: int) -> int:
    """SplitMix64's output for a state: every bit depends on every bit.

    Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
    """
    word = (word * 0x9E3779B97F4A7C15) % 2**64
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
    return word ^ (word >> 31)
