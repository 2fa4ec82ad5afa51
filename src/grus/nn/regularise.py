"""The random masks of a recurrent layer: one per sequence, one per step, one per weight; and embeddings that lose whole words."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grus.compiler.program import Program, Variable
from grus.nn.layout import Layout
from grus.nn.options import check_probability
from grus.nn.passes import Timeline
from grus.nn.rewrite import recurrent_matrices
from grus.nn.torch_backend import packed_rows


def ones_and_zeros(shape: Sequence[int], probability: float, like: Tensor) -> Tensor:
    """Ones with this probability, and zeros, from PyTorch's generator: four for each of its 64-bit words, 8 times faster than one each.

    A quarter of a word is one of 2^16 cases; how many of them give a one is drawn once a call, so that its mean is exact.
    """
    if probability == 1.0:
        return like.new_ones(shape)
    found = like.new_empty(shape)
    words = torch.randint(-(2**63), 2**63 - 1, ((found.numel() + 3) // 4,), dtype=torch.int64, device=like.device)
    cases = (torch.rand((), dtype=torch.float64, device=like.device) + probability * 2**16).floor().clamp(max=2**16 - 1)
    return torch.lt(words.view(torch.int16)[: found.numel()].view(found.shape), (cases - 2**15).to(torch.int16), out=found)


def inverted_mask(shape: Sequence[int], probability: float, like: Tensor) -> Tensor:
    """Zeros with this probability, and elsewhere what keeps the mean of what the mask multiplies."""
    if probability in (0.0, 1.0):
        return like.new_full(shape, 1.0 - probability)
    return ones_and_zeros(shape, 1.0 - probability, like).mul_(1.0 / (1.0 - probability))


def mask_per_sequence(timeline: Timeline, size: int, probability: float, like: Tensor) -> Tensor:
    """One inverted-dropout mask per row, the same at every step, as a stream of the form of ``like``."""
    mask = inverted_mask((timeline.rows, size), probability, like)
    if like.dim() == 2:
        assert timeline.batch_sizes is not None
        return mask.index_select(0, packed_rows(timeline.batch_sizes, like.device))
    return mask.expand(like.shape[0], timeline.rows, size)


def masks(variables: tuple[Variable, ...], width: int, probabilities: tuple[float, float], timeline: Timeline, like: Tensor) -> tuple[Tensor, ...]:
    """The streams that recurrent dropout and zoneout add to a program's inputs; ``probabilities`` in this order."""
    dropped, kept = probabilities
    return tuple(
        mask_per_sequence(timeline, width, dropped, like)
        if variable.name.startswith("dropout_")
        else ones_and_zeros((*like.shape[:-1], width), kept, like)
        for variable in variables
    )


def drop_weights(layout: Layout, program: Program, tensors: tuple[Tensor, ...], probability: float) -> tuple[Tensor, ...]:
    """The layout's tensors with entries of the recurrent matrices dropped (DropConnect).

    Source: Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models" (2018).
    """
    recurrent = set(recurrent_matrices(program))
    dropped = {index for part in layout.parts if part.name in recurrent for index, _ in part.slices}
    return tuple(tensor * inverted_mask(tensor.shape, probability, tensor) if index in dropped else tensor for index, tensor in enumerate(tensors))


class Embedding(nn.Embedding):
    """``torch.nn.Embedding`` whose words are dropped as wholes in training: one draw per word of the vocabulary and call.

    Source: Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models" (2018).
    Raises: OptionError unless ``embedding_dropout`` is a probability.

    Example:
        >>> layer = Embedding(10, 4, embedding_dropout=0.1)
        >>> layer(torch.tensor([[1, 2, 1]])).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *arguments: Any, embedding_dropout: float = 0.0, **options: Any) -> None:
        super().__init__(num_embeddings, embedding_dim, *arguments, **options)
        self.embedding_dropout = check_probability("Embedding", "embedding_dropout", embedding_dropout)

    def forward(self, input: Tensor) -> Tensor:
        """Vectors of words; those of a dropped word are 0 wherever it stands."""
        found = super().forward(input)
        if not (self.training and self.embedding_dropout):
            return found
        return found * inverted_mask((self.num_embeddings, 1), self.embedding_dropout, self.weight)[input]

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", embedding_dropout={self.embedding_dropout}" if self.embedding_dropout else "")
