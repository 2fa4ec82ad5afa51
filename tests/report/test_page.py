from __future__ import annotations

import dataclasses
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.cells import get as get_cell
from grus.cells import names as cell_names
from grus.errors import OptionError, ShapeError
from grus.evaluation import Backtest
from grus.evaluation.backtest import Failure
from grus.report import Document, Example, ForecastPage, GateTrace, Section, Table, judged, render, write, write_pictures
from grus.report.charts import Line, Rule
from grus.report.forecast import fan, ranking, window
from grus.report.gates import read_meanings
from grus.report.records import Past, Words
from grus.report.residuals import drift
from grus.report.scores import (
    answer,
    best_rival,
    comparison,
    coverage_by_horizon,
    coverage_sentence,
    coverage_table,
    fitting_metric,
    scope,
    score_table,
)
from grus.report.seeds import seed_section
from grus.report.starts import start_sentence
from tests.report.records import START, backtest, example, page, past

DAY = np.timedelta64(24 * 3600 * 10**9, "ns")
WORDS = Words("gru", "power", "kW", "day")


def small(**forecasts: list[list[float]]) -> Backtest:
    """Two forecasts of two days with truth 10, 20 and 30, NaN."""
    truth = np.array([[10.0, 20.0], [30.0, np.nan]])
    times = START + DAY * np.array([[0, 1], [1, 2]])
    named = {name.replace("_", " "): np.array(rows) for name, rows in forecasts.items()}
    return Backtest(2, 1, ("a", "a"), np.array([5, 6]), times, truth, named, {}, np.full(2, 2.0))


def bare(record: Backtest, unit: str = "") -> ForecastPage:
    """A page of the backtest alone."""
    return ForecastPage("t", [], [], [], record, [], None, unit=unit)


def titled(made: ForecastPage, title: str) -> Section:
    return next(section for section in made.document().sections if section.title == title)


GOOD, FAIR, BAD = [[11.0, 19.0], [31.0, 0.0]], [[12.0, 18.0], [32.0, 0.0]], [[16.0, 14.0], [36.0, 0.0]]


def lacking(record: Backtest, name: str) -> Backtest:
    """The record with a failure of the second forecast."""
    return dataclasses.replace(record, failures={name: (Failure("a", "2024-03-02", "too short"),)})


