"""What a layer does not take is refused in one sentence: who, what it must be, what it got."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from grus.errors import BackendError, DtypeError, GrusError, OptionError, ShapeError
from grus.nn import GRU, LSTM, RNN, Recurrent

X = torch.zeros(5, 2, 3)
FALSE = torch.zeros(5, 2, dtype=torch.bool)
PACKED = "GRU: input.batch_sizes must be at least 1, not increase, and sum to the 5 rows of input.data, "


def _packed(batch_sizes: list[Any], order: torch.Tensor | None = None) -> tuple[PackedSequence]:
    """A sequence made by hand, of five rows of data."""
    return (PackedSequence(torch.zeros(5, 3), torch.tensor(batch_sizes), order),)


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], type[GrusError], str]] = [
    ("rank", (torch.zeros(5),), {}, ShapeError, "GRU: input must be [T, B, I] or [T, I], got [5]; add or remove a dimension"),
    (
        "width",
        (torch.zeros(5, 2, 4),),
        {},
        ShapeError,
        "GRU: input must be [5, 2, 3], got [5, 2, 4]; its last dimension is the size given to the layer",
    ),
    ("no step", (torch.zeros(0, 2, 3),), {}, ShapeError, "GRU: input must have at least one step, got [0, 2, 3]; leave empty sequences out"),
    (
        "dtype",
        (X.double(),),
        {},
        DtypeError,
        "GRU: input must be torch.float32 as the weights are, got torch.float64; convert it with .to(torch.float32)",
    ),
    ("device", (X.to("meta"),), {}, BackendError, "GRU: input must be on cpu as the weights are, got meta; move one of them with .to(...)"),
    (
        "hx size",
        (X, torch.zeros(1, 2, 5)),
        {},
        ShapeError,
        "GRU: h0 must be [layers*D, B, H] = [1, 2, 4], got [1, 2, 5]; pass None to start from zeros",
    ),
    ("hx rank", (X, torch.zeros(2, 4)), {}, ShapeError, "GRU: h0 must be [layers*D, B, H] = [1, 2, 4], got [2, 4]; pass None to start from zeros"),
    ("hx dtype", (X, torch.zeros(1, 2, 4).double()), {}, DtypeError, "GRU: h0 must be torch.float32 as the input is, got torch.float64"),
    ("hx unbatched", (X[:, 0], torch.zeros(1, 1, 4)), {}, ShapeError, "GRU: h0 must be [layers*D, H] = [1, 4], got [1, 1, 4]"),
    ("length 0", (X,), {"lengths": [5, 0]}, ShapeError, "GRU: lengths must be between 1 and T = 5, got 0 in row 1; leave empty rows out"),
    ("length < 0", (X,), {"lengths": [-1, 5]}, ShapeError, "GRU: lengths must be between 1 and T = 5, got -1 in row 0"),
    ("length > T", (X,), {"lengths": torch.tensor([5, 6])}, ShapeError, "GRU: lengths must be between 1 and T = 5, got 6 in row 1"),
    ("length count", (X,), {"lengths": [5]}, ShapeError, "GRU: lengths must be [B] = [2], got [1]; one length per row"),
    ("length kind", (X,), {"lengths": [5.0, 4.0]}, DtypeError, "GRU: lengths must be whole numbers, got float64; round them"),
    ("resets kind", (X,), {"resets": FALSE.float()}, DtypeError, "GRU: resets must be boolean, got torch.float32; compare with != 0"),
    ("resets size", (X,), {"resets": FALSE.T}, ShapeError, "GRU: resets must be [T, B] = [5, 2], got [2, 5]; one flag per step and row"),
    ("resets list", (X,), {"resets": [[0]]}, DtypeError, "GRU: resets must be a boolean tensor, got a list; convert it with torch.tensor"),
    ("input list", ([1, 2],), {}, DtypeError, "GRU: input must be a tensor or a PackedSequence, got a list; convert it with torch.tensor"),
    ("inputs list", (X,), {"inputs": ["mask"]}, OptionError, "GRU: inputs must be a mapping of names to tensors, got a list; pass {name: tensor}"),
    ("hx kind", (X, 3), {}, ShapeError, "GRU: h0 must be [layers*D, B, H] = [1, 2, 4], got int; pass None"),
    ("unknown input", (X,), {"inputs": {"mask": X}}, OptionError, "GRU: inputs must be None, got {mask}; one tensor per further input of the cell"),
    ("packed width", (pack_padded_sequence(torch.zeros(5, 2, 4), [5, 3]),), {}, ShapeError, "GRU: input.data must be [8, 3], got [8, 4]"),
    ("packed grows", _packed([1, 4]), {}, ShapeError, PACKED + "got [1, 4]; make it with torch.nn.utils.rnn.pack_sequence"),
    ("packed ends at 0", _packed([5, 0]), {}, ShapeError, PACKED + "got [5, 0]"),
    ("packed too few", _packed([2, 2]), {}, ShapeError, PACKED + "got [2, 2]"),
    ("packed too many", _packed([4, 2]), {}, ShapeError, PACKED + "got [4, 2]"),
    ("packed no step", _packed([]), {}, ShapeError, "GRU: input.batch_sizes must be whole numbers, one per step, got torch.float32 [0]"),
    ("packed kind", _packed([3.0, 2.0]), {}, ShapeError, "GRU: input.batch_sizes must be whole numbers, one per step, got torch.float32 [2]"),
    ("packed order", _packed([3, 2], torch.tensor([1, 0])), {}, ShapeError, "GRU: input.sorted_indices must be [B] = [3], got [2]"),
    ("packed lengths", (pack_padded_sequence(X, [5, 3]),), {"lengths": [5, 3]}, OptionError, "GRU: lengths must be None with a PackedSequence"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS])
def test_call_is_refused(arguments: tuple[Any, ...], options: dict[str, Any], error: type[GrusError], message: str, backend: str) -> None:
    with pytest.raises(error) as raised:
        GRU(3, 4, backend=backend)(*arguments, **options)  # pyright: ignore
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


BUILDS: list[tuple[str, Any, str]] = [
    ("unknown cell", lambda: Recurrent("gruu", 3, 4), "got 'gruu'; did you mean 'gru'"),
    ("unknown option", lambda: GRU(3, 4, zoneuot=0.1), "GRU: options must be among .* got 'zoneuot'"),  # pyright: ignore
    ("unknown backend", lambda: GRU(3, 4, backend="cuda"), "GRU: backend must be one of 'auto', 'native', 'torch', got 'cuda'"),  # pyright: ignore
    ("unknown policy", lambda: GRU(3, 4, memory="all"), "GRU: memory must be one of"),  # pyright: ignore
    ("no unit", lambda: GRU(3, 0), "GRU: hidden_size must be a whole number of at least 1, got 0"),
    ("no input", lambda: GRU(0, 3), "GRU: input_size must be a whole number of at least 1, got 0"),
    ("no layer", lambda: GRU(3, 3, 0), "GRU: num_layers must be a whole number of at least 1, got 0"),
    ("dropout", lambda: GRU(3, 4, 2, dropout=1.5), r"GRU: dropout must be a number in \[0, 1\], got 1.5"),
    ("zoneout", lambda: GRU(3, 4, zoneout=-0.1), r"GRU: zoneout must be a number in \[0, 1\], got -0.1"),
    ("bias", lambda: GRU(3, 4, 1, 1), "GRU: bias must be True or False, got 1"),  # pyright: ignore
    ("nonlinearity", lambda: RNN(3, 4, nonlinearity="sine"), "RNN: nonlinearity must be 'tanh' or 'relu', got 'sine'"),
    ("projection", lambda: LSTM(3, 4, proj_size=4), "LSTM: proj_size must be at least 0 and below hidden_size = 4, got 4"),
    ("count of sizes", lambda: Recurrent("gru", 3, [4, 5, 6], 2), "hidden_size must be one size or num_layers = 2 sizes, got 3"),
    ("residual", lambda: Recurrent("gru", 3, [4, 5], 2, residual=True), "hidden_size must be the same in every layer with residual=True"),
    ("missing size", lambda: Recurrent("lstm_projected", 3, 4), r"sizes must give P, got \{\}; pass sizes="),
    ("stacked raw input", lambda: Recurrent("gru_d", 3, 4, 2), "num_layers must be 1 for a cell whose input mask belongs to the raw input"),
    ("unknown size", lambda: GRU(3, 4, sizes={"Q": 3}), r"GRU: sizes must name dimensions .*it has none.* got 'Q'; leave it out"),
    ("hidden size twice", lambda: Recurrent("lstm_projected", 3, 4, sizes={"P": 2, "H": 5}), r"\(P\), got 'H'; leave it out"),
    ("kind of size", lambda: Recurrent("lstm_projected", 3, 4, sizes={"P": 2.0}), r"sizes\['P'\] must be a whole number of at least 1, got 2.0"),
    ("kind of sizes", lambda: GRU(3, 4, sizes=3), "GRU: sizes must be a mapping of dimensions to sizes, got 3"),  # pyright: ignore
    ("norm", lambda: GRU(3, 4, layer_norm="no"), "GRU: layer_norm must be True or False, got 'no'"),  # pyright: ignore
    ("residual kind", lambda: GRU(3, 4, 2, residual=1), "GRU: residual must be True or False, got 1"),  # pyright: ignore
    ("initial state", lambda: GRU(3, 4, learn_initial_state="yes"), "GRU: learn_initial_state must be True or False"),  # pyright: ignore
    ("half a projection", lambda: LSTM(3, 4, proj_size=2.5), "LSTM: proj_size must be a whole number of at least 0, got 2.5"),  # pyright: ignore
    ("true projection", lambda: LSTM(3, 4, proj_size=True), "LSTM: proj_size must be a whole number of at least 0, got True"),
    ("half a unit", lambda: GRU(3, 4.0), "GRU: hidden_size must be a whole number of at least 1, got 4.0"),  # pyright: ignore
    ("not a number", lambda: GRU(3, 4, 2, dropout=float("nan")), r"GRU: dropout must be a number in \[0, 1\], got nan"),
    ("initialiser", lambda: GRU(3, 4, initialiser="ones"), "GRU: initialiser must be one of pytorch, glorot_uniform, .* got 'ones'"),
]


@pytest.mark.parametrize(("build", "message"), [case[1:] for case in BUILDS], ids=[case[0] for case in BUILDS])
def test_constructor_refuses(build: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build()


def test_missing_inputs_of_a_cell_are_named() -> None:
    with pytest.raises(OptionError, match=r"inputs must be \{mask, delta, last\}, got \{mask\}"):
        Recurrent("gru_d", 3, 4)(X, inputs={"mask": X})


def test_pair_of_states_is_asked_for() -> None:
    with pytest.raises(ShapeError, match=r"LSTM: hx must be a tuple \(h0, c0\), got one tensor; pass None to start from zeros"):
        LSTM(3, 4)(X, torch.zeros(1, 2, 4))


def test_native_back_end_refuses_what_it_cannot_run() -> None:
    layer = GRU(3, 4, backend="native").bfloat16()
    with pytest.raises(BackendError, match=r"backend='native' must have float32 or float64 tensors on the CPU, got torch\.bfloat16 on cpu"):
        layer(X.bfloat16())


def test_dropout_without_a_layer_to_act_on_warns() -> None:
    with pytest.warns(UserWarning, match="dropout acts between layers"):
        GRU(3, 4, dropout=0.5)


def test_residual_without_a_layer_to_act_on_warns() -> None:
    with pytest.warns(UserWarning, match="residual acts from the second layer on"):
        GRU(3, 4, residual=True)


def test_numbers_of_numpy_are_numbers() -> None:
    layer = GRU(np.int64(3), np.int32(4), np.int8(2), dropout=np.float32(0.5), zoneout=np.float64(0.5))  # pyright: ignore
    assert (layer.hidden_size, layer.num_layers, layer.dropout, layer.options.zoneout) == (4, 2, 0.5, 0.5)
    assert layer(X)[0].shape == (5, 2, 4)
