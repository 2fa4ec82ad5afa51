"""The split of a step program: what leaves the loop, what stays, and that both parts together are the program."""

from __future__ import annotations

import numpy as np
import pytest

import grus.cells
from grus.compiler.hoist import prune, split
from grus.compiler.program import Builder, Parameter, Program, Term, Variable
from grus.compiler.reference import evaluate
from grus.errors import CellError

SIZES = {"I": 4, "H": 5, "1": 1}


def size(dim: str) -> int:
    return SIZES.get(dim, 3)


def draw(program: Program, seed: int) -> tuple[dict, dict, dict]:
    rng = np.random.default_rng(seed)
    inputs = {variable.name: rng.normal(size=(3, size(variable.dim))) for variable in program.inputs}
    params = {parameter.name: rng.normal(size=[size(dim) for dim in parameter.shape]) for parameter in program.parameters}
    states = {variable.name: rng.normal(size=(3, size(variable.dim))) for variable in program.states}
    return inputs, params, states


def simple(build: Builder, step: int, **outputs: int) -> Program:
    """A program with input x, mask m, state h and the parameters W, U, b, k."""
    inputs = (Variable("x", "I"), Variable("m", "H"))
    matrices = (Parameter("W", "matrix", ("H", "I")), Parameter("U", "matrix", ("H", "H")))
    parameters = (*matrices, Parameter("b", "vector", ("H",)), Parameter("k", "scalar", ()))
    return Program(inputs, (Variable("h", "H"),), parameters, tuple(build.nodes), (step,), {"output": step, **outputs})


def leaves(build: Builder) -> tuple[int, int, int, int, int]:
    x, m, h = build.leaf("input", "I", "x"), build.leaf("input", "H", "m"), build.leaf("state", "H", "h")
    return x, m, h, build.leaf("vector", "H", "b"), build.leaf("scalar", "1", "k")


def names(variables: tuple[Variable, ...]) -> list[str]:
    return [variable.name for variable in variables]


@pytest.mark.parametrize("name", grus.cells.names())
def test_prologue_and_loop_give_what_the_cell_gives(name: str) -> None:
    program = grus.cells.get(name).program
    inputs, params, states = draw(program, 1)
    parts = split(program)
    streams, _ = evaluate(parts.prologue, inputs, params, {})
    outputs, after = evaluate(parts.loop, inputs | streams, params, states)
    expected, expected_after = evaluate(program, inputs, params, states)
    assert outputs.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, rtol=1e-12, atol=1e-12)
    for key, value in expected_after.items():
        np.testing.assert_allclose(after[key], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", grus.cells.names())
def test_loop_multiplies_only_what_depends_on_the_state(name: str) -> None:
    loop = split(grus.cells.get(name).program).loop
    dependent: set[int] = set()
    for index, node in enumerate(loop.nodes):
        if node.op == "state" or dependent.intersection(node.operands()):
            dependent.add(index)
        assert all(term.operand in dependent for term in node.terms)
        assert node.op != "affine" or not dependent.intersection(node.args)


@pytest.mark.parametrize("name", grus.cells.names())
def test_prologue_has_no_state_and_only_its_own_parameters(name: str) -> None:
    parts = split(grus.cells.get(name).program)
    assert not parts.prologue.states
    assert all(node.op != "state" for node in parts.prologue.nodes)
    assert tuple(parts.prologue.outputs) == tuple(names(parts.streams))
    for part in (parts.prologue, parts.loop):
        read = {node.name for node in part.nodes} | {term.matrix for node in part.nodes for term in node.terms}
        assert {parameter.name for parameter in part.parameters} <= read


def test_gru_keeps_three_streams_and_one_bias_in_the_loop() -> None:
    parts = split(grus.cells.gru.program)
    assert names(parts.streams) == ["s0", "s1", "s2"]
    products = [node for node in parts.loop.nodes if node.op == "affine"]
    starts = [parts.loop.nodes[product.args[0]] for product in products]
    assert [(start.op, start.name) for start in starts] == [("input", "s0"), ("input", "s1"), ("vector", "c_n")]
    assert [node.op for node in parts.prologue.nodes].count("affine") == 3


def test_sum_is_regrouped_however_it_is_spelt() -> None:
    def spelt(order: tuple[int, ...]) -> Program:
        build = Builder()
        x, _, h, b, _ = leaves(build)
        parts = (build.affine("H", (Term("W", x),)), build.affine("H", (Term("U", h),)), b)
        total = parts[order[0]]
        for position in order[1:]:
            total = build.elementwise("add", parts[position], total)
        return simple(build, build.elementwise("tanh", total))

    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)):
        parts = split(spelt(order))
        assert [node.op for node in parts.loop.nodes] == ["input", "state", "affine", "tanh"]
        assert sorted(node.op for node in parts.prologue.nodes) == ["affine", "input", "vector"]


