"""One vector of all steps of a sequence; padding has no part in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def real_steps(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """True where a step belongs to its sequence.

    Shapes: lengths [B]; result [steps, B].
    """
    return torch.arange(steps, device=device).unsqueeze(1) < lengths.to(device)


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
        padded = ~real_steps(lengths, len(sequence), sequence.device).unsqueeze(-1)
        if self.kind == "attention":
            weights = self.score(torch.tanh(self.hidden(sequence))).masked_fill(padded, -torch.inf).softmax(0)
            return (weights * sequence.masked_fill(padded, 0)).sum(0), weights.squeeze(-1).t()
        found: list[Tensor] = []
        if "mean" in self.kind:
            found.append(sequence.masked_fill(padded, 0).sum(0) / own.unsqueeze(-1))
        if "max" in self.kind:
            found.append(sequence.masked_fill(padded, -torch.inf).amax(0))
        return torch.cat(found, -1), None

    def extra_repr(self) -> str:
        return self.kind
