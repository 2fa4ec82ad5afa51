"""One pass of one cell over time, in one direction: the contract between a module and the back ends.

Layouts of a stream (input, output, gate): dense [T, B, D] or, with ``batch_sizes``, packed [N, D] as ``PackedSequence.data`` is, rows sorted
by length, longest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grus.nn.plan import Plan
from grus.nn.rooms import Rooms


@dataclass(slots=True)
class Timeline:
    """How the rows of a batch run through time: ``steps`` T, ``rows`` B, the rows active at each step, and where states restart.

    ``resets`` [T, B]: a sequence starts anew at this step. ``lengths`` [B] stands for ``batch_sizes`` while a graph is captured, when
    nothing can be sorted by value: rows are then in the caller's order.
    """

    steps: int
    rows: int
    batch_sizes: NDArray[np.int64] | None = None
    resets: Tensor | None = None
    lengths: Tensor | None = None

    def restarts(self, reverse: bool) -> Tensor | None:
        """Where the state restarts before a step is taken, in a pass of this direction.

        A backward pass enters step t - 1 from step t, so a sequence that starts at t restarts it before t - 1.
        """
        if self.resets is None or not reverse:
            return self.resets
        return torch.cat([self.resets[1:], torch.zeros_like(self.resets[:1])])


@dataclass(slots=True)
class Pass:
    """What a back end is asked to run; tensors follow the plan's order of inputs, layout tensors and states.

    ``states`` and ``restart`` entries may be None: zeros. ``restart`` [D] replaces a state where the timeline restarts it.
    """

    plan: Plan
    timeline: Timeline
    inputs: tuple[Tensor, ...]
    tensors: tuple[Tensor, ...]
    states: tuple[Tensor | None, ...]
    restart: tuple[Tensor | None, ...]
    reverse: bool = False
    memory: str = "store"
    gates: bool = False
    sequence: bool = True
    rooms: Rooms | None = None
    out: NDArray[Any] | None = None  # where the compiled kernels write the output; no other back end looks at it

    def over(self, tensors: tuple[Any, ...]) -> Pass:
        """The same pass over other tensors: inputs, layout tensors, states and restart in one sequence; none to hold none."""
        a, b, c = self.plan.cuts
        lists = tensors[:a], tensors[a:b], tensors[b:c], tensors[c:]
        return Pass(self.plan, self.timeline, *lists, self.reverse, self.memory, self.gates, self.sequence, self.rooms)


@dataclass(slots=True)
class Result:
    """The output over time (None without ``sequence``), each row's last states [B, D], and the gates over time in the plan's order."""

    output: Tensor | None
    states: tuple[Tensor, ...]
    gates: tuple[Tensor, ...] = ()


def offsets(batch_sizes: NDArray[Any]) -> NDArray[np.int64]:
    """The first packed row of each step, and after the last step the number of rows."""
    return np.concatenate(([0], np.cumsum(batch_sizes))).astype(np.int64)


def row_of(batch_sizes: NDArray[Any]) -> NDArray[np.int64]:
    """The batch row that each packed row belongs to."""
    return np.concatenate([np.arange(int(size), dtype=np.int64) for size in batch_sizes])
