"""``SequenceClassifier`` and ``SequenceRegressor``: scikit-learn estimators of whole sequences."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sktime.datasets import load_italy_power_demand

from grus import SequenceClassifier, SequenceRegressor
from grus.data import read_sequences, read_texts
from grus.data.sequences import Sequences, Texts
from grus.errors import DataError, OptionError
from grus.tasks import sequence_stored
from grus.tasks.sequence_estimator import SequenceEstimator

Either = type[SequenceClassifier] | type[SequenceRegressor]
GOOD, BAD = ["a good film", "so good", "good fun", "very good"], ["a bad film", "so bad", "bad fun", "very bad"]


def small(kind: Either, **given: Any) -> Any:
    return kind(**{"hidden_size": 8, "epochs": 3, "validation_split": 0.2, "training": {"learning_rate": 0.03}, **given})


def sequences(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise [count, 6, 2] around a level, and whether that is above 0."""
    draw = np.random.default_rng(seed)
    level = draw.normal(size=count)
    X = np.stack([level[:, None] + 0.2 * draw.normal(size=(count, 6)), draw.normal(size=(count, 6))], axis=-1)
    return X.astype(np.float32), (level > 0).astype(np.int64)


# --- the contract ----------------------------------------------------------------------------------------------------------------------
# scikit-learn says the same of its own SGDClassifier and SGDRegressor: batches are drawn among the sequences, whatever their weights.
WEIGHTED = {"check_sample_weight_equivalence_on_dense_data": "sample_weight is not equivalent to removing/repeating samples."}
IDLE = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}  # of what neither has


@pytest.mark.parametrize(("kind", "epochs"), [(SequenceClassifier, 6), (SequenceRegressor, 14)])
def test_scikit_learn_checks_pass(kind: Either, epochs: int) -> None:
    estimator = small(kind, hidden_size=16, epochs=epochs, training={"learning_rate": 0.1})
    found = check_estimator(estimator, expected_failed_checks=WEIGHTED, on_fail=None, on_skip=None)
    assert [(each["check_name"], each["exception"]) for each in found if each["status"] == "failed"] == []
    assert {each["check_name"] for each in found if each["status"] == "xfail"} == set(WEIGHTED)
    assert {each["check_name"] for each in found if each["status"] == "skipped"} <= IDLE
    assert len(found) > 50


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_clone_and_params_are_those_of_the_constructor(kind: Either) -> None:
    estimator = small(kind, cell="mgu", model={"zoneout": 0.1})
    assert clone(estimator).get_params() == estimator.get_params()
    assert clone(estimator).set_params(cell="lstm", pooling="mean").get_params()["cell"] == "lstm"


# --- forms of X ------------------------------------------------------------------------------------------------------------------------
def test_every_form_of_the_same_sequences_gives_the_same_answer() -> None:
    X, y = sequences()
    expected = small(SequenceClassifier).fit(X, y).predict_proba(X)
    frames = pd.concat({number: pd.DataFrame(part, columns=["u", "v"]) for number, part in enumerate(X)})
    forms = {"list": list(X), "lists": X.tolist(), "frame": frames, "read": read_sequences(X)}
    for name, form in forms.items():
        np.testing.assert_array_equal(small(SequenceClassifier).fit(form, y).predict_proba(form), expected, err_msg=name)
    turned = X.transpose(0, 2, 1)
    np.testing.assert_array_equal(small(SequenceClassifier, layout="NCT").fit(turned, y).predict_proba(turned), expected)


def test_table_is_sequences_of_one_channel() -> None:
    X, y = sequences()
    table = X[:, :, 0]
    own, other = small(SequenceClassifier).fit(table, y), small(SequenceClassifier).fit(X[:, :, :1], y)
    np.testing.assert_array_equal(own.predict_proba(table), other.predict_proba(X[:, :, :1]))
    assert (own.n_features_in_, other.n_features_in_) == (6, 1)
    np.testing.assert_array_equal(other.predict_proba(table), own.predict_proba(table))
    with pytest.raises(ValueError, match="X has 5 features, but SequenceClassifier is expecting 6 features"):
        own.predict(table[:, :5])
    assert other.predict(table[:, :5]).shape == (40,)


