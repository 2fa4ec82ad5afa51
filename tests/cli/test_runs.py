"""The commands on runs that are really trained: what they print, what they keep, and what they leave as it was."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from grus.cli import main
from grus.evaluation import Backtest
from grus.evaluation.baselines import Drift
from grus.report.run import page_of
from grus.tasks import folder as folders

SMALL = ("--set=model.hidden_size=4", "--set=data.lookback=12", "--epochs=1", "--quiet")
FAILS = ("--set=model.head=negative_binomial", "--set=model.normalisation=none")  # refused when the training begins: counts are not scaled


def table(steps: int = 150, freq: str = "h", start: str = "2024-01-01", **columns: object) -> pd.DataFrame:
    values = 10 + np.sin(np.arange(steps) * np.pi / 6) + np.random.default_rng(0).normal(0, 0.1, steps)
    return pd.DataFrame({"ds": pd.date_range(start, periods=steps, freq=freq), "y": values, **columns})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on the first 120 hours and chosen on the 15 after them; 15 are left to test on."""
    place = tmp_path_factory.mktemp("trained")
    table().to_csv(place / "wave.csv", index=False)
    assert main(["fit", str(place / "wave.csv"), "--horizon", "6", "--out", str(place / "run"), *SMALL]) == 0
    return place / "run"


@pytest.fixture
def run(trained: Path, elsewhere: Path) -> Path:
    """A copy of that run, in an empty current folder."""
    shutil.copytree(trained, "run")
    return Path("run")


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != ".lock"}


def printed_table(text: str) -> dict[str, list[str]]:
    """The cells of a printed table by forecaster, whose names may have a blank."""
    return {row[0]: row[1:] for row in (re.split("  +", line.strip()) for line in text.splitlines())}


