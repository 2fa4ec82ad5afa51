"""The page of a search for a learning rate."""

from __future__ import annotations

from pathlib import Path

from grus.report import render
from grus.report.charts import Rule
from grus.report.pictures import write_pictures
from grus.report.rates import RatePage, report_rates
from grus.training.rate_finder import RateSearch

RATES, LOSSES = (1e-4, 1e-3, 1e-2, 1e-1), (1.0, 0.9, 0.3, 80.0)


def test_page_draws_the_suggestion_beside_the_rate_that_is_set(tmp_path: Path) -> None:
    page = RatePage(RateSearch(RATES, LOSSES, LOSSES, 1e-3, 1e-1), 0.00125, "load")
    document = page.document()
    assert document.title == "Learning rates for load"
    assert document.answer == "A learning rate of 0.001 is suggested: the loss fell steepest there."
    assert "The search ended at a rate of 0.1, where the loss had grown far above its lowest." in document.summary
    chart = page.chart()
    assert [(mark.place, mark.name) for mark in chart.marks if isinstance(mark, Rule)] == [(0.00125, "set, 0.00125"), (1e-3, "suggested, 0.001")]
    assert chart.y.high < 10, "the loss that ended the search is in the table alone"
    assert chart.table.rows[-1] == ("0.1", "80.000", "80.000")
    assert (chart.x.low, chart.x.high, chart.x.kind) == (1e-4, 1e-1, "log")
    out = report_rates(page.search, page.set_rate, page.target, tmp_path / "rate.html")
    assert out.read_text(encoding="utf-8") == render(page)
    (picture,) = write_pictures(page, tmp_path)
    assert picture.name == "rates.png"


def test_page_without_a_suggestion_says_why() -> None:
    document = RatePage(RateSearch(RATES, LOSSES[:1] * 4, LOSSES[:1] * 4, None, None), 1e-3, "load").document()
    assert document.answer == "No learning rate is suggested: at none the loss fell by more than it scatters."
    assert document.summary == ("4 updates of one new network were tried, each at a higher rate than the one before; nothing of it is kept.",)


def test_search_that_ended_at_once_can_be_drawn() -> None:
    assert "suggested" in render(RatePage(RateSearch(RATES[:1], LOSSES[:1], LOSSES[:1], None, RATES[1]), 1e-3, "load"))
