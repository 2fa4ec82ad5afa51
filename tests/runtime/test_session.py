from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grus import cells
from grus.compiler.native import target
from grus.runtime import Session
from tests.runtime.streams import ROWS, SIZES, STEPS, Streams, block, leaky, offline, stack, streams, walk

CELLS = [*cells.names(), "leaky"]
TARGETS = [name for name in target.NAMES if target.get(name).runnable]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
def test_steps_and_blocks_are_the_offline_run_bit_for_bit(name: str, dtype: str) -> None:
    given = streams(leaky if name == "leaky" else name, dtype)
    output, states, _ = offline(given)
    single = Session(given.cell, given.parameters, dtype=dtype)
    for b in range(ROWS):
        single.reset()
        np.testing.assert_array_equal(walk(single, given.row(b)), output[:, b])
        for state, value in single.state.items():
            np.testing.assert_array_equal(value, states[state][b])
    batch = Session(given.cell, given.parameters, dtype=dtype, batch=ROWS)
    np.testing.assert_array_equal(walk(batch, given.inputs), output)
    batch.reset()
    np.testing.assert_array_equal(block(batch, given.inputs), output)
    for state, value in batch.state.items():
        np.testing.assert_array_equal(value, states[state])


@pytest.mark.parametrize(("name", "hidden"), [*((name, 11) for name in CELLS), ("gru", 16), ("lstm", 16)])
def test_bf16_steps_and_blocks_are_the_offline_run_bit_for_bit(name: str, hidden: int) -> None:
    given = streams(leaky if name == "leaky" else name, I=hidden, H=hidden)
    output, states, _ = offline(given, precision="bf16")
    single = Session(given.cell, given.parameters, precision="bf16")
    np.testing.assert_array_equal(walk(single, given.row(1)), output[:, 1])
    for state, value in single.clone().state.items():
        np.testing.assert_array_equal(value, states[state][1])
    batch = Session(given.cell, given.parameters, batch=ROWS, precision="bf16")
    np.testing.assert_array_equal(block(batch, given.inputs), output)
    assert (output != offline(given)[0]).any()


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("name", ["gru", "lstm", "gru_layer_norm", "min_gru"])
def test_stacked_layers_are_the_layers_one_after_the_other(name: str, layers: int) -> None:
    parameters, x = stack(name, layers)
    expected = x
    for layer in parameters:
        expected = offline(Streams(cells.get(name), layer, {"x": expected}))[0]
    batch = Session(name, parameters, batch=ROWS)
    np.testing.assert_array_equal(walk(batch, {"x": x}), expected)
    assert {key.rpartition("_l")[2] for key in batch.state} == {str(number) for number in range(layers)}
    single = Session(name, parameters)
    np.testing.assert_array_equal(single.block(x[:, 1]), expected[:, 1])


@pytest.mark.parametrize(("name", "dim"), [("lstm_projected", "P"), ("article_blend", "O")])
def test_layers_above_read_the_output(name: str, dim: str) -> None:
    below = streams(name)
    above = streams(name, I=SIZES[dim])
    expected = offline(Streams(above.cell, above.parameters, {"x": offline(below)[0]}))[0]
    np.testing.assert_array_equal(Session(name, [below.parameters, above.parameters]).block(below.inputs["x"][:, 0]), expected[:, 0])


@pytest.mark.parametrize("name", TARGETS)
def test_target_can_be_forced(name: str) -> None:
    given = streams("gru")
    session = Session("gru", given.parameters, target=name)
    np.testing.assert_array_equal(walk(session, given.row(0)), offline(given)[0][:, 0])


@given(cuts=st.lists(st.integers(0, 300), max_size=6), rows=st.sampled_from([None, 1, 2, 200, 300]))
def test_any_cut_into_blocks_and_steps_gives_the_same_bits(cuts: list[int], rows: int | None) -> None:
    given = streams("gru", steps=301, rows=rows or 1, I=3, H=5)
    x = given.inputs["x"] if rows else given.inputs["x"][:, 0]
    session = Session("gru", given.parameters, batch=rows)
    parts: list[np.ndarray] = []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 301], strict=True):
        parts.append(session.step(x[first])[None] if last - first == 1 else session.block(x[first:last]))
    whole = offline(given)[0]
    np.testing.assert_array_equal(np.concatenate(parts), whole if rows else whole[:, 0])