class Texts(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = tag
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.inside == "h2" and data.strip():
            self.headings.append(data)


def test_answer_says_how_much_better() -> None:
    said = answer(small(gru=GOOD, naive=FAIR, last_value=BAD), WORDS, "mae")
    assert said.startswith("gru missed power by 1.00 kW on average, 50 % less than the best baseline, naive (2.00 kW), and")
    assert said.endswith("and was the closer of the two in 2 of 2 forecasts.")


def test_answer_says_plainly_when_worse() -> None:
    said = answer(small(gru=BAD, naive=FAIR), WORDS, "mae")
    assert said.startswith("gru was worse than the best baseline: it missed power by 6.00 kW on average, 3 times as much as naive (2.00 kW), and")
    assert "in 0 of 2 forecasts" in said
    slightly = answer(small(gru=[[12.0, 18.0], [32.5, 0.0]], naive=FAIR), WORDS, "mae")
    assert "was worse" in slightly
    assert "2.17 kW on average, 8.3 % more than naive (2.00 kW)" in slightly


def test_answer_beside_an_equal_or_no_baseline() -> None:
    assert "gru was no better than the best baseline, naive (2.00 kW)" in answer(small(gru=FAIR, naive=FAIR), WORDS, "mae")
    assert answer(small(gru=FAIR), WORDS, "mae").endswith("no baseline was run beside it, so nothing says whether that is good.")


def test_answer_beside_a_perfect_baseline() -> None:
    perfect = [[10.0, 20.0], [30.0, 0.0]]
    assert "by 1.00 kW on average, more than naive (0 kW)" in answer(small(gru=GOOD, naive=perfect), WORDS, "mae")
    assert "no better" in answer(small(gru=perfect, naive=perfect), WORDS, "mae")


def test_series_of_unlike_scale_are_compared_by_mase() -> None:
    # By MAE gru is better, (50 + 50 + 3) / 3 beside (60 + 60 + 1) / 3; by MASE worse, (0.5 + 0.5 + 3) / 3 beside (0.6 + 0.6 + 1) / 3.
    ours, theirs = [[60.0, 70.0], [33.0, 0.0]], [[70.0, 80.0], [31.0, 0.0]]
    alike = dataclasses.replace(small(gru=ours, naive=theirs), series=("large", "small"))
    unlike = dataclasses.replace(alike, scale=np.array([100.0, 1.0]))
    assert (fitting_metric(alike), fitting_metric(unlike)) == ("mae", "mase")
    made = bare(unlike, "kW").document()
    assert made.answer.startswith("gru was worse than the best baseline: it missed the target by 1.33 in MASE, 82 % more than naive (0.733), and")
    assert made.summary[1] == (
        "Compared by MASE, as some series vary 100 times as much as others: each error is divided by that of the seasonal naive forecast in the "
        "history of its series. By MAE, in which the series that vary most count most, gru missed the target by 34.3 kW, the best baseline, naive, "
        "by 40.3 kW."
    )
    assert titled(bare(unlike), "Error by horizon").charts[0].title == "MASE by horizon"
    asked = dataclasses.replace(bare(unlike, "kW"), metric="mae").document()
    assert asked.answer.startswith("gru missed the target by 34.3 kW on average, 15 % less than the best baseline, naive (40.3 kW)")
    assert not [sentence for sentence in asked.summary if "MASE" in sentence]
    lost = dataclasses.replace(unlike, series=("a", "b"), scale=np.array([100.0, np.nan]))
    assert fitting_metric(lost) == "mae"  # one scale alone is like none


def test_forecasts_without_a_scale_are_told_where_mase_decides() -> None:
    three = small(gru=GOOD, naive=FAIR)
    rows = [0, 1, 1]
    more = dataclasses.replace(
        three,
        series=("a", "b", "c"),
        origins=three.origins[rows],
        times=three.times[rows],
        truth=three.truth[rows],
        forecasts={name: found[rows] for name, found in three.forecasts.items()},
        scale=np.array([8.0, 2.0, 0.0]),
    )
    assert "some series vary 4 times as much" in comparison(more, WORDS)
    assert "Left out, as their history gives no such error: 1 of 3 forecasts." in comparison(more, WORDS)


def test_findings_stand_first_and_the_worst_of_them_first() -> None:
    found = [
        "constant past covariate 'x'",
        "missing targets: 59 of 2284 rows",
        "part 1 of 2: dropped: 3 of 5 series that are too short: a, b, c",
        "drift: on 1 of 4 windows; the first that it could not forecast, a from 2024-01-01: too short",
        "1 of 900 series change too little beside their size for 32-bit numbers under the scaling 'none': 'a'; take a scaling that goes by series",
        "gaps: 30 of 120 steps had no row",
    ]
    section = dataclasses.replace(page(), findings=found).document().sections[0]
    assert (section.title, section.points) == ("Findings", tuple(found[place] for place in (4, 3, 2, 5, 1, 0)))


def hourly(starts: list[int], season: int = 24, unit: str = "h") -> Backtest:
    """Forecasts of four steps, from so many steps after a Friday's midnight."""
    times = START + (np.array(starts)[:, None] + np.arange(4)) * np.timedelta64(1, unit)
    values, count = np.ones(times.shape), len(starts)
    return Backtest(4, season, ("a",) * count, np.array(starts), times, values, {"gru": values}, {}, np.ones(count))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (hourly([6, 30, 54]), "Every forecast starts at 06:00: how good it is from other hours on was not tested."),
        (hourly([6, 29]), ""),
        (hourly([166 - 1, 2 * 168 - 3]), "Every forecast starts on a Thursday at 21:00: how good it is from other hours on was not tested."),
        (hourly([3, 10, 24], 7, "D"), "Every forecast starts on a Monday: how good it is from other days on was not tested."),
        (hourly([3, 9], 7, "D"), ""),
        (hourly([6, 6]), "Every forecast starts at 2024-03-01 06:00."),
        (hourly([6]), ""),
        (
            hourly([0, 26, 52], 13, "W"),
            "Every forecast of a series starts at the same step of its season of 13 days: how good it is from other steps on was not tested.",
        ),
        (hourly([0, 26, 53], 13, "W"), ""),
        (hourly([0, 26], 1, "W"), ""),
    ],
)
def test_starts_that_all_forecasts_share_are_told(record: Backtest, said: str) -> None:
    words = dataclasses.replace(WORDS, clock=record.times)
    assert start_sentence(record, words) == said
    assert score_table(record, words).caption.startswith(said or "Smaller is better")


