"""Bootstrap intervals against SciPy's, by hand and by how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.bootstrap import Draws, Interval, bootstrap, difference_interval, drawn_metrics, score_intervals
from grus.evaluation.predictions import Predictions
from grus.evaluation.scores import score


def mean_of(values: np.ndarray):  # noqa: ANN201
    return lambda weights: weights @ values / weights.sum(1)


def variance_of(values: np.ndarray):  # noqa: ANN201
    return lambda weights: mean_of(values**2)(weights) - mean_of(values)(weights) ** 2


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize(("weighted", "statistic"), [(mean_of, np.mean), (variance_of, np.var)])
def test_interval_agrees_with_scipy(method: str, weighted, statistic) -> None:  # noqa: ANN001
    x = np.random.default_rng(1).exponential(size=50)
    ours = bootstrap(weighted(x), 50, Draws(6000, 0.9, method))  # type: ignore[arg-type]
    theirs = stats.bootstrap((x,), statistic, n_resamples=6000, confidence_level=0.9, method=method, rng=np.random.default_rng(2))
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=0.04)
    assert ours.value == pytest.approx(statistic(x))
    assert ours.confidence == 0.9


@pytest.mark.parametrize("strata", [None, [0] * 2000 + [1] * 530])
def test_parts_of_the_jackknife_correct_as_much_as_leaving_out_one_by_one(monkeypatch: pytest.MonkeyPatch, strata: list[int] | None) -> None:
    x = np.random.default_rng(0).lognormal(sigma=1.2, size=2530)  # above 1000, and no multiple of it
    plain = bootstrap(
        mean_of(x), 2530, Draws(2000, method="percentile", seed=2), strata
    )  # the bias of some draws undoes the correction: not of these
    parts = bootstrap(mean_of(x), 2530, Draws(2000, seed=2), strata)
    monkeypatch.setattr("grus.evaluation.bootstrap.PARTS", 2530)
    single = bootstrap(mean_of(x), 2530, Draws(2000, seed=2), strata)
    for end in ("low", "high"):
        assert abs(getattr(parts, end) - getattr(single, end)) < 0.4 * abs(getattr(plain, end) - getattr(single, end))


def test_interval_of_strata_agrees_with_scipys_of_several_samples() -> None:
    rng = np.random.default_rng(0)
    x, y = -rng.lognormal(size=40), 30 + rng.normal(size=8)  # what lies between the strata is no skewness within them
    values = np.concatenate([x, y])
    ours = bootstrap(mean_of(values), 48, Draws(10_000, 0.9), [0] * 40 + [1] * 8)

    def together(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.concatenate(samples, axis).mean(axis)

    theirs = stats.bootstrap((x, y), together, n_resamples=10_000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(1))
    low, high = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_seed_decides_the_draws() -> None:
    x = np.arange(30.0) ** 2
    assert bootstrap(mean_of(x), 30, Draws(200)) == bootstrap(mean_of(x), 30, Draws(200))
    assert bootstrap(mean_of(x), 30, Draws(200)) != bootstrap(mean_of(x), 30, Draws(200, seed=1))


def test_intervals_of_accuracy_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(100):
        right = (rng.random(80) < 0.8).astype(float)
        found = bootstrap(mean_of(right), 80, Draws(200, 0.9, "percentile", seed))
        held += found.low <= 0.8 <= found.high
    assert 0.81 <= held / 100 <= 0.99  # 0.9 ± three standard deviations


def test_strata_keep_their_sizes() -> None:
    strata = np.array([0] * 9 + [1])
    found = bootstrap(lambda weights: weights[:, 9], 10, Draws(100), strata)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.findings == ("every draw gives the same score: the interval cannot tell how rare what did not happen is",)


def test_undefined_draws_are_left_out_and_told() -> None:
    found = bootstrap(lambda weights: np.where(weights[:, 0] > 0, 1 + mean_of(np.arange(5))(weights), np.nan), 5, Draws(500))
    assert found.low > 1
    assert found.findings[0].endswith("of 500 draws are left out: the score is undefined in them")
    assert int(found.findings[0].split()[0]) == pytest.approx(500 * 0.8**5, rel=0.25)


def test_share_above_zero_counts_ties_as_half() -> None:
    x = np.array([-1.0, 1.0])
    assert bootstrap(mean_of(x), 2, Draws(4000)).above == pytest.approx(0.5, abs=0.03)  # −1, 0, 0 and 1 are as likely
    assert bootstrap(mean_of(np.array([0.0, 1.0])), 2, Draws(4000)).above == pytest.approx(0.875, abs=0.03)


def case(N: int = 200, K: int = 2) -> tuple[Labels, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(K), rng.integers(K, size=N - K)])
    good, bad = (np.exp(strength * np.eye(K)[y] + rng.normal(size=(N, K))) for strength in (2.0, 1.0))
    return Labels("class", tuple(map(str, range(K))), y), good / good.sum(1, keepdims=True), bad / bad.sum(1, keepdims=True)


def score_interval(truth: Labels, predicted: np.ndarray, metric: str, draws: Draws) -> Interval:
    return score_intervals(truth, predicted, draws).found[metric]


def test_interval_of_accuracy_is_near_the_binomial_one() -> None:
    truth, good, _ = case()
    found = score_interval(truth, good, "accuracy", Draws(4000))
    share = score(truth, good)["accuracy"]
    exact = stats.binomtest(round(200 * share), 200).proportion_ci(method="wilson")
    assert found.value == share
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.012)
    assert found.findings == ()


def test_difference_is_drawn_in_pairs() -> None:
    truth, good, bad = case()
    same = difference_interval(truth, good, good, "roc_auc", Draws(200))
    assert (same.value, same.low, same.high, same.above) == (0, 0, 0, 0.5)
    found = difference_interval(truth, good, bad, "roc_auc", Draws(300))
    assert found.value == pytest.approx(score(truth, good)["roc_auc"] - score(truth, bad)["roc_auc"])
    assert 0 < found.low < found.value < found.high
    assert found.above == 1
    turned = difference_interval(truth, bad, good, "roc_auc", Draws(300, method="percentile"))
    plain = difference_interval(truth, good, bad, "roc_auc", Draws(300, method="percentile"))
    assert (turned.low, turned.high) == pytest.approx((-plain.high, -plain.low))


def test_draws_equal_to_the_difference_but_for_rounding_count_as_equal() -> None:
    truth, good, bad = case(40)
    apart = np.subtract(*(Predictions.of(truth, p).right.astype(float) for p in (good, bad)))
    exact = bootstrap(lambda weights: weights @ apart, 40, Draws(500))  # whole numbers
    found = difference_interval(truth, good, bad, "accuracy", Draws(500), [str(row + 100) for row in range(40)])
    assert (found.low, found.high) == pytest.approx((exact.low / 40, exact.high / 40), rel=1e-12)


def test_rare_class_is_a_stratum_and_told() -> None:
    y = np.array([0] * 40 + [1])
    p = np.where(y[:, None] == [0, 1], 0.7, 0.3)
    found = score_interval(Labels("class", ("a", "b"), y), p, "roc_auc", Draws(200))
    assert found.findings[0] == "each class keeps its size in every draw, as the rarest has 1 example"
    assert not any("left out" in sentence for sentence in found.findings)


def test_label_that_may_vanish_from_a_draw_is_told() -> None:
    y = np.zeros((50, 2), np.uint8)
    y[:25, 0] = y[:3, 1] = 1
    truth, p = Labels("labels", ("u", "v"), y), np.where(y, 0.8, np.linspace(0, 0.7, 50)[:, None])
    found = score_interval(truth, p, "f1_macro", Draws(200))
    assert found.findings[0] == "a label without an example in a draw is left out of the mean there, as the rarest has 3 examples"
    assert score_interval(Labels("labels", ("u",), y[:, :1]), p[:, :1], "f1_macro", Draws(200)).findings == ()


@pytest.mark.parametrize("right", [True, False])
def test_accuracy_that_every_draw_repeats_has_the_interval_of_the_binomial(right: bool) -> None:
    y = np.arange(40) % 2
    truth, p = Labels("class", ("a", "b"), y), np.where(y[:, None] == [0, 1], 0.9, 0.1)
    found = score_interval(truth, p if right else 1 - p, "accuracy", Draws(100, 0.9))
    exact = stats.binomtest(40 if right else 0, 40).proportion_ci(0.9, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=1e-12)
    assert found.above == (1.0 if right else 0.5)
    assert found.findings == ("exact by the binomial, as every draw gives the same score",)


def test_calibration_error_has_no_interval() -> None:
    truth, good, bad = case()
    assert not {"ece", "ece_mass"} & set(drawn_metrics(truth))
    assert list(score_intervals(truth, good, Draws(100)).found) == list(drawn_metrics(truth))
    with pytest.raises(OptionError, match=r"metric must be one of accuracy, .*; draws tell nothing of that one"):
        difference_interval(truth, good, bad, "ece_mass")


def test_interval_of_numbers() -> None:
    y = np.random.default_rng(0).normal(size=(100, 1))
    found = score_interval(Labels("number", ("u",), y), np.zeros((100, 1)), "mae", Draws(500))
    assert found.value == pytest.approx(np.abs(y).mean())
    assert found.low < found.value < found.high


def test_score_that_few_draws_define_has_no_interval_and_says_why() -> None:
    truth = Labels("number", ("u",), np.array([[0.0], [1.0]]))  # half of the draws hold one number twice: no R²
    found, none = score_intervals(truth, np.array([[0.2], [0.7]]), Draws(100))
    assert list(found) == ["mae", "rmse"]
    assert none == {"r2": "bootstrap: the statistic must be defined in most draws, got 45 of 100; test on more sequences."}


def test_constant_score_is_told_though_sums_are_rounded() -> None:
    y = np.arange(30) % 2
    found = score_interval(Labels("class", ("a", "b"), y), np.where(y[:, None] == [0, 1], 0.7, 0.3), "log_loss", Draws(100))
    assert found.value == pytest.approx(-np.log(0.7))
    assert found.low == found.high == pytest.approx(found.value)
    assert found.findings[-1].startswith("every draw gives the same score")


# --- groups --------------------------------------------------------------------------------------------------------------------------


def test_interval_of_groups_is_that_of_their_means_where_they_are_of_one_size() -> None:
    x = np.random.default_rng(1).exponential(size=25)
    of = np.arange(100) % 25  # the sequences of a group do not stand together
    values = x[of] + np.repeat([-3.0, -1.0, 1.0, 3.0], 25)
    found = bootstrap(mean_of(values), 100, Draws(6000, 0.9), groups=[f"p{group}" for group in of])
    theirs = stats.bootstrap((x,), np.mean, n_resamples=6000, confidence_level=0.9, method="bca", rng=np.random.default_rng(2))
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval), rel=0.03)
    assert found.findings == ("the sequences of a group are drawn together, 25 groups in every draw",)


def test_interval_of_sequences_that_are_each_a_group_is_that_without_groups() -> None:
    truth, good, bad = case()
    each = [str(row + 100) for row in range(200)]  # names in the order of the rows
    alone, groups = score_intervals(truth, good, Draws(100)), score_intervals(truth, good, Draws(100), each)
    for name, found in groups.found.items():
        assert (found.value, found.low, found.high, found.above) == pytest.approx(
            (alone.found[name].value, alone.found[name].low, alone.found[name].high, alone.found[name].above)
        )
    one, other = (difference_interval(truth, good, bad, "roc_auc", Draws(100), names) for names in (None, each))
    assert (one.low, one.high) == (other.low, other.high)


def test_interval_of_groups_that_are_right_or_wrong_as_a_whole_is_wider() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.8, 10)
    y = np.arange(400) % 2
    p = np.where((y[:, None] == [0, 1]) == right[:, None], 0.9, 0.1)
    truth, groups = Labels("class", ("a", "b"), y), np.repeat(np.arange(40), 10).astype(str).tolist()
    alone, together = (score_intervals(truth, p, Draws(500), names).found["accuracy"] for names in (None, groups))
    assert together.high - together.low == pytest.approx(np.sqrt(10) * (alone.high - alone.low), rel=0.15)
    assert alone.value == together.value == right.mean()


def test_groups_have_neither_strata_nor_the_binomial() -> None:
    y = np.array([0] * 100 + [1] * 4)
    p = np.where(y[:, None] == [0, 1], 0.7, 0.3)
    found = score_intervals(Labels("class", ("a", "b"), y), p, Draws(200), [str(row % 26) for row in range(104)]).found
    assert found["roc_auc"].findings[0] == "a class without an example in a draw is left out of the mean there, as the rarest has 4 examples"
    assert any("draws are left out: the score is undefined in them" in told for told in found["roc_auc"].findings)
    assert found["accuracy"].findings[-1].startswith("every draw gives the same score")
    assert found["accuracy"].low == found["accuracy"].high == 1


@pytest.mark.parametrize(
    ("groups", "error", "sentence"),
    [
        (["a", "b"] * 10, DataError, "bootstrap: there must be at least 20 groups of sequences, got 2; test on more."),
        (["a"] * 3, ShapeError, r"bootstrap: groups must be \[N\] = \[20\], got \[3\]; give one per sequence."),
        ([*"abcdefghijklmnopqr", None, np.nan], DataError, r"bootstrap: every sequence must have a group, got none in row 18 \(in all 2\); give it."),
    ],
)
def test_groups_that_cannot_be_are_refused(groups: list[str], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        bootstrap(mean_of(np.arange(20.0)), 20, groups=groups)
    with pytest.raises(OptionError, match="strata must be None with groups, got both"):
        bootstrap(mean_of(np.arange(20.0)), 20, strata=[0] * 20, groups=list("abcdefghijklmnopqrst"))


def test_refusals() -> None:
    with pytest.raises(DataError, match="there must be at least two sequences, got 1"):
        bootstrap(mean_of(np.ones(1)), 1)
    with pytest.raises(DataError, match="statistic must be finite on all sequences, got nan"):
        bootstrap(lambda weights: np.full(len(weights), np.nan), 3)
    with pytest.raises(DataError, match="must be defined in most draws, got"):
        bootstrap(lambda weights: np.where((weights > 0).all(1), 1.0, np.nan), 4)
    with pytest.raises(ShapeError, match=r"strata must be \[N\] = \[3\], got \[2\]"):
        bootstrap(mean_of(np.arange(3.0)), 3, strata=[0, 1])
    with pytest.raises(OptionError, match="count must be at least 100, got 10"):
        Draws(10)
    with pytest.raises(OptionError, match="confidence must be between 0 and 1"):
        Draws(confidence=1.0)
    with pytest.raises(OptionError, match="method must be one of percentile, bca, got 'basic'"):
        Draws(method="basic")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="metric must be one of"):
        difference_interval(*case(), "mae")
