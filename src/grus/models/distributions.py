"""Heads that forecast a distribution; the loss is −log p(y)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from grus.errors import DataError, OptionError
from grus.models.heads import Head

LEAST = 1e-4


class NormalHead(Head):
    """A normal distribution: mean and standard deviation softplus(raw) + 1e-4 (in the window's normalised units)."""

    names = ("mean", "deviation")

    def read(self, raw: Tensor) -> Tensor:
        return torch.stack([raw[..., 0], softplus(raw[..., 1]) + LEAST], -1)

    def affine(self, parameters: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        mean, deviation = parameters.unbind(-1)
        return torch.stack([torch.addcmul(shift, mean, scale), deviation * scale], -1)

    def each(self, parameters: Tensor, target: Tensor) -> Tensor:
        mean, deviation = parameters.unbind(-1)
        return ((target - mean) / deviation).square() / 2 + deviation.log() + math.log(2 * math.pi) / 2

    def point(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def centre(self, raw: Tensor) -> Tensor:
        return raw[..., 0]

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        mean, deviation = parameters.unsqueeze(-2).unbind(-1)
        return mean + deviation * torch.special.ndtri(_inside(levels, parameters))


class StudentTHead(Head):
    """Student's t: location, scale softplus(raw) + 1e-4, and degrees of freedom 2 + softplus(raw), so that the variance is finite."""

    names = ("location", "scale", "freedom")

    def read(self, raw: Tensor) -> Tensor:
        return torch.stack([raw[..., 0], softplus(raw[..., 1]) + LEAST, softplus(raw[..., 2]) + (2 + LEAST)], -1)

    def affine(self, parameters: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        location, spread, freedom = parameters.unbind(-1)
        return torch.stack([torch.addcmul(shift, location, scale), spread * scale, freedom], -1)

    def each(self, parameters: Tensor, target: Tensor) -> Tensor:
        location, spread, freedom = parameters.unbind(-1)
        z = (target - location) / spread
        constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + (freedom * math.pi).log() / 2
        return constant + spread.log() + (freedom + 1) / 2 * torch.log1p(z.square() / freedom)

    def point(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def centre(self, raw: Tensor) -> Tensor:
        return raw[..., 0]

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        from scipy.special import stdtrit  # here, as is SciPy's statistics below: they take as long to import as all of Grus

        location, spread, freedom = parameters.unsqueeze(-2).unbind(-1)
        standard = stdtrit(_array(freedom), _array(_inside(levels, parameters)))
        return location + spread * torch.as_tensor(standard, dtype=parameters.dtype, device=parameters.device)


class NegativeBinomialHead(Head):
    """Counts: mean μ and dispersion α, with variance μ + α μ²; both softplus(raw) + 1e-4.

    Under a scale s, μ becomes s μ and α becomes α / sqrt(s); counts cannot be shifted.

    Source: Salinas et al., DeepAR, 2020, arXiv:1704.04110.
    """

    names = ("mean", "dispersion")

    def read(self, raw: Tensor) -> Tensor:
        return softplus(raw) + LEAST

    def affine(self, parameters: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        if torch.any(shift != 0):
            raise OptionError("NegativeBinomialHead: shift must be 0, got another; counts take normalisation='scale' or 'none'.")
        mean, dispersion = parameters.unbind(-1)
        return torch.stack([mean * scale, dispersion / scale.sqrt()], -1)

    def loss(self, parameters: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Head.loss``.

        Raises: DataError where a known target is no count.
        """
        wrong = target[(target < 0) | (target != target.round()) & ~target.isnan()]
        if len(wrong):
            raise DataError(f"NegativeBinomialHead: targets must be counts 0, 1, 2, …, got {wrong[0].item():g}; do not scale the series.")
        return super().loss(parameters, target)

    def each(self, parameters: Tensor, target: Tensor) -> Tensor:
        mean, dispersion = parameters.double().unbind(-1)  # lgamma of 1/α loses every digit of float32 where α is small
        total = 1 / dispersion
        combinations = torch.lgamma(target + total) - torch.lgamma(total) - torch.lgamma(target + 1)
        grown = torch.log1p(mean * dispersion)
        return (total * grown - combinations - target * ((mean * dispersion).log() - grown)).to(parameters.dtype)

    def point(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        from scipy.stats import nbinom

        mean, dispersion = (_array(value) for value in parameters.unsqueeze(-2).unbind(-1))
        counts = nbinom.ppf(_array(_inside(levels, parameters)), 1 / dispersion, 1 / (1 + mean * dispersion))
        return torch.as_tensor(np.asarray(counts), dtype=parameters.dtype, device=parameters.device)


def _inside(levels: Sequence[float], like: Tensor) -> Tensor:
    """Raises: OptionError for a level outside (0, 1)."""
    for level in levels:
        if not 0 < level < 1:
            raise OptionError(f"quantiles: levels must lie within (0, 1), got {level}; 0.5 is the median.")
    return torch.tensor(levels, dtype=like.dtype, device=like.device)


def _array(value: Tensor) -> NDArray[np.float64]:
    return value.detach().cpu().double().numpy()
