"""Gradients made smaller: by the value of each, by the norm of all, by what norms the run has had."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from grus.training.settings import TrainingSettings

REMEMBERED = 1000  # norms of updates, for the percentile


class Clip:
    """Clips the gradients of an update, in this order, as far as the settings ask for it:

        value       each entry to [−clip_value, clip_value]
        percentile  all to the norm that ``clip_percentile`` of the last 1000 updates, this one among them, did not exceed
        norm        all to the norm ``clip_norm``

    Clipping at every step within a recurrence is the layer's: ``clip_state_gradient`` of ``Recurrent``.
    Source: norm: Pascanu, Mikolov and Bengio 2013; percentile: Seetharaman et al., AutoClip, 2020.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self._value, self._percentile, self._norm = settings.clip_value, settings.clip_percentile, settings.clip_norm
        self._norms: deque[float] = deque(maxlen=REMEMBERED)

    def __call__(self, weights: Sequence[nn.Parameter], *, remember: bool = True) -> tuple[Tensor, Tensor | bool]:
        """Clip in place; the norm before, and whether anything was made smaller."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        norm = left = get_total_norm(gradients)
        clipped: Tensor | bool = False
        if norm.device.type == "cpu" and not bool(norm.isfinite()):
            return norm, clipped  # would make every gradient NaN, and hide where it began
        if self._value is not None:
            clip_grad_value_(weights, self._value)
            left = get_total_norm(gradients)
            clipped = left < norm
        limits = [limit for limit in (self._limit(left, remember), self._norm) if limit is not None]
        if limits:
            limit = min(limits)
            if norm.device.type != "cpu" or bool(limit / (left + 1e-6) < 1):  # PyTorch multiplies by that, or by 1, which is spared where it is known
                clip_grads_with_norm_(weights, limit, left)
            clipped = clipped | (left > limit)
        return norm, clipped

    def _limit(self, norm: Tensor, remember: bool) -> float | None:
        if self._percentile is None:
            return None
        norms = [*self._norms, float(norm)]
        if remember:
            self._norms.append(float(norm))
        return float(np.percentile(norms, self._percentile))

    def state(self) -> dict[str, Any]:
        return {"norms": list(self._norms)}

    def restore(self, state: dict[str, Any]) -> None:
        self._norms = deque(state["norms"], maxlen=REMEMBERED)
