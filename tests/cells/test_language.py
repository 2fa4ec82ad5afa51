"""What a function under ``@cell`` becomes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from grus import cells
from grus.cells import (
    Cell,
    Parameters,
    Step,
    Vector,
    absolute,
    cell,
    exp,
    gates,
    greater,
    hard_sigmoid,
    layer_norm,
    log,
    maximum,
    mean,
    minimum,
    output,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    where,
)
from grus.compiler.program import Parameter, Variable
from grus.errors import CellError


@cell(states="h c", dims={"gap": "1", "c": "Q"}, source="nowhere")
def example(x: Vector, gap: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """An example."""
    r = sigmoid(p.W @ x + p.U @ h + p.b)
    c = tanh(p.V @ h + p.v * c) * p.scalar("rate") * gap
    return gates(r=r), r * h + p.K @ c, c, output(p.matrix("R", rows="O") @ h + p.d)


def test_cell_tells_what_was_written() -> None:
    assert isinstance(example, Cell)
    assert (example.name, example.source, example.doc) == ("example", "nowhere", "An example.")
    assert (example.inputs, example.states, example.gates) == (("x", "gap"), ("h", "c"), ("r",))
    assert list(example.program.outputs) == ["output", "r"]


def test_kinds_and_shapes_follow_from_use() -> None:
    assert example.parameters == (
        Parameter("W", "matrix", ("H", "I")),
        Parameter("U", "matrix", ("H", "H")),
        Parameter("b", "vector", ("H",)),
        Parameter("V", "matrix", ("Q", "H")),
        Parameter("v", "vector", ("Q",)),
        Parameter("rate", "scalar", ()),
        Parameter("K", "matrix", ("H", "Q")),
        Parameter("R", "matrix", ("O", "H")),
        Parameter("d", "vector", ("O",)),
    )
    assert example.program.inputs == (Variable("x", "I"), Variable("gap", "1"))
    assert example.program.states == (Variable("h", "H"), Variable("c", "Q"))


def test_dimension_that_is_known_late_reaches_back() -> None:
    @cell(states="h")
    def late(x: Vector, h: Vector, p: Parameters) -> Step:
        a = tanh(p.A @ x + p.a)
        b = a * p.b
        return gates(a=a), h + p.B @ (b + x)

    shapes = {parameter.name: parameter.shape for parameter in late.parameters}
    assert shapes == {"A": ("I", "I"), "a": ("I",), "b": ("I",), "B": ("H", "I")}


def test_dimension_that_nothing_fixes_is_hidden() -> None:
    @cell(states="h")
    def free(x: Vector, h: Vector, p: Parameters) -> Step:
        return h + p.B @ tanh(p.A @ x)

    assert free.program.parameter("A").shape == ("H", "I")
    assert free.program.parameter("B").shape == ("H", "H")


def test_gates_and_output_may_be_left_out() -> None:
    assert cells.rnn_tanh.gates == ()
    assert cells.rnn_tanh.program.outputs == {"output": cells.rnn_tanh.program.next_states[0]}


def test_state_may_stay_as_it_is(evaluate: Callable[..., Any], draw: Callable[..., Any]) -> None:
    @cell(states="h c")
    def still(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
        return h + p.W @ x, c

    values = draw(still)
    np.testing.assert_array_equal(evaluate(still, values)["c'"], values["c"])


VOCABULARY: list[tuple[Callable[[Any, Any], Any], Callable[[np.ndarray, np.ndarray], Any]]] = [
    (lambda a, b: sigmoid(a), lambda a, b: 1 / (1 + np.exp(-a))),
    (lambda a, b: tanh(a), lambda a, b: np.tanh(a)),
    (lambda a, b: relu(a), lambda a, b: a * (a > 0)),
    (lambda a, b: softplus(a), lambda a, b: np.log(1 + np.exp(a))),
    (lambda a, b: exp(a), lambda a, b: np.exp(a)),
    (lambda a, b: log(a * a), lambda a, b: np.log(a**2)),
    (lambda a, b: sqrt(absolute(a)), lambda a, b: np.abs(a) ** 0.5),
    (lambda a, b: abs(a), lambda a, b: np.abs(a)),
    (lambda a, b: hard_sigmoid(3 * a), lambda a, b: np.clip(a / 2 + 0.5, 0, 1)),
    (lambda a, b: minimum(a, b), lambda a, b: np.where(a < b, a, b)),
    (lambda a, b: maximum(0.1, a), lambda a, b: np.clip(a, 0.1, None)),
    (lambda a, b: greater(a, b), lambda a, b: a > b),
    (lambda a, b: a > 0, lambda a, b: a > 0),
    (lambda a, b: a < b, lambda a, b: a < b),
    (lambda a, b: (a < 1) * (b > -1), lambda a, b: (a < 1) * (b > -1)),
    (lambda a, b: where(a > b, 2 * a, -1), lambda a, b: np.where(a > b, 2 * a, -1)),
    (lambda a, b: a - mean(b), lambda a, b: a - b.mean()),
    (lambda a, b: layer_norm(a, b, 1.0), lambda a, b: b * (a - a.mean()) / np.sqrt(a.var() + 1e-5) + 1),
    (lambda a, b: layer_norm(a, 1.0, b, eps=0.5), lambda a, b: (a - a.mean()) / np.sqrt(a.var() + 0.5) + b),
    (lambda a, b: 1 - a / b + 2 / a - (a - b - 3), lambda a, b: 1 - a / b + 2 / a - (a - b - 3)),
    (lambda a, b: -(a + b) - (1 - a) * -b, lambda a, b: -(a + b) + (1 - a) * b),
    (lambda a, b: a + 0 + a * 1 + 0 * b + 1, lambda a, b: 2 * a + 1),
]


@pytest.mark.parametrize("case", range(len(VOCABULARY)))
def test_vocabulary_means_what_it_says(case: int, evaluate: Callable[..., Any], draw: Callable[..., Any]) -> None:
    written, wanted = VOCABULARY[case]

    @cell(states="a b")
    def one(x: Vector, a: Vector, b: Vector, p: Parameters) -> Step:
        return gates(seen=x), a, b, output(written(a, b) + p.c)

    for seed in range(3):
        values = draw(one, seed)
        np.testing.assert_allclose(evaluate(one, values)["output"], wanted(values["a"], values["b"]) + values["c"], rtol=1e-12)


def test_parameters_take_part_in_arithmetic(evaluate: Callable[..., Any], draw: Callable[..., Any]) -> None:
    @cell(states="h")
    def parameters(x: Vector, h: Vector, p: Parameters) -> Step:
        return gates(seen=x), -p.a * h + 2 / p.b - tanh(p.c) + (p.d > 0) * p.e

    v = draw(parameters)
    wanted = -v["a"] * v["h"] + 2 / v["b"] - np.tanh(v["c"]) + (v["d"] > 0) * v["e"]
    np.testing.assert_allclose(evaluate(parameters, v)["h'"], wanted, rtol=1e-12)


def test_copies_and_pickles_are_the_cell_itself() -> None:
    assert copy.copy(example) is copy.deepcopy(example) is example
    assert pickle.loads(pickle.dumps(cells.gru)) is cells.gru


def test_pickle_of_a_cell_that_is_not_at_its_place_is_refused() -> None:
    def local(x: Vector, h: Vector, p: Parameters) -> Step:
        return tanh(p.W @ x + h)

    data = pickle.dumps(cell(states="h")(local))
    with pytest.raises(CellError, match="a pickled cell must be defined in the module"):
        pickle.loads(data)


def test_cell_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        cells.gru.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
