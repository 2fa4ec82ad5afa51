"""The optimiser and the learning rate over a run."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, SequentialLR

from grus.errors import OptionError
from grus.training.settings import TrainingSettings

PLATEAU_FACTOR = 0.5
PLATEAU_EPOCHS = 3  # below the default patience of early stopping, which would else come first


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> AdamW:
    """AdamW over the parameters that learn; weight decay on matrices only.

    Raises: OptionError where none learns.
    """
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    if not learning:
        raise OptionError("fit: network must have parameters that learn, got none with requires_grad; unfreeze some of them.")
    decaying = [weight for weight in learning if weight.dim() > 1 and settings.weight_decay > 0]
    others = [weight for weight in learning if weight.dim() <= 1 or settings.weight_decay == 0]  # one group where none decays: each is a pass
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": decay} for decay, weights in ((settings.weight_decay, decaying), (0.0, others)) if weights
    ]
    return AdamW(groups, lr=settings.learning_rate, fused=True)  # a quarter of the time per step of a small network


class Schedule:
    """Moves an optimiser's learning rate: ``step()`` after each update, ``end_epoch()`` after each epoch.

    With W warm-up steps, the rate at step k = 0, 1, … is learning_rate · (k + 1) / (W + 1) for k < W, then as the schedule says.
    """

    def __init__(self, optimiser: Optimizer, settings: TrainingSettings, steps: int) -> None:
        warm = int(settings.warmup * steps)
        rise = LinearLR(optimiser, 1 / (warm + 1), 1.0, warm) if warm else None
        self._optimiser = optimiser
        self._by_step: LRScheduler | None = rise
        self._by_epoch: ReduceLROnPlateau | None = None
        if settings.schedule == "cosine":
            fall = CosineAnnealingLR(optimiser, steps - warm)
            self._by_step = fall if rise is None else SequentialLR(optimiser, [rise, fall], [warm])
        elif settings.schedule == "one_cycle":
            self._by_step = OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
        elif settings.schedule == "plateau":
            # PyTorch's patience is one less, the epochs let pass before; its own threshold takes a slightly worse negative loss for a better one.
            self._by_epoch = ReduceLROnPlateau(optimiser, factor=PLATEAU_FACTOR, patience=PLATEAU_EPOCHS - 1, threshold=0.0, threshold_mode="abs")

    @property
    def learning_rate(self) -> float:
        return float(self._optimiser.param_groups[0]["lr"])

    def step(self) -> None:
        if self._by_step is not None:
            self._by_step.step()

    def end_epoch(self, validation_loss: float | None) -> None:
        if self._by_epoch is not None and validation_loss is not None:
            self._by_epoch.step(validation_loss)

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes, as JSON can hold it: an infinite entry is that of a new schedule, and left out."""
        parts = (("step", self._by_step), ("epoch", self._by_epoch))
        found = {name: part.state_dict() for name, part in parts if part is not None}
        return {name: {key: value for key, value in state.items() if value not in (math.inf, -math.inf)} for name, state in found.items()}

    def restore(self, state: dict[str, Any]) -> None:
        if self._by_step is not None:
            self._by_step.load_state_dict(state["step"])
        if self._by_epoch is not None:
            self._by_epoch.load_state_dict(state["epoch"])