def test_frame_of_numbers_keeps_the_names_of_its_columns(tmp_path: Path) -> None:
    X, y = sequences()
    frame = pd.DataFrame(X[:, :, 0], columns=list("abcdef"))
    fitted = small(SequenceRegressor).fit(frame, y)
    fitted.save(tmp_path / "model")
    for estimator in (fitted, SequenceRegressor.load(tmp_path / "model")):
        assert estimator.feature_names_in_.tolist() == list("abcdef")
        with pytest.raises(ValueError, match="feature names should match"):
            estimator.predict(frame[list("fedcba")])


def test_ragged_lists_and_missing_values() -> None:
    X, y = sequences()
    draw = np.random.default_rng(1)
    ragged = [part[: draw.integers(1, 7)].copy() for part in X]
    for part in ragged:
        part[draw.random(part.shape) < 0.2] = np.nan
    for cell in ("gru", "gru_d"):
        estimator = small(SequenceClassifier, cell=cell, epochs=15).fit(ragged, y)
        assert estimator.score(ragged, y) > 0.8
        together, alone = estimator.predict_proba(ragged), np.concatenate([estimator.predict_proba([part]) for part in ragged])
        np.testing.assert_allclose(together, alone, rtol=1e-5)
        assert estimator.model_.reader.reading.missing == ("gru_d" if cell == "gru_d" else "mean+mask")


def test_panel_of_sktime_as_it_comes() -> None:
    for kind in ("nested_univ", "numpy3D"):
        X, y = load_italy_power_demand(split="train", return_X_y=True, return_type=kind)
        estimator = small(SequenceClassifier, layout="NCT", epochs=25).fit(X, y)
        assert estimator.classes_.tolist() == ["1", "2"]
        assert estimator.score(X, y) > 0.8


