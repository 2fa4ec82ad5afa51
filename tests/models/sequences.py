"""Batches of random sequences of different lengths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from grus.models import SequenceBatch, SequenceNetwork, SequenceSettings, SequenceShape
from grus.models.sequence import build

NUMBERS = SequenceShape("class", outputs=3, channels=2)
WORDS = SequenceShape("class", outputs=3, vocabulary=11)
LENGTHS = (7, 3, 1, 5)


def made(shape: SequenceShape, lengths: Sequence[int] = LENGTHS, *, steps: int | None = None, aware: bool = False) -> SequenceBatch:
    """Float64 sequences with targets of the shape's kind, padded with 0 to so many steps."""
    rows, steps = len(lengths), max(lengths) if steps is None else steps
    real = torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)
    if shape.tokens:
        values = torch.randint(1, shape.vocabulary, (rows, steps)) * real
    else:
        values = torch.randn(rows, steps, shape.channels, dtype=torch.float64) * real.unsqueeze(-1)
    target: Tensor = torch.randint(0, shape.outputs, (rows,))
    if shape.kind == "labels":
        target = torch.randint(0, 2, (rows, shape.outputs)).double()
    elif shape.kind == "number":
        target = torch.randn(rows, shape.outputs, dtype=torch.float64)
    batch = SequenceBatch(values, torch.tensor(lengths), target)
    if not aware:
        return batch
    mask, delta = (torch.rand_like(values) < 0.5).double() * real.unsqueeze(-1), torch.rand_like(values) * real.unsqueeze(-1)
    return batch._replace(mask=mask, delta=delta, mean=torch.randn(shape.channels, dtype=torch.float64))


def network_for(shape: SequenceShape, weights: Tensor | None = None, **settings: object) -> SequenceNetwork:
    """A small network in float64, in evaluation mode."""
    given = {"hidden_size": 4, **({"embedding_size": 3} if shape.tokens else {}), **settings}
    return build(SequenceSettings(**given), shape, weights).double().eval()  # pyright: ignore[reportArgumentType]
