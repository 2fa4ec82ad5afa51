"""Keras's published constants, and what its layers gave with random weights, against the reference on converted weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grus.convert import from_keras, from_pytorch, to_keras, to_pytorch
from grus.errors import DtypeError, OptionError, ShapeError
from tests.convert.sequences import run_layer

RECORDED = json.loads(Path(__file__).with_name("keras_cases.json").read_text(encoding="utf-8"))


def batch_last(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.swapaxes(array, 0, 1)


def constant_weights(cell: str, inputs: int, hidden: int, *, bias: bool = True, unit_forget_bias: bool = True) -> list[np.ndarray[Any, Any]]:
    """kernel 0.01, recurrent_kernel 0.02, bias 0.03, as in Keras's own tests."""
    columns = hidden * {"rnn_tanh": 1, "lstm": 4}.get(cell, 3)
    biases = np.full((2, columns) if cell == "gru" else columns, 0.03)
    if cell == "lstm" and unit_forget_bias:
        biases[hidden : 2 * hidden] = 1
    return [np.full((inputs, columns), 0.01), np.full((hidden, columns), 0.02), biases][: 3 if bias else 2]


# keras/src/layers/rnn/{gru,lstm,simple_rnn}_test.py, test_correctness: every unit of a row has the same value.
PUBLISHED = [
    ("gru", {}, False, [0.5217289, 0.6371659, 0.39384964]),
    ("gru", {}, True, [0.24406259, 0.611516, 0.3928808]),
    ("gru_reset_before", {}, False, [0.51447755, 0.6426879, 0.40208298]),
    ("gru", {"bias": False}, False, [0.49988455, 0.64701194, 0.4103359]),
    ("lstm", {}, False, [0.6288687, 0.86899155, 0.9460773]),
    ("lstm", {}, True, [0.35622165, 0.74789524, 0.8872726]),
    ("lstm", {"unit_forget_bias": False}, False, [0.57019705, 0.8661914, 0.9459622]),
    ("lstm", {"bias": False}, False, [0.54986924, 0.86226785, 0.9443936]),
    ("rnn_tanh", {}, False, [0.405432, 0.73605347]),
    ("rnn_tanh", {}, True, [0.11144729, 0.5528889]),
]


@pytest.mark.parametrize(("cell", "options", "backwards", "published"), PUBLISHED)
def test_published_constants_are_reproduced(cell: str, options: dict[str, bool], backwards: bool, published: list[float]) -> None:
    shape, hidden = ((2, 3, 4), 4) if cell == "rnn_tanh" else ((3, 6, 4), 3)
    x = batch_last(np.arange(float(np.prod(shape))).reshape(shape))
    output, _ = run_layer(cell, from_keras(constant_weights(cell, 4, hidden, **options), cell), x[::-1] if backwards else x)
    np.testing.assert_allclose(output[-1], np.repeat([published], hidden, axis=0).T, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("backwards", "published"),
    [(False, [[0.23774096, 0.33508456], [0.83659905, 1.0227708]]), (True, [[0.13486053, 0.23261218], [0.78257304, 0.9691353]])],
)
def test_published_initial_state_is_reproduced(backwards: bool, published: list[list[float]]) -> None:
    x = batch_last(np.arange(24.0).reshape(2, 4, 3))
    weights = from_keras(constant_weights("gru", 3, 2), "gru")
    output, _ = run_layer("gru", weights, x[::-1] if backwards else x, initial=[{"h": np.arange(4.0).reshape(2, 2)}])
    np.testing.assert_allclose(output[-1], published, rtol=0, atol=1e-6)


