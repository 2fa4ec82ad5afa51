"""Bootstrap intervals against SciPy's, by hand and by how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.bootstrap import Draws, bootstrap, difference_interval, drawn_metrics, score_interval
from grus.evaluation.scores import score


def mean_of(values: np.ndarray):  # noqa: ANN201
    return lambda index: float(values[index].mean())


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [np.mean, np.var])
def test_interval_agrees_with_scipy(method: str, statistic) -> None:  # noqa: ANN001
    x = np.random.default_rng(1).exponential(size=50)
    ours = bootstrap(lambda index: float(statistic(x[index])), 50, Draws(6000, 0.9, method))  # type: ignore[arg-type]
    theirs = stats.bootstrap((x,), statistic, n_resamples=6000, confidence_level=0.9, method=method, rng=np.random.default_rng(2))
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=0.04)
    assert ours.value == pytest.approx(statistic(x))


@pytest.mark.parametrize("strata", [None, [0] * 2000 + [1] * 530])
def test_groups_of_the_jackknife_correct_as_much_as_leaving_out_one_by_one(monkeypatch: pytest.MonkeyPatch, strata: list[int] | None) -> None:
    x = np.random.default_rng(0).lognormal(sigma=1.2, size=2530)  # above 1000, and no multiple of it
    plain = bootstrap(mean_of(x), 2530, Draws(2000, method="percentile"), strata)
    groups = bootstrap(mean_of(x), 2530, Draws(2000), strata)
    monkeypatch.setattr("grus.evaluation.bootstrap.GROUPS", 2530)
    single = bootstrap(mean_of(x), 2530, Draws(2000), strata)
    for end in ("low", "high"):
        assert abs(getattr(groups, end) - getattr(single, end)) < 0.4 * abs(getattr(plain, end) - getattr(single, end))


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
    found = bootstrap(lambda index: float((index == 9).sum()), 10, Draws(100), strata)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.findings == ("every draw gives the same score: the interval cannot tell how rare what did not happen is",)


def test_undefined_draws_are_left_out_and_told() -> None:
    found = bootstrap(lambda index: 1 + index.mean() if 0 in index else np.nan, 5, Draws(500))
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
    for interval in (lambda: score_interval(truth, good, "ece"), lambda: difference_interval(truth, good, bad, "ece_mass")):
        with pytest.raises(OptionError, match=r"metric must be one of accuracy, .*; draws tell nothing of that one"):
            interval()


def test_interval_of_numbers() -> None:
    y = np.random.default_rng(0).normal(size=(100, 1))
    found = score_interval(Labels("number", ("u",), y), np.zeros((100, 1)), "mae", Draws(500))
    assert found.value == pytest.approx(np.abs(y).mean())
    assert found.low < found.value < found.high


def test_refusals() -> None:
    with pytest.raises(DataError, match="there must be at least two sequences, got 1"):
        bootstrap(mean_of(np.ones(1)), 1)
    with pytest.raises(DataError, match="statistic must be finite on all 3 sequences, got nan"):
        bootstrap(lambda index: np.nan, 3)
    with pytest.raises(DataError, match="must be defined in most draws, got"):
        bootstrap(lambda index: 1.0 if len(set(index.tolist())) == 4 else np.nan, 4)
    with pytest.raises(ShapeError, match=r"strata must be \[N\] = \[3\], got \[2\]"):
        bootstrap(mean_of(np.arange(3.0)), 3, strata=[0, 1])
    with pytest.raises(OptionError, match="count must be at least 100, got 10"):
        Draws(10)
    with pytest.raises(OptionError, match="confidence must be between 0 and 1"):
        Draws(confidence=1.0)
    with pytest.raises(OptionError, match="method must be one of percentile, bca, got 'basic'"):
        Draws(method="basic")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="metric must be one of"):
        score_interval(case()[0], case()[1], "mae")