# --- evaluate --data -----------------------------------------------------------------------------------------------------------------
def test_another_table_leaves_the_record_of_the_run_as_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(200).to_csv("longer.csv", index=False)
    assert main(["evaluate", str(run), "--quiet"]) == 0
    own, before = capsys.readouterr().out, contents(run)
    assert main(["evaluate", str(run), "--data", "longer.csv", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert "seasonal naive" in printed.out
    assert printed.out != own
    assert printed.err == ""
    assert contents(run) == before
    assert main(["evaluate", str(run), "--data", "longer.csv", "--out", "found.json", "--quiet"]) == 0
    assert contents(run) == before
    found = Backtest.from_json(Path("found.json").read_text("utf-8"))
    assert found.times[:, 0].astype("M8[h]").tolist() == pd.date_range("2024-01-08 12:00", periods=3, freq="6h").to_pydatetime().tolist()
    assert capsys.readouterr().out == printed.out


def test_what_the_network_has_learnt_is_not_tested(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(140).to_csv("partly.csv", index=False)  # its last 14 begin at 126; the network has learnt until 134
    assert main(["evaluate", str(run), "--data", "partly.csv", "--out", "found.json", "--set", "backtest.stride=1"]) == 1
    assert "the test part must hold 6 steps, got 5 at most" in capsys.readouterr().err
    table(142).to_csv("partly.csv", index=False)
    assert main(["evaluate", str(run), "--data", "partly.csv", "--out", "found.json", "--set", "backtest.stride=1", "--quiet"]) == 0
    assert "grus: of 'series' the network has learnt a part of what was to be tested, which is left out" in capsys.readouterr().err
    assert Backtest.from_json(Path("found.json").read_text("utf-8")).origins.tolist() == [135, 136]
    table(120).to_csv("learnt.csv", index=False)
    assert main(["evaluate", str(run), "--data", "learnt.csv"]) == 1
    assert "must go on after 2024-01-05T23:00:00 where the network has learnt from it until 2024-01-06T14:00:00" in capsys.readouterr().err


def test_record_is_not_written_where_it_may_not_be(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    assert main(["evaluate", str(run), "--out", "nowhere/found.json"]) == 2
    assert capsys.readouterr().err.startswith("grus: nowhere/found.json: must be in a folder that is there, got none named nowhere;")
    assert main(["evaluate", str(run), "--out", str(run / "backtest.json")]) == 2
    assert "--out must be outside of the run's folder" in capsys.readouterr().err
    assert contents(run) == before


# --- evaluate --set, --seeds ---------------------------------------------------------------------------------------------------------
def test_baselines_are_asked_for_without_training_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    assert main(["evaluate", str(run), "--set", "backtest.baselines=[seasonal naive, naive 2]", "--set", "backtest.stride=3", "--quiet"]) == 0
    assert list(printed_table(capsys.readouterr().out)) == ["forecaster", "gru", "seasonal naive", "naive 2"]
    after = contents(run)
    assert {name for name in after if after[name] != before.get(name)} == {"metrics.json", "backtest.json", "model/README.md"}
    assert "| tested | 4 windows of 1 series, an origin every 3 steps, never trained anew |" in after["model/README.md"].decode()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.hidden_size=8", "evaluate: --set must be of a key such as backtest.baselines, got model.hidden_size; the network is trained"),
        ("backtest.baseline=[ETS]", "--set backtest.baseline is unknown; did you mean backtest.baselines?"),
        ("backtest.baselines=[ets]", "did you mean ETS?"),
        ("backtest.stride=0", "--set backtest.stride must be at least 1, got 0."),
    ],
)
def test_settings_that_are_none_of_an_evaluation_are_refused(run: Path, assignment: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--set", assignment]) == 2
    assert message in capsys.readouterr().err


def test_several_seeds_are_tested(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--seeds", "0,1,2", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "gru over seeds 0, 1, 2:\n  mae " in printed
    kept = Backtest.from_json((run / "backtest.json").read_text("utf-8"))
    assert list(kept.seeds) == [0, 1, 2]
    assert f"| gru over seeds 0, 1, 2 | mae {kept.over_seeds()['mae']}, " in (run / "model" / "README.md").read_text("utf-8")
    assert main(["evaluate", str(run), "--seeds", "0,1", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-2]["over_seeds"]["mae"]["count"] == 2
    assert set(told[-1]) >= {"gru", "drift"}
    assert main(["evaluate", str(run), "--seeds", "0,one"]) == 2


def test_networks_are_trained_anew_as_asked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--quiet", "--out", "never.json"]) == 0
    assert main(["evaluate", str(run), "--quiet", "--set", "backtest.refit=1"]) == 0
    never, anew = (Backtest.from_json(path.read_text("utf-8")) for path in (Path("never.json"), run / "backtest.json"))
    np.testing.assert_allclose(never.forecasts["gru"][0], anew.forecasts["gru"][0], rtol=1e-6)
    assert np.abs(never.forecasts["gru"][1] - anew.forecasts["gru"][1]).min() > 1e-5
    np.testing.assert_array_equal(never.forecasts["drift"], anew.forecasts["drift"])
    assert "trained anew after every 1 origins" in (run / "model" / "README.md").read_text("utf-8")


# --- evaluate, interrupted -----------------------------------------------------------------------------------------------------------
def test_interrupted_evaluation_goes_on_or_makes_way(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("grus.evaluation.rolling.BATCH", 1)
    asked: list[int] = []
    forecast = Drift.forecast

    def stop(self: Drift, history: NDArray[np.float64], horizon: int, season: int) -> NDArray[np.float64]:
        asked.append(len(history))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return forecast(self, history, horizon, season)

    monkeypatch.setattr(Drift, "forecast", stop)
    command = ["evaluate", str(run), "--quiet", "--set", "backtest.baselines=[drift]"]
    assert main(command) == 130
    assert capsys.readouterr() == ("", "grus: interrupted; the same command goes on from here.\n")
    assert not (run / "metrics.json").exists()
    assert main(["evaluate", str(run), "--quiet", "--set", "backtest.baselines=[last value]"]) == 0
    assert capsys.readouterr().err.startswith("grus: this evaluation starts anew, as one that was not finished had other settings, data or")
    assert asked == [135, 141]
    assert main(command) == 0
    assert asked == [135, 141, 141]
    resumed = capsys.readouterr()
    assert resumed.err == ""
    assert not (run / "checkpoints" / "backtest").exists()
    assert main(command) == 0
    assert capsys.readouterr().out == resumed.out


def test_what_is_left_of_another_software_is_done_again(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Drift, "forecast", stop)
        assert main(["evaluate", str(run), "--quiet"]) == 130
    (left,) = (run / "checkpoints" / "backtest").rglob("backtest.jsonl")
    left.write_text('{"version": 0}\n', encoding="utf-8")
    capsys.readouterr()
    assert main(["evaluate", str(run), "--quiet"]) == 0
    assert "grus: this test starts anew, as what was kept of it is of other software, or damaged" in capsys.readouterr().err


# --- what could not be tested --------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("elsewhere")
def test_baseline_that_lacks_history_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    table(112, "W").to_csv("weekly.csv", index=False)  # tests begin at weeks 101 and 105; two years are 104
    assert main(["fit", "weekly.csv", "--horizon", "4", "--out", "run", *SMALL]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--quiet"]) == 0
    printed = capsys.readouterr()
    rows = printed_table(printed.out)
    assert rows["forecaster"][-1] == "windows"
    assert {name: row[-1] for name, row in rows.items() if "seasonal" in name} == {"seasonal naive": "2", "seasonal drift": "1"}
    assert "grus: seasonal drift: on 1 of 2 windows; the first that it could not forecast, series from " in printed.err
    assert "seasonal drift: on 1 of 2 windows" in Path("run/model/README.md").read_text("utf-8")


@pytest.mark.usefixtures("elsewhere")
def test_series_without_a_test_window_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    pd.concat([table().assign(id="a"), table(40).assign(id="b")]).to_csv("two.csv", index=False)
    assert main(["fit", "two.csv", "--id", "id", "--horizon", "6", "--out", "run", *SMALL]) == 0
    assert main(["evaluate", "run", "--quiet"]) == 0
    sentence = "not tested: 1 of 2 series, in whose test part no window has room, or none with known values: 'b'"
    assert capsys.readouterr().err == f"grus: {sentence}\n"
    card = Path("run/model/README.md").read_text("utf-8")
    assert f"- {sentence}\n" in card
    assert "| tested | 2 windows of 1 series," in card


@pytest.mark.usefixtures("elsewhere")
def test_rows_that_tell_what_is_known_ahead_are_in_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    ahead = table(promotion=np.arange(150.0) % 2)
    ahead.loc[130:, "y"] = np.nan
    ahead.to_csv("ahead.csv", index=False)
    assert main(["fit", "ahead.csv", "--horizon", "6", "--future", "promotion", "--out", "run", *SMALL]) == 0
    until = pd.Timestamp(folders.open("run").learnt_until["series"])
    assert until == ahead["ds"][130 - 13 - 1]
    assert main(["evaluate", "run", "--quiet"]) == 0
    assert Backtest.from_json(Path("run/backtest.json").read_text("utf-8")).origins.tolist() == [117, 123]
    capsys.readouterr()
    assert main(["predict", "run"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{ahead['ds'][130]},")


@pytest.mark.usefixtures("elsewhere")
def test_page_and_prediction_start_at_one_time(capsys: pytest.CaptureFixture[str]) -> None:
    late = table()
    late.loc[147:, "y"] = np.nan  # past steps without a value: nothing is known ahead
    late.to_csv("late.csv", index=False)
    assert main(["fit", "late.csv", "--horizon", "6", "--out", "run", *SMALL]) == 0
    assert main(["evaluate", "run", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["predict", "run"]) == 0
    first = pd.read_csv(io.StringIO(capsys.readouterr().out), parse_dates=["ds"])["ds"][0]
    drawn = page_of(folders.open("run")).examples[0].forecast_times[0]
    assert pd.Timestamp(drawn) == first == late["ds"].iloc[-1] + pd.Timedelta("1h")


# --- fit -----------------------------------------------------------------------------------------------------------------------------
def test_resuming_what_is_finished_changes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--quiet"]) == 0
    before = contents(run)
    capsys.readouterr()
    assert main(["fit", "--resume", "--out", str(run)]) == 0
    printed = capsys.readouterr()
    assert printed.err == "grus: run: was trained to its end, so that there is nothing to go on with; it stays as it is.\n"
    assert [line.split() for line in printed.out.splitlines()][:4] == [["run", "run"], ["series", "1"], ["weights", "414"], ["epochs", "1"]]
    assert contents(run) == before


def test_run_stays_when_what_should_replace_it_fails(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    table().to_csv("wave.csv", index=False)
    command = ["fit", "wave.csv", "--horizon", "3", "--out", str(run), "--overwrite", *SMALL]
    assert main([*command, *FAILS]) == 2
    assert "scaling must be 'none' for the head 'negative_binomial'" in capsys.readouterr().err
    assert contents(run) == before
    assert main(command) == 0
    assert folders.open(run).config.data.horizon == 3
    assert not (run / ".previous").exists()


def test_run_that_is_to_be_replaced_is_kept_until_the_new_one_is_trained(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    table().to_csv("wave.csv", index=False)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "run/model")

    command = ["fit", "wave.csv", "--horizon", "3", "--out", str(run), "--overwrite", *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr("grus.tasks.stored.save", full)
        assert main(command) == 1
    told = capsys.readouterr().err
    assert "grus: the run that was there before is in run/.previous until this one is trained to its end.\n" in told
    assert "got No space left on device" in told
    assert contents(run / ".previous") == before
    assert main(["predict", "run/.previous"]) == 0
    assert main(["fit", "--resume", "--out", str(run), "--quiet"]) == 0
    assert folders.open(run).trained
    assert not (run / ".previous").exists()


@pytest.mark.usefixtures("elsewhere")
def test_fit_that_fails_leaves_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "runs/a", *SMALL, *FAILS]) == 2
    assert {path.name for path in Path().iterdir()} == {"wave.csv"}


@pytest.mark.usefixtures("elsewhere")
def test_numbers_are_taken_for_a_step_and_for_no_part() -> None:
    frame = table()
    frame["ds"] = np.arange(len(frame))
    frame.to_csv("wave.csv", index=False)
    assert main(["fit", "wave.csv", "--horizon", "6", "--out", "run", "--set=data.step=1", "--set=data.test=0.0", *SMALL]) == 0
    assert folders.open("run").learnt_until == {"series": 149}


# --- predict -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ds,y\n2024-01-01 00:00,1\n2024-01-01 01:00,abc\n", "grus: stdin, row 3, column 'y': must be a number, got 'abc'"),
        (b"ds,y\n2024-01-01,1\n2024-01-01 01:00,\xff\n", "grus: stdin"),
        (b"", "grus: stdin: "),
    ],
)
def test_messages_about_stdin_name_it(
    run: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    assert main(["predict", str(run), "--data", "-"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert "/" not in told