def test_gates_are_those_of_the_last_step() -> None:
    given = streams("gru")
    gates = offline(given)[2]
    session = Session("gru", given.parameters, batch=ROWS, gates=True)
    for t in range(STEPS):
        session.step(given.inputs["x"][t])
        for name, value in session.gates().items():
            np.testing.assert_array_equal(value, gates[name][t])
    session.reset()
    session.block(given.inputs["x"][:4])
    assert {name: value.tolist() for name, value in session.gates().items()} == {name: gates[name][3].tolist() for name in "rzn"}
    single = Session("gru", given.parameters, gates=True)
    single.block(given.inputs["x"][:, 0])
    np.testing.assert_array_equal(single.gates()["z"], gates["z"][-1, 0])


def test_gates_of_stacked_layers_are_numbered() -> None:
    parameters, x = stack("gru", 2)
    session = Session("gru", parameters, gates=True)
    session.step(x[0, 0])
    assert {name: value.shape for name, value in session.gates().items()} == {
        **{f"{gate}_l0": (11,) for gate in "rzn"},
        **{f"{gate}_l1": (7,) for gate in "rzn"},
    }


def test_gates_do_not_change_the_output() -> None:
    given = streams("lstm")
    with_gates = Session("lstm", given.parameters, gates=True)
    np.testing.assert_array_equal(walk(with_gates, given.row(0)), walk(Session("lstm", given.parameters), given.row(0)))


def test_step_gives_an_array_of_its_own() -> None:
    given = streams("gru")
    session = Session("gru", given.parameters)
    first = session.step(given.inputs["x"][0, 0])
    kept = first.copy()
    second = session.step(given.inputs["x"][1, 0])
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)
    first[:] = 7
    np.testing.assert_array_equal(session.state["h"], second)


@pytest.mark.parametrize("rows", [None, ROWS])
def test_step_fills_out(rows: int | None) -> None:
    given = streams("gru")
    x = given.inputs["x"] if rows else given.inputs["x"][:, 0]
    session, other = Session("gru", given.parameters, batch=rows), Session("gru", given.parameters, batch=rows)
    out = np.full_like(other.step(x[0]), np.nan)
    assert session.step(x[0], out=out) is out
    np.testing.assert_array_equal(out, session.state["h"])
    wide = np.full((*out.shape, 2), np.nan, np.float32)
    session.step(x[1], wide[..., 0])
    np.testing.assert_array_equal(wide[..., 0], other.step(x[1]))
    assert np.isnan(wide[..., 1]).all()


@pytest.mark.parametrize("rows", [None, ROWS])
def test_inputs_of_other_kinds_are_converted(rows: int | None) -> None:
    given = streams("gru")
    x = np.round(given.inputs["x"][0] * 4)
    x = x if rows else x[0]
    session = Session("gru", given.parameters, batch=rows)
    expected = session.step(x)
    strided = np.zeros((*x.shape, 2), np.float32)
    strided[..., 1] = x
    swapped = x.astype(">f4")
    for other in (x.astype(np.float64), x.astype(np.int8), x.astype(np.float16), x.tolist(), strided[..., 1], swapped, np.asfortranarray(x)):
        session.reset()
        np.testing.assert_array_equal(session.step(other), expected)


def test_nan_stays_in_its_row() -> None:
    given = streams("gru")
    x = given.inputs["x"].copy()
    x[2, 1, 0] = np.nan
    session = Session("gru", given.parameters, batch=ROWS)
    output = session.block(x)
    assert np.isnan(output[2:, 1]).all()
    np.testing.assert_array_equal(output[:, [0, 2]], offline(given)[0][:, [0, 2]])
    session.reset(1)
    np.testing.assert_array_equal(session.step(given.inputs["x"][0])[1], offline(given)[0][0, 1])


