"""Backtests as they are run: in which order, what is told and kept, what a baseline or a network may not do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel, Series
from grus.errors import CheckpointError, DataError, OptionError, ShapeError
from grus.evaluation import Backtest, Drift, Failure, LastValue, Model, Prediction, SeasonalDrift, SeasonalNaive, origins, rolling, run_backtest
from grus.evaluation.fitted import Ets
from grus.evaluation.journal import NAME
from grus.evaluation.plan import Predict

NAN = np.nan
HOURS = np.datetime64("2024-03-01T00", "ns") + np.arange(100) * np.timedelta64(1, "h")
Array = NDArray[np.float64]
Indices = NDArray[np.int64]


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


MODEL = Model("ones", ones, key="ones")
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


def test_origins_leave_room_for_the_horizon() -> None:
    np.testing.assert_array_equal(origins(20, 10, 3, 5), [10, 13])
    np.testing.assert_array_equal(origins(15, 10, 1, 5), [10])
    with pytest.raises(DataError, match="origins: the series must have 15 steps for one forecast, got 14"):
        origins(14, 10, 1, 5)
    with pytest.raises(OptionError, match="origins: stride must be at least 1, got 0"):
        origins(20, 10, 0, 5)


def half_last(horizon: int, calls: list[int] | None = None, factor: float = 0.5) -> Predict:
    """A model whose forecast is a multiple of the value before the origin."""

    def predict(panel: Panel, series: Indices, origins: Indices) -> Prediction:
        if calls is not None:
            calls.append(len(series))
        last = np.array([panel.series[int(index)].target[origin - 1] for index, origin in zip(series, origins, strict=True)])
        point = factor * np.repeat(last[:, None], horizon, axis=1)
        return Prediction(point, {0.1: point - 1, 0.9: point + 1})

    return predict


HALF = Model("half", half_last(3), key="half")
LONG = panel(np.arange(40.0), 100 + np.arange(30.0))
EVERY_FIFTH = [(index, int(origin)) for index, length in ((0, 40), (1, 30)) for origin in origins(length, 10, 5, 3)]


def test_run_records_what_was_forecast_and_what_came() -> None:
    found = run_backtest(LONG, EVERY_FIFTH, 3, Model("half", half_last(3)), [LastValue(), SeasonalNaive()])
    assert list(zip(found.series, found.origins.tolist(), strict=True))[:4] == [("s0", 10), ("s1", 10), ("s0", 15), ("s1", 15)]
    assert len(found) == len(EVERY_FIFTH) == 10
    np.testing.assert_array_equal(found.truth[1], [110, 111, 112])
    np.testing.assert_array_equal(found.times[1], HOURS[10:13])
    np.testing.assert_array_equal(found.forecasts["half"][1], [54.5, 54.5, 54.5])
    np.testing.assert_array_equal(found.quantiles[0.9][1], [55.5, 55.5, 55.5])
    np.testing.assert_array_equal(found.forecasts["last value"][1], [109, 109, 109])
    np.testing.assert_array_equal(found.forecasts["seasonal naive"][1], [106, 107, 108])
    np.testing.assert_array_equal(found.scale, np.full(10, 4.0))
    assert (found.model, found.horizon, found.season) == ("half", 3, 4)
    assert set(found.seconds) == {"half", "last value", "seasonal naive"}
    assert found.scores()["seasonal naive"]["mase"] == 1.0


def test_windows_of_many_origins_are_forecast_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    progress: list[tuple[int, int]] = []
    monkeypatch.setattr(rolling, "BATCH", 5)
    run_backtest(LONG, EVERY_FIFTH, 3, Model("half", half_last(3, calls)), on_progress=lambda done, total, _: progress.append((done, total)))
    assert calls == [4, 5, 1]  # whole origins: four of two windows, then two of the longer series alone
    assert progress == [(4, 10), (9, 10), (10, 10)]


def test_baselines_see_nothing_from_the_origin_on() -> None:
    changed = LONG.series[0].target.copy()
    changed[20:] = 1e6
    calls = [run_backtest(each, [(0, 20)], 3, Model("half", half_last(3)), [LastValue(), SeasonalNaive()]) for each in (LONG, panel(changed))]
    for name in ("half", "last value", "seasonal naive"):
        np.testing.assert_array_equal(calls[0].forecasts[name], calls[1].forecasts[name])
    np.testing.assert_array_equal(calls[0].scale, calls[1].scale)


def test_refit_takes_over_every_so_many_origins() -> None:
    fitted: list[int] = []

    def refit(panel: Panel, origin: int) -> Predict:
        fitted.append(origin)
        return half_last(3, factor=float(origin))

    windows = [(0, origin) for origin in (10, 15, 20, 25, 30)]
    found = run_backtest(LONG, windows, 3, Model("refitted", half_last(3, factor=1.0), refit, every=2))
    assert fitted == [20, 30]
    np.testing.assert_array_equal(found.forecasts["refitted"][:, 0], [9, 14, 20 * 19, 20 * 24, 30 * 29])


@pytest.mark.parametrize("finished", [1, 3])
@pytest.mark.parametrize("torn", [False, True])
def test_interrupted_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: int, torn: bool) -> None:
    monkeypatch.setattr(rolling, "BATCH", 2)
    target = np.random.default_rng(0).normal(size=60)
    target[[3, 33, 41]] = NAN
    data, windows = panel(np.where(np.isnan(target), 0.1, target), target), [(index, origin) for origin in (20, 30, 35, 40, 50) for index in (0, 1)]
    fitted: list[int] = []

    def refit(panel: Panel, origin: int) -> Predict:
        fitted.append(origin)
        return half_last(4, factor=1 / origin)

    def run(calls: list[int], **options: Any) -> Backtest:
        model = Model("refitted", half_last(4, calls), refit, every=2, key="refitted")
        return run_backtest(data, windows, 4, model, [LastValue()], **options)

    whole = run([])

    def stop(done: int, total: int, fitting: str) -> None:
        if done == 2 * finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([], folder=tmp_path, on_progress=stop)
    if torn:
        with (tmp_path / NAME).open("a", encoding="utf-8") as file:
            file.write('{"forecaster": "refi')
    fitted.clear()
    progress: list[int] = []
    resumed = run([], folder=tmp_path, resume=True, on_progress=lambda done, total, _: progress.append(done))
    assert progress == list(range(2 * finished + 1, 11))
    assert fitted == {1: [35, 50], 3: [35, 50]}[finished]
    for name in ("truth", "scale", "origins", "times"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    for name, array in whole.forecasts.items():
        np.testing.assert_array_equal(resumed.forecasts[name], array)
    for level, array in whole.quantiles.items():
        np.testing.assert_array_equal(resumed.quantiles[level], array)
    again: list[int] = []
    np.testing.assert_array_equal(run(again, folder=tmp_path, resume=True).forecasts["refitted"], whole.forecasts["refitted"])
    assert again == []


class Zero:
    """A user's own rule, whose repr is different in every process."""

    name = "zero"

    def forecast(self, history: NDArray[np.float64], horizon: int, season: int) -> NDArray[np.float64]:
        return np.zeros(horizon)


