"""Conformal intervals: ranks by hand, and the coverage that is promised."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation import AdaptiveConformal, ScaledQuantiles, SplitConformal
from grus.evaluation.conformal import POOLED, needed, rank

NAN = np.nan


@pytest.mark.parametrize(("coverage", "count", "expected"), [(0.9, 9, 9), (0.9, 19, 18), (0.9, 20, 19), (0.7, 9, 7), (0.8, 99, 80), (0.95, 39, 38)])
def test_rank_is_exact(coverage: float, count: int, expected: int) -> None:
    assert rank(count, coverage) == expected


@given(st.integers(1, 99))
def test_needed_is_the_least_count_whose_rank_exists(per_cent: int) -> None:
    coverage = per_cent / 100
    least = needed(coverage)
    assert rank(least, coverage) <= least
    assert least == 1 or rank(least - 1, coverage) > least - 1
    assert rank(least, coverage) == math.ceil((least + 1) * Fraction(per_cent, 100))


def test_split_radius_by_hand() -> None:
    truth = np.array([[1.0, 10.0], [-2.0, 20.0], [3.0, NAN], [-4.0, 40.0], [NAN, 30.0]])
    fitted = SplitConformal.fit(truth, np.zeros((5, 2)), 0.6)
    np.testing.assert_array_equal(fitted.radius, [3.0, 30.0])  # four truths each: rank ⌈5 · 0.6⌉ = 3
    lower, upper = fitted.interval(np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(lower, [[-2.0, -28.0]])
    np.testing.assert_array_equal(upper, [[4.0, 32.0]])


def exchangeable(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, point and a narrow interval whose width follows the noise, [count, 2]; the errors are skewed."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.5, 3, (count, 2))
    point = rng.normal(size=(count, 2))
    return point + size * (rng.exponential(size=(count, 2)) - 0.5), point, point - 0.3 * size, point + 0.3 * size


@pytest.mark.parametrize("coverage", [0.5, 0.9])
@pytest.mark.parametrize("count", [19, 60])
def test_coverage_is_as_promised_on_exchangeable_data(coverage: float, count: int) -> None:
    held = np.zeros((2, 400, 2))
    for draw in range(400):
        truth, point, lower, upper = exchangeable(draw, count + 100)
        fitted = SplitConformal.fit(truth[:count], point[:count], coverage)
        low, high = fitted.interval(point[count:])
        held[0, draw] = ((low <= truth[count:]) & (truth[count:] <= high)).mean(axis=0)
        corrected = ScaledQuantiles.fit(truth[:count], lower[:count], point[:count], upper[:count], coverage)
        low, high = corrected.interval(lower[count:], point[count:], upper[count:])
        held[1, draw] = ((low <= truth[count:]) & (truth[count:] <= high)).mean(axis=0)
    found, error = held.mean(axis=1), held.std(axis=1) / math.sqrt(400)
    for rows, scores in ((0, count), (1, count if count >= POOLED else 2 * count)):
        exact = rank(scores, coverage) / (scores + 1)  # the coverage for continuous scores, at least 1 − α
        assert exact >= coverage - 1e-12
        assert np.all(np.abs(found[rows] - exact) < 4 * error[rows])


def test_too_few_truths_name_the_number_needed() -> None:
    truth = np.zeros((19, 2))
    truth[0, 1] = NAN
    SplitConformal.fit(truth, np.zeros((19, 2)), 0.947)
    with pytest.raises(DataError, match=r"at least 19 known truths at each step ahead for a coverage of 0\.95, got 18 at step 2"):
        SplitConformal.fit(truth, np.zeros((19, 2)), 0.95)
    with pytest.raises(DataError, match=r"ScaledQuantiles: calibration must have at least 99 known truths"):
        ScaledQuantiles.fit(truth, truth * 0, truth * 0, truth * 0, 0.99)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0])
def test_coverage_must_be_a_share(coverage: float) -> None:
    with pytest.raises(OptionError, match="coverage must be between 0 and 1"):
        SplitConformal.fit(np.zeros((9, 1)), np.zeros((9, 1)), coverage)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"SplitConformal: calibration must be \[N, H\], got \[9\]"):
        SplitConformal.fit(np.zeros(9), np.zeros(9), 0.5)
    with pytest.raises(ShapeError, match=r"a forecast must be \[..., H\] with H = 1 as in calibration, got \[3\]"):
        SplitConformal.fit(np.zeros((9, 1)), np.zeros((9, 1)), 0.5).interval([1.0, 2.0, 3.0])


def test_adaptive_starts_as_split_and_moves_by_hand() -> None:
    truth = np.arange(1.0, 10.0)[:, None] * [1.0, 2.0]
    start = AdaptiveConformal.fit(truth, np.zeros((9, 2)), 0.8, rate=0.1)
    np.testing.assert_array_equal(start.radius, SplitConformal.fit(truth, np.zeros((9, 2)), 0.8).radius)
    np.testing.assert_array_equal(start.radius, [8.0, 16.0])
    after = start.update([8.5, NAN], [0.0, 0.0])  # missed at the first step, not known at the second
    np.testing.assert_allclose(after.alpha, [0.2 + 0.1 * (0.2 - 1), 0.2])
    np.testing.assert_array_equal(after.radius, [9.0, 16.0])  # of ten scores the one of rank ⌈11 · 0.88⌉ = 10
    np.testing.assert_array_equal(start.alpha, [0.2, 0.2])
    covered = start.update([8.0, 0.0], [0.0, 0.0])
    np.testing.assert_allclose(covered.alpha, [0.22, 0.22])


def test_adaptive_is_infinite_below_zero_and_nothing_above_one() -> None:
    start = AdaptiveConformal.fit(np.arange(1.0, 10.0)[:, None], np.zeros((9, 1)), 0.8, rate=0.5)
    below = start.update([99.0], [0.0])  # α = 0.2 + 0.5 · (0.2 − 1) = −0.2
    assert below.radius.tolist() == [math.inf]
    assert [float(end[0]) for end in below.interval([0.0])] == [-math.inf, math.inf]
    above = AdaptiveConformal(0.8, 0.5, np.array([1.05]), start.scores)
    assert above.radius.tolist() == [0.0]
    np.testing.assert_allclose(above.update([0.0], [0.0]).alpha, [1.05 + 0.5 * (0.2 - 1)])


@given(st.lists(st.floats(-1e3, 1e3), min_size=40, max_size=120), st.sampled_from([0.5, 0.8, 0.9]), st.sampled_from([0.05, 0.2]))
@settings(max_examples=40, deadline=None)
def test_adaptive_misses_as_often_as_promised_whatever_comes(truths: list[float], coverage: float, rate: float) -> None:
    state = AdaptiveConformal.fit(np.arange(1.0, 10.0)[:, None], np.zeros((9, 1)), coverage, rate)
    missed = 0
    for truth in truths:
        missed += bool(abs(truth) > state.radius[0] or state.alpha[0] >= 1)
        state = state.update([truth], [0.0])
    bound = (max(coverage, 1 - coverage) + rate) / (rate * len(truths))
    assert abs(missed / len(truths) - (1 - coverage)) <= bound + 1e-9


def test_adaptive_follows_a_drift_that_split_does_not() -> None:
    noise = np.random.default_rng(0).normal(size=(1300, 1)) * np.r_[np.ones(300), np.linspace(1, 5, 1000)][:, None]
    split = SplitConformal.fit(noise[:300], np.zeros((300, 1)), 0.9)
    state = AdaptiveConformal.fit(noise[:300], np.zeros((300, 1)), 0.9, window=200)
    held = np.zeros(1000)
    for step, truth in enumerate(noise[300:]):
        held[step] = abs(truth[0]) <= state.radius[0]
        state = state.update(truth, [0.0])
    assert state.scores.shape == (200, 1)
    assert (np.abs(noise[300:, 0]) <= split.radius[0]).mean() < 0.6
    assert held.mean() == pytest.approx(0.9, abs=0.02)


def test_adaptive_options_are_checked() -> None:
    calibration = np.zeros((9, 1)), np.zeros((9, 1))
    with pytest.raises(OptionError, match="rate must be between 0 and 1, both excluded, got 0"):
        AdaptiveConformal.fit(*calibration, 0.8, rate=0)
    with pytest.raises(OptionError, match=r"window must be at least 4 for a coverage of 0\.8, got 3"):
        AdaptiveConformal.fit(*calibration, 0.8, window=3)


# --- in the model's own half-widths ----------------------------------------------------------------------------------------------------
def test_scaled_quantiles_by_hand() -> None:
    """Scores 0.5, 1, 2, 3 above and below intervals of half-widths 2 and 4: ⌈5 × 0.8⌉ is the fourth, ⌈5 × 0.5⌉ the third."""
    truth = np.array([[11.0], [6.0], [14.0], [-2.0]])
    lower, median, upper = np.full((4, 1), 6.0), np.full((4, 1), 10.0), np.full((4, 1), 12.0)
    for coverage, factor in ((0.8, 3.0), (0.5, 2.0)):
        found = ScaledQuantiles.fit(truth, lower, median, upper, coverage)
        np.testing.assert_allclose(found.factor, [factor])
        np.testing.assert_allclose(found.interval([6.0], [10.0], [12.0]), [[10 - 4 * factor], [10 + 2 * factor]])


@pytest.mark.parametrize("windows", [12, 400])
def test_scaled_quantiles_cover_each_step_with_many_windows_and_all_together_with_few(windows: int) -> None:
    draw = np.random.default_rng(5)
    scale = np.array([1.0, 3.0])  # the model is right about the first step and three times too sure of the second
    truth, ones = draw.normal(size=(windows, 2)) * scale, np.ones((windows, 2))
    found = ScaledQuantiles.fit(truth, -1.2816 * ones, 0 * ones, 1.2816 * ones, 0.8)
    assert (found.factor[0] == found.factor[1]) == (windows < 50)
    low, high = found.interval(-1.2816 * np.ones(2), np.zeros(2), 1.2816 * np.ones(2))
    later = draw.normal(size=(4000, 2)) * scale
    covered = ((later >= low) & (later <= high)).mean(axis=0)
    if windows >= 50:
        np.testing.assert_allclose(covered, [0.8, 0.8], atol=0.05)
    assert abs(covered.mean() - 0.8) < (0.05 if windows >= 50 else 0.15)


def test_scaled_quantiles_without_a_width_are_no_division_by_zero() -> None:
    flat = np.full((5, 1), 3.0)
    found = ScaledQuantiles.fit(np.arange(5.0)[:, None], flat, flat, flat, 0.5)
    assert np.isfinite(found.factor).all()
    np.testing.assert_array_equal(found.interval([3.0], [3.0], [3.0]), [[3.0], [3.0]])
