"""One vector of all steps of a sequence; padding has no part in it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from grus.nn.sequences import Packing, Stream


def real_steps(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """True where a step belongs to its sequence.

    Shapes: lengths [B]; result [steps, B].
    """
    return torch.arange(steps, device=device).unsqueeze(1) < lengths.to(device)


class _Block(NamedTuple):
    """Steps of a packed stream at which the same rows are active."""

    start: int
    steps: int
    rows: int

    def of(self, data: Tensor) -> Tensor:
        """Shapes: data [N, D]; result [steps, rows, D], which shares its memory."""
        return data[self.start : self.start + self.steps * self.rows].view(self.steps, self.rows, -1)


def _blocks(batch_sizes: Tensor) -> list[_Block]:
    sizes = batch_sizes.numpy()
    edges = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
    found, start = list[_Block](), 0
    for first, last in pairwise(edges):
        found.append(_Block(start, last - first, int(sizes[first])))
        start += found[-1].steps * found[-1].rows
    return found


class _Pool(torch.autograd.Function):
    """Of each row of a packed stream the sum of its steps, the largest of them unit by unit, or both.

    Steps that tie for the largest share its gradient evenly, as those of ``torch.amax`` do. Masks are numbers, 0 and 1: booleans take nine times as
    long to multiply with.
    """

    @staticmethod
    def forward(ctx: Any, data: Tensor, blocks: Sequence[_Block], kinds: tuple[bool, bool]) -> tuple[Tensor | None, Tensor | None]:
        shape = blocks[0].rows, data.shape[-1]
        exact = torch.promote_types(data.dtype, torch.float32)  # of sums
        total = data.new_zeros(shape, dtype=exact) if kinds[0] else None
        top = data.new_full(shape, -torch.inf) if kinds[1] else None
        for block in blocks:
            part, rows = block.of(data), block.rows
            if total is not None:
                total[:rows] += part.sum(0, dtype=exact)
            if top is not None:
                torch.maximum(top[:rows], part.amax(0), out=top[:rows])
        ctx.blocks = blocks
        ctx.save_for_backward(data, top)
        return None if total is None else total.to(data.dtype), top

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, None, None]:
        (data, top), (of_total, of_top), blocks = ctx.saved_tensors, upstream, ctx.blocks
        gradient = torch.empty_like(data)
        if top is not None:
            assert of_top is not None
            ties = torch.zeros_like(top)
            for block in blocks:
                part, rows = block.of(gradient), block.rows
                torch.eq(block.of(data), top[:rows], out=part)
                ties[:rows] += part.sum(0)
            of_top = of_top / ties
        for block in blocks:
            part, rows = block.of(gradient), block.rows
            if of_top is not None:
                part.mul_(of_top[:rows])
            if of_total is not None:
                part.add_(of_total[:rows]) if of_top is not None else part.copy_(of_total[:rows].expand_as(part))
        return gradient, None, None


def _sorted(rows: Tensor, packed: PackedSequence) -> Tensor:
    """What belongs to the caller's rows, [B, ...], longest row first."""
    return rows if packed.sorted_indices is None else rows.index_select(0, packed.sorted_indices.to(rows.device))


class Pooling(nn.Module):
    """The vector that a way of pooling makes of the steps h_t.

        last       h_T, of the sequence's own last step
        mean, max  over the steps, unit by unit
        mean+max   the two side by side
        attention  Σ a_t h_t,  a_t = softmax over t of vᵀ tanh(W h_t + b)

    Shapes: sequence [T, B, D], or packed; lengths [B]; result [B, D], [B, 2 D] for mean+max; and the weights a [B, T'] of attention, T' steps of the
    longest sequence, else None.
    Source: attention as in Yang et al., Hierarchical attention networks for document classification, 2016.
    """

    def __init__(self, kind: str, size: int) -> None:
        super().__init__()
        self.kind, self.size = kind, 2 * size if kind == "mean+max" else size
        if kind == "attention":
            self.hidden, self.score = nn.Linear(size, size), nn.Linear(size, 1, bias=False)

    def forward(self, sequence: Stream, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.kind == "last":
            steps = pad_packed_sequence(sequence)[0] if isinstance(sequence, PackedSequence) else sequence
            return steps[lengths.to(steps.device) - 1, torch.arange(len(lengths), device=steps.device)], None
        packed = sequence if isinstance(sequence, PackedSequence) else Packing.of(lengths.numpy(), sequence.device).pack(sequence)
        data, blocks, weights = packed.data, _blocks(packed.batch_sizes), None
        if self.kind == "attention":
            data, weights = self._weighted(packed, lengths)
        total, top = cast(tuple[Tensor | None, Tensor | None], _Pool.apply(data, blocks, (self.kind != "max", "max" in self.kind)))
        if total is not None and self.kind != "attention":
            total = total / _sorted(lengths.to(data.device).unsqueeze(-1), packed)
        pooled = torch.cat([part for part in (total, top) if part is not None], -1)
        return pooled if packed.unsorted_indices is None else pooled.index_select(0, packed.unsorted_indices), weights

    def _weighted(self, packed: PackedSequence, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The packed steps [N, D] times their weights, and the weights [B, T'] in the caller's order, 0 behind the end of a sequence."""
        scores = PackedSequence(self.score(torch.tanh(self.hidden(packed.data))), *packed[1:])
        weights = pad_packed_sequence(scores, padding_value=-torch.inf)[0].softmax(0)
        by_length = weights if packed.sorted_indices is None else weights.index_select(1, packed.sorted_indices)
        each = pack_padded_sequence(by_length, _sorted(lengths, packed)).data
        return each * packed.data, weights.squeeze(-1).t()

    def extra_repr(self) -> str:
        return self.kind
