"""M4's files, figures and parts, on made-up series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grus.data import Columns, Panel, read_panel
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import WindowSettings
from grus.training import TrainingSettings
from tables import m4
from tables.m4 import MASE, OWA, SMAPE, Data, Forecasts, Judge
from tables.table import Table


def panel_of(*values: list[float], season: int = 1) -> Panel:
    """Series a, b, …, numbered by the step."""
    rows = [("abc"[number], step, value) for number, each in enumerate(values) for step, value in enumerate(each)]
    ids, steps, targets = zip(*rows, strict=True)
    table = {"id": np.array(ids), "step": np.array(steps), "value": np.array(targets)}
    return read_panel(table, Columns(id="id", time="step", target="value"), season=season)


def write(folder: Path, data: Data, past: list[list[float]], ahead: list[list[float]]) -> None:
    """Files as M4's are: a row per series, short ones with empty cells at the end."""
    for name, rows in zip(data.files, (past, ahead), strict=True):
        width = max(map(len, rows))
        head = ",".join(f'"V{column + 1}"' for column in range(width + 1))
        lines = [",".join([f'"S{number}"', *map(repr, row)]) + "," * (width - len(row)) for number, row in enumerate(rows, start=1)]
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join([head, *lines, ""]))


@pytest.mark.parametrize(("data", "train", "season"), [(m4.HOURLY, "m4/hourly-train.csv.gz", 24), (m4.WEEKLY, "m4/weekly-train.csv.gz", 1)])
def test_data_is_m4s_own(data: Data, train: str, season: int) -> None:
    assert data.files == (train, train.replace("train", "test"))
    assert (data.season, data.horizon) == (season, {24: 48, 1: 13}[season])


def test_series_are_read_with_their_test_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Data("made", 3, 2)
    monkeypatch.setattr(Data, "files", ("m4/past.csv", "m4/ahead.csv"))
    write(tmp_path, data, [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 8.0, 9.0], [4.0]], [[4.0, 5.0], [10.0, 11.0], [0.5, 0.25]])
    panel = data.read(tmp_path)
    assert [series.id for series in panel] == ["S1", "S2", "S3"]
    assert [series.target.tolist() for series in panel] == [[1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10, 11], [4, 0.5, 0.25]]
    assert panel.step.season == 3


def test_parts_are_cut_from_the_end_of_each_series() -> None:
    parts = m4.cut(panel_of([1.0] * 9, [1.0] * 30), 4)
    assert parts.train == ((0, 5), (0, 26))
    assert parts.validation == ((5, 5), (26, 26))
    assert parts.test == ((5, 9), (26, 30))


def test_figures_are_m4s() -> None:
    # Without a season Naive2 is the last value: 4 and 10. Scales: mean |1, 2| = 1.5, and mean |2, 2, 2, 2| = 2.
    judge = Judge.of(panel_of([1.0, 2.0, 4.0, 4.0, 6.0], [2.0, 4.0, 6.0, 8.0, 10.0, 10.0, 15.0]), 2)
    naive = np.array([[4.0, 4.0], [10.0, 10.0]])
    error = 200 * np.mean([0, 2 / 10, 0, 5 / 25]), np.mean([0, 2 / 1.5, 0, 5 / 2])
    assert judge(naive) == pytest.approx({OWA: 1.0, SMAPE: error[0], MASE: error[1]})
    found = judge(np.array([[4.0, 6.0], [10.0, 10.0]]))
    assert found == pytest.approx({OWA: (0.5 + (5 / 2) / (2 / 1.5 + 5 / 2)) / 2, SMAPE: error[0] / 2, MASE: 5 / 2 / 4})


def test_errors_are_scaled_over_the_season() -> None:
    past = [1.0, 10.0, 2.0, 20.0, 4.0, 40.0]
    judge = Judge.of(panel_of([*past, 5.0, 50.0], season=2), 2)
    assert judge(np.array([[5.0, 40.0]]))[MASE] == pytest.approx(10 / 2 / np.mean([1, 10, 2, 20]))


def test_network_learns_what_last_season_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Data("made", 4, 8)
    monkeypatch.setattr(Data, "files", ("m4/past.csv", "m4/ahead.csv"))
    # Of two days each first one is low: yesterday tells it wrong, the day before right.
    steps = np.arange(120)
    series = [size * (10 + 4 * np.cos(np.pi / 2 * steps) + 3 * (steps // 4 % 2)) for size in (1.0, 5.0, 100.0)]
    write(tmp_path, data, [each[:-8].tolist() for each in series], [each[-8:].tolist() for each in series])
    result = Forecasts(
        data,
        windows=WindowSettings(8, 8, scaling="none", transform="log"),
        model=ForecastSettings(hidden_size=16, normalisation="reversible", head="point"),
        training=TrainingSettings(epochs=10, batch_size=16, learning_rate=0.02, patience=None, threads=1),
    )
    rows = {row.name: row.figures for row in result.run(tmp_path, (0, 1))}
    assert list(rows) == ["GRU, 16 units", "mean of their forecasts", "naive 2", "seasonal naive"]
    assert rows["naive 2"][OWA] == (1.0,)
    assert len(rows["GRU, 16 units"][OWA]) == 2
    assert max(rows["GRU, 16 units"][OWA]) < 0.3 < rows["seasonal naive"][OWA][0]
    assert rows["mean of their forecasts"][MASE][0] <= np.mean(rows["GRU, 16 units"][MASE])


@pytest.mark.parametrize("result", m4.TABLES, ids=lambda table: table.name)
def test_published_figures_agree_with_one_another(result: Table) -> None:
    naive, *others = result.published
    assert result.metrics == (OWA, SMAPE, MASE)
    assert result.files[0].startswith("m4/")
    for row in others[:2]:
        ratios = [row.figures[metric][0] / naive.figures[metric][0] for metric in (SMAPE, MASE)]
        assert row.figures[OWA][0] == pytest.approx(np.mean(ratios), abs=5e-4)
