"""The loss of each sequence, of targets that may be shared among classes, and what a class weighs in it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, one_hot

from grus.errors import DataError, OptionError
from grus.models.losses import point_loss
from grus.models.sequence_settings import Kind, SequenceSettings


def balanced(values: NDArray[np.integer], kind: Kind, outputs: int) -> Tensor:
    """What gives every class the same weight in the loss, by the training labels.

        class   N / (K n_k)         n_k sequences of class k among N
        labels  (N − n_k) / n_k     of the answer yes, where no weighs 1

    Shapes: values [N] of classes, or [N, K] of 0 and 1; result [K].
    Raises: OptionError for numbers; DataError where a class, or one of a label's answers, does not occur.
    """
    if kind == "number":
        raise OptionError("balanced: kind must be 'class' or 'labels', got 'number'; numbers have no classes to balance.")
    count = len(values)
    found = np.bincount(values, minlength=outputs) if kind == "class" else values.sum(0, dtype=np.int64)
    rare = np.flatnonzero((found == 0) | ((found == count) & (kind == "labels")))
    if len(rare):
        what = "every class" if kind == "class" else "both answers of every label"
        got = f"{found[rare[0]]} of {count} for number {rare[0]}"
        raise DataError(f"balanced: {what} must occur in the training labels, got {got}; take class_weights='none', or split anew.")
    weights = count / (outputs * found) if kind == "class" else (count - found) / found
    return torch.tensor(weights, dtype=torch.float32)


def shares(target: Tensor, kind: Kind, outputs: int) -> Tensor:
    """The target as real numbers for each output: the share of each class, 0 or 1 of each label, or the numbers themselves.

    Shapes: target [B] or [B, K]; result [B, K].
    """
    return one_hot(target, outputs).float() if kind == "class" and target.dim() == 1 else target


def sequence_losses(settings: SequenceSettings, kind: Kind, output: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The loss of each sequence, and its weight: what to divide their sum by.

        class   Σ_k −w_k q'_k (1 − p_k)^γ log p_k,  weight Σ_k w_k q_k
        labels  Σ_k −w_k q'_k (1 − p_k)^γ log p_k − (1 − q'_k) p_k^γ log(1 − p_k),  weight K
        number  the sum of ``point_loss`` over the K numbers,  weight K

    q is the target and q' the smoothed one, (1 − s) q + s / K of classes, (1 − s) q + s / 2 of labels; γ is 0 but for "focal".

    Shapes: output and target [B, K]; weights w [K]; result [B] and [B].
    Numerics: 1 − p is never a difference, so that its logarithm is finite where p rounds to 1.
    Source: as ``grus.models.losses``, whose sums it gives for targets of one class.
    """
    name, smoothing = settings.loss_for(kind), settings.label_smoothing
    if kind == "number":
        return point_loss(name, settings.huber_delta)(output, target).sum(-1), _count(output)
    w, gamma = output.new_ones(output.shape[-1]) if weights is None else weights, settings.focal_gamma if name == "focal" else 0.0
    if kind == "class":
        likely = log_softmax(output, -1)
        focus = torch.exp(gamma * _others(likely)) if gamma else 1.0
        smooth = (1 - smoothing) * target + smoothing / output.shape[-1]
        return -(w * smooth * focus * likely).sum(-1), (w * target).sum(-1)
    yes, no, smooth = logsigmoid(output), logsigmoid(-output), (1 - smoothing) * target + smoothing / 2
    return -(w * smooth * torch.exp(gamma * no) * yes + (1 - smooth) * torch.exp(gamma * yes) * no).sum(-1), _count(output)


def distillation(kind: Kind, output: Tensor, soft: Tensor, temperature: float) -> Tensor:
    """How far each sequence is from what teachers say of it, as a mean over labels or numbers.

        class   −T² Σ_k s_k log softmax(z / T)_k
        labels  −T² mean over k of s_k log σ(z_k / T) + (1 − s_k) log σ(−z_k / T)
        number  mean over k of (z_k − s_k)²

    Shapes: output z and soft s [B, K]; result [B].
    Source: Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015, arXiv:1503.02531; T² keeps the gradient's size.
    """
    if kind == "number":
        return (output - soft).square().mean(-1)
    colder = output / temperature
    if kind == "class":
        return -(temperature**2) * (soft * log_softmax(colder, -1)).sum(-1)
    return -(temperature**2) * (soft * logsigmoid(colder) + (1 - soft) * logsigmoid(-colder)).mean(-1)


def _count(output: Tensor) -> Tensor:
    return output.new_full((len(output),), output.shape[-1])


def _others(likely: Tensor) -> Tensor:
    """log(1 − p) of each class: of the likeliest as the sum of all others, of one below 1/2 as it is written."""
    top = likely.argmax(-1, keepdim=True)
    rest = likely.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.log1p(-likely.exp().clamp(max=0.5)).scatter(-1, top, rest)
