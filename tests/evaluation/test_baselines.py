"""Baselines against values worked out by hand, against the libraries, and for what they may not see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from statsforecast.models import AutoARIMA, AutoETS
from statsmodels.tsa.stattools import acf

from grus.errors import DataError, OptionError
from grus.evaluation import Baseline, Drift, LastValue, Mean, ProbabilisticBaseline, SeasonalDrift, SeasonalNaive, standard
from grus.evaluation.baselines import interpolated
from grus.evaluation.fitted import AutoArima, Ets, fourier
from grus.evaluation.naive2 import CRITICAL, Naive2, seasonal

NAN = np.nan
GAPPY = np.array([NAN, 2.0, NAN, 4.0, 8.0, 6.0, NAN])

BY_HAND: list[tuple[Baseline, list[float]]] = [
    (LastValue(), [6.0, 6.0, 6.0, 6.0]),
    (Mean(), [5.0, 5.0, 5.0, 5.0]),
    (Drift(), [8.0, 9.0, 10.0, 11.0]),  # from 2 at step 1 to 6 at step 5, then two steps on
    (SeasonalNaive(), [8.0, 6.0, 4.0, 8.0]),  # season 3: steps 7, 8, 9 are of the phases of 4, 5, 3
    # in the last season (steps 4 to 6) 8 − 2 is known, 6 − nan is not, nan − 4 is not; step 9's value is from two seasons back
    (SeasonalDrift(), [14.0, 12.0, 16.0, 20.0]),
]


@pytest.mark.parametrize(("baseline", "expected"), BY_HAND, ids=lambda value: getattr(value, "name", ""))
def test_baseline_by_hand(baseline: Baseline, expected: list[float]) -> None:
    np.testing.assert_array_equal(baseline.forecast(GAPPY, 4, 3), expected)


def waves(length: int, season: int, noise: float = 0.3) -> NDArray[np.float64]:
    steps = np.arange(length)
    return 20 + 0.02 * steps + 4 * np.sin(2 * np.pi * steps / season) + noise * np.random.default_rng(0).normal(size=length)


EVERY: list[Baseline] = [*standard(12), Mean(), Naive2(), Ets(), AutoArima()]


@pytest.mark.parametrize("baseline", EVERY, ids=lambda baseline: baseline.name)
def test_baseline_leaves_the_history_as_it_was_and_forecasts_every_step(baseline: Baseline) -> None:
    history = waves(60, 12)
    history[[0, 5, 31, 59]] = NAN
    before = history.copy()
    found = baseline.forecast(history, 15, 12)
    assert found.shape == (15,)
    assert np.all(np.isfinite(found))
    np.testing.assert_array_equal(history, before)


@pytest.mark.parametrize("baseline", EVERY, ids=lambda baseline: baseline.name)
def test_baseline_refuses_a_history_of_nothing(baseline: Baseline) -> None:
    with pytest.raises(DataError, match=f"{baseline.name}: history must have at least"):
        baseline.forecast(np.full(30, NAN), 3, 12)


VALUES = arrays(float, st.integers(24, 40), elements=st.floats(-100, 100))


@given(VALUES, st.floats(-5, 5), st.floats(0.1, 10))
def test_plain_rules_follow_shift_and_scale(history: NDArray[np.float64], shift: float, scale: float) -> None:
    for baseline in (*standard(12), Mean()):
        plain = baseline.forecast(history, 14, 12)
        np.testing.assert_allclose(baseline.forecast(scale * history + shift, 14, 12), scale * plain + shift, rtol=1e-9, atol=1e-6)


def test_drift_needs_two_values() -> None:
    with pytest.raises(DataError, match="drift: history must have at least 2 known values, got 1"):
        Drift().forecast(np.array([NAN, 1.0, NAN]), 2, 1)


def test_seasonal_naive_needs_every_phase() -> None:
    with pytest.raises(
        DataError, match="seasonal naive: history must have a known value at every phase of the season of 3, got none for step 2 ahead"
    ):
        SeasonalNaive().forecast(np.array([1.0, NAN, 3.0]), 2, 3)
    np.testing.assert_array_equal(SeasonalNaive().forecast(np.array([1.0, NAN, 3.0]), 1, 3), [1.0])


def test_seasonal_drift_needs_two_seasons() -> None:
    with pytest.raises(DataError, match="seasonal drift: history must have two seasons of 4 steps, got 7 steps"):
        SeasonalDrift().forecast(np.arange(7.0), 2, 4)
    with pytest.raises(DataError, match="seasonal drift: the last season beside the one before must have at least 1 known value, got 0"):
        SeasonalDrift().forecast(np.array([1.0, 2.0, NAN, NAN]), 2, 2)


def test_seasonal_drift_continues_a_season_on_a_line() -> None:
    steps = np.arange(50)
    series = 0.5 * steps + np.cos(2 * np.pi * steps / 7)
    np.testing.assert_allclose(SeasonalDrift().forecast(series[:30], 20, 7), series[30:], atol=1e-12)


def test_standard_has_seasonal_rules_where_there_is_a_season() -> None:
    assert [baseline.name for baseline in standard(1)] == ["last value", "drift"]
    assert [baseline.name for baseline in standard(7)] == ["last value", "drift", "seasonal naive", "seasonal drift"]
    with pytest.raises(OptionError, match="standard: season must be at least 1, got 0"):
        standard(0)


def test_test_of_seasonality_is_that_of_m4() -> None:
    values = waves(60, 12, noise=3.0)
    ratios = acf(values, nlags=12, fft=False)[1:]
    limit = CRITICAL / np.sqrt(60) * np.sqrt(np.cumsum([1, *(2 * ratios[:-1] ** 2)]))[-1]
    assert seasonal(values, 12) == (abs(ratios[-1]) > limit)
    assert seasonal(waves(60, 12), 12)
    assert not seasonal(waves(35, 12), 12)  # less than three seasons
    assert not seasonal(np.random.default_rng(5).normal(size=60), 12)
    assert not seasonal(np.full(60, 3.0), 12)


def test_naive2_repeats_a_multiplicative_season_at_the_last_level() -> None:
    figure = np.array([0.5, 1.0, 1.5, 1.0])
    series = 10.0 * np.tile(figure, 6)[:-1]
    # constant level: the decomposition finds the figure exactly, and the level is 10
    np.testing.assert_allclose(Naive2().forecast(series, 5, 4), 10 * figure[[3, 0, 1, 2, 3]], rtol=1e-12)


def test_naive2_is_the_last_value_without_a_season() -> None:
    noise = np.random.default_rng(5).normal(size=60)
    np.testing.assert_array_equal(Naive2().forecast(noise, 3, 12), np.full(3, noise[-1]))


def test_naive2_refuses_a_season_around_zero() -> None:
    with pytest.raises(DataError, match="naive 2: history must be above 0 where it is seasonal"):
        Naive2().forecast(waves(60, 12) - 20, 3, 12)


def test_interpolated_starts_at_the_first_value_and_holds_the_last() -> None:
    np.testing.assert_array_equal(interpolated("test", GAPPY), [2.0, 3.0, 4.0, 8.0, 6.0, 6.0])


def test_fitted_baselines_are_those_of_statsforecast() -> None:
    history = waves(60, 4)
    np.testing.assert_array_equal(Ets().forecast(history, 6, 4), AutoETS(season_length=4).forecast(history, 6)["mean"])
    theirs = AutoARIMA(season_length=4).forecast(history[-40:], 6, level=[80.0])
    expected = np.stack([theirs["lo-80.0"], theirs["mean"], theirs["hi-80.0"]], -1)
    np.testing.assert_array_equal(AutoArima(last=40).forecast_quantiles(history, 6, 4, (0.1, 0.5, 0.9))[1], expected)


@pytest.mark.parametrize("baseline", [Ets(), AutoArima(harmonics=1)], ids=lambda baseline: baseline.name)
def test_fitted_baselines_follow_a_long_season(baseline: Ets | AutoArima) -> None:
    series = waves(230, 52, noise=0.1)
    found = baseline.forecast(series[:180], 50, 52)
    assert np.abs(found - series[180:]).mean() < 0.5  # the season's amplitude is 4
    point, spread = baseline.forecast_quantiles(series[:180], 50, 52, (0.05, 0.25, 0.5, 0.95))
    np.testing.assert_array_equal(point, found)
    assert spread.shape == (50, 4)
    assert np.all(np.diff(spread, axis=1) > 0)


def test_median_alone_is_the_mean() -> None:
    point, median = Ets().forecast_quantiles(waves(230, 52), 3, 52, (0.5,))
    np.testing.assert_array_equal(median[:, 0], point)


def test_rules_that_say_how_sure_they_are() -> None:
    assert [baseline.name for baseline in EVERY if isinstance(baseline, ProbabilisticBaseline)] == ["ETS", "ARIMA"]


def test_fourier_terms_by_hand() -> None:
    np.testing.assert_allclose(fourier(3, 8, 2)[2], [1.0, 0.0, 0.0, -1.0], atol=1e-15)


def test_fitted_baselines_raise_where_statsforecast_cannot() -> None:
    with pytest.raises(DataError, match="ETS: history must be one that statsforecast can fit, got 3 steps and: tiny datasets"):
        Ets().forecast(np.array([1.0, 2.0, 4.0]), 3, 12)
    with pytest.raises(DataError, match="ETS: history must have two seasons of 52 steps, got 103 steps"):
        Ets().forecast(waves(103, 52), 3, 52)


def test_options_of_fitted_baselines_are_checked() -> None:
    with pytest.raises(OptionError, match="ARIMA: harmonics must be between 1 and 25 for a season of 52, got 26"):
        AutoArima(harmonics=26).forecast(waves(200, 52), 3, 52)
    with pytest.raises(OptionError, match="ETS: last must be at least 1 step, got 0"):
        Ets(last=0).forecast(waves(30, 12), 3, 12)
    with pytest.raises(OptionError, match="forecast_quantiles: a level must be between 0 and 1, both excluded, got 90"):
        Ets().forecast_quantiles(waves(60, 12), 3, 12, (90,))