def test_starts_of_several_series_need_not_agree_to_be_of_one_season() -> None:
    record = dataclasses.replace(hourly([3, 15, 4, 28], 12), series=("a", "a", "b", "b"), times=np.arange(16).reshape(4, 4))
    assert "same step of its season of 12 days" in start_sentence(record, WORDS)
    assert start_sentence(dataclasses.replace(record, series=("a", "b", "a", "b")), WORDS) == ""


def test_scope_counts_what_was_scored() -> None:
    assert scope(small(gru=GOOD), WORDS) == (
        "Backtest: 2 forecasts of 2 days, 1 series, 2024-03-01 to 2024-03-03; 3 of 4 forecast values were measured and are scored."
    )


def test_score_table_has_the_model_first_and_the_best_in_bold() -> None:
    table = score_table(small(gru=GOOD, naive=FAIR, twin=GOOD), WORDS)
    assert table.head == ("", "MAE (kW)", "RMSE (kW)", "sMAPE", "MASE")
    # sMAPE of gru: (200/21 + 200/39 + 200/61) / 3, of naive: (400/22 + 400/38 + 400/62) / 3
    assert table.rows == (
        ("gru", "1.00", "1.00", "5.98", "0.500"),
        ("naive", "2.00", "2.00", "11.72", "1.000"),
        ("twin", "1.00", "1.00", "5.98", "0.500"),
    )
    assert table.strong == {(row, column) for row in (0, 2) for column in (1, 2, 3, 4)}
    assert table.ours == (0,)


def test_score_table_has_owa_where_naive2_was_run() -> None:
    table = score_table(small(gru=GOOD, naive_2=FAIR), WORDS)
    assert table.head[-1] == "OWA"
    assert [row[-1] for row in table.rows] == ["0.505", "1.000"]  # (5.98 / 11.72 + 0.5 / 1) / 2
    assert "OWA: mean of sMAPE and MASE, each over that of naive 2" in table.caption


def test_baselines_with_quantiles_stand_beside_the_models_intervals() -> None:
    low, high = np.array([[10.0, 21.0], [20.0, 0.0]]), np.array([[12.0, 25.0], [40.0, 8.0]])
    sure = {0.1: low - 5, 0.9: high + 5}
    record = dataclasses.replace(small(gru=GOOD, naive=FAIR, ETS=FAIR), quantiles={0.1: low, 0.9: high}, baseline_quantiles={"ETS": sure})
    table = coverage_table(record, WORDS)
    assert table is not None
    assert table.head == ("", "interval held the truth", "difference (points)", "mean width (kW)")
    # The fourth truth is not known, and its interval, the width of 8, in no mean: (2 + 4 + 20) / 3.
    assert table.rows == (("gru", "66.7 % of 80 %", "−13.3", "8.67"), ("ETS", "100.0 % of 80 %", "+20.0", "18.7"))
    assert table.ours == (0,)
    scores = score_table(record, WORDS)
    crps = scores.head.index("CRPS (kW)")
    # Twice the pinball loss of both ends: of gru 1.9 and 1.7 over three truths, of ETS 2.4 and 3.2.
    assert [row[crps] for row in scores.rows] == ["1.20", "–", "1.87"]
    assert (0, crps) in scores.strong
    assert "CRPS: twice the mean pinball loss over the 2 quantile levels that were forecast (0.1, 0.9), from which alone" in scores.caption
    assert "Winkler: interval score of the 80 % interval" in scores.caption
    drawn = coverage_by_horizon(record, WORDS)
    assert drawn is not None
    assert drawn.title == "Coverage of the 80 % interval by horizon"
    assert drawn.table.head == ("days ahead", "gru held (%), nominally 80", "ETS held (%), nominally 80")
    assert drawn.table.rows == (("1", "100", "100"), ("2", "0", "100"))
    assert [mark.name for mark in drawn.legend] == ["nominal: 80 %", "gru, share of truths within"]
    assert [line.label for line, _ in drawn.labelled] == ["ETS"]


