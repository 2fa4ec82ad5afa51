"""The page of answers: its sections, the marks on a text and on a series, and what carried the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grus.data.sequences import Kind
from grus.errors import ShapeError
from grus.report import render, write, write_pictures
from grus.report.charts import Bars, Heat, Spans
from grus.report.gates import in_order
from grus.report.passages import pieces, strongest
from grus.report.sequence_carried import carried_section
from grus.report.sequence_examples import example_section, worst
from grus.report.sequence_records import Carried, Traced
from grus.report.sequence_scores import Judged
from tests.browser import chromium
from tests.report.answers import SPANS, TEXT, classes, gates, labels, numbers, of_kind, page, series, text
from tests.report.test_browser import CONTRASTS, View

EVIL = "<script>alert(1)</script>"


def test_sections_stand_in_a_readers_order() -> None:
    titles = [section.title for section in page().document().sections]
    assert titles == [
        "Findings",
        "Scores beside baselines",
        "Over seeds",
        "What is taken for what",
        "Each class by itself",
        "Ranking",
        "Are its probabilities true?",
        "Surest mistakes",
        "Words that carried the answers",
        "How it was made",
        "Learning curves",
    ]


@pytest.mark.parametrize(
    ("kind", "with_it", "without"), [("number", "Predicted against true", "Ranking"), ("labels", "Ranking", "What is taken for what")]
)
def test_sections_follow_the_kind(kind: Kind, with_it: str, without: str) -> None:
    titles = [section.title for section in page(of_kind(kind)).document().sections]
    assert with_it in titles
    assert without not in titles


def test_findings_begin_with_the_baselines_and_end_with_the_data() -> None:
    record = replace(of_kind("class"), failures={"1-NN DTW": "it took too long"})
    points = page(record).document().sections[0].points
    assert points[0].startswith("gru is better than rival: ")
    assert points[1].startswith("gru is better than majority class: ")
    assert "calibration error" in points[2] or "calibrated" in points[2]
    assert "1-NN DTW could not be run: it took too long" in points
    assert points[-1] == "channel 'x' is constant"


def test_pieces_of_a_text_are_its_tokens() -> None:
    effect = np.array([0.5, 1.0, 0.0, -0.25, -2.0])
    found = pieces(TEXT, SPANS, effect)
    assert "".join(piece for piece, _ in found) == TEXT
    assert dict(found)["bad"] == -1.0
    assert dict(found)["good"] == 0.5
    assert pieces("", [], np.zeros(0)) == ()


def test_pieces_that_overlap_have_the_sum() -> None:
    assert pieces("很好吃", [(0, 1), (0, 2), (1, 2), (2, 3)], np.array([1.0, 2.0, 0.5, -1.0])) == (("很", 1.0), ("好", 2.5 / 3), ("吃", -1 / 3))


def test_of_a_long_text_the_part_is_shown_that_counts() -> None:
    effect = np.zeros(1000)
    effect[700:710] = 1.0
    start, stop = strongest(effect, 100)
    assert stop - start == 100
    assert start <= 700 < 710 <= stop
    words = " ".join(f"w{n}" for n in range(1000))
    spans = [(match.start(), match.end()) for match in re.finditer(r"\w+", words)]
    made = Judged(classes())
    section = example_section(made, (Traced(0, 0, effect, "gradient × input", "the unknown one", words, spans),))
    assert section is not None
    passage = section.parts[0].passages[0]
    assert passage.pieces[0] == ("… ", 0.0)
    assert passage.pieces[-1] == (" …", 0.0)
    assert ("w705", 1.0) in passage.pieces
    assert passage.caption == "The 250 neighbouring tokens, of 1000 that were read, whose effects are the largest."
    assert len(passage.table.rows) == 1000
    assert section.text[1].startswith("Marked by gradient × input, an estimate of by how much the log-odds")


def test_passage_tells_what_was_not_read_and_what_is_a_sum() -> None:
    pairs = Traced(0, 0, np.array([1.0, 2.0, 0.5]), "occlusion", "the unknown one", "很好吃", [(0, 1), (0, 2), (1, 2)], unread=1)
    section = example_section(Judged(classes()), (pairs, text()))
    assert section is not None
    captions = [part.passages[0].caption for part in section.parts]
    assert captions == ["Cut off, and not read: 1 of its 4 tokens. What several tokens cover has the sum of their effects.", ""]


def test_text_of_a_mistake_names_the_strongest_tokens() -> None:
    section = example_section(Judged(classes()), (text(0, 1),))
    assert section is not None
    (part,) = section.parts
    assert part.title.startswith("Text s0: predicted class b (")
    assert part.title.endswith("), is class a")
    assert part.text == ("By occlusion: most for it were “good” (+1), “not” (+0.5); most against it “bad” (−2), “not” (−0.25).",)
    assert section.text[1].startswith(
        "Marked by occlusion: by how much the log-odds of the answer, before the temperature, would change with another token in its place, "
        "the unknown one. "
    )
    plain = example_section(Judged(classes(temperature=1.0)), (text(0, 1),))
    assert plain is not None
    assert plain.text[1].startswith("Marked by occlusion: by how much the log-odds of the answer would change ")
    assert part.charts[0].title.startswith("r, reset")
    assert all(isinstance(chart.marks[0], Heat) for chart in part.charts)


def test_series_of_a_mistake_marks_its_strongest_steps() -> None:
    effect = np.array([0.0, 4.0, 1.0, -3.0, 2.0])
    each = Traced(
        2,
        0,
        effect,
        "occlusion",
        "the channels' means of training",
        "",
        (),
        np.arange(5.0)[:, None],
        ("depth",),
        False,
        np.array([0.0, 1.0, 2.0, 5.0, 9.0]),
        gates(5),
    )
    section = example_section(Judged(numbers()), (each,))
    assert section is not None
    (part,) = section.parts
    assert section.title == "Largest errors"
    assert part.text == ("By occlusion: raised most by time 1 (+4), time 9 (+2), time 2 (+1); lowered most by time 5 (−3).",)
    spans = [mark for mark in part.charts[0].marks if isinstance(mark, Spans) and mark.role in ("towards", "away")]
    assert [mark.edges for mark in spans] == [((0.5, 1.5),), ((3.5, 7.0),)]  # the strongest quarter of five steps
    up, down = (mark for mark in part.charts[1].marks if isinstance(mark, Bars))
    assert up.heights.tolist() == [0.0, 4.0, 1.0, 0.0, 2.0]
    assert down.heights.tolist() == [0.0, 0.0, 0.0, -3.0, 0.0]
    assert up.edges.tolist() == [-1.0, 0.5, 1.5, 3.5, 7.0, 10.0]


def test_effects_of_the_size_of_rounding_are_not_named_or_marked() -> None:
    effect = np.array([0.0, 2.0, 3e-9, -1e-9])
    each = replace(series(0, 0, 1, 4), effect=effect)
    section = example_section(Judged(classes()), (each,))
    assert section is not None
    assert section.parts[0].text == ("By gradient × input: most for it were step 2 (+2).",)
    spans = [mark.edges for mark in section.parts[0].charts[0].marks if isinstance(mark, Spans) and mark.role in ("towards", "away")]
    assert spans == [((1.5, 2.5),), ()]
    none = example_section(Judged(classes()), (replace(each, effect=np.zeros(4)),))
    assert none is not None
    assert none.parts[0].text == ("By gradient × input: no step has an effect.",)


def test_gates_behind_convolutions_have_steps_of_their_own() -> None:
    each = replace(series(0, 0, 1, 30), gates=gates(10))
    section = example_section(Judged(classes()), (each,))
    assert section is not None
    assert {chart.x.label for chart in section.parts[0].charts[2:]} == {"step behind the convolutions"}


def test_gates_of_one_width_have_one_order() -> None:
    first, second = np.array([[0.9, 0.1, 0.5]]), np.array([[1.0, 2.0, 3.0]])
    found = in_order({"gamma_x": np.array([[0.2, 0.7, 0.3]]), "r": first, "z": second}, "gru_d")  # as many channels as units
    assert {name: values.tolist() for name, values in found.items()} == {"gamma_x": [[0.2, 0.3, 0.7]], "r": [[0.1, 0.5, 0.9]], "z": [[2.0, 3.0, 1.0]]}


def test_worst_are_the_surest_mistakes() -> None:
    made = classes(3, 60)
    judged = Judged(made)
    found = worst(judged)
    sure = judged.found.predicted.max(1)
    wrong = np.flatnonzero(~judged.found.right)
    assert [chosen.row for chosen in found] == wrong[np.argsort(-sure[wrong])][:3].tolist()
    assert all(chosen.output == judged.found.predicted[chosen.row].argmax() for chosen in found)


def test_where_nothing_is_wrong_the_least_sure_are_shown() -> None:
    made = classes(3, 60)
    said = 0.4 * np.eye(3)[made.truth.values] + 0.2
    said[7] = np.where(np.eye(3)[made.truth.values[7]] == 1, 0.4, 0.3)
    judged = Judged(replace(made, predicted={"gru": said}))
    assert worst(judged)[0].row == 7
    section = example_section(judged, (text(7, 1),))
    assert section is not None
    assert section.title == "Least sure answers"


def test_worst_labels_may_be_ones_that_were_not_found() -> None:
    made = labels()
    said = np.where(made.truth.values == 1, 0.9, 0.1)
    said[5, 2], said[9, 0] = (0.02, 0.7) if made.truth.values[5, 2] else (0.98, said[9, 0])
    found = worst(Judged(replace(made, predicted={"gru": said})))
    assert (found[0].row, found[0].output, found[0].absent) == (5, 2, bool(made.truth.values[5, 2]))
    assert len(found) <= 2


def test_worst_numbers_are_the_largest_errors_beside_each_targets_spread() -> None:
    made = numbers(30, 2)
    said = made.truth.values.copy()
    said[3, 1] += 50
    said[8, 0] -= 20
    assert [tuple(chosen)[:2] for chosen in worst(Judged(replace(made, predicted={"gru": said})))[:2]] == [(3, 1), (8, 0)]


def test_words_that_carried_are_listed_by_answer() -> None:
    section = carried_section(Judged(classes()), Carried(60, "the unknown one", {"class a": [("good", 3.0, 4)], "class b": []}))
    assert section.facts == (("class a", "“good” (+0.75, 4 times)"), ("class b", "–"))
    assert section.text[0].startswith("By gradient × input over 60 sequences of 120, drawn at random: ")


def test_what_carried_says_what_was_asked_and_what_was_put_in_place() -> None:
    words, steps = {"rain": [("wet", 1.0, 2)]}, np.array([1.0, 2.0])
    of_labels = carried_section(Judged(labels()), Carried(80, "the unknown one", words)).text[0]
    assert of_labels.endswith("an estimate of what the log-odds of the most probable label would lose with a token replaced by the unknown one.")
    of_numbers = carried_section(Judged(numbers()), Carried(60, "the sequence's own means", steps=steps)).text[0]
    assert of_numbers.endswith("what depth, in scaled units, would lose with a step replaced by the sequence's own means.")


def test_steps_that_carried_say_where_half_the_effect_lies() -> None:
    carried = Carried(120, "the channels' means of training", steps=np.array([1.0, 1.0, 6.0, 2.0]), channels={"b": 0.75, "a": 0.25})
    section = carried_section(Judged(classes()), carried)
    assert section.text[1:] == (
        "Half of all effect lies on 1 of 4 steps; the largest at step 3.",
        "The channels that count most: b (75 %), a (25 %).",
    )
    assert section.tables[0].rows == (("b", "75.0"), ("a", "25.0"))
    shared = carried_section(Judged(classes()), replace(carried, by_share=True))
    assert shared.text[1] == "Half of all effect lies on 1 of 4 twentieths of the way; the largest at 50 to 75 % of the sequence."


def test_traced_has_a_value_for_each_step() -> None:
    with pytest.raises(ShapeError, match="values must have 3 steps, got 2"):
        Traced(0, 0, np.zeros(3), "occlusion", "", values=np.zeros((2, 1)))


def test_page_is_escaped_and_marks_are_drawn() -> None:
    made = page(title=EVIL)
    drawn = render(replace(made, examples=(replace(text(), text=EVIL, spans=[(0, 8), (8, 25)], effect=np.array([1.0, -0.5])),)))
    assert "<script" not in drawn
    assert '<mark class="towards" style="--weight: 1.00">&lt;script&gt;</mark><mark class="away" style="--weight: 0.50">' in drawn
    assert re.search(r'<td class="strong right" style="--share: 0\.\d\d">', drawn)


def test_every_chart_has_a_picture(tmp_path: Path) -> None:
    made = replace(page(), examples=(series(), text()))
    found = write_pictures(made, tmp_path)
    charts = [chart.name for section in made.document().sections for chart in section.every_chart]
    assert len(charts) == len(set(charts)) == len(found)
    assert any(name.startswith("example-2-gates") for name in charts)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = (EVIL, "a_very_long_name_without_a_space_in_it_0123456789", *(f"class {k}" for k in range(18)))
    made = classes(20, 300)
    made = page(replace(made, names=names, truth=replace(made.truth, names=names)))
    return write(made, tmp_path_factory.mktemp("answers") / "report.html")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_page_asks_for_nothing_fits_and_stands_out(browser: Any, path: Path, width: int, scheme: str) -> None:
    view = View(browser, path, width, scheme)
    assert [url for url in view.requests if not url.startswith("data:")] == [path.as_uri()]
    assert view.complaints == []
    _, _, said, letters, stroke = view.run(CONTRASTS)
    assert said >= 4.5
    assert letters >= 4.5
    assert stroke >= 3
    view.run("document.querySelectorAll('details').forEach(entry => entry.open = true)")
    assert view.run("document.documentElement.scrollWidth") == width
    assert view.run("document.querySelectorAll('mark').length") > 2
    view.page.close()
