"""How names and values are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grus.data.sequences import Labels
from grus.report.sequence_carried import carried_section
from grus.report.sequence_classes import confusion_section
from grus.report.sequence_examples import example_section
from grus.report.sequence_records import Carried, Traced
from grus.report.sequence_scope import scope
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import brief, chance, figure, percent, span
from tests.report.answers import classes, numbers


def test_long_names_are_shortened_where_they_stay_different() -> None:
    long = ("a" * 99, "b" * 99)
    made = replace(classes(2, 40), names=long, truth=Labels("class", long, np.arange(40) % 2))
    section = confusion_section(Judged(made))
    assert section.tables[0].rows[1][0] == f"is {'b' * 24}…{'b' * 12}"
    assert f"{'a' * 24}…{'a' * 12} (20)" in scope(made)
    alike = ("a" * 50 + "1" + "a" * 49, "a" * 100)
    assert brief(alike) == alike


def test_words_of_numbers() -> None:
    assert percent(0.00001) == "< 0.1 %"
    assert percent(0.0) == "0.0 %"
    assert percent(0.5, 0) == "50 %"
    assert span("accuracy", 0.5, 0.625) == "50.0 to 62.5 %"
    assert span("mae", 1.0, 22.25) == "1 to 22.2"
    assert chance(0.0001) == "p < 0.001"
    assert chance(0.0124) == "p = 0.012"
    assert figure(-0.000012345) == "−1.23e−05"


def test_what_occurs_once_is_told_as_one() -> None:
    carried = Carried(1, "the unknown one", {"class a": [("good", 3.0, 1)]})
    assert carried_section(Judged(classes()), carried).facts == (("class a", "“good” (+3, 1 time)"),)
    short = Traced(0, 0, np.ones(1), "occlusion", "the channels' means of training", "", (), np.ones((1, 1)), ("depth",))
    section = example_section(Judged(numbers()), (short,))
    assert section is not None
    assert section.parts[0].charts[1].text == "Effect of each step by occlusion, over 1 step: from 1 to 1."