def test_a_baseline_that_failed_somewhere_is_never_the_best() -> None:
    near = [[10.0, 20.0], [np.nan, np.nan]]  # its scores would be over the first forecast alone
    record = lacking(small(gru=GOOD, naive=FAIR, near=near), "near")
    assert best_rival(record, "gru", "mae") == "naive"
    assert "less than the best baseline, naive" in answer(record, WORDS, "mae")
    table = score_table(record, WORDS)
    assert table.strong == {(0, 1), (0, 2), (0, 3), (0, 4)}
    assert table.head[-1] == "windows"
    assert table.caption.endswith("Scores over fewer windows than the model's do not compare with the others, and are never the best.")
    assert table.rows[2] == ("near", "0.00", "0.00", "0.00", "0.000", "1")
    assert best_rival(lacking(small(gru=GOOD, near=near), "near"), "gru", "mae") is None


def test_scores_over_seeds_stand_beside_the_best_baseline() -> None:
    section = seed_section({0: {"mae": 1.0, "coverage": 0.8}, 4: {"mae": 3.0, "coverage": 0.9}}, small(gru=GOOD, naive=FAIR, last=BAD), WORDS, "mae")
    assert section.tables[0].head == ("", "mean", "95 % from", "to", "best baseline")
    # Student's t with 1 degree of freedom at 0.975 is 12.71, times √2 / √2
    assert section.tables[0].rows == (("MAE (kW)", "2.00", "−10.7", "14.7", "2.00, naive"),)
    assert section.text == (
        "gru was trained and tested 2 times, each with its own seed; MAE (kW): 1.00 (seed 0), 3.00 (seed 4). "
        "The interval of their mean lies on both sides of the best baseline, naive (2.00).",
    )


@pytest.mark.parametrize(("scores", "where"), [((1.0, 1.01), "below"), ((3.0, 3.01), "above")])
def test_seeds_say_on_which_side_of_the_baseline_they_lie(scores: tuple[float, float], where: str) -> None:
    seeds = {seed: {"mae": score} for seed, score in enumerate(scores)}
    assert f"lies {where} the best baseline" in seed_section(seeds, small(gru=GOOD, naive=FAIR), WORDS, "mae").text[0]
    assert "best baseline" not in seed_section(seeds, small(gru=GOOD), WORDS, "mae").text[0]


def test_coverage_is_counted_over_known_truths() -> None:
    quantiles = {0.1: np.array([[10.0, 21.0], [20.0, 0.0]]), 0.9: np.array([[12.0, 25.0], [40.0, 8.0]])}
    record = dataclasses.replace(small(gru=GOOD), quantiles=quantiles)
    assert coverage_sentence(record) == "The 80 % interval held 66.7 % of the measured values, where it should hold 80 %."
    assert coverage_sentence(small(gru=GOOD)) == "No intervals were forecast."
    assert coverage_table(small(gru=GOOD), WORDS) is None


def test_page_has_its_sections_in_a_readers_order() -> None:
    assert Texts(render(page())).headings == [
        "Findings",
        "The forecast",
        "Scores beside baselines",
        "Over seeds",
        "Error by horizon",
        "How it was made",
        "Learning curves",
        "Updates",
        "Residual checks",
        "Worst forecasts",
        "What the gates did",
    ]


