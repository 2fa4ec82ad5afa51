"""The page of a run that was trained and judged."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.cli import main
from grus.data import Columns, read_panel
from grus.evaluation import Backtest
from grus.evaluation.backtest import Failure
from grus.report.run import failed, past_of, report_run
from grus.tasks import folder as folders
from grus.tasks.folder import RunFolder
from grus.tasks.forecast_run import evaluate_run

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
    past = past_of(panel, found)
    np.testing.assert_array_equal(past[series.id].values, series.target)
    assert past_of(panel, replace(found, truth=truth + np.array([[0.0, 0.0], [1.0, 0.0]]))) == {}
    assert past_of(panel, replace(found, times=found.times + np.timedelta64(1, "h"))) == {}
    assert list(past_of(panel, replace(found, series=("x", "x")))) == [series.id]


def test_a_baseline_that_failed_is_named_with_its_reason() -> None:
    truth = np.ones((2, 1))
    record = Backtest(
        1, 1, ("a", "b"), np.array([3, 4]), np.array([[3], [4]]), truth, {"gru": truth, "drift": np.array([[1.0], [np.nan]])}, {}, np.ones(2)
    )
    told = list(failed(replace(record, failures={"drift": (Failure("b", "4", "too short"),)})))
    assert told == [
        "drift forecast 1 of 2 windows, which its scores are over; it is never called the best. The first that it could not: b, from 4: too short"
    ]
    assert list(failed(record)) == []
