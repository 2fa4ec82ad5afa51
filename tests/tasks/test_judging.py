"""Judging: which windows are tested, what a network that is trained anew may learn, and what is refused before anything runs."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grus.data.splitting import Split, split
from grus.errors import CheckpointError, DataError, OptionError
from grus.evaluation.baselines import standard
from grus.evaluation.catalogue import BASELINES, choose_baselines
from grus.tasks import stored
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.judging import (
    BacktestPlan,
    Retrain,
    after_learning,
    judge,
    key_of,
    name_of,
    one_phase,
    parts_before,
    standard_for,
    untested,
    windows_of,
)
from grus.training import TrainingSettings
from tests.tasks.waves import HORIZON, LOOKBACK, changed, panel_of, small, wave

SETTINGS = WindowSettings(LOOKBACK, HORIZON)


def lengths(parts: Split) -> dict[str, tuple[Any, ...]]:
    """For each series how many steps it has, then its training and validation range."""
    rows = zip(parts.panel, parts.train, parts.validation, strict=True)
    return {series.id: (len(series), train, validation) for series, train, validation in rows}


# --- windows -------------------------------------------------------------------------------------------------------------------------
def test_windows_start_at_each_stride_of_each_range() -> None:
    panel = panel_of([wave(20), wave(15)])
    ranges = [(12, 20), (11, 15)]
    assert windows_of(panel, ranges, BacktestPlan(), SETTINGS) == [(0, 12), (0, 15), (1, 11)]
    assert windows_of(panel, ranges, BacktestPlan(stride=2), SETTINGS) == [(0, 12), (0, 14), (0, 16), (1, 11)]


def test_windows_without_past_or_truth_are_left_out() -> None:
    target = wave(30)
    target[5:14] = np.nan  # the past of origin 13, the targets of 9
    target[21:24] = np.nan
    ranges = [(0, 30)]
    kept = [origin for _, origin in windows_of(panel_of([target]), ranges, BacktestPlan(), SETTINGS)]
    assert kept == [3, 12, 15, 18, 24, 27]
    with pytest.raises(DataError, match="must have a window with a measured value in its 8 steps back and its 3 ahead, got none in 1"):
        windows_of(panel_of([target]), [(21, 24)], BacktestPlan(), SETTINGS)


def test_test_part_below_the_horizon_is_refused() -> None:
    with pytest.raises(DataError, match="the test part must hold 3 steps, got 2 at most; ask for a larger test part"):
        windows_of(panel_of([wave(20)]), [(18, 20)], BacktestPlan(), SETTINGS)


# --- what may be learnt again --------------------------------------------------------------------------------------------------------
def test_parts_move_to_the_origin() -> None:
    parts = split(panel_of([wave(60)]), 10, 12)
    plan = BacktestPlan(refit=2)
    assert lengths(parts_before(parts, 48, plan, SETTINGS)) == {"a": (48, (0, 38), (38, 48))}
    assert lengths(parts_before(parts, 54, plan, SETTINGS)) == {"a": (54, (0, 44), (44, 54))}


def test_parts_of_unequal_series_end_at_one_time() -> None:
    parts = split(panel_of([wave(60), wave(40), wave(5)]), 2, 2)
    assert parts.test == ((58, 60), (38, 40), (3, 5))
    plan, settings = BacktestPlan(refit=1), WindowSettings(LOOKBACK, 2)
    assert lengths(parts_before(parts, 38, plan, settings)) == {"a": (38, (0, 36), (36, 38)), "b": (38, (0, 36), (36, 38)), "c": (5, (0, 3), (3, 5))}
    assert lengths(parts_before(parts, 58, plan, settings)) == {"a": (58, (0, 56), (56, 58)), "b": (40, (0, 38), (38, 40)), "c": (5, (0, 3), (3, 5))}


def test_parts_of_series_that_start_apart_end_at_one_time() -> None:
    parts = split(panel_of([wave(60), wave(20)], starts=[0, 40]), 2, 6)  # both end at time 60, tests from 54
    found = parts_before(parts, 17, BacktestPlan(refit=1), SETTINGS)  # b's second origin: time 57
    assert lengths(found) == {"a": (57, (0, 55), (55, 57)), "b": (17, (0, 15), (15, 17))}
    found = parts_before(parts, 54, BacktestPlan(refit=1), SETTINGS)  # a's first origin, which b's second follows in time
    assert lengths(found) == {"a": (54, (0, 52), (52, 54)), "b": (14, (0, 12), (12, 14))}
    found = parts_before(parts, 17, BacktestPlan(refit=2), SETTINGS)  # serves a's first one too
    assert lengths(found) == {"a": (54, (0, 52), (52, 54)), "b": (14, (0, 12), (12, 14))}


def test_series_with_too_little_before_are_left_out_and_none_is_refused() -> None:
    parts = split(panel_of([wave(40), wave(40)], starts=[0, 100]), 4, 12)
    assert list(lengths(parts_before(parts, 31, BacktestPlan(), SETTINGS))) == ["a"]
    empty = split(panel_of([np.r_[np.full(24, np.nan), wave(16)]]), 10, 10)
    with pytest.raises(DataError, match="a series must have steps to learn from before 30, got none; refit less often"):
        parts_before(empty, 30, BacktestPlan(), SETTINGS)


# --- what was learnt is not tested ---------------------------------------------------------------------------------------------------
def test_tests_begin_after_what_was_learnt() -> None:
    parts = split(panel_of([wave(60), wave(40), wave(40)], starts=[0, 10, 100]), 4, 12)
    assert parts.test == ((48, 60), (28, 40), (28, 40))
    assert after_learning(parts, {"a": 47, "b": 37, "c": 127})[0].test == parts.test
    assert after_learning(parts, {"a": 47, "b": 37, "c": 127})[1] == ()
    found, notes = after_learning(parts, {"a": 50, "b": 37, "c": 127})
    assert found.test == ((51, 60), (28, 40), (28, 40))
    assert notes == ("of 'a' the network has learnt a part of what was to be tested, which is left out",)
    assert after_learning(parts, {"a": 900, "b": 37, "c": 127})[0].test[0] == (60, 60)
    with pytest.raises(
        DataError, match="backtest: series 'c' must go on after 139 where the network has learnt from it until 139, got no step to test"
    ):
        after_learning(parts, {"a": 900, "b": 900, "c": 139})


def test_series_that_were_not_learnt_are_told_when_others_were_at_their_times() -> None:
    parts = split(panel_of([wave(60), wave(40)], starts=[0, 10]), 4, 12)
    found, notes = after_learning(parts, {"z": 38, "a": 9})
    assert found.test == ((48, 60), (28, 40))
    assert notes == ("'b', which the network has not learnt from, are tested at times until which it has learnt from others",)
    assert after_learning(parts, {"z": 37, "a": 9})[1] == ()


def test_dates_are_compared_as_dates() -> None:
    panel = panel_of([wave(60)])
    days = np.datetime64("2024-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D")
    parts = split(replace(panel, series=(replace(panel.series[0], times=days),)), 4, 12)
    assert after_learning(parts, {"a": "2024-02-20T00:00:00.000000000"})[0].test == ((51, 60),)


def test_series_without_a_part_are_counted_and_five_are_named() -> None:
    panel = panel_of([wave(9)] * 8)
    assert untested(panel, "abcdefgh") is None
    told = untested(panel, "b")
    assert told is not None
    assert told.startswith("not tested: 7 of 8 series, in whose test part no window has room, or none with known values: ")
    assert told.endswith(": 'a', 'c', 'd', 'e', 'f' and 2 more")


@pytest.mark.parametrize(("season", "stride", "told"), [(4, 4, 3), (4, 8, 7), (2, 4, 3), (4, 6, None), (8, 4, None), (1, 4, None)])
def test_forecasts_that_start_at_one_step_of_the_season_are_told(model: ForecastModel, season: int, stride: int, told: int | None) -> None:
    panel = panel_of([wave(90, 1), wave(61, 2)]).with_season(season)
    sentence = one_phase(judge(model, panel, [(66, 90), (37, 61)], BacktestPlan(stride)))
    if told is None:
        assert sentence is None
        return
    assert sentence is not None
    assert sentence.startswith(f"every forecast starts at the same step of the season of {season} (stride {stride}), ")
    assert sentence.endswith(f"; backtest.stride={told} starts at each step in turn")
    assert one_phase(judge(model, panel, [(66, 90), (37, 61)], BacktestPlan(told))) is None
    assert one_phase(judge(model, panel, [(66, 69), (37, 40)], BacktestPlan(stride))) is None, "one window of each series"


# --- judge ---------------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model() -> ForecastModel:
    return small().fit(panel_of([wave(90, 1), wave(60, 2)])).model_


def test_judge_scores_the_model_beside_the_baselines(model: ForecastModel) -> None:
    panel = panel_of([wave(90, 1), wave(60, 2)])
    found = judge(model, panel, [(81, 90), (54, 60)], BacktestPlan())
    assert list(found.forecasts) == ["gru", "last value", "drift"]
    assert list(zip(found.series, found.origins.tolist(), strict=True)) == [("b", 54), ("b", 57), ("a", 81), ("a", 84), ("a", 87)]
    np.testing.assert_array_equal(found.forecasts["gru"], model.predict_at(panel, [1, 1, 0, 0, 0], found.origins).point)
    np.testing.assert_array_equal(found.forecasts["last value"][2], np.full(3, panel.series[0].target[80]))
    assert found.scores()["gru"]["mae"] == pytest.approx(np.abs(found.truth - found.forecasts["gru"]).mean())


def test_judge_trains_anew_at_every_refit(model: ForecastModel) -> None:
    panel = panel_of([wave(90, 1)])
    asked: list[int] = []

    def retrain(origin: int) -> ForecastModel:
        asked.append(origin)
        return replace(model, intervals={})

    judge(model, panel, [(72, 90)], BacktestPlan(refit=2), retrain=Retrain(retrain, TrainingSettings()))
    assert asked == [78, 84]
    asked.clear()
    judge(model, panel, [(72, 90)], BacktestPlan(), retrain=Retrain(retrain, TrainingSettings()))
    assert asked == []


def interrupt(done: int, total: int, fitting: str) -> None:
    raise KeyboardInterrupt


def test_backtest_of_one_network_is_not_gone_on_with_by_another(model: ForecastModel, tmp_path: Path) -> None:
    panel, ranges = panel_of([wave(90, 1)]), [(72, 90)]
    other = small(random_state=1).fit(panel_of([wave(90, 1), wave(60, 2)])).model_
    with pytest.raises(KeyboardInterrupt):
        judge(model, panel, ranges, BacktestPlan(), folder=tmp_path, on_progress=interrupt)
    with pytest.raises(CheckpointError, match="must be of this very run, got one that differs in model;"):
        judge(other, panel, ranges, BacktestPlan(), folder=tmp_path, resume=True)
    resumed = judge(model, panel, ranges, BacktestPlan(), folder=tmp_path, resume=True)
    whole = judge(model, panel, ranges, BacktestPlan())
    for name, rows in whole.forecasts.items():
        np.testing.assert_array_equal(resumed.forecasts[name], rows)


def test_key_is_of_all_that_decides_a_forecast(model: ForecastModel, tmp_path: Path) -> None:
    stored.save(model, tmp_path / "model", "")
    assert key_of(stored.load(tmp_path / "model")) == key_of(model)
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1e-3
    unscaled = replace(model.scaling, target=replace(model.scaling.target, shift=model.scaling.target.shift + 1))
    others = [replace(model, network=network), replace(model, scaling=unscaled), replace(model, intervals={})]
    others.append(replace(model, windows=replace(model.windows, missing="zero")))
    assert len({key_of(each) for each in (model, *others)}) == 5
    assert len({key_of(model), *(key_of(model, TrainingSettings(patience=patience)) for patience in (5, 6, 5))}) == 3


def test_plan_that_cannot_be_met_is_refused(model: ForecastModel) -> None:
    with pytest.raises(OptionError, match="refit must be 'never' for a model that cannot be trained anew, got 2"):
        judge(model, panel_of([wave(90)]), [(72, 90)], BacktestPlan(refit=2))


@pytest.mark.parametrize(("name", "value"), [("stride", 0), ("stride", 1.5), ("refit", 0), ("refit", "always"), ("refit", True)])
def test_plan_is_checked_when_it_is_made(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"backtest: {name} must be a whole number of at least 1, or .*, got {value!r}"):
        BacktestPlan(**{name: value})


def test_baselines_are_chosen_by_name() -> None:
    assert [rule.name for rule in choose_baselines(tuple(BASELINES), 4)] == list(BASELINES)
    assert choose_baselines(None, 4) == standard(4)
    with pytest.raises(OptionError, match=r"baselines must be among last value, mean, .*, got 'oracle'"):
        BacktestPlan(baselines=("mean", "oracle"))


def test_cheap_baselines_are_those_that_can_forecast_every_window() -> None:
    panel = panel_of([wave(30)])
    weekly = replace(panel, step=replace(panel.step, season=7))
    assert standard_for(weekly, [(0, 14)], 3) == ("last value", "drift", "seasonal naive", "seasonal drift")
    assert standard_for(weekly, [(0, 14), (0, 10)], 3) == ("last value", "drift", "seasonal naive")
    assert standard_for(weekly, [(0, 1)], 3) == ("last value",)


def test_names_of_models(model: ForecastModel) -> None:
    assert name_of(model) == "gru"
    assert name_of(small(model={"encoder": "transformer"}).fit(panel_of([wave(60)])).model_) == "Transformer"


# --- the whole of it -----------------------------------------------------------------------------------------------------------------
def test_backtest_that_refits_knows_nothing_of_what_it_forecasts() -> None:
    panel = panel_of([wave(60, 1), wave(40, 2)], starts=[0, 5])

    def forecasts(stop: int) -> dict[tuple[str, int], Any]:
        """By series and time; every series is changed from the time `stop` on."""
        found = small().backtest(changed(panel, [stop, stop - 5]), 12, refit=1)
        rows = zip(found.series, found.times[:, 0].tolist(), found.forecasts["gru"], strict=True)
        return {(id, time): row for id, time, row in rows}

    before = forecasts(1000)
    assert sorted(before) == [("a", 48), ("a", 51), ("a", 54), ("a", 57), ("b", 33), ("b", 36), ("b", 39), ("b", 42)]
    for stop, known in ((39, [("b", 36), ("b", 39)]), (54, [("a", 48), ("a", 51), ("a", 54), ("b", 33), ("b", 42)])):
        after = forecasts(stop)
        for key in known:
            np.testing.assert_array_equal(before[key], after[key], err_msg=str(key))
        assert not np.array_equal(before["a", 57], after["a", 57])
