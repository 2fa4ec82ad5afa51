"""The neutral form of a cell's weights: a dict of NumPy arrays by the cell's parameter names, and its checks.

A cell of I inputs and H units has, for each gate g, ``W_g`` [H, I], ``U_g`` [H, H] and ``b_g`` [H] (just W, U and b in a simple RNN);
``gru`` adds ``c_n`` [H] (the bias inside the reset product), ``lstm_peephole`` adds ``p_i``, ``p_f``, ``p_o`` [H], and in
``lstm_projected`` ``U_g`` is [H, P] beside ``W_hr`` [P, H]. A bidirectional layer is a pair of such dicts: forward, then reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.cells import get
from grus.errors import DtypeError, OptionError, ShapeError

Array = NDArray[np.floating[Any]]
Parameters = dict[str, Array]
Directions = tuple[Parameters, ...]
Sizes = dict[str, int]
PROJECTION = "W_hr"


@dataclass(frozen=True)
class Form:
    """How a cell's parameters lie in stacked arrays: its ``gates``, each with W, U and b, and those whose recurrent bias c stays apart.

    ``z_takes_new`` tells that z = 1 takes the new value, where PyTorch, Keras and ONNX have z = 1 keep the old one.
    """

    cell: str
    gates: tuple[str, ...]
    apart: tuple[str, ...] = ()
    projected: bool = False
    z_takes_new: bool = False

    def names(self, letter: str, order: Iterable[str] | None = None) -> tuple[str, ...]:
        """The parameters of one letter (W, U or b), in the order of ``order``, by default the cell's own."""
        return tuple(f"{letter}_{gate}" if gate else letter for gate in (self.gates if order is None else order))

    @property
    def biases(self) -> tuple[str, ...]:
        """Every parameter that a layer without bias does not have."""
        return self.names("b") + self.names("c", self.apart)


FORMS = {
    form.cell: form
    for form in (
        Form("rnn_tanh", ("",)),
        Form("rnn_relu", ("",)),
        Form("gru", ("r", "z", "n"), apart=("n",)),
        Form("gru_reset_before", ("r", "z", "n"), z_takes_new=True),
        Form("lstm", ("i", "f", "g", "o")),
        Form("lstm_projected", ("i", "f", "g", "o"), projected=True),
        Form("lstm_peephole", ("i", "f", "g", "o")),
    )
}


def form_of(who: str, cell: str, allowed: Sequence[str]) -> Form:
    """The form of ``cell``, which must be one of ``allowed``."""
    if cell not in allowed:
        raise OptionError(
            f"{who}: cell must be one of {', '.join(allowed)}, got {cell!r}; other cells have no such layer, keep them in the neutral form."
        )
    return FORMS[cell]


def as_array(who: str, name: str, value: object) -> Array:
    """``value`` as an array of a floating type, in an own copy."""
    try:
        array = np.array(np.asarray(value), order="C")
    except (TypeError, RuntimeError, ValueError) as error:
        raise DtypeError(f"{who}: {name} must be readable as a NumPy array, got {type(value).__name__} ({error}); pass an array.") from error
    if not np.issubdtype(array.dtype, np.floating):
        raise DtypeError(f"{who}: {name} must have a floating type, got {array.dtype}; convert it with astype.")
    return array


def check_shape(who: str, name: str, array: Array, letters: str, expected: Sequence[int]) -> None:
    """Raise unless ``array`` has the shape ``expected``, which ``letters`` describes."""
    if array.shape != tuple(expected):
        raise ShapeError(f"{who}: {name} must be [{letters}] = {list(expected)}, got {list(array.shape)}; all arrays must agree on the sizes.")


def check_rank(who: str, name: str, array: Array, letters: str) -> None:
    """Raise unless ``array`` has one axis per letter."""
    if array.ndim != (letters.count(",") + 1 if letters else 0):
        raise ShapeError(f"{who}: {name} must be [{letters}], got {list(array.shape)}; pass it as the framework gives it.")


def divide(who: str, name: str, rows: int, gates: int) -> int:
    """The number of units in ``rows``, which must be a multiple of ``gates``."""
    if rows == 0 or rows % gates:
        raise ShapeError(f"{who}: {name} must stack {gates} gates of H units each, got {rows} in all; name the cell that the weight is of.")
    return rows // gates


def check_parameters(who: str, cell: str, parameters: Mapping[str, object]) -> tuple[Parameters, Sizes]:
    """The parameters of one direction as arrays, each held against the cell's definition, and the sizes they imply."""
    wanted = get(cell).parameters
    check_names(who, f"the parameters of {cell}", parameters, [parameter.name for parameter in wanted])
    arrays = {parameter.name: as_array(who, parameter.name, parameters[parameter.name]) for parameter in wanted}
    check_one_dtype(who, arrays)
    sizes: Sizes = {}
    for parameter in wanted:
        bind(who, parameter.name, arrays[parameter.name], parameter.shape, sizes)
    return arrays, sizes


