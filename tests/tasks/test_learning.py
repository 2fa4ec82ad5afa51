"""A run on windows is resumed on the same windows alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grus.data.panel import Panel, Series
from grus.data.splitting import Split, split
from grus.errors import DataError
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import WindowSettings
from grus.tasks.learning import train
from grus.training import TrainingSettings
from tests.tasks.waves import HORIZON, LOOKBACK, changed, panel_of, wave

WINDOWS = WindowSettings(LOOKBACK, HORIZON)


def learn(parts: Split, folder: Path, windows: WindowSettings = WINDOWS, **more: Any) -> None:
    train(parts, windows, ForecastSettings(hidden_size=4), TrainingSettings(epochs=1), folder=folder, **more)


def raised(series: Series, at: int) -> Series:
    target = series.target.copy()
    target[at] = np.nextafter(target[at], np.inf)
    return replace(series, target=target)


@pytest.fixture
def panel() -> Panel:
    return panel_of([wave(90, 1), wave(60, 2, 50.0)])


@pytest.mark.parametrize(("at", "name"), [(5, "train"), (65, "validation")])
def test_resume_on_another_value_is_refused(at: int, name: str, panel: Panel, tmp_path: Path) -> None:
    """The last bit of one value of the first series, of whose 90 steps 58 are for training and 20 for validation."""
    learn(split(panel, 20, 12), tmp_path)
    other = replace(panel, series=(raised(panel.series[0], at), panel.series[1]))
    with pytest.raises(DataError, match=rf"fit: {name} must be that of the run to resume, \d batch.* of digest .*, got \d batch.* of digest"):
        learn(split(other, 20, 12), tmp_path, resume=True)


def test_resume_with_another_fill_is_refused(panel: Panel, tmp_path: Path) -> None:
    learn(split(panel, 20, 12), tmp_path)
    with pytest.raises(DataError, match="fit: train must be that of the run to resume"):
        learn(split(panel, 20, 12), tmp_path, replace(WINDOWS, missing="mean+mask"), resume=True)


def test_resume_does_not_look_at_the_test_part(panel: Panel, tmp_path: Path) -> None:
    learn(split(panel, 20, 12), tmp_path)
    learn(split(changed(panel, (78, 48)), 20, 12), tmp_path, resume=True)
