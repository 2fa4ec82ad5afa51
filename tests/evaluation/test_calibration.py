"""Reliability by hand; temperatures on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import calibration_curve

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.calibration import Temperature, reliability
from grus.evaluation.scores import score


def test_reliability_by_hand() -> None:
    found = reliability([0, 1, 1, 0, 1], [0.1, 0.2, 0.25, 0.9, 1.0], bins=4)
    np.testing.assert_allclose(found.told, [(0.1 + 0.2 + 0.25) / 3, 0.95])  # 0.25 is still in (0, 0.25]
    np.testing.assert_allclose(found.true, [2 / 3, 0.5])
    assert found.count.tolist() == [3, 2]
    assert found.error == pytest.approx(3 / 5 * (2 / 3 - 0.55 / 3) + 2 / 5 * 0.45)
    assert found.worst == pytest.approx(2 / 3 - 0.55 / 3)


def test_reliability_by_mass_by_hand() -> None:
    found = reliability([0, 1, 1, 0, 1, 1], [0.1, 0.1, 0.1, 0.2, 0.8, 0.9], bins=3, by="mass")
    assert found.count.tolist() == [3, 1, 2]  # equal ones stay together
    np.testing.assert_allclose(found.told, [0.1, 0.2, 0.85])
    np.testing.assert_allclose(found.true, [2 / 3, 0, 1])


@pytest.mark.parametrize(("by", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_reliability_agrees_with_scikit_learn(by: str, strategy: str) -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1000)
    y = (rng.random(1000) < p**2).astype(float)
    true, told = calibration_curve(y, p, n_bins=10, strategy=strategy)
    found = reliability(y, p, 10, by)  # type: ignore[arg-type]
    tolerance = 1e-12 if by == "width" else 0.02  # their quantiles lie between two probabilities
    np.testing.assert_allclose(found.true, true, atol=tolerance)
    np.testing.assert_allclose(found.told, told, atol=tolerance)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.sampled_from(["width", "mass"]), st.integers(0, 1000))
def test_reliability_keeps_every_sequence(N: int, bins: int, by: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = np.round(rng.random(N), 1), rng.integers(2, size=N)
    found = reliability(y, p, bins, by)  # type: ignore[arg-type]
    assert found.count.sum() == N
    assert len(found.count) <= bins
    assert found.told @ found.count == pytest.approx(p.sum())
    assert found.true @ found.count == pytest.approx(y.sum())
    order = rng.permutation(N)
    assert reliability(y[order], p[order], bins, by).error == pytest.approx(found.error)  # type: ignore[arg-type]


def test_calibration_error_of_several_classes_is_of_the_one_chosen() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]])
    found = score(Labels("class", ("a", "b", "c"), np.array([0, 0, 2])), p)
    assert found["ece"] == pytest.approx((0.5 + 0.8 + 0.1) / 3)


def known_case(N: int, K: int, seed: int = 0) -> tuple[Labels, np.ndarray]:
    """Labels of which these logits are the truth."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(N, K))
    y = (softmax(z, 1).cumsum(1) < rng.random((N, 1))).sum(1).clip(0, K - 1)
    return Labels("class", tuple(map(str, range(K))), y.astype(np.int64)), z


@pytest.mark.parametrize("K", [2, 5])
def test_logits_three_times_too_large_need_a_temperature_of_three(K: int) -> None:
    truth, z = known_case(20_000, K)
    once, thrice = Temperature.fit(truth, z), Temperature.fit(truth, 3 * z)
    assert once.values[0] == pytest.approx(1, abs=0.03)
    assert thrice.values[0] == pytest.approx(3 * once.values[0], rel=1e-3)
    assert Temperature.fit(truth, 3 * z, spread=np.inf).values[0] == pytest.approx(3 * Temperature.fit(truth, z, spread=np.inf).values[0], rel=1e-6)
    assert thrice.findings == ()
    before, after = (score(truth, softmax(each, 1)) for each in (3 * z, thrice.apply(3 * z)))
    assert before["ece"] > 0.1 > 0.02 > after["ece"]
    assert before["accuracy"] == after["accuracy"]


@pytest.mark.parametrize("spread", [0.2, 0.5, np.inf])
def test_temperature_is_the_least_log_loss_and_prior_by_another_search(spread: float) -> None:
    truth, z = known_case(60, 3, seed=3)
    z = z * 1.7 + 0.4

    def loss(T: float) -> float:
        return -float(log_softmax(z / T, 1)[np.arange(60), truth.values].sum()) + (np.log(T) / spread) ** 2 / 2

    found = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert Temperature.fit(truth, z, spread=spread).values[0] == pytest.approx(found.x, rel=1e-5)


