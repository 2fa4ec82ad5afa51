from __future__ import annotations

import numpy as np

from grus.demo.plot import Chart, ticks


def test_ticks_are_round_and_inside() -> None:
    assert ticks(313.0, 376.0, 4) == [320, 340, 360]


def test_line_breaks_at_a_gap() -> None:
    chart = Chart(100, 80, (0.0, 3.0), (0.0, 1.0), "test")
    chart.line("truth", np.arange(4.0), np.array([0.0, np.nan, 1.0, 1.0]))
    assert chart.marks[0].count("M") == 2
    assert "nan" not in chart.marks[0]


def test_label_is_escaped() -> None:
    assert 'aria-label="a &lt; b"' in Chart(100, 80, (0.0, 1.0), (0.0, 1.0), "a < b").svg("wide")
