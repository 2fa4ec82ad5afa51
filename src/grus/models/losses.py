"""Losses by name. Each adds up over batches: it gives the sum over the targets that are known, and the weight to divide it by.

Likelihoods are the losses of the heads in ``grus.models.distributions``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss, l1_loss, log_softmax, mse_loss, nll_loss
from torch.nn.functional import cross_entropy as torch_cross_entropy

from grus.errors import OptionError

Each = Callable[[Tensor, Tensor], Tensor]
Sums = tuple[Tensor, Tensor]

IGNORED = -100


def over_known(each: Each, forecast: Tensor, target: Tensor, stand_in: Tensor) -> Sums:
    """Σ each(forecast, target) over the targets that are known, and their number; a NaN target has no part in value or gradient.

    stand_in: finite values in place of the unknown targets.

    Numerics: in float32 at least, as bfloat16 counts to 256 only.
    Shapes: forecast [..., K] or [...], as ``each`` takes it; target and stand_in [...].
    """
    forecast = _wide(forecast)
    known = ~target.isnan()
    weight = known.to(forecast.dtype)
    return (each(forecast, torch.where(known, target, stand_in.detach())) * weight).sum(), weight.sum()


def log_cosh(forecast: Tensor, target: Tensor) -> Tensor:
    """log cosh e of each error e = f − y: e² / 2 near 0, |e| − log 2 far from it.

    Numerics: log1p(2 sinh²(e / 2)) below 1, where the other form cancels; |e| + log1p((exp(−2 |e|) − 1) / 2) from there on, which does not overflow.
    """
    size = (forecast - target).abs()
    small, large = size.clamp(max=1), size.clamp(min=1)  # so that the form that is not taken has a finite gradient
    return torch.where(size < 1, torch.log1p(2 * torch.sinh(small / 2).square()), large + torch.log1p(torch.expm1(-2 * large) / 2))


_POINT: dict[str, Each] = {
    "mse": partial(mse_loss, reduction="none"),
    "mae": partial(l1_loss, reduction="none"),
    "log_cosh": log_cosh,
}


def point_loss(name: str, delta: float = 1.0) -> Each:
    """The loss of each value: e² ("mse"), |e| ("mae"), "log_cosh", or "huber": e² / 2 up to |e| = delta, delta (|e| − delta / 2) beyond.

    Raises: OptionError for another name.
    """
    if name == "huber":
        return partial(huber_loss, reduction="none", delta=delta)
    if name not in _POINT:
        names = [*_POINT, "huber"]
        near = difflib.get_close_matches(name, names, 1)
        remedy = f"did you mean {near[0]!r}?" if near else "take one of them."
        raise OptionError(f"point_loss: name must be one of {', '.join(names)}, got {name!r}; {remedy}")
    return _POINT[name]


def pinball(quantiles: Tensor, target: Tensor, levels: Sequence[float]) -> Tensor:
    """The mean over levels τ of max(τ (y − q), (τ − 1) (y − q)).

    Shapes: quantiles [..., Q]; target and result [...].
    Source: Koenker and Bassett, Regression quantiles, 1978.
    """
    error = target.unsqueeze(-1) - quantiles
    at = torch.tensor(levels, dtype=error.dtype, device=error.device)
    return (error * at + torch.relu(-error)).mean(-1)


def difference_scale(values: Tensor, mask: Tensor, season: int = 1) -> Tensor:
    """s = mean |y_t − y_{t−m}| of each window over the steps t where both values were measured; 0 where there are none.

    Shapes: values and mask [B, L]; result [B, 1].
    """
    both = mask[:, season:] * mask[:, :-season]
    moved = (values[:, season:] - values[:, :-season]).abs() * both
    return moved.sum(1, keepdim=True) / both.sum(1, keepdim=True).clamp(min=1)


def mase(forecast: Tensor, target: Tensor, scale: Tensor) -> Sums:
    """Σ |f − y| / s. Where s is 0 the scaled error is not defined, so such a window's targets have no part and no weight.

    Shapes: forecast and target [B, H]; scale s [B, 1], as ``difference_scale`` gives it.
    Source: Hyndman and Koehler 2006, "Another look at measures of forecast accuracy", of the window's past instead of the training part.
    """
    defined = scale > 0
    unit = torch.where(defined, scale, 1)
    scaled = forecast / unit
    return over_known(_POINT["mae"], scaled, torch.where(defined, target / unit, torch.nan), scaled)


def cross_entropy(logits: Tensor, target: Tensor, *, weights: Tensor | None = None, smoothing: float = 0.0, ignore: int = IGNORED) -> Sums:
    """Σ −w_y log p_y and Σ w_y, the classes' weights w; ``smoothing`` gives that share of each target's probability to all classes alike.

    Shapes: logits [..., K]; target [...], classes 0 to K − 1, or ``ignore`` where it is not known; weights [K].
    Source: as PyTorch's; the quotient is its mean.
    """
    rows, classes = _wide(logits).flatten(0, -2), target.flatten()
    weights = None if weights is None else weights.to(rows.dtype)
    total = torch_cross_entropy(rows, classes, weights, ignore_index=ignore, reduction="sum", label_smoothing=smoothing)
    return total, _weights(rows, classes, weights, ignore).sum()


def binary_cross_entropy(logits: Tensor, target: Tensor, *, positive_weight: float = 1.0) -> Sums:
    """Σ −(w y log p + (1 − y) log(1 − p)) over the known targets, and their number; w is ``positive_weight``.

    Shapes: logits and target [...], the target 0, 1 or between, NaN where it is not known.
    """
    weight, truth = _wide(logits).new_tensor(positive_weight), target.to(_wide(logits).dtype)
    each = partial(binary_cross_entropy_with_logits, pos_weight=weight, reduction="none")
    return over_known(each, logits, truth, torch.zeros_like(truth))


def focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: Tensor | None = None, ignore: int = IGNORED) -> Sums:
    """Σ −α_y (1 − p_y)^γ log p_y and Σ α_y: the surer a right answer, the less it counts; ``gamma=0`` is ``cross_entropy``.

    Shapes: logits [..., K], K at least 2; target [...] as in ``cross_entropy``; alpha [K].
    Numerics: 1 − p_y is the sum of the other classes' probabilities, so that its logarithm is finite where p_y rounds to 1.
    Source: Lin et al., Focal loss for dense object detection, 2017, arXiv:1708.02002.
    """
    rows, classes = _wide(logits).flatten(0, -2), target.flatten()
    likely = log_softmax(rows, -1)
    own = torch.where(classes == ignore, 0, classes).unsqueeze(-1)
    others = likely.scatter(-1, own, -math.inf).logsumexp(-1)
    taken = likely.gather(-1, own).squeeze(-1)
    weight = _weights(rows, classes, None if alpha is None else alpha.to(rows.dtype), ignore)
    return -(weight * torch.exp(gamma * others) * taken).sum(), weight.sum()


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _weights(rows: Tensor, classes: Tensor, weights: Tensor | None, ignore: int) -> Tensor:
    """Of each target the weight of its class, 0 for one to ignore."""
    ones = torch.ones_like(rows[:1]).expand_as(rows)
    return -nll_loss(ones, classes, weights, ignore_index=ignore, reduction="none")
