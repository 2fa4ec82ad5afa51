"""Each window shifted and scaled by what is known of it, and the forecast back again."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["none", "last", "scale", "reversible"]

EPSILON = 1e-5


class Normalisation(nn.Module):
    """Maps a window's target to (y − shift) / scale, by its measured values y_k alone; the head's ``affine`` undoes it.

        none        shift = 0, scale = 1
        last        shift = the last y_k, scale = 1
        scale       shift = 0, scale = 1 + mean |y_k|
        reversible  shift = mean y_k, scale = sqrt(var y_k + ε);  with ``affine`` both follow a learnt γ > 0 and β:
                    γ (y − shift) / scale + β

    A window without any measured value has shift 0 and scale 1. ``reversible`` subtracts the mean of the measured steps only, so a fill that is
    far from it stays far.

    Numerics: ε = 1e-5, in the series' scaled units; a constant window has scale 0.0032.
    Source: reversible: Kim et al., Reversible instance normalization, ICLR 2022; last: Zeng et al., 2023, arXiv:2205.13504 (NLinear);
    scale: Salinas et al., DeepAR, 2020, arXiv:1704.04110.
    """

    def __init__(self, kind: Kind, affine: bool = False) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.log_gain = nn.Parameter(torch.zeros(())) if affine else None
        self.offset = nn.Parameter(torch.zeros(())) if affine else None

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
        """The shift and the scale of each window, with what was learnt in them; None where nothing changes.

        Shapes: values and mask [B, L]; shift and scale [B, 1].
        """
        if self.kind == "none":
            return None
        if self.kind == "last":
            shift = _last_measured(values, mask)
            return shift, torch.ones_like(shift)
        count = mask.sum(1, keepdim=True)
        least_one = count.clamp(min=1)
        if self.kind == "scale":
            scale = 1 + (values.abs() * mask).sum(1, keepdim=True) / least_one
            return torch.zeros_like(scale), scale
        shift = (values * mask).sum(1, keepdim=True) / least_one
        variance = ((values - shift).square() * mask).sum(1, keepdim=True) / least_one
        scale = torch.where(count > 0, (variance + EPSILON).sqrt(), 1)
        if self.log_gain is None or self.offset is None:
            return shift, scale
        scale = scale * torch.exp(-self.log_gain)
        return shift - self.offset * scale, scale

    def extra_repr(self) -> str:
        return self.kind + ("" if self.log_gain is None else ", affine=True")


def _last_measured(values: Tensor, mask: Tensor) -> Tensor:
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device, dtype=mask.dtype)
    at = (mask * steps).argmax(1, keepdim=True)
    return (values * mask).gather(1, at)
