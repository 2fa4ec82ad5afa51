"""Every way to break the language's rules: the message says what was expected and shows the line, marked with ``# !`` here."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from grus.cells import Cell, Parameters, Vector, cell, gates, gru, hard_sigmoid, mean, output, sigmoid, tanh
from grus.errors import CellError

V, P = Vector, Parameters


def two_dimensions(x: V, h: V, p: P) -> Any:
    r = sigmoid(p.W @ x)
    return r * (h + x)  # !


def two_dimensions_of_a_gate(x: V, h: V, p: P) -> Any:
    a = p.W @ x
    b = a + h
    return b * tanh(a - x)  # !


def two_dimensions_compared(x: V, h: V, p: P) -> Any:
    return (h > x) * h  # !


def vector_before_matrix(x: V, h: V, p: P) -> Any:
    return tanh(h @ p.W)  # !


def array_before_matrix(x: V, h: V, p: P) -> Any:
    return np.ones(3) @ p.W + h  # !


def matrix_times_matrix(x: V, h: V, p: P) -> Any:
    return tanh(p.W @ p.V @ x)  # !


def matrix_times_parameter(x: V, h: V, p: P) -> Any:
    return tanh(h + p.W @ p.b)  # !


def matrix_times_number(x: V, h: V, p: P) -> Any:
    return h + p.W @ 2.0  # !


def matrix_times_scalar(x: V, h: V, p: P) -> Any:
    return h + p.W @ mean(h)  # !


def branch_on_value(x: V, h: V, p: P) -> Any:
    if h > 0:  # !
        return h
    return x


def logical_and(x: V, h: V, p: P) -> Any:
    return (h > 0) and h  # !


def equality(x: V, h: V, p: P) -> Any:
    return h * (h == 1)  # !


def not_less(x: V, h: V, p: P) -> Any:
    return h * (h >= 1)  # !


def power(x: V, h: V, p: P) -> Any:
    return h**2  # !


def too_few_states(x: V, h: V, c: V, p: P) -> Any:
    n = tanh(p.W @ x + h)
    return gates(n=n), n  # !


def too_many_states(x: V, h: V, p: P) -> Any:
    return h, h  # !


def nothing_returned(x: V, h: V, p: P) -> Any:
    h = tanh(h + p.b)  # !


def gates_last(x: V, h: V, p: P) -> Any:
    n = tanh(h)
    return n, gates(n=n)  # !


def number_as_state(x: V, h: V, p: P) -> Any:
    return 0.0  # !


def parameter_as_state(x: V, h: V, p: P) -> Any:
    return p.h0  # !


def state_of_another_dimension(x: V, h: V, p: P) -> Any:
    return tanh(x)  # !


def scalar_as_state(x: V, h: V, p: P) -> Any:
    return mean(h)  # !


def matrix_and_vector(x: V, h: V, p: P) -> Any:
    a = p.W @ x
    return a + p.W * h  # !


def vector_and_scalar(x: V, h: V, p: P) -> Any:
    a = p.scalar("b") * h
    return a + p.b  # !


def matrix_of_two_widths(x: V, h: V, p: P) -> Any:
    a = p.W @ x
    return a + p.W @ h  # !


def matrix_of_two_heights(x: V, h: V, p: P) -> Any:
    a = p.matrix("W", rows="O") @ x
    return h, output(a + p.matrix("W", rows="Q") @ x)  # !


def vector_of_another_dimension(x: V, h: V, p: P) -> Any:
    return h + p.vector("b", dim="I")  # !


def numpy_function(x: V, h: V, p: P) -> Any:
    return np.tanh(p.W @ x + h)  # !


def numpy_mean(x: V, h: V, p: P) -> Any:
    return h - np.mean(h)  # !


def numpy_array(x: V, h: V, p: P) -> Any:
    return h * np.array([1.0, 2.0])  # !


def math_function(x: V, h: V, p: P) -> Any:
    return math.tanh(h)  # !


def index(x: V, h: V, p: P) -> Any:
    return h[0]  # !


def unpacking(x: V, h: V, p: P) -> Any:
    a, b = h  # !
    return a + b


def length(x: V, h: V, p: P) -> Any:
    return h / len(h)  # !


def transpose(x: V, h: V, p: P) -> Any:
    return p.W.T @ h  # !


def text(x: V, h: V, p: P) -> Any:
    return h + "1"  # !


def mean_of_scalar(x: V, h: V, p: P) -> Any:
    return h - mean(p.scalar("a"))  # !


def gate_called_output(x: V, h: V, p: P) -> Any:
    return gates(output=h), h  # !


def gate_called_as_state(x: V, h: V, p: P) -> Any:
    return gates(h=h), h  # !


def gate_is_a_number(x: V, h: V, p: P) -> Any:
    n = tanh(h)
    return gates(n=n, one=1.0), n  # !


def parameter_that_nothing_reads(x: V, h: V, p: P) -> Any:
    sigmoid(p.W_f @ x)  # !
    n = tanh(p.W @ x + h)
    return gates(n=n), n


def assigned_parameter(x: V, h: V, p: P) -> Any:
    p.W = h  # !
    return h


def dimension_of_an_expression(x: V, h: V, p: P) -> Any:
    a = p.W @ x
    n = tanh(a)
    p.b * (n * x)
    return (h + p.c) * (n - 1)  # !


CASES: dict[Callable[..., Any], str] = {
    two_dimensions: "the arguments of + must have the same dimension, got h of dimension H and x of dimension I; bring one to the other by a matrix",
    two_dimensions_of_a_gate: "must have the same dimension, got a of dimension H (since line {before}) and x of dimension I; bring",
    dimension_of_an_expression: "got an expression of dimension H and an expression of dimension I (since line {before}); bring",
    two_dimensions_compared: "the arguments of > or < must have the same dimension, got h of dimension H and x of dimension I",
    vector_before_matrix: "the left side of @ must be a matrix parameter, got a vector; write p.W @ v",
    array_before_matrix: "the left side of @ must be a matrix parameter, got a ndarray",
    matrix_times_matrix: "the right side of W @ must be a vector, got the parameter V; write products from the right: p.W @ (p.V @ x)",
    matrix_times_parameter: "the right side of W @ must be a vector, got the parameter b",
    matrix_times_number: "the right side of W @ must be a vector, got a float",
    matrix_times_scalar: "the right side of W @ must be a vector, got a scalar; use * to scale",
    branch_on_value: "got a symbol; write where(condition, a, b) instead of if, and, or, not",
    logical_and: "write where(condition, a, b)",
    equality: "a comparison must be > or <",
    not_less: "a comparison must be > or <",
    power: "a power must be written as products, got ** 2; write v * v for a square",
    too_few_states: "must return the new h, c, with gates(...) before and output(...) after where it has them, got 1 new states for 2; return",
    too_many_states: "got 2 new states for 1; return one for each state",
    nothing_returned: "got 0 new states for 1",
    gates_last: "got another order; reorder them",
    number_as_state: "the new state h must be a vector, got float",
    parameter_as_state: "the new state h must be a vector, got Weight",
    state_of_another_dimension: "the new state h must have the dimension H, got I; bring it there by a matrix",
    scalar_as_state: "the new state h must have the dimension H, got 1",
    matrix_and_vector: "the parameter W must be used in one way, got use as a matrix (line {before}) and as a vector; give one of them another name",
    vector_and_scalar: "the parameter b must be used in one way, got use as a scalar (line {before}) and as a vector",
    matrix_of_two_widths: "the matrix W must multiply vectors of the same dimension, got I (line {before}) and h of dimension H; use",
    matrix_of_two_heights: "the matrix W must have the same rows at every use, got O (line {before}) and Q; use two matrices",
    vector_of_another_dimension: "got h of dimension H and b of dimension I (since line {here}); bring",
    numpy_function: "the equations must use the operators and functions of grus.cells, got an error",
    numpy_mean: "a function must come from grus.cells, got a NumPy function; use grus.cells.tanh and the like",
    numpy_array: "a value must be a vector, a parameter or a Python number, got a ndarray",
    math_function: "a function must come from grus.cells, got one that wants a plain number",
    index: "a vector must be used as a whole, got an index",
    unpacking: "a vector must be used as a whole, got an attempt to iterate over its units",
    length: "a vector's length must stay open while the equations are read, got len(); use mean(v) for a mean",
    transpose: "got an error: 'Weight' object has no attribute 'T'",
    text: "a value must be a vector, a parameter or a Python number, got a str",
    mean_of_scalar: "mean: the argument must be a vector, got a scalar",
    gate_called_output: "a gate must have a name of its own, got 'output', which is taken; rename the gate",
    gate_called_as_state: "a gate must have a name of its own, got 'h'",
    gate_is_a_number: "the gate one must be a value of the cell, got 1.0; leave it out",
    parameter_that_nothing_reads: "the parameter W_f must reach a gate, a state or the output, got a value that nothing reads",
    assigned_parameter: "a parameter must be read only, got a value for W; keep it in a local name",
}


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_broken_rule_points_to_the_line(function: Callable[..., Any]) -> None:
    source, first = inspect.getsourcelines(function)
    (line,) = (first + number for number, text in enumerate(source) if text.rstrip().endswith("# !"))
    with pytest.raises(CellError) as caught:
        Cell.define(function, "h c" if "c" in inspect.signature(function).parameters else "h")
    message = str(caught.value)
    assert message.startswith(f"{function.__name__}: ")
    assert CASES[function].format(before=line - 1, here=line) in message
    assert message.endswith(f'\n  File "{__file__}", line {line}\n    {source[line - first].strip()}')


def test_broken_rule_in_a_called_function_points_there() -> None:
    def shift(v: Vector) -> Vector:
        return v**2  # called

    def outer(x: V, h: V, p: P) -> Any:
        return shift(h)

    with pytest.raises(CellError, match=r"return v\*\*2  # called$"):
        cell(states="h")(outer)


def no_input(h: V, p: P) -> Any:
    return h


def other_order(h: V, x: V, p: P) -> Any:
    return h


def unused_input(x: V, mask: V, h: V, p: P) -> Any:
    return h + p.W @ x


def many(*values: V) -> Any:
    return values


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (no_input, {"states": "h"}, "the arguments must begin with an input, got (h, p); write for example (x, h, p)"),
        (other_order, {"states": "h"}, "the arguments must be the inputs, then the states h, then the parameters, got (h, x, p)"),
        (
            unused_input,
            {"states": "h"},
            "the input mask must reach a gate, a state or the output, got an argument that nothing reads",
        ),
        (many, {"states": "h"}, "the arguments must be the inputs, then the states h"),
        (two_dimensions, {"states": ""}, "states must name at least one state, got none; write @cell(states='h')"),
        (two_dimensions, {"states": "h", "dims": {"k": "O"}}, "dims must name inputs or states, got 'k'; choose from x, h"),
    ],
)
def test_wrong_arguments_point_to_the_definition(function: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    line = inspect.getsourcelines(function)[1]
    with pytest.raises(CellError, match=re.escape(message)) as caught:
        cell(**options)(function)
    assert f'File "{__file__}", line {line}' in str(caught.value)


def test_decorator_without_its_call_is_refused() -> None:
    with pytest.raises(CellError, match=r"states must be a string of names, got <function .*; write @cell\(states='h'\)"):
        cell(two_dimensions)  # pyright: ignore[reportArgumentType]


def test_decorated_twice_is_refused() -> None:
    with pytest.raises(CellError, match="a cell must be a Python function, got Cell"):
        cell(states="h")(gru)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("function", [sigmoid, hard_sigmoid, mean, output])
def test_function_on_numbers_is_refused(function: Callable[[Any], Any]) -> None:
    with pytest.raises(CellError, match=f"{function.__name__}: an argument must be a symbol of the cell, got float"):
        function(1.0)


def test_value_of_another_cell_is_refused() -> None:
    kept: list[Vector] = []

    def first(x: V, h: V, p: P) -> Any:
        kept.append(h)
        return tanh(p.W @ x + h)

    def second(x: V, h: V, p: P) -> Any:
        return h + kept[0]

    cell(states="h")(first)
    with pytest.raises(CellError, match=r"second: every value must belong to this cell"):
        cell(states="h")(second)


def test_error_of_the_users_own_code_stays_as_it_is() -> None:
    def divide(x: V, h: V, p: P) -> Any:
        return h * (1 / 0)

    with pytest.raises(ZeroDivisionError):
        cell(states="h")(divide)