def bind(who: str, name: str, array: Array, dims: Sequence[str], sizes: Sizes) -> None:
    """Raise unless ``array`` has the dimensions ``dims``; those whose size is not known yet get it from here."""
    letters = ", ".join(dims)
    check_rank(who, name, array, letters)
    for dim, size in zip(dims, array.shape, strict=True):
        sizes.setdefault(dim, size)
    check_shape(who, name, array, letters, [sizes[dim] for dim in dims])


def check_names(who: str, what: str, given: Iterable[str], wanted: Sequence[str]) -> None:
    """Raise unless ``given`` holds exactly the names in ``wanted``."""
    names = set(given)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise OptionError(f"{who}: {what} must hold {', '.join(wanted)}, got none called {', '.join(missing)}; pass each by name.")
    extra = sorted(names - set(wanted))
    if extra:
        raise OptionError(f"{who}: {what} must hold only {', '.join(wanted)}, got also {', '.join(extra)}; leave that out.")


def check_one_dtype(who: str, arrays: Mapping[str, Array]) -> None:
    """Raise unless all arrays have one dtype."""
    dtypes = {str(array.dtype): name for name, array in arrays.items()}
    if len(dtypes) > 1:
        found = " and ".join(f"{dtype} ({name})" for dtype, name in dtypes.items())
        raise DtypeError(f"{who}: all arrays must have one dtype, got {found}; convert them with astype.")


def check_directions(who: str, cell: str, directions: Sequence[Mapping[str, object]]) -> tuple[Directions, Sizes]:
    """One or two directions, of the same sizes."""
    if len(directions) not in (1, 2):
        raise OptionError(
            f"{who}: directions must be one dict of parameters, or two (forward, reverse), got {len(directions)}; pass layers one by one."
        )
    checked = [check_parameters(who, cell, parameters) for parameters in directions]
    if checked[0][1] != checked[-1][1]:
        raise ShapeError(f"{who}: both directions must have the same sizes, got {checked[0][1]} and {checked[1][1]}; pass both of one layer.")
    check_one_dtype(who, {f"{name} of direction {place}": array for place, (arrays, _) in enumerate(checked) for name, array in arrays.items()})
    return tuple(arrays for arrays, _ in checked), checked[0][1]


def check_no_bias(who: str, form: Form, parameters: Parameters) -> None:
    """Raise if a bias is not zero, which a form without biases would lose."""
    for name in form.biases:
        if np.any(parameters[name] != 0):
            raise OptionError(f"{who}: {name} must be zero where bias=False, got up to {np.abs(parameters[name]).max():.3g}; use bias=True.")


def stacked(parameters: Parameters, names: Iterable[str]) -> Array:
    """The named parameters, one below the other."""
    return np.concatenate([parameters[name] for name in names])


def blocks(array: Array, names: Sequence[str]) -> Parameters:
    """The equal blocks of ``array`` along its first axis, each under its name and in its own memory."""
    return {name: np.ascontiguousarray(block) for name, block in zip(names, np.split(array, len(names)), strict=True)}


def merge_biases(form: Form, outer: Array, inner: Array, order: Sequence[str]) -> Parameters:
    """The neutral biases of two stacked ones, in the gate order ``order``: their sum, but for a gate whose ``c_g`` stays apart."""
    merged = blocks(outer, form.names("b", order))
    for gate, second in zip(order, blocks(inner, form.names("b", order)).values(), strict=True):
        if gate in form.apart:
            merged[f"c_{gate}"] = second
        else:
            merged[form.names("b", (gate,))[0]] += second
    return merged


def split_biases(form: Form, parameters: Parameters, order: Sequence[str]) -> tuple[Array, Array]:
    """Two stacked biases that mean what the neutral ones do: ``b_g`` in the first; ``c_g``, or zero where there is none, in the second."""
    outer = stacked(parameters, form.names("b", order))
    zero = np.zeros_like(parameters[form.names("b")[0]])
    return outer, np.concatenate([parameters.get(name, zero) for name in form.names("c", order)])


def keep_with_z(form: Form, parameters: Parameters) -> Parameters:
    """``parameters`` with z = 1 keeping the old state, and back: the form of PyTorch, Keras and ONNX for every cell."""
    return flip_update_gate(parameters) if form.z_takes_new else parameters


def flip_update_gate(parameters: Mapping[str, Array], gate: str = "z") -> Parameters:
    """The same cell with its update gate read the other way round.

    h' = (1 - z) n + z h  and  h' = (1 - z) h + z n  are one cell: 1 - sigmoid(a) = sigmoid(-a), so W, U and b of the gate change sign.

    Example:
        >>> flip_update_gate({"W_z": np.ones((1, 2)), "U_z": np.ones((1, 1)), "b_z": np.ones(1), "W_r": np.ones((1, 2))})["W_z"]
        array([[-1., -1.]])
    """
    flipped = [f"{letter}_{gate}" for letter in "WUb"]
    missing = [name for name in flipped if name not in parameters]
    if missing:
        raise OptionError(
            f"flip_update_gate: parameters must hold {', '.join(flipped)}, got none called {', '.join(missing)}; name the gate with gate=."
        )
    return {name: -array if name in flipped else np.array(array) for name, array in parameters.items()}
