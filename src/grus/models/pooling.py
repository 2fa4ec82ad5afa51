"""One vector of all steps of a sequence; padding has no part in it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


def real_steps(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """True where a step belongs to its sequence.

    Shapes: lengths [B]; result [steps, B].
    """
    return torch.arange(steps, device=device).unsqueeze(1) < lengths.to(device)


class _Largest(torch.autograd.Function):
    """The gradient is made by arithmetic alone: masks of booleans take nine times as long as a product, and PyTorch's own amax makes them."""

    @staticmethod
    def forward(ctx: Any, sequence: Tensor) -> Tensor:
        found = sequence.amax(0)
        ctx.save_for_backward(sequence, found)
        return found

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        sequence, found = ctx.saved_tensors
        ties = (sequence - found).sign_().add_(1)
        return ties.mul_(upstream[0] / ties.sum(0))


def largest(sequence: Tensor) -> Tensor:
    """The largest of all steps, unit by unit; steps that tie share the gradient evenly, as those of ``torch.amax`` do.

    Shapes: sequence [T, ...]; result [...].
    """
    return cast(Tensor, _Largest.apply(sequence))


class Pooling(nn.Module):
    """The vector that a way of pooling makes of the steps h_t.

        last       h_T, of the sequence's own last step
        mean, max  over the steps, unit by unit
        mean+max   the two side by side
        attention  Σ a_t h_t,  a_t = softmax over t of vᵀ tanh(W h_t + b)

    Shapes: sequence [T, B, D]; lengths [B]; result [B, D], [B, 2 D] for mean+max; and the weights a [B, T] of attention, else None.
    Source: attention as in Yang et al., Hierarchical attention networks for document classification, 2016.
    """

    def __init__(self, kind: str, size: int) -> None:
        super().__init__()
        self.kind, self.size = kind, 2 * size if kind == "mean+max" else size
        if kind == "attention":
            self.hidden, self.score = nn.Linear(size, size), nn.Linear(size, 1, bias=False)

    def forward(self, sequence: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        own = lengths.to(sequence.device)
        if self.kind == "last":
            return sequence[own - 1, torch.arange(len(own), device=own.device)], None
        real = None if bool((lengths == len(sequence)).all()) else real_steps(lengths, len(sequence), sequence.device).unsqueeze(-1)
        if self.kind == "attention":
            scores = self.score(torch.tanh(self.hidden(sequence)))
            weights = (scores if real is None else scores.masked_fill(~real, -torch.inf)).softmax(0)
            return (weights * sequence).sum(0), weights.squeeze(-1).t()
        found: list[Tensor] = []
        if "mean" in self.kind:
            found.append((sequence if real is None else sequence * real.to(sequence.dtype)).sum(0) / own.unsqueeze(-1))
        if "max" in self.kind:
            found.append(largest(sequence if real is None else sequence + real.to(sequence.dtype).log()))
        return torch.cat(found, -1), None

    def extra_repr(self) -> str:
        return self.kind
