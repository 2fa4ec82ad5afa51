"""The random masks of a recurrent layer: one per sequence, one per step, one per weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout

from grus.compiler.program import Program, Variable
from grus.nn.layout import Layout
from grus.nn.passes import Timeline
from grus.nn.rewrite import recurrent_matrices
from grus.nn.torch_backend import packed_rows


def mask_per_sequence(timeline: Timeline, size: int, probability: float, like: Tensor) -> Tensor:
    """One inverted-dropout mask per row, the same at every step, as a stream of the form of ``like``."""
    mask = dropout(like.new_ones(timeline.rows, size), probability, training=True)
    if like.dim() == 2:
        assert timeline.batch_sizes is not None
        return mask.index_select(0, packed_rows(timeline.batch_sizes, like.device))
    return mask.expand(like.shape[0], timeline.rows, size)


def keep_per_step(size: int, probability: float, like: Tensor) -> Tensor:
    """A stream of ones (the unit keeps its old state) with this probability, and zeros."""
    return torch.empty(*like.shape[:-1], size, dtype=like.dtype, device=like.device).bernoulli_(probability)


def masks(variables: tuple[Variable, ...], width: int, probabilities: tuple[float, float], timeline: Timeline, like: Tensor) -> tuple[Tensor, ...]:
    """The streams that recurrent dropout and zoneout add to a program's inputs; ``probabilities`` in this order."""
    dropped, kept = probabilities
    return tuple(
        mask_per_sequence(timeline, width, dropped, like) if variable.name.startswith("dropout_") else keep_per_step(width, kept, like)
        for variable in variables
    )


def drop_weights(layout: Layout, program: Program, tensors: tuple[Tensor, ...], probability: float) -> tuple[Tensor, ...]:
    """The layout's tensors with entries of the recurrent matrices dropped (DropConnect).

    Source: Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models" (2018).
    """
    recurrent = set(recurrent_matrices(program))
    dropped = {index for part in layout.parts if part.name in recurrent for index, _ in part.slices}
    return tuple(dropout(tensor, probability, training=True) if index in dropped else tensor for index, tensor in enumerate(tensors))
