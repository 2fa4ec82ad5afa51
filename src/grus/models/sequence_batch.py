"""A batch of sequences of different lengths, side by side, as PyTorch tensors."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grus.models.tensors import as_tensor


class SequenceArrays(Protocol):
    """What a batch of sequences of ``grus.data`` holds, array by array; the networks need no more of it."""

    @property
    def values(self) -> NDArray[Any]: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def target(self) -> NDArray[Any] | None: ...
    @property
    def mask(self) -> NDArray[np.float32] | None: ...
    @property
    def delta(self) -> NDArray[np.float32] | None: ...
    @property
    def mean(self) -> NDArray[np.float32] | None: ...


class SequenceBatch(NamedTuple):
    """B sequences, padded to the T steps of the longest.

    values: numbers, or tokens (0 is padding, 1 is unknown, words from 2 on); padding is 0 and is never read.
    lengths: steps of each sequence, on the CPU.
    target: classes; or numbers, 0 or 1 for each label; or the share of each class, where sequences were mixed. None where it is not known.
    mask and delta: where each channel was measured, 1 or 0, and how long before each step it last was; mean: its training mean. Where it was not,
        values has what was last measured, or the mean, as ``grus.data.missing.fill`` gives them for "gru_d".
    weight: of each sequence in the loss; None is 1 for all.
    soft: what teachers say of each sequence, probabilities at the temperature or numbers; None where there are none.

    Shapes: values [B, T, C] float32 or [B, T] int64; lengths [B] int64; target [B] int64 or [B, K] float32; mask and delta [B, T, C]; mean [C];
    weight [B]; soft [B, K].
    """

    values: Tensor
    lengths: Tensor
    target: Tensor | None
    mask: Tensor | None = None
    delta: Tensor | None = None
    mean: Tensor | None = None
    weight: Tensor | None = None
    soft: Tensor | None = None

    @classmethod
    def of(cls, batch: SequenceArrays, device: torch.device | str = "cpu") -> SequenceBatch:
        """The arrays as tensors; on the CPU they share their memory."""
        values, lengths = as_tensor(batch.values, device), as_tensor(batch.lengths, "cpu")
        target, mask, delta, mean = (
            None if given is None else as_tensor(given, device) for given in (batch.target, batch.mask, batch.delta, batch.mean)
        )
        return cls(values, lengths, target, mask, delta, mean)

    def to(self, target: torch.device | str | torch.dtype) -> SequenceBatch:
        """The batch on another device, except ``lengths``; or its real numbers in another dtype."""
        moved = [None if value is None else _moved(value, target) for value in self]
        return SequenceBatch(*moved)._replace(lengths=self.lengths)  # pyright: ignore[reportArgumentType]

    def rows(self, index: Tensor) -> SequenceBatch:
        """Some of the sequences, with the padding of all."""
        of_rows = self._replace(mean=None)
        chosen = [None if value is None else value[index.to(value.device)] for value in of_rows]
        return SequenceBatch(*chosen)._replace(mean=self.mean)  # pyright: ignore[reportArgumentType]


def _moved(value: Tensor, target: torch.device | str | torch.dtype) -> Tensor:
    if isinstance(target, torch.dtype) and not value.is_floating_point():
        return value
    return value.to(target)
