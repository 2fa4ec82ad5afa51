"""What a page says of chance: intervals that are told, and those that are not; and where there is too little to judge by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grus.data.sequences import Kind, Labels
from grus.evaluation.bootstrap import Draws, Interval, difference_interval
from grus.report import render
from grus.report.sequence_calibration import calibration_sentence, judge_calibration
from grus.report.sequence_scope import scope
from grus.report.sequence_scores import DRAWS, Judged, answer, comparisons, score_table, seed_section
from grus.tasks.sequence_record import with_intervals
from tests.report.answers import classes, labels, numbers, of_kind, page, right_on


def test_table_has_no_interval_where_every_draw_is_alike_and_tells_of_the_draws() -> None:
    table = score_table(Judged(with_intervals(right_on(100, 60, 60), Draws(100))))
    rows = {row[0]: row[2] for row in table.rows}
    assert rows["accuracy (%)"] == "96.4 to 100.0"
    assert rows["recall (%)"] == rows["calibration error (%)"] == "–"
    assert table.caption.count("Of the intervals: exact by the binomial, as every draw gives the same score (accuracy); every draw gives ") == 1
    few = score_table(Judged(with_intervals(classes(3, 30), Draws(100))))
    assert few.caption.endswith(
        " Of the intervals: each class keeps its size in every draw, as the rarest has 10 examples; "
        "there is none of the calibration error, to which every draw adds."
    )
    assert "Of the intervals" not in score_table(Judged(of_kind("number"))).caption


def test_groups_are_compared_by_intervals_and_the_page_says_so() -> None:
    made = replace(right_on(90, 60, 60), groups=tuple(str(n // 4) for n in range(100)))
    judged = Judged(with_intervals(made, Draws(100, confidence=0.9)))
    bounds = made.compared()["rival"]
    assert isinstance(bounds, Interval)
    between = f"{100 * bounds.low:.1f} to {100 * bounds.high:.1f} %"
    assert comparisons(judged) == [
        f"gru is better than rival: accuracy 90.0 % against 60.0 % (95 % interval of the difference {between}, groups drawn as wholes)."
    ]
    assert " (90 % interval " in answer(judged)
    assert scope(judged.record).startswith("Tested on 100 sequences in 25 groups; ")
    table = score_table(judged)
    assert table.head[2] == "90 % interval"
    assert " Of the intervals: the sequences of a group are drawn together, 25 groups in every draw; " in table.caption
    assert " if no sequence depended on another" in calibration_sentence(judged, judge_calibration(judged))
    few = Judged(with_intervals(replace(made, groups=tuple(str(n % 2) for n in range(100))), Draws(100)))
    assert comparisons(few)[0].endswith("(2 groups are fewer than the 20 that it takes to tell chance by).")
    assert answer(few).endswith("better, but chance may explain it.")
    assert "no intervals: bootstrap: there must be at least 20 groups of sequences, got 2; test on more." in few.record.findings


def test_roc_auc_of_groups_is_compared_by_whole_groups() -> None:
    made = classes(2, 400, share=0.9)
    alone, groups = Judged(made), Judged(replace(made, groups=tuple(str(n // 8) for n in range(400))))
    assert alone.metric == groups.metric == "roc_auc"
    assert comparisons(groups)[0].split(" (")[0] == comparisons(alone)[0].split(" (")[0]
    assert comparisons(groups)[0].endswith(", groups drawn as wholes).")
    found = difference_interval(made.truth, made.predicted["gru"], made.predicted["rival"], "roc_auc", DRAWS, groups.record.groups)
    assert f"95 % interval of the difference {100 * found.low:.1f} to {100 * found.high:.1f} %" in comparisons(groups)[0]


@pytest.mark.parametrize("kind", ["class", "labels", "number"])
def test_one_sequence_has_a_page(kind: Kind) -> None:
    whole = {"class": classes(2), "labels": labels(), "number": numbers()}[kind]
    few = replace(whole, ids=whole.ids[:1], truth=whole.truth.rows([0]), predicted={name: said[:1] for name, said in whole.predicted.items()})
    judged = Judged(with_intervals(replace(few, logits=None), Draws(100)))
    assert "1 sequence" in answer(judged)
    assert all("one sequence is too little to tell chance by" in told for told in comparisons(judged))
    assert render(replace(page(judged.record), examples=(), carried=None)).count("<h2>") > 3


def test_score_that_is_undefined_is_told() -> None:
    made = labels()
    nothing = replace(made, truth=Labels("labels", made.names, np.zeros((80, 3), np.uint8)))
    none = replace(nothing, predicted={name: np.full((80, 3), 0.1) for name in made.predicted})
    assert answer(Judged(none)) == "gru was tested on 80 sequences, of which its micro F1 is undefined."
    assert comparisons(Judged(none)) == []
    section = seed_section(Judged(replace(nothing, seeds={1: none.predicted["gru"]})))
    assert section is not None
    assert section.text == ("gru was trained and tested 2 times, each with its own seed; micro F1 is undefined for one of them.",)


def test_intervals_over_seeds_end_at_a_hundred_per_cent() -> None:
    made = right_on(99, 60, 60)
    section = seed_section(Judged(replace(made, seeds={1: right_on(91, 60, 60).predicted["gru"]})))
    assert section is not None
    assert "accuracy on average 95.0 %, Student's interval of the mean 44.2 to 100.0 %." in section.text[0]
