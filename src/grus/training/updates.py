"""One update of the weights: the gradient over all of its batches, on all ranks, clipped and taken."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from grus.errors import OptionError
from grus.training.clipping import Clip
from grus.training.optimisers import make_optimiser
from grus.training.ranks import Ranks
from grus.training.regularise import Regulariser
from grus.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Objective(Protocol):
    """The sum of a batch's losses, and their weight: how many there are. A batch of weight 0 moves nothing by its gradient.

    What an objective carries from batch to batch it gives by ``state()``, as plain values and tensors, and takes back by ``restore(state)``: at a
    resume, after a roll-back, and after each validation. ``begin(epoch)`` is called before each epoch and before each validation, which is epoch 0;
    on several ranks it must put everything back to its beginning. All three may be missing.
    """

    def __call__(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]: ...


class Gradient(NamedTuple):
    """Of an update: the sum of its losses, their weight, the norm before clipping, whether it was clipped, and the mean loss with its penalties."""

    total: Tensor
    weight: Tensor
    norm: Tensor
    clipped: Tensor | bool
    paid: Tensor

    @property
    def loss(self) -> Tensor:
        """The mean loss, 0 without known targets."""
        return self.total / (self.weight + (self.weight == 0))


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
        if settings.optimiser == "lbfgs" and hasattr(objective, "state"):
            raise OptionError(
                "fit: optimiser must be another than 'lbfgs', which looks at a batch several times, for an objective that carries states."
            )
        network.to(fabric.device)
        optimiser = make_optimiser(network, settings)
        learning = [weight for group in optimiser.param_groups for weight in group["params"]]
        regulariser = Regulariser(network, settings.penalties, settings.activation, settings.temporal_activation)
        return Updates(fabric, ranks, network, learning, optimiser, objective, Clip(settings), regulariser, settings)

    def gradient(self, batches: Sequence[Any], *, remember: bool = True) -> Gradient:
        """The gradient of an update, which then lies clipped in the parameters."""
        alone = len(batches) == 1 and self.ranks.count == 1
        zero = torch.zeros((), device=self.ranks.device)
        total, weight, paid = zero, zero, zero
        for batch in batches:
            with self.fabric.autocast(), self.regulariser.watching():
                loss, count = self.objective(self.network, batch)
            count, penalty = count.detach(), self.regulariser.penalty()
            owed = loss if penalty is None else loss + count * penalty
            self.fabric.backward(owed / (count + (count == 0)) if alone else owed)
            total, weight, paid = total + loss.detach(), weight + count, paid + owed.detach()
        if not alone:
            total, weight, paid = self.ranks.sum_gradients(self.learning, total, weight, paid)
            for parameter in self.learning:
                if parameter.grad is not None:
                    parameter.grad.div_(weight + (weight == 0))
        return Gradient(total, weight, *self.clip(self.learning, remember=remember), paid / (weight + (weight == 0)))

    def run_again(self, batches: Sequence[Any], reseed: Callable[[], None]) -> None:
        """The objective of these batches once more, with the same draws, for whoever watches the network."""
        reseed()
        for batch in batches:
            with self.fabric.autocast():
                self.objective(self.network, batch)

    def take(self, batches: Sequence[Any], found: Gradient, reseed: Callable[[], None]) -> None:
        """The update along the gradient that lies in the parameters, which then have none; ``reseed`` gives it its draws again."""
        if self.settings.optimiser == "lbfgs":
            self.optimiser.step(self._looks(batches, found, reseed))
        else:
            self.optimiser.step()
        self.network.zero_grad()

    def _looks(self, batches: Sequence[Any], first: Gradient, reseed: Callable[[], None]) -> Callable[[], Tensor]:
        """What L-BFGS calls, several times in an update: the loss with its penalties, and its gradient in the parameters; at first as they are."""
        known = [first]

        def look() -> Tensor:
            if known:
                return known.pop().paid
            self.network.zero_grad()
            reseed()
            return self.gradient(batches, remember=False).paid

        return look
