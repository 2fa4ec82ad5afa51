"""A run from the command line to its page: train, judge, predict, report, on tables with gaps and covariates."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.cli import main

SMALL = ("--set=model.hidden_size=4", "--set=data.lookback=12", "--epochs=2", "--quiet")


def table(steps: int = 150, **columns: object) -> pd.DataFrame:
    """A wave of twelve steps with noise, seven values missing."""
    noise = np.random.default_rng(0).normal(0, 0.1, steps)
    values = 10 + np.sin(np.arange(steps) * np.pi / 6) + noise
    values[20:27] = np.nan
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps, freq="h"), "y": values, **columns})


def stream(content: bytes) -> io.TextIOWrapper:
    """Standard input with this content."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")


@pytest.fixture
def run(elsewhere: Path) -> Path:
    table().to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "run", *SMALL]) == 0
    return Path("run")


def test_a_run_from_table_to_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in (run / "model").iterdir()} == {"config.json", "scalers.json", "model.safetensors", "README.md"}
    assert main(["evaluate", str(run), "--quiet"]) == 0
    assert "seasonal naive" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) >= {"gru", "last value", "drift", "seasonal naive"}
    assert "seasonal naive" in (run / "model" / "README.md").read_text()
    assert not (run / "checkpoints" / "backtest").exists()
    assert main(["report", str(run)]) == 0
    assert "gru" in (run / "report.html").read_text()
    capsys.readouterr()
    assert main(["predict", str(run), "--levels", "0.1,0.9"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out), parse_dates=["ds"])
    assert found.columns.tolist() == ["ds", "y", "0.1", "0.9"]
    assert found["ds"].tolist() == pd.date_range("2024-01-07 06:00", periods=6, freq="h").tolist()
    assert (found["0.1"] <= found["0.9"]).all()


def test_the_same_configuration_gives_the_same_bits(run: Path) -> None:
    assert main(["fit", "--config", "run/config.yaml", "--out", "again", "--quiet"]) == 0
    assert (run / "model" / "model.safetensors").read_bytes() == Path("again/model/model.safetensors").read_bytes()
    assert (run / "model" / "scalers.json").read_bytes() == Path("again/model/scalers.json").read_bytes()


