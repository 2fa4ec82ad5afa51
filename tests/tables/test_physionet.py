"""Stays in intensive care: how records are read and cut, and that networks learn from made ones."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from grus.data import Labels, Sequences
from tables import physionet
from tables.physionet import AUC


def write(folder: Path, stays: dict[str, str], deaths: dict[str, int]) -> tuple[Path, Path]:
    records, outcomes = folder / physionet.RECORDS, folder / physionet.OUTCOMES
    records.parent.mkdir()
    with ZipFile(records, "w") as archive:
        for stay, rows in stays.items():
            archive.writestr(f"set-a/{stay}.txt", "Time,Parameter,Value\n" + rows)
    lines = [f"{stay},6,{died}" for stay, died in deaths.items()]
    outcomes.write_bytes(gzip.compress("\n".join(["RecordID,SAPS-I,In-hospital_death", *lines]).encode()))
    return records, outcomes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 stays; the heart of those that end in death beats faster."""
    draw = np.random.default_rng(0)
    deaths = {str(stay): int(stay % 3 == 0) for stay in range(1, 61)}
    stays = {stay: f"00:00,ICUType,{1 + int(stay) % 4}\n00:00,Height,170\n00:00,Weight,80\n00:00,Gender,1\n" for stay in deaths}
    for stay, died in deaths.items():
        hours = np.sort(draw.choice(np.arange(1, 48), 6, replace=False))
        stays[stay] += "".join(f"{hour:02}:07,HR,{70 + 30 * died + draw.normal(0, 5):.0f}\n" for hour in hours)
    write(tmp_path, stays, deaths)
    return tmp_path


def test_a_step_is_an_hour_and_a_ward_a_channel(tmp_path: Path) -> None:
    first = "00:00,RecordID,7\n00:00,ICUType,3\n00:00,Height,-1\n00:00,Weight,-1\n00:00,Gender,1\n00:10,HR,70\n00:50,HR,80\n02:00,HR,90\n"
    second = "00:00,ICUType,2\n00:00,Height,170\n00:00,Weight,60\n00:00,Gender,0\n"
    third = "00:00,ICUType,1\n00:30,ICUType,1\n"
    found = physionet.read(*write(tmp_path, {"7": first, "8": second, "9": third}, {"7": 1, "8": 0, "9": 0}))
    assert found.names == ("Gender", "HR", "Height", *(f"ICUType {kind}" for kind in (1, 2, 3, 4)), "Weight")
    nan = np.nan
    expected = np.array([[1, 75, nan, 0, 0, 1, 0, nan], [nan, 90, nan, nan, nan, nan, nan, nan]], np.float32)
    np.testing.assert_array_equal(found.values[0], expected)
    assert found.times is not None
    assert [times.tolist() for times in found.times] == [[0, 2], [0], [0]]
    assert found.labels is not None
    assert found.labels.values.tolist() == [1, 0, 0]


def test_each_stay_is_tested_once(folder: Path) -> None:
    stays = physionet.read(folder / physionet.RECORDS, folder / physionet.OUTCOMES)
    parts = physionet.cut(stays)
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(60))
    assert stays.labels is not None
    assert [int(stays.labels.values[part.test].sum()) for part in parts] == [4] * 5
    for part in parts:
        assert sorted(np.concatenate([part.train, part.test]).tolist()) == list(range(60))


def test_area_is_of_deaths() -> None:
    stays = Sequences(
        tuple(np.zeros((1, 1), np.float32) for _ in range(4)), ("x",), tuple("abcd"), Labels("class", ("0", "1"), np.array([0, 1, 0, 1]))
    )
    likely = np.array([0.1, 0.9, 0.4, 0.3])
    assert physionet.area(stays, np.stack([1 - likely, likely], 1)) == 0.75


def test_each_way_learns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physionet, "FOLDS", 2)
    model = physionet.RECIPE.model.model_copy(update={"hidden_size": 4, "dropout": 0.0})
    training = physionet.RECIPE.training.model_copy(update={"batch_size": 8, "epochs": 15, "learning_rate": 0.03})
    monkeypatch.setattr(physionet, "RECIPE", replace(physionet.RECIPE, model=model, training=training, members=1))
    found = list(physionet.run(folder, (0,)))
    assert [row.name for row in found] == ["GRU-D, 1 × 4 units", "GRU-mean, 1 × 4 units", "GRU-forward, 1 × 4 units", "gradient boosting"]
    assert [row.name for row in found if row.figures[AUC][0] < 0.8] == []
