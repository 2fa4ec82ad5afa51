"""The baselines of sequences and texts: what they learn, what they say of themselves, and how they are judged side by side."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_score

from grus.data.sequences import Kind, Labels, Sequences, Texts
from grus.errors import DataError, OptionError
from grus.evaluation.sequence_baselines import Constant, Data, Effort, fit_columns, spread_out
from grus.evaluation.sequence_judging import baselines_for, judge_baselines
from grus.evaluation.summary_baselines import GradientBoosting, Ridge, summary_features
from grus.evaluation.text_baselines import TfidfLinear

NAN = np.nan


def labels_of(kind: Kind, count: int) -> Labels:
    """Of which the first class or label holds for every other sequence, and the number rises by a half."""
    y = np.arange(count) % 2
    if kind == "class":
        return Labels(kind, ("even", "odd"), y)
    return Labels(kind, ("u", "v"), np.stack([y, 1 - y], 1).astype(np.uint8) if kind == "labels" else np.stack([y / 2, np.arange(count) / 2], 1))


def waves(kind: Kind, count: int = 60) -> Sequences:
    """Sequences of 3 to 7 steps; where the first class does not hold, they start one higher."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3 + row % 5, 2)) * 0.3 + [row % 2, row] for row in range(count)]
    return Sequences(tuple(value.astype(np.float32) for value in values), ("x", "y"), tuple(map(str, range(count))), labels_of(kind, count))


def reviews(kind: Kind, count: int = 60) -> Texts:
    words = (("fine", "lovely"), ("poor", "awful"))
    texts = tuple(f"This film number {row} is {words[row % 2][row // 2 % 2]} indeed." for row in range(count))
    return Texts(texts, tuple(map(str, range(count))), labels_of(kind, count))


CASES = [(make, kind) for make in (waves, reviews) for kind in ("class", "labels", "number")]


@pytest.mark.parametrize(("make", "kind"), CASES)
def test_every_baseline_learns_and_beats_the_constant(make, kind: Kind) -> None:  # noqa: ANN001
    data: Data = make(kind)
    told: list[tuple[int, int, str]] = []
    found = judge_baselines(baselines_for(data), data.rows(range(40)), data.rows(range(40, 60)), on_progress=lambda *each: told.append(each))
    assert all(done <= total for done, total, _ in told)
    constant, *others = found
    expected = data.rows(range(40)).labels.values if kind != "class" else np.eye(2)[data.labels.values[:40]]  # type: ignore[union-attr]
    np.testing.assert_allclose(constant.predicted, np.tile(np.mean(expected, 0), (20, 1)))
    assert others
    for each in found:
        assert each.failure is None
        assert each.predicted is not None
        assert each.predicted.shape == (20, 2)
    for each in others:
        assert each.scores is not None
        assert constant.scores is not None
        if kind == "number":
            assert each.scores.each["u"]["rmse"] < constant.scores.each["u"]["rmse"]
        else:
            assert each.scores["f1_macro"] > 0.9 > constant.scores["f1_macro"]


@pytest.mark.parametrize("data", [waves("class", 30), reviews("class", 30)])
def test_seed_decides_what_is_learnt(data: Data) -> None:
    one, other = (judge_baselines(baselines_for(data), data, data, seed=5) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.predicted, second.predicted)


def test_names_choose_among_those_of_the_data() -> None:
    assert [each.name for each in baselines_for(waves("class"))] == ["majority class", "gradient boosting on summary features", "1-NN DTW"]
    names = ["mean", "ridge on last values", "ridge on summary features", "gradient boosting on summary features", "1-NN DTW"]
    assert [each.name for each in baselines_for(waves("number"))] == names
    assert [each.name for each in baselines_for(reviews("labels"))] == ["label frequencies", "TF-IDF + logistic regression"]
    assert [each.name for each in baselines_for(reviews("number"), ["TF-IDF + ridge regression"])] == ["TF-IDF + ridge regression"]
    with pytest.raises(OptionError, match=r"names must be among majority class, TF-IDF \+ logistic regression, got '1-NN DTW'"):
        baselines_for(reviews("class"), ["1-NN DTW"])


def test_a_baseline_that_fails_is_told_beside_the_others() -> None:
    data = waves("class")
    majority, nearest = judge_baselines(baselines_for(data, ["majority class", "1-NN DTW"]), data, data, limit_s=1e-9)
    assert majority.scores is not None
    assert nearest.scores is None
    assert nearest.predicted is None
    assert nearest.failure is not None
    assert nearest.failure.startswith("1-NN DTW: limit_s must be about ")


def test_judging_refusals() -> None:
    data = waves("class")
    with pytest.raises(OptionError, match="every baseline must have a name of its own, got mean, mean"):
        judge_baselines([Constant("mean"), Constant("mean")], data, data)
    with pytest.raises(DataError, match="must have labels of one kind and names, got 'class' of even, odd and 'number' of u, v"):
        judge_baselines([Constant()], data, waves("number"))
    with pytest.raises(DataError, match="majority class: the data must have labels"):
        Constant().fit(Texts(("a",), ("0",)), Effort())
    with pytest.raises(OptionError, match="limit_s must be above 0 seconds, got 0"):
        Effort(limit_s=0)