def test_page_leaves_out_what_there_is_nothing_of() -> None:
    bare = dataclasses.replace(page(), history=[], examples=[], gates=None, findings=[], seeds={})
    assert Texts(render(bare)).headings == ["Scores beside baselines", "Error by horizon", "How it was made", "Residual checks", "Worst forecasts"]


def test_page_needs_nothing_but_itself_and_has_no_script() -> None:
    text = render(page())
    assert not re.findall(r'(?:src|href)="(?!data:|#)|url\(|@import|https?:|<script', text)
    assert not re.search(r"\b(nan|inf|None)\b", text)


def test_page_escapes_every_name_it_is_given() -> None:
    evil = "<script>alert('x')</script>\"&"
    record = dataclasses.replace(backtest(windows=9), series=(evil,) * 9)
    record = dataclasses.replace(record, forecasts={**record.forecasts, evil: record.forecasts["last value"]})
    shown = example(record, 0)
    texts = ForecastPage(evil, [(evil, evil)], [evil], [{"epoch": 1.0, "loss": 1.0, evil: 2.0}], record, [shown], None, evil, evil, evil)
    page_of_evil = Texts(render(texts))
    assert "script" not in page_of_evil.tags
    assert evil not in render(texts)
    gates = GateTrace(shown.times, shown.values, {evil: np.zeros((len(shown.times), 2))})
    assert "script" not in Texts(render(dataclasses.replace(texts, gates=gates))).tags


def test_every_chart_has_a_text_alternative_and_its_numbers() -> None:
    charts = [chart for section in page().document().sections for chart in section.charts]
    text = render(page())
    assert len(charts) == 17
    assert len({chart.name for chart in charts}) == 17
    assert text.count("<summary>Numbers</summary>") == 17
    assert len(re.findall(r'<svg class="chart [^>]*role="img" aria-label="[^"]{20,}"', text)) == 2 * 17
    assert all(chart.x.label and chart.y.label and chart.table.rows for chart in charts)


def test_forecast_table_has_the_numbers_of_the_chart() -> None:
    record = backtest()
    chart = titled(page(record), "The forecast").charts[0]
    assert chart.table.head == ("time", "measured (kW)", "forecast (kW)", *(f"quantile {level}" for level in (0.1, 0.25, 0.5, 0.75, 0.9)))
    assert len(chart.table.rows) == record.horizon
    assert chart.table.rows[0][:3] == ("2024-03-11 00:00", f"{record.truth[0, 0]:.1f}", f"{record.forecasts['gru'][0, 0]:.1f}")


def test_worst_forecasts_stand_after_their_past_beside_the_best_baseline() -> None:
    record = small(gru=GOOD, naive=FAIR)
    past = Past(START + DAY * np.arange(-3, 3), np.array([1.0, np.nan, 3.0, 10.0, 20.0, 30.0]))
    chart = window(record, 0, WORDS, 1, past.before(record.times[0, 0], 2), "naive")
    lines = {mark.name: mark for mark in chart.marks if isinstance(mark, Line)}
    assert list(lines) == ["naive (best baseline)", "gru, forecast", "measured"]
    np.testing.assert_array_equal(lines["measured"].y, [np.nan, 3.0, 10.0, 20.0])
    np.testing.assert_array_equal(lines["naive (best baseline)"].y, FAIR[0])
    assert lines["gru, forecast"].x.tolist() == lines["measured"].x[2:].tolist()
    assert [mark.place for mark in chart.marks if isinstance(mark, Rule)] == [lines["measured"].x[2]]
    assert chart.table.head == ("time", "measured (kW)", "forecast (kW)", "naive")
    assert chart.table.rows[0] == ("2024-03-01", "10.0", "11.0", "12.0")


def test_worst_forecasts_are_drawn_after_the_lookback_and_no_more_than_reads_well() -> None:
    def drawn(**changes: int) -> int:
        section = next(s for s in dataclasses.replace(page(), **changes).document().sections if s.title == "Worst forecasts")
        return len(next(mark for mark in section.charts[0].marks if isinstance(mark, Line) and mark.name == "measured").x) - 24

    assert [drawn(lookback=count) for count in (0, 48, 200)] == [0, 48, 4 * 24]


