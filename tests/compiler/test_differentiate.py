"""The backward program's form: what is saved, what has a gradient, what is dropped. Its values are checked in test_reference.py."""

from __future__ import annotations

import pytest

import grus.cells
from grus.compiler.differentiate import Gradient, differentiate
from grus.compiler.hoist import split
from grus.compiler.program import Builder, Parameter, Program, Term, Variable, reachable
from grus.errors import CellError


def loop_of(name: str) -> Program:
    return split(grus.cells.get(name).program).loop


def parameters_with_gradient(gradient: Gradient) -> set[str]:
    matrices = {item.matrix for item in gradient.matrix_gradients}
    return matrices | set(gradient.vector_gradients) | set(gradient.scalar_gradients)


def one_state(build: Builder, step: int, **outputs: int) -> Program:
    inputs = (Variable("x", "H"), Variable("q", "I"))
    parameters = (Parameter("U", "matrix", ("H", "H")), Parameter("b", "vector", ("H",)), Parameter("k", "scalar", ()))
    return Program(inputs, (Variable("h", "H"),), parameters, tuple(build.nodes), (step,), {"output": step, **outputs})


def operations(program: Program) -> list[str]:
    return [node.op for node in program.nodes]


def test_gru_saves_its_gates_and_the_product_behind_reset() -> None:
    loop = loop_of("gru")
    gradient = differentiate(loop)
    assert [name for name, _ in gradient.saved][:2] == ["r", "z"]
    saved = {index for _, index in gradient.saved}
    product = next(index for index, node in enumerate(loop.nodes) if node.terms and node.terms[0].matrix == "U_n")
    assert saved == {loop.outputs["r"], loop.outputs["z"], loop.outputs["n"], product}


def test_lstm_saves_its_gates_and_the_squashed_cell() -> None:
    loop = loop_of("lstm")
    saved = dict(differentiate(loop).saved)
    (cell,) = set(saved) - {"i", "f", "g", "o"}
    assert set(saved) >= {"i", "f", "g", "o"}
    assert loop.nodes[saved[cell]].op == "tanh"


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu"])
def test_rnn_saves_its_output_only(name: str) -> None:
    loop = loop_of(name)
    assert differentiate(loop).saved == (("output", loop.outputs["output"]),)


@pytest.mark.parametrize("name", grus.cells.names())
def test_saved_values_are_neither_free_nor_unread(name: str) -> None:
    parts = split(grus.cells.get(name).program)
    for part in (parts.loop, parts.prologue):
        gradient = differentiate(part, outputs=("output",) if part is parts.loop else tuple(part.outputs))
        read = {node.name for node in gradient.program.nodes if node.op == "input"} | {item.operand for item in gradient.matrix_gradients}
        for saved, index in gradient.saved:
            assert part.nodes[index].op not in ("input", "state", "vector", "scalar", "constant")
            assert saved in read


@pytest.mark.parametrize("name", grus.cells.names())
def test_backward_program_declares_what_it_reads(name: str) -> None:
    parts = split(grus.cells.get(name).program)
    for part in (parts.loop, parts.prologue):
        gradient = differentiate(part, outputs=("output",) if part is parts.loop else tuple(part.outputs))
        backward = gradient.program
        assert {node.name for node in backward.nodes if node.op == "input"} == {variable.name for variable in backward.inputs}
        assert [state.name for state in backward.states] == [f"d_{state.name}" for state in part.states]
        assert reachable(backward.nodes, [*backward.next_states, *backward.outputs.values()]) == set(range(len(backward.nodes)))
        for target in (*gradient.vector_gradients.values(), *gradient.input_gradients.values()):
            assert target in backward.outputs
        for item in gradient.matrix_gradients:
            rows, columns = part.parameter(item.matrix).shape
            assert backward.nodes[backward.outputs[item.adjoint]].dim == (columns if item.transposed else rows)


@pytest.mark.parametrize("name", grus.cells.names())
def test_products_into_a_value_are_one_affine_node(name: str) -> None:
    backward = differentiate(loop_of(name)).program
    for node in backward.nodes:
        if node.op == "add":
            assert not all(backward.nodes[arg].op == "affine" for arg in node.args)


def test_gru_products_are_three_transposed_in_one() -> None:
    backward = differentiate(loop_of("gru")).program
    (product,) = [node for node in backward.nodes if node.op == "affine"]
    assert [(term.matrix, term.transposed) for term in product.terms] == [("U_r", True), ("U_z", True), ("U_n", True)]
    assert len(product.args) == 1


def test_parameter_of_unused_gate_has_no_gradient() -> None:
    parts = split(grus.cells.article_blend.program)
    gradient = differentiate(parts.loop)
    prologue = differentiate(parts.prologue, outputs=tuple(gradient.input_gradients))
    found = parameters_with_gradient(gradient) | parameters_with_gradient(prologue)
    dead = {"U_f", "W_f", "b_f", "U_i", "W_i", "b_i"}
    everything = {parameter.name for parameter in grus.cells.article_blend.program.parameters}
    assert dead < everything
    assert found == everything - dead


def test_unused_gate_with_an_adjoint_has_gradients() -> None:
    loop = split(grus.cells.article_blend.program).loop
    gradient = differentiate(loop, outputs=("output", "f"))
    assert gradient.upstream == {"output": "d_output", "f": "d_f"}
    assert "U_f" in parameters_with_gradient(gradient)
    assert "U_i" not in parameters_with_gradient(gradient)


