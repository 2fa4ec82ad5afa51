"""Convolutions over time, which shorten a sequence and find short patterns before recurrent layers read it."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad

from grus.models.pooling import real_steps
from grus.models.sequence_settings import SequenceSettings


class Convolution(nn.Module):
    """relu(W ∗ x + b) and the largest of each so many steps, as often as there are layers; what lies outside of a sequence is 0.

    With ``convolution_norm`` it is relu(LayerNorm(W ∗ x + b)), over the filters of each step: unlike BatchNorm it looks at no other sequence.

    A sequence of T steps has ⌈⌈T / stride⌉ / pooling⌉ after each layer.

    Shapes: values [T, B, C]; lengths [B]; result [T', B, filters] and [B].
    """

    def __init__(self, settings: SequenceSettings, channels: int) -> None:
        super().__init__()
        width, self.pooling = settings.convolution_width, settings.convolution_pooling
        self.stride, self.size = settings.convolution_stride, settings.convolution_filters
        self.beside = (width - 1) // 2, width - 1 - (width - 1) // 2
        sizes = [channels] + [self.size] * settings.convolution_layers
        self.layers = nn.ModuleList(nn.Conv1d(read, made, width, self.stride) for read, made in pairwise(sizes))
        self.norms = nn.ModuleList(nn.LayerNorm(made) if settings.convolution_norm else nn.Identity() for made in sizes[1:])

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        found = _cleared(values.permute(1, 2, 0), lengths)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            made = layer(pad(found, self.beside)).transpose(1, 2)
            found, lengths = norm(made).transpose(1, 2).relu(), _fewer(lengths, self.stride)
            found = _cleared(found, lengths)  # 0 is no more than what relu gives, so padding is never the largest
            if self.pooling > 1:
                found, lengths = max_pool1d(found, self.pooling, ceil_mode=True), _fewer(lengths, self.pooling)
        return found.permute(2, 0, 1), lengths


def _cleared(found: Tensor, lengths: Tensor) -> Tensor:
    """With 0 behind the end of each sequence.

    Shapes: found [B, C, T].
    """
    steps = found.shape[-1]
    if bool((lengths == steps).all()):
        return found
    return found * real_steps(lengths, steps, found.device).t().unsqueeze(1).to(found.dtype)  # a fill by booleans takes six times as long


def _fewer(lengths: Tensor, each: int) -> Tensor:
    return (lengths + each - 1) // each
