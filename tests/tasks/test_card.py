"""The model card as text."""

from __future__ import annotations

from grus.tasks.card import LIBRARIES, make_card, versions


def test_card_is_markdown_with_facts_scores_and_findings() -> None:
    scores = {"gru": {"mae": 0.123456, "crps": 2.0}, "drift": {"mae": 10.0, "mase": float("nan")}}
    lines = make_card("Forecaster: gru", [("seed", "7")], scores, ["gaps: 1 of 4\nsteps"]).splitlines()
    assert lines[:6] == ["# Forecaster: gru", "", "| | |", "|---|---|", "| seed | 7 |", ""]
    assert lines[6:12] == ["## Scores", "", "| | mae | crps | mase |", "|---|---:|---:|---:|", "| gru | 0.1235 | 2 |  |", "| drift | 10 |  |  |"]
    assert lines[12:16] == ["", "## Noticed in the data", "", "- gaps: 1 of 4 steps"]
    assert len(lines) == 16


def test_card_without_scores_or_findings_says_so() -> None:
    card = make_card("Title", [], {}, [])
    assert "Not judged yet, so there are no scores beside baselines." in card
    assert "Noticed" not in card


def test_cells_of_tables_stay_cells() -> None:
    assert "| a\\|b | c\\\\\\| d |" in make_card("Title", [("a|b", "c\\|\nd")], {}, [])


def test_versions_name_what_decides_a_result() -> None:
    found = versions()
    assert list(found) == ["python", *LIBRARIES]
    assert all(found.values())
