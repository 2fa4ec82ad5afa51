from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from grus.data.panel import Panel
from grus.demo import Settings, Study
from grus.demo.series import read_co2
from grus.demo.study import NAME, TEST, gates_of, last_test, next_year
from grus.errors import DataError
from tests.demo.small import SMALL, small_study


def changed_from(panel: Panel, week: int) -> Panel:
    """The panel with other values from a week on."""
    (series,) = panel
    target = series.target.copy()
    target[week:] += 50
    return dataclasses.replace(panel, series=(dataclasses.replace(series, target=target),))


def weights(study: Study) -> torch.Tensor:
    return torch.cat([part.detach().flatten() for part in study.tested.model.network.parameters()])


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def study(told: list[str]) -> Study:
    return small_study(read_co2(), said=told)


def test_each_part_and_each_window_is_told_of(study: Study, told: list[str]) -> None:
    assert len(study.backtest) == 4
    assert told[2:6] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert [text.split()[0] for text in told[:2] + told[6:]] == ["Training", "Backtest:", "Training"]


def test_backtest_covers_the_last_four_years(study: Study) -> None:
    length = len(study.panel.series[0])
    assert study.backtest.origins.tolist() == [length - 208, length - 156, length - 104, length - 52]
    assert list(study.backtest.forecasts) == [NAME, "last value", "drift"]
    assert list(study.backtest.coverages()) == [0.8]


def test_last_value_is_that_before_the_origin(study: Study) -> None:
    target = study.panel.series[0].target
    assert study.backtest.forecasts["last value"][1, 0] == target[len(target) - 157]


def test_training_and_first_forecast_see_nothing_of_the_test_years(study: Study) -> None:
    other = small_study(changed_from(study.panel, len(study.panel.series[0]) - TEST))
    assert torch.equal(weights(other), weights(study))
    for level, rows in study.backtest.quantiles.items():
        np.testing.assert_array_equal(other.backtest.quantiles[level][0], rows[0])
    for name, rows in study.backtest.forecasts.items():
        np.testing.assert_array_equal(other.backtest.forecasts[name][0], rows[0])
        assert not np.array_equal(other.backtest.forecasts[name][1], rows[1])
    assert not np.array_equal(other.outlook.point, study.outlook.point)


def test_what_precedes_the_test_years_is_learnt_from(study: Study) -> None:
    other = small_study(changed_from(study.panel, len(study.panel.series[0]) - TEST - 1))
    assert not np.array_equal(other.backtest.quantiles[0.1][0], study.backtest.quantiles[0.1][0])


def test_seed_decides_the_forecast_and_leaves_the_callers_random_state_alone(study: Study) -> None:
    state = torch.random.get_rng_state()
    other = small_study(study.panel, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not np.array_equal(other.outlook.point, study.outlook.point)


def test_validation_is_the_four_years_before_the_test_years(study: Study) -> None:
    first = len(study.panel.series[0]) - TEST
    assert study.tested.parts.train == ((0, first - 208),)
    assert study.tested.parts.validation == ((first - 208, first),)
    assert len(study.tested.parts.panel.series[0]) == first
    assert list(study.tested.model.intervals) == [(0.1, 0.9)]


def test_next_year_follows_the_series(study: Study) -> None:
    example = next_year(study)
    assert example.truth is None
    assert (example.forecast_times[0] - study.panel.series[0].times[-1]).astype("timedelta64[D]") == np.timedelta64(7, "D")
    assert example.point.shape == (52,)


def test_last_test_ends_where_the_series_ends(study: Study) -> None:
    example = last_test(study)
    assert example.times[-1] < example.forecast_times[0]
    assert example.forecast_times[-1] == study.panel.series[0].times[-1]
    assert example.truth is not None
    np.testing.assert_array_equal(example.truth, study.panel.series[0].target[-52:])


def test_gates_stand_at_every_week_of_their_segment(study: Study) -> None:
    trace, (series,) = gates_of(study), study.panel
    assert {name: rows.shape for name, rows in trace.gates.items()} == dict.fromkeys(trace.gates, (SMALL.lookback, 4))
    assert {"r", "z", "n"} <= set(trace.gates)
    for rows in trace.gates.values():
        np.testing.assert_array_equal(rows[:13], np.repeat(rows[:1], 13, axis=0))
    np.testing.assert_array_equal(trace.input, series.target[-52 - SMALL.lookback : -52])


def test_short_series_is_refused() -> None:
    panel = read_co2()
    with pytest.raises(DataError, match="at least 520 weeks, got 519"):
        small_study(panel.cut(panel.series[0].times[519]))


def test_defaults_stand_beside_every_baseline() -> None:
    settings = Settings()
    assert [baseline.name for baseline in settings.baselines] == ["last value", "drift", "seasonal naive", "seasonal drift", "ETS", "ARIMA"]
    assert settings.stride == 4
