"""The parameters that a session is given: one mapping, a stack of them, or what ``grus.convert`` gives; natural mistakes are told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from numpy.typing import ArrayLike

from grus.cells import Cell
from grus.cells import get as get_cell
from grus.errors import OptionError
from grus.runtime.arguments import check_names

Layer = Mapping[str, ArrayLike]
Given = Layer | Sequence[Layer | Sequence[Layer]]
_PYTORCH = re.compile(r"(.*\.)?(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?")
_ENDING = re.compile(r"(?P<name>.+)_l\d+(_reverse)?")


def find_cell(cell: str | Cell) -> Cell:
    """The session's cell.

    Raises: OptionError where it is a layer, or no cell's name.
    """
    if _is_module(cell):
        kind = type(cell).__name__
        raise OptionError(f"Session: cell must be a Cell or the name of one, got a {kind} module; {_REMEDY}.")
    return get_cell(cell)


def as_layers(cell: Cell, given: Given) -> list[Layer]:
    """One mapping of parameters per layer; the only direction of a layer from ``grus.convert`` stands for the layer.

    Raises: OptionError for anything else.
    """
    who = f"Session({cell.name})"
    if _is_module(given):
        raise OptionError(f"{who}: parameters must be arrays by name, got a {type(given).__name__} module; {_REMEDY}.")
    if isinstance(given, Mapping):
        return [given]
    if isinstance(given, str) or not isinstance(given, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"{who}: parameters must be a mapping or one for each layer, got {type(given).__name__}; pass arrays by name.")
    return [_only_direction(who, number, layer) for number, layer in enumerate(given)]


def check_parameter_names(who: str, cell: Cell, given: Layer) -> None:
    """Whether exactly the cell's parameters are given; other libraries' and layers' names are recognised."""
    wanted = [parameter.name for parameter in cell.parameters]
    for name in map(str, given):
        ending = _ENDING.fullmatch(name)
        if name not in wanted and _PYTORCH.fullmatch(name):
            raise OptionError(
                f"{who}: parameters must be {', '.join(wanted)}, got PyTorch's {name!r}; pass grus.convert.from_pytorch(parameters, {cell.name!r})."
            )
        if name not in wanted and ending and ending["name"] in wanted:
            raise OptionError(
                f"{who}: parameters must be {', '.join(wanted)}, got {name!r}; drop the layer's ending, and pass one mapping for each layer."
            )
    check_names(who, "parameters", wanted, given)


_REMEDY = (
    "pass the cell and its arrays: grus.convert.from_pytorch(module.state_dict(), name) of an RNN, GRU or LSTM, "
    "module.named_parameters() without the ending _l0 of a Recurrent"
)


def _only_direction(who: str, number: int, layer: Layer | Sequence[Layer]) -> Layer:
    if isinstance(layer, Mapping):
        return layer
    directions: Any = layer
    if isinstance(directions, str) or not isinstance(directions, Sequence) or not all(isinstance(part, Mapping) for part in cast(Any, directions)):
        raise OptionError(f"{who}: layer {number} must be a mapping of arrays by name, got {type(layer).__name__}; pass one for each layer.")
    if len(layer) != 1:
        raise OptionError(
            f"{who}: layer {number} must have one direction, as a stream has no end to begin the reverse one from, got {len(layer)}; "
            "train the layer with bidirectional=False."
        )
    return layer[0]


def _is_module(value: object) -> bool:
    """Whether this is a PyTorch module, told without PyTorch."""
    return not isinstance(value, type) and callable(getattr(cast(Any, value), "named_parameters", None))
