"""What a training run can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grus.errors import OptionError
from grus.training.averaging import check_average
from grus.training.named import nearest
from grus.training.optimisers import check_options
from grus.training.regularise import Penalty
from grus.training.schedule import check_schedule

# A list, as JSON has it, is a tuple: betas.
OptionValue = bool | int | float | str | Annotated[tuple[float, ...], Field(strict=False)] | None

_MUST = {
    "epochs": "a whole number of at least 1",
    "batch_size": "a whole number of at least 1",
    "learning_rate": "a finite number above 0",
    "weight_decay": "a finite number of at least 0",
    "optimiser": "one of 'adamw', 'adam', 'nadam', 'radam', 'sgd', 'rmsprop', 'adagrad', 'adadelta', 'lbfgs'",
    "optimiser_options": "options of PyTorch's optimiser by name, such as {'momentum': 0.9}",
    "groups": "a list of groups of parameters, such as {'names': 'decoder.*', 'rate_factor': 0.1}",
    "schedule": "one of 'constant', 'step', 'exponential', 'inverse_time', 'polynomial', 'cosine', 'warm_restarts', 'one_cycle', 'plateau'",
    "schedule_options": "options of the schedule by name, such as {'factor': 0.5}",
    "warmup": "a number of at least 0 and below 1",
    "accumulate": "a whole number of at least 1",
    "clip_norm": "a finite number above 0, or None",
    "clip_value": "a finite number above 0, or None",
    "clip_percentile": "a number above 0 and at most 100, or None",
    "penalties": "a list of penalties on weights, such as {'kind': 'recurrent', 'l2': 1e-4}",
    "activation": "a finite number of at least 0",
    "temporal_activation": "a finite number of at least 0",
    "input_noise": "a finite number of at least 0",
    "window_warping": "a number from 0 to 1",
    "average": "one of 'none', 'ema', 'polyak', 'swa'",
    "average_options": "options of the average by name, such as {'decay': 0.99}",
    "on_divergence": "one of 'stop', 'roll_back'",
    "patience": "a whole number of at least 1, or None",
    "seed": "a whole number of at least 0 and below 2**64",
    "threads": "a whole number of at least 1, or None",
    "max_memory_gb": "a finite number above 0, or None",
    "steps_per_epoch": "a whole number of at least 1, or None",
    "prefetch": "a whole number of at least 0",
    "checkpoint_every_s": "a number above 0",
    "accelerator": "one of 'cpu', 'cuda'",
    "precision": "one of '32-true', 'bf16-mixed'",
}


class ParameterGroup(BaseModel):
    """Parameters that learn in another way than the rest.

    names: those whose name matches, * for any part of it, as in "encoder.*" or "*.bias_*".
    rate_factor: times the learning rate; 0 leaves them as they are.
    weight_decay: theirs, vectors too; None is as for the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: str = Field(min_length=1)
    rate_factor: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    weight_decay: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class TrainingSettings(BaseModel):
    """How a network is trained; batch_size, input_noise, window_warping and max_memory_gb are heeded where batches and networks are built.

    epochs: passes over the training batches, at most.
    batch_size: samples per batch of each process.
    optimiser: PyTorch's of that name. Gradient descent on all of the data is "sgd" with a batch_size as large as the data.
    optimiser_options: its own, such as momentum and nesterov of "sgd", betas of "adam".
    learning_rate: the optimiser's, the highest one of its schedule.
    weight_decay: the optimiser's, on matrices only: biases and other vectors have none.
    groups: parameters with a rate or decay of their own; one belongs to the first group that names it.
    schedule: "constant"; "cosine" falls to 0 over the run; "one_cycle" rises over 30 % of the steps and falls, with the momentum opposite;
        "plateau" halves the rate after 3 epochs without a better validation loss; the others are in ``grus.training.schedule``.
    schedule_options: its own, such as the epochs between two steps.
    warmup: the share of all steps over which the rate first rises linearly; not for "one_cycle", which has a rise of its own.
    accumulate: batches whose gradients make one update together, as one batch of their size would.
    clip_norm: the largest norm of all gradients together; None does not clip.
    clip_value: the largest size of each entry of a gradient, before the norm is clipped.
    clip_percentile: clips the norm to this percentile of those of the last 1000 updates, as well as to clip_norm.
    penalties: added to the loss for the size of weights; see ``grus.training.regularise``.
    activation: times the mean square of the last recurrent layer's outputs, added to the loss.
    temporal_activation: times the mean square of their changes from step to step, added to the loss.
    input_noise: the deviation of normal noise on the measured values of training windows, in scaled units.
    window_warping: the probability of a training window to have a stretch sped up or slowed down.
    average: of the weights, for validation and for the network that the run gives: "ema" fades, "polyak" is the mean over updates, "swa" over
        epochs; see ``grus.training.averaging``.
    average_options: its own: decay of "ema", and start, the share of the epochs before it begins.
    on_divergence: "stop" raises where a loss is not finite or far above where it began; "roll_back" goes on from the last whole epoch at half
        the rate, 5 times at most. Either keeps the weights and the batch in checkpoints/diverged.
    patience: epochs without a better validation loss before the run stops; None, or no validation, never stops early.
    seed: decides the batches and every random draw of the run.
    threads: PyTorch's threads during the run; None leaves them as they are.
    max_memory_gb: what the recurrent layers may keep in each process for the gradient of a step, in 10^9 bytes: the
        fastest memory option within it is taken; None takes the fastest. For accelerator "cpu" alone.
    steps_per_epoch: at most this many batches of each epoch; None takes all.
    prefetch: batches that a thread makes ready ahead; the bits of a run do not depend on it.
    checkpoint_every_s: seconds between checkpoints within an epoch.
    accelerator: "cpu" or "cuda", one device for each process.
    precision: "32-true" computes in the weights' own type, "bf16-mixed" under autocast.

    Raises: OptionError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    optimiser: Literal["adamw", "adam", "nadam", "radam", "sgd", "rmsprop", "adagrad", "adadelta", "lbfgs"] = "adamw"
    optimiser_options: Mapping[str, OptionValue] = {}
    groups: Annotated[tuple[ParameterGroup, ...], Field(strict=False)] = ()
    schedule: Literal["constant", "step", "exponential", "inverse_time", "polynomial", "cosine", "warm_restarts", "one_cycle", "plateau"] = "cosine"
    schedule_options: Mapping[str, float] = {}
    warmup: float = Field(default=0.0, ge=0, lt=1)
    accumulate: int = Field(default=1, ge=1)
    clip_norm: float | None = Field(default=1.0, gt=0, allow_inf_nan=False)
    clip_value: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    clip_percentile: float | None = Field(default=None, gt=0, le=100)
    penalties: Annotated[tuple[Penalty, ...], Field(strict=False)] = ()
    activation: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    temporal_activation: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    input_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    window_warping: float = Field(default=0.0, ge=0, le=1)
    average: Literal["none", "ema", "polyak", "swa"] = "none"
    average_options: Mapping[str, float] = {}
    on_divergence: Literal["stop", "roll_back"] = "stop"
    patience: int | None = Field(default=10, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**64)
    threads: int | None = Field(default=None, ge=1)
    max_memory_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    prefetch: int = Field(default=0, ge=0)
    checkpoint_every_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    accelerator: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    if not TYPE_CHECKING:  # type checkers keep the constructor that the fields give

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise OptionError(_sentence(error)) from error
            if self.schedule == "one_cycle" and self.warmup > 0:
                raise OptionError(
                    f"TrainingSettings: warmup must be 0 with schedule='one_cycle', which rises by itself, got {self.warmup}; leave it out."
                )
            if self.max_memory_gb is not None and self.accelerator != "cpu":
                raise OptionError(
                    f"TrainingSettings: max_memory_gb must be None with accelerator={self.accelerator!r}, as it is of the processor's kernels, got "
                    f"{self.max_memory_gb:g}; leave it out."
                )
            check_options(self.optimiser, self.optimiser_options)
            check_schedule(self.schedule, self.schedule_options)
            clips = [name for name in ("clip_norm", "clip_value", "clip_percentile") if getattr(self, name) is not None]
            if self.optimiser == "lbfgs" and clips:
                raise OptionError(
                    f"TrainingSettings: {clips[0]} must be None with optimiser='lbfgs', which learns the curvature from whole gradients, "
                    f"got {getattr(self, clips[0])}; set it to None (null in a file or with --set)."
                )
            check_average(self.average, self.average_options)


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name, given = str(first["loc"][0]), first["input"]
    if name not in _MUST:
        return f"TrainingSettings: options must be among {', '.join(_MUST)}, got {name!r}; {nearest(name, _MUST, 'check its spelling.')}"
    field = TrainingSettings.model_fields[name]
    words = [word for word in get_args(field.annotation) if isinstance(word, str)]
    remedy = nearest(given, words, f"leave it out for {field.default!r}.")
    return f"TrainingSettings: {name} must be {_MUST[name]}, got {given!r}; {remedy}"
