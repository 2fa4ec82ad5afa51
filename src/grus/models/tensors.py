"""A batch of windows as PyTorch tensors."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class BatchArrays(Protocol):
    """What a batch of ``grus.data`` holds, array by array; the networks need no more of it."""

    @property
    def past(self) -> NDArray[np.float32]: ...
    @property
    def mask(self) -> NDArray[np.float32]: ...
    @property
    def delta(self) -> NDArray[np.float32]: ...
    @property
    def mean(self) -> NDArray[np.float32]: ...
    @property
    def future(self) -> NDArray[np.float32]: ...
    @property
    def static(self) -> NDArray[np.float32]: ...
    @property
    def target(self) -> NDArray[np.float32]: ...
    @property
    def series(self) -> NDArray[np.int64]: ...
    @property
    def origin(self) -> NDArray[np.int64]: ...


class TensorBatch(NamedTuple):
    """B windows of L steps and the H steps ahead of each, in the series' scaled units.

    mask and delta: where the first M channels of the past were measured, 1 or 0, and how long before each step they last were; M = 1 is the
    target alone, which is all that most networks need. mean: the training means of these channels. origin: how many steps of its series
    precede the forecast; fewer than L and the window begins before the series.

    Shapes: past [B, L, C], the target first; mask and delta [B, L, M], 1 ≤ M ≤ C; mean [B, M]; future [B, H, F]; static [B, S]; target [B, H],
    NaN where it is not known; series and origin [B].
    """

    past: Tensor
    mask: Tensor
    delta: Tensor
    mean: Tensor
    future: Tensor
    static: Tensor
    target: Tensor
    series: Tensor
    origin: Tensor

    @classmethod
    def of(cls, batch: BatchArrays, device: torch.device | str = "cpu") -> TensorBatch:
        """The arrays as tensors; on the CPU they share their memory."""
        return cls(*[as_tensor(getattr(batch, name), device) for name in cls._fields])

    def to(self, target: torch.device | str | torch.dtype) -> TensorBatch:
        """The batch on another device, or its real numbers in another dtype."""
        if isinstance(target, torch.dtype):
            return TensorBatch(*[value.to(target) if value.is_floating_point() else value for value in self])
        return TensorBatch(*[value.to(target) for value in self])

    def rows(self, index: Tensor) -> TensorBatch:
        """Some of the windows."""
        return TensorBatch(*[value[index] for value in self])


def as_tensor(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """The array as a tensor, which on the CPU shares its memory unless that is read-only."""
    shared = array if array.flags.writeable else array.copy()
    return torch.from_numpy(shared).to(device)  # pyright: ignore[reportUnknownMemberType]
