"""The page of a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grus.report import render, write
from grus.report.charts import Dots, Line, Rule
from grus.report.tuning import TuningPage
from grus.tasks.tuning.space import Choices, Range
from grus.tasks.tuning.study import Record
from tests.browser import chromium

EVIL = "<script>alert(1)</script>"
RATE, CELL = "training.learning_rate", "model.cell"
SPACE = {RATE: Range(1e-4, 1e-1, log=True), CELL: Choices(("gru", "lstm", EVIL))}


def record(number: int, value: float | None, rate: float = 1e-3, cell: str = "gru", state: str = "finished", **more: object) -> Record:
    losses = () if value is None else ((1, 1.0), (2, value))
    return Record(number, state, {RATE: rate, CELL: cell}, value if state == "finished" else None, losses, 1.5, **more)  # type: ignore[arg-type]


RECORDS = [
    record(0, 0.5, start=True),
    record(1, 0.9, 1e-2, "lstm", "pruned"),
    record(2, 0.4, 3e-3, EVIL),
    record(3, None, state="failed", note=f"its process died of {EVIL}"),
    record(4, 0.45, 1e-4, "lstm"),
    record(5, None, state="interrupted"),
]
PAGE = TuningPage("sales", "validation_loss", SPACE, RECORDS, {RATE: 0.75, CELL: 0.25}, [("seed", "0")])


def chart(page: TuningPage, name: str) -> list[object]:
    return next(list(chart.marks) for section in page.document().sections for chart in section.charts if chart.name == name)


def test_answer_is_the_best_beside_what_the_search_began_with() -> None:
    document = PAGE.document()
    assert document.answer == (
        f"The best is trial 2 with a validation loss (scaled units) of 0.4000: {RATE} 0.003000, {CELL} {EVIL}. "
        "The settings that the search began with have 0.5000; the best has 20.0 % less."
    )
    assert document.summary[0].startswith("Of 6 trials 3 finished, 1 ended early, 1 failed, 1 interrupted. They were judged by the validation part")
    began = replace(PAGE, records=[record(0, 0.3, start=True), *RECORDS[1:]]).document().answer
    assert began.endswith("These are the settings that the search began with.")
    assert replace(PAGE, records=RECORDS[1:]).document().answer.endswith(f"{CELL} {EVIL}.")


def test_history_is_every_trial_and_a_staircase_of_the_best() -> None:
    ended, finished, best = chart(PAGE, "history")
    assert isinstance(ended, Dots)
    assert isinstance(finished, Dots)
    assert isinstance(best, Line)
    assert (ended.x.tolist(), ended.y.tolist()) == ([1.0], [0.9])
    assert (finished.x.tolist(), finished.y.tolist()) == ([0.0, 2.0, 4.0], [0.5, 0.4, 0.45])
    assert (best.x.tolist(), best.y.tolist()) == ([0, 2, 2, 4, 4, 5], [0.5, 0.5, 0.4, 0.4, 0.4, 0.4])


def test_importance_has_the_greatest_at_the_top() -> None:
    low, _, high, _ = chart(PAGE, "importance")
    assert isinstance(low, Line)
    assert isinstance(high, Line)
    assert (low.x.tolist(), low.y.tolist(), high.x.tolist(), high.y.tolist()) == ([0, 0.25], [0, 0], [0, 0.75], [1, 1])
    few = replace(PAGE, importances={})
    assert "That takes 10 finished trials that differ; there are 3." in render(few)
    assert "importance" not in [found.name for section in few.document().sections for found in section.charts]


def test_slices_are_over_numbers_or_names() -> None:
    ended, finished, best = chart(PAGE, f"slice-{RATE}")
    assert isinstance(ended, Dots)
    assert isinstance(finished, Dots)
    assert (ended.x.tolist(), finished.x.tolist()) == ([1e-2], [3e-3, 1e-4, 1e-3])
    assert isinstance(best, Rule)
    assert best.place == 3e-3
    _, finished = chart(PAGE, f"slice-{CELL}")
    assert isinstance(finished, Dots)
    assert (finished.x.tolist(), finished.y.tolist()) == ([0.4, 0.45, 0.5], [0.0, 1.0, 2.0])  # names from the bottom: evil, lstm, gru


def test_losses_of_trials_ended_early_stay_out_where_something_else_judges() -> None:
    page = replace(PAGE, metric="mae")
    assert [type(mark) for mark in chart(page, "history")] == [Dots, Line]
    assert page.document().answer.startswith("The best is trial 2 with a mae of the validation part of 0.4000")


def test_table_has_finished_trials_first_and_the_best_marked() -> None:
    table = PAGE.document().sections[-2].tables[0]
    assert [row[0] for row in table.rows] == ["2", "4", "0", "1", "3", "5"]
    assert table.head == ("trial", "", "validation loss", "epochs", "seconds", RATE, CELL)
    assert table.rows[0] == ("2", "finished", "0.4000", "2", "1.5", "0.003000", EVIL)
    assert table.rows[4][2] == "–"
    assert table.ours == (0,)


def test_page_without_a_finished_trial_says_so() -> None:
    page = replace(PAGE, records=RECORDS[3:4])
    assert page.document().answer == "No trial has come to its end."
    assert [section.title for section in page.document().sections] == ["Trials", "The search"]


def test_values_far_apart_are_drawn_on_a_log_scale() -> None:
    page = replace(PAGE, records=[*RECORDS, record(6, 50.0)])
    drawn = next(found for section in page.document().sections for found in section.charts if found.name == "history")
    assert drawn.y.kind == "log"
    assert drawn.y.high == pytest.approx(55.0)


def test_text_of_the_data_is_no_markup() -> None:
    assert EVIL not in render(PAGE)
    assert "&lt;script&gt;" in render(PAGE)


def test_page_fits_a_phone_and_a_desk(tmp_path: Path) -> None:
    path = write(PAGE, tmp_path / "report.html")
    with chromium() as browser:
        for width, shown in ((360, "narrow"), (1280, "wide")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark", offline=True)
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator(f"svg.{shown}:visible").count() == 4
            cut = page.evaluate(
                """[...document.querySelectorAll('svg.chart text')].filter(text => {
                    const box = text.getBoundingClientRect(), frame = text.closest('svg').getBoundingClientRect();
                    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
                }).map(text => text.textContent)"""
            )
            assert cut == []
            assert said == []
            page.close()
