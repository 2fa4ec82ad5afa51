"""The articles' equations, written out over [h, x] as they stand there, against the cells on converted weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus import cells
from grus.compiler import reference
from grus.convert import flip_update_gate, from_article, from_pytorch, to_article, to_keras, to_onnx_weights
from grus.convert.articles import FORMS, article_names
from grus.errors import DtypeError, OptionError, ShapeError
from tests.convert.onnx_models import one_node_model, run_onnxruntime
from tests.convert.sequences import random_parameters, run_layer

Array = NDArray[Any]
Step = Callable[[Mapping[str, Array], Array, Array, Array], tuple[Array, Array, Array]]
H, I, O, T, B = 3, 4, 2, 5, 2  # noqa: E741
JOINED = (H, H + I)


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def over(w: Array, b: Array, *parts: Array) -> Array:
    """W [h, x] + b for rows."""
    return np.concatenate(parts, axis=-1) @ w.T + b


def article_1(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    o = sigmoid(over(w["W_o"], w["b_o"], h, x))
    candidate = np.tanh(over(w["W_c"], w["b_c"], h, x))
    h = (1 - o) * h + o * candidate
    return h, c, over(w["W_y"], w["b_y"], h, x)


def article_2_rnn(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    h = np.tanh(h @ w["W_hh"].T + x @ w["W_xh"].T + w["b_h"])
    return h, c, h


def article_2(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    z = sigmoid(h @ w["W_zz"].T + x @ w["W_zx"].T + w["b_z"])
    r = sigmoid(h @ w["W_rr"].T + x @ w["W_rx"].T + w["b_r"])
    h = (1 - z) * r * np.tanh(h @ w["W_hh"].T + x @ w["W_xh"].T + w["b_h"])
    return h, c, h


def article_3(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    r, z = (sigmoid(over(w[f"W_{gate}"], w[f"b_{gate}"], h, x)) for gate in "rz")
    h = np.tanh((r * h + z * np.tanh((c * r) @ w["W_c"].T + w["b_c"])) @ w["W_h"].T + w["b_h"])
    return h, (1 - z) * c + r * h, h


def article_3_gated(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    r, z = (sigmoid(over(w[f"W_{gate}"], w[f"b_{gate}"], h, x)) for gate in "rz")
    h = (1 - z) * np.tanh((r * h + z * np.tanh((c * r) @ w["W_c"].T + w["b_c"])) @ w["W_h"].T + w["b_h"])
    return h, (1 - z) * c + r * h, h


def article_4(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    u = sigmoid(x @ w["W_uu"].T + h @ w["W_uh"].T + w["b_u"])
    r = sigmoid(x @ w["W_ru"].T + h @ w["W_rh"].T + w["b_r"])
    o = sigmoid(x @ w["W_ou"].T + (r * h) @ w["W_oh"].T + w["b_o"])
    h = (1 - u) * h + u * o
    return h, c, h


def article_5(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    z, r = (sigmoid(over(w[f"W_{gate}"], w[f"b_{gate}"], h, x)) for gate in "zr")
    h = (1 - z) * h + z * np.tanh(over(w["W"], w["b"], r * h, x))
    return h, c, h


def article_5_listing(w: Mapping[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    r = sigmoid(x @ w["W"].T + h @ w["U"].T + w["b"])
    candidate = np.tanh(x @ w["W"].T + (h @ w["U"].T) * (1 - r) + w["b"])
    h = r * h + (1 - r) * candidate
    return h, c, h


ARTICLES: dict[str, tuple[Step, dict[str, tuple[int, ...]]]] = {
    "article_blend": (article_1, {f"W_{g}": JOINED for g in "fioc"} | {f"b_{g}": (H,) for g in "fioc"} | {"W_y": (O, H + I), "b_y": (O,)}),
    "rnn_tanh": (article_2_rnn, {"W_hh": (H, H), "W_xh": (H, I), "b_h": (H,)}),
    "article_no_carry": (
        article_2,
        {"W_zz": (H, H), "W_zx": (H, I), "b_z": (H,), "W_rr": (H, H), "W_rx": (H, I), "b_r": (H,), "W_hh": (H, H), "W_xh": (H, I), "b_h": (H,)},
    ),
    "article_cell_state": (
        article_3,
        {f"W_{g}": JOINED for g in "rzo"} | {f"W_{g}": (H, H) for g in "hc"} | {f"b_{g}": (H,) for g in "rzohc"},
    ),
    "article_cell_state_gated": (
        article_3_gated,
        {f"W_{g}": JOINED for g in "rzo"} | {f"W_{g}": (H, H) for g in "hc"} | {f"b_{g}": (H,) for g in "rzohc"},
    ),
    "article_output_gate": (
        article_4,
        {f"W_{g}u": (H, I) for g in "uro"} | {f"W_{g}h": (H, H) for g in "uro"} | {f"b_{g}": (H,) for g in "uro"},
    ),
    "gru_reset_before": (article_5, {"W_z": JOINED, "W_r": JOINED, "W": JOINED, "b_z": (H,), "b_r": (H,), "b": (H,)}),
    "article_tied_gates": (article_5_listing, {"W": (H, I), "U": (H, H), "b": (H,)}),
}


def draw(cell: str) -> tuple[dict[str, Array], Array, Array]:
    """The article's arrays, its inputs and what its equations give."""
    rng = np.random.default_rng(len(cell))
    step, shapes = ARTICLES[cell]
    arrays = {name: rng.normal(scale=0.7, size=shape).astype(np.float32).astype(np.float64) for name, shape in shapes.items()}
    x = rng.normal(size=(T, B, I)).astype(np.float32).astype(np.float64)
    h, c, outputs = np.zeros((B, H)), np.zeros((B, H)), []
    for inputs in x:
        h, c, y = step(arrays, inputs, h, c)
        outputs.append(y)
    return arrays, x, np.stack(outputs)