def test_texts_in_a_list_an_array_or_a_column() -> None:
    texts, y = GOOD * 6 + BAD * 6, ["good"] * 24 + ["bad"] * 24
    found = [
        small(SequenceClassifier, epochs=8).fit(form, y).predict_proba(texts) for form in (texts, np.array(texts), pd.Series(texts, dtype=object))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    chosen = small(SequenceClassifier, epochs=8, tokenizer="characters", reading={"tokenizer_options": {"min_count": 2}}).fit(texts, y)
    assert chosen.model_.reader.tokenizer.kind == "characters"
    estimator = small(SequenceClassifier, epochs=8).fit(texts, y)
    assert estimator.predict(["good good", "bad"]).tolist() == ["good", "bad"]
    assert not hasattr(estimator, "n_features_in_")
    with pytest.raises(DataError, match="data must be texts"):
        estimator.predict(np.zeros((2, 3)))
    with pytest.raises(DataError, match="SequenceClassifier: X must hold a sequence or a text, got none; give one at least"):
        estimator.predict([])


def test_data_that_was_read_brings_its_own_labels_and_times() -> None:
    X, y = sequences()
    times = tuple(np.cumsum(np.random.default_rng(number).uniform(0.1, 2, 6)) for number in range(40))
    read = replace(read_sequences(X, labels=np.where(y, "up", "down")), times=times)
    estimator = small(SequenceClassifier, reading={"elapsed": True}, epochs=15).fit(read)
    assert estimator.classes_.tolist() == ["down", "up"]
    assert estimator.score(read) == estimator.score(read, np.where(y, "up", "down")) > 0.8
    with pytest.raises(OptionError, match=r"labels of X must be of kind number, got 'class'; take SequenceClassifier"):
        small(SequenceRegressor).fit(read)
    with pytest.raises(OptionError, match="requires y to be passed, but the target y is None"):
        small(SequenceClassifier).fit(replace(read, labels=None))
    texts = read_texts(GOOD + BAD, labels=["p"] * 4 + ["n"] * 4)
    assert small(SequenceClassifier).fit(texts).classes_.tolist() == ["n", "p"]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("train.csv", "X must be an array, a list of sequences, a list of texts or a pandas table, got str; read files with"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], "sequence 2: must have 2 channels"),
        ([np.zeros((3, 2)), np.zeros((0, 2))], "sequence 2: must have a step"),
        (["good", " "], "must be a text, got only white space"),
        (["good", 3.0], "must be a text, got 3.0"),
        ([1.0, 2.0], "Expected 2D array, got 1D array"),
        (np.zeros((2, 3, 4, 5)), "must be .N, T, C."),
        (np.array([[1.0, np.inf], [0, 1]]), "contains infinity"),
        (np.full((2, 3, 1), np.inf), "must be finite in 32 bits, got inf"),
    ],
)
def test_wrong_x_is_refused(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(SequenceClassifier).fit(X, [0, 1])


# --- forms of y ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("classes", [[0, 1], [-1, 7], [1.0, 2.0], ["no", "yes"], [False, True]])
def test_classes_keep_their_type(classes: list[Any], tmp_path: Path) -> None:
    X, y = sequences()
    given = np.array(classes)[y]
    fitted = small(SequenceClassifier, epochs=10).fit(X, given)
    fitted.save(tmp_path / "model")
    for estimator in (fitted, SequenceClassifier.load(tmp_path / "model")):
        assert estimator.classes_.dtype == given.dtype
        assert estimator.classes_.tolist() == classes
        found = estimator.predict(X)
        assert found.dtype == given.dtype
        np.testing.assert_array_equal(found, estimator.classes_[estimator.predict_proba(X).argmax(1)])
        assert estimator.score(X, given) == accuracy_score(given, found) > 0.8


def test_several_labels_have_a_probability_each(tmp_path: Path) -> None:
    X, _ = sequences(60)
    Y = (X.mean(1) > 0).astype(np.int64)
    fitted = small(SequenceClassifier, epochs=25, class_weight="balanced").fit(X, Y)
    fitted.save(tmp_path / "model")
    for estimator in (fitted, SequenceClassifier.load(tmp_path / "model")):
        found = estimator.predict_proba(X)
        assert found.shape == (60, 2)
        np.testing.assert_array_equal(estimator.predict(X), (found >= 0.5).astype(np.int64))
        np.testing.assert_array_equal(estimator.classes_, [0, 1])
        assert estimator.score(X, Y) == (estimator.predict(X) == Y).all(1).mean() > 0.6
        assert estimator.class_weight == "balanced"
    np.testing.assert_array_equal(found, fitted.predict_proba(X))


def test_several_numbers_have_the_shape_and_units_of_y(tmp_path: Path) -> None:
    X, _ = sequences(60)
    Y = X.mean(1) * [1.0, 1000.0] + [0.0, 5000.0]
    fitted = small(SequenceRegressor, epochs=40).fit(X, Y)
    fitted.save(tmp_path / "model")
    for estimator in (fitted, SequenceRegressor.load(tmp_path / "model")):
        assert estimator.predict(X).shape == (60, 2)
        assert estimator.score(X, Y) == r2_score(Y, estimator.predict(X)) > 0.7
    one = small(SequenceRegressor).fit(X, Y[:, 0])
    column = small(SequenceRegressor).fit(X, Y[:, :1])
    np.testing.assert_array_equal(one.predict(X), column.predict(X)[:, 0])


def test_wrong_y_is_refused() -> None:
    X, y = sequences(12)
    for given, message in (
        (np.zeros(12), "y must be of two classes or more, got 1 class, 0.0; give some of another one"),
        (np.linspace(0, 1, 12), "Unknown label type: continuous"),
        (np.array([1.0] * 11 + [np.nan]), "Input y contains NaN"),
        (np.stack([y, y + 1, y], 1), "got several columns of classes; fit one for each"),
        (y[:-1], "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            small(SequenceClassifier).fit(X, given)
    with pytest.raises(ValueError, match="Input y contains infinity"):
        small(SequenceRegressor).fit(X, np.full(12, np.inf))


# --- learning --------------------------------------------------------------------------------------------------------------------------
def test_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    X, y = sequences()
    first, again, other = (small(SequenceClassifier, random_state=seed).fit(X, y) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))
    drawn = small(SequenceClassifier, random_state=None).fit(X, y)
    np.testing.assert_array_equal(small(SequenceClassifier, random_state=drawn.seed_).fit(X, y).predict_proba(X), drawn.predict_proba(X))
    state = small(SequenceClassifier, random_state=np.random.RandomState(3)).fit(X, y)
    assert state.seed_ == np.random.RandomState(3).randint(2**31 - 1)


def test_validation_split_decides_what_is_learnt_from() -> None:
    X, y = sequences()
    assert "validation_loss" in small(SequenceClassifier).fit(X, y).history_.epochs[0]
    whole = small(SequenceClassifier, validation_split=0, epochs=4).fit(X, y)
    assert [set(row) & {"validation_loss"} for row in whole.history_.epochs] == [set()] * 4
    assert whole.model_.temperature is None
    assert dict(small(SequenceClassifier, validation_split=7).fit(X, y).facts())["sequences"] == "33 for training, 7 for validation"
    with pytest.raises(DataError, match=r"X must have 10 sequences for validation_split=0.1, got 5 samples; give more, or validation_split=0\."):
        small(SequenceClassifier, validation_split=0.1).fit(X[:5], y[:5])


def test_ensemble_is_the_mean_of_networks_with_seeds_in_a_row() -> None:
    X, y = sequences()
    level = X.mean(1)[:, 0]
    together = small(SequenceRegressor, n_networks=2, random_state=4, validation_split=0).fit(X, level)
    alone = [small(SequenceRegressor, random_state=seed, validation_split=0).fit(X, level).predict(X) for seed in (4, 5)]
    np.testing.assert_allclose(together.predict(X), np.mean(alone, 0), rtol=1e-6)
    assert (len(together.histories_), together.history_) == (2, together.histories_[0])
    with pytest.raises(OptionError, match="n_networks must be a whole number of at least 1, got 0"):
        small(SequenceClassifier, n_networks=0).fit(X, y)


def test_student_learns_from_a_fitted_teacher() -> None:
    X, y = sequences(80)
    teacher = small(SequenceClassifier, n_networks=2, epochs=15).fit(X, y)
    wrong = 1 - y  # what the labels say, and the teacher alone knows better
    student = small(SequenceClassifier, hidden_size=4, epochs=30, validation_split=0, additions={"distillation_share": 1.0})
    student.fit(X, wrong, teacher=teacher)
    assert student.score(X, y) > 0.8
    assert student.model_.size < teacher.model_.size
    with pytest.raises(NotFittedError):
        student.fit(X, y, teacher=clone(teacher))


def test_weights_of_sequences_and_classes_by_value() -> None:
    X, y = sequences()
    one = small(SequenceClassifier, validation_split=0).fit(X, y, sample_weight=np.where(y, 3.0, 1.0))
    other = small(SequenceClassifier, validation_split=0, class_weight={0: 1.0, 1: 3.0}).fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    halves = small(SequenceClassifier, validation_split=0, class_weight={1: 1.5}).fit(X, y, sample_weight=np.where(y, 2.0, 1.0))
    np.testing.assert_array_equal(one.predict_proba(X), halves.predict_proba(X))
    left_out = small(SequenceClassifier).fit(X, y, sample_weight=np.arange(40) % 2)
    np.testing.assert_array_equal(left_out.predict_proba(X), small(SequenceClassifier).fit(X[1::2], y[1::2]).predict_proba(X))
    rare = np.arange(40) < 4
    plain, balanced = (small(SequenceClassifier, validation_split=0, class_weight=how, epochs=2).fit(X * 0, rare) for how in (None, "balanced"))
    assert plain.predict_proba(X * 0)[:, 1].mean() < balanced.predict_proba(X * 0)[:, 1].mean()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class_weight": "some"}, "class_weight must be None, 'balanced' or {class: weight}, got 'some'"),
        ({"class_weight": {0: 0.0}}, "class_weight must be of finite numbers above 0"),
        ({"model": {"cell": "mgu"}}, "cell must be given once, got it in model too"),
        ({"training": {"seed": 1}}, "seed, which is random_state, must be given once"),
        ({"tokenizer": "characters"}, "tokenizer must be left out for sequences of numbers"),
        ({"hidden_size": 0}, "hidden_size must be"),
        ({"missing": "gru_d"}, "gru_d"),
        ({"layout": "TNC"}, "layout must be NTC or NCT"),
    ],
)
def test_wrong_options_are_refused_when_fitted(given: dict[str, Any], message: str) -> None:
    X, y = sequences(10)
    with pytest.raises(OptionError, match=message):
        small(SequenceClassifier, **given).fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0], r"sample_weight must be \[N\] = \[10\], got \[1\]"), ([-1.0] + [1.0] * 9, "got -1.0 for sequence 1"), ([0.0] * 10, "zero weights")],
)
def test_wrong_weights_are_refused(weights: list[float], message: str) -> None:
    X, y = sequences(10)
    with pytest.raises(DataError, match=message):
        small(SequenceClassifier).fit(X, y, sample_weight=weights)


