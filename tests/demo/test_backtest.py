from __future__ import annotations

import numpy as np
import pytest

from grus.demo.backtest import BASELINES, Backtest, baseline, drift, interval, last_value, run_backtest, seasonal_growth, seasonal_naive
from grus.demo.data import Series


def weekly(values: np.ndarray) -> Series:
    return Series(np.datetime64("2000-01-01", "D") + 7 * np.arange(len(values)).astype("timedelta64[D]"), values)


def test_last_value_of_a_series_that_ends_in_a_gap() -> None:
    np.testing.assert_array_equal(last_value(np.array([1.0, 5.0, np.nan]), 3), [5.0, 5.0, 5.0])


def test_seasonal_naive_repeats_the_last_year() -> None:
    past = np.arange(110.0)
    np.testing.assert_array_equal(seasonal_naive(past, 54), [*range(58, 110), 58, 59])


def test_drift_continues_the_line_from_first_to_last() -> None:
    np.testing.assert_allclose(drift(np.array([1.0, 9.0, 7.0]), 2), [10.0, 13.0])


def test_seasonal_growth_is_exact_for_a_season_on_a_line() -> None:
    weeks = np.arange(208.0)
    series = 0.02 * weeks + np.sin(2 * np.pi * weeks / 52)
    np.testing.assert_allclose(seasonal_growth(series[:104], 104), series[104:], atol=1e-12)


def test_mae_counts_only_measured_weeks_of_the_bucket() -> None:
    test = Backtest([0, 4], np.zeros((2, 3)), np.array([[1.0, -2.0, np.nan], [3.0, np.nan, 7.0]]))
    assert test.mae(1, 1) == 2.0
    assert test.mae(2, 3) == 4.5
    assert test.mae() == 13 / 4
    assert test.coverage(np.array([2.0, 2.0, 2.0])) == 0.5


def test_interval_is_the_quantile_of_near_residuals() -> None:
    truth = np.abs(np.arange(-50.0, 51.0))[:, None] * np.array([[1.0, 10.0]])
    half = interval(Backtest(list(range(101)), np.zeros((101, 2)), truth), near=0)
    np.testing.assert_allclose(half, [40.0, 400.0])


def test_run_backtest_stops_where_truth_ends() -> None:
    test = run_backtest(baseline("last value", 5), weekly(np.arange(20.0)), first=10, horizon=5, every=2)
    assert test.origins == [10, 12, 14]
    np.testing.assert_array_equal(test.truth[-1], [14, 15, 16, 17, 18])
    np.testing.assert_array_equal(test.forecasts[:, 0], [9, 11, 13])


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_sees_nothing_after_the_origin(name: str) -> None:
    values = np.random.default_rng(0).normal(size=150)
    changed = values.copy()
    changed[120:] = 1e6
    forecasts = baseline(name, 8)(weekly(values), [110, 120])
    np.testing.assert_array_equal(baseline(name, 8)(weekly(changed), [110, 120]), forecasts)
