"""ONNX Runtime on converted weights against the reference on the original ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grus.convert import from_onnx_weights, to_onnx_weights
from grus.errors import DtypeError, OptionError, ShapeError
from tests.convert.onnx_models import NODES, one_node_model, run_onnxruntime
from tests.convert.sequences import random_parameters, run_layer

T, B, I, H = 5, 3, 4, 3  # noqa: E741
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def draw(cell: str, directions: int) -> tuple[np.random.Generator, list[dict[str, np.ndarray[Any, Any]]]]:
    """Directions of random parameters that are float32 numbers, so that both sides read the same."""
    rng = np.random.default_rng(directions)
    return rng, [{name: array.astype(np.float32) for name, array in random_parameters(cell, rng, I=I, H=H).items()} for _ in range(directions)]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("cell", NODES)
def test_onnxruntime_equals_reference_from_initial_states_with_lengths(cell: str, direction: str) -> None:
    rng, parameters = draw(cell, DIRECTIONS[direction])
    x = rng.normal(size=(T, B, I)).astype(np.float32)
    lengths = [5, 2, 4]
    states = ("h", "c") if cell.startswith("lstm") else ("h",)
    initial = [{name: rng.normal(size=(B, H)).astype(np.float32) for name in states} for _ in parameters]
    feeds = {f"initial_{name}": np.stack([given[name] for given in initial]) for name in states}
    model = one_node_model(cell, to_onnx_weights(parameters, cell), direction, ["sequence_lens", *feeds])
    theirs = run_onnxruntime(model, {"X": x, "sequence_lens": np.array(lengths, np.int32), **feeds})
    output, finals = run_layer(cell, parameters, x, initial, lengths, reverse=direction == "reverse")
    np.testing.assert_allclose(output, np.swapaxes(theirs["Y"], 1, 2).reshape(T, B, -1), rtol=1e-5, atol=1e-6)
    for name in states:
        np.testing.assert_allclose(np.stack([final[name] for final in finals]), theirs[f"Y_{name}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", NODES)
def test_parameters_are_the_same_after_the_way_there_and_back(cell: str, directions: int) -> None:
    _, parameters = draw(cell, directions)
    back = from_onnx_weights(**to_onnx_weights(parameters, cell), cell=cell)
    for ours, theirs in zip(parameters, back, strict=True):
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)


def test_the_two_forms_of_the_gru_differ() -> None:
    """Reading a linear_before_reset=1 model as the other cell is a large error, so a test that passes for both proves nothing."""
    rng, parameters = draw("gru", 1)
    x = rng.normal(size=(T, B, I))
    other = from_onnx_weights(**to_onnx_weights(parameters, "gru"), cell="gru_reset_before")
    difference = run_layer("gru", parameters, x)[0] - run_layer("gru_reset_before", other, x)[0]
    assert np.abs(difference).max() > 0.05


def test_gru_reset_before_stores_its_update_gate_with_the_other_sign() -> None:
    _, (parameters,) = draw("gru_reset_before", 1)
    arrays = to_onnx_weights([parameters], "gru_reset_before")
    np.testing.assert_array_equal(arrays["W"][0, :H], -parameters["W_z"])
    np.testing.assert_array_equal(arrays["B"][0], np.concatenate([-parameters["b_z"], parameters["b_r"], parameters["b_n"], np.zeros(3 * H)]))


def test_gates_and_peepholes_stand_in_the_order_of_onnx() -> None:
    _, (parameters,) = draw("lstm_peephole", 1)
    arrays = to_onnx_weights([parameters], "lstm_peephole")
    np.testing.assert_array_equal(arrays["W"][0], np.concatenate([parameters[f"W_{gate}"] for gate in "iofg"]))
    np.testing.assert_array_equal(arrays["P"][0], np.concatenate([parameters[f"p_{gate}"] for gate in "iof"]))


def test_missing_b_is_zero_and_back() -> None:
    _, (parameters,) = draw("lstm", 1)
    arrays = to_onnx_weights([parameters], "lstm")
    (bare,) = from_onnx_weights(arrays["W"], arrays["R"], cell="lstm")
    assert not any(bare[f"b_{gate}"].any() for gate in "ifgo")
    assert set(to_onnx_weights([bare], "lstm", bias=False)) == {"W", "R"}
    with pytest.raises(OptionError, match="b_i must be zero where bias=False"):
        to_onnx_weights([parameters], "lstm", bias=False)


def arrays(**replaced: Any) -> dict[str, Any]:
    return {"W": np.ones((1, 9, 4)), "R": np.ones((1, 9, 3)), "B": np.ones((1, 18)), "cell": "gru"} | replaced


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (arrays(W=np.ones((9, 4))), ShapeError, r"W must be \[D, 3H, I\], got \[9, 4\]"),
        (arrays(W=np.ones((1, 8, 4))), ShapeError, r"W must stack 3 gates of H units each, got 8"),
        (arrays(R=np.ones((2, 9, 3))), ShapeError, r"R must be \[D, 3H, H\] = \[1, 9, 3\], got \[2, 9, 3\]"),
        (arrays(B=np.ones((1, 9))), ShapeError, r"B must be \[D, 6H\] = \[1, 18\], got \[1, 9\]"),
        (arrays(P=np.ones((1, 9))), OptionError, r"P must be given for lstm_peephole and for no other cell, got it for gru"),
        (arrays(cell="lstm_peephole"), OptionError, r"P must be given for lstm_peephole .* got none for lstm_peephole"),
        (arrays(cell="mgu"), OptionError, r"cell must be one of .*, got 'mgu'"),
        (arrays(R=None), DtypeError, r"R must have a floating type, got object"),
        (arrays(R=np.ones((1, 9, 3), np.float32)), DtypeError, r"one dtype, got float64 .* and float32 \(R\)"),
        (arrays(W=np.ones((3, 9, 4)), R=np.ones((3, 9, 3)), B=None), OptionError, r"directions must be one dict of parameters, or two"),
    ],
)
def test_wrong_weights_are_refused(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_onnx_weights(**given)


def test_wrong_peepholes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"P must be \[D, 3H\] = \[1, 9\], got \[1, 3\]"):
        from_onnx_weights(np.ones((1, 12, 4)), np.ones((1, 12, 3)), None, np.ones((1, 3)), cell="lstm_peephole")