def test_gru_d_reads_nothing_where_the_mask_is_zero() -> None:
    given = streams("gru_d")
    inputs = given.row(0)
    inputs["x"] = np.where(inputs["mask"] == 0, np.nan, inputs["x"]).astype(np.float32)
    np.testing.assert_array_equal(walk(Session("gru_d", given.parameters), inputs), offline(given)[0][:, 0])


def test_empty_block() -> None:
    given = streams("gru")
    session = Session("gru", given.parameters, batch=ROWS)
    session.step(given.inputs["x"][0])
    before = session.state["h"]
    assert session.block(given.inputs["x"][:0]).shape == (0, ROWS, 11)
    np.testing.assert_array_equal(session.state["h"], before)


# --- state -------------------------------------------------------------------------------------------------------------------


def test_state_is_a_copy_and_can_be_set() -> None:
    given = streams("lstm")
    session = Session("lstm", given.parameters, batch=ROWS)
    block(session, {"x": given.inputs["x"][:4]})
    middle = session.state
    rest = session.block(given.inputs["x"][4:])
    for value in session.state.values():
        value[:] = np.nan
    assert not np.isnan(session.state["h"]).any()
    session.state = middle
    np.testing.assert_array_equal(session.block(given.inputs["x"][4:]), rest)
    session.state = {"h": np.ones((ROWS, 11)), "c": np.zeros((ROWS, 11))}
    np.testing.assert_array_equal(session.state["h"], np.ones((ROWS, 11), np.float32))


@pytest.mark.parametrize(
    ("rows", "reset"),
    [(None, {0, 1, 2}), (1, {1}), (-1, {2}), ([0, 2], {0, 2}), (slice(1, None), {1, 2}), (np.array([True, False, True]), {0, 2}), ([], set())],
)
def test_reset_of_rows(rows: object, reset: set[int]) -> None:
    given = streams("lstm")
    session = Session("lstm", given.parameters, batch=ROWS)
    session.block(given.inputs["x"])
    before = session.state
    session.reset(rows)
    for name, value in session.state.items():
        for b in range(ROWS):
            np.testing.assert_array_equal(value[b], np.zeros(11) if b in reset else before[name][b])


def test_parameters_are_copied() -> None:
    given = streams("gru")
    mine = {name: array.copy() for name, array in given.parameters.items()}
    session = Session("gru", mine)
    for array in mine.values():
        array[...] = np.nan
    np.testing.assert_array_equal(walk(session, given.row(0)), offline(given)[0][:, 0])
    np.testing.assert_array_equal(session.parameters[0]["U_r"], given.parameters["U_r"])
    with pytest.raises(ValueError, match="read-only"):
        session.parameters[0]["U_r"][0] = 0


def test_parameters_may_be_strided_or_wider() -> None:
    given = streams("gru", "float64")
    turned = {name: np.ascontiguousarray(array.T).T for name, array in given.parameters.items()}
    narrow = streams("gru")
    session = Session("gru", turned)
    np.testing.assert_array_equal(session.parameters[0]["W_r"], given.parameters["W_r"].astype(np.float32))
    np.testing.assert_allclose(walk(session, narrow.row(0)), offline(given)[0][:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", [Session.clone, copy.copy, copy.deepcopy])
def test_clone_goes_its_own_way(how: object) -> None:
    given = streams("gru")
    session = Session("gru", given.parameters, gates=True)
    output = offline(given)[0][:, 0]
    x = given.inputs["x"][:, 0]
    session.block(x[:3])
    other = how(session)  # type: ignore[operator]
    assert {name: value.tolist() for name, value in other.gates().items()} == {name: value.tolist() for name, value in session.gates().items()}
    np.testing.assert_array_equal(session.step(x[3]), output[3])
    np.testing.assert_array_equal(other.block(x[3:]), output[3:])
    np.testing.assert_array_equal(session.block(x[4:]), output[4:])


def test_repr_names_cell_and_sizes() -> None:
    parameters, _ = stack("gru", 2)
    assert repr(Session("gru", parameters, batch=4)) == "Session(gru, 5 → 11 → 7, float32, batch=4)"
    assert repr(Session("gru", parameters, precision="bf16")) == "Session(gru, 5 → 11 → 7, bf16, batch=None)"


def test_runtime_loads_no_torch() -> None:
    code = "import sys, grus.runtime; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
