"""The one form of sums, and what is computed once."""

from __future__ import annotations

from collections import Counter

import pytest

from grus import cells
from grus.cells import Cell, Parameters, Step, Vector, cell, gates, output, sigmoid, tanh
from grus.compiler.program import Program, reachable


def spell(program: Program, index: int) -> str:
    """A node as an expression; an affine node is [start; products]."""
    node = program.nodes[index]
    if node.op == "affine":
        start = [spell(program, arg) for arg in node.args] or ["0"]
        return f"[{start[0]}; {' + '.join(f'{term.matrix} {spell(program, term.operand)}' for term in node.terms)}]"
    if node.op == "constant":
        return f"{node.value:g}"
    return node.name or f"{node.op}({', '.join(spell(program, arg) for arg in node.args)})"


def output_of(made: Cell) -> str:
    return spell(made.program, made.program.outputs["output"])


def test_sum_of_products_hoists_its_input_part() -> None:
    @cell(states="h")
    def mixed(x: Vector, m: Vector, h: Vector, p: Parameters) -> Step:
        return p.U @ h + p.b + p.W @ x + p.d * h + p.V @ m + p.a + p.S @ (h * h)

    assert output_of(mixed) == "add([[add(b, a); W x + V m]; U h + S mul(h, h)], mul(d, h))"


def test_gru_has_the_form_that_the_compiler_expects() -> None:
    program = cells.gru.program
    assert spell(program, program.outputs["r"]) == "sigmoid([[b_r; W_r x]; U_r h])"
    assert spell(program, program.outputs["n"]) == "tanh(add([b_n; W_n x], mul(sigmoid([[b_r; W_r x]; U_r h]), [c_n; U_n h])))"


def test_sum_without_state_products_stays_elementwise() -> None:
    @cell(states="h")
    def element(x: Vector, h: Vector, p: Parameters) -> Step:
        return gates(seen=x), (h - p.a) - p.u * h + 1

    assert output_of(element) == "sub(add(sub(1, a), h), mul(u, h))"


def test_difference_of_input_parts_is_hoisted() -> None:
    @cell(states="h")
    def difference(x: Vector, h: Vector, p: Parameters) -> Step:
        return p.U @ h + (p.W @ x - p.V @ x) - 1 + p.b

    assert output_of(difference) == "[sub(sub([b; W x], [0; V x]), 1); U h]"


def test_subtracted_product_stays_whole() -> None:
    @cell(states="h")
    def subtracted(x: Vector, h: Vector, p: Parameters) -> Step:
        return gates(seen=x), p.a * h - p.U @ h

    assert output_of(subtracted) == "sub(mul(a, h), [0; U h])"


def test_leading_minus_keeps_the_value() -> None:
    @cell(states="h")
    def leading(x: Vector, h: Vector, p: Parameters) -> Step:
        return gates(seen=x), -(p.U @ h) - p.b + h

    assert output_of(leading) == "sub(add(neg([0; U h]), h), b)"


def test_scalar_is_never_the_start_of_products() -> None:
    @cell(states="h")
    def scalar(x: Vector, h: Vector, p: Parameters) -> Step:
        return gates(a=tanh(1 + p.W @ x)), p.scalar("s") + p.U @ h

    assert output_of(scalar) == "add([0; U h], s)"
    assert spell(scalar.program, scalar.program.outputs["a"]) == "tanh(add([0; W x], 1))"


def test_product_written_twice_is_computed_once() -> None:
    @cell(states="h")
    def twice(x: Vector, h: Vector, p: Parameters) -> Step:
        r = sigmoid(p.W @ x + p.U @ h + p.a)
        n = tanh(p.W @ x + r * (p.U @ h) + p.b)
        return gates(r=r, n=n), n

    products = Counter(term.matrix for node in twice.program.nodes for term in node.terms)
    assert products == {"W": 1, "U": 1}


@pytest.mark.parametrize("name", cells.names())
def test_every_matrix_of_the_catalogue_multiplies_once(name: str) -> None:
    program = cells.get(name).program
    products = Counter(term.matrix for node in program.nodes for term in node.terms)
    assert products == {parameter.name: 1 for parameter in program.parameters if parameter.kind == "matrix"}


@pytest.mark.parametrize("name", cells.names())
def test_products_of_inputs_never_wait_for_the_state(name: str) -> None:
    """No affine node mixes both, and a product that waits starts from the part that does not."""
    program = cells.get(name).program
    states = {index for index, node in enumerate(program.nodes) if node.op == "state"}

    def waits(index: int) -> bool:
        return bool(reachable(program.nodes, [index]) & states)

    for node in program.nodes:
        if node.op == "affine":
            assert len({waits(term.operand) for term in node.terms}) == 1
            assert not any(waits(start) for start in node.args)
            assert all(program.nodes[start].dim == node.dim for start in node.args)


@pytest.mark.parametrize("name", cells.names())
def test_nodes_are_in_order_and_all_needed(name: str) -> None:
    program = cells.get(name).program
    assert all(operand < index for index, node in enumerate(program.nodes) for operand in node.operands())
    assert len(set(program.nodes)) == len(program.nodes)
    assert reachable(program.nodes, [*program.next_states, *program.outputs.values()]) == set(range(len(program.nodes)))


def test_same_function_gives_the_same_program() -> None:
    assert Cell.define(cells.gru_d.function, "h").program == cells.gru_d.program


def test_unused_gate_stays_in_the_program() -> None:
    program = cells.article_blend.program
    needed = reachable(program.nodes, [program.outputs["output"], *program.next_states])
    assert program.outputs["f"] not in needed
    assert program.nodes[program.outputs["f"]].op == "sigmoid"


def test_sum_with_two_readers_is_computed_once() -> None:
    @cell(states="h")
    def shared(x: Vector, h: Vector, p: Parameters) -> Step:
        s = p.W @ x + p.U @ h
        return tanh(s + p.a), output(tanh(s + p.b))

    assert output_of(shared) == "tanh(add(b, [[0; W x]; U h]))"
    assert sum(node.op == "affine" for node in shared.program.nodes) == 2
