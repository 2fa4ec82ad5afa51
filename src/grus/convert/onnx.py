"""Weights of ONNX's RNN, GRU and LSTM operators, to and from the neutral form, without onnx.

For D directions (forward or reverse; both, forward first) and k gates the operators read W [D, kH, I], R [D, kH, H], B [D, 2kH] (the
input biases, then the recurrent ones) and, for LSTM, peepholes P [D, 3H]. Gates stand in the order z, r, h (GRU), i, o, f, c (LSTM) and
i, o, f (P). GRU with ``linear_before_reset=1`` is the cell ``gru``; with 0, ONNX's default, it is ``gru_reset_before``. Only ``gru``
needs the split of B; elsewhere the neutral form holds the sum, and going back it all stands in the input half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from grus.convert.parameters import (
    Array,
    Directions,
    Form,
    Parameters,
    as_array,
    blocks,
    check_directions,
    check_no_bias,
    check_one_dtype,
    check_rank,
    check_shape,
    divide,
    form_of,
    keep_with_z,
    merge_biases,
    split_biases,
    stacked,
)
from grus.errors import OptionError

GATES = {
    "rnn_tanh": ("",),
    "rnn_relu": ("",),
    "gru": ("z", "r", "n"),
    "gru_reset_before": ("z", "r", "n"),
    "lstm": ("i", "o", "f", "g"),
    "lstm_peephole": ("i", "o", "f", "g"),
}
PEEPHOLES = ("p_i", "p_o", "p_f")


def from_onnx_weights(W: object, R: object, B: object = None, P: object = None, *, cell: str) -> Directions:
    """The parameters of each direction in the weight inputs of one operator; a missing B is zero.

    Raises: OptionError where P and the cell do not go together; ShapeError, DtypeError naming the array.
    Example:
        >>> forward, reverse = from_onnx_weights(np.ones((2, 9, 4)), np.ones((2, 9, 3)), np.ones((2, 18)), cell="gru_reset_before")
        >>> forward["b_n"]
        array([2., 2., 2.])
    """
    return read_weights("from_onnx_weights", {"W": W, "R": R, "B": B, "P": P}, cell)


def read_weights(who: str, weights: Mapping[str, object], cell: str) -> Directions:
    """``from_onnx_weights`` for ``who``; a weight may be missing or None."""
    form = form_of(who, cell, tuple(GATES))
    given = {name: value for name, value in weights.items() if value is not None or name in "WR"}
    if ("P" in given) != (cell == "lstm_peephole"):
        raise OptionError(
            f"{who}: P must be given for lstm_peephole and for no other cell, got {'it' if 'P' in given else 'none'} for {cell}; change one of them."
        )
    arrays = {name: as_array(who, name, value) for name, value in given.items()}
    check_one_dtype(who, arrays)
    gates = len(form.gates)
    check_rank(who, "W", arrays["W"], f"D, {gates}H, I")
    directions, rows, _ = arrays["W"].shape
    hidden = divide(who, "W", rows, gates)
    arrays.setdefault("B", np.zeros((directions, 2 * rows), arrays["W"].dtype))
    check_shape(who, "R", arrays["R"], f"D, {gates}H, H", (directions, rows, hidden))
    check_shape(who, "B", arrays["B"], f"D, {2 * gates}H", (directions, 2 * rows))
    if "P" in arrays:
        check_shape(who, "P", arrays["P"], "D, 3H", (directions, 3 * hidden))
    found = [_from_direction(form, {name: array[place] for name, array in arrays.items()}) for place in range(directions)]
    return check_directions(who, cell, found)[0]


def to_onnx_weights(directions: Sequence[Mapping[str, object]], cell: str, *, bias: bool = True) -> dict[str, Array]:
    """The weight inputs W, R, B (unless ``bias=False``) and P (for ``lstm_peephole``) of the operator: the inverse of ``from_onnx_weights``.

    Raises: OptionError where ``bias=False`` would lose a bias; ShapeError, DtypeError naming the array.
    Example:
        >>> directions = from_onnx_weights(np.ones((1, 9, 4)), np.ones((1, 9, 3)), cell="gru")
        >>> {name: array.shape for name, array in to_onnx_weights(directions, "gru").items()}
        {'W': (1, 9, 4), 'R': (1, 9, 3), 'B': (1, 18)}
    """
    who = "to_onnx_weights"
    form = form_of(who, cell, tuple(GATES))
    own, _ = check_directions(who, cell, directions)
    checked = [keep_with_z(form, parameters) for parameters in own]
    order = GATES[cell]
    arrays = {name: np.stack([stacked(parameters, form.names(letter, order)) for parameters in checked]) for name, letter in (("W", "W"), ("R", "U"))}
    if bias:
        arrays["B"] = np.stack([np.concatenate(split_biases(form, parameters, order)) for parameters in checked])
    else:
        for parameters in checked:
            check_no_bias(who, form, parameters)
    if cell == "lstm_peephole":
        arrays["P"] = np.stack([stacked(parameters, PEEPHOLES) for parameters in checked])
    return arrays


def _from_direction(form: Form, arrays: Mapping[str, Array]) -> Parameters:
    order = GATES[form.cell]
    outer, inner = np.split(arrays["B"], 2)
    parameters = blocks(arrays["W"], form.names("W", order)) | blocks(arrays["R"], form.names("U", order))
    parameters |= merge_biases(form, outer, inner, order) | (blocks(arrays["P"], PEEPHOLES) if "P" in arrays else {})
    return keep_with_z(form, parameters)
