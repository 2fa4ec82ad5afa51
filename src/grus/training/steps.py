"""What the updates of one epoch add up to, and the refusal of numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grus.errors import DataError, TrainingError
from grus.training.divergence import DivergenceError, Watch, arrays_of, find_layer
from grus.training.updates import Gradient

SUMS = ("steps", "samples", "clipped", "seconds", "loss", "weight", "norm")


class Tally:
    """Sums of an epoch's losses, weights and gradient norms.

    On the CPU every update is checked before it is made, since reading a number costs 0.3 µs there; elsewhere they are checked after the
    epoch, since reading one waits for the device.
    """

    def __init__(self, network: nn.Module, epoch: int, watch: Watch) -> None:
        self._network, self._epoch, self._watch = network, epoch, watch
        self.eager = all(weight.device.type == "cpu" for weight in network.parameters())
        self._waiting: list[Sequence[Tensor]] = []
        self.steps = self.samples = self.clipped = 0
        self.seconds = 0.0
        self.loss = self.weight = self.norm = 0.0

    def add(self, found: Gradient, again: Callable[[], None]) -> None:
        """One update.

        again: runs its batches through the network once more, to find the layer where numbers stop being finite.
        Raises: DivergenceError.
        """
        self.steps += 1
        self._waiting.append((found.total, found.weight, found.norm, torch.as_tensor(found.clipped)))
        if self.eager:
            self.settle(again)

    def settle(self, again: Callable[[], None] = lambda: None) -> None:
        """Read the figures of the updates so far.

        Raises: DivergenceError.
        """
        waiting, self._waiting = self._waiting, []
        for at, row in enumerate(waiting, self.steps - len(waiting) + 1):
            total, weight, norm, clipped = map(float, row)
            if not all(map(math.isfinite, (total, weight, norm))):
                got = f"a summed loss of {total:g} over {weight:g} targets, a gradient of norm {norm:g}"
                raise self._diverged(at, f"loss and gradient must be finite, got {got}", find_layer(self._network, again))
            if weight > 0 and (wrong := self._watch.look(total / weight)) is not None:
                raise self._diverged(at, f"the loss must not grow far above where it began, got {wrong}", "every number is finite")
            self.loss, self.weight, self.norm = self.loss + total, self.weight + weight, self.norm + norm
            self.clipped += int(clipped)

    def means(self) -> tuple[float, float]:
        """The loss over the weight, and the mean gradient norm.

        Raises: DivergenceError; DataError where all weigh nothing.
        """
        self.settle()
        return mean([self.loss], [self.weight], f"epoch {self._epoch}"), self.norm / self.steps

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes, of the updates that are read."""
        return {name: getattr(self, name) for name in SUMS}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _diverged(self, step: int, sentence: str, where: str) -> DivergenceError:
        remedy = "lower learning_rate, clip the gradient, or look for extreme values in the data."
        return DivergenceError(f"fit: {sentence} at epoch {self._epoch}, step {step} ({where}); {remedy}", self._epoch, step)


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
    """The batch's ``rows``, else the first dimension of the first array in it that has one and is not empty; 0 where there is none."""
    if isinstance(rows := getattr(batch, "rows", None), int):
        return rows
    return next((len(value) for value in arrays_of(batch).values() if value.ndim and len(value)), 0)
