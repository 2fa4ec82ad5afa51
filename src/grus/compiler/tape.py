"""A run's native calls, recorded once and made again and again, so that a call of a layer costs one call of machine code.

The calls of a run are the same every time but for where the caller's arrays lie. While they are recorded, each of these addresses (and
strides) is a number that stands for it; arithmetic on addresses adds to such numbers as to any other. A run then writes the true ones,
plus what was added, over every place where a stand-in was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from grus.compiler.native.kernels import NativeCall, address, call_functions, run_parallel
from grus.compiler.native.target import Target

_FIRST = 1 << 62  # stand-ins are far beyond every address and size
_REACH = 1 << 47  # and each may be moved by as much either way
_APART = 2 * _REACH


class Tape:
    """Native calls in order, in as many threads as the run has."""

    def __init__(self, target: Target, threads: int) -> None:
        self._functions, self.threads = call_functions(target), threads
        self._counter = np.zeros(1, np.int64)
        self._names: dict[str, int] = {}
        self._lanes: list[list[NativeCall]] = [[] for _ in range(threads)]

    @property
    def counter(self) -> int:
        """The address of the counter that threads meet at."""
        return address(self._counter)

    def open(self, name: str) -> int:
        """The number that stands for ``name``'s, which each run gives."""
        number = self._names.setdefault(name, len(self._names))
        return _FIRST + number * _APART + _REACH

    def add(self, lanes: Sequence[Sequence[NativeCall]]) -> None:
        """One sequence of calls for each of so many threads; they begin when everything before is done."""
        if self.threads > 1 and any(self._lanes):
            meeting = self._functions["meet"].call(self.counter, self.threads)
            for lane in self._lanes:
                lane.append(meeting)
        for lane, calls in zip(self._lanes, lanes, strict=False):
            lane.extend(calls)

    def spread(self, calls: Sequence[NativeCall]) -> None:
        """Calls in any order, shared out among the threads."""
        self.add([calls[number :: self.threads] for number in range(self.threads)])

    def run(self, values: Mapping[str, int]) -> None:
        """Make all calls, with ``values`` for what was left open; one run at a time."""
        table, starts, places, which, added = self._finished
        found = np.fromiter(map(values.__getitem__, self._names), np.int64, len(self._names))
        table[places] = found[which] + added
        if self.threads == 1:
            self._functions["run_calls"].run_at(starts[0])
            return
        self._counter[0] = 0
        run_parallel([partial(self._functions["run_calls"].run_at, start) for start in starts], self._counter)

    @property
    def bytes(self) -> int:
        """The size of the calls' table."""
        return self._finished[0].nbytes

    @cached_property
    def _finished(self) -> tuple[NDArray[np.int64], list[int], NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
        """The table of all calls, where each thread's begin, and the places that are open: what stands there, and what is added to it.

        The table holds for each thread the number of its calls, each one's function and the address of its arguments, and all arguments.
        """
        sizes = [[1 + 2 * len(lane), *(len(call.arguments) for call in lane)] for lane in self._lanes]
        table = np.zeros(sum(map(sum, sizes)), np.int64)
        start, base, starts = 0, address(table), list[int]()
        for lane, (head, *lengths) in zip(self._lanes, sizes, strict=True):
            starts.append(base + 8 * start)
            ends = np.cumsum([start + head, *lengths])
            table[start] = len(lane)
            table[start + 1 : start + head : 2] = [call.function.address for call in lane]
            table[start + 2 : start + head : 2] = base + 8 * ends[:-1]
            if lane:
                table[start + head : ends[-1]] = np.concatenate([np.frombuffer(memoryview(call.arguments), np.int64) for call in lane])
            start = int(ends[-1])
        places = np.flatnonzero(table >= _FIRST)
        which, added = np.divmod(table[places] - _FIRST, _APART)
        self._alive = {call.function for lane in self._lanes for call in lane}
        self._lanes.clear()
        return table, starts, places, which, added - _REACH
