"""Facts that are read off a program, and programs made from programs."""

from __future__ import annotations

import pytest

from grus import cells
from grus.nn.rewrite import biases, gains, rebuild, recurrent_matrices, transform, with_recurrent_dropout, with_zoneout, without_biases


def test_facts_of_cells() -> None:
    assert recurrent_matrices(cells.gru.program) == ("U_r", "U_z", "U_n")
    assert recurrent_matrices(cells.lstm_projected.program) == ("U_i", "U_f", "U_g", "U_o", "W_hr")
    assert recurrent_matrices(cells.indrnn.program) == ()
    assert set(biases(cells.gru.program)) == {"b_r", "b_z", "b_n", "c_n"}
    assert biases(cells.lstm_peephole.program) == biases(cells.lstm.program)
    assert set(gains(cells.gru_layer_norm.program)) == {"g_rx", "g_rh", "g_zx", "g_zh", "g_nx", "g_nh"}
    assert gains(cells.gru.program) == ()


@pytest.mark.parametrize("cell", cells.names())
def test_copying_a_program_node_by_node_gives_an_equal_one(cell: str) -> None:
    program = cells.get(cell).program
    once = transform(program, lambda builder, node, _: rebuild(builder, node))
    assert transform(once, lambda builder, node, _: rebuild(builder, node)) == once
    assert once.outputs.keys() == program.outputs.keys()
    assert len(once.nodes) <= len(program.nodes)


def test_program_without_biases_reads_none() -> None:
    program = without_biases(cells.gru.program)
    assert {parameter.kind for parameter in program.parameters} == {"matrix"}
    assert not [node for node in program.nodes if node.op == "vector"]


def test_recurrent_dropout_masks_each_operand_once() -> None:
    program, masks = with_recurrent_dropout(cells.gru_reset_before.program)
    assert [(mask.name, mask.dim) for mask in masks] == [("dropout_H", "H")]
    masked = {
        index for index, node in enumerate(program.nodes) if node.op == "mul" and any(program.nodes[arg].name == "dropout_H" for arg in node.args)
    }
    recurrent = set(recurrent_matrices(cells.gru_reset_before.program))
    assert len(masked) == 2
    assert all(term.operand in masked for node in program.nodes for term in node.terms if term.matrix in recurrent)


def test_zoneout_replaces_the_output_only_where_it_is_a_state() -> None:
    program, masks = with_zoneout(cells.lstm.program)
    assert [mask.name for mask in masks] == ["zoneout_h", "zoneout_c"]
    assert program.outputs["output"] == program.next_states[0]
    program, _ = with_zoneout(cells.sru.program)
    assert program.outputs["output"] not in program.next_states
