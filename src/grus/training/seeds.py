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