# --- going on --------------------------------------------------------------------------------------------------------------------------
def test_partial_fit_goes_on_in_the_units_of_the_first_call() -> None:
    X, y = sequences(80)
    estimator = small(SequenceClassifier, epochs=1, n_networks=2)
    with pytest.raises(OptionError, match="classes must be passed on the first call to partial_fit"):
        estimator.partial_fit(X, y)
    estimator.partial_fit(X, y, classes=[2, 1, 0])
    assert estimator.classes_.tolist() == [0, 1, 2]
    scaling, losses = estimator.model_.reader, [estimator.history_.epochs[-1]["loss"]]
    for _ in range(8):
        losses.append(estimator.partial_fit(X, y).history_.epochs[-1]["loss"])
    assert losses[-1] < 0.7 * losses[0]
    assert estimator.model_.reader is scaling
    assert len(estimator.model_.networks) == 2
    assert [name for name, _ in estimator.facts()].count("then learnt from") == 8
    one_class = estimator.partial_fit(X[y == 1], y[y == 1])
    assert one_class.predict_proba(X).shape == (80, 3)
    for given, message in (
        ({"classes": [0, 1]}, "classes must be those of the first call, 0, 1, 2, got others"),
        ({}, "among the classes 0, 1, 2, got 6"),
    ):
        with pytest.raises((OptionError, DataError), match=message):
            estimator.partial_fit(X, y if given else y + 5, **given)


