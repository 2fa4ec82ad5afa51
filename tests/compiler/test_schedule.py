"""How step programs are cut into phases, and what they keep in scratch rows."""

from __future__ import annotations

import pytest

import grus.cells
from grus.compiler.differentiate import differentiate
from grus.compiler.hoist import split
from grus.compiler.program import ELEMENTWISE, LEAVES, SCALAR, Builder, Program, Term, Variable, reachable
from grus.compiler.schedule import Schedule, schedule


def loop_of(name: str) -> Program:
    return split(grus.cells.get(name).program).loop


def plan_of(name: str) -> Schedule:
    return schedule(loop_of(name))


def backward_plan_of(name: str) -> Schedule:
    return schedule(differentiate(loop_of(name)).program)


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("rnn_tanh", 1),
        ("gru", 1),
        ("lstm", 1),
        ("lstm_peephole", 1),
        ("min_gru", 1),
        ("sru", 1),
        ("gru_reset_before", 2),
        ("lstm_projected", 2),
        ("mgu", 2),
        ("article_cell_state", 3),
    ],
)
def test_phases_are_the_products_that_wait_for_one_another(name: str, phases: int) -> None:
    assert len(plan_of(name).phases) == phases


def test_gru_is_one_group_of_three_products_without_scratch() -> None:
    plan = plan_of("gru")
    assert [len(group.products) for group in plan.groups] == [3]
    assert plan.scratch == ()
    assert plan.means == ()


def test_gru_gradient_keeps_only_what_its_product_reads() -> None:
    plan = backward_plan_of("gru")
    nodes = plan.program.nodes
    operands = {term.operand for group in plan.groups for _, term in group.products}
    read_again = {arg for node in plan.phase_of for arg in nodes[node].args}
    assert set(plan.scratch) <= operands | read_again
    assert {operand for operand in operands if nodes[operand].op in (*ELEMENTWISE, "affine")} <= set(plan.scratch)


def test_values_that_live_in_memory_need_no_scratch() -> None:
    program = differentiate(loop_of("gru")).program
    every = schedule(program).scratch
    assert schedule(program, every[:1]).scratch == every[1:]
    assert schedule(program, every).scratch == ()


def test_elementwise_recurrence_has_no_products() -> None:
    for name in ("min_gru", "sru", "indrnn", "diagonal_gru"):
        assert plan_of(name).groups == ()


def test_means_come_before_the_phase_that_reads_them() -> None:
    plan = plan_of("gru_layer_norm")
    nodes, computed = plan.program.nodes, set[int]()
    assert plan.means
    assert sorted(mean for phase in plan.phases for mean in phase.means) == sorted(plan.means)
    for number, phase in enumerate(plan.phases):
        computed |= set(phase.means)
        for node in (node for node, where in plan.phase_of.items() if where == number):
            needed = reachable(nodes, [arg for arg in nodes[node].args if nodes[arg].dim == SCALAR])
            assert {i for i in needed if nodes[i].op == "mean"} <= computed


@pytest.mark.parametrize("name", grus.cells.names())
@pytest.mark.parametrize("backward", [False, True])
def test_every_phase_needs_only_earlier_phases(name: str, backward: bool) -> None:
    plan = backward_plan_of(name) if backward else plan_of(name)
    nodes = plan.program.nodes
    for node, phase in plan.phase_of.items():
        for arg in nodes[node].args:
            assert plan.phase_of.get(arg, phase) <= phase
            if plan.phase_of.get(arg, phase) < phase:
                assert arg in plan.scratch, "a value of an earlier phase is read again, so it must be kept"
        for term in nodes[node].terms:
            if nodes[term.operand].op not in LEAVES:
                assert plan.phase_of[term.operand] < phase, "a product reads its whole operand, which must be complete"
                assert term.operand in plan.scratch


@pytest.mark.parametrize("name", grus.cells.names())
def test_every_result_is_a_root_of_exactly_one_phase(name: str) -> None:
    plan = plan_of(name)
    roots = [root for phase in plan.phases for root in phase.roots]
    assert len(roots) == len(set(roots))
    assert {*plan.program.next_states, *plan.program.outputs.values()} <= set(roots)


def test_products_of_one_operand_share_a_group() -> None:
    build = Builder()
    x, h = build.leaf("input", "I", "x"), build.leaf("state", "H", "h")
    both = build.affine("H", (Term("U", h), Term("W", x)))
    other = build.affine("H", (Term("V", h),))
    out = build.elementwise("mul", both, other)
    plan = schedule(Program((Variable("x", "I"),), (Variable("h", "H"),), (), tuple(build.nodes), (out,), {"output": out}))
    assert len(plan.phases) == 1
    assert {group.inner: [term.matrix for _, term in group.products] for group in plan.groups} == {"H": ["U", "V"], "I": ["W"]}


def test_dimensions_have_phases_of_their_own() -> None:
    build = Builder()
    x, h = build.leaf("input", "I", "x"), build.leaf("state", "H", "h")
    first, second = build.elementwise("tanh", x), build.elementwise("tanh", h)
    plan = schedule(Program((Variable("x", "I"),), (Variable("h", "H"),), (), tuple(build.nodes), (second,), {"output": first}))
    assert sorted(phase.dim for phase in plan.phases) == ["H", "I"]
    assert plan.scratch == ()