def test_past_ends_before_the_forecast() -> None:
    past = Past(np.arange(5, 10), np.arange(5.0))
    assert past.before(8, 2).times.tolist() == [6, 7]
    assert past.before(8, 9).values.tolist() == [0.0, 1.0, 2.0]
    assert past.before(8, 0).times.tolist() == []
    with pytest.raises(ShapeError, match="Past: values must have 5 steps, got 4"):
        Past(np.arange(5), np.zeros(4))


def test_learning_names_the_epoch_that_was_kept() -> None:
    section = next(section for section in page().document().sections if section.title == "Learning curves")
    assert section.charts[0].caption == "The weights kept are those of epoch 19, with the lowest validation loss."
    alone = dataclasses.replace(page(), history=[{"epoch": 1.0, "loss": float("nan")}])
    assert "There was no validation set" in render(alone)


def test_training_anew_is_drawn_behind_the_one_that_chose_its_epochs() -> None:
    anew = [{"epoch": float(epoch), "loss": 1 / epoch} for epoch in range(1, 20)]
    made = dataclasses.replace(page(), history=anew, first_history=page().history)
    section = next(section for section in made.document().sections if section.title == "Learning curves")
    assert [chart.name for chart in section.charts] == ["learning-first", "learning"]
    assert [chart.caption for chart in section.charts] == [
        "Here the validation loss was lowest at epoch 19; the training after it has 19.",
        "Trained anew on the validation part as well, for 19 epochs: the weights kept are those of the last.",
    ]
    assert "There was no validation set" not in render(made)


def test_forecast_says_which_series_it_shows() -> None:
    made = page(backtest(("north", "south"), windows=9))
    assert titled(dataclasses.replace(made, series=5), "The forecast").text == ("Shown: north, south of 5 series.",)
    assert titled(dataclasses.replace(made, series=2), "The forecast").text == ()


def test_fan_draws_the_end_of_a_long_history_and_says_of_how_much() -> None:
    times = START + DAY * np.arange(302)
    shown = Example("a", times[:300], np.arange(300.0), times[300:], np.zeros(2), {}, np.ones(2))
    chart = fan(shown, WORDS, 1)
    assert chart.caption == "Of the 300 days before the forecast the last 24 are drawn."
    assert chart.title == "a, from 2024-12-26: a forecast of the backtest, and what came"
    assert fan(dataclasses.replace(shown, truth=None), WORDS, 1).title == "a, from 2024-12-26"


def test_judged_forecast_stands_after_all_that_precedes_it() -> None:
    record = backtest(("north", "south"), windows=9)
    found = judged(record, 10, past(record)["south"])
    assert (found.series, len(found.times), found.times[-1]) == ("south", 252, record.times[10, 0] - np.timedelta64(1, "h"))
    np.testing.assert_array_equal(found.point, record.forecasts["gru"][10])
    np.testing.assert_array_equal(found.quantiles[0.9], record.quantiles[0.9][10])
    np.testing.assert_array_equal(found.truth, record.truth[10])


def test_worst_forecasts_of_several_series_are_compared_on_their_own_scales() -> None:
    large = dataclasses.replace(small(gru=[[110.0, 120.0], [35.0, 0.0]]), series=("large", "small"), scale=np.array([1000.0, 1.0]))
    metric, said = ranking(large)
    assert metric == "mase"
    assert "Series are compared by MASE" in said
    assert "left out" not in said
    titles = [chart.title for section in bare(large).document().sections if section.title == "Worst forecasts" for chart in section.charts]
    assert titles == ["small, from 2024-03-02: off by 5.00", "large, from 2024-03-01: off by 100"]
    assert "are left out (large)." in ranking(dataclasses.replace(large, scale=np.array([0.0, 1.0])))[1]
    assert ranking(dataclasses.replace(large, scale=np.full(2, np.nan)))[0] == "mae"
    assert ranking(small(gru=GOOD))[0] == "mae"


