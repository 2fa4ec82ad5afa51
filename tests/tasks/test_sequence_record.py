"""Records of judged sequences: exact as JSON, scored and compared by value, refused where damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grus.data.sequences import Labels, Texts
from grus.errors import DataError
from grus.evaluation.bootstrap import Draws, Interval, difference_interval, score_intervals
from grus.evaluation.comparison import McNemar
from grus.models import SequenceSettings, SequenceShape
from grus.models.sequence import build
from grus.tasks.sequence_model import SequenceModel
from grus.tasks.sequence_reading import Reading, fit_reader
from grus.tasks.sequence_record import SequenceRecord, compared_sentences, judge, with_intervals

TRUTH = Labels("class", ("a", "b"), np.array([0, 0, 1, 1, 1]))


def of_b(*values: float) -> Any:
    return np.array([[1 - value, value] for value in values])


def record_of(**given: Any) -> SequenceRecord:
    predicted = {"gru": of_b(0.1, 0.2, 0.9, 1 / 3, 0.8), "majority class": of_b(0.6, 0.6, 0.6, 0.6, 0.6)}
    ids = ("1", "2", "3", "4", "ф")
    return SequenceRecord("gru", "class", TRUTH.names, ids, TRUTH, predicted, np.log(predicted["gru"]), **given)


def test_scores_are_those_of_everyone() -> None:
    found = record_of().scores()
    assert list(found) == ["gru", "majority class"]
    assert (found["gru"]["accuracy"], found["majority class"]["accuracy"]) == (0.8, 0.6)
    assert record_of().scores_of("gru").confusion is not None
    assert np.array_equal(record_of().scores_of("gru").confusion, [[2, 0], [1, 2]])  # type: ignore[arg-type]


def test_comparison_counts_who_was_right_where() -> None:
    (found,) = record_of().compared().values()
    assert isinstance(found, McNemar)
    assert (found.both, found.only_a, found.only_b, found.neither) == (2, 2, 1, 0)
    assert compared_sentences(record_of()) == [
        "gru beside majority class: right where the other is wrong 2 times, wrong where it is right 1 times; p = 1 (McNemar, exact)"
    ]


def test_numbers_are_compared_by_their_errors() -> None:
    truth = Labels("number", ("y",), np.arange(8.0)[:, None])
    found = SequenceRecord("gru", "number", ("y",), tuple("abcdefgh"), truth, {"gru": truth.values + 1, "mean": truth.values + 3})
    (beside,) = found.compared().values()
    assert isinstance(beside, Interval)
    assert (beside.value, beside.low, beside.high) == (-2, -2, -2)
    assert compared_sentences(found) == ["gru beside mean: mae -2, 95 % interval -2 to -2"]


def of_two_targets(rows: int) -> SequenceRecord:
    """A target in ones and one in ten thousands, missed by 1 and 10⁴."""
    truth = Labels("number", ("u", "v"), np.array([[1.0, 1e4]]) * np.arange(float(rows))[:, None])
    predicted = {"gru": truth.values + np.array([1, 1e4]), "mean": truth.values + np.array([3, 1e4])}
    return SequenceRecord("gru", "number", truth.names, tuple(map(str, range(rows))), truth, predicted)


def test_several_targets_are_compared_in_units_of_their_deviations() -> None:
    record = of_two_targets(8)
    spread = np.arange(8.0).std()
    assert record.scores()["gru"]["scaled_mae"] == pytest.approx(1 / spread)
    assert record.scores()["mean"]["scaled_mae"] == pytest.approx(2 / spread)
    (beside,) = record.compared().values()
    assert isinstance(beside, Interval)
    assert beside.value == pytest.approx(-1 / spread)
    assert compared_sentences(record)[0].startswith(f"gru beside mean: scaled_mae {-1 / spread:+.4g}, 95 % interval ")


def test_targets_that_tell_nothing_are_compared_with_no_baseline() -> None:
    two = of_two_targets(2)
    assert (two.compared(), two.too_few) == ({}, "two sequences are too little to tell chance by")
    assert compared_sentences(two) == ["gru is compared with no baseline: two sequences are too little to tell chance by"]
    same = replace(of_two_targets(8), truth=Labels("number", ("u", "v"), np.ones((8, 2))))
    assert same.compared() == {}
    assert compared_sentences(same) == ["gru is compared with no baseline: scaled_mae is undefined here"]


def grouped(groups: int, N: int = 120) -> SequenceRecord:
    """The network is right on nine sequences of ten, the rival on those of two groups of three."""
    rng = np.random.default_rng(0)
    truth, of = Labels("class", ("a", "b"), np.arange(N) % 2), np.arange(N) % groups
    right = {"gru": rng.random(N) < 0.9, "rival": of % 3 > 0}
    predicted = {name: np.where((truth.values[:, None] == [0, 1]) == good[:, None], 0.8, 0.2) for name, good in right.items()}
    return SequenceRecord("gru", "class", truth.names, tuple(map(str, range(N))), truth, predicted, groups=tuple(f"p{group}" for group in of))


def test_sequences_in_groups_are_compared_by_the_interval_of_the_difference() -> None:
    record = grouped(30)
    (found,) = record.compared().values()
    ours, theirs = record.predicted.values()
    assert found == difference_interval(record.truth, ours, theirs, "accuracy", groups=record.groups)
    alone = difference_interval(record.truth, ours, theirs, "accuracy")
    assert found.high - found.low > 1.3 * (alone.high - alone.low)
    assert compared_sentences(record) == [
        f"gru beside rival: accuracy {found.value:+.4g}, 95 % interval {found.low:+.4g} to {found.high:+.4g} "
        "(the sequences of a group are drawn together, 30 groups in every draw)"
    ]
    intervals = with_intervals(record, Draws(100)).intervals
    assert intervals["accuracy"] == score_intervals(record.truth, ours, Draws(100), record.groups).found["accuracy"]


def test_few_groups_have_no_interval_and_say_why() -> None:
    record = with_intervals(grouped(6), Draws(100))
    assert (dict(record.intervals), record.compared()) == ({}, {})
    assert record.findings == ("no intervals: bootstrap: there must be at least 20 groups of sequences, got 6; test on more.",)
    assert compared_sentences(record) == ["gru is compared with no baseline: 6 groups are fewer than the 20 that it takes to tell chance by"]


def test_seeds_spread_with_its_own() -> None:
    found = record_of(seed=3, seeds={1: of_b(0.9, 0.2, 0.9, 0.9, 0.8)})
    assert found.tested_seeds == (1, 3)
    assert found.over_seeds()["accuracy"].mean == pytest.approx(0.8)
    assert found.over_seeds()["accuracy"].count == 2
    with pytest.raises(DataError, match="at least two seeds"):
        record_of().over_seeds()


def test_record_is_the_same_after_json() -> None:
    made = record_of(
        failures={"1-NN DTW": "it took too long"},
        findings=("gradient boosting: told",),
        seeds={5: of_b(0.5, 0.25, 0.1, 0.7, 1 / 7)},
        temperature=[1 / 3],
        seed=2,
    )
    assert "groups" not in made.to_dict()
    made = with_intervals(made, Draws(100, confidence=0.9))
    found = SequenceRecord.from_json(made.to_json())
    assert found.to_dict() == made.to_dict()
    assert found.intervals["accuracy"] == made.intervals["accuracy"]
    assert found.intervals["accuracy"].value == 0.8
    for name in made.predicted:
        np.testing.assert_array_equal(found.predicted[name], made.predicted[name])
    np.testing.assert_array_equal(found.seeds[5], made.seeds[5])
    assert found.truth.values.dtype == np.int64
    assert (found.groups, found.intervals["accuracy"].confidence) == (None, 0.9)
    assert "repeated" not in made.to_dict()
    seen = replace(made, repeated={"training": (0, 3), "validation": (3, 4)})
    assert SequenceRecord.from_json(seen.to_json()).repeated == seen.repeated
    assert (seen.alone, made.alone) == ((1, 2), (0, 1, 2, 3, 4))
    groups = replace(made, groups=("1", "1", "2", "2", "ф"))
    assert SequenceRecord.from_json(groups.to_json()).groups == groups.groups


def test_record_without_confidences_had_the_usual_one() -> None:
    tree = json.loads(with_intervals(record_of(), Draws(100)).to_json())
    for interval in tree["intervals"].values():
        del interval["confidence"]
    assert {found.confidence for found in SequenceRecord.from_dict(tree).intervals.values()} == {0.95}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tree: tree.pop("truth"), "must be as grus evaluate wrote it, got other content"),
        (lambda tree: tree.update(version=9), "version must be 1, got 9"),
        (lambda tree: tree["ids"].pop(), "must be as grus evaluate wrote it"),
        (lambda tree: tree["predicted"]["gru"].pop(), "must be as grus evaluate wrote it"),
        (lambda tree: tree.update(model="lstm"), "must be as grus evaluate wrote it"),
        (lambda tree: tree.update(truth=[0, 0, 1, 1, 7]), "must be as grus evaluate wrote it"),
        (lambda tree: tree.update(intervals=3), "must be as grus evaluate wrote it"),
        (lambda tree: tree.update(groups=["p", "q"]), "2 groups of 5 sequences"),
        (lambda tree: tree.update(groups=[]), "0 groups of 5 sequences"),
        (lambda tree: tree.update(repeated={"training": [5]}), "rows beyond 5 sequences"),
        (lambda tree: tree.update(repeated=[0]), "must be as grus evaluate wrote it"),
    ],
)
def test_damaged_record_is_refused(change: Any, sentence: str) -> None:
    tree = json.loads(record_of().to_json())
    change(tree)
    with pytest.raises(DataError, match=sentence):
        SequenceRecord.from_dict(tree)
    with pytest.raises(DataError, match="must be JSON"):
        SequenceRecord.from_json("{")


def test_judgement_has_the_network_and_each_baseline_or_why_not() -> None:
    texts = Texts(("a b", "c d") * 4, tuple("01234567"), Labels("class", ("x", "y", "z"), np.array([0, 1] * 4)))
    reader, _ = fit_reader(texts, Reading())
    network = build(SequenceSettings(hidden_size=4, embedding_size=3), SequenceShape("class", 3, vocabulary=reader.vocabulary)).eval()
    model = SequenceModel((network,), reader, "class", ("x", "y", "z"))
    few = texts.rows(range(4))
    told: list[tuple[int, int, str]] = []
    found = judge(model, few, texts, draws=Draws(100), on_progress=lambda *step: told.append(step))
    np.testing.assert_array_equal(found.predicted["gru"], model.predict(texts))
    np.testing.assert_array_equal(found.logits, model.logits(texts))
    assert list(found.predicted) == ["gru", "majority class"]
    assert "at least 6 texts" in found.failures["TF-IDF + logistic regression"]
    assert found.predicted["majority class"].tolist() == [[0.5, 0.5, 0.0]] * 8
    assert found.repeated == {"training": tuple(range(8))}  # the four are those that come again
    assert any("class 'z' has no example" in finding for finding in found.findings)
    assert set(found.intervals) <= set(found.scores()["gru"])
    assert told[-1][2] == "intervals"
    assert judge(model, few, texts, baselines=(), groups="aabbccdd").groups == tuple("aabbccdd")
    for groups in (["p", "q"], ["p", "q", *[None] * 6]):
        with pytest.raises(DataError, match="evaluate: groups must be 8, one per test sequence, got 2; give one for each"):
            judge(model, few, texts, groups=groups)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="test sequences must have labels"):
        judge(model, texts, Texts(("a b",), ("0",)))