def test_every_form_has_its_equations_here() -> None:
    assert set(ARTICLES) == set(FORMS)
    assert {name for name in cells.names() if name.startswith("article_")} < set(FORMS)


@pytest.mark.parametrize("cell", ARTICLES)
def test_cell_on_converted_weights_equals_the_article(cell: str) -> None:
    arrays, x, wanted = draw(cell)
    assert set(article_names(cell)) == set(arrays)
    result = reference.forward(cells.get(cell).program, {"x": x}, from_article(arrays, cell))
    np.testing.assert_allclose(result.output, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ARTICLES)
def test_arrays_are_the_same_after_the_way_there_and_back(cell: str) -> None:
    arrays, _, _ = draw(cell)
    back = to_article(from_article(arrays, cell), cell)
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def test_article_5_runs_in_onnx_whose_update_gate_has_the_other_sign() -> None:
    arrays, x, wanted = draw("gru_reset_before")
    weights = to_onnx_weights([from_article(arrays, "gru_reset_before")], "gru_reset_before")
    theirs = run_onnxruntime(one_node_model("gru_reset_before", weights), {"X": x.astype(np.float32)})
    np.testing.assert_allclose(theirs["Y"][:, 0], wanted, rtol=1e-5, atol=1e-6)


def test_keras_update_gate_of_article_5_has_the_other_sign() -> None:
    arrays, _, _ = draw("gru_reset_before")
    kernel, recurrent, _ = to_keras([from_article(arrays, "gru_reset_before")], "gru_reset_before")
    np.testing.assert_array_equal(recurrent[:, :H], -arrays["W_z"][:, :H].T)
    np.testing.assert_array_equal(kernel[:, :H], -arrays["W_z"][:, H:].T)


def test_flipped_update_gate_reads_the_other_convention() -> None:
    """gru has h' = (1 - z) n + z h; weights made for h' = (1 - z) h + z n run in it once flipped."""
    rng = np.random.default_rng(0)
    chung = random_parameters("gru", rng, I=I, H=H)
    x, h = rng.normal(size=(T, B, I)), np.zeros((B, H))
    for inputs in x:
        gate = {g: inputs @ chung[f"W_{g}"].T + chung[f"b_{g}"] for g in "rzn"}
        r, z = (sigmoid(gate[g] + h @ chung[f"U_{g}"].T) for g in "rz")
        h = (1 - z) * h + z * np.tanh(gate["n"] + r * (h @ chung["U_n"].T + chung["c_n"]))
    output, _ = run_layer("gru", [flip_update_gate(chung)], x)
    np.testing.assert_allclose(output[-1], h, rtol=0, atol=1e-12)


def test_flipping_twice_changes_nothing_and_touches_no_other_gate() -> None:
    parameters = random_parameters("gru", np.random.default_rng(0), I=I, H=H)
    once = flip_update_gate(parameters)
    assert {name for name in once if not np.array_equal(once[name], parameters[name])} == {"W_z", "U_z", "b_z"}
    assert all(np.array_equal(array, parameters[name]) for name, array in flip_update_gate(once).items())
    once["W_r"][...] = 0
    assert parameters["W_r"].any()


def test_update_gate_that_is_not_there_is_refused() -> None:
    with pytest.raises(OptionError, match="parameters must hold W_q, U_q, b_q, got none called W_q, U_q, b_q"):
        flip_update_gate(random_parameters("gru", np.random.default_rng(0), I=I, H=H), gate="q")


@pytest.mark.parametrize(
    ("replaced", "error", "message"),
    [
        ({"W_r": np.ones((H + I, H))}, ShapeError, r"W_r must be \[H, H \+ I\] over \[h, x\] with H = 3, got \[7, 3\]; transpose it"),
        ({"W_r": np.ones((H, H + I + 1))}, ShapeError, r"W_r must be \[H, H \+ I\] = \[3, 7\], got \[3, 8\]"),
        ({"W": np.ones(H)}, ShapeError, r"W must be \[H, H \+ I\], got \[3\]"),
        ({"b": np.ones(H + 1)}, ShapeError, r"from_article: b must be \[H\] = \[3\], got \[4\]"),
        ({"b_n": np.ones(H)}, OptionError, r"must hold only W_z, W_r, W, b_r, b_z, b, got also b_n"),
        ({"b": np.ones(H, int)}, DtypeError, r"b must have a floating type, got int64"),
    ],
)
def test_wrong_arrays_are_refused(replaced: dict[str, Array], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_article(draw("gru_reset_before")[0] | replaced, "gru_reset_before")


def test_wrong_cells_and_names_are_refused() -> None:
    with pytest.raises(OptionError, match=r"cell must be one that an article defines .*, got 'gru'"):
        from_article({}, "gru")
    with pytest.raises(OptionError, match="the article's arrays of article_tied_gates must hold W, b, U, got none called W, b, U"):
        from_article({}, "article_tied_gates")
    state = {"weight_ih_l0": np.ones((9, 4)), "weight_hh_l0": np.ones((9, 3))}
    with pytest.raises(OptionError, match=r"to_article: the parameters of gru_reset_before must hold only .*, got also c_n"):
        to_article(from_pytorch(state, "gru")[0][0], "gru_reset_before")
