"""One update of the weights: the gradient over all of its batches, on all ranks, clipped and taken."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from grus.training.clipping import Clip
from grus.training.optimisers import make_optimiser
from grus.training.ranks import Ranks
from grus.training.regularise import Regulariser
from grus.training.settings import TrainingSettings


class Objective(Protocol):
    """The sum of a batch's losses, and their weight: how many there are. A batch of weight 0 moves nothing by its gradient.

    What an objective carries from batch to batch it gives by ``state()``, as plain values and tensors, and takes back by ``restore(state)``;
    ``begin(epoch)`` is called before each epoch and before each validation, which is epoch 0. All three may be missing.
    """

    def __call__(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Updates:
    """Makes updates.

    The gradient is that of Σ losses / Σ weights over the batches of an update and over the ranks: batches of any sizes, on any number of ranks,
    make the update of one large batch. Penalties are in the gradient and not in the losses that are told.
    """

    fabric: Fabric
    ranks: Ranks
    network: nn.Module
    learning: Sequence[nn.Parameter]
    optimiser: Any  # an Optimizer; the type of its closure is narrower than what L-BFGS takes
    objective: Objective
    clip: Clip
    regulariser: Regulariser
    settings: TrainingSettings

    @staticmethod
    def of(fabric: Fabric, ranks: Ranks, network: nn.Module, objective: Objective, settings: TrainingSettings) -> Updates:
        """Of a network, which is moved to the device.

        Raises: OptionError for settings that do not fit the network.
        """
        network.to(fabric.device)
        optimiser = make_optimiser(network, settings)
        learning = [weight for group in optimiser.param_groups for weight in group["params"]]
        regulariser = Regulariser(network, settings.penalties, settings.activation, settings.temporal_activation)
        return Updates(fabric, ranks, network, learning, optimiser, objective, Clip(settings), regulariser, settings)

    def gradient(self, batches: Sequence[Any], *, remember: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor | bool]:
        """The sum of losses, their weight, the norm of the gradient, which now lies clipped in the parameters, and whether it was clipped."""
        alone = len(batches) == 1 and self.ranks.count == 1
        totals, weights = list[Tensor](), list[Tensor]()
        for batch in batches:
            with self.fabric.autocast(), self.regulariser.watching():
                total, weight = self.objective(self.network, batch)
            weight, penalty = weight.detach(), self.regulariser.penalty()
            loss = total if penalty is None else total + weight * penalty
            self.fabric.backward(loss / (weight + (weight == 0)) if alone else loss)
            totals.append(total.detach())
            weights.append(weight)
        zero = torch.zeros((), device=self.ranks.device)
        total, weight = sum(totals, zero), sum(weights, zero)
        if not alone:
            total, weight = self.ranks.sum_gradients(self.learning, total, weight)
            for parameter in self.learning:
                if parameter.grad is not None:
                    parameter.grad.div_(weight + (weight == 0))
        return total, weight, *self.clip(self.learning, remember=remember)

    def run_again(self, batches: Sequence[Any]) -> None:
        """The objective of these batches once more, for whoever watches the network."""
        for batch in batches:
            self.objective(self.network, batch)

    def take(self, batches: Sequence[Any], total: Tensor, weight: Tensor) -> None:
        """The update along the gradient that lies in the parameters, which then have none."""
        if self.settings.optimiser == "lbfgs":
            self.optimiser.step(self._looks(batches, total / (weight + (weight == 0))))
        else:
            self.optimiser.step()
        self.optimiser.zero_grad()

    def _looks(self, batches: Sequence[Any], first: Tensor) -> Callable[[], Tensor]:
        """What L-BFGS calls, several times in an update: the loss, with its gradient in the parameters; the first time as they are."""
        known = [first]

        def look() -> Tensor:
            if known:
                return known.pop()
            self.optimiser.zero_grad()
            total, weight, *_ = self.gradient(batches, remember=False)
            return total / (weight + (weight == 0))

        return look