def test_own_baseline_is_told_by_its_name(tmp_path: Path) -> None:
    model = HALF
    first = run_backtest(LONG, EVERY_FIFTH, 3, model, [Zero()], folder=tmp_path)
    again = run_backtest(LONG, EVERY_FIFTH, 3, model, [Zero()], folder=tmp_path, resume=True)
    assert again.to_json() == first.to_json()


def test_model_must_forecast_finite_numbers_of_the_right_shape() -> None:
    with pytest.raises(ShapeError, match=r"point of 'half' must be \[N, H\] = \[10, 3\], got \[10, 4\]"):
        run_backtest(LONG, EVERY_FIFTH, 3, Model("half", half_last(4)))
    gap = panel(np.where(np.arange(40) == 14, NAN, 1.0))
    with pytest.raises(DataError, match="point of 'half' must be finite, got nan for series 's0', origin 15, step 1 ahead"):
        run_backtest(gap, [(0, 10), (0, 15)], 3, Model("half", half_last(3)))


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([], "windows must be different from each other and at least one, got 0"),
        ([(0, 10), (0, 10)], "windows must be different from each other"),
        ([(2, 10)], "a window's series must be below 2, got 2"),
        ([(0, 38)], "an origin of series 's0' must be between 1 and 37, got 38"),
        ([(0, 0)], "an origin of series 's0' must be between 1 and 37, got 0"),
    ],
)
def test_windows_are_checked(windows: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        run_backtest(LONG, windows, 3, Model("half", half_last(3)))


def test_names_must_differ() -> None:
    with pytest.raises(OptionError, match="every forecaster must have a name of its own, got last value, last value"):
        run_backtest(LONG, EVERY_FIFTH, 3, Model("last value", half_last(3)), [LastValue()])


@dataclass
class Counted:
    """Drift, which counts what it is asked, and says how sure it is: the level itself on either side."""

    stop: int | None = None
    calls: int = 0
    levels: tuple[float, ...] = ()
    name: str = "drift"

    def __repr__(self) -> str:
        return "Counted"

    def forecast(self, history: Array, horizon: int, season: int) -> Array:
        if self.calls == self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        return Drift().forecast(history, horizon, season)

    def forecast_quantiles(self, history: Array, horizon: int, season: int, levels: Sequence[float]) -> tuple[Array, Array]:
        self.levels = tuple(levels)
        point = self.forecast(history, horizon, season)
        return point, point[:, None] + np.array(levels) - 0.5


# --- interruptions -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stop", [0, 1, 6])
def test_no_forecast_of_a_baseline_is_made_twice(tmp_path: Path, stop: int) -> None:
    first, asked = Counted(stop), list[int]()
    with pytest.raises(KeyboardInterrupt):
        run_backtest(LONG, EVERY_FIFTH, 3, replace(HALF, predict=half_last(3, asked)), [first], folder=tmp_path)
    second = Counted()
    found = run_backtest(LONG, EVERY_FIFTH, 3, replace(HALF, predict=half_last(3, asked)), [second], folder=tmp_path, resume=True)
    assert (first.calls, second.calls) == (stop, 10 - stop)
    assert asked == [10]
    whole = run_backtest(LONG, EVERY_FIFTH, 3, HALF, [Counted()])
    np.testing.assert_array_equal(found.forecasts["drift"], whole.forecasts["drift"])
    for level, rows in whole.baseline_quantiles["drift"].items():
        np.testing.assert_array_equal(found.baseline_quantiles["drift"][level], rows)


def test_resumed_run_keeps_the_failures(tmp_path: Path) -> None:
    data, windows = panel([1.0, NAN, NAN, 4.0, 5.0, 6.0, 7.0, 8.0]), [(0, 2), (0, 3), (0, 4), (0, 5)]
    with pytest.raises(KeyboardInterrupt):
        run_backtest(data, windows, 2, MODEL, [Counted(3)], folder=tmp_path)
    assert "must have at least 2 known values" in (tmp_path / NAME).read_text(encoding="utf-8")
    resumed = run_backtest(data, windows, 2, MODEL, [Counted()], folder=tmp_path, resume=True)
    assert resumed.failures == run_backtest(data, windows, 2, MODEL, [Counted()]).failures
    assert [failure.time for failure in resumed.failures["drift"]] == ["2024-03-01T02:00:00", "2024-03-01T03:00:00"]


def test_progress_is_told_after_each_window_and_before_each_fit() -> None:
    told: list[tuple[int, int, str]] = []
    run_backtest(RAMPS, WINDOWS[:3], 2, MODEL, [LastValue(), Drift()], on_progress=lambda *now: told.append(now))
    assert told == [(1, 3, ""), (2, 3, ""), (3, 3, "")]
    told.clear()
    run_backtest(RAMPS, WINDOWS[:2], 2, MODEL, [Counted(), LastValue(), Counted(name="own")], on_progress=lambda *now: told.append(now))
    assert told == [(0, 2, "drift"), (0, 2, "own"), (1, 2, ""), (1, 2, "drift"), (1, 2, "own"), (2, 2, "")]


# --- whose run it is -----------------------------------------------------------------------------------------------------------------
def test_another_network_does_not_go_on_with_a_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_backtest(LONG, EVERY_FIFTH, 3, HALF, [Counted(4)], folder=tmp_path)
    before = (tmp_path / NAME).read_bytes()
    other = Model("half", half_last(3, factor=0.25), key="other weights")
    with pytest.raises(CheckpointError, match=r"backtest\.jsonl must be of this very run, got one that differs in model; delete the file"):
        run_backtest(LONG, EVERY_FIFTH, 3, other, [Counted()], folder=tmp_path, resume=True)
    assert (tmp_path / NAME).read_bytes() == before
    (tmp_path / NAME).unlink()
    found = run_backtest(LONG, EVERY_FIFTH, 3, other, [Counted()], folder=tmp_path, resume=True)
    np.testing.assert_array_equal(found.forecasts["half"], run_backtest(LONG, EVERY_FIFTH, 3, other).forecasts["half"])


def test_model_that_is_kept_must_have_a_key(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'half' must have a key to be kept in a folder, got ''; give a digest"):
        run_backtest(LONG, EVERY_FIFTH, 3, Model("half", half_last(3)), folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def later(data: Panel) -> Panel:
    """The same values a day later: the calendar's features differ."""
    return replace(data, series=tuple(replace(series, times=series.times + np.timedelta64(1, "D")) for series in data))


OTHERS: dict[str, tuple[Panel, list[tuple[int, int]], Model, list[Any]]] = {
    "windows": (LONG, EVERY_FIFTH[1:], HALF, [LastValue()]),
    "model": (LONG, EVERY_FIFTH, replace(HALF, name="third"), [LastValue()]),
    "baselines": (LONG, EVERY_FIFTH, HALF, [LastValue(), Drift()]),
    "data": (panel(np.arange(40.0) + 1e-9, 100 + np.arange(30.0)), EVERY_FIFTH, HALF, [LastValue()]),
}


@pytest.mark.parametrize("what", OTHERS)
def test_folder_of_another_run_is_refused(tmp_path: Path, what: str) -> None:
    run_backtest(LONG, EVERY_FIFTH, 3, HALF, [LastValue()], folder=tmp_path)
    data, windows, model, baselines = OTHERS[what]
    with pytest.raises(CheckpointError, match=f"got one that differs in {what};"):
        run_backtest(data, windows, 3, model, baselines, folder=tmp_path, resume=True)


def test_times_and_untested_series_are_of_the_data(tmp_path: Path) -> None:
    run_backtest(LONG, [(0, 10)], 3, HALF, folder=tmp_path)
    for data in (later(LONG), panel(np.arange(40.0), 200 + np.arange(30.0))):
        with pytest.raises(CheckpointError, match="got one that differs in data;"):
            run_backtest(data, [(0, 10)], 3, HALF, folder=tmp_path, resume=True)


def test_resume_is_asked_for_and_has_a_folder(tmp_path: Path) -> None:
    run_backtest(LONG, EVERY_FIFTH, 3, HALF, folder=tmp_path)
    with pytest.raises(OptionError, match=r"run_backtest: the folder must hold no backtest\.jsonl"):
        run_backtest(LONG, EVERY_FIFTH, 3, HALF, folder=tmp_path)
    with pytest.raises(OptionError, match="run_backtest: resume must have a folder"):
        run_backtest(LONG, EVERY_FIFTH, 3, HALF, resume=True)


DAMAGES = [
    ('"quantiles"', '"quintiles"', "line 2 must be as it was written, got KeyError"),
    ('"version": 3', '"version": 2', "got version 2 of the file, not 3"),
    ('"first": 0', '"first": 1', "got a line of 'half' from window 1 on where 'half' from 0 on was due"),
    ('{"version"', '"version"', "line 1 must be as it was written"),
]


@pytest.mark.parametrize(("there", "instead", "message"), DAMAGES)
def test_damaged_file_is_told(tmp_path: Path, there: str, instead: str, message: str) -> None:
    run_backtest(LONG, EVERY_FIFTH, 3, HALF, folder=tmp_path)
    path = tmp_path / NAME
    path.write_text(path.read_text(encoding="utf-8").replace(there, instead), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        run_backtest(LONG, EVERY_FIFTH, 3, HALF, folder=tmp_path, resume=True)


# --- quantiles of baselines ----------------------------------------------------------------------------------------------------------
def test_baselines_that_can_give_the_quantiles_of_the_model_do_so_by_one_fit() -> None:
    counted = Counted()
    found = run_backtest(LONG, EVERY_FIFTH, 3, HALF, [LastValue(), counted])
    assert (counted.calls, counted.levels) == (10, (0.1, 0.9))
    assert list(found.baseline_quantiles) == ["drift"]
    for level, rows in found.baseline_quantiles["drift"].items():
        np.testing.assert_array_equal(rows, found.forecasts["drift"] + level - 0.5)
    np.testing.assert_array_equal(found.forecasts["drift"][1], [110, 111, 112])


def test_baselines_are_asked_for_no_quantiles_where_the_model_has_none() -> None:
    counted = Counted()
    found = run_backtest(RAMPS, WINDOWS, 2, MODEL, [counted])
    assert (counted.calls, counted.levels, found.baseline_quantiles) == (5, (), {})


def test_quantiles_are_missing_where_the_baseline_fails() -> None:
    data = panel([1.0, NAN, NAN, 4.0, 5.0, 6.0, 7.0, 8.0])
    found = run_backtest(data, [(0, 2), (0, 5)], 2, Model("half", half_last_known), [Counted()])
    assert [failure.time for failure in found.failures["drift"]] == ["2024-03-01T02:00:00"]
    np.testing.assert_array_equal(found.baseline_quantiles["drift"][0.9], [[NAN, NAN], [6.4, 7.4]])


def half_last_known(panel: Panel, series: Indices, origins: Indices) -> Prediction:
    ones = np.ones((len(series), 2))
    return Prediction(ones, {0.9: ones})


def test_quantiles_of_a_baseline_must_be_finite_and_one_for_each_step_and_level(monkeypatch: pytest.MonkeyPatch) -> None:
    given = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, np.inf]])
    monkeypatch.setattr(Counted, "forecast_quantiles", lambda *_: (np.ones(3), given))
    found = run_backtest(LONG, [(0, 10)], 3, HALF, [Counted()])
    wanted = "run_backtest: quantile 0.9 of 'drift' must be finite, got inf for series 's0', origin 10, step 3 ahead."
    assert found.failures["drift"][0].message == wanted
    assert np.isnan(found.forecasts["drift"]).all()
    given = np.ones((3, 1))
    with pytest.raises(ShapeError, match=r"'drift' must forecast \[H, Q\] = \[3, 2\], got \[3, 1\]"):
        run_backtest(LONG, [(0, 10)], 3, HALF, [Counted()])


def test_model_must_give_the_same_quantiles_everywhere() -> None:
    def refit(panel: Panel, origin: int) -> Predict:
        return lambda panel, series, origins: Prediction(half_last(3)(panel, series, origins).point)

    with pytest.raises(DataError, match=r"'half' must give the same quantiles at every origin, got \[0.1, 0.9\] and then \[\]"):
        run_backtest(LONG, EVERY_FIFTH, 3, replace(HALF, refit=refit, every=3))


def test_ets_stands_beside_the_model_with_its_quantiles() -> None:
    noisy = panel(np.random.default_rng(0).normal(size=60).cumsum())
    found = run_backtest(noisy, [(0, 50)], 3, HALF, [Ets()])
    point, quantiles = Ets().forecast_quantiles(noisy.series[0].target[:50], 3, 4, (0.1, 0.9))
    np.testing.assert_array_equal(found.forecasts["ETS"][0], point)
    np.testing.assert_array_equal(found.baseline_quantiles["ETS"][0.1][0], quantiles[:, 0])
    assert found.scores()["ETS"]["crps"] > 0
