"""A peer in a process of its own: what one library leaves of the allocator's heap costs the next one page faults, PyTorch up to half of its time."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.peers.classifiers import Arrays, Learner, Learnt, Task
    from grus.data.sequence_batches import PaddedBatch


class Apart:
    """The learner that ``LEARNERS[peer]`` of a module makes, in a process that starts with these variables set."""

    def __init__(self, module: str, peer: str, environment: Mapping[str, str], task: Task, threads: int) -> None:
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (module, peer, task, threads))
        before = dict(os.environ)
        os.environ.update(environment)  # the process has them when it starts, which is at the first question
        try:
            self.weights: int = self.pool.submit(_ask, "weights").result()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def gradients(self, batch: PaddedBatch) -> Arrays:
        return self.pool.submit(_ask, "gradients", batch).result()

    def epoch(self, seed: int, count: int) -> Learnt:
        return self.pool.submit(_ask, "epoch", seed, count).result()


_here: list[Learner] = []  # in the process of a peer, its learner


def _begin(module: str, peer: str, task: Task, threads: int) -> None:
    _here.append(importlib.import_module(module).LEARNERS[peer](task, threads))


def _ask(name: str, *given: Any) -> Any:
    found = getattr(_here[0], name)
    return found(*given) if given else found