def test_summary_features_by_hand() -> None:
    values = (np.array([[1, NAN], [NAN, NAN], [4, NAN], [7, 2]], np.float32), np.array([[5, 1]], np.float32))
    found, names = summary_features(Sequences(values, ("x", "y"), ("a", "b")))
    rows = [dict(zip(names, row, strict=True)) for row in found]
    expected = {"x mean": 4, "x deviation": np.sqrt(6), "x least": 1, "x greatest": 7, "x first": 1, "x last": 7, "x missing": 0.25}
    expected["x slope"] = (0 * 1 + 2 * 4 + 3 * 7 - 3 * 5 / 3 * 4) / (0 + 4 + 9 - 3 * (5 / 3) ** 2)
    expected |= {f"y {name}": 2 for name in ("mean", "least", "greatest", "first", "last")}
    expected |= {"y deviation": 0, "y slope": NAN, "y missing": 0.75, "length": 4}
    assert rows[0] == pytest.approx(expected, nan_ok=True)
    assert [rows[1][name] for name in ("x mean", "x slope", "y last", "length")] == pytest.approx([5, NAN, 1, 1], nan_ok=True)


def test_summary_features_of_a_channel_that_was_never_measured() -> None:
    found, names = summary_features(Sequences((np.array([[NAN], [NAN]], np.float32),), ("x",), ("a",)))
    assert dict(zip(names, found[0], strict=True)) == pytest.approx(
        {f"x {name}": NAN for name in ("mean", "deviation", "least", "greatest", "first", "last", "slope")} | {"x missing": 1, "length": 2},
        nan_ok=True,
    )


def test_summary_slope_is_by_time() -> None:
    rng = np.random.default_rng(0)
    times = tuple(np.sort(rng.random(size)) * 10 for size in (5, 8, 5))
    values = tuple((3 * clock + rng.normal(size=len(clock)))[:, None].astype(np.float32) for clock in times)
    found, names = summary_features(Sequences(values, ("x",), ("a", "b", "c"), times=times))
    expected = [np.polyfit(clock, value[:, 0].astype(np.float64), 1)[0] for clock, value in zip(times, values, strict=True)]
    np.testing.assert_allclose(found[:, names.index("x slope")], expected)


def test_boosting_is_what_scikit_learn_fits_at_once() -> None:
    data = waves("class")
    X, y = summary_features(data)[0], data.labels.values  # type: ignore[union-attr]
    expected = HistGradientBoostingClassifier(max_iter=25, min_samples_leaf=3, early_stopping=False, random_state=0).fit(X, y).predict_proba(X)
    found = GradientBoosting(rounds=25).fit(data, Effort())
    np.testing.assert_allclose(found.predict(data, Effort()), expected)
    assert found.findings == ()


def test_boosting_takes_figures_that_no_sequence_has() -> None:
    data = waves("class")
    once = tuple(np.concatenate([values, np.where(np.arange(len(values)) == 0, 1, NAN)[:, None]], 1).astype(np.float32) for values in data.values)
    wider = Sequences(once, (*data.names, "measured once"), data.ids, data.labels)
    assert np.isnan(summary_features(wider)[0]).all(0).any()
    found, expected = (GradientBoosting(rounds=5).fit(each, Effort()).predict(each, Effort()) for each in (wider, data))
    np.testing.assert_allclose(found, expected)  # what is the same in all sequences says nothing


def test_boosting_that_is_out_of_time_says_so() -> None:
    found = GradientBoosting().fit(waves("class"), Effort(limit_s=1e-9))
    assert found.findings == ("boosting stopped after 10 of 100 rounds: its 1e-09 s were over",)


def test_ridge_finds_a_line() -> None:
    rng = np.random.default_rng(0)
    values = tuple(rng.normal(size=(6, 2)).astype(np.float32) for _ in range(80))
    y = np.array([[3 * value[-1, 0] - 2 * value[-1, 1] + 1, 7.0] for value in values], np.float64)
    data = Sequences(values, ("x", "y"), tuple(map(str, range(80))), Labels("number", ("line", "constant"), y))
    for baseline in (Ridge("last"), Ridge()):
        np.testing.assert_allclose(baseline.fit(data.rows(range(60)), Effort()).predict(data.rows(range(60, 80)), Effort()), y[60:], atol=0.02)
    with pytest.raises(DataError, match="labels must be numbers of at least two sequences, got 60 of kind 'class'"):
        Ridge().fit(waves("class"), Effort())
    with pytest.raises(OptionError, match="features must be one of summary, last, got 'mean'"):
        Ridge("mean").fit(data, Effort())  # type: ignore[arg-type]


