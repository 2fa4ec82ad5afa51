"""Weights of Keras's ``SimpleRNN``, ``GRU`` and ``LSTM`` layers, to and from the neutral form, without keras.

``layer.get_weights()`` gives ``kernel`` [I, gates·H], ``recurrent_kernel`` [H, gates·H] and, unless ``use_bias=False``, ``bias``; the
gates stand side by side (GRU z, r, h; LSTM i, f, c, o). A GRU with ``reset_after=True`` (the default) is the cell ``gru`` and its bias
is [2, 3H] (input, recurrent); with ``reset_after=False`` it is ``gru_reset_before`` and its bias [3H]. ``Bidirectional`` lists the
forward layer's arrays, then the backward one's. ``unit_forget_bias`` only concerns initialisation: the trained bias is stored as it is.
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
from grus.errors import OptionError, ShapeError

GATES = {
    "rnn_tanh": ("",),
    "rnn_relu": ("",),
    "gru": ("z", "r", "n"),
    "gru_reset_before": ("z", "r", "n"),
    "lstm": ("i", "f", "g", "o"),
}


def from_keras(weights: Sequence[object], cell: str) -> Directions:
    """The parameters of each direction in the list that ``get_weights()`` of a layer, or of a Bidirectional one, gives.

    A layer without bias (two arrays a direction) has zero biases. The cell must match the layer's ``activation`` and ``reset_after``.

    Raises: OptionError for a wrong number of arrays; ShapeError, DtypeError naming the array.
    Example:
        >>> (parameters,) = from_keras([np.ones((4, 9)), np.ones((3, 9)), np.ones((2, 9))], "gru")
        >>> parameters["W_z"].shape, parameters["c_n"].shape
        ((3, 4), (3,))
    """
    who = "from_keras"
    form = form_of(who, cell, tuple(GATES))
    if len(weights) not in (2, 3, 4, 6):
        raise OptionError(
            f"{who}: weights must be kernel, recurrent_kernel and, where it is used, bias, once or for two directions, "
            f"got {len(weights)} arrays; pass what get_weights() of one layer gives."
        )
    one = len(weights) if len(weights) < 4 else len(weights) // 2
    found = [_from_layer(who, form, weights[start : start + one]) for start in range(0, len(weights), one)]
    return check_directions(who, cell, found)[0]


def to_keras(directions: Sequence[Mapping[str, object]], cell: str, *, bias: bool = True) -> list[Array]:
    """The list for ``set_weights()`` of the Keras layer, or Bidirectional layer, that computes the same: the inverse of ``from_keras``.

    Raises: OptionError where ``bias=False`` would lose a bias; ShapeError, DtypeError naming the array.
    Example:
        >>> weights = [np.ones((4, 9)), np.ones((3, 9)), np.ones(9)]
        >>> [array.shape for array in to_keras(from_keras(weights, "gru_reset_before"), "gru_reset_before")]
        [(4, 9), (3, 9), (9,)]
    """
    who = "to_keras"
    form = form_of(who, cell, tuple(GATES))
    checked, _ = check_directions(who, cell, directions)
    return [array for parameters in checked for array in _to_layer(who, form, parameters, bias)]


def _from_layer(who: str, form: Form, weights: Sequence[object]) -> Parameters:
    order = GATES[form.cell]
    names = ("kernel", "recurrent_kernel", "bias")[: len(weights)]
    arrays = {name: as_array(who, name, value) for name, value in zip(names, weights, strict=True)}
    check_one_dtype(who, arrays)
    kernel = arrays["kernel"]
    check_rank(who, "kernel", kernel, f"I, {len(order)}H")
    hidden = divide(who, "kernel", kernel.shape[1], len(order))
    columns = len(order) * hidden
    check_shape(who, "recurrent_kernel", arrays["recurrent_kernel"], f"H, {len(order)}H", (hidden, columns))
    parameters = blocks(kernel.T, form.names("W", order)) | blocks(arrays["recurrent_kernel"].T, form.names("U", order))
    shape = (2, columns) if form.cell == "gru" else (columns,)
    bias = arrays.get("bias", np.zeros(shape, kernel.dtype))
    if form.cell in ("gru", "gru_reset_before") and bias.ndim == 3 - len(shape):
        other, flag = ("gru_reset_before", "False") if form.cell == "gru" else ("gru", "True")
        raise ShapeError(f"{who}: bias must be {list(shape)} for {form.cell}, got {list(bias.shape)}; reset_after={flag} is the cell {other!r}.")
    check_shape(who, "bias", bias, f"2, {len(order)}H" if len(shape) == 2 else f"{len(order)}H", shape)
    parameters |= merge_biases(form, bias[0], bias[1], order) if form.cell == "gru" else blocks(bias, form.names("b", order))
    return keep_with_z(form, parameters)


def _to_layer(who: str, form: Form, parameters: Parameters, bias: bool) -> list[Array]:
    order = GATES[form.cell]
    parameters = keep_with_z(form, parameters)
    kernels = [np.ascontiguousarray(stacked(parameters, form.names(letter, order)).T) for letter in "WU"]
    if not bias:
        check_no_bias(who, form, parameters)
        return kernels
    if form.cell == "gru":
        return [*kernels, np.stack(split_biases(form, parameters, order))]
    return [*kernels, stacked(parameters, form.names("b", order))]
