"""How ETT's protocol cuts the data and what it scores, on made-up series of the real ones' length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.data import Columns, Panel, read_panel
from grus.data.scaling import Scaling
from grus.models.forecast import ForecastSettings, ForecastShape, build
from grus.tasks.forecast import ForecastModel, WindowSettings
from tables import ett

NAMES = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]


def panel_of(values: dict[str, np.ndarray]) -> Panel:
    """These series, numbered by the step."""
    (steps,) = {len(each) for each in values.values()}
    table = {"id": np.repeat(list(values), steps), "step": np.tile(np.arange(steps), len(values)), "value": np.concatenate(list(values.values()))}
    return read_panel(table, Columns(id="id", time="step", target="value"))


def silent(parts: ett.Split, horizon: int) -> ForecastModel:
    """A network of zeros, which forecasts the training mean."""
    network = build(ForecastSettings(hidden_size=4, normalisation="none", head="point"), ForecastShape(96, horizon, 1))
    for weight in network.parameters():
        weight.data.zero_()
    return ForecastModel(network.eval(), WindowSettings(96, horizon, "zero"), Scaling.fit(parts.panel, parts.train), parts.panel)


@pytest.mark.parametrize(("data", "borders"), [(ett.HOURS, (8640, 11520, 14400)), (ett.QUARTERS, (34560, 46080, 57600))])
def test_data_has_the_customary_borders(tmp_path: Path, data: ett.Data, borders: tuple[int, int, int]) -> None:
    steps = borders[-1] + 20
    frame = pd.DataFrame({"date": pd.date_range("2016-07-01", periods=steps, freq="h")})
    for number, name in enumerate(NAMES):
        frame[name] = np.arange(float(steps)) + number
    path = tmp_path / "ett.csv"
    frame.to_csv(path, index=False)
    parts = ett.cut(ett.read(path, data), data)
    learnt, chosen, end = borders
    assert [series.id for series in parts.panel] == NAMES
    assert [len(series) for series in parts.panel] == [end] * 7
    assert parts.panel.series[1].target[:3].tolist() == [1.0, 2.0, 3.0]
    assert (parts.train, parts.validation, parts.test) == (((0, learnt),) * 7, ((learnt, chosen),) * 7, ((chosen, end),) * 7)


def test_scores_are_in_units_of_each_series_training_deviation() -> None:
    steps = np.arange(14400)
    swing = np.where(steps % 2 == 0, -1.0, 1.0)
    # The training part of b has twice the deviation of its test part.
    parts = ett.cut(panel_of({"a": 4 * swing, "b": np.where(steps < 8640, 2.0, 1.0) * swing}), ett.HOURS)
    assert ett.score(silent(parts, 96), parts) == pytest.approx({"MSE": (1 + 0.25) / 2, "MAE": (1 + 0.5) / 2})


@pytest.mark.parametrize(("step", "windows"), [(11519, 0), (11520, 1), (11521, 2), (13000, 96), (14398, 2), (14399, 1)])
def test_every_window_within_the_test_part_counts(step: int, windows: int) -> None:
    swing = np.where(np.arange(14400) % 2 == 0, -1.0, 1.0)
    swing[11520:] = 0.0
    swing[step] = 10.0
    parts = ett.cut(panel_of({"a": swing}), ett.HOURS)
    values = 2785 * 96
    assert ett.score(silent(parts, 96), parts) == pytest.approx({"MSE": 100 * windows / values, "MAE": 10 * windows / values})


def test_network_learns_a_day_that_repeats(tmp_path: Path) -> None:
    data = ett.Data("made", "made.csv", "hours", (0, 700, 1000, 1300))
    days = 2 * np.pi * np.arange(1320) / 24
    pd.DataFrame({"date": np.arange(1320), "a": np.sin(days), "b": 5 + 3 * np.cos(days)}).to_csv(tmp_path / data.file, index=False)
    (row,) = ett.small("", segment_length=24, dropout=0.0, epochs=12, stride=2).run(data, 48, tmp_path, (0,))
    assert row.name == "GRU segments, 128 units"
    assert row.figures["MSE"][0] < 0.3  # the training mean has 1, the last value 2


def test_every_result_is_a_table_with_the_figure_published_for_it() -> None:
    assert {table.name: table.published[0].figures["MSE"] for table in ett.TABLES} == {
        "etth1-96": (0.368,),
        "etth1-192": (0.408,),
        "etth1-336": (0.444,),
        "etth1-720": (0.446,),
        "ettm1-96": (0.330,),
        "ettm1-336": (0.399,),
    }
    last = ett.TABLES[-1]
    assert last.title == "ETTm1, seven series, 336 quarters of an hour ahead from 96"
    assert "Rows 34560/11520/11520" in last.protocol
    assert "all 11185 windows" in last.protocol
    assert last.files == ("ett/ettm1.csv.gz",)
