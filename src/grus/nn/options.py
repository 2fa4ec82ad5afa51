"""What every recurrent layer takes beyond PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from numbers import Integral, Real
from typing import Any, Literal, TypedDict, cast

from grus.errors import OptionError

Backend = Literal["auto", "native", "torch"]
Memory = Literal["store", "recompute", "checkpoint"]
Precision = Literal["float32", "bf16"]
Output = Literal["all", "last"]
Initialiser = str | Mapping[str, str] | Callable[..., None]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "backend": ("auto", "native", "torch"),
    "memory": ("store", "recompute", "checkpoint"),
    "precision": ("float32", "bf16"),
    "output": ("all", "last"),
}
_FLAGS = ("residual", "layer_norm", "learn_initial_state")
_PROBABILITIES = ("input_dropout", "recurrent_dropout", "zoneout", "weight_drop")


class Extras(TypedDict, total=False):
    """The keyword arguments; ``Options`` says what each one means."""

    backend: Backend
    memory: Memory
    precision: Precision
    output: Output
    residual: bool
    input_dropout: float
    recurrent_dropout: float
    zoneout: float
    weight_drop: float
    layer_norm: bool
    clip_state_gradient: float | None
    initialiser: Initialiser | Sequence[Initialiser]
    learn_initial_state: bool
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Options:
    """How a layer runs, and how it is regularised.

    backend: "native" compiled kernels (CPU, float32 and float64), "torch" PyTorch operations, "auto" native where it can run.
    memory: keep every value for the gradient ("store"), the states alone ("recompute"), or every k-th state ("checkpoint").
    precision: "bf16" rounds the operands of products to bfloat16; sums and states stay float32.
    output: "last" returns each row's last output [B, D] instead of the sequence.
    residual: from the second layer on, a layer's input is added to its output.
    input_dropout: one mask per sequence on each layer's input ("variational" dropout).
    recurrent_dropout: one mask per sequence on what the recurrent matrices multiply.
    zoneout: each unit of a state keeps its old value with this probability; its expectation when not training.
    weight_drop: entries of the recurrent matrices are dropped once per call.
    layer_norm: the products in each gate are normalised over the units.
    clip_state_gradient: in training, the gradient with respect to the state goes on within ± this from every step to the one before.
    initialiser: names, mappings of parameters to names, or functions of ``grus.nn.initialisers``, applied in turn.
    learn_initial_state: the state before the first step, and after a reset, is a parameter.
    sizes: sizes of the cell's own dimensions, such as a rank.
    """

    backend: Backend = "auto"
    memory: Memory = "store"
    precision: Precision = "float32"
    output: Output = "all"
    residual: bool = False
    input_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    weight_drop: float = 0.0
    layer_norm: bool = False
    clip_state_gradient: float | None = None
    initialiser: Initialiser | Sequence[Initialiser] = "pytorch"
    learn_initial_state: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])

    @staticmethod
    def of(who: str, extras: Mapping[str, Any]) -> Options:
        """The options that ``extras`` name, checked.

        Raises: OptionError for an unknown name or a value that is not allowed.
        """
        known = {entry.name for entry in fields(Options)}
        unknown = [name for name in extras if name not in known]
        if unknown:
            raise OptionError(f"{who}: options must be among {', '.join(sorted(known))}, got {unknown[0]!r}; check its spelling")
        given = dict(extras)
        for names, check in ((tuple(_CHOICES), check_choice), (_PROBABILITIES, check_probability), (_FLAGS, check_flag)):
            given.update({name: check(who, name, given[name]) for name in names if name in given})
        if given.get("clip_state_gradient") is not None:
            given["clip_state_gradient"] = check_positive(who, "clip_state_gradient", given["clip_state_gradient"])
        if "sizes" in given:
            given["sizes"] = _sizes(who, given["sizes"])
        return Options(**given)


def check_choice(who: str, name: str, value: object) -> str:
    """``value`` as one of the words that the option takes.

    Raises: OptionError for another one.
    """
    allowed = _CHOICES[name]
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{who}: {name} must be one of {', '.join(map(repr, allowed))}, got {value!r}; leave it out for {allowed[0]!r}")
    return value


def check_flag(who: str, name: str, value: object) -> bool:
    """``value`` as a flag.

    Raises: OptionError unless it is True or False.
    """
    if not isinstance(value, bool):
        raise OptionError(f"{who}: {name} must be True or False, got {value!r}; write one of the two")
    return value


def check_count(who: str, name: str, value: object, least: int = 1) -> int:
    """``value`` as a count.

    Raises: OptionError unless it is a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise OptionError(f"{who}: {name} must be a whole number of at least {least}, got {value!r}; pass an int")
    return int(value)


def check_probability(who: str, name: str, value: object) -> float:
    """``value`` as a probability.

    Raises: OptionError outside [0, 1].
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise OptionError(f"{who}: {name} must be a number in [0, 1], got {value!r}; 0 turns it off")
    return float(value)


def check_positive(who: str, name: str, value: object) -> float:
    """``value`` as a finite number above 0.

    Raises: OptionError for another one.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < inf:
        raise OptionError(f"{who}: {name} must be a finite number above 0, or None, got {value!r}; None turns it off")
    return float(value)


def _sizes(who: str, value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise OptionError(f"{who}: sizes must be a mapping of dimensions to sizes, got {value!r}; pass sizes={{'R': 8}} for a dimension R")
    given = cast(Mapping[object, object], value)
    return {str(dim): check_count(who, f"sizes[{dim!r}]", size) for dim, size in given.items()}


def check_hidden_sizes(who: str, value: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """A size for each layer, of one for all or one for each.

    Raises: OptionError.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (check_count(who, "hidden_size", value),) * num_layers
    if len(value) != num_layers:
        raise OptionError(f"{who}: hidden_size must be one size or num_layers = {num_layers} sizes, got {len(value)}; give each layer its size")
    return tuple(check_count(who, "hidden_size", size) for size in value)
