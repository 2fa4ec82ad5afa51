"""What is looked at once for many calls must be of the cell it is passed to, and stay true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grus.compiler.layer import compile_cell
from grus.errors import DtypeError, OptionError
from tests.compiler.contract import Case, make_case


def forward(case: Case, parameters: Any) -> Any:
    return compile_cell(case.program, case.dtype).forward(case.inputs, parameters, case.states, save="store")


@pytest.fixture
def case() -> Case:
    return make_case("gru", "float64", (4, 3, 5, 6))


def test_values_written_later_are_seen(case: Case) -> None:
    layer = compile_cell(case.program, "float64")
    arrays = {name: array.copy() for name, array in case.parameters.items()}
    known = layer.parameters(arrays)
    assert not known.converted
    forward(case, known)
    for array in arrays.values():
        array += 0.5
    np.testing.assert_array_equal(forward(case, known).output, forward(case, arrays).output)


def test_converted_parameters_say_so(case: Case) -> None:
    wide = {name: np.asfortranarray(array) for name, array in case.parameters.items()}
    known = compile_cell(case.program, "float64").parameters(wide)
    assert known.converted
    np.testing.assert_array_equal(forward(case, known).output, forward(case, case.parameters).output)


@pytest.mark.parametrize("which", ["dtype", "cell"])
def test_parameters_of_another_cell_are_refused(case: Case, which: str) -> None:
    other = make_case("gru", "float32", (4, 3, 5, 6)) if which == "dtype" else make_case("lstm", "float64", (4, 3, 5, 6))
    known = compile_cell(other.program, other.dtype).parameters(other.parameters)
    with pytest.raises(OptionError, match="must be of this cell and float64"):
        forward(case, known)


def test_targets_of_another_cell_are_refused(case: Case) -> None:
    other = make_case("gru", "float32", (4, 3, 5, 6))
    targets = compile_cell(other.program, "float32").targets({name: np.zeros_like(array) for name, array in other.parameters.items()})
    layer, made = compile_cell(case.program, "float64"), forward(case, case.parameters)
    with pytest.raises(OptionError, match="must be of this cell and float64"):
        layer.backward(case.inputs, case.parameters, case.states, made.saved, case.d_output, {}, into=targets)


def test_targets_that_name_no_parameter_or_have_odd_strides_are_refused(case: Case) -> None:
    layer = compile_cell(case.program, "float64")
    arrays = {name: np.zeros_like(array) for name, array in case.parameters.items()}
    with pytest.raises(OptionError, match="must name parameters of the cell, got 'Q'"):
        layer.targets(arrays | {"Q": np.zeros(3)})
    odd = np.zeros(6, np.dtype([("row", np.float64, 5), ("flag", np.int8)]))["row"]
    with pytest.raises(DtypeError, match=r"whole elements.*strides \(41, 8\)"):
        layer.targets(arrays | {"W_r": odd})


@pytest.mark.parametrize("threads", [1, 3])
def test_vectors_that_share_one_target_are_added_up(case: Case, threads: int) -> None:
    layer, made = compile_cell(case.program, "float64"), forward(case, case.parameters)
    arguments = (case.inputs, case.parameters, case.states, made.saved, case.d_output, {})
    apart = layer.backward(*arguments).parameters
    for _ in range(30):
        shared = np.zeros(6)
        layer.backward(*arguments, into=dict.fromkeys(("b_r", "b_z", "b_n"), shared), threads=threads)
        np.testing.assert_allclose(shared, apart["b_r"] + apart["b_z"] + apart["b_n"], rtol=1e-12)


def test_layouts_of_gradients_that_one_run_keeps_are_few(case: Case) -> None:
    layer, made = compile_cell(case.program, "float64"), forward(case, case.parameters)
    arguments = (case.inputs, case.parameters, case.states, made.saved, case.d_output, {})
    wanted = layer.backward(*arguments).parameters
    for pad in range(8):
        room = np.zeros((6, 5 + pad))
        found = layer.backward(*arguments, into={"W_r": room[:, :5]}).parameters
        np.testing.assert_array_equal(found["W_r"], wanted["W_r"])