@pytest.mark.parametrize("record", RECORDED["records"], ids=lambda record: f"{record['cell']}-{len(record['weights'])}")
def test_layer_with_random_weights_equals_reference(record: dict[str, Any]) -> None:
    weights = [np.array(array) for array in record["weights"]]
    output, _ = run_layer(record["cell"], from_keras(weights, record["cell"]), batch_last(np.array(RECORDED["x"])))
    np.testing.assert_allclose(batch_last(output), record["output"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("record", RECORDED["records"], ids=lambda record: f"{record['cell']}-{len(record['weights'])}")
def test_weights_are_the_same_after_the_way_there_and_back(record: dict[str, Any]) -> None:
    weights = [np.array(array) for array in record["weights"]]
    back = to_keras(from_keras(weights, record["cell"]), record["cell"], bias=len(weights) in (3, 6))
    again = from_keras(back, record["cell"])
    for first, second in zip(from_keras(weights, record["cell"]), again, strict=True):
        assert all(np.array_equal(first[name], second[name]) for name in first)
    if record["cell"] != "gru":
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(back, weights, strict=True))
    for array in back:
        assert array.flags.c_contiguous


def test_gru_going_back_puts_the_sum_in_the_first_row() -> None:
    rng = np.random.default_rng(0)
    bias = rng.normal(size=(2, 9))
    back = to_keras(from_keras([rng.normal(size=(4, 9)), rng.normal(size=(3, 9)), bias], "gru"), "gru")[2]
    np.testing.assert_array_equal(back[0, :6], bias.sum(axis=0)[:6])
    np.testing.assert_array_equal(back[1, :6], 0)
    np.testing.assert_array_equal(back[:, 6:], bias[:, 6:])


def test_pytorch_to_keras_is_a_swap_and_a_transpose() -> None:
    rng = np.random.default_rng(0)
    state = {f"{name}_l0": rng.normal(size=shape) for name, shape in (("weight_ih", (9, 4)), ("weight_hh", (9, 3)), ("bias_ih", 9), ("bias_hh", 9))}
    swap = np.r_[3:6, 0:3, 6:9]
    kernel, recurrent, _ = to_keras(from_pytorch(state, "gru")[0], "gru")
    np.testing.assert_array_equal(kernel, state["weight_ih_l0"][swap].T)
    np.testing.assert_array_equal(recurrent, state["weight_hh_l0"][swap].T)
    np.testing.assert_array_equal(to_pytorch([from_keras([kernel, recurrent], "gru")], "gru")["weight_ih_l0"], state["weight_ih_l0"])


def weights(kernel: Any = (4, 9), recurrent: Any = (3, 9), bias: Any = (2, 9)) -> list[np.ndarray[Any, Any]]:
    return [np.ones(kernel), np.ones(recurrent), np.ones(bias)]


@pytest.mark.parametrize(
    ("arrays", "cell", "error", "message"),
    [
        (weights(kernel=(4, 8)), "gru", ShapeError, r"kernel must stack 3 gates of H units each, got 8 in all"),
        (weights(kernel=9), "gru", ShapeError, r"kernel must be \[I, 3H\], got \[9\]"),
        (weights(recurrent=(9, 3)), "gru", ShapeError, r"recurrent_kernel must be \[H, 3H\] = \[3, 9\], got \[9, 3\]"),
        (weights(bias=9), "gru", ShapeError, r"bias must be \[2, 9\] for gru, got \[9\]; reset_after=False is the cell 'gru_reset_before'"),
        (weights(), "gru_reset_before", ShapeError, r"bias must be \[9\] for gru_reset_before, got \[2, 9\]; reset_after=True is the cell 'gru'"),
        (weights(bias=(2, 8)), "gru", ShapeError, r"bias must be \[2, 3H\] = \[2, 9\], got \[2, 8\]"),
        (weights() * 3, "gru", OptionError, r"once or for two directions, got 9 arrays"),
        (weights(), "gru_d", OptionError, r"cell must be one of rnn_tanh, .*, got 'gru_d'"),
        ([*weights()[:2], np.ones((2, 9), np.float32)], "gru", DtypeError, r"one dtype, got float64 .* and float32 \(bias\)"),
        ([*weights()[:2], ["a"]], "gru", DtypeError, r"bias must have a floating type, got <U1"),
    ],
)
def test_wrong_weights_are_refused(arrays: list[Any], cell: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_keras(arrays, cell)


def test_bias_is_not_dropped() -> None:
    with pytest.raises(OptionError, match="to_keras: b_r must be zero where bias=False"):
        to_keras(from_keras(weights(), "gru"), "gru", bias=False)


def test_missing_parameter_is_named() -> None:
    (parameters,) = from_keras(weights(), "gru")
    with pytest.raises(OptionError, match=r"the parameters of gru must hold .*, got none called c_n"):
        to_keras([{name: array for name, array in parameters.items() if name != "c_n"}], "gru")
    with pytest.raises(ShapeError, match=r"U_z must be \[H, H\] = \[3, 3\], got \[3, 4\]"):
        to_keras([parameters | {"U_z": np.ones((3, 4))}], "gru")