def test_partial_fit_of_numbers_and_after_loading(tmp_path: Path) -> None:
    X, _ = sequences(60)
    level = X.mean(1)[:, 0] * 50
    estimator = small(SequenceRegressor, epochs=5, training={"learning_rate": 0.03, "optimiser": "adam", "optimiser_options": {"betas": [0.9, 0.99]}})
    estimator.partial_fit(X, level).save(tmp_path / "model")
    loaded = SequenceRegressor.load(tmp_path / "model")
    assert loaded.get_params() == estimator.set_params(missing="mean+mask", pooling="last", dropout=0.0).get_params()
    np.testing.assert_array_equal(loaded.partial_fit(X, level).predict(X), estimator.partial_fit(X, level).predict(X))
    with pytest.raises(DataError, match="y must have the 1 numbers y, got 2"):
        loaded.partial_fit(X, np.stack([level, level], 1))


# --- among scikit-learn's tools --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("jobs", [1, 2])
def test_grid_search_in_one_and_two_processes(jobs: int) -> None:
    X, y = sequences(60)
    search = GridSearchCV(small(SequenceClassifier, epochs=8), {"hidden_size": np.array([2, 8])}, cv=2, n_jobs=jobs)
    search.fit(list(X), y)
    assert search.best_score_ > 0.8
    assert search.cv_results_["mean_test_score"].shape == (2,)
    assert search.score(list(X), y) == search.best_estimator_.score(list(X), y)


