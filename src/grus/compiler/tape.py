"""A run's native calls, recorded once and made again and again, so that a call of a layer costs one call of machine code.

The calls of a run are the same every time but for where the caller's arrays lie. While they are recorded, a stand-in takes the place of each
of these addresses and strides: a number that arithmetic on addresses adds to as to any other. A run then writes the true one, plus what was
added, over every place where a stand-in was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from grus.compiler.native import team
from grus.compiler.native.kernels import NativeCall, address, call_functions, run_parallel
from grus.compiler.native.target import Target

_FIRST = 1 << 62  # stand-ins are far beyond every address and size
_REACH = 1 << 47  # and each may be moved by as much either way
_APART = 2 * _REACH
_MOST = ((1 << 63) - _FIRST) // _APART


class Tape:
    """Native calls in order, in as many threads as the run has."""

    def __init__(self, target: Target, threads: int) -> None:
        self._target, self._functions, self.threads = target, call_functions(target), threads
        self._counter = np.zeros(1, np.int64)
        self._names: dict[str, int] = {}
        self._shares: list[list[NativeCall]] = [[] for _ in range(threads)]

    @property
    def counter(self) -> int:
        """The address of the counter that threads meet at."""
        return address(self._counter)

    def stand_in(self, name: str) -> int:
        """The number that stands for the address or stride of this name, which each run gives. It may be added to, never multiplied."""
        number = self._names.setdefault(name, len(self._names))
        assert number < _MOST
        return _FIRST + number * _APART + _REACH

    def add(self, shares: Sequence[Sequence[NativeCall]]) -> None:
        """The next calls, one share for each of the first threads; they begin when everything before is done."""
        assert len(shares) <= self.threads
        if self.threads > 1 and any(self._shares):
            meeting = self._functions["meet"].call(self.counter, self.threads)
            for share in self._shares:
                share.append(meeting)
        for share, calls in zip(self._shares, shares, strict=False):
            share.extend(calls)

    def spread(self, calls: Sequence[NativeCall]) -> None:
        """Calls in any order, shared out among the threads; no two may write to one place."""
        self.add([calls[number :: self.threads] for number in range(self.threads)])

    def run(self, values: Mapping[str, int]) -> None:
        """Make all calls, with ``values`` for the stand-ins; one run at a time."""
        table, starts, places, names, moves = self._finished
        given = np.fromiter(map(values.__getitem__, self._names), np.int64, len(self._names))
        table[places] = given[names] + moves
        if self.threads == 1:
            self._run_share(starts[0])
            return
        self._counter[0] = 0
        lent = team.team()
        if lent is not None and lent.run(self._target, starts):
            return
        run_parallel([partial(self._run_share, start) for start in starts], self._counter)

    def _run_share(self, start: int) -> None:
        self._functions["run_calls"].run_at(start)

    @property
    def bytes(self) -> int:
        """The size of the calls' table."""
        return self._finished[0].nbytes

    @cached_property
    def _finished(self) -> tuple[NDArray[np.int64], list[int], NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
        """The table of all calls, where each share begins, and where stand-ins are: the place, the number of the name, what was added.

        The table holds for each share the number of its calls, each one's function and the address of its arguments, and all arguments.
        """
        sizes = [[1 + 2 * len(share), *(len(call.arguments) for call in share)] for share in self._shares]
        table = np.zeros(sum(map(sum, sizes)), np.int64)
        start, base, starts = 0, address(table), list[int]()
        for share, (head, *lengths) in zip(self._shares, sizes, strict=True):
            starts.append(base + 8 * start)
            ends = np.cumsum([start + head, *lengths])
            table[start] = len(share)
            table[start + 1 : start + head : 2] = [call.function.address for call in share]
            table[start + 2 : start + head : 2] = base + 8 * ends[:-1]
            if share:
                table[start + head : ends[-1]] = np.concatenate([np.frombuffer(memoryview(call.arguments), np.int64) for call in share])
            start = int(ends[-1])
        places = np.flatnonzero(table >= _FIRST)
        names, moves = np.divmod(table[places] - _FIRST, _APART)
        assert not places.size or names.max() < len(self._names)
        self._alive = {call.function for share in self._shares for call in share}
        self._shares.clear()
        return table, starts, places, names, moves - _REACH
