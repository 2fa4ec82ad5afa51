"""The tables' command, and how their protocols cut the data, on made-up series of the real ones' shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.data import Panel, read_panel
from grus.evaluation import SeasonalNaive
from grus.evaluation.backtest import Backtest
from tables import airline, co2, ett, m4, music, pm25
from tables.__main__ import main
from tables.show import CLASSES, TABLES, lines
from tables.table import Row, baseline_rows, over_seeds


def counting(start: str, steps: int, step: str) -> Panel:
    """1, 2, 3, … from a date on."""
    return read_panel({"ds": pd.date_range(start, periods=steps, freq=step).to_numpy(), "y": np.arange(1.0, steps + 1)})


# --- the command ------------------------------------------------------------------------------------------------------------------
def test_help_lists_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    forecasts = ["airline", "co2", "etth1-96", "etth1-192", "etth1-336", "etth1-720", "ettm1-96", "ettm1-336", "m4-hourly", "m4-weekly", "pm25"]
    series = ["vowels", "pendigits", "italy", "motions", "gunpoint", "arrowhead", "names", "physionet", "sst2", "chnsenticorp", "imdb", "mnist"]
    assert list(TABLES) == [*forecasts, "jsb", "nottingham", "piano", *series, "adding"]
    assert all(f"{table.name:12} {table.title}" in printed for table in TABLES.values())


def test_missing_data_is_listed_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / airline.FILE
    there.parent.mkdir()
    there.touch()
    assert main(["--data", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--data or in GRUS_DATA" in said.err
    files = [
        co2.FILE,
        ett.HOURS.file,
        ett.QUARTERS.file,
        *(file for table in m4.TABLES for file in table.files),
        pm25.FILE,
        *(table.files[0] for table in music.TABLES),
        *(file for table in CLASSES for file in table.files),
    ]
    assert said.err.splitlines()[1:] == [f"  {tmp_path / name}" for name in files]


def test_data_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GRUS_DATA", str(tmp_path))
    assert main(["etth1-96"]) == 2
    assert str(tmp_path / ett.HOURS.file) in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["weather"], ["--seeds", "0"], ["--jobs", "0"]])
def test_wrong_arguments_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert wrong[-1] in capsys.readouterr().err


# --- rows -------------------------------------------------------------------------------------------------------------------------
def test_row_over_seeds_shows_mean_deviation_and_every_figure() -> None:
    row = over_seeds("ours", (3, 5), lambda seed: {"MSE": float(seed)})
    assert row.figures == {"MSE": (3.0, 5.0)}
    assert len(row.seconds) == 2
    assert row.cell("MSE") == "4 ± 1.4 (2 seeds)"
    assert row.cell("MAE") == "-"
    shown = lines(TABLES["etth1-96"], Row("ours", {"MSE": (3.0, 5.0), "MAE": (1.0, 1.0)}, (2.0, 4.0)), "here")
    assert [" ".join(each.split()) for each in shown] == ["here ours 4 ± 1.4 (2 seeds) 1 ± 0 (2 seeds) 3.0", "by seed 3 5 1 1"]
    assert Row("theirs", {"MSE": (0.368,)}).cell("MSE") == "0.368"


def test_baseline_rows_see_the_history_before_the_origin_alone() -> None:
    panel = counting("2001-01-01", 36, "MS")
    (row,) = baseline_rows(panel, [(0, 24), (0, 30)], 6, (SeasonalNaive(),), co2.score)
    assert row.name == "seasonal naive"
    assert row.figures == {co2.MAE: (12.0,)}


# --- protocols --------------------------------------------------------------------------------------------------------------------
def test_airline_trains_until_1958_and_forecasts_every_month_from_1959() -> None:
    panel = counting("1949-01-01", 144, "MS")
    parts = airline.cut(panel)
    times = panel.series[0].times.astype("datetime64[M]")
    assert times[parts.train[0][1] - 1] == np.datetime64("1958-12")
    origins = [origin for _, origin in airline.windows_of(parts)]
    assert [str(time) for time in times[[origins[0], origins[1], origins[-1]]]] == ["1959-01", "1959-02", "1960-07"]
    assert len(origins) == 19


def test_airline_scores_the_sixth_month_apart() -> None:
    truth = np.full((2, 6), 100.0)
    forecast = np.tile([100.0, 100, 100, 100, 100, 106], (2, 1))
    nothing = np.zeros(2)
    backtest = Backtest(6, 12, ("1", "1"), np.array([24, 25]), np.zeros((2, 6), np.int64), truth, {"GRU": forecast}, {}, nothing)
    assert airline.score(backtest) == pytest.approx({airline.SIXTH: 6.0, airline.ALL: 1.0})


def test_airline_learns_how_a_series_grows(tmp_path: Path) -> None:
    months = np.arange(144)
    values = 100 * 1.1 ** (months / 12) * (2 + np.sin(2 * np.pi * months / 12)) * np.exp(0.01 * np.sin(months / 6))
    path = tmp_path / airline.FILE
    path.parent.mkdir()
    pd.DataFrame({"Month": pd.date_range("1949-01-01", periods=144, freq="MS").strftime("%Y-%m"), "Passengers": values}).to_csv(path, index=False)
    row = next(airline.run(tmp_path, (0, 1)))
    assert row.name == "GRU, 20 units"
    assert {metric: len(figures) for metric, figures in row.figures.items()} == {airline.SIXTH: 2, airline.ALL: 2}
    assert max(row.figures[airline.SIXTH]) < 2  # last year's values are 9 % too low


def test_co2_tests_the_last_four_years_from_every_quarter() -> None:
    parts = co2.cut(counting("1958-03-29", 2284, "W-SAT"))
    assert (parts.train, parts.validation, parts.test) == (((0, 2076),), ((2076, 2076),), ((2076, 2284),))
    origins = [origin for _, origin in co2.windows_of(parts)]
    assert (origins[0], origins[1], origins[-1], len(origins)) == (2076, 2089, 2232, 13)


def test_pm25_is_cut_by_year_and_forecast_from_every_midnight() -> None:
    parts = pm25.cut(counting("2010-01-01", 43824, "h"))
    assert (parts.train, parts.validation, parts.test) == (((0, 26304),), ((26304, 35064),), ((35064, 43824),))
    times = parts.panel.series[0].times
    origins = np.array([origin for _, origin in pm25.windows_of(parts)])
    assert len(origins) == 365
    assert (times[origins] == times[origins].astype("datetime64[D]")).all()
    assert times[origins[0]] == np.datetime64("2014-01-01")


def test_pm25_is_scored_on_values_hidden_from_the_forecasters() -> None:
    truth = counting("2014-01-01", 72, "h")
    times = truth.series[0].times[48:].reshape(1, 24)
    hidden = np.full((1, 24), np.nan)
    hidden[0, 0] = 49.0
    forecast = np.arange(49.0, 73.0).reshape(1, 24) + 2
    backtest = Backtest(24, 24, ("1",), np.array([48]), times, hidden, {"GRU": forecast}, {}, np.zeros(1))
    assert pm25.score(backtest, truth) == {pm25.MAE: 2.0}