def test_gates_name_the_series_and_its_window() -> None:
    section = next(section for section in page().document().sections if section.title == "What the gates did")
    assert section.text[-1].startswith("While gru read north, 2024-03-04 00:00 to 2024-03-10 23:00. Each row is a unit, in the order of its mean r;")


def test_times_are_told_as_finely_as_the_backtest_needs() -> None:
    hours = START + np.arange(4) * np.timedelta64(6, "h")
    assert dataclasses.replace(WORDS, clock=hours).time(START) == "2024-03-01 00:00"
    assert WORDS.time(START) == "2024-03-01"
    assert titled(page(), "The forecast").charts[0].title.startswith("north, from 2024-03-11 00:00")


def test_gates_keep_one_order_of_units() -> None:
    steps = np.arange(4)
    trace = GateTrace(steps, np.zeros(4), {"z": np.tile([0.9, 0.1], (4, 1)), "n": np.tile([-2.0, 0.5], (4, 1))})
    charts = next(s for s in dataclasses.replace(page(), gates=trace).document().sections if s.title == "What the gates did").charts
    cells: list[NDArray[np.float64]] = [chart.marks[0].values for chart in charts[1:]]  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(cells[0][:, 0], [0.1, 0.9])
    np.testing.assert_array_equal(cells[1][:, 0], [0.25, -1.0])
    assert [chart.legend[0].name for chart in charts[1:]] == ["0 (clear) to 1 (blue)", "−2 (orange) to 2 (blue)"]
    assert charts[1].caption == "0 % of its values lie above 0.9, 0 % below 0.1."


def test_gates_of_channels_have_an_order_of_their_own() -> None:
    gates = {"gamma_x": np.tile([0.9, 0.1], (4, 1)), "r": np.tile([0.2, 0.3], (4, 1))}
    trace = GateTrace(np.arange(4), np.zeros(4), gates, cell="gru_d")
    section = titled(dataclasses.replace(page(), gates=trace), "What the gates did")
    assert "Each row is a unit, in the order of its mean r; of gamma_x a channel, in that of its mean gamma_x; each column one" in section.text[-1]


def test_gates_are_read_in_one_sentence_each() -> None:
    kept = np.array([[0.95, 0.91], [0.5, 0.7], [0.2, 0.14]])  # means of the steps 0.93, 0.6, 0.17, of the units 0.55 and 0.583
    steps = np.array([7, 8, 9])
    trace = GateTrace(steps, np.zeros(3), {"z": kept, "r": kept, "n": 2 * kept - 1})
    update, reset, read = titled(dataclasses.replace(page(), gates=trace), "What the gates did").text
    assert update == (
        "Gate z was 0.57 on average: a step kept 57 % of the old state. "
        "It was nearly shut to what is new at 1 of 3 steps (mean over units above 0.9). "
        "It differed more from step to step (0.17 at 9, 0.93 at 7) than from unit to unit (0.55 to 0.58)."
    )
    assert reset.startswith("Gate r was 0.57 on average; its mean over units was below 0.1 at 0 of 3 steps, above 0.9 at 1 of 3 steps. It differed")
    assert read.startswith("While gru read 7 to 9.")


def test_gates_mean_what_their_own_cell_says() -> None:
    steps, low = np.arange(4), np.tile([0.05, 0.01], (4, 1))
    trace = GateTrace(steps, np.zeros(4), {"z": low}, cell="min_gru")
    section = titled(dataclasses.replace(page(), gates=trace), "What the gates did")
    assert section.charts[1].title == "z, update, where z = 1 takes the new value"
    assert "a step took 3 % of the new value. It was nearly shut to what is new at 4 of 4 steps (mean over units below 0.1)." in section.text[0]
    assert "It differed more from unit to unit (0.01 to 0.05) than from step to step" in section.text[0]
    for cell in (get_cell(name) for name in cell_names()):
        assert set(read_meanings(cell)) == set(cell.gates)


