"""Scores of classes, labels and numbers, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as theirs

from grus.data.sequences import Kind, Labels
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.predictions import Predictions
from grus.evaluation.scores import compared_by, limits_of, main_metric, metric_named, metrics_of, score
from grus.evaluation.seeds import spreads

NAN = np.nan
CERTAINTY = ["log_loss", "brier", "ece", "ece_mass"]


def classes(values: list[int], K: int = 3) -> Labels:
    return Labels("class", tuple("abcdefgh"[:K]), np.array(values, np.int64))


def sets(values: list[list[int]]) -> Labels:
    return Labels("labels", tuple("xyzw"[: len(values[0])]), np.array(values, np.uint8))


def softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_two_classes_by_hand() -> None:
    p = np.array([0.1, 0.6, 0.4, 0.8, 0.9])
    found = score(classes([0, 0, 1, 1, 1], 2), np.stack([1 - p, p], 1))
    assert found.count == 5
    assert found.confusion is not None
    assert found.confusion.tolist() == [[1, 1], [1, 2]]
    expected = {
        "accuracy": 3 / 5,
        "balanced_accuracy": (1 / 2 + 2 / 3) / 2,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "f1_macro": (1 / 2 + 2 / 3) / 2,
        "f1_micro": 3 / 5,
        "f1_weighted": (2 / 2 + 3 * 2 / 3) / 5,
        "roc_auc": 5 / 6,  # of six pairs, 0.6 outranks 0.4
        "average_precision": 1 / 3 + 1 / 3 + 3 / 4 / 3,
        "log_loss": -np.log([0.9, 0.4, 0.4, 0.8, 0.9]).mean(),
        "brier": (0.01 + 0.36 + 0.36 + 0.04 + 0.01) / 5,
        "ece": (0.1 + 0.6 + 0.6 + 0.2 + 0.1) / 5,  # each in a bin of its own
        "ece_mass": (0.1 + 0.6 + 0.6 + 0.2 + 0.1) / 5,
    }
    assert list(found.values) == list(expected)
    assert found.values == pytest.approx(expected, rel=1e-12)
    assert found["f1"] == found.each["b"]["f1"]
    assert found.undefined == ()
    assert repr(found).startswith("Scores(5 sequences; accuracy 0.6, balanced_accuracy 0.5833")


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_classes_agree_with_scikit_learn(K: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(K), rng.integers(K, size=40)])
    p = softmax(rng.normal(size=(len(y), K)) + 1.5 * np.eye(K)[y])
    p[:K] = softmax(4 * np.eye(K))  # every class is chosen
    chosen, found = p.argmax(1), score(classes(y.tolist(), K), p)
    expected = {
        "accuracy": theirs.accuracy_score(y, chosen),
        "balanced_accuracy": theirs.balanced_accuracy_score(y, chosen),
        "f1_macro": theirs.f1_score(y, chosen, average="macro"),
        "f1_micro": theirs.f1_score(y, chosen, average="micro"),
        "f1_weighted": theirs.f1_score(y, chosen, average="weighted"),
        "log_loss": theirs.log_loss(y, p),
    }
    if K == 2:
        expected |= {
            "precision": theirs.precision_score(y, chosen),
            "recall": theirs.recall_score(y, chosen),
            "f1": theirs.f1_score(y, chosen),
            "roc_auc": theirs.roc_auc_score(y, p[:, 1]),
            "average_precision": theirs.average_precision_score(y, p[:, 1]),
            "brier": theirs.brier_score_loss(y, p[:, 1]),
        }
    else:
        expected |= {
            "precision_macro": theirs.precision_score(y, chosen, average="macro"),
            "recall_macro": theirs.recall_score(y, chosen, average="macro"),
            "roc_auc_ovr": theirs.roc_auc_score(y, p, multi_class="ovr"),
            "average_precision_macro": theirs.average_precision_score(np.eye(K)[y], p, average="macro"),
            "brier": np.square(p - np.eye(K)[y]).sum(1).mean(),
        }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert set(found.values) - set(expected) == {"ece", "ece_mass"}
    precision, recall, f1, count = theirs.precision_recall_fscore_support(y, chosen)
    table = found.table()
    assert table.index.tolist() == list("abcdefgh"[:K])
    np.testing.assert_allclose(table[["precision", "recall", "f1", "count"]].to_numpy(), np.stack([precision, recall, f1, count], 1))
    np.testing.assert_array_equal(found.confusion, theirs.confusion_matrix(y, chosen))


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 4), st.integers(0, 10_000))
def test_labels_agree_with_scikit_learn(K: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=(40, K))
    y[:2] = [[0] * K, [1] * K]
    p = 0.5 * rng.random(y.shape) + 0.4 * y + 0.05
    found, chosen = score(sets(y.tolist()), p), (p >= 0.5).astype(int)
    expected = {"subset_accuracy": theirs.accuracy_score(y, chosen), "hamming_loss": theirs.hamming_loss(y, chosen)}
    for average in ("macro", "micro"):
        expected[f"f1_{average}"] = theirs.f1_score(y, chosen, average=average)
        expected[f"precision_{average}"] = theirs.precision_score(y, chosen, average=average)
        expected[f"recall_{average}"] = theirs.recall_score(y, chosen, average=average)
        expected[f"roc_auc_{average}"] = theirs.roc_auc_score(y, p, average=average)
        expected[f"average_precision_{average}"] = theirs.average_precision_score(y, p, average=average)
    expected["f1_weighted"] = theirs.f1_score(y, chosen, average="weighted")
    expected["log_loss"] = np.mean([theirs.log_loss(y[:, k], p[:, k]) for k in range(K)])
    expected["brier"] = np.mean([theirs.brier_score_loss(y[:, k], p[:, k]) for k in range(K)])
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert set(found.values) - set(expected) == {"ece", "ece_mass"}
    np.testing.assert_array_equal(found.confusion, theirs.multilabel_confusion_matrix(y, chosen))


def test_single_label_scores_as_two_classes_do() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(2, size=50), rng.random(50)
    label, two = score(sets(y[:, None].tolist()), p[:, None]), score(classes(y.tolist(), 2), np.stack([1 - p, p], 1))
    pairs = {"subset_accuracy": "accuracy", "f1_macro": "f1", "f1_micro": "f1", "roc_auc_macro": "roc_auc", "precision_micro": "precision"}
    pairs |= {"average_precision_micro": "average_precision"} | {name: name for name in CERTAINTY}
    assert [label[name] for name in pairs] == pytest.approx([two[name] for name in pairs.values()])
    assert label.confusion is not None
    np.testing.assert_array_equal(label.confusion[0], two.confusion)


def test_ties_count_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.integers(2, size=60), rng.integers(5, size=60) / 4
    found = score(sets(y[:, None].tolist()), p[:, None])
    expected = (theirs.roc_auc_score(y, p), theirs.average_precision_score(y, p))
    assert (found["roc_auc_macro"], found["average_precision_macro"]) == pytest.approx(expected, rel=1e-12)


def test_labels_by_hand_with_a_threshold_each() -> None:
    truth = sets([[1, 0], [1, 1], [0, 1]])
    p = [[0.9, 0.3], [0.4, 0.35], [0.2, 0.9]]
    half = score(truth, p)
    assert half["subset_accuracy"] == pytest.approx(2 / 3)
    assert half["hamming_loss"] == pytest.approx(2 / 6)
    assert half["f1_micro"] == pytest.approx(2 * 2 / (2 * 2 + 0 + 2))
    each = score(truth, p, threshold=[0.3, 0.32])
    assert each["subset_accuracy"] == 1
    assert each.confusion is not None
    assert each.confusion.tolist() == [[[1, 0], [0, 2]], [[1, 0], [0, 2]]]
    assert half.each["x"]["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8]).mean())
    assert half.each["y"]["brier"] == pytest.approx((0.09 + 0.65**2 + 0.01) / 3)
    assert half.each["y"]["ece"] == pytest.approx((0.3 + 0.65 + 0.1) / 3)


def test_labels_half_right_subset_accuracy_counts_whole_rows() -> None:
    assert score(sets([[1, 0], [1, 1]]), [[0.9, 0.1], [0.9, 0.1]])["subset_accuracy"] == 0.5


def test_class_without_an_example_is_nan_and_said() -> None:
    found = score(classes([0, 0, 1, 1]), [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.4, 0.6, 0.0]])
    assert [np.isnan(found.each["c"][name]) for name in ("recall", "precision", "f1", "roc_auc", "average_precision")] == [True] * 5
    assert found["balanced_accuracy"] == pytest.approx(3 / 4)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["roc_auc_ovr"] == pytest.approx(np.mean([found.each[name]["roc_auc"] for name in "ab"]))
    assert found.undefined == (
        "class 'c' has no example: its recall, ROC AUC and average precision are undefined, and left out of the means over all",
        "class 'c' is never chosen: its precision is undefined, and left out of the mean over all",
        "class 'c' is neither there nor chosen: its F1 is undefined, and left out of the mean over all",
    )


def test_class_chosen_without_an_example_has_an_f1_of_zero() -> None:
    found = score(classes([0, 1]), [[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]])
    assert (found.each["c"]["precision"], found.each["c"]["f1"]) == (0, 0)
    assert found["f1_macro"] == pytest.approx(theirs.f1_score([0, 1], [0, 2], average="macro", zero_division=NAN))


def test_one_outcome_alone_leaves_the_areas_undefined() -> None:
    found = score(classes([1, 1], 2), [[0.2, 0.8], [0.6, 0.4]])
    assert np.isnan(found["roc_auc"])
    assert found["average_precision"] == 1
    assert found["balanced_accuracy"] == found["accuracy"] == 0.5
    never = score(classes([0, 0], 2), [[0.8, 0.2], [0.6, 0.4]])
    assert [np.isnan(never[name]) for name in ("roc_auc", "average_precision", "precision", "recall", "f1")] == [True] * 5
    assert "class 'a' is true of every example: its ROC AUC is undefined, and left out of the means over all" in never.undefined


def test_every_value_that_is_nan_is_said() -> None:
    found = score(sets([[0, 1, 1], [0, 1, 0]]), [[0.1, 0.9, 0.2], [0.2, 0.8, 0.1]])
    told = {name for name in found.each if any(np.isnan(value) for value in found.each[name].values())}
    assert told == {sentence.split("'")[1] for sentence in found.undefined} == {"x", "y", "z"}


def test_certain_and_wrong_costs_what_scikit_learn_says() -> None:
    found = score(classes([1, 0], 2), [[1.0, 0.0], [1.0, 0.0]])
    assert found["log_loss"] == pytest.approx(theirs.log_loss([1, 0], [[1.0, 0.0], [1.0, 0.0]]))
    assert found["log_loss"] == pytest.approx(-np.log(2.220446049250313e-16) / 2)


def test_half_precision_probabilities_count_by_their_sum() -> None:
    p = np.array([[0.25, 0.752]], np.float16)
    assert score(classes([1], 2), p)["log_loss"] == pytest.approx(-np.log(p[0, 1] / p[0].sum(dtype=np.float64)))


def test_what_models_are_compared_by() -> None:
    assert (main_metric(classes([0, 1, 1], 2)), main_metric(classes([0, 1, 2]))) == ("accuracy", "accuracy")
    assert main_metric(classes([0, 1, *[1] * 8], 2)) == "balanced_accuracy"  # one example is too few for DeLong's test
    assert main_metric(classes([0, 0, *[1] * 8], 2)) == "roc_auc"
    assert main_metric(classes([0, 1, *[2] * 8])) == "balanced_accuracy"
    assert (main_metric(sets([[0, 1]])), compared_by(sets([[0, 1]]))) == ("f1_micro", "subset_accuracy")
    one, two = (Labels("number", tuple("ab"[:K]), np.ones((3, K))) for K in (1, 2))
    assert [main_metric(one), compared_by(one)] == ["mae", "mae"]
    assert [main_metric(two), compared_by(two)] == ["scaled_mae", "scaled_mae"]


@pytest.mark.parametrize(
    ("predicted", "error", "message"),
    [
        ([[0.5, 0.5]], ShapeError, r"predicted must be \[N, K\] = \[2, 2\], got \[1, 2\]"),
        ([0.5, 0.5], ShapeError, r"got \[2\]"),
        ([[0.5, 0.5], [NAN, 0.5]], DataError, "predicted must be probabilities between 0 and 1, got nan for 'a' in row 1"),
        ([[0.5, 0.5], [-0.5, 1.5]], DataError, "got -0.5 for 'a' in row 1"),
        ([[0.5, 0.5], [0.9, 0.9]], DataError, "must sum to 1, got 1.8 in row 1"),
    ],
)
def test_predictions_that_cannot_be(predicted: list[list[float]], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        score(classes([0, 1], 2), predicted)


def test_other_refusals() -> None:
    with pytest.raises(DataError, match="there must be a sequence to judge by, got none"):
        score(classes([], 2), np.empty((0, 2)))
    with pytest.raises(DataError, match=r"predicted must be finite, got inf for 'u' in row 0"):
        score(Labels("number", ("u",), np.array([[1.0]])), [[np.inf]])
    with pytest.raises(OptionError, match=r"threshold must be above 0 and at most 1, got 0\.0"):
        score(sets([[1, 0]]), [[0.5, 0.5]], threshold=0)
    with pytest.raises(ShapeError, match=r"threshold must be one number or \[K\] = \[2\], got \[3\]"):
        score(sets([[1, 0]]), [[0.5, 0.5]], threshold=[0.5] * 3)
    with pytest.raises(OptionError, match=r"metric must be one of accuracy, .*got 'auc'"):
        metric_named(classes([0], 2), "auc")


def test_names_are_in_one_order_for_each_kind() -> None:
    assert list(metrics_of(classes([0])))[:3] == ["accuracy", "balanced_accuracy", "precision_macro"]
    for truth in (classes([0]), classes([0], 2), sets([[1, 0]])):
        assert list(metrics_of(truth))[-4:] == CERTAINTY
    assert list(metrics_of(Labels("number", ("u",), np.ones((1, 1))))) == ["mae", "rmse", "r2"]
    assert list(metrics_of(Labels("number", ("u", "v"), np.ones((1, 2))))) == ["scaled_mae", "scaled_rmse", "r2"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["class", "labels", "number"]), st.integers(2, 4))
def test_no_metric_leaves_its_limits(seed: int, kind: Kind, K: int) -> None:
    rng = np.random.default_rng(seed)
    if kind == "class":
        truth, said = classes(rng.integers(K, size=6).tolist(), K), np.eye(K)[rng.integers(K, size=6)]
    elif kind == "labels":
        truth, said = sets(rng.integers(2, size=(6, K)).tolist()), rng.integers(2, size=(6, K))
    else:
        truth, said = Labels("number", tuple("abcd"[:K]), rng.normal(size=(6, K))), rng.normal(size=(6, K)) ** 3
    for name, value in score(truth, said).values.items():
        low, high = limits_of(name)
        assert np.isnan(value) or low <= value <= high


def test_rows_score_as_the_same_sequences_alone() -> None:
    rng = np.random.default_rng(0)
    truth, p = classes(rng.integers(3, size=30).tolist()), softmax(rng.normal(size=(30, 3)))
    index = rng.integers(30, size=20)
    some, alone = Predictions.of(truth, p).rows(index), score(truth.rows(index), p[index])
    assert {name: metric(some) for name, metric in metrics_of(truth).items()} == pytest.approx(dict(alone.values))


def test_spread_over_seeds_takes_scores() -> None:
    truth = classes([0, 1], 2)
    one, other = score(truth, [[0.9, 0.1], [0.2, 0.8]]), score(truth, [[0.9, 0.1], [0.8, 0.2]])
    found = spreads({0: one.values, 1: other.values})
    assert found["accuracy"].mean == 0.75
    assert "precision" not in found  # which is undefined for the second one
