"""One step from every row's state with each of several inputs: what a decoder asks that makes all segments ahead at once.

Done plainly it multiplies B·K rows, though only K inputs and B states differ. Here each is multiplied once, and what is left for B·K rows is
arithmetic value by value, in parts that stay in the cache.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat

import torch
from torch import Tensor

from grus.errors import ShapeError
from grus.nn.evaluate import Machine
from grus.nn.plan import OUTPUT, Plan

PART = 1 << 18  # values of one gate, on the CPU


def run(plan: Plan, tensors: tuple[Tensor, ...], inputs: Tensor, states: Sequence[Tensor], which: Tensor | None) -> Tensor:
    """The output of a plan of one input.

    Shapes: inputs [N, K, I], states [B, S]; which [B] in 0 … N − 1, without it N is 1 or B; result [B, K, D].
    """
    parameters, split = plan.layout.split(tensors), plan.split()
    sizes = plan.sizes((inputs,), parameters, (*states,))
    before = Machine(split.prologue, parameters, sizes, plan.precision, inputs).values({plan.inputs[0]: inputs})
    streams = {plan.inputs[0]: inputs} | {name: before[node] for name, node in split.prologue.outputs.items()}
    read = {node.name for node in split.loop.nodes if node.op == "input"}
    step = _Step(Machine(split.loop, parameters, sizes, plan.precision, inputs), {name: streams[name] for name in read}, inputs.shape[:2], which)
    return step.run({name: state.unsqueeze(1) for name, state in zip(plan.states, states, strict=True)})


def check(who: str, inputs: Tensor, which: Tensor | None, rows: int, width: int) -> None:
    """Raises: ShapeError for inputs that are not [N, K, width], or that are neither one set, nor one for each row, nor chosen by ``which``."""
    if inputs.dim() != 3 or inputs.shape[-1] != width:
        raise ShapeError(f"{who}: inputs of branch must be [N, K, {width}], got {list(inputs.shape)}")
    if which is None and inputs.shape[0] not in (1, rows):
        raise ShapeError(f"{who}: inputs of branch must be one set or one for each of {rows} rows, got {len(inputs)}; pass which")
    if which is not None and which.shape != (rows,):
        raise ShapeError(f"{who}: which must have one number for each of {rows} rows, got {list(which.shape)}")


class _Step:
    """The loop's one step: products of the states first, for all rows; then the rest, some rows at a time."""

    def __init__(self, machine: Machine, streams: Mapping[str, Tensor], shape: Sequence[int], which: Tensor | None) -> None:
        self.machine, self.streams, self.which = machine, streams, which
        self.kinds, self.branches = shape
        self.output = machine.program.outputs[OUTPUT]
        self.width = machine.sizes[machine.program.nodes[self.output].dim]

    def run(self, states: Mapping[str, Tensor]) -> Tensor:
        products = self.machine.products(states)
        rows = len(next(iter(states.values())))
        count = max(1, PART // (self.branches * self.width)) if self.machine.like.is_cpu else rows
        # By split, whose gradient joins the parts once; a slice's is as large as all rows, for every part.
        parts = zip(*(value.split(count) for value in (*states.values(), *products.values())), strict=True)
        found: list[Tensor] = []
        for part, streams in zip(parts, self._streams(count), strict=False):
            known = dict(zip(products, part[len(states) :], strict=True))
            values = self.machine.values({**streams, **dict(zip(states, part, strict=False))}, known)
            found.append(values[self.output].expand(len(part[0]), self.branches, self.width))
        return found[0] if len(found) == 1 else torch.cat(found)

    def _streams(self, count: int) -> Iterator[Mapping[str, Tensor]]:
        """The streams of these rows, of the next ones, and so on."""
        if self.which is not None:
            for which in self.which.split(count):
                yield {name: _take(stream, which) for name, stream in self.streams.items()}
        elif self.kinds == 1:
            yield from repeat(self.streams)
        else:
            for part in zip(*(stream.split(count) for stream in self.streams.values()), strict=True):
                yield dict(zip(self.streams, part, strict=True))


def _take(stream: Tensor, which: Tensor) -> Tensor:
    """Rows of a stream [N, K, D] by their number: as an embedding, whose gradient is the faster one of a table's."""
    return torch.nn.functional.embedding(which, stream.flatten(1)).unflatten(1, stream.shape[1:])
