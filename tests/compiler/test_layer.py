"""The compiled layer against the float64 reference and finite differences: every cell, both dtypes, each target, sizes that fit nothing.

Kernels know no sizes, so one build serves every size here; what costs time is a new cell, dtype, target or mode.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import grus.cells
from grus.compiler.layer import compile_cell
from grus.compiler.native import target as targets
from tests.compiler.contract import Array, Case, assert_agrees, assert_same, central_difference, expected, make_case, rows_of, run

ODD = ((1, 7, 3, 1), (3, 5, 4, 7), (9, 4, 5, 63), (5, 6, 3, 33))  # (T, B, I, H)
WHOLE = (4, 13, 16, 32)  # a whole number of vectors for every target
DTYPES = ("float32", "float64")
TARGETS = tuple(name for name in targets.NAMES if targets.get(name).runnable)
FEW = ("gru", "lstm_projected", "gru_layer_norm", "gru_d", "gru_reset_before", "min_gru", "sru", "fast_grnn")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", grus.cells.names())
def test_layer_agrees_with_the_reference_at_odd_sizes(name: str, dtype: str, target: str) -> None:
    for sizes in ODD:
        case = make_case(name, dtype, sizes)
        found, wanted = run(case, target), expected(case)
        assert found.keys() == wanted.keys()
        assert_agrees(found, wanted, case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", grus.cells.names())
def test_layer_agrees_with_the_reference_for_ragged_reset_and_reversed_rows(name: str, dtype: str) -> None:
    for ragged, resets, reverse in ((True, False, False), (False, True, False), (False, False, True), (True, True, True)):
        case = make_case(name, dtype, (6, 9, 3, 5), ragged=ragged, resets=resets, reverse=reverse)
        assert_agrees(run(case), expected(case), case)


@pytest.mark.parametrize("name", FEW)
def test_layer_agrees_with_the_reference_at_whole_vectors(name: str) -> None:
    case = make_case(name, "float32", WHOLE, ragged=True)
    layer = compile_cell(case.program, case.dtype)
    found = run(case)
    assert_agrees(found, expected(case), case)
    padded = layer.forward(case.inputs, case.parameters, case.states, batch_sizes=case.batch_sizes, gates=True, save="store")
    np.testing.assert_array_equal(padded.output, found["output"])


@pytest.mark.parametrize("name", FEW)
def test_layer_without_gates_gives_the_same(name: str) -> None:
    case = make_case(name, "float32", (5, 7, 3, 9), ragged=True)
    with_gates, without = run(case), run(case, gates=False)
    assert not any(key.startswith("gate:") for key in without)
    for key in without:
        if not key.startswith("d_"):
            np.testing.assert_array_equal(without[key], with_gates[key], err_msg=key)
    assert_agrees(without, expected(case, gates=False), case)
    inference = run(case, gates=False, save="none")
    assert_same(inference, {key: without[key] for key in inference})


@pytest.mark.parametrize("name", ["gru", "lstm_projected", "sru"])
def test_layer_without_sequence_gives_final_states_and_their_gradients(name: str) -> None:
    case = make_case(name, "float64", (5, 7, 3, 9), ragged=True)
    found = run(case, gates=False, sequence=False)
    assert "output" not in found
    assert_agrees(found, expected(case, gates=False, sequence=False), case)


@pytest.mark.parametrize("name", grus.cells.names())
def test_saving_policies_agree(name: str) -> None:
    case = make_case(name, "float64", (11, 5, 3, 6), ragged=True, resets=True)
    wanted, store = expected(case), run(case)
    for save in ("recompute", "checkpoint"):
        found = run(case, save=save)
        assert found.keys() == store.keys()
        assert_agrees(found, wanted, case)
        for key in found:
            if not key.startswith("d_"):
                np.testing.assert_array_equal(found[key], store[key], err_msg=key)


@pytest.mark.parametrize("save", ["none", "store", "recompute", "checkpoint"])
def test_long_sequence_in_many_segments_agrees(save: str) -> None:
    case = make_case("gru", "float64", (700, 3, 3, 60), ragged=True)
    wanted = expected(case)
    found = run(case, save=save)
    assert_agrees(found, wanted, case)


@pytest.mark.parametrize("name", ["gru", "gru_d"])
def test_packed_input_is_the_padded_one(name: str) -> None:
    case = make_case(name, "float64", (6, 5, 3, 4), ragged=True, resets=True)
    layer, rows = compile_cell(case.program, "float64"), ~case.padding
    options: dict[str, Any] = {"batch_sizes": case.batch_sizes, "save": "store", "gates": True, "resets": case.resets, "restart": case.restart}
    inputs = {key: array[rows] for key, array in case.inputs.items()}
    made = layer.forward(inputs, case.parameters, case.states, **options)
    gates = {key: array[rows] for key, array in case.d_gates.items()}
    d = layer.backward(inputs, case.parameters, case.states, made.saved, case.d_output[rows], case.d_states, d_gates=gates, **options)
    wanted = run(case)
    np.testing.assert_array_equal(made.output, wanted["output"][rows])
    for key, array in made.gates.items():
        np.testing.assert_array_equal(array, wanted[f"gate:{key}"][rows])
    for key, array in d.inputs.items():
        np.testing.assert_array_equal(array, wanted[f"d_input:{key}"][rows])
    for key, array in d.parameters.items():
        np.testing.assert_array_equal(array, wanted[f"d_parameter:{key}"])


@pytest.mark.parametrize("name", ["gru", "lstm_projected", "gru_d", "gru_layer_norm", "fast_grnn", "sru", "article_cell_state_gated"])
def test_gradients_are_slopes_of_the_compiled_layer(name: str) -> None:
    case = make_case(name, "float64", (3, 2, 2, 3), ragged=True, resets=True)
    found = run(case)

    def loss() -> float:
        made = run(case, save="none")
        total = (made["output"] * case.d_output).sum()
        total += sum((made[f"gate:{key}"] * array).sum() for key, array in case.d_gates.items())
        return float(total + sum((made[f"state:{key}"] * array).sum() for key, array in case.d_states.items()))

    kinds = {"d_input": case.inputs, "d_parameter": case.parameters, "d_state": case.states, "d_restart": case.restart}
    for kind, arrays in kinds.items():
        for key, array in arrays.items():
            if key == "mask":  # the result jumps where it leaves 0
                continue
            np.testing.assert_allclose(found[f"{kind}:{key}"], central_difference(loss, array), rtol=2e-6, atol=2e-8, err_msg=f"{kind}:{key}")


# --- what the caller may hand over -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["gru", "gru_d"])
def test_arrays_of_any_layout_give_the_same(name: str) -> None:
    case = make_case(name, "float64", (4, 6, 3, 5))

    def batch_first(array: Array) -> Array:
        return np.ascontiguousarray(array.transpose(1, 0, 2)).transpose(1, 0, 2)

    def wide(array: Array) -> Array:
        room = np.full([2 * size for size in array.shape], np.nan, array.dtype)
        room[tuple(slice(size) for size in array.shape)] = array
        return room[tuple(slice(size) for size in array.shape)]

    def backwards(array: Array) -> Array:
        return np.flip(np.flip(array).copy())

    wanted = run(case)
    for change in (wide, backwards, np.asfortranarray):
        inputs = {key: batch_first(array) if change is wide else change(array) for key, array in case.inputs.items()}
        parameters = {key: change(array) for key, array in case.parameters.items()}
        states = {key: change(array) for key, array in case.states.items()}
        assert_same(run(replace(case, inputs=inputs, parameters=parameters, states=states, d_output=change(case.d_output))), wanted)


DENSE = [(sizes, False) for sizes in ((5, 3, 4, 7), (6, 4, 3, 32), (4, 3, 2, 1), (1, 3, 2, 5), (5, 1, 2, 5), (3, 0, 2, 4))]


@pytest.mark.parametrize(("sizes", "ragged"), [*DENSE, ((5, 3, 4, 7), True), ((6, 4, 3, 32), True), ((4, 3, 2, 1), True)])
def test_output_goes_into_columns_of_a_wider_array_and_its_gradient_comes_from_there(sizes: tuple[int, int, int, int], ragged: bool) -> None:
    case = make_case("gru", sizes=sizes, ragged=ragged)
    layer = compile_cell(case.program, case.dtype)
    inputs, d_output = case.inputs, case.d_output
    if ragged:
        assert case.batch_sizes is not None
        inputs, d_output = {name: array[~case.padding] for name, array in inputs.items()}, d_output[~case.padding]
    options: dict[str, Any] = {"batch_sizes": case.batch_sizes}
    plain = layer.forward(inputs, case.parameters, case.states, save="store", **options)
    assert plain.output is not None
    width = d_output.shape[-1]
    wide, upstream = np.full((*d_output.shape[:-1], 3 * width), np.nan), np.full((*d_output.shape[:-1], 3 * width), np.nan)
    part, upstream[..., width : 2 * width] = wide[..., width : 2 * width], d_output
    made = layer.forward(inputs, case.parameters, case.states, save="store", out=part, **options)
    assert made.output is part
    np.testing.assert_array_equal(part, plain.output)
    assert np.isnan(wide[..., :width]).all()
    assert np.isnan(wide[..., 2 * width :]).all()
    arguments = (inputs, case.parameters, case.states, made.saved)
    one, other = (layer.backward(*arguments, given, case.d_states, **options) for given in (d_output, upstream[..., width : 2 * width]))
    for kind in ("inputs", "parameters", "states"):
        for name, array in getattr(one, kind).items():
            np.testing.assert_array_equal(getattr(other, kind)[name], array)


def test_missing_states_are_zeros() -> None:
    case = make_case("lstm", "float64")
    zeros: dict[str, Any] = {key: np.zeros_like(array) for key, array in case.states.items()}
    assert_same(run(replace(case, states=dict.fromkeys(zeros))), run(replace(case, states=zeros)))


def test_missing_upstream_gradients_are_zeros() -> None:
    case = make_case("lstm", "float64")
    layer = compile_cell(case.program, "float64")
    made = layer.forward(case.inputs, case.parameters, case.states, save="store", gates=True)
    arguments = (case.inputs, case.parameters, case.states, made.saved)
    d = layer.backward(*arguments, None, {"c": case.d_states["c"]}, save="store", gates=True)
    zeros = np.zeros_like(case.d_output)
    d_states = {"h": np.zeros_like(case.d_states["h"]), "c": case.d_states["c"]}
    gates = {key: np.zeros_like(array) for key, array in case.d_gates.items()}
    wanted = layer.backward(*arguments, zeros, d_states, d_gates=gates, save="store", gates=True)
    assert_same(d.inputs | d.parameters | d.states, wanted.inputs | wanted.parameters | wanted.states)


def test_gradients_are_added_into_given_arrays_and_nothing_beyond() -> None:
    case = make_case("lstm", "float32", (4, 5, 3, 7))
    layer, wanted = compile_cell(case.program, "float32"), run(case)
    canvas = {key: np.full([size + 5 for size in array.shape], np.nan, "float32") for key, array in case.parameters.items()}
    into = {key: canvas[key][tuple(slice(1, 1 + size) for size in array.shape)] for key, array in case.parameters.items()}
    for array in into.values():
        array[...] = 0.0
    made = layer.forward(case.inputs, case.parameters, case.states, save="store", gates=True)
    d = layer.backward(
        case.inputs, case.parameters, case.states, made.saved, case.d_output, case.d_states, d_gates=case.d_gates, gates=True, save="store", into=into
    )
    for key, array in into.items():
        assert d.parameters[key] is array
        np.testing.assert_array_equal(array, wanted[f"d_parameter:{key}"])
        assert np.isnan(canvas[key]).sum() == canvas[key].size - array.size


def test_only_wanted_gradients_are_given() -> None:
    case = make_case("gru_d", "float64")
    layer, wanted = compile_cell(case.program, "float64"), run(case)
    made = layer.forward(case.inputs, case.parameters, case.states, save="store", gates=True)
    arguments = (case.inputs, case.parameters, case.states, made.saved, case.d_output, case.d_states)
    options: dict[str, Any] = {"d_gates": case.d_gates, "gates": True, "save": "store"}
    some = layer.backward(*arguments, needs_inputs=frozenset({"x", "last"}), needs_parameters=False, **options)
    assert not some.parameters
    assert_same(some.inputs, {key: wanted[f"d_input:{key}"] for key in ("x", "last")})
    none = layer.backward(*arguments, needs_inputs=frozenset(), **options)
    assert not none.inputs
    assert_same(none.parameters, {key: wanted[f"d_parameter:{key}"] for key in none.parameters})


# --- bfloat16 --------------------------------------------------------------------------------------------------------------
def rounded(array: Array) -> Array:
    """float32 values rounded to bfloat16, to nearest and at ties to even, as float64."""
    bits = array.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype("float64")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("I", [1, 2, 7, 33])
def test_bf16_products_round_their_operands_and_nothing_else(I: int, target: str) -> None:  # noqa: E741
    case = make_case("rnn_relu", "float32", (1, 9, I, 19))
    layer = compile_cell(case.program, "float32", target, "bf16")
    made = layer.forward(case.inputs, case.parameters, case.states, save="store")
    x, h, p = rounded(case.inputs["x"][0]), rounded(case.states["h"]), case.parameters
    wanted = np.maximum(x @ rounded(p["W"]).T + h @ rounded(p["U"]).T + p["b"], 0)
    np.testing.assert_allclose(made.output[0], wanted, rtol=0, atol=(I + 20) * 2.0**-23)
    d = layer.backward(case.inputs, p, case.states, made.saved, case.d_output, {})
    da = np.where(made.output[0] > 0, case.d_output[0], np.float32(0))
    np.testing.assert_allclose(d.inputs["x"][0], rounded(da) @ rounded(p["W"]), rtol=0, atol=40 * 2.0**-23)
    np.testing.assert_allclose(d.parameters["W"], rounded(da).T @ x, rtol=0, atol=40 * 2.0**-23)
    np.testing.assert_allclose(d.parameters["b"], da.sum(0), rtol=0, atol=40 * 2.0**-23)


@pytest.mark.parametrize("name", FEW)
def test_bf16_layer_is_near_the_reference(name: str) -> None:
    case = make_case(name, "float32", (6, 9, 5, 13), ragged=True, resets=True)
    layer, wanted = compile_cell(case.program, "float32", None, "bf16"), expected(case, gates=False)
    for save in ("store", "recompute", "checkpoint"):
        found = run(case, layer=layer, gates=False, save=save)
        for key, array in found.items():
            scale = max(1.0, float(np.abs(wanted[key]).max()))
            np.testing.assert_allclose(array, wanted[key], rtol=0, atol=16 * 2.0**-9 * scale, err_msg=key)


# --- edges -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("save", ["none", "store", "recompute", "checkpoint"])
@pytest.mark.parametrize("name", ["gru", "lstm_projected", "min_gru", "gru_layer_norm"])
def test_no_steps_or_no_rows_give_empty_results(name: str, save: str) -> None:
    for T, B in ((0, 3), (4, 0), (0, 0)):
        case = empty(make_case(name, "float64", (4, 3, 2, 5)), T, B)
        found = run(case, save=save)
        assert found["output"].shape == case.d_output.shape
        for key, array in found.items():
            kind, name_of = key.split(":") if ":" in key else (key, "")
            if kind in ("state", "d_state"):
                np.testing.assert_array_equal(array, (case.states if kind == "state" else case.d_states)[name_of])
            elif kind == "d_parameter":
                assert not array.any()


def empty(case: Case, T: int, B: int) -> Case:
    case = rows_of(case, list(range(B)))
    gates = {key: array[:T] for key, array in case.d_gates.items()}
    inputs = {key: array[:T] for key, array in case.inputs.items()}
    return replace(case, inputs=inputs, d_output=case.d_output[:T], d_gates=gates, lengths=np.full(B, T))


@pytest.mark.parametrize("name", ["gru", "lstm", "sru", "gru_layer_norm"])
def test_one_unit_and_one_input_agree(name: str) -> None:
    case = make_case(name, "float64", (3, 2, 1, 1))
    assert_agrees(run(case), expected(case), case)


@pytest.mark.parametrize("name", grus.cells.names())
def test_nan_in_one_row_stays_in_the_row(name: str) -> None:
    case = make_case(name, "float64", (4, 9, 3, 5))
    wanted = run(case)
    first = case.program.inputs[0].name
    case.inputs[first][1, 4] = np.nan
    found = run(case)
    others = [row for row in range(9) if row != 4]
    for key in ("output", f"d_input:{first}"):
        np.testing.assert_array_equal(found[key][:, others], wanted[key][:, others])
    np.testing.assert_array_equal(found["output"][0], wanted["output"][0])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isnan(found["output"]), np.isnan(expected(case)["output"]))


def test_nan_in_a_weight_reaches_every_output() -> None:
    for name in ("gru", "lstm"):
        case = make_case(name, "float32")
        case.parameters[next(iter(case.parameters))][:] = np.nan
        found = run(case)
        assert np.isnan(found["output"]).all()
        assert np.isnan(found["d_input:x"]).all()