def test_unwanted_input_costs_nothing() -> None:
    prologue = split(grus.cells.gru.program).prologue
    gradient = differentiate(prologue, outputs=tuple(prologue.outputs), inputs=())
    assert gradient.input_gradients == {}
    assert set(operations(gradient.program)) == {"input"}
    assert {item.matrix for item in gradient.matrix_gradients} == {"W_r", "W_z", "W_n"}
    assert {item.operand for item in gradient.matrix_gradients} == {"x"}


def test_gradients_that_are_equal_share_an_output() -> None:
    gradient = differentiate(loop_of("gru"))
    by_matrix = {item.matrix: item.adjoint for item in gradient.matrix_gradients}
    assert by_matrix == {"U_r": gradient.input_gradients["s0"], "U_z": gradient.input_gradients["s1"], "U_n": gradient.vector_gradients["c_n"]}
    assert len(gradient.program.outputs) == 4


def test_cheap_value_is_saved_when_making_it_again_needs_more() -> None:
    build = Builder()
    x, h = build.leaf("input", "H", "x"), build.leaf("state", "H", "h")
    product = build.affine("H", (Term("U", h),))
    shifted = build.elementwise("sub", product, build.elementwise("exp", x))
    program = one_state(build, build.elementwise("mul", shifted, shifted))
    assert differentiate(program, inputs=()).saved == (("v4", shifted),)


def test_cheap_operand_of_a_product_is_saved() -> None:
    loop = loop_of("gru_reset_before")
    gradient = differentiate(loop)
    operand = next(item.operand for item in gradient.matrix_gradients if item.matrix == "U_n")
    assert loop.nodes[dict(gradient.saved)[operand]].op == "mul"


def test_output_that_is_not_differentiated_is_not_read() -> None:
    gradient = differentiate(loop_of("gru"), outputs=())
    assert gradient.upstream == {}
    assert all(not variable.name.startswith("d_") for variable in gradient.program.inputs)


def test_state_without_influence_gets_zero() -> None:
    build = Builder()
    x = build.leaf("input", "H", "x")
    gradient = differentiate(one_state(build, build.elementwise("tanh", x)))
    (carried,) = gradient.program.next_states
    node = gradient.program.nodes[carried]
    assert (node.op, node.dim, node.value) == ("constant", "H", 0.0)


def test_gate_named_like_a_state_keeps_both_apart() -> None:
    build = Builder()
    h = build.leaf("state", "H", "h")
    gate = build.elementwise("sigmoid", build.affine("H", (Term("U", h),)))
    program = one_state(build, build.elementwise("mul", gate, h), h=gate)
    gradient = differentiate(program, outputs=("output", "h"))
    assert gradient.upstream == {"output": "d_output", "h": "d_h_output"}
    assert gradient.saved == (("v2", gate),)


def test_layer_norm_backward_takes_two_means_a_product() -> None:
    loop = loop_of("gru_layer_norm")
    backward = differentiate(loop).program
    assert operations(backward).count("mean") == operations(loop).count("mean") == 6


@pytest.mark.parametrize("name", grus.cells.names())
def test_transcendentals_of_the_state_are_never_made_again(name: str) -> None:
    backward = differentiate(loop_of(name)).program
    on_values = {index for index, node in enumerate(backward.nodes) if node.op in ("input", "state")}
    for index, node in enumerate(backward.nodes):
        if on_values.intersection(node.operands()):
            on_values.add(index)
            assert node.op not in ("exp", "log", "sqrt", "tanh")


def test_scalar_that_reaches_two_dimensions_is_refused() -> None:
    build = Builder()
    q, h, k = build.leaf("input", "I", "q"), build.leaf("state", "H", "h"), build.leaf("scalar", "1", "k")
    other = build.elementwise("mul", k, q)
    program = one_state(build, build.elementwise("mul", k, h), other=other)
    with pytest.raises(CellError, match="a scalar must reach vectors of one dimension, got 'H' and 'I'"):
        differentiate(program, outputs=("output", "other"))


def test_mean_that_reaches_another_dimension_is_refused() -> None:
    build = Builder()
    q, h = build.leaf("input", "I", "q"), build.leaf("state", "H", "h")
    program = one_state(build, build.elementwise("mul", build.mean(q), h))
    with pytest.raises(CellError, match="a mean over 'I' must reach vectors of 'I', got 'H'"):
        differentiate(program)
    assert differentiate(program, inputs=("x",)).input_gradients == {}


def test_scalar_output_with_an_adjoint_is_refused() -> None:
    build = Builder()
    h = build.leaf("state", "H", "h")
    program = one_state(build, build.elementwise("neg", h), level=build.mean(h))
    with pytest.raises(CellError, match="output 'level' must be a vector"):
        differentiate(program, outputs=("output", "level"))


def test_scalar_state_is_refused() -> None:
    build = Builder()
    h = build.leaf("state", "1", "h")
    program = Program((), (Variable("h", "1"),), (), tuple(build.nodes), (h,), {"output": h})
    with pytest.raises(CellError, match="state 'h' must be a vector"):
        differentiate(program)


def test_product_with_one_row_that_is_broadcast_is_refused() -> None:
    build = Builder()
    h = build.leaf("state", "H", "h")
    level = build.affine("1", (Term("w", h),))
    step = build.elementwise("mul", level, h)
    program = Program((), (Variable("h", "H"),), (Parameter("w", "matrix", ("1", "H")),), tuple(build.nodes), (step,), {"output": step})
    with pytest.raises(CellError, match="a product with one row must not be broadcast"):
        differentiate(program)


def test_unknown_output_is_refused() -> None:
    with pytest.raises(CellError, match=r"differentiate: outputs must be among .*got 'q'"):
        differentiate(loop_of("gru"), outputs=("q",))
