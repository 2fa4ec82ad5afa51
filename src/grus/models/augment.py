"""Windows changed at random in training, so that a network does not learn them by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grus.errors import OptionError
from grus.models.tensors import TensorBatch

SLOWEST = 2.0  # a stretch lasts from 1 / SLOWEST to SLOWEST times as long


@dataclass(frozen=True)
class Augmentation:
    """The past of training windows with noise, and with a stretch of it sped up or slowed down; what is ahead stays as it is.

    input_noise: σ of normal noise on the target where it was measured, and on the past covariates, in scaled units.
    window_warping: the probability of each window to be warped: a stretch between two random steps lasts from half to twice as long, and the whole
        is read anew at as many steps as before. The first step of the series and the last of the window stay where they are.
    covariates: which channels of the past are past covariates; those known ahead get no noise.
    masks: which channels of the past say what was measured.

    Random numbers are drawn from PyTorch's generator of the batch's device.

    Raises: OptionError for a σ below 0 or a probability outside [0, 1].
    Source: Le Guennec, Malinowski and Tavenard, "Data augmentation for time series classification using convolutional neural networks", 2016;
    Iwana and Uchida, "An empirical survey of data augmentation for time series classification with neural networks", 2021.
    """

    input_noise: float = 0.0
    window_warping: float = 0.0
    covariates: Sequence[int] = ()
    masks: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.input_noise < float("inf"):
            raise OptionError(f"Augmentation: input_noise must be a finite number of at least 0, got {self.input_noise!r}; 0 turns it off.")
        if not 0 <= self.window_warping <= 1:
            raise OptionError(f"Augmentation: window_warping must be a probability in [0, 1], got {self.window_warping!r}; 0 turns it off.")

    def __call__(self, batch: TensorBatch) -> TensorBatch:
        """The batch, changed; the tensors given stay as they are."""
        if self.window_warping:
            batch = self._warped(batch)
        if self.input_noise:
            batch = batch._replace(past=batch.past + self.input_noise * self._noisy(batch) * torch.randn_like(batch.past))
        return batch

    def _noisy(self, batch: TensorBatch) -> Tensor:
        """1 where a value takes noise: as far as the batch says it, only where it was measured.

        Shapes: [B, L, C].
        """
        told = batch.mask.shape[-1]
        found = torch.zeros_like(batch.past)
        for channel in (0, *self.covariates):
            found[..., channel] = batch.mask[..., channel] if channel < told else 1
        return found

    def _warped(self, batch: TensorBatch) -> TensorBatch:
        rows, length = batch.past.shape[:2]
        chosen, one, other, power = torch.rand(4, rows, dtype=batch.past.dtype, device=batch.past.device)
        first = (length - batch.origin).clamp(min=0)
        span = length - 1 - first
        ends = torch.minimum(one, other) * span, torch.maximum(one, other) * span
        places = first.unsqueeze(1) + warp(length - first, *ends, SLOWEST ** (2 * power - 1), length)
        read = resample(batch, places, self.masks)
        kept = (chosen < self.window_warping) & (read.mask[..., 0] > 0).any(1)  # a window has something measured, warped or not
        return batch._replace(
            **{name: torch.where(kept[:, None, None], getattr(read, name), getattr(batch, name)) for name in ("past", "mask", "delta")}
        )


def warp(steps: Tensor, start: Tensor, stop: Tensor, factor: Tensor, length: int) -> Tensor:
    """Where each of the last n of ``length`` steps lies in its own window of n steps, once the stretch from start to stop lasts factor times as long.

        v = u (N + (factor − 1) (stop − start)) / N,  N = n − 1
        place = v up to start;  start + (v − start) / factor in the stretch;  v − (factor − 1) (stop − start) after it

    The steps before these n keep their distance to the first of them.

    Shapes: steps n, start, stop and factor [B]; result [B, length].
    """
    steps, start, stop, factor = (value.unsqueeze(1) for value in (steps, start, stop, factor))
    own = torch.arange(length, device=start.device) - (length - steps)
    longer = (factor - 1) * (stop - start)
    v = own * (1 + longer / (steps - 1).clamp(min=1))
    inside = start + (v - start) / factor
    place = torch.where(v < start, v, torch.where(v < stop + longer, inside, v - longer))
    return torch.where((own <= 0) | (own == steps - 1), own, torch.minimum(place, steps - 1.0))


def resample(batch: TensorBatch, places: Tensor, masks: Sequence[int] = ()) -> TensorBatch:
    """The past read at other places, on the line between the steps on either side.

    A channel with a mask is read from the nearest step unless both were measured, and was measured where the nearest one was; so are the channels
    in ``masks``. Delta counts steps anew.

    Shapes: places [B, L], from 0 to L − 1.
    """
    length = places.shape[1]
    low = places.floor().long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    part = (places - low).unsqueeze(-1)
    near = torch.where(part[..., 0] < 0.5, low, high)
    past = torch.lerp(_at(batch.past, low), _at(batch.past, high), part)
    nearest, mask, told = _at(batch.past, near), _at(batch.mask, near), batch.mask.shape[-1]
    both = (_at(batch.mask, low) * _at(batch.mask, high)) > 0
    past[..., :told] = torch.where(both, past[..., :told], nearest[..., :told])
    for channel in masks:
        past[..., channel] = nearest[..., channel]
    return batch._replace(past=past, mask=mask, delta=_delta(mask))


def _at(values: Tensor, places: Tensor) -> Tensor:
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _delta(mask: Tensor) -> Tensor:
    """Steps since each was last measured before each step, counted from the first one if it never was.

    Shapes: mask and result [B, L, M].
    """
    steps = torch.arange(mask.shape[1], device=mask.device, dtype=mask.dtype).view(1, -1, 1)
    last = (steps * (mask > 0)).cummax(1).values
    return steps - torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], 1)