def test_prediction_from_stdin_goes_on_from_there(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = table().iloc[:-30]
    monkeypatch.setattr(sys, "stdin", stream(shorter.to_csv(index=False).encode()))
    capsys.readouterr()
    assert main(["predict", str(run), "--data", "-"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out), parse_dates=["ds"])
    assert found["ds"][0] == shorter["ds"].iloc[-1] + pd.Timedelta("1h")


def test_future_covariates_are_read_from_rows_behind_the_target(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promotion = np.random.default_rng(1).integers(0, 2, 150).astype(float)
    full = table(promotion=promotion)
    full["y"] += 3 * promotion
    full.iloc[:144].to_csv("past.csv", index=False)
    ahead = full.copy()
    ahead.loc[144:, "y"] = np.nan
    ahead.to_csv("ahead.csv", index=False)
    assert main(["fit", "past.csv", "--horizon", "6", "--future", "promotion", "--out", "run", *SMALL]) == 0
    capsys.readouterr()
    assert main(["predict", "run"]) == 1
    assert capsys.readouterr().err == (
        f"grus: predict: {Path('past.csv').absolute()} must end with 6 rows for the steps to forecast, with their promotion and a blank y, "
        "got 0 such rows of series 'series' after 2024-01-06 23:00; "
        "add them behind the history in that file, or in a copy that is given with --data.\n"
    )
    ahead.iloc[:148].to_csv("short.csv", index=False)
    assert main(["predict", "run", "--data", "short.csv"]) == 1
    assert "predict: short.csv must end with 6 rows for the steps to forecast, with their promotion and a blank y, got 4" in capsys.readouterr().err
    ahead.iloc[144:].to_csv("only.csv", index=False)
    assert main(["predict", "run", "--data", "only.csv"]) == 1
    assert capsys.readouterr().err == (
        "grus: only.csv: must hold the history of the series, and behind it the rows to forecast, got no value of 'y' in any row; "
        "put both into one table, 'y' blank in the rows to forecast.\n"
    )
    ahead.iloc[144:].drop(columns="y").to_csv("only.csv", index=False)
    assert main(["predict", "run", "--data", "only.csv"]) == 1
    assert capsys.readouterr().err == (
        "grus: only.csv: column 'y' must be there, got 'ds', 'promotion'; "
        "name it as in the table that the network has learnt from, and give the history of the series, not only the rows to forecast.\n"
    )
    assert main(["predict", "run", "--data", "ahead.csv"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out), parse_dates=["ds"])
    assert found["ds"].tolist() == full["ds"][144:].tolist()


def test_gru_d_needs_one_option(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", "--cell", "gru_d", "--out", "run", *SMALL]) == 0
    assert main(["evaluate", "run", "--quiet"]) == 0
    assert "gru_d" in capsys.readouterr().out


def test_times_may_stand_in_several_columns(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table()
    parts = {name: getattr(frame["ds"].dt, name) for name in ("year", "month", "day", "hour")}
    pd.DataFrame({**parts, "y": frame["y"]}).to_csv("parts.csv", index=False)
    assert main(["fit", "parts.csv", "--time", "year,month,day,hour", "--horizon", "6", "--out", "run", *SMALL]) == 0
    capsys.readouterr()
    assert main(["predict", "run", "--levels", "0.5"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert found.columns.tolist() == ["year", "month", "day", "hour", "y", "0.5"]
    assert found[["year", "month", "day", "hour"]].to_numpy().tolist() == [[2024, 1, 7, hour] for hour in range(6, 12)]


def test_values_missing_at_the_end_are_told_beside_the_forecast(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = table()
    late.loc[147:, "y"] = np.nan
    late.to_csv("late.csv", index=False)
    capsys.readouterr()
    assert main(["predict", "run", "--data", "late.csv"]) == 0
    printed = capsys.readouterr()
    assert "the last 3 of series 'series', forecast from 2024-01-07 06:00 on" in printed.err
    assert printed.out.splitlines()[1].startswith("2024-01-07 06:00:00,")


def test_times_of_an_irregular_calendar_are_read_from_rows_behind_the_target(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table()
    frame["ds"] += pd.to_timedelta(np.random.default_rng(2).integers(0, 50, 150), "min")
    frame.loc[144:, "y"] = np.nan
    frame.to_csv("uneven.csv", index=False)
    assert main(["fit", "uneven.csv", "--horizon", "6", "--set=data.step=irregular", "--set=data.test=0", "--out", "run", *SMALL]) == 0
    capsys.readouterr()
    assert main(["predict", "run"]) == 0
    assert pd.read_csv(io.StringIO(capsys.readouterr().out), parse_dates=["ds"])["ds"].tolist() == frame["ds"][144:].tolist()


def test_work_is_told_in_plain_lines_where_there_is_no_terminal(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "run", *SMALL[:-1]]) == 0
    first, *told = capsys.readouterr().err.splitlines()
    assert first == "grus: noticed in the data: missing targets: 7 of 150 rows"
    assert told[0].startswith("training gru of 1 × 4 units on wave.csv (1 series, 150 steps of h): at most 2 epochs of ")
    assert [line.split()[:3] for line in told[1:-1]] == [["epoch", "1/2", "loss"], ["epoch", "2/2", "loss"]]
    assert told[-1].startswith("grus: next: grus evaluate run, ")
    assert main(["evaluate", "run"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "testing gru on the test part of wave.csv (1 series, 150 steps of h)"
    assert [line.split("  ")[0] for line in told[1:3]] == ["backtest: 1 of 2 windows", "backtest: 2 of 2 windows"]
    assert told[3].startswith("grus: next: grus report run, ")
    assert told[4].startswith("grus: grus predict run forecasts with this network, which has not learnt from the test part")


def test_a_network_for_use_is_trained_on_the_test_part_too(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", "run/config.yaml", "--set", "data.test=0", "--out", "runs/final", "--quiet"]) == 0
    shifts = [json.loads((place / "model/scalers.json").read_text())["scaling"]["target"]["shift"][0] for place in (run, Path("runs/final"))]
    values = table()["y"]
    assert shifts == pytest.approx([values[:120].mean(), values[:135].mean()], rel=1e-6)
    capsys.readouterr()
    assert main(["predict", "runs/final"]) == 0
    assert capsys.readouterr().out.startswith("ds,y")
    for command in (["evaluate", "runs/final"], ["evaluate", "runs/final", "--data", "wave.csv"]):
        assert main(command) == 1
        told = capsys.readouterr().err
        assert told.startswith("grus: evaluate: runs/final must be a run with a test part, got one with data.test=0")
        assert told.endswith(": grus fit --config runs/final/config.yaml --set data.test=0.1 --out runs/final-tested\n")


def test_short_series_are_refused_or_left_out_as_asked(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.concat([table().assign(id="a"), table(8).assign(id="b")]).to_csv("two.csv", index=False)
    command = ["fit", "two.csv", "--id", "id", "--horizon", "6", "--out", "run", *SMALL]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "got 1 of 2 that are too short, the first 'b' of 8 steps; ask for smaller parts, or leave such series out with data.short=drop" in told
    assert not Path("run").exists()
    assert main([*command, "--set", "data.short=drop"]) == 0
    assert ["series", "1"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_horizon_that_no_series_has_room_for_is_named(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("wave.csv", index=False)
    for horizon in (50_000, 130):  # longer than the series, and than what is left of it
        assert main(["fit", "wave.csv", "--horizon", str(horizon), "--out", "run", *SMALL]) == 1
        assert capsys.readouterr().err == (
            f"grus: data.horizon: a series must have {horizon + 1} steps to learn from for a horizon of {horizon}, got 150 in the longest, 'series', "
            "of which data.validation 0.1 and data.test 0.1 are set aside; forecast fewer steps, or give longer series.\n"
        )
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "run", "--set=data.test=150", *SMALL]) == 1
    assert "make validation and test smaller" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "column", "flag"),
    [
        ([], "ds", "--time"),
        (["--time=when"], "y", "--target"),
        (["--time=when", "--target=sold", "--id=k"], "k", "--id"),
        (["--time=when", "--target=sold", "--past=q"], "q", "--past"),
        (["--time=year,month", "--target=sold"], "year", "--time"),
    ],
)
def test_column_that_is_not_there_is_told_with_its_option(
    options: list[str], column: str, flag: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table().rename(columns={"ds": "when", "y": "sold"}).to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", *options, *SMALL]) == 1
    there = f"{Path('wave.csv').absolute()}: column '{column}' must be there, got 'when', 'sold'; name the right one with {flag}."
    assert capsys.readouterr().err == f"grus: {there}\n"


@pytest.mark.parametrize("name", ["no.csv", "no.parquet", "no"])
def test_table_that_is_not_there_is_named(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for command in (["fit", name, "--horizon", "6", "--out", "new"], ["evaluate", "run", "--data", name], ["predict", "run", "--data", name]):
        assert main(command) == 1
        shown = Path(name).absolute() if command[0] == "fit" else name
        assert capsys.readouterr().err == f"grus: {shown}: must be a table, got nothing there; check the path.\n"


BAD = [
    ("empty.csv", "", "must hold"),
    ("header.csv", "ds,y\n", "must hold rows"),
    ("one.csv", "ds,y\n2024-01-01,1\n", "at least two rows"),
    ("text.csv", "ds,y\n" + "".join(f"2024-01-{day:02},{'abc' if day == 7 else day}\n" for day in range(1, 29)), "row 8"),
    ("inf.csv", "ds,y\n" + "".join(f"2024-01-{day:02},{'inf' if day == 9 else day}\n" for day in range(1, 29)), "row 10"),
    ("date.csv", "ds,y\n" + "".join(f"2024-01-{day:02},{day}\n" for day in (*range(1, 9), 40, *range(10, 29))), "row 10"),
    ("short.csv", "ds,y\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n", "got 3 in the longest"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD, ids=[case[0] for case in BAD])
def test_bad_tables_are_refused_and_leave_no_run(name: str, text: str, message: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_text(text)
    assert main(["fit", name, "--horizon", "6", "--out", "run", *SMALL]) == 1
    told = capsys.readouterr().err
    assert name in told or name == "short.csv"
    assert message in told
    assert len(told.strip().splitlines()) <= 6
    assert not Path("run").exists()


def test_a_model_of_another_run_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "other", "--set=model.hidden_size=5", *SMALL[1:]]) == 0
    (run / "model" / "model.safetensors").write_bytes(Path("other/model/model.safetensors").read_bytes())
    capsys.readouterr()
    assert main(["predict", str(run)]) == 1
    told = capsys.readouterr().err
    assert "must have the shape" in told
    assert told.endswith("\n  The same run again: grus fit --config run/config.yaml --out run --overwrite\n")
    assert main([*told.rpartition("grus ")[2].split(), "--quiet"]) == 0
    assert main(["predict", str(run)]) == 0


def test_quantiles_of_a_network_without_any_are_refused(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "run", "--set=model.head=point", *SMALL]) == 0
    assert main(["predict", "run", "--levels", "0.1,0.9"]) == 2
    expected = "grus: predict: levels must be left out for a network without quantiles, got 0.1, 0.9; train one with model.head=quantile.\n"
    assert capsys.readouterr().err == expected


def test_forecasts_that_all_start_at_one_step_of_the_season_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "every forecast starts at the same step of the season of 6 (stride 6), and the scores are of such forecasts alone; "
    command = ["fit", "--config", "run/config.yaml", "--set", "data.season=6", "--out", "six", "--quiet"]
    assert main(command) == 0
    capsys.readouterr()
    assert main(["evaluate", "six", "--quiet"]) == 0
    assert f"{sentence}backtest.stride=5 starts at each step in turn\n" in capsys.readouterr().err
    assert sentence in Path("six/model/README.md").read_text("utf-8")
    assert main(["evaluate", "six", "--quiet", "--set", "backtest.stride=5"]) == 0
    assert "every forecast starts" not in capsys.readouterr().err + Path("six/model/README.md").read_text("utf-8")