def test_sum_that_two_values_read_is_made_once() -> None:
    build = Builder()
    x, _, h, b, _ = leaves(build)
    shared = build.affine("H", (Term("W", x), Term("U", h)))
    step = build.elementwise("mul", build.elementwise("tanh", shared), build.elementwise("sigmoid", build.elementwise("add", shared, b)))
    loop = split(simple(build, step)).loop
    assert [node.op for node in loop.nodes].count("affine") == 1


def test_gate_without_state_is_a_stream_of_its_name() -> None:
    build = Builder()
    x, _, h, _, _ = leaves(build)
    gate = build.elementwise("sigmoid", build.affine("H", (Term("W", x),)))
    parts = split(simple(build, build.elementwise("mul", gate, h), f=gate))
    assert names(parts.streams) == ["f"]
    assert parts.loop.nodes[parts.loop.outputs["f"]].op == "input"
    assert names(parts.loop.inputs) == ["f"]


def test_raw_input_that_the_loop_reads_keeps_its_name() -> None:
    build = Builder()
    x, m, h, _, _ = leaves(build)
    inner = build.elementwise("tanh", build.affine("H", (Term("W", x), Term("U", h))))
    kept = build.elementwise("mul", build.elementwise("sub", build.constant(1.0), m), h)
    parts = split(simple(build, build.elementwise("add", build.elementwise("mul", m, inner), kept)))
    assert names(parts.streams) == ["s0"]
    assert names(parts.loop.inputs) == ["s0", "m"]
    assert names(parts.prologue.inputs) == ["x"]


def test_arithmetic_of_parameters_stays_in_the_loop() -> None:
    build = Builder()
    _, _, h, b, k = leaves(build)
    decay = build.elementwise("exp", build.elementwise("neg", build.elementwise("mul", k, b)))
    parts = split(simple(build, build.elementwise("mul", decay, h)))
    assert parts.streams == ()
    assert parts.prologue.nodes == ()
    assert {parameter.name for parameter in parts.loop.parameters} == {"b", "k"}


def test_scalar_stream_is_stored_in_its_readers_dimension() -> None:
    build = Builder()
    x, _, h, _, _ = leaves(build)
    gate = build.elementwise("sigmoid", build.mean(build.affine("H", (Term("W", x),))))
    program = simple(build, build.elementwise("mul", gate, h))
    parts = split(program)
    assert parts.streams == (Variable("s0", "H"),)
    inputs, params, states = draw(program, 2)
    streams, _ = evaluate(parts.prologue, inputs, params, {})
    outputs, _ = evaluate(parts.loop, streams, params, states)
    expected, _ = evaluate(program, inputs, params, states)
    np.testing.assert_allclose(outputs["output"], expected["output"], rtol=1e-12)


def test_stream_name_avoids_names_in_use() -> None:
    build = Builder()
    x, _, h, b, _ = leaves(build)
    step = build.affine("H", (Term("W", x), Term("U", h)))
    step = build.elementwise("tanh", build.elementwise("add", step, b))
    parts = split(simple(build, step, s0=build.elementwise("mul", h, h)))
    assert names(parts.streams) == ["s1"]


def test_unwanted_gates_leave_with_their_streams() -> None:
    program = grus.cells.article_blend.program
    parts = split(program, ["output"])
    assert tuple(parts.loop.outputs) == ("output",)
    assert {"W_f", "U_f", "W_i", "U_i"}.isdisjoint(parameter.name for part in (parts.loop, parts.prologue) for parameter in part.parameters)
    assert len(split(program).streams) == len(parts.streams) + 2


def test_unknown_output_is_refused() -> None:
    with pytest.raises(CellError, match=r"split: outputs must be among .*got 'q'"):
        split(grus.cells.gru.program, ["q"])


def test_prune_drops_what_nothing_reads() -> None:
    build = Builder()
    x, _, h, b, k = leaves(build)
    dead = build.elementwise("tanh", build.affine("H", (Term("W", x),), b))
    step = build.elementwise("mul", k, h)
    program = prune(simple(build, step, dead=dead), ["output"])
    assert program.inputs == ()
    assert [parameter.name for parameter in program.parameters] == ["k"]
    assert [node.op for node in program.nodes] == ["state", "scalar", "mul"]
    assert program.outputs == {"output": 2}