def test_one_sequence_hardly_moves_the_temperature_and_many_do() -> None:
    """One logit of 1 that is right: the slope of ln(1 + e^-s) by ln s is -s / (1 + e^s), that of the prior ln s / spread²."""
    one = Temperature.fit(Labels("labels", ("x",), np.ones((1, 1), np.uint8)), [[1.0]]).values[0]
    assert 0.9 < one < 1
    assert (1 / one) / (1 + np.exp(1 / one)) == pytest.approx(-np.log(one) / 0.25, rel=1e-5)
    truth, z = known_case(20, 2, seed=1)
    few = Temperature.fit(truth, z / 10).values[0]
    assert 2 * Temperature.fit(truth, z / 10, spread=np.inf).values[0] < few < 1
    many, logits = known_case(5000, 2)
    assert Temperature.fit(many, logits / 10).values[0] == pytest.approx(0.1, rel=0.05)


def test_labels_have_one_temperature_or_one_each() -> None:
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(40_000, 2))
    truth = Labels("labels", ("x", "y"), (rng.random(z.shape) < expit(z)).astype(np.uint8))
    each = Temperature.fit(truth, z * [3, 0.5], each=True)
    assert each.values == pytest.approx((3, 0.5), rel=0.05)
    np.testing.assert_allclose(each.apply(z * [3, 0.5]), z * [3 / each.values[0], 0.5 / each.values[1]])
    one = Temperature.fit(truth, 3 * z)
    assert one.values == pytest.approx((3,), rel=0.05)
    with pytest.raises(ShapeError, match=r"logits must be \[N, K\] with K = 2 labels, got \[4, 3\]"):
        each.apply(np.zeros((4, 3)))


def test_bounds_are_reached_and_told() -> None:
    truth = Labels("class", ("a", "b"), np.array([0, 1, 1]))
    right = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    sure = Temperature.fit(truth, right / 1e9, spread=np.inf)
    assert sure.values == (0.01,)
    assert "T is at its lower bound 0.01" in sure.findings[0]
    wrong = Temperature.fit(truth, -right, spread=np.inf)
    assert wrong.values == (100,)
    assert "T is at its upper bound 100" in wrong.findings[0]
    labels = Labels("labels", ("x", "y"), np.array([[1, 0], [0, 1]], np.uint8))
    told = Temperature.fit(labels, [[1e-9, 2.0], [-1e-9, 2.0]], each=True, spread=np.inf).findings
    assert [sentence.split(" bound ")[0] for sentence in told] == ["T of label 'x' is at its lower", "T of label 'y' is at its upper"]
    assert Temperature.fit(truth, right).findings == Temperature.fit(truth, -right).findings == ()


@pytest.mark.parametrize("T", [0.0102, 0.0108, 98.0])
def test_a_temperature_next_to_a_bound_is_found(T: float) -> None:
    truth = Labels("class", ("a", "b"), np.array([0, 0, 0, 1]))
    found = Temperature.fit(truth, np.outer(np.ones(4), [np.log(3) * T, 0]), spread=np.inf)  # three in four are a
    assert found.values == pytest.approx((T,), rel=1e-6)
    assert found.findings == ()


@pytest.mark.parametrize("spread", [0.5, np.inf])
def test_logits_that_are_equal_leave_the_temperature_at_one(spread: float) -> None:
    found = Temperature.fit(Labels("class", ("a", "b"), np.array([0, 1, 1])), np.full((3, 2), 7.0), spread=spread)
    assert found.values == pytest.approx((1.0,), abs=1e-6)
    assert found.findings == ()


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, (6, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)), st.floats(0.05, 20))
def test_temperature_never_changes_what_is_chosen(z: np.ndarray, T: float) -> None:
    np.testing.assert_array_equal(Temperature((T,)).apply(z).argmax(1), z.argmax(1))


def test_refusals() -> None:
    truth = Labels("class", ("a", "b"), np.array([0, 1]))
    with pytest.raises(OptionError, match="each must be False for labels of kind 'class'"):
        Temperature.fit(truth, np.eye(2), each=True)
    with pytest.raises(OptionError, match="spread must be above 0, got 0"):
        Temperature.fit(truth, np.eye(2), spread=0)
    with pytest.raises(OptionError, match="labels must be classes or labels, got numbers"):
        Temperature.fit(Labels("number", ("u",), np.ones((2, 1))), np.ones((2, 1)))
    with pytest.raises(ShapeError, match=r"logits must be \[N, K\] = \[2, 2\], got \[2, 3\]"):
        Temperature.fit(truth, np.zeros((2, 3)))
    with pytest.raises(DataError, match="logits must be finite numbers"):
        Temperature.fit(truth, np.full((2, 2), np.nan))
    with pytest.raises(OptionError, match="bins must be at least 1 and by one of width, mass, got 0 and 'width'"):
        reliability([1], [0.5], bins=0)
    with pytest.raises(ShapeError, match=r"must be \[N\] with N ≥ 1, got \[1\] and \[2\]"):
        reliability([1], [0.5, 0.5])
    with pytest.raises(DataError, match="outcomes must be 0 or 1"):
        reliability([2], [0.5])
