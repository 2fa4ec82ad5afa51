"""Which kernels a cell has, and what each reads, stores and leaves out."""

from __future__ import annotations

import pytest

import grus.cells
from grus.compiler.program import Builder, Program, Variable
from grus.compiler.programs import CellPrograms, Mode, make_stage


def programs(name: str) -> CellPrograms:
    return CellPrograms(grus.cells.get(name).program, exact=False)


def test_results_follow_the_mode() -> None:
    found = programs("gru")
    assert found.results(Mode()) == ("output",)
    assert found.results(Mode(gates=True)) == ("output", "r", "z", "n")
    assert found.results(Mode(sequence=False)) == ()


def test_inference_stores_nothing_beside_the_results() -> None:
    stage = programs("gru").loop(Mode())
    assert stage.user == ("output",)
    assert stage.stored.names == ()


def test_training_stores_what_the_gradient_reads() -> None:
    found, mode = programs("gru"), Mode(save=True)
    stored = {name.removeprefix("saved:") for name, _ in found.loop(mode).stored.names}
    assert stored == {name for name, _ in found.loop_gradient(mode).saved}


@pytest.mark.parametrize("name", grus.cells.names())
@pytest.mark.parametrize("gates", [False, True])
def test_backward_reads_only_what_forward_has(name: str, gates: bool) -> None:
    found, mode = programs(name), Mode(gates=gates, save=True)
    had = found.inputs | {v.name for v in found.split.streams} | {v.name for v in found.program.states}
    had |= {saved for saved, _ in found.loop_gradient(mode).saved} | set(found.loop_gradient(mode).upstream.values())
    assert {v.name for v in found.loop_backward(mode).program.inputs} <= had
    early = found.prologue_gradient(mode)
    known = found.inputs | {saved for saved, _ in early.saved} | set(early.upstream.values())
    assert {v.name for v in found.prologue_backward(mode, found.inputs).program.inputs} <= known


@pytest.mark.parametrize("name", grus.cells.names())
def test_prologue_column_names_what_the_prologue_has(name: str) -> None:
    found, mode = programs(name), Mode(save=True)
    stored = {column for column, _ in found.prologue(mode).stored.names}
    for saved, _ in found.prologue_gradient(mode).saved:
        assert found.prologue_column(mode, saved) in stored


def test_unwanted_input_gradients_are_not_computed() -> None:
    found, mode = programs("gru"), Mode(save=True)
    assert found.prologue_backward(mode, frozenset({"x"})).user
    assert found.prologue_backward(mode, frozenset()).idle


def test_stage_of_nothing_is_idle() -> None:
    assert make_stage(Program((), (), (), (), (), {}), (), (), exact=False, bf16=False).idle
    assert not programs("gru").prologue(Mode()).idle


def test_gradient_that_is_an_input_is_not_copied() -> None:
    build = Builder()
    x, y = build.leaf("input", "H", "x"), build.leaf("input", "H", "y")
    outputs = {"a": x, "b": y, "c": build.elementwise("tanh", x)}
    program = Program((Variable("x", "H"), Variable("y", "H")), (), (), tuple(build.nodes), (), outputs)
    stage = make_stage(program, {"y"}, (), exact=False, bf16=False, backward=True)
    assert stage.aliases == {"a": "x"}
    assert [name for name, _ in stage.stored.names] == ["b", "c"]
    assert make_stage(program, {"y"}, (), exact=False, bf16=False).aliases == {}


def test_programs_are_made_once() -> None:
    found = programs("lstm")
    assert found.loop(Mode()) is found.loop(Mode())
    assert found.loop_backward(Mode(save=True)) is found.loop_backward(Mode(save=True))
