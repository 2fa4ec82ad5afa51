"""The pictures of gates: what their rows are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grus.report.gates import gate_sentence, row_of
from grus.report.sequence_examples import example_section
from grus.report.sequence_scores import Judged
from tests.report.answers import numbers, series


def test_gates_of_the_inputs_have_a_row_for_each_channel() -> None:
    drawn = {"r": np.full((30, 4), 0.5), "gamma_x": np.full((30, 2), 0.5), "gamma_h": np.full((30, 4), 0.5)}
    section = example_section(Judged(numbers()), (replace(series(), gates=drawn, cell="gru_d"),))
    assert section is not None
    charts = {chart.title.partition(",")[0]: chart for chart in section.parts[0].charts[2:]}
    assert {name: (chart.y.label, chart.table.head[1]) for name, chart in charts.items()} == {
        "r": ("unit", "mean over units"),
        "gamma_x": ("channel", "mean over channels"),
        "gamma_h": ("unit", "mean over units"),
    }
    assert row_of("f", "lstm") == row_of("z", "sru") == "unit"


def test_sentence_names_what_a_gate_has_a_row_for() -> None:
    said = gate_sentence("gamma_x", np.array([[0.2, 0.4], [0.6, 1.0]]), "", ["1", "2"], "channel")
    assert said == (
        "Gate gamma_x was 0.55 on average; its mean over channels was below 0.1 at 0 of 2 steps, above 0.9 at 0 of 2 steps. It differed more "
        "from step to step (0.30 at 1, 0.80 at 2) than from channel to channel (0.40 to 0.70)."
    )