def test_pipeline_and_cross_validation() -> None:
    X, y = sequences(60)
    steps = StandardScaler(), FunctionTransformer(lambda table: table.reshape(-1, 6, 2)), small(SequenceClassifier, epochs=10)
    assert cross_val_score(make_pipeline(*steps), X.reshape(60, -1), y, cv=2, scoring="roc_auc").min() > 0.8
    fitted = make_pipeline(*steps).fit(X.reshape(60, -1), y, sequenceclassifier__sample_weight=np.ones(60))
    assert fitted.predict(X.reshape(60, -1)).shape == (60,)


# --- keeping ---------------------------------------------------------------------------------------------------------------------------
def test_saved_estimator_is_the_same_and_its_card_says_what_it_is(tmp_path: Path) -> None:
    texts, y = GOOD * 3 + BAD * 3, [1] * 12 + [0] * 12
    given = {
        "n_networks": 2,
        "class_weight": {0: 2.0},
        "model": {"embedding_size": 9},
        "additions": {"word_dropout": 0.1},
        "max_steps": 3,
        "truncate": "tail",
    }
    estimator = small(SequenceClassifier, **given, reading={"tokenizer_options": {"min_count": 2}}, missing="mean+mask").fit(texts, y)
    estimator.save(tmp_path / "model", scores={"gru": {"accuracy": 0.75}})
    loaded = SequenceClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(texts), estimator.predict_proba(texts))
    chosen = {"tokenizer": "characters", "pooling": "mean+max", "dropout": 0.5, "reading": {"tokenizer_options": {"min_count": 2, "max_size": 30000}}}
    assert loaded.get_params() == estimator.get_params() | chosen
    assert loaded.facts() == estimator.facts()
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.startswith("# SequenceClassifier: 2 × gru\n")
    assert "| gru | 0.75 |" in card
    with pytest.raises(OptionError, match="overwrite=True"):
        estimator.save(tmp_path / "model")
    with pytest.raises(DataError, match=r"must hold a SequenceRegressor's model, got one of kind 'class'; load it with SequenceClassifier"):
        SequenceRegressor.load(tmp_path / "model")
    unpickled = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(unpickled.predict_proba(texts), estimator.predict_proba(texts))


def test_model_that_no_estimator_saved_is_loaded_with_its_names(tmp_path: Path) -> None:
    X, y = sequences()
    estimator = small(SequenceClassifier).fit(X, np.where(y, "up", "down"))
    sequence_stored.save(estimator.model_, tmp_path / "model", "a card")
    loaded = SequenceClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))
    assert loaded.classes_.tolist() == ["down", "up"]


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_nothing_is_answered_before_fit(kind: Either, tmp_path: Path) -> None:
    X, y = sequences(4)
    estimator: SequenceEstimator = kind()
    for call in (lambda: estimator.predict(X), lambda: estimator.score(X, y), lambda: estimator.save(tmp_path / "m"), estimator.facts):
        with pytest.raises(NotFittedError, match=rf"{kind.__name__}: must be fitted, got one that is not; call fit first, or {kind.__name__}\.load"):
            call()


def test_what_was_read_is_left_as_it_was() -> None:
    X, y = sequences(20)
    read: Sequences | Texts = read_sequences(X, labels=y)
    before = [values.copy() for values in read.values]
    small(SequenceClassifier).fit(read).predict(read)
    for values, own in zip(read.values, before, strict=True):
        np.testing.assert_array_equal(values, own)