def test_class_missing_from_training_has_probability_zero() -> None:
    data = waves("class")
    three = Labels("class", ("even", "never", "odd"), 2 * (np.arange(60) % 2))
    found = GradientBoosting(rounds=5).fit(Sequences(data.values, data.names, data.ids, three), Effort()).predict(data, Effort())
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_allclose(found.sum(1), 1)


def test_single_class_or_label_in_training_is_certain() -> None:
    X = np.zeros((4, 1))
    one = fit_columns(Labels("class", ("a", "b"), np.ones(4, np.int64)), X, lambda features, column: pytest.fail("nothing to learn"))
    np.testing.assert_array_equal(one(np.zeros((2, 1))), [[0, 1], [0, 1]])
    never = fit_columns(Labels("labels", ("u",), np.zeros((4, 1), np.uint8)), X, lambda features, column: pytest.fail("nothing to learn"))
    np.testing.assert_array_equal(never(np.zeros((2, 1))), [[0], [0]])


def test_spread_out_has_each_class_in_every_piece() -> None:
    labels = Labels("class", ("a", "b", "c"), np.array([0] * 60 + [1] * 30 + [2] * 3))
    order = spread_out(labels, 0)
    assert sorted(order) == list(range(93))
    for third in range(3):
        assert labels.rows(order[third::3]).counts == pytest.approx({"a": 20, "b": 10, "c": 1}, abs=1)
        assert labels.rows(order[31 * third : 31 * third + 31]).counts == pytest.approx({"a": 20, "b": 10, "c": 1}, abs=1)
    assert order.tolist() != spread_out(labels, 1).tolist()


def test_units_follow_the_texts() -> None:
    def told(texts: list[str], **options) -> str:  # noqa: ANN003
        data = Texts(tuple(texts), tuple(map(str, range(len(texts)))), labels_of("class", len(texts)))
        return TfidfLinear(strengths=(1.0,), **options).fit(data, Effort()).findings[0]

    assert told(["这家酒店很好", "服务太差了"] * 5) == "n-grams are of characters, as the texts are written without spaces"
    assert told(["Anna Maria", "Jürgen"] * 5) == "n-grams are of characters, as half of the texts are of one or two words"
    assert told(["a film of some charm", "a film of no charm 的"] * 5) == "n-grams are of words"
    assert told(["a b c d", "e f g h"] * 5, units="characters") == "n-grams are of characters"


def test_penalty_is_chosen_and_told() -> None:
    found = TfidfLinear().fit(reviews("class"), Effort())
    assert found.findings == ("n-grams are of words", "C = 1000 by 3 folds, the end of what was tried")  # two words decide it, so the less the better
    texts = reviews("class")
    hurried = TfidfLinear().fit(texts, Effort(limit_s=1e-9))
    assert hurried.findings[1] == "C is the best of 1 of 4 values: its 1e-09 s were over"


@pytest.mark.parametrize("seed", range(3))
def test_penalty_is_that_of_scikit_learns_cross_validation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=90)
    texts = [" ".join(rng.choice(list("abcdefgh"), 6)) + (" p" if rng.random() < 0.3 + 0.4 * label else " q") for label in y]
    data = Texts(tuple(texts), tuple(map(str, range(90))), Labels("class", ("even", "odd"), y))
    fold = np.empty(90, np.int64)
    fold[spread_out(data.labels, seed)] = np.arange(90) % 3  # type: ignore[arg-type]
    X = TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    strengths = (0.1, 1.0, 10.0)
    models = [LogisticRegression(C=C, solver="liblinear") for C in strengths]
    losses = [-cross_val_score(model, X, y, cv=PredefinedSplit(fold), scoring="neg_log_loss").mean() for model in models]
    best = int(np.argmin(losses))
    found = TfidfLinear("words", strengths).fit(data, Effort(seed))
    assert found.findings[1].startswith(f"C = {strengths[best]:g} by 3 folds")
    np.testing.assert_allclose(found.predict(data, Effort()), models[best].fit(X, y).predict_proba(X))


def test_text_refusals() -> None:
    few = reviews("class", 5)
    with pytest.raises(DataError, match="there must be at least 6 texts to choose its penalty by, got 5"):
        TfidfLinear().fit(few, Effort())
    with pytest.raises(DataError, match="the data must be texts, got sequences of numbers"):
        TfidfLinear().fit(waves("class"), Effort())
    with pytest.raises(DataError, match="the data must be sequences of numbers, got texts"):
        GradientBoosting().fit(few, Effort())
    with pytest.raises(OptionError, match="rounds must be at least 1 and rate above 0, got 0"):
        GradientBoosting(rounds=0).fit(waves("class"), Effort())
    with pytest.raises(OptionError, match="units must be one of auto, words, characters"):
        TfidfLinear("letters").fit(reviews("class"), Effort())  # type: ignore[arg-type]
    empty = Texts(("!", "?") * 5, tuple(map(str, range(10))), labels_of("class", 10))
    with pytest.raises(DataError, match="texts must have words to count, got: empty vocabulary"):
        TfidfLinear("words").fit(empty, Effort())
