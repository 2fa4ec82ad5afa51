"""Backtests in which a baseline cannot forecast every window: what is kept, told, and scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel, Series
from grus.errors import DataError, OptionError
from grus.evaluation import Backtest, Drift, LastValue, Model, Prediction, SeasonalDrift, SeasonalNaive, rolling, run_backtest
from grus.evaluation.backtest import Failure
from grus.evaluation.journal import NAME

NAN = np.nan
HOURS = np.datetime64("2024-03-01T00", "ns") + np.arange(100) * np.timedelta64(1, "h")
Array = NDArray[np.float64]


def panel(*values: Any) -> Panel:
    """Hourly series s0, s1, … with a season of four hours."""
    empty = np.zeros((100, 0))
    series = [
        Series(f"s{at}", HOURS[: len(one)], np.asarray(one, float), empty[: len(one)], empty[: len(one)], np.zeros(0))
        for at, one in enumerate(values)
    ]
    return Panel(tuple(series), Columns(id="id"), Step("h", 4))


def ones(panel: Panel, series: NDArray[np.int64], origins: NDArray[np.int64]) -> Prediction:
    return Prediction(np.ones((len(series), 2)))


MODEL = Model("ones", ones)
RAMPS = panel(np.arange(20.0), 100 + np.arange(20.0))
WINDOWS = [(0, 2), (1, 2), (0, 6), (0, 9), (1, 9)]
TOLD = Failure("s1", "2024-03-01T02:00:00", "seasonal drift: history must have two seasons of 4 steps, got 2 steps; start later.")


def test_window_that_a_baseline_cannot_forecast_is_missing_and_told() -> None:
    found = run_backtest(RAMPS, WINDOWS, 2, MODEL, [LastValue(), SeasonalDrift()])
    assert list(found.failures) == ["seasonal drift"]
    assert [failure.series for failure in found.failures["seasonal drift"]] == ["s0", "s1", "s0"]
    assert found.failures["seasonal drift"][1].message.startswith("seasonal drift: history must have a known value at every phase of the season of 4")
    assert found.failures["seasonal drift"][2] == Failure("s0", "2024-03-01T06:00:00", TOLD.message.replace("got 2", "got 6"))
    np.testing.assert_array_equal(found.forecasts["seasonal drift"], [[NAN, NAN], [NAN, NAN], [NAN, NAN], [9, 10], [109, 110]])
    np.testing.assert_array_equal(found.forecasts["last value"][0], [1, 1])


def test_scores_are_over_the_windows_that_were_forecast_and_say_so() -> None:
    found = run_backtest(RAMPS, WINDOWS, 2, MODEL, [LastValue(), SeasonalNaive(), SeasonalDrift()])
    assert found.counts == {"ones": 5, "last value": 5, "seasonal naive": 3, "seasonal drift": 2}
    scores = found.scores()
    assert {name: row["windows"] for name, row in scores.items()} == found.counts
    assert (scores["seasonal drift"]["mae"], scores["seasonal naive"]["mae"], scores["last value"]["mae"]) == (0.0, 4.0, 1.5)
    assert (scores["seasonal naive"]["mase"], scores["seasonal drift"]["rmse"]) == (1.0, 0.0)
    np.testing.assert_array_equal(found.by_horizon("mae")["seasonal naive"], [4.0, 4.0])
    assert found.worst(5, "seasonal drift") == [3, 4]
    assert "windows" not in run_backtest(RAMPS, WINDOWS, 2, MODEL, [LastValue()]).scores()["ones"]


def test_baseline_that_forecasts_nothing_has_no_score() -> None:
    found = run_backtest(RAMPS, WINDOWS[:2], 2, MODEL, [LastValue(), SeasonalDrift()])
    row = found.scores()["seasonal drift"]
    assert row.pop("windows") == 0
    assert np.isnan(list(row.values())).all()
    assert np.isnan(found.by_horizon("rmse")["seasonal drift"]).all()
    assert found.worst(5, "seasonal drift") == []
    assert found.table().index.tolist()[-1] == "seasonal drift"


def test_failures_are_in_the_record() -> None:
    found = run_backtest(RAMPS, WINDOWS, 2, MODEL, [SeasonalDrift()])
    again = Backtest.from_json(found.to_json())
    assert again.failures == found.failures
    assert again.to_json() == found.to_json()


@dataclass
class Counted:
    """Drift, which counts what it is asked."""

    calls: int = 0
    name: str = "drift"

    def __repr__(self) -> str:
        return "Counted"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        self.calls += 1
        return Drift().forecast(history, horizon, season)


def test_resumed_run_keeps_the_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "BATCH", 1)
    data = panel([1.0, NAN, NAN, 4.0, 5.0, 6.0, 7.0, 8.0])
    windows = [(0, 2), (0, 3), (0, 4), (0, 5)]

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(data, windows, 2, MODEL, [Counted()], folder=tmp_path, on_progress=stop)
    assert "must have at least 2 known values" in (tmp_path / NAME).read_text(encoding="utf-8")
    counted = Counted()
    resumed = run_backtest(data, windows, 2, MODEL, [counted], folder=tmp_path, resume=True)
    assert counted.calls == 2
    assert resumed.failures == run_backtest(data, windows, 2, MODEL, [Counted()]).failures
    assert [failure.time for failure in resumed.failures["drift"]] == ["2024-03-01T02:00:00", "2024-03-01T03:00:00"]


class Broken:
    """A rule that raises, or gives what is no number."""

    name = "broken"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        if self.error is not None:
            raise self.error
        return np.array([1.0, np.inf])


def test_forecast_that_is_not_finite_is_a_failure() -> None:
    found = run_backtest(RAMPS, WINDOWS[:1], 2, MODEL, [Broken(None)])
    assert found.failures["broken"][0].message == "run_backtest: 'broken' must be finite, got inf for series 's0', origin 2, step 2 ahead."
    assert np.isnan(found.forecasts["broken"]).all()


@pytest.mark.parametrize("error", [ValueError("a slip"), OptionError("an option"), KeyboardInterrupt()])
def test_other_errors_are_not_swallowed(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_backtest(RAMPS, WINDOWS[:1], 2, MODEL, [Broken(error)])


def test_failure_of_the_model_ends_the_run() -> None:
    def refuse(panel: Panel, series: NDArray[np.int64], origins: NDArray[np.int64]) -> Prediction:
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        run_backtest(RAMPS, WINDOWS[:1], 2, Model("refuses", refuse), [LastValue()])
