"""Weights of ``torch.nn.RNN``, ``GRU``, ``LSTM`` and their ``*Cell`` classes, to and from the neutral form, without torch.

PyTorch stacks the gates of a layer by rows (GRU r, z, n; LSTM i, f, g, o) and keeps two biases, ``bias_ih`` and ``bias_hh``. Only the
GRU's n gate needs both (b_n and c_n); elsewhere they are only ever added, so the neutral form holds their sum. Going back, ``bias_ih``
gets that sum and ``bias_hh`` zero: the layer computes the same, but its original split is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from grus.convert.parameters import (
    PROJECTION,
    Array,
    Directions,
    Form,
    Parameters,
    as_array,
    blocks,
    check_directions,
    check_names,
    check_no_bias,
    check_one_dtype,
    check_rank,
    check_shape,
    divide,
    form_of,
    merge_biases,
    split_biases,
    stacked,
)
from grus.errors import OptionError, ShapeError

CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm", "lstm_projected")
_KEY = re.compile(r"(?P<kind>weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)(_l(?P<layer>\d+)(?P<reverse>_reverse)?)?")


def from_pytorch(state_dict: Mapping[str, object], cell: str, *, prefix: str = "") -> list[Directions]:
    """The layers of a PyTorch state dict: per layer the parameters of the forward direction, then of the reverse one if there is one.

    Keys are PyTorch's (``weight_ih_l0``, ``bias_hh_l1_reverse``, or ``weight_ih`` as in ``GRUCell``); values are tensors or arrays.
    ``prefix`` picks one layer out of a larger model (``"encoder.gru."``); other keys are then left alone. A missing bias is zero.

    Raises: OptionError for missing or unknown keys; ShapeError, DtypeError naming the array.
    Example:
        >>> state = {"weight_ih_l0": np.ones((6, 3)), "weight_hh_l0": np.ones((6, 2))}
        >>> [[sorted(parameters) for parameters in layer] for layer in from_pytorch(state, "gru")]
        [[['U_n', 'U_r', 'U_z', 'W_n', 'W_r', 'W_z', 'b_n', 'b_r', 'b_z', 'c_n']]]
    """
    who = "from_pytorch"
    form = form_of(who, cell, CELLS)
    groups = _groups(who, state_dict, prefix)
    layers = 1 + max(layer for layer, _ in groups)
    directions = 1 + max(direction for _, direction in groups)
    converted: list[Directions] = []
    inputs: int | None = None
    for layer in range(layers):
        found = tuple(_from_group(who, form, groups.get((layer, place), {}), _suffix(layer, place), inputs) for place in range(directions))
        checked, sizes = check_directions(who, cell, found)
        inputs = directions * sizes.get("P", sizes["H"])
        converted.append(checked)
    return converted


def to_pytorch(layers: Sequence[Sequence[Mapping[str, object]]], cell: str, *, bias: bool = True, prefix: str = "") -> dict[str, Array]:
    """The PyTorch state dict of stacked ``layers``, each one or two directions of parameters: the inverse of ``from_pytorch``.

    Raises: OptionError where ``bias=False`` would lose a bias; ShapeError where a layer does not fit the one below it.
    Example:
        >>> layers = from_pytorch({"weight_ih_l0": np.ones((6, 3)), "weight_hh_l0": np.ones((6, 2))}, "gru")
        >>> {name: array.shape for name, array in to_pytorch(layers, "gru", bias=False).items()}
        {'weight_ih_l0': (6, 3), 'weight_hh_l0': (6, 2)}
    """
    who = "to_pytorch"
    form = form_of(who, cell, CELLS)
    if not layers:
        raise OptionError(f"{who}: layers must hold at least one layer, got none; pass what from_pytorch gives.")
    state: dict[str, Array] = {}
    below: dict[str, int] | None = None
    for layer, given in enumerate(layers):
        directions, sizes = check_directions(f"{who}, layer {layer}", cell, given)
        shape = {"directions": len(directions), "inputs": sizes["I"], "units": sizes["H"]}
        if below is not None and shape != below:
            raise ShapeError(f"{who}: layer {layer} must have {below}, as in PyTorch, got {shape}; convert unequal layers one by one.")
        below = shape | {"inputs": len(directions) * sizes.get("P", sizes["H"])}
        for place, parameters in enumerate(directions):
            for kind, array in _to_group(who, form, parameters, bias).items():
                state[f"{prefix}{kind}{_suffix(layer, place)}"] = array
    return state


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}" + ("_reverse" if direction else "")


def _groups(who: str, state_dict: Mapping[str, object], prefix: str) -> dict[tuple[int, int], dict[str, Array]]:
    """The arrays under ``prefix`` by layer and direction, then by kind."""
    groups: dict[tuple[int, int], dict[str, Array]] = {}
    for key, value in state_dict.items():
        if not key.startswith(prefix):
            continue
        match = _KEY.fullmatch(key[len(prefix) :])
        if match is None:
            raise OptionError(f"{who}: every key must be one of torch.nn.RNN, GRU or LSTM, got {key!r}; pass prefix= to pick one layer of a model.")
        place = (int(match["layer"] or 0), int(match["reverse"] is not None))
        if match["kind"] in groups.setdefault(place, {}):
            raise OptionError(f"{who}: state_dict must hold one layer or one cell, got {key!r} beside the same array under its other name; drop one.")
        groups[place][match["kind"]] = as_array(who, key, value)
    if not groups:
        raise OptionError(f"{who}: state_dict must hold weight_ih_l0 under the prefix {prefix!r}, got {_some(state_dict)}; change prefix=.")
    return groups


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return "nothing" if not names else ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _from_group(who: str, form: Form, arrays: Mapping[str, Array], suffix: str, inputs: int | None) -> Parameters:
    """The parameters of one direction; ``inputs`` is known for every layer but the first."""
    has_bias = any("bias" in name for name in arrays)
    wanted = ["weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if has_bias else ()), *(("weight_hr",) if form.projected else ())]
    check_names(who, f"the state dict of {form.cell}", [f"{name}{suffix}" for name in arrays], [f"{name}{suffix}" for name in wanted])
    check_one_dtype(who, {f"{name}{suffix}": array for name, array in arrays.items()})
    w_ih, gates = arrays["weight_ih"], len(form.gates)
    check_rank(who, f"weight_ih{suffix}", w_ih, f"{gates}H, I")
    rows = w_ih.shape[0]
    hidden = divide(who, f"weight_ih{suffix}", rows, gates)
    output = hidden
    if form.projected:
        check_rank(who, f"weight_hr{suffix}", arrays["weight_hr"], "P, H")
        output = arrays["weight_hr"].shape[0]
    zero = np.zeros(rows, w_ih.dtype)
    b_ih, b_hh = arrays.get("bias_ih", zero), arrays.get("bias_hh", zero)
    check_shape(who, f"weight_ih{suffix}", w_ih, f"{gates}H, I", (rows, w_ih.shape[1] if inputs is None else inputs))
    check_shape(who, f"weight_hh{suffix}", arrays["weight_hh"], f"{gates}H, {'P' if form.projected else 'H'}", (rows, output))
    check_shape(who, f"bias_ih{suffix}", b_ih, f"{gates}H", (rows,))
    check_shape(who, f"bias_hh{suffix}", b_hh, f"{gates}H", (rows,))
    parameters = blocks(w_ih, form.names("W")) | blocks(arrays["weight_hh"], form.names("U")) | merge_biases(form, b_ih, b_hh, form.gates)
    if form.projected:
        check_shape(who, f"weight_hr{suffix}", arrays["weight_hr"], "P, H", (output, hidden))
        parameters[PROJECTION] = arrays["weight_hr"]
    return parameters


def _to_group(who: str, form: Form, parameters: Parameters, bias: bool) -> dict[str, Array]:
    group = {"weight_ih": stacked(parameters, form.names("W")), "weight_hh": stacked(parameters, form.names("U"))}
    if bias:
        group["bias_ih"], group["bias_hh"] = split_biases(form, parameters, form.gates)
    else:
        check_no_bias(who, form, parameters)
    return group | ({"weight_hr": parameters[PROJECTION]} if PROJECTION in parameters else {})
