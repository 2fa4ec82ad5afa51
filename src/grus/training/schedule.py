"""The learning rate over a run."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from grus.errors import OptionError
from grus.training.named import unknown_option

if TYPE_CHECKING:
    from grus.training.settings import TrainingSettings

# The options of each schedule. `every`, `after` and `patience` are epochs, `factor` and `decay` are per epoch but for "step" and "plateau", `end` and
# `start` are shares of the rate, `rise` is a share of all steps.
OPTIONS: dict[str, dict[str, float]] = {
    "constant": {},
    "step": {"every": 10, "factor": 0.1, "after": 0},
    "exponential": {"factor": 0.95, "after": 0},
    "inverse_time": {"decay": 0.1},
    "polynomial": {"power": 1.0, "end": 0.0},
    "cosine": {"end": 0.0},
    "warm_restarts": {"every": 10, "growth": 2, "end": 0.0},
    "one_cycle": {"rise": 0.3, "start": 0.04, "end": 4e-6},
    "plateau": {"factor": 0.5, "patience": 3},  # below the default patience of early stopping, which would else come first
}
_BOUNDS: dict[str, tuple[Callable[[float], bool], str]] = {
    "every": (lambda value: value >= 1 and value == int(value), "a whole number of at least 1"),
    "patience": (lambda value: value >= 1 and value == int(value), "a whole number of at least 1"),
    "after": (lambda value: 0 <= value < math.inf, "a finite number of at least 0"),
    "growth": (lambda value: value >= 1 and value == int(value), "a whole number of at least 1"),
    "factor": (lambda value: 0 < value < 1, "between 0 and 1"),
    "decay": (lambda value: 0 < value < math.inf, "a finite number above 0"),
    "power": (lambda value: 0 < value < math.inf, "a finite number above 0"),
    "start": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "end": (lambda value: 0 <= value <= 1, "between 0 and 1"),
    "rise": (lambda value: 0 < value < 1, "between 0 and 1"),
}


def check_schedule(schedule: str, options: Mapping[str, float]) -> None:
    """Raises: OptionError for an option that the schedule does not have, or a value that it cannot take."""
    for name, value in options.items():
        if name not in OPTIONS[schedule]:
            raise unknown_option("schedule", schedule, OPTIONS[schedule], name)
        is_allowed, wanted = _BOUNDS[name]
        if isinstance(value, bool) or not is_allowed(value):
            raise OptionError(
                f"TrainingSettings: schedule_options must have {name} {wanted}, got {value}; leave it out for {OPTIONS[schedule][name]:g}."
            )


class Schedule:
    """Moves an optimiser's learning rates: ``step()`` after each update, ``end_epoch()`` after each epoch.

    With e = k / steps per epoch, t = k / K of K steps (after the warm-up, as far as there is one), the rate at step k is learning_rate times

        constant, plateau  1; plateau: times factor after `patience` epochs without a better validation loss
        step               factor^⌊max(0, e − after) / every⌋
        exponential        factor^max(0, e − after)
        inverse_time       1 / (1 + decay · e)
        polynomial         end + (1 − end) · (1 − t)^power
        cosine             end + (1 − end) · (1 + cos πt) / 2
        warm_restarts      as cosine over each cycle: the first of `every` epochs, each next one `growth` times as long
        one_cycle          from `start` up to 1 over the share `rise` of the steps and down to `end`, along cosines, the momentum opposite

    With W warm-up steps it is (k + 1) / (W + 1) times learning_rate for k < W, then the schedule begins. Each group keeps its own factor.

    Source: Loshchilov and Hutter 2017 (cosine, warm restarts); Smith and Topin 2018 (one cycle).
    """

    def __init__(self, optimiser: Optimizer, settings: TrainingSettings, steps: int, per_epoch: int) -> None:
        options = OPTIONS[settings.schedule] | dict(settings.schedule_options)
        warm = int(settings.warmup * steps)
        self._optimiser = optimiser
        self._by_step: LRScheduler | None = None
        self._by_epoch: ReduceLROnPlateau | None = None
        if settings.schedule == "one_cycle":
            rates = [group["lr"] for group in optimiser.param_groups]
            cycling = "betas" in optimiser.defaults or optimiser.defaults.get("momentum", 0) > 0
            end, start = max(options["end"], 1e-12), options["start"]
            self._by_step = OneCycleLR(
                optimiser, rates, steps, pct_start=options["rise"], cycle_momentum=cycling, div_factor=1 / start, final_div_factor=start / end
            )
        elif settings.schedule in SHAPES:
            shape = SHAPES[settings.schedule]

            def factor(step: int) -> float:
                return (step + 1) / (warm + 1) if step < warm else shape(options, (step - warm) / per_epoch, (step - warm) / max(1, steps - warm))

            self._by_step = LambdaLR(optimiser, factor)
        elif warm:  # a change of the rate as it is, so that plateau's changes stay
            self._by_step = LinearLR(optimiser, 1 / (warm + 1), 1.0, warm)
        if settings.schedule == "plateau":
            # PyTorch's patience is one less, the epochs let pass before; its own threshold takes a slightly worse negative loss for a better one.
            let_pass = int(options["patience"]) - 1
            self._by_epoch = ReduceLROnPlateau(optimiser, factor=options["factor"], patience=let_pass, threshold=0.0, threshold_mode="abs")

    @property
    def learning_rate(self) -> float:
        return float(self._optimiser.param_groups[0]["lr"])

    def step(self) -> None:
        if self._by_step is not None:
            self._by_step.step()

    def end_epoch(self, validation_loss: float | None) -> None:
        if self._by_epoch is not None and validation_loss is not None:
            self._by_epoch.step(validation_loss)

    def scale(self, factor: float) -> None:
        """Multiply all rates, those of now and those to come."""
        for group in self._optimiser.param_groups:
            group.update({name: group[name] * factor for name in ("lr", "initial_lr", "max_lr", "min_lr") if name in group})
        if self._by_step is not None:
            self._by_step.base_lrs = [rate * factor for rate in self._by_step.base_lrs]

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


Options = Mapping[str, float]


def _cosine(options: Options, epochs: float, share: float) -> float:
    return options["end"] + (1 - options["end"]) * (1 + math.cos(math.pi * min(share, 1))) / 2


def _warm_restarts(options: Options, epochs: float, share: float) -> float:
    length = options["every"]
    while epochs >= length:
        epochs -= length
        length *= options["growth"]
    return _cosine(options, epochs, epochs / length)


SHAPES: dict[str, Callable[[Options, float, float], float]] = {
    "step": lambda options, epochs, share: options["factor"] ** math.floor(max(0, epochs - options["after"]) / options["every"]),
    "exponential": lambda options, epochs, share: options["factor"] ** max(0, epochs - options["after"]),
    "inverse_time": lambda options, epochs, share: 1 / (1 + options["decay"] * epochs),
    "polynomial": lambda options, epochs, share: options["end"] + (1 - options["end"]) * (1 - min(share, 1)) ** options["power"],
    "cosine": _cosine,
    "warm_restarts": _warm_restarts,
}
