"""Runs between calls: a call borrows the run of its shape and gives it back, so that nothing is made twice (decision 0009)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from grus.compiler.backward import BackwardRun
from grus.compiler.execution import Bound, Sizes
from grus.compiler.programs import Stage
from grus.compiler.run import ForwardRun, Shape

KEPT_BYTES = 1 << 27  # of packed weights and work buffers, for all idle runs of a cell
KEPT_RAGGED = 4  # runs of ragged batches, which seldom come twice; the kernels bound for them serve the next batch
AnyRun = ForwardRun | BackwardRun


class IdleRuns:
    """The runs of one compiled cell that no call is using; each is lent to one call at a time."""

    def __init__(self, make: Callable[[Shape, frozenset[str] | None, Callable[[Stage, Sizes], Bound]], AnyRun]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept = 0  # bytes
        self._runs: dict[tuple[Shape, frozenset[str] | None], AnyRun] = {}
        self._bounds: dict[tuple[int, tuple[tuple[str, int], ...], int], list[Bound]] = {}

    def take(self, shape: Shape, wanted: frozenset[str] | None) -> AnyRun:
        """A run of this shape (``wanted``: a backward run for the gradients of these inputs)."""
        with self._lock:
            run = self._runs.pop((shape, wanted), None)
            self._kept -= 0 if run is None else run.bytes
        return self._make(shape, wanted, self._bind) if run is None else run

    def give_back(self, shape: Shape, wanted: frozenset[str] | None, run: AnyRun) -> None:
        """Let the run wait for the next call of its shape; the ones that waited longest make room."""
        key = shape, wanted
        with self._lock:
            other = self._runs.pop(key, None)  # that another thread has made meanwhile
            self._runs[key] = run
            self._kept += run.bytes - (other.bytes if other is not None else 0)
            if not shape.steps.uniform:
                ragged = [key for key in self._runs if not key[0].steps.uniform]
                for key in ragged[: len(ragged) - KEPT_RAGGED]:
                    self._drop(key)
            while len(self._runs) > 1 and self._kept > KEPT_BYTES:
                self._drop(next(iter(self._runs)))

    def _drop(self, key: tuple[Shape, frozenset[str] | None]) -> None:
        run = self._runs.pop(key)
        self._kept -= run.bytes
        for bound in run.bounds:
            spare = self._bounds.setdefault(_key(bound.stage, bound.sizes), [])
            if len(spare) < 2:
                spare.append(bound)

    def _bind(self, stage: Stage, sizes: Sizes) -> Bound:
        key = _key(stage, sizes)
        with self._lock:
            spare = self._bounds.get(key)
            if spare:
                return spare.pop()
        return Bound(stage, sizes)


def _key(stage: Stage, sizes: Sizes) -> tuple[int, tuple[tuple[str, int], ...], int]:
    return id(stage), tuple(sizes.units.items()), sizes.threads
