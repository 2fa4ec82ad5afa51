"""What a page says of answers: better or worse, surely or not, calibrated or not, what is taken for what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from grus.data.sequences import Labels
from grus.evaluation.bootstrap import Interval
from grus.evaluation.calibration import reliability
from grus.report.charts import Band, Line
from grus.report.sequence_calibration import calibration_sentence, judge_calibration, reliability_chart, sureness
from grus.report.sequence_classes import class_sections, confusion_chart, confusion_section, worst_class
from grus.report.sequence_curves import curve_section, precision_points, roc_points, thinned
from grus.report.sequence_numbers import bias, number_sections
from grus.report.sequence_scores import Gap, Judged, answer, beside, comparisons, score_table, seed_section
from grus.report.sequence_words import figure, percent
from grus.tasks.sequence_record import SequenceRecord
from tests.report.answers import classes, labels, numbers, of_kind
from tests.report.answers import right_on as record


def test_answer_has_the_difference_and_whether_chance_may_explain_it() -> None:
    assert answer(Judged(record(90, 60, 60))) == (
        "gru predicted the right class for 90.0 % of 100 sequences, 30.0 points more than the best baseline, rival (60.0 %): better, "
        "more than chance explains."
    )
    assert answer(Judged(record(62, 60, 50))).endswith("2.0 points more than the best baseline, rival (60.0 %): better, but chance may explain it.")
    assert answer(Judged(record(60, 90, 60))).endswith("30.0 points less than the best baseline, rival (90.0 %): worse, more than chance explains.")
    assert answer(Judged(record(60, 60, 60))).endswith(", no better than the best baseline, rival (60.0 %).")


def test_an_error_that_is_twice_the_baselines_is_told_as_so_many_times() -> None:
    assert beside(Gap("mae", "ridge", 1.9, 1.0, "", True)) == "90 % more than the best baseline, ridge (1): worse, more than chance explains"
    assert beside(Gap("mae", "ridge", 5.0, 0.1, "", True)) == "50.0 times as much as the best baseline, ridge (0.1): worse, more than chance explains"
    assert beside(Gap("mae", "ridge", 0.5, 1.0, "", False)) == "50 % less than the best baseline, ridge (1): better, but chance may explain it"
    assert beside(Gap("mae", "ridge", 0.5, 0.0, "", True)).startswith("0.5 more than the best baseline, ridge (0): worse")


def test_answer_without_baselines_says_so() -> None:
    alone = record(90, 60, 60)
    alone = replace(alone, predicted={"gru": alone.predicted["gru"]}, intervals={"accuracy": Interval(0.9, 0.83, 0.95, 1.0)})
    assert answer(Judged(alone)) == (
        "gru predicted the right class for 90.0 % of 100 sequences (95 % interval 83.0 to 95.0 %); no baseline was run beside it, so nothing says "
        "whether that is good."
    )


def test_comparisons_count_the_sequences_that_one_alone_had_right() -> None:
    (told,) = comparisons(Judged(record(62, 60, 50)))
    assert told == (
        "gru is better, perhaps by chance, than rival: accuracy 62.0 % against 60.0 % (only gru was right on 12, only rival on 10; "
        "McNemar's test, p = 0.83)."
    )
    assert comparisons(Judged(record(60, 60, 60)))[0].startswith("gru is no better and no worse than rival: ")
    assert comparisons(Judged(record(60, 90, 60)))[0].startswith("gru is worse than rival: ")


def test_numbers_are_compared_by_mean_absolute_error() -> None:
    judged = Judged(numbers())
    mae, other = (judged.scores[name]["mae"] for name in ("gru", "mean"))
    told = answer(judged)
    assert told.startswith(f"gru missed depth of 60 sequences by {figure(mae)} on average, ")
    assert told.endswith(f"{percent(1 - mae / other, 0)} less than the best baseline, mean ({figure(other)}): better, more than chance explains.")


def test_score_table_has_the_best_of_each_row_in_bold() -> None:
    table = score_table(Judged(of_kind("number")))
    assert table.head == ("", "gru", "95 % interval", "mean")
    assert [row[0] for row in table.rows] == ["MAE", "RMSE", "R²"]
    assert table.strong == {(0, 1), (1, 1), (2, 1)}
    assert " to " in table.rows[0][2]
    without = score_table(Judged(record(60, 90, 60)))
    assert without.head == ("", "gru", "rival")
    assert without.rows[0] == ("accuracy (%)", "60.0", "90.0")
    assert (0, 2) in without.strong


def test_nothing_is_the_best_in_calibration() -> None:
    table = score_table(Judged(record(60, 60, 60)))
    (row,) = [at for at, cells in enumerate(table.rows) if cells[0] == "calibration error (%)"]
    assert not [place for place in table.strong if place[0] == row]
    assert " The calibration error has no best: whoever says the frequencies of every sequence has a small one, and knows nothing." in table.caption
    section = seed_section(Judged(replace(record(90, 60, 60), seeds={1: record(90, 60, 60).predicted["gru"]})))
    assert section is not None
    assert {cells[0]: cells[-1] for cells in section.tables[0].rows}["calibration error"] == "–"


def test_scores_of_two_classes_name_the_one_they_are_of() -> None:
    caption = score_table(Judged(record(60, 60, 60))).caption
    assert "precision: of those predicted as class yes, the share that are of it; " in caption
    assert "recall: of those of class yes, the share that were found; " in caption
    assert "ROC AUC: chance that one of class yes ranks above one of class no;" in caption
    assert "second class" not in caption


def test_seeds_lie_above_or_on_both_sides_of_the_best_baseline() -> None:
    made = record(90, 60, 60)
    assert seed_section(Judged(made)) is None
    spread = seed_section(Judged(replace(made, seeds={1: made.predicted["gru"], 2: made.predicted["gru"]})))
    assert spread is not None
    assert spread.text[0].endswith(
        "accuracy on average 90.0 %, Student's interval of the mean 90.0 to 90.0 %. That lies above the best baseline, rival (60.0 %)."
    )
    wide = seed_section(Judged(replace(made, seeds={1: record(40, 60, 40).predicted["gru"]})))
    assert wide is not None
    assert "That lies on both sides of the best baseline" in wide.text[0]


def test_confusion_names_the_commonest_mistake() -> None:
    made = classes(3, 9)
    wrong = np.array(made.predicted["gru"])
    wrong[:] = np.eye(3)[made.truth.values]
    wrong[[1, 4]] = np.eye(3)[[2, 2]]
    section = confusion_section(Judged(replace(made, predicted={"gru": wrong})))
    assert section.text == ("2 of 9 sequences are mistakes, most often class b predicted as class c: 2 of 3 (67 %).",)
    table = section.tables[0]
    assert table.head == ("", "predicted class a", "predicted class b", "predicted class c", "all")
    assert table.rows[1] == ("is class b", "·", "1", "2", "3")
    assert table.shades[0, 1] == 1.0
    assert table.shades[1, 3] == pytest.approx(-np.sqrt(2 / 3))
    right = confusion_section(Judged(replace(made, predicted={"gru": np.eye(3)[made.truth.values]})))
    assert right.text == ("All 9 sequences were predicted rightly.",)


def test_many_classes_are_a_picture_with_the_first_on_top() -> None:
    made = classes(20, 400)
    section = confusion_section(Judged(made))
    (chart,) = section.charts
    assert chart.lines == 20
    assert chart.y.names[-1] == "1 class a"
    (heat,) = chart.marks
    assert heat.values[-1, 0] > 0  # pyright: ignore[reportAttributeAccessIssue]
    assert (heat.values[-1, 1:] <= 0).all()  # pyright: ignore[reportAttributeAccessIssue]
    assert [table.head[0] for table in section.tables] == ["is"]
    counts = np.eye(60, dtype=np.int64) * 5
    counts[50, 51] = 3
    few = confusion_chart(tuple(map(str, range(60))), counts)
    assert len(few.y.names) == 40
    assert {"39 50", "40 51"} <= set(few.y.names)
    assert "Of 60 classes the 40 with the most mistakes are drawn." in few.caption


def test_worst_class_is_named_with_what_it_is_taken_for() -> None:
    made = classes(3, 30)
    wrong = np.eye(3)[made.truth.values]
    wrong[[1, 4, 7]] = np.eye(3)[2]
    told = worst_class(Judged(replace(made, predicted={"gru": wrong})))
    assert told == "Class class b is found least often, in 70.0 % of its 10 sequences; 3 were predicted as class c."
    wrong[[1, 4]] = np.eye(3)[1]
    assert worst_class(Judged(replace(made, predicted={"gru": wrong}))).endswith("in 90.0 % of its 10 sequences; 1 was predicted as class c.")
    assert worst_class(Judged(replace(made, predicted={"gru": np.eye(3)[made.truth.values]}))) == ""
    assert worst_class(Judged(labels())).startswith("Label ")


def test_labels_have_a_table_and_no_confusion() -> None:
    (section,) = class_sections(Judged(labels()))
    assert section.title == "Each label by itself"
    assert [row[0] for row in section.tables[0].rows] == ["rain", "wind", "snow"]


def test_curves_are_those_of_scikit_learn() -> None:
    made = Judged(classes(2, 90))
    truth, probability = made.found.truth[:, 1], made.found.predicted[:, 1]
    wrong, right, _ = roc_curve(truth, probability, drop_intermediate=False)
    x, y = roc_points(truth, probability)
    np.testing.assert_allclose(x, wrong)
    np.testing.assert_allclose(y, right)
    precision, recall, _ = precision_recall_curve(truth, probability)
    x, y = precision_points(truth, probability)
    highest = dict(zip(recall.tolist(), precision.tolist(), strict=True))  # of the thresholds with this recall
    assert dict(zip(x[1::2].tolist(), y[1::2].tolist(), strict=True)) == pytest.approx({r: p for r, p in highest.items() if r > 0})
    assert np.diff(x) @ y[1:] == pytest.approx(average_precision_score(truth, probability), rel=1e-12)
    first, wrong_first = precision_points(np.array([0.0, 1.0, 1.0]), np.array([0.9, 0.8, 0.7]))
    assert (first.tolist(), wrong_first.tolist()) == ([0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 2 / 3, 2 / 3])
    section = curve_section(made)
    assert section is not None
    assert f"average precision {percent(average_precision_score(truth, probability))}" in section.charts[1].text


def test_curves_of_many_name_the_worst() -> None:
    made = Judged(classes(5, 100))
    section = curve_section(made)
    assert section is not None
    scores = {name: row["roc_auc"] for name, row in made.own.each.items()}
    least = min(scores, key=lambda name: scores[name])
    assert f"worst: {least}, AUC {percent(scores[least])}" in [mark.name for mark in section.charts[0].legend]
    assert f"mean, AUC {percent(made.own.values['roc_auc_ovr'])}" in [mark.name for mark in section.charts[0].legend]


def test_of_many_classes_the_curves_are_a_range() -> None:
    made = classes(13, 260)
    made = replace(made, names=("mean", *made.names[1:]), truth=Labels("class", ("mean", *made.names[1:]), made.truth.values))
    section = curve_section(Judged(made))
    assert section is not None
    for chart in section.charts:
        assert chart.table.head[1:] == ("mean", "least", "greatest")
        (band,) = (mark for mark in chart.marks if isinstance(mark, Band))
        mean = next(mark for mark in chart.marks if isinstance(mark, Line) and mark.name.startswith("mean, "))
        assert np.all((band.low <= mean.y) & (mean.y <= band.high))
        assert sum(isinstance(mark, Line) and mark.role == "other" for mark in chart.marks) == 0
    few = curve_section(Judged(classes(3)))
    assert few is not None
    assert few.charts[0].table.head[1:] == ("mean", "class a", "class b", "class c")
    assert sum(isinstance(mark, Line) and mark.role == "other" for mark in few.charts[0].marks) == 2


def test_no_curve_where_every_sequence_is_of_one_class() -> None:
    made = classes(2, 6)
    same = replace(made, truth=Labels("class", made.names, np.zeros(6, np.int64)))
    assert curve_section(Judged(same)) is None


def test_thinned_curve_keeps_its_ends() -> None:
    x = np.linspace(0, 1, 5000)
    few, y = thinned(x, x**2)
    assert len(few) <= 160
    assert (few[0], few[-1], y[-1]) == (0.0, 1.0, 1.0)


def honest(N: int, sharper: float) -> SequenceRecord:
    """Two classes that come true as often as said, told `sharper` times as sure in logits."""
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 2, N)
    truth = (rng.random(N) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    p = 1 / (1 + np.exp(-sharper * logit))
    raw = np.stack([np.zeros(N), 3 * logit], 1)
    return SequenceRecord(
        "gru", "class", ("no", "yes"), tuple(map(str, range(N))), Labels("class", ("no", "yes"), truth), {"gru": np.stack([1 - p, p], 1)}, raw,
        temperature=[3.0],
    )  # fmt: skip


def test_honest_probabilities_are_called_calibrated_and_sharper_ones_too_sure() -> None:
    judged = Judged(honest(2000, 1.0))
    verdict = judge_calibration(judged)
    assert not verdict.is_off
    told = calibration_sentence(judged, verdict)
    assert told.startswith("As far as 2000 sequences can tell, gru is calibrated: its error is ")
    assert "Before its temperature 3.00, measured on validation, the error was " in told
    assert verdict.before is not None
    assert verdict.before > verdict.error
    sharp = Judged(honest(2000, 3.0))
    assert "gru is surer than it should be: its answers had a probability of " in calibration_sentence(sharp, judge_calibration(sharp))
    left = replace(honest(2000, 1.0), temperature=[1.0])
    assert "temperature" not in calibration_sentence(Judged(left), judge_calibration(Judged(left)))
    assert [mark.name for mark in reliability_chart(Judged(left)).legend] == ["as predicted", "gru"]
    dull = Judged(honest(2000, 0.3))
    assert "gru is less sure than it could be" in calibration_sentence(dull, judge_calibration(dull))


def test_reliability_draws_what_the_bins_hold() -> None:
    judged = Judged(honest(2000, 1.0))
    chart = reliability_chart(judged)
    found = reliability(judged.found.truth[:, 1], judged.found.predicted[:, 1])
    assert len(chart.table.rows) == len(found.count)
    assert sum(int(row[2]) for row in chart.table.rows) == 2000
    assert [mark.name for mark in chart.legend] == ["as predicted", "before the temperature", "gru"]
    few = reliability_chart(Judged(honest(40, 1.0)))
    assert "bins hold fewer than 20 and have no line" in few.caption


def test_sureness_counts_all_and_the_wrong_ones() -> None:
    judged = Judged(record(90, 60, 60))
    chart = sureness(judged)
    assert sum(int(row[2]) for row in chart.table.rows) == 100
    assert sum(int(row[3]) for row in chart.table.rows) == 10
    assert chart.caption == ""


def test_bias_of_numbers() -> None:
    truth = np.array([1.0, 2.0, 3.0, 6.0])
    assert bias("depth", truth, truth - 1) == "depth: too low by 1 on average; what was predicted varies 100 % as much as what is true."
    assert bias("depth", truth, truth[::-1]).startswith("depth: neither too high nor too low on average")


def test_of_many_targets_some_are_drawn_and_all_listed() -> None:
    made = numbers(30, 3)
    first, each = number_sections(Judged(made))
    assert [chart.title for chart in first.charts][:2] == ["depth: predicted against true", "depth: errors"]
    assert [row[0] for row in each.tables[0].rows] == ["depth", "speed", "heat"]
    assert len(number_sections(Judged(numbers()))) == 1
