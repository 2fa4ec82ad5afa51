"""What the steps of one epoch add up to, and the refusal of numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from grus.errors import DataError, TrainingError

NAMED = 3  # parameters in a message


class Tally:
    """Sums of an epoch's losses, weights and gradient norms.

    On the CPU every step is checked before its update, since reading a number costs 0.3 µs there; elsewhere the steps are checked after
    the epoch, since reading one waits for the device.
    """

    def __init__(self, network: nn.Module, epoch: int) -> None:
        self._network, self._epoch = network, epoch
        self._eager = all(weight.device.type == "cpu" for weight in network.parameters())
        self._rows: list[tuple[Any, Any, Any]] = []
        self.samples = 0

    @property
    def steps(self) -> int:
        return len(self._rows)

    def add(self, total: Tensor, weight: Tensor, norm: Tensor) -> None:
        """One step: the sum of its losses, their weight, and the norm of the gradient before clipping.

        Raises: TrainingError where one of them is not finite.
        """
        row = (total.detach(), weight.detach(), norm)
        if self._eager:
            row = (float(row[0]), float(row[1]), float(row[2]))
            self._check(len(self._rows) + 1, row)
        self._rows.append(row)

    def means(self) -> tuple[float, float]:
        """The loss over the weight, and the mean gradient norm.

        Raises: TrainingError where one of the steps is not finite, DataError where all weigh nothing.
        """
        rows = [(float(total), float(weight), float(norm)) for total, weight, norm in self._rows]
        for step, row in enumerate(rows, 1):
            self._check(step, row)
        return mean([row[0] for row in rows], [row[1] for row in rows], f"epoch {self._epoch}"), sum(row[2] for row in rows) / len(rows)

    def _check(self, step: int, row: tuple[float, float, float]) -> None:
        if all(map(math.isfinite, row)):
            return
        got = f"loss {row[0]:g} of weight {row[1]:g}, gradient of norm {row[2]:g}"
        raise TrainingError(
            f"fit: loss and gradient must be finite, got {got} at epoch {self._epoch}, step {step} ({_not_finite(self._network)}); "
            "lower learning_rate, or look for extreme values in the data."
        )


def mean(totals: Iterable[float], weights: Iterable[float], where: str) -> float:
    """Σ totals / Σ weights.

    Raises: DataError where nothing has a weight, TrainingError where the mean is not finite.
    """
    total, weight = math.fsum(totals), math.fsum(weights)
    if weight <= 0:
        raise DataError(f"fit: {where} must hold at least one known target, got losses of weight {weight:g}; give more data.")
    if not math.isfinite(total / weight):
        raise TrainingError(
            f"fit: the loss must be finite, got {total / weight:g} in {where}; lower learning_rate, or look for extreme values in the data."
        )
    return total / weight


def count_samples(batch: Any) -> int:
    """The first dimension of the first array in a batch: itself, or in its items or fields; 0 where there is none."""
    if isinstance(batch, Tensor | np.ndarray):
        return len(cast(Sized, batch)) if batch.ndim else 0
    if is_dataclass(batch):
        parts: Iterable[Any] = (getattr(batch, entry.name) for entry in fields(batch))
    elif isinstance(batch, Mapping):
        parts = cast(Mapping[Any, Any], batch).values()
    else:
        parts = cast(Iterable[Any], batch) if isinstance(batch, tuple | list) else ()
    return next((count for count in map(count_samples, parts) if count), 0)


def _not_finite(network: nn.Module) -> str:
    """Which parameters are not finite, or else whose gradients."""
    for what, tensors in (
        ("not finite: ", {name: weight.detach() for name, weight in network.named_parameters()}),
        ("gradient not finite: ", {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}),
    ):
        bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
        if bad:
            return what + ", ".join(bad[:NAMED]) + (f" and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
    return "every parameter is finite"
