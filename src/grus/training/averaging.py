"""Weights averaged over a run, which are often better than the last ones."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from grus.errors import OptionError
from grus.training.named import unknown_option

if TYPE_CHECKING:
    from grus.training.settings import TrainingSettings

# `decay` is per update; `start` is the share of the epochs before the first that counts.
OPTIONS: dict[str, dict[str, float]] = {"none": {}, "ema": {"decay": 0.999, "start": 0.0}, "polyak": {"start": 0.5}, "swa": {"start": 0.75}}


def check_average(average: str, options: Mapping[str, float]) -> None:
    """Raises: OptionError for an option that the average does not have, or a value outside [0, 1)."""
    for name, value in options.items():
        if name not in OPTIONS[average]:
            raise unknown_option("average", average, OPTIONS[average], name)
        if isinstance(value, bool) or not 0 <= value < 1:
            raise OptionError(
                f"TrainingSettings: average_options must have {name} of at least 0 and below 1, got {value}; "
                f"leave it out for {OPTIONS[average][name]:g}."
            )


class Average:
    """The average of a network's weights, by PyTorch's own ``AveragedModel``; validation and the best weights are of it once it has begun.

        ema     θ̄ ← decay · θ̄ + (1 − decay) · θ after each update
        polyak  the mean of θ after each update
        swa     the mean of θ after each epoch

    It begins with the θ after the first update, or epoch, that comes after the share ``start`` of the epochs.
    Source: Polyak and Juditsky 1992; Izmailov et al., Averaging weights leads to wider optima, 2018 (swa).
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings) -> None:
        self._network, self._kind = network, settings.average
        options = OPTIONS[settings.average] | dict(settings.average_options)
        self._first = int(options.get("start", 0.0) * settings.epochs) + 1
        if settings.average == "none":
            self._model: AveragedModel | None = None
        else:
            rule = get_ema_multi_avg_fn(options["decay"]) if settings.average == "ema" else None
            self._model = AveragedModel(network, multi_avg_fn=rule)

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights; the network itself before there are any."""
        return self._network if self._model is None or not int(self._model.n_averaged) else self._model.module

    def update(self, epoch: int) -> None:
        """After an update."""
        if self._kind in ("ema", "polyak"):
            self._add(epoch)

    def end_epoch(self, epoch: int) -> None:
        """After an epoch."""
        if self._kind == "swa":
            self._add(epoch)

    def _add(self, epoch: int) -> None:
        if self._model is not None and epoch >= self._first:
            self._model.update_parameters(self._network)

    def state(self) -> dict[str, Any]:
        return {} if self._model is None else {"weights": self._model.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        if self._model is not None:
            self._model.load_state_dict(state["weights"])
