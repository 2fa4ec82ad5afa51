"""The page of a run that was trained and judged."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.cli import main
from grus.data import Columns, Panel, PanelStream, read_panel
from grus.evaluation import Backtest
from grus.evaluation.backtest import Failure
from grus.report import Past, render
from grus.report.forecast import worst_windows
from grus.report.run import gate_trace, latest_test, look, next_steps, page_of, past_of, report_run
from grus.tasks import folder as folders
from grus.tasks import run_data
from grus.tasks.folder import RunFolder
from grus.tasks.forecast_run import evaluate_run, load_model, predict_run, read_run
from grus.tasks.run_data import parts_of_run

SMALL = ("--horizon=6", "--set=model.hidden_size=4", "--set=data.lookback=12", "--epochs=1", "--quiet")


def table(freq: str = "D", seed: int = 0) -> pd.DataFrame:
    """A wave of twelve steps with noise and a gap."""
    values = 10 + np.sin(np.arange(150) * np.pi / 6) + np.random.default_rng(seed).normal(0, 0.1, 150)
    values[20:27] = np.nan
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=150, freq=freq), "load": values, "warmth": values[::-1]})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("run")
    table().fillna({"warmth": 10.0}).to_csv(place / "wave.csv", index=False)
    assert main(["fit", str(place / "wave.csv"), "--target=load", "--past=warmth", "--out", str(place / "run"), *SMALL]) == 0
    folder = folders.open(place / "run")
    evaluate_run(folder, None, "quiet", (0, 1))
    return folder


def test_page_tells_of_the_run(run: RunFolder, tmp_path: Path) -> None:
    text = report_run(run, tmp_path / "page.html").read_text("utf-8")
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    assert (facts["data"], facts["past covariates"], facts["times"]) == ("wave.csv", "warmth", "2024-01-01 to 2024-05-29")
    assert facts["made with"].startswith("python ")
    assert "000000000" not in text
    headings = re.findall(r"<h3>(.*?)</h3>", text)
    assert "load, from 2024-05-30" in headings
    assert len([name for name in headings if re.fullmatch(r"load, from 2024-05-\d\d: off by [\d.]+", name)]) == 2
    assert "<td>series</td>" not in text
    assert not [name for name in headings if name.startswith("series")]
    assert "gru was trained and tested 2 times, each with its own seed; MAE: " in text
    assert "(best baseline)" in text
    assert "load, from 2024-05-21: a forecast of the backtest, and what came" in headings
    assert "Of the 150 steps before the forecast the last 24 are drawn." in text
    assert "Of the 141 steps before the forecast the last 24 are drawn." in text
    assert "While gru read load, 2024-05-17 to 2024-05-28. " in text


def test_forecast_of_the_page_is_that_of_predict(run: RunFolder) -> None:
    shown, told = page_of(run).examples[0], predict_run(run, None, None)
    np.testing.assert_array_equal(shown.forecast_times, told["ds"])
    np.testing.assert_array_equal(shown.point, told["load"])


def test_next_steps_are_those_of_the_first_series_that_can_be_forecast(run: RunFolder) -> None:
    model, panel = load_model(run), read_run(run.config)
    (series,) = panel
    blank = np.concatenate([series.target[:-12], np.full(12, np.nan)])
    named = (replace(series, id="blank", target=blank), *(replace(series, id=name) for name in "abcd"))
    found = next_steps(model, replace(panel, series=named))
    assert [example.series for example in found] == ["a", "b", "c"]
    np.testing.assert_array_equal(found[0].values, series.target)
    assert next_steps(model, replace(panel, series=named[:1])) == []


def test_latest_test_is_the_forecast_that_begins_last() -> None:
    times, truth = np.array([[5, 6], [7, 8], [7, 8], [9, 10]]), np.ones((4, 2))
    record = Backtest(2, 1, ("a", "a", "b", "c"), np.array([5, 7, 7, 9]), times, truth, {"gru": np.arange(8.0).reshape(4, 2)}, {}, np.ones(4))
    past = {name: Past(np.arange(3, 12), np.arange(9.0)) for name in ("a", "b")}
    (found,) = latest_test(record, past)
    assert (found.series, found.times.tolist(), found.point.tolist()) == ("a", [3, 4, 5, 6], [2.0, 3.0])
    assert latest_test(record, {}) == []


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on eight series, read one at a time; the errors on the second are the largest."""
    place = tmp_path_factory.mktemp("parts")
    rows = [table(seed=number)[["ds", "load"]].assign(shop=name) for number, name in enumerate("abcdefgh")]
    rows[1].loc[139:, "load"] += 9
    pd.concat(rows).to_parquet(place / "shops.parquet")
    streamed = ("--id=shop", "--target=load", "--set=data.ids_per_part=1", "--set=backtest.stride=20")
    assert main(["fit", str(place / "shops.parquet"), *streamed, "--out", str(place / "run"), *SMALL]) == 0
    folder = folders.open(place / "run")
    evaluate_run(folder, None, "quiet")
    return folder


