"""Laws of the compiled layer, bit by bit: what surrounds a row, how it is cut, who computes it and with what memory changes nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.compiler import backward, execution
from grus.compiler import run as walking
from grus.compiler.layer import compile_cell
from grus.compiler.native import target as targets
from tests.compiler.contract import Array, Arrays, Case, assert_same, fresh_layer, make_case, poisoned, rows_of, run

# One product phase, two states, no product in the recurrence, three phases.
CELLS = st.sampled_from(("gru", "lstm", "min_gru", "article_cell_state"))
SIZES = st.tuples(st.integers(1, 7), st.integers(1, 20), st.integers(1, 5), st.sampled_from((1, 3, 8, 9, 16, 21)))
SAVES = ("store", "recompute", "checkpoint")
PER_ROW = ("output", "state:", "d_input:", "d_state:")


def per_row(found: Arrays) -> Arrays:
    """The results that belong to one row each."""
    return {key: array for key, array in found.items() if key.startswith(PER_ROW)}


def pieces(case: Case, cuts: list[int]) -> list[Case]:
    """The case in consecutive pieces of its time, whose states are still to be filled in; no lengths."""
    edges = [0, *cuts, case.steps]
    return [between(case, first, last) for first, last in pairwise(edges)]


def between(case: Case, first: int, last: int) -> Case:
    def cut(arrays: Arrays) -> Arrays:
        return {key: array[first:last] for key, array in arrays.items()}

    lengths = np.full(case.d_output.shape[1], last - first)
    return replace(case, inputs=cut(case.inputs), d_output=case.d_output[first:last], d_gates=cut(case.d_gates), lengths=lengths)


def states_of(found: Arrays, kind: str = "state") -> Arrays:
    return {key.removeprefix(f"{kind}:"): array for key, array in found.items() if key.startswith(f"{kind}:")}


@settings(max_examples=40)
@given(name=CELLS, sizes=SIZES, seed=st.integers(0, 99), save=st.sampled_from(SAVES))
def test_row_is_the_same_bits_in_any_batch(name: str, sizes: tuple[int, int, int, int], seed: int, save: str) -> None:
    case = make_case(name, "float32", sizes, ragged=True, resets=True)
    rows = sorted(np.random.default_rng(seed).choice(sizes[1], 1 + seed % sizes[1], replace=False).tolist())
    whole, some = per_row(run(case, gates=False, save=save)), per_row(run(rows_of(case, rows), gates=False, save=save))
    assert_same(some, {key: array[:, rows] if array.ndim == 3 else array[rows] for key, array in whole.items()})


@settings(max_examples=20)
@given(name=st.sampled_from(("gru", "article_cell_state")), sizes=SIZES, seed=st.integers(0, 99))
def test_row_is_the_same_bits_in_any_batch_with_bf16(name: str, sizes: tuple[int, int, int, int], seed: int) -> None:
    case = make_case(name, "float32", sizes, resets=True)
    layer, row = compile_cell(case.program, "float32", None, "bf16"), seed % sizes[1]
    whole, alone = (per_row(run(part, gates=False, layer=layer)) for part in (case, rows_of(case, [row])))
    assert_same(alone, {key: array[:, [row]] if array.ndim == 3 else array[[row]] for key, array in whole.items()})


@settings(max_examples=20)
@given(name=CELLS, sizes=SIZES, save=st.sampled_from(SAVES))
def test_any_number_of_threads_gives_the_same_bits(name: str, sizes: tuple[int, int, int, int], save: str) -> None:
    case = make_case(name, "float32", sizes, ragged=True, resets=True)
    alone = run(case, gates=False, save=save)
    for threads in (2, 3, 8):
        assert_same(run(case, gates=False, save=save, threads=threads), alone)


@pytest.mark.parametrize("name", ["gru", "lstm", "article_cell_state", "gru_layer_norm", "lstm_projected"])
@pytest.mark.parametrize("sizes", [(7, 1, 3, 800), (5, 9, 3, 800)])
def test_few_rows_of_many_units_give_the_same_bits_for_any_number_of_threads(name: str, sizes: tuple[int, int, int, int]) -> None:
    case = make_case(name, "float32", sizes, ragged=True, resets=True)
    alone = run(case, gates=False)
    for threads in (2, 3):
        assert_same(run(case, gates=False, threads=threads), alone)


@settings(max_examples=25)
@given(name=CELLS, sizes=SIZES, data=st.data())
def test_sequence_cut_anywhere_is_the_same_bits(name: str, sizes: tuple[int, int, int, int], data: Any) -> None:
    case = make_case(name, "float32", sizes)
    cuts = sorted(data.draw(st.sets(st.integers(1, case.steps - 1)))) if case.steps > 1 else []
    whole, parts, found = run(case, gates=False), pieces(case, cuts), list[Arrays]()
    for number, part in enumerate(parts):
        parts[number] = replace(part, states=states_of(found[-1]) if found else case.states)
        found.append(run(parts[number], gates=False, save="none"))
    np.testing.assert_array_equal(np.concatenate([piece["output"] for piece in found]), whole["output"])
    assert_same(states_of(found[-1]), states_of(whole))
    d_states = case.d_states
    for number in reversed(range(len(parts))):
        found[number] = run(replace(parts[number], d_states=d_states), gates=False)
        d_states = states_of(found[number], "d_state")
    assert_same(d_states, states_of(whole, "d_state"))
    np.testing.assert_array_equal(np.concatenate([piece["d_input:x"] for piece in found]), whole["d_input:x"])


@settings(max_examples=15)
@given(name=CELLS, sizes=SIZES, dtype=st.sampled_from(("float32", "float64")))
def test_streaming_step_by_step_is_the_same_bits(name: str, sizes: tuple[int, int, int, int], dtype: str) -> None:
    case = make_case(name, dtype, sizes)
    whole, states = run(case, gates=False, save="none"), case.states
    for step in range(case.steps):
        found = run(replace(between(case, step, step + 1), states=states), gates=False, save="none")
        np.testing.assert_array_equal(found["output"][0], whole["output"][step])
        states = states_of(found)
    assert_same(states, states_of(whole))


@settings(max_examples=25)
@given(name=CELLS, sizes=SIZES, save=st.sampled_from(SAVES))
def test_resets_are_splits(name: str, sizes: tuple[int, int, int, int], save: str) -> None:
    case = make_case(name, "float32", sizes, resets=True)
    assert case.resets is not None
    whole = run(case, gates=False, save=save)
    restart_total = {key: np.zeros_like(array, "float64") for key, array in case.restart.items()}
    for row in range(sizes[1]):
        alone = replace(rows_of(case, [row]), resets=None)
        cuts = [step for step in np.flatnonzero(case.resets[:, row]).tolist() if step > 0]
        parts = pieces(alone, cuts)
        for number, part in enumerate(parts):
            fresh = number > 0 or bool(case.resets[0, row])
            states = {key: array[None] for key, array in case.restart.items()} if fresh else alone.states
            d_states = alone.d_states if number == len(parts) - 1 else {key: np.zeros_like(array) for key, array in alone.d_states.items()}
            found = run(replace(part, states=states, d_states=d_states), gates=False, save=save)
            first, last = ([0, *cuts][number], [*cuts, case.steps][number])
            np.testing.assert_array_equal(found["output"][:, 0], whole["output"][first:last, row])
            np.testing.assert_array_equal(found["d_input:x"][:, 0], whole["d_input:x"][first:last, row])
            for key, array in states_of(found, "d_state").items():
                if fresh:
                    restart_total[key] += array[0]
                else:
                    np.testing.assert_array_equal(array[0], whole[f"d_state:{key}"][row])
    for key, total in restart_total.items():
        np.testing.assert_allclose(whole[f"d_restart:{key}"], total, rtol=1e-4, atol=1e-4)


@settings(max_examples=15)
@given(name=CELLS, sizes=SIZES)
def test_saving_policies_give_the_same_bits(name: str, sizes: tuple[int, int, int, int]) -> None:
    case = make_case(name, "float32", sizes, ragged=True, resets=True)
    store = run(case, gates=False)
    for save in ("recompute", "checkpoint"):
        assert_same(per_row(run(case, gates=False, save=save)), per_row(store))


@settings(max_examples=15)
@given(name=CELLS, sizes=SIZES)
def test_order_of_equally_long_rows_does_not_matter(name: str, sizes: tuple[int, int, int, int]) -> None:
    case = make_case(name, "float32", sizes, resets=True)
    rows = list(reversed(range(sizes[1])))
    found, wanted = per_row(run(rows_of(case, rows), gates=False)), per_row(run(case, gates=False))
    assert_same(found, {key: array[:, rows] if array.ndim == 3 else array[rows] for key, array in wanted.items()})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gru", "min_gru", "gru_layer_norm"])
def test_every_target_gives_the_same_bits(name: str, dtype: str) -> None:
    case = make_case(name, dtype, (5, 9, 5, 37), ragged=True, resets=True)
    wanted = run(case)
    for target in ("avx512", "avx2", "scalar"):
        if targets.get(target).runnable:
            assert_same(run(case, target), wanted)


def test_every_target_gives_the_same_bits_with_bf16() -> None:
    case = make_case("gru", "float32", (5, 9, 5, 37), ragged=True, resets=True)
    wanted = run(case, layer=compile_cell(case.program, "float32", None, "bf16"))
    for target in ("avx512", "avx2", "scalar"):
        if targets.get(target).runnable:
            assert_same(run(case, layer=compile_cell(case.program, "float32", target, "bf16")), wanted)


# --- memory ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("save", ["none", *SAVES])
@pytest.mark.parametrize("name", ["gru", "gru_d", "lstm_projected", "gru_layer_norm", "article_cell_state", "sru", "fast_grnn"])
def test_buffers_filled_with_nan_change_nothing(name: str, save: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(name, "float64", (7, 5, 3, 6), ragged=True, resets=True)
    wanted, filled = run(case, save=save), 0

    def nan_filled(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        nonlocal filled
        filled += 1
        return np.full(shape, np.nan, dtype)

    for module in (backward, execution, walking):
        monkeypatch.setattr(module, "aligned", nan_filled)
    layer = fresh_layer(case)
    assert_same(run(case, save=save, layer=layer), wanted)
    assert filled > 5


@pytest.mark.parametrize("save", ["none", *SAVES])
@pytest.mark.parametrize("name", ["gru", "lstm_projected", "gru_d"])
def test_buffers_of_earlier_calls_change_nothing(name: str, save: str) -> None:
    case = make_case(name, "float64", (7, 5, 3, 6), ragged=True, resets=True)
    other = replace(case, parameters={key: -2 * array for key, array in case.parameters.items()}, states=dict.fromkeys(case.states))
    spoilt = replace(case, inputs={key: np.full_like(array, np.nan) for key, array in case.inputs.items()})
    layer = fresh_layer(case)
    first, second = run(case, save=save, layer=layer), run(other, save=save, layer=layer)
    before = {key: array.copy() for key, array in first.items()}
    run(spoilt, save=save, layer=layer)
    assert_same(run(case, save=save, layer=layer), before)
    assert_same(first, before)
    assert_same(second, run(other, save=save, layer=fresh_layer(case)))


def test_layer_called_from_many_threads_at_once_gives_the_same() -> None:
    cases = [make_case("lstm", "float64", (9, B, 3, 6), resets=True) for B in (3, 3, 4)]
    cases[1] = replace(cases[1], parameters={key: 2 * array for key, array in cases[1].parameters.items()})
    wanted = [run(case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        for index, found in enumerate(pool.map(lambda index: run(cases[index % 3]), range(60))):
            assert_same(found, wanted[index % 3])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("save", ["none", *SAVES])
@pytest.mark.parametrize("name", ["gru", "gru_d", "lstm_projected", "gru_layer_norm", "min_gru"])
def test_padding_of_nan_never_leaks(name: str, save: str, reverse: bool) -> None:
    case = make_case(name, "float64", (7, 5, 3, 6), ragged=True, resets=True, reverse=reverse)
    found = run(poisoned(case), save=save)
    assert_same(found, run(case, save=save))
    for key, array in found.items():
        if array.ndim == 3:
            assert not array[case.padding].any(), key


def test_arguments_are_left_as_they_were() -> None:
    case = make_case("gru_d", "float64", (5, 4, 3, 6), resets=True)
    arrays = [*case.inputs.values(), *case.parameters.values(), *case.states.values(), *case.restart.values(), *case.d_states.values(), case.d_output]
    before = [array.copy() for array in arrays]
    for save in SAVES:
        run(case, save=save)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_saved_values_serve_any_number_of_gradients() -> None:
    case = make_case("lstm", "float64", (5, 4, 3, 6))
    layer = compile_cell(case.program, "float64")
    for save in SAVES:
        made = layer.forward(case.inputs, case.parameters, case.states, save=save, gates=True)
        arguments = (case.inputs, case.parameters, case.states, made.saved, case.d_output, case.d_states)
        first, second = (layer.backward(*arguments, d_gates=case.d_gates, save=save, gates=True) for _ in range(2))
        assert_same(second.inputs | second.parameters | second.states, first.inputs | first.parameters | first.states)


def test_nothing_is_touched_beyond_any_buffer(root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.compiler.guarded"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "guarded" in done.stdout
