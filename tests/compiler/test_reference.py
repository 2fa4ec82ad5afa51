"""The interpreter against equations written by hand, and the derived gradients against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

import grus.cells
from grus.compiler.program import SCALAR, Builder, Parameter, Program, Term, Variable
from grus.compiler.reference import Gradients, backward, evaluate, forward
from grus.errors import OptionError, ShapeError
from tests.compiler.contract import central_difference

Array = NDArray[np.float64]
T, B, SIZES = 5, 3, {"I": 4, "H": 5, "1": 1}
LENGTHS = np.array([5, 0, 3])
RESETS = np.zeros((T, B), bool)
RESETS[[2, 0, 1, 4], [0, 2, 2, 2]] = True  # the last one lies beyond its row's length


@dataclass
class Case:
    """A program with random arguments and random weights on everything it gives."""

    program: Program
    seed: int = 0
    inputs: dict[str, Array] = field(init=False)
    params: dict[str, Array] = field(init=False)
    states: dict[str, Array] = field(init=False)
    restart: dict[str, Array] = field(init=False)
    d_outputs: dict[str, Array] = field(init=False)
    d_states: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        program = self.program

        def size(dim: str) -> int:
            return SIZES.get(dim, 3)

        self.inputs = {variable.name: rng.normal(size=(T, B, size(variable.dim))) for variable in program.inputs}
        self.params = {parameter.name: np.array(0.5 * rng.normal(size=[size(dim) for dim in parameter.shape])) for parameter in program.parameters}
        self.states = {variable.name: rng.normal(size=(B, size(variable.dim))) for variable in program.states}
        self.restart = {variable.name: rng.normal(size=size(variable.dim)) for variable in program.states}
        shapes = {name: (T, B, size(program.nodes[index].dim)) for name, index in program.outputs.items() if program.nodes[index].dim != SCALAR}
        self.d_outputs = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        self.d_states = {name: rng.normal(size=array.shape) for name, array in self.states.items()}

    def loss(self) -> float:
        result = forward(self.program, self.inputs, self.params, self.states, LENGTHS, RESETS, self.restart)
        outputs = result.gates | {"output": result.output}
        total = sum(float((weight * outputs[name]).sum()) for name, weight in self.d_outputs.items())
        return total + sum(float((weight * result.states[name]).sum()) for name, weight in self.d_states.items())

    def gradients(self) -> Gradients:
        arguments = (self.program, self.inputs, self.params, self.states, LENGTHS, RESETS, self.restart)
        return backward(*arguments, d_outputs=self.d_outputs, d_states=self.d_states)


def assert_gradients_are_slopes(case: Case) -> None:
    found = case.gradients()
    groups = ((case.params, found.params), (case.inputs, found.inputs), (case.states, found.states), (case.restart, found.restart))
    for arrays, gradients in groups:
        assert arrays.keys() == gradients.keys()
        for name, array in arrays.items():
            np.testing.assert_allclose(gradients[name], central_difference(case.loss, array), rtol=1e-6, atol=1e-7, err_msg=name)


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def gru_step(p: dict[str, Array], x: Array, h: Array) -> Array:
    r = sigmoid(p["W_r"] @ x + p["U_r"] @ h + p["b_r"])
    z = sigmoid(p["W_z"] @ x + p["U_z"] @ h + p["b_z"])
    n = np.tanh(p["W_n"] @ x + p["b_n"] + r * (p["U_n"] @ h + p["c_n"]))
    return (1 - z) * n + z * h


def vectors(step: Callable[[Builder, int, int], int], *parameters: Parameter) -> Program:
    """A program with input x and state h of one dimension H, whose next state ``step`` builds."""
    build = Builder()
    after = step(build, build.leaf("input", "H", "x"), build.leaf("state", "H", "h"))
    return Program((Variable("x", "H"),), (Variable("h", "H"),), parameters, tuple(build.nodes), (after,), {"output": after})


def test_gru_is_its_equations() -> None:
    case = Case(grus.cells.gru.program)
    result = forward(case.program, case.inputs, case.params, case.states, LENGTHS, RESETS, case.restart)
    for row in range(B):
        h = case.states["h"][row]
        for step in range(LENGTHS[row]):
            h = gru_step(case.params, case.inputs["x"][step, row], case.restart["h"] if RESETS[step, row] else h)
            np.testing.assert_allclose(result.output[step, row], h, rtol=1e-12)
        np.testing.assert_allclose(result.states["h"][row], h, rtol=1e-12)
        assert not result.output[LENGTHS[row] :, row].any()
    assert set(result.gates) == {"r", "z", "n"}


def test_states_start_and_restart_from_zero_by_default() -> None:
    case = Case(grus.cells.gru.program)
    result = forward(case.program, case.inputs, case.params, resets=RESETS)
    fresh = gru_step(case.params, case.inputs["x"][0, 1], np.zeros(5))
    again = gru_step(case.params, case.inputs["x"][2, 0], np.zeros(5))
    np.testing.assert_allclose(result.output[0, 1], fresh, rtol=1e-12)
    np.testing.assert_allclose(result.output[2, 0], again, rtol=1e-12)


@pytest.mark.parametrize("name", grus.cells.names())
def test_gradients_are_slopes_of_the_cell(name: str) -> None:
    assert_gradients_are_slopes(Case(grus.cells.get(name).program))


@pytest.mark.parametrize("name", grus.cells.names())
def test_padding_is_never_read(name: str) -> None:
    case = Case(grus.cells.get(name).program)
    clean = case.gradients()
    before = forward(case.program, case.inputs, case.params, case.states, LENGTHS, RESETS, case.restart)
    padding = np.arange(T)[:, None] >= LENGTHS
    for array in (*case.inputs.values(), *case.d_outputs.values()):
        array[padding] = np.nan
    after = forward(case.program, case.inputs, case.params, case.states, LENGTHS, RESETS, case.restart)
    np.testing.assert_array_equal(after.output, before.output)
    poisoned = case.gradients()
    for kind in ("params", "inputs", "states", "restart"):
        for key, array in getattr(clean, kind).items():
            np.testing.assert_array_equal(getattr(poisoned, kind)[key], array)


@pytest.mark.parametrize("op", ["neg", "abs", "exp", "sigmoid", "tanh", "relu", "softplus"])
def test_unary_gradients_are_slopes(op: str) -> None:
    def step(build: Builder, x: int, h: int) -> int:
        # tanh keeps exp of exp of exp from overflowing
        return build.elementwise("add", build.elementwise(op, build.elementwise("tanh", h)), build.elementwise(op, x))

    assert_gradients_are_slopes(Case(vectors(step)))


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "minimum", "maximum"])
def test_binary_gradients_are_slopes(op: str) -> None:
    def step(build: Builder, x: int, h: int) -> int:
        divisor = build.elementwise("add", build.constant(2.0), build.elementwise("sigmoid", x))
        return build.elementwise(
            "add", build.elementwise(op, h, divisor), build.elementwise(op, x, build.elementwise("exp", build.elementwise("tanh", h)))
        )

    assert_gradients_are_slopes(Case(vectors(step)))


def test_log_and_sqrt_gradients_are_slopes() -> None:
    def step(build: Builder, x: int, h: int) -> int:
        positive = build.elementwise("add", build.elementwise("softplus", h), build.elementwise("softplus", x))
        return build.elementwise("sub", build.elementwise("log", positive), build.elementwise("sqrt", positive))

    assert_gradients_are_slopes(Case(vectors(step)))


def test_where_gradients_are_slopes() -> None:
    def step(build: Builder, x: int, h: int) -> int:
        larger = build.elementwise("greater", x, h)
        return build.elementwise("where", larger, build.elementwise("tanh", h), build.elementwise("mul", x, h))

    assert_gradients_are_slopes(Case(vectors(step)))


def test_scalar_chain_gradients_are_slopes() -> None:
    def step(build: Builder, x: int, h: int) -> int:
        level, gain = build.mean(build.elementwise("mul", h, h)), build.elementwise("sigmoid", build.leaf("scalar", "1", "k"))
        norm = build.elementwise("sqrt", build.elementwise("add", level, build.elementwise("exp", build.mean(build.elementwise("mul", x, gain)))))
        return build.elementwise("add", build.elementwise("div", h, norm), build.mean(build.elementwise("add", x, gain)))

    assert_gradients_are_slopes(Case(vectors(step, Parameter("k", "scalar", ()))))


def test_parameters_without_input_have_slopes() -> None:
    def step(build: Builder, x: int, h: int) -> int:
        bias = build.leaf("vector", "H", "b")
        made = build.affine("H", (Term("U", bias), Term("U", build.elementwise("tanh", bias), True)))
        return build.elementwise("mul", build.elementwise("tanh", build.affine("H", (Term("U", h, True),), made)), build.mean(bias))

    assert_gradients_are_slopes(Case(vectors(step, Parameter("U", "matrix", ("H", "H")), Parameter("b", "vector", ("H",)))))


def test_scalar_input_gradient_is_its_slope() -> None:
    build = Builder()
    gap, h = build.leaf("input", "1", "gap"), build.leaf("state", "H", "h")
    step = build.elementwise("mul", build.elementwise("exp", build.elementwise("neg", gap)), h)
    parameters = (Parameter("w", "matrix", ("H", "1")),)
    program = Program((Variable("gap", "1"),), (Variable("h", "H"),), parameters, tuple(build.nodes), (step,), {"output": step})
    assert_gradients_are_slopes(Case(program))
    build.affine("H", (Term("w", gap),), step)
    program = Program((Variable("gap", "1"),), (Variable("h", "H"),), parameters, tuple(build.nodes), (len(build.nodes) - 1,), {"output": step})
    with pytest.raises(ValueError, match="a scalar must reach vectors of one dimension"):
        Case(program).gradients()


def test_two_states_that_swap_pass_gradients_on() -> None:
    build = Builder()
    h, c = build.leaf("state", "H", "h"), build.leaf("state", "H", "c")
    shifted = build.elementwise("add", h, build.leaf("input", "H", "x"))
    states = (Variable("h", "H"), Variable("c", "H"))
    assert_gradients_are_slopes(Case(Program((Variable("x", "H"),), states, (), tuple(build.nodes), (c, shifted), {"output": h})))


@pytest.mark.parametrize(("op", "expected"), [("maximum", 0.5), ("minimum", 0.5), ("abs", 0.0), ("relu", 0.0)])
def test_gradient_at_a_tie_is_shared(op: str, expected: float) -> None:
    def step(build: Builder, x: int, h: int) -> int:
        return build.elementwise(op, h) if op in ("abs", "relu") else build.elementwise(op, h, x)

    zeros = np.zeros((1, 1, 2))
    found = backward(vectors(step), {"x": zeros}, {}, {"h": zeros[0]}, d_outputs={"output": np.ones((1, 1, 2))})
    np.testing.assert_array_equal(found.states["h"], np.full((1, 2), expected))


def test_reset_stops_the_gradient_and_gives_it_to_the_restart() -> None:
    case = Case(grus.cells.gru.program)
    marks = np.zeros((T, B), bool)
    marks[2] = True
    last = np.zeros((T, B, 5))
    last[-1] = 1.0
    found = backward(case.program, case.inputs, case.params, case.states, resets=marks, restart=case.restart, d_outputs={"output": last})
    assert not found.states["h"].any()
    assert not found.inputs["x"][:2].any()
    assert found.inputs["x"][2].all()
    assert found.restart["h"].all()


def test_gradient_of_dead_gates_is_zero() -> None:
    case = Case(grus.cells.article_blend.program)
    found = backward(case.program, case.inputs, case.params, case.states, d_outputs={"output": case.d_outputs["output"]})
    dead = {name for name, gradient in found.params.items() if not gradient.any()}
    assert dead == {"W_f", "U_f", "b_f", "W_i", "U_i", "b_i"}


def test_no_rows_and_no_steps_give_empty_results() -> None:
    case = Case(grus.cells.gru.program)
    for steps, rows in ((0, 2), (3, 0)):
        inputs, states = {"x": np.zeros((steps, rows, 4))}, {"h": np.ones((rows, 5))}
        assert forward(case.program, inputs, case.params, states).output.shape == (steps, rows, 5)
        found = backward(case.program, inputs, case.params, states, d_states=states)
        np.testing.assert_array_equal(found.states["h"], states["h"])
        assert not found.params["U_r"].any()


def test_evaluate_gives_one_step() -> None:
    case = Case(grus.cells.gru.program)
    outputs, after = evaluate(case.program, {"x": case.inputs["x"][0]}, case.params, case.states)
    np.testing.assert_array_equal(outputs["output"], after["h"])
    np.testing.assert_allclose(after["h"][1], gru_step(case.params, case.inputs["x"][0, 1], case.states["h"][1]), rtol=1e-12)


def test_nan_in_a_row_stays_in_the_row() -> None:
    case = Case(grus.cells.gru.program)
    case.inputs["x"][1, 2, 0] = np.nan
    result = forward(case.program, case.inputs, case.params, case.states)
    assert np.isnan(result.output[1:, 2]).all()
    assert np.isfinite(result.output[:, :2]).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"inputs": {}}, ShapeError, "inputs must hold one array"),
        ({"inputs": {"x": np.zeros((2, 4))}}, ShapeError, r"input 'x' must be \[T, B, dim\]"),
        ({"params": {}}, ShapeError, "parameter 'W_r' must be given"),
        ({"states": {"h": np.zeros((3, 9))}}, ShapeError, r"parameter 'W_r' must be \['H', 'I'\] = \[9, 4\], got \[5, 4\]"),
        ({"states": {"h": np.zeros((2, 5))}}, ShapeError, r"state 'h' must be \[3, 5\], got \[2, 5\]"),
        ({"lengths": [5, 5]}, ShapeError, r"lengths must be \[B\] = \[3\], got \[2\]"),
        ({"lengths": [5, -1, 2]}, OptionError, "lengths must be from 0 to T = 5"),
        ({"lengths": [5, 6, 2]}, OptionError, "lengths must be from 0 to T = 5"),
        ({"resets": np.zeros((B, T))}, ShapeError, r"resets must be \[5, 3\], got \[3, 5\]"),
        ({"restart": {"h": np.zeros(4)}}, ShapeError, r"restart 'h' must be \[5\], got \[4\]"),
    ],
)
def test_wrong_argument_is_refused(change: dict[str, object], error: type[Exception], message: str) -> None:
    case = Case(grus.cells.gru.program)
    arguments: dict[str, object] = {"inputs": case.inputs, "params": case.params, "states": case.states}
    with pytest.raises(error, match=message):
        forward(case.program, **(arguments | change))