def test_too_few_origins_for_correlation_are_said() -> None:
    section = next(s for s in page(backtest(windows=4)).document().sections if s.title == "Residual checks")
    assert [chart.name for chart in section.charts] == ["residual-histogram", "residual-drift"]
    assert "Too few forecasts were scored" in section.text[1]


def test_many_forecasts_are_drawn_as_the_mean_of_each_start() -> None:
    truth, times = np.ones((600, 1)), START + DAY * (np.arange(600) // 2)[:, None]
    point = np.arange(600.0)[:, None] % 2
    record = Backtest(1, 1, ("a",) * 600, np.arange(600), times, truth, {"gru": point}, {}, np.ones(600))
    chart = drift(record, WORDS)
    assert chart.table.rows[0] == ("2024-03-01", "2 forecasts", "0.500")
    assert len(chart.table.rows) == 300


def test_forecasts_without_a_known_truth_have_no_error_over_time() -> None:
    record = small(gru=GOOD)
    record.truth[1] = np.nan
    assert drift(record, WORDS).table.rows == (("2024-03-01", "a", "0"),)


def test_bias_is_named_by_its_direction() -> None:
    low = small(gru=[[8.0, 18.0], [28.0, 0.0]])
    section = next(s for s in bare(low, unit="kW").document().sections if s.title == "Residual checks")
    assert section.text[0] == "On average the forecasts are too low by 2.00 kW (error is truth less forecast)."


def test_record_of_the_evaluation_makes_a_page() -> None:
    text = render(page(backtest(("north", "south"), windows=10)))
    for part in ("sMAPE", "MASE", "CRPS (kW)", "Winkler (kW)", "error / series&#39; spread", "2 series"):
        assert part in text


def test_integer_times_are_shown_as_they_are() -> None:
    record = small(gru=GOOD, naive=FAIR)
    record = dataclasses.replace(record, times=np.array([[0, 1], [1, 2]]))
    assert "1 series, 0 to 2;" in render(bare(record))


def test_unknown_metric_is_refused() -> None:
    with pytest.raises(OptionError, match=r"metric must be one of the backtest's scores \(mae, rmse, smape, .*\), got mad"):
        dataclasses.replace(page(), metric="mad")


def test_records_of_unequal_length_are_refused() -> None:
    steps = np.arange(3)
    with pytest.raises(ShapeError, match=r"Example: quantile 0.1 must have 3 steps, got 2"):
        Example("a", steps, np.zeros(3), steps, np.zeros(3), {0.1: np.zeros(2)})
    with pytest.raises(ShapeError, match=r"GateTrace: z must have 3 steps, got 4"):
        GateTrace(steps, np.zeros(3), {"z": np.zeros((4, 2))})


class Notes:
    """A report of another task than forecasting."""

    def __init__(self, *sections: Section) -> None:
        self.sections = sections or (Section("s", tables=(Table(("x",), (("1",),)),)),)

    def document(self) -> Document:
        return Document("t", "a", (), self.sections)


class Broken:
    def document(self) -> Document:
        raise OSError("disk")


def test_write_replaces_a_page_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert write(Notes(), path) == path
    written = path.read_text("utf-8")
    assert "<h2>s</h2>" in written
    with pytest.raises(OSError, match="disk"):
        write(Broken(), path)
    assert path.read_text("utf-8") == written
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_write_leaves_nothing_when_it_cannot_replace(tmp_path: Path) -> None:
    taken = tmp_path / "report.html"
    taken.mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        write(Notes(), taken)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_written_page_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    assert stat.S_IMODE(write(Notes(), tmp_path / "report.html").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_pictures_are_one_for_each_chart(tmp_path: Path) -> None:
    sections = {section.title: section for section in page().document().sections}
    few = Notes(sections["The forecast"], sections["Scores beside baselines"], sections["Learning curves"])
    paths = write_pictures(few, tmp_path / "pictures")
    assert [path.name for path in paths] == ["forecast-1.png", "forecast-2.png", "learning.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_same_records_give_the_same_page() -> None:
    assert render(page()) == render(page())
