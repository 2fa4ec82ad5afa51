"""Metrics against numbers worked out by hand, against scikit-learn, and where truths are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_pinball_loss, root_mean_squared_error

from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation import coverage, crps_quantiles, mae, mape, mase, owa, pinball, rmse, seasonal_scale, smape, width, winkler

NAN = np.nan
TRUTH = np.array([[1.0, 2.0, NAN], [4.0, -5.0, 10.0]])
FORECAST = np.array([[2.0, 2.0, 9.0], [1.0, -4.0, 15.0]])

SIMPLE: dict[str, tuple[Callable[..., Any], float, list[float]]] = {
    # errors 1, 0 | 3, 1, 5; their terms by hand, over all and by step ahead
    "mae": (mae, 10 / 5, [2.0, 0.5, 5.0]),
    "rmse": (rmse, np.sqrt(36 / 5), [np.sqrt(5), np.sqrt(0.5), 5.0]),
    "mape": (mape, 100 * (1 + 0 + 3 / 4 + 1 / 5 + 1 / 2) / 5, [100 * 7 / 8, 10.0, 50.0]),
    "smape": (smape, 200 * (1 / 3 + 0 + 3 / 5 + 1 / 9 + 5 / 25) / 5, [200 * (1 / 3 + 3 / 5) / 2, 100 / 9, 40.0]),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_metric_leaves_missing_truths_out(name: str) -> None:
    metric, whole, by_step = SIMPLE[name]
    assert metric(TRUTH, FORECAST) == pytest.approx(whole)
    np.testing.assert_allclose(metric(TRUTH, FORECAST, axis=0), by_step)


@pytest.mark.parametrize(("ours", "theirs"), [(mae, mean_absolute_error), (rmse, root_mean_squared_error)])
def test_metric_agrees_with_scikit_learn(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    truth, forecast = rng.normal(size=(2, 40))
    assert ours(truth, forecast) == pytest.approx(theirs(truth, forecast), rel=1e-13)


def test_mape_is_scikit_learns_in_per_cent() -> None:
    rng = np.random.default_rng(1)
    truth, forecast = rng.uniform(1, 2, size=(2, 40))
    assert mape(truth, forecast) == pytest.approx(100 * mean_absolute_percentage_error(truth, forecast), rel=1e-13)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_pinball_agrees_with_scikit_learn(level: float) -> None:
    rng = np.random.default_rng(2)
    truth, forecast = rng.normal(size=(2, 40))
    assert pinball(truth, forecast, level) == pytest.approx(mean_pinball_loss(truth, forecast, alpha=level), rel=1e-13)


def test_pinball_weighs_the_two_sides() -> None:
    assert pinball([3.0], [1.0], 0.9) == pytest.approx(1.8)
    assert pinball([1.0], [3.0], 0.9) == pytest.approx(0.2)


def test_smape_of_nothing_beside_nothing_is_zero() -> None:
    assert smape([0.0, 1.0], [0.0, 3.0]) == pytest.approx(200 * 0.5 / 2)
    assert smape([0.0], [1.0]) == 200.0


@given(arrays(float, 7, elements=st.floats(-1e6, 1e6)), arrays(float, 7, elements=st.floats(-1e6, 1e6)))
def test_smape_is_symmetric_and_bounded(truth: np.ndarray[Any, Any], forecast: np.ndarray[Any, Any]) -> None:
    assert smape(truth, forecast) == pytest.approx(smape(forecast, truth))
    assert 0 <= smape(truth, forecast) <= 200 + 1e-9


def test_seasonal_scale_uses_known_pairs() -> None:
    # pairs two steps apart: (1, 4), (nan, 2), (4, nan), (2, 7) → 3 and 5
    assert seasonal_scale([1.0, NAN, 4.0, 2.0, NAN, 7.0], 2) == 4.0
    assert np.isnan(seasonal_scale([1.0, 2.0], 2))
    np.testing.assert_array_equal(seasonal_scale([[NAN, 1.0, 3.0], [0.0, 5.0, 5.0]], 1), [2.0, 2.5])


def test_mase_divides_each_series_by_its_own_scale() -> None:
    train = [[0.0, 2.0, 4.0], [0.0, 10.0, 20.0]]
    assert mase([[5.0, 5.0], [5.0, NAN]], [[6.0, 8.0], [10.0, 0.0]], train, 1) == pytest.approx((1 / 2 + 3 / 2 + 5 / 10) / 3)


def test_mase_of_the_one_step_naive_forecast_in_sample_is_one() -> None:
    train = np.random.default_rng(3).normal(size=30).cumsum()
    assert mase(train[1:], train[:-1], train, 1) == pytest.approx(1.0)


def test_mase_refuses_a_constant_history() -> None:
    with pytest.raises(DataError, match="mase: the training part must have two different known values 1 steps apart, got a scale of 0"):
        mase([1.0], [2.0], [3.0, 3.0], 1)


def test_owa_is_the_mean_of_the_two_ratios() -> None:
    truth, forecast, naive2, train = [[10.0, 10.0]], [[11.0, 9.0]], [[12.0, 12.0]], [[8.0, 9.0, 10.0]]
    ratios = (200 * (1 / 21 + 1 / 19) / 2) / (200 * 2 / 22), 1 / 2
    assert owa(truth, forecast, naive2, train, 1) == pytest.approx(sum(ratios) / 2)
    assert owa(truth, naive2, naive2, train, 1) == pytest.approx(1.0)


def test_owa_refuses_a_perfect_naive2() -> None:
    with pytest.raises(DataError, match="owa: Naive2 must have an error"):
        owa([[10.0]], [[11.0]], [[10.0]], [[8.0, 9.0]], 1)


def test_crps_is_twice_the_mean_pinball() -> None:
    # y = 2; pinball at 0.1 of 1: 0.1, at 0.5 of 2: 0, at 0.9 of 4: 0.2
    assert crps_quantiles([2.0], [[1.0, 2.0, 4.0]], (0.1, 0.5, 0.9)) == pytest.approx(2 * 0.3 / 3)


def test_crps_of_a_point_is_its_absolute_error() -> None:
    levels = tuple(np.linspace(0.005, 0.995, 100))
    assert crps_quantiles([5.0], np.full((1, 100), 2.0), levels) == pytest.approx(3.0)


def test_crps_nears_the_closed_form_of_the_uniform() -> None:
    # the CRPS of the uniform distribution on [0, 1] at y is y² − y + 1/3
    levels = tuple((np.arange(1000) + 0.5) / 1000)
    assert crps_quantiles([0.3], np.array([levels]), levels) == pytest.approx(0.09 - 0.3 + 1 / 3, abs=1e-5)


def test_interval_metrics_by_hand() -> None:
    truth, lower, upper = [1.0, 5.0, NAN, 9.0], [1.0, 0.0, 0.0, 4.0], [2.0, 4.0, 100.0, 8.0]
    assert coverage(truth, lower, upper) == pytest.approx(1 / 3)
    assert width(truth, lower, upper) == pytest.approx((1 + 4 + 4) / 3)
    assert winkler(truth, lower, upper, 0.8) == pytest.approx((1 + (4 + 10 * 1) + (4 + 10 * 1)) / 3)


def test_winkler_is_the_pinball_loss_of_both_ends() -> None:
    rng = np.random.default_rng(4)
    truth, lower = rng.normal(size=(2, 50))
    upper = lower + rng.uniform(size=50)
    both = pinball(truth, lower, 0.1) + pinball(truth, upper, 0.9)
    assert winkler(truth, lower, upper, 0.8) == pytest.approx(2 / 0.2 * both)


def test_slice_without_truth_is_nan_and_nothing_at_all_is_an_error() -> None:
    np.testing.assert_array_equal(mae([[NAN, 1.0]], [[0.0, 0.0]], axis=0), [NAN, 1.0])
    with pytest.raises(DataError, match="truth must have a known value, got 2 of which none is known"):
        mae([[NAN, NAN]], [[0.0, 0.0]], axis=0)


def test_unknown_forecast_beside_a_known_truth_is_refused() -> None:
    with pytest.raises(DataError, match=r"rmse: .* got a forecast of nan at \[1, 0\]"):
        rmse([[1.0], [1.0]], [[1.0], [NAN]])
    assert mae([1.0, NAN], [2.0, NAN]) == 1.0


def test_infinite_truth_is_refused() -> None:
    with pytest.raises(DataError, match=r"mae: .* got a truth of inf at \[0\]"):
        mae([np.inf], [1.0])


def test_mape_refuses_a_truth_of_zero() -> None:
    with pytest.raises(DataError, match=r"mape: truth must not be 0, got 0 at \[1\]"):
        mape([1.0, 0.0], [1.0, 1.0])


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeError, match=r"mae: forecast must be \[2, 1\] as the truth is, got \[2\]"):
        mae([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(ShapeError, match=r"crps_quantiles: quantiles must be \[..., H, Q\], Q = 2 levels, got \[1, 3\]"):
        crps_quantiles([1.0], [[1.0, 2.0, 3.0]], (0.1, 0.9))


@pytest.mark.parametrize("level", [0.0, 1.0, 50])
def test_level_must_be_a_share(level: float) -> None:
    with pytest.raises(OptionError, match="a level must be between 0 and 1"):
        pinball([1.0], [1.0], level)
    with pytest.raises(OptionError, match="a level must be between 0 and 1"):
        winkler([1.0], [1.0], [1.0], level)


def test_season_must_be_at_least_one() -> None:
    with pytest.raises(OptionError, match="season must be at least 1, got 0"):
        seasonal_scale([1.0, 2.0], 0)
