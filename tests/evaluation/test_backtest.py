"""The record of a backtest, its scores by hand, and the run that makes it, interrupted and not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel, Series
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation import Backtest, LastValue, Model, Prediction, SeasonalNaive, origins, rolling, run_backtest
from grus.evaluation.journal import NAME

NAN = np.nan
HOURS = np.datetime64("2024-03-01T00", "ns") + np.arange(500) * np.timedelta64(1, "h")
Indices = NDArray[np.int64]


def series(id: str, values: NDArray[np.float64]) -> Series:
    empty = np.zeros((len(values), 0))
    return Series(id, HOURS[: len(values)], values, empty, empty, np.zeros(0))


def panel(*values: NDArray[np.float64], season: int = 4) -> Panel:
    return Panel(tuple(series(f"s{index}", array) for index, array in enumerate(values)), Columns(id="id"), Step("h", season))


def record(**changes: Any) -> Backtest:
    """Two windows of two steps; the model's errors are 1, 2 | unknown, 3, the baseline's 2, 2 | unknown, 1."""
    content: dict[str, Any] = {
        "horizon": 2,
        "season": 4,
        "series": ("a", "b"),
        "origins": np.array([10, 20]),
        "times": HOURS[[[10, 11], [20, 21]]],
        "truth": np.array([[5.0, 5.0], [NAN, 4.0]]),
        "forecasts": {"gru": np.array([[6.0, 3.0], [9.0, 1.0]]), "naive": np.array([[7.0, 7.0], [0.0, 5.0]])},
        "quantiles": {0.1: np.array([[4.0, 2.0], [8.0, 0.0]]), 0.5: np.array([[6.0, 3.0], [9.0, 1.0]]), 0.9: np.array([[8.0, 4.0], [9.0, 4.0]])},
        "scale": np.array([2.0, 0.5]),
        "seconds": {"gru": 1.5, "naive": 0.001},
    }
    return Backtest(**(content | changes))


def test_scores_by_hand() -> None:
    scores = record().scores()
    pinballs = [0.1 * 1 + 0.1 * 3 + 0.1 * 4, 0.5 * 1 + 0.5 * 2 + 0.5 * 3, 0.1 * 3 + 0.9 * 1 + 0]  # of the levels, summed over the three truths
    assert scores["gru"] == pytest.approx(
        {
            "mae": 2.0,
            "rmse": np.sqrt(14 / 3),
            "smape": 200 * (1 / 11 + 2 / 8 + 3 / 5) / 3,
            "mase": (1 / 2 + 2 / 2 + 3 / 0.5) / 3,
            "crps": 2 / 3 * sum(pinballs) / 3,
            "coverage": 2 / 3,
            "width": (4 + 2 + 4) / 3,
            "winkler": (4 + (2 + 10 * 1) + 4) / 3,
        }
    )
    assert set(scores["naive"]) == {"mae", "rmse", "smape", "mase"}
    assert scores["naive"]["mase"] == pytest.approx((1 + 1 + 2) / 3)


def test_by_horizon_by_hand() -> None:
    by_step = record().by_horizon("mae")
    np.testing.assert_array_equal(by_step["gru"], [1.0, 2.5])
    np.testing.assert_array_equal(by_step["naive"], [2.0, 1.5])
    assert list(record().by_horizon("coverage")) == ["gru"]
    np.testing.assert_array_equal(record().by_horizon("coverage")["gru"], [1.0, 0.5])
    with pytest.raises(OptionError, match=r"by_horizon: metric must be one of mae, rmse, .*, got 'mea'"):
        record().by_horizon("mea")


def test_coverages_name_the_nominal_share() -> None:
    found = record(quantiles={0.9: np.full((2, 2), 5.0), 0.4: np.zeros((2, 2)), 0.6: np.full((2, 2), 4.0), 0.1: np.zeros((2, 2))})
    assert found.intervals == ((0.1, 0.9), (0.4, 0.6))
    assert found.coverages() == pytest.approx({0.8: 1.0, 0.2: 1 / 3})


def test_quantiles_without_a_pair_give_crps_alone() -> None:
    assert set(record(quantiles={0.5: np.ones((2, 2))}).scores()["gru"]) == {"mae", "rmse", "smape", "mase", "crps"}


def test_worst_windows_come_first() -> None:
    assert record().worst(5) == [1, 0]
    assert record().worst(1, "naive") == [0]
    assert record(truth=np.array([[5.0, 5.0], [NAN, NAN]])).worst(5) == [0]
    with pytest.raises(OptionError, match=r"worst: model must be one of gru, naive, .*, got 'lstm' and 'mae'"):
        record().worst(1, "lstm")
    with pytest.raises(OptionError, match="got 'gru' and 'width'"):
        record().worst(1, metric="width")


def test_mase_leaves_windows_without_a_scale_out() -> None:
    assert record(scale=np.array([2.0, 0.0])).scores()["gru"]["mase"] == pytest.approx(3 / 4)
    assert np.isnan(record(scale=np.array([NAN, NAN])).scores()["gru"]["mase"])
    np.testing.assert_array_equal(record(scale=np.array([NAN, 0.5])).by_horizon("mase")["gru"], [NAN, 6.0])


def test_scores_need_a_known_truth() -> None:
    with pytest.raises(DataError, match="truth must have a known value"):
        record(truth=np.full((2, 2), NAN)).scores()


def test_table_ranks_by_mae() -> None:
    table, scores = record().table(), record().scores()
    assert table.index.name == "forecaster"
    assert table.index.tolist() == ["naive", "gru"]
    assert table.columns.tolist() == ["mae", "rmse", "smape", "mase", "crps", "coverage", "width", "winkler", "seconds"]
    assert set(table.dtypes) == {np.dtype(np.float64)}
    assert table.loc["gru"].to_dict() == scores["gru"] | {"seconds": 1.5}
    assert table.loc["naive"].dropna().to_dict() == scores["naive"] | {"seconds": 0.001}
    assert np.isnan(record(seconds={"gru": 1.5}).table().loc["naive", "seconds"])
    assert record(forecasts={"gru": record().forecasts["gru"]}).table().index.tolist() == ["gru"]


def test_scores_over_seeds_have_an_interval() -> None:
    found = record(seeds={0: {"mae": 1.0, "mase": NAN}, 1: {"mae": 2.0, "mase": 1.0}}).over_seeds()
    assert list(found) == ["mae"]
    half = 12.706204736432095 * 0.5  # Student's t with 1 degree of freedom at 0.975, times √½ / √2
    assert (found["mae"].mean, found["mae"].low, found["mae"].high, found["mae"].count) == pytest.approx((1.5, 1.5 - half, 1.5 + half, 2))
    with pytest.raises(DataError, match="spreads: scores must be of at least two seeds, got 0; run more seeds"):
        record().over_seeds()


def test_json_is_exact() -> None:
    truth = np.random.default_rng(0).normal(size=(2, 2)) * 1e-7
    truth[0, 1] = NAN
    before = record(truth=truth)
    text = before.to_json()
    assert "NaN" not in text
    assert json.loads(text)["truth"][0][1] is None
    after = Backtest.from_json(text)
    for name in ("origins", "times", "truth", "scale"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    for name in ("forecasts", "quantiles"):
        assert list(getattr(after, name)) == list(getattr(before, name))
        for key, array in getattr(before, name).items():
            np.testing.assert_array_equal(getattr(after, name)[key], array)
    assert (after.horizon, after.season, after.series, after.seconds) == (2, 4, ("a", "b"), before.seconds)
    assert after.to_json() == text
    assert after.seeds == {}


def test_json_keeps_scores_by_seed() -> None:
    before = record(seeds={0: {"mae": 1 / 3, "mase": NAN}, 12: {"mae": 2.0, "mase": 1.0}})
    after = Backtest.from_json(before.to_json())
    assert list(after.seeds) == [0, 12]
    assert after.seeds[12] == before.seeds[12]
    assert after.seeds[0]["mae"] == 1 / 3
    assert np.isnan(after.seeds[0]["mase"])
    older = json.loads(record().to_json())
    del older["seeds"]
    assert Backtest.from_json(json.dumps(older)).seeds == {}


def test_json_keeps_whole_number_times() -> None:
    times = np.array([[10, 11], [20, 21]])
    found = Backtest.from_json(record(times=times).to_json()).times
    np.testing.assert_array_equal(found, times)
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"version": 1}', record().to_json().replace("[5.0, 5.0]", "[5.0]"), record().to_json().replace("2024", "soon")]
)
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"Backtest\.from_json: text must be as to_json wrote it"):
        Backtest.from_json(text)


def test_record_of_another_version_is_refused() -> None:
    with pytest.raises(DataError, match=r"Backtest\.from_json: version must be 1, got 2; run the backtest again"):
        Backtest.from_json(record().to_json().replace('"version": 1', '"version": 2'))


def test_record_refuses_wrong_shapes_and_infinite_values() -> None:
    with pytest.raises(ShapeError, match=r"Backtest: forecasts\['gru'\] must be \[2, 2\], got \[2, 3\]"):
        record(forecasts={"gru": np.zeros((2, 3))})
    with pytest.raises(DataError, match="Backtest: forecasts must hold the model's, got none"):
        record(forecasts={})
    with pytest.raises(DataError, match=r"Backtest: naive must be finite or nan, got inf at \[0, 1\]"):
        record(forecasts={"naive": np.array([[1.0, np.inf], [1.0, 1.0]])}).to_json()


def test_origins_leave_room_for_the_horizon() -> None:
    np.testing.assert_array_equal(origins(20, 10, 3, 5), [10, 13])
    np.testing.assert_array_equal(origins(15, 10, 1, 5), [10])
    with pytest.raises(DataError, match="origins: the series must have 15 steps for one forecast, got 14"):
        origins(14, 10, 1, 5)
    with pytest.raises(OptionError, match="origins: stride must be at least 1, got 0"):
        origins(20, 10, 0, 5)


def half_last(horizon: int, calls: list[int] | None = None, factor: float = 0.5) -> Callable[[Panel, Indices, Indices], Prediction]:
    """A model whose forecast is a multiple of the value before the origin."""

    def predict(panel: Panel, series: Indices, origins: Indices) -> Prediction:
        if calls is not None:
            calls.append(len(series))
        last = np.array([panel.series[int(index)].target[origin - 1] for index, origin in zip(series, origins, strict=True)])
        point = factor * np.repeat(last[:, None], horizon, axis=1)
        return Prediction(point, {0.1: point - 1, 0.9: point + 1})

    return predict


RAMP = panel(np.arange(40.0), 100 + np.arange(30.0))
WINDOWS = [(index, int(origin)) for index, length in ((0, 40), (1, 30)) for origin in origins(length, 10, 5, 3)]


def test_run_records_what_was_forecast_and_what_came() -> None:
    found = run_backtest(RAMP, WINDOWS, 3, Model("half", half_last(3)), [LastValue(), SeasonalNaive()])
    assert list(zip(found.series, found.origins.tolist(), strict=True))[:4] == [("s0", 10), ("s1", 10), ("s0", 15), ("s1", 15)]
    assert len(found) == len(WINDOWS) == 10
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
    run_backtest(RAMP, WINDOWS, 3, Model("half", half_last(3, calls)), on_progress=lambda done, total: progress.append((done, total)))
    assert calls == [4, 5, 1]  # whole origins: four of two windows, then two of the longer series alone
    assert progress == [(4, 10), (9, 10), (10, 10)]


def test_baselines_see_nothing_from_the_origin_on() -> None:
    changed = RAMP.series[0].target.copy()
    changed[20:] = 1e6
    calls = [run_backtest(each, [(0, 20)], 3, Model("half", half_last(3)), [LastValue(), SeasonalNaive()]) for each in (RAMP, panel(changed))]
    for name in ("half", "last value", "seasonal naive"):
        np.testing.assert_array_equal(calls[0].forecasts[name], calls[1].forecasts[name])
    np.testing.assert_array_equal(calls[0].scale, calls[1].scale)


def test_refit_takes_over_every_so_many_origins() -> None:
    fitted: list[int] = []

    def refit(panel: Panel, origin: int) -> Callable[[Panel, Indices, Indices], Prediction]:
        fitted.append(origin)
        return half_last(3, factor=float(origin))

    windows = [(0, origin) for origin in (10, 15, 20, 25, 30)]
    found = run_backtest(RAMP, windows, 3, Model("refitted", half_last(3, factor=1.0), refit, every=2))
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

    def refit(panel: Panel, origin: int) -> Callable[[Panel, Indices, Indices], Prediction]:
        fitted.append(origin)
        return half_last(4, factor=1 / origin)

    def run(calls: list[int], **options: Any) -> Backtest:
        model = Model("refitted", half_last(4, calls), refit, every=2)
        return run_backtest(data, windows, 4, model, [LastValue()], **options)

    whole = run([])

    def stop(done: int, total: int) -> None:
        if done == 2 * finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([], folder=tmp_path, on_progress=stop)
    if torn:
        with (tmp_path / NAME).open("a", encoding="utf-8") as file:
            file.write('{"forecasts": {"refi')
    fitted.clear()
    progress: list[int] = []
    resumed = run([], folder=tmp_path, resume=True, on_progress=lambda done, total: progress.append(done))
    assert progress == [2 * part for part in range(finished + 1, 6)]
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
    model = Model("half", half_last(3))
    first = run_backtest(RAMP, WINDOWS, 3, model, [Zero()], folder=tmp_path)
    again = run_backtest(RAMP, WINDOWS, 3, model, [Zero()], folder=tmp_path, resume=True)
    assert again.to_json() == first.to_json()


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    model = Model("half", half_last(3))
    run_backtest(RAMP, WINDOWS, 3, model, folder=tmp_path)
    with pytest.raises(OptionError, match=r"run_backtest: the folder must hold no backtest\.jsonl"):
        run_backtest(RAMP, WINDOWS, 3, model, folder=tmp_path)
    others: list[tuple[Panel, list[tuple[int, int]], Model]] = [
        (RAMP, WINDOWS[1:], model),
        (RAMP, WINDOWS, Model("third", half_last(3))),
        (panel(np.arange(40.0) + 1e-9, 100 + np.arange(30.0)), WINDOWS, model),
    ]
    for data, windows, other in others:
        with pytest.raises(DataError, match="line 1 must be of this very run"):
            run_backtest(data, windows, 3, other, folder=tmp_path, resume=True)
    with pytest.raises(OptionError, match="run_backtest: resume must have a folder"):
        run_backtest(RAMP, WINDOWS, 3, model, resume=True)


def test_damaged_line_is_named(tmp_path: Path) -> None:
    run_backtest(RAMP, WINDOWS, 3, Model("half", half_last(3)), folder=tmp_path)
    path = tmp_path / NAME
    path.write_text(path.read_text(encoding="utf-8").replace('"quantiles"', '"quintiles"'), encoding="utf-8")
    with pytest.raises(DataError, match="line 2 must be as it was written"):
        run_backtest(RAMP, WINDOWS, 3, Model("half", half_last(3)), folder=tmp_path, resume=True)


def test_model_must_forecast_finite_numbers_of_the_right_shape() -> None:
    with pytest.raises(ShapeError, match=r"point of 'half' must be \[N, H\] = \[10, 3\], got \[10, 4\]"):
        run_backtest(RAMP, WINDOWS, 3, Model("half", half_last(4)))
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
        run_backtest(RAMP, windows, 3, Model("half", half_last(3)))


def test_names_must_differ() -> None:
    with pytest.raises(OptionError, match="every forecaster must have a name of its own, got last value, last value"):
        run_backtest(RAMP, WINDOWS, 3, Model("last value", half_last(3)), [LastValue()])