def test_page_of_a_table_in_parts_is_that_of_the_whole(parts: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RunFolder(parts.path.with_name("whole"))
    shutil.copytree(parts.path, whole.path)
    config = whole.config_file.read_text("utf-8")
    assert "ids_per_part: 1" in config
    whole.config_file.write_text(config.replace("ids_per_part: 1", "ids_per_part: null"), encoding="utf-8")
    expected = render(page_of(whole))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the table was read whole")

    monkeypatch.setattr(run_data, "read_panel", refuse)
    assert render(page_of(parts)) == expected


def test_no_part_is_read_behind_the_last_that_is_shown(parts: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = load_model(parts), parts_of_run(parts.config)
    record, read, part = Backtest.from_json(parts.backtest.read_text("utf-8")), list[int](), PanelStream.part
    near = replace(record, series=("e", "d") * 4)

    def noted(self: PanelStream, number: int) -> Panel:
        read.append(number)
        return part(self, number)

    monkeypatch.setattr(PanelStream, "part", noted)
    shown = look(model, found, near)
    assert read == [0, 1, 2, 3, 4]
    assert [example.series for example in shown.ahead] == ["a", "b", "c"]
    assert shown.gates is not None
    assert shown.gates.series == "a"
    read.clear()
    assert set(look(model, found, record).past) == {record.series[index] for index in [*worst_windows(record), 0]}
    assert record.series[worst_windows(record)[0]] == "b"


def test_series_without_a_value_or_a_cell_without_gates_has_no_trace(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    model, panel = load_model(run), read_run(run.config)
    (series,) = panel
    for known in (slice(0, 0), slice(149, 150), slice(0, 12)):
        target = np.full(150, np.nan)
        target[known] = 10.0
        assert gate_trace(model, replace(panel, series=(replace(series, target=target),))) is None
    assert gate_trace(model, panel) is not None
    monkeypatch.setattr(type(model), "example", lambda *_: (None, {}))
    assert gate_trace(model, panel) is None


def test_pictures_are_written_beside_the_page(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, pictures = tmp_path / "page.html", tmp_path / "pictures"
    assert main(["report", str(run.path), "--out", str(out), "--pictures", str(pictures)]) == 0
    assert capsys.readouterr().out == f"{out}\n{pictures}\n"
    page = page_of(run)
    charts = [chart.name for section in page.document().sections for chart in section.charts]
    assert {path.stem for path in pictures.iterdir()} == set(charts)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures.iterdir())
    assert out.read_text("utf-8") == render(page)


def test_pictures_into_a_file_are_refused(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()
    assert main(["report", str(run.path), "--out", str(tmp_path / "page.html"), "--pictures", str(tmp_path / "taken")]) == 2
    assert "must be a folder" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "page.html").exists()


def test_scores_by_seed_are_kept_beside_the_forecasts(run: RunFolder) -> None:
    kept = Backtest.from_json(run.backtest.read_text("utf-8"))
    assert list(kept.seeds) == [0, 1]
    assert kept.seeds[0] == kept.scores()["gru"]
    assert kept.seeds[1]["mae"] != kept.seeds[0]["mae"]
    assert json.loads(run.metrics.read_text("utf-8"))["gru"]["mae"] == kept.seeds[0]["mae"]


def test_another_table_is_tested_by_networks_that_learnt_from_the_runs_own(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "run")))
    table(seed=1).fillna({"warmth": 10.0}).to_csv(tmp_path / "other.csv", index=False)
    found = evaluate_run(copy, tmp_path / "other.csv", "quiet", (1,))
    assert list(found.seeds) == [0, 1]
    card = (copy.model / "README.md").read_text("utf-8")
    assert "| data | wave.csv |" in card
    assert "Worst forecasts" in report_run(copy, tmp_path / "page.html").read_text("utf-8")


def test_past_is_that_of_the_series_which_were_forecast() -> None:
    panel = read_panel(table()[["ds", "load"]], Columns(target="load"))
    series = panel.series[0]
    windows = np.array([[100, 101], [30, 31]])
    truth = series.target[windows]
    arrays = {"forecasts": {"gru": truth}, "quantiles": {}, "scale": np.ones(2)}
    found = Backtest(2, 7, (series.id,) * 2, windows[:, 0], series.times[windows], truth, **arrays)  # pyright: ignore[reportArgumentType]
    past = past_of(panel.series, found)
    np.testing.assert_array_equal(past[series.id].values, series.target)
    assert past_of(panel.series, replace(found, truth=truth + np.array([[0.0, 0.0], [1.0, 0.0]]))) == {}
    assert past_of(panel.series, replace(found, times=found.times + np.timedelta64(1, "h"))) == {}
    assert list(past_of(panel.series, replace(found, series=("x", "x")))) == [series.id]


def test_page_names_the_baseline_that_failed_and_the_series_that_were_not_tested(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "run")))
    record = Backtest.from_json(copy.backtest.read_text("utf-8"))
    drift = record.forecasts["drift"].copy()
    drift[0] = np.nan
    lost = replace(record, forecasts={**record.forecasts, "drift": drift}, failures={"drift": (Failure("x", "2024-05-15", "too short"),)})
    copy.backtest.write_text(lost.to_json(), encoding="utf-8")
    told = page_of(copy).findings
    assert len(told) == len(page_of(run).findings) + 1
    assert "drift" in told[-1]
    assert "1 of 2 windows" in told[-1]
    assert told[-1].endswith("too short")
    assert "not tested" not in " ".join(told)
    copy.backtest.write_text(replace(record, series=("elsewhere",) * 2).to_json(), encoding="utf-8")
    assert page_of(copy).findings[-1].startswith("not tested: 1 of 1 series")
