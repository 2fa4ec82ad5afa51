"""What every recurrent layer takes beyond PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict

from grus.errors import OptionError

Backend = Literal["auto", "native", "torch"]
Memory = Literal["store", "recompute", "checkpoint"]
Precision = Literal["float32", "bf16"]
Output = Literal["all", "last"]
Initialiser = str | Callable[..., None]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "backend": ("auto", "native", "torch"),
    "memory": ("store", "recompute", "checkpoint"),
    "precision": ("float32", "bf16"),
    "output": ("all", "last"),
}
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
    initialiser: Initialiser | tuple[Initialiser, ...]
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
    initialiser: names or functions of ``grus.nn.initialisers``, applied in turn.
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
    initialiser: Initialiser | tuple[Initialiser, ...] = "pytorch"
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
            raise OptionError(f"{who}: options must be among {', '.join(sorted(known))}, got {unknown[0]!r}")
        options = Options(**extras)
        for name, allowed in _CHOICES.items():
            if getattr(options, name) not in allowed:
                raise OptionError(f"{who}: {name} must be one of {', '.join(map(repr, allowed))}, got {getattr(options, name)!r}")
        for name in _PROBABILITIES:
            check_probability(who, name, getattr(options, name))
        return options


def check_count(who: str, name: str, value: object) -> int:
    """``value`` as a count.

    Raises: OptionError unless it is a whole number of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{who}: {name} must be a whole number of at least 1, got {value!r}")
    return value


def check_probability(who: str, name: str, value: object) -> float:
    """``value`` as a probability.

    Raises: OptionError outside [0, 1].
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise OptionError(f"{who}: {name} must be a number in [0, 1], got {value!r}")
    return float(value)
