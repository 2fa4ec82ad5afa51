"""A run on windows is resumed on the same windows alone; what the network reads and pays in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grus.data.calendar import Step
from grus.data.panel import Panel, Series
from grus.data.scaling import Scaling
from grus.data.splitting import Split, split
from grus.data.streaming import OnePart, WindowStream
from grus.data.windows import Windows
from grus.errors import DataError, OptionError
from grus.models import ForecastShape, TensorBatch, build
from grus.models.augment import Augmentation
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import WindowSettings
from grus.tasks.learning import WindowSource, augmentation_for, objective, train
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
    with pytest.raises(DataError, match=rf"fit: {name} must be that of the run to resume, .*, \d batch.* of digest .*, got \d batch.* of digest"):
        learn(split(other, 20, 12), tmp_path, resume=True)


def test_resume_with_another_fill_is_refused(panel: Panel, tmp_path: Path) -> None:
    learn(split(panel, 20, 12), tmp_path)
    with pytest.raises(DataError, match="fit: train must be that of the run to resume"):
        learn(split(panel, 20, 12), tmp_path, replace(WINDOWS, missing="mean+mask"), resume=True)


def test_resume_does_not_look_at_the_test_part(panel: Panel, tmp_path: Path) -> None:
    learn(split(panel, 20, 12), tmp_path)
    learn(split(changed(panel, (78, 48)), 20, 12), tmp_path, resume=True)


def covered(missing: str) -> Windows:
    """Two past covariates, of which the second lacks a value, and one that is known ahead."""
    values = np.random.default_rng(0).normal(size=(40, 4))
    past, future = values[:, :2].copy(), values[:, 2:3]
    past[7, 1] = np.nan
    series = Series("a", np.arange(40), values[:, 3], past, future, np.zeros(0))
    panel = panel_of([wave(40)])
    panel = replace(
        panel,
        series=(series,),
        columns=replace(panel.columns, past=("first", "second"), future=("ahead",)),
        past_names=("first", "second"),
        future_names=("ahead",),
    )
    scaling = Scaling.fit(panel, [(0, 40)], "standard")
    return Windows(panel, [(0, 40)], LOOKBACK, HORIZON, missing=missing, scaling=scaling)


@pytest.mark.parametrize("missing", ["forward", "forward+mask", "gru_d"])
def test_augmentation_knows_the_channels_of_the_windows(missing: str) -> None:
    windows = covered(missing)
    found = augmentation_for(windows.panel, windows.channels, 0.1, 0.2)
    assert found is not None
    assert (found.input_noise, found.window_warping) == (0.1, 0.2)
    names = windows.channels.past
    assert [names[channel] for channel in found.covariates] == ["first", "second"]
    assert [names[channel] for channel in found.masks] == (["mask_y", "mask_second"] if missing == "forward+mask" else [])
    batch = TensorBatch.of(windows.batch(np.arange(len(windows))))
    changed = replace(found, window_warping=0.0)(batch).past != batch.past
    assert {name for channel, name in enumerate(names) if bool(changed[..., channel].any())} == {"y", "first", "second"}
    masks = [channel for channel, name in enumerate(names) if name.startswith("mask_")]
    assert set(found(batch).past[..., masks].unique().tolist()) <= {0.0, 1.0}
    assert augmentation_for(windows.panel, windows.channels, 0.0, 0.0) is None


def test_warping_of_irregular_steps_is_refused(panel: Panel) -> None:
    windows = covered("forward")
    with pytest.raises(OptionError, match=r"train: window_warping must be 0 for a series whose steps are irregular, got 0\.5; leave it out\."):
        augmentation_for(replace(panel, step=Step.irregular), windows.channels, 0.0, 0.5)
    assert augmentation_for(replace(panel, step=Step.irregular), windows.channels, 0.1, 0.0) is not None


@pytest.mark.parametrize("loss", ["mae", "mase"])
def test_objective_augments_what_is_read_in_training_but_not_what_is_paid_for(loss: str) -> None:
    """A network of zeros forecasts the last value, so noise on that one changes the loss and nothing else does."""
    windows = covered("forward")
    shape = ForecastShape(LOOKBACK, HORIZON, len(windows.channels.past), 1)
    network = build(ForecastSettings(hidden_size=4, head="point", loss=loss, normalisation="last"), shape)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    batch, augmentation = TensorBatch.of(windows.batch([9, 20])), Augmentation(input_noise=0.5)
    plain = objective(network, batch)
    torch.manual_seed(3)
    found = objective(network.train(), batch, augmentation)
    torch.manual_seed(3)
    latest = augmentation(batch).past[:, -1:, 0]
    unit = batch.past[..., 0].diff(dim=1).abs().mean(1, keepdim=True) if loss == "mase" else 1
    torch.testing.assert_close(found[0], ((batch.target - latest).abs() / unit).nansum())
    assert found[1] == plain[1]
    assert found[0] != plain[0]
    assert objective(network.eval(), batch, augmentation) == plain


def test_season_of_mase_that_no_window_covers_is_refused(panel: Panel) -> None:
    settings = ForecastSettings(head="point", loss="mase", mase_season=LOOKBACK)
    with pytest.raises(OptionError, match=r"train: mase_season must be less than lookback = 8 with loss='mase', got 8; look back"):
        train(split(panel, 20, 12), WINDOWS, settings, TrainingSettings(epochs=1))


def test_memory_budget_away_from_the_processor_is_refused() -> None:
    with pytest.raises(OptionError, match=r"max_memory_gb must be None with accelerator='cuda', .* got 0\.5; leave it out"):
        TrainingSettings(accelerator="cuda", max_memory_gb=0.5)


def test_training_lowers_the_scaled_error(panel: Panel) -> None:
    settings = ForecastSettings(hidden_size=8, head="point", loss="mase", mase_season=2)
    _, history = train(split(panel, 20, 12), WINDOWS, settings, TrainingSettings(epochs=20, learning_rate=0.03))
    assert history.epochs[-1]["loss"] < 0.8 * history.epochs[0]["loss"]


def test_shares_of_processes_are_the_windows_of_one(panel: Panel) -> None:
    """Batches of 2 · 4: row by row in turn, and nothing where the last batch is too small."""
    scaling = Scaling.fit(panel, [(0, len(series)) for series in panel])

    def make(shown: Panel, ranges: Any, *, scaling: Scaling, may_be_empty: bool) -> Windows:
        return Windows(shown, ranges, LOOKBACK, HORIZON, missing="forward", scaling=scaling, may_be_empty=may_be_empty)

    stream = WindowStream(OnePart(split(panel, 0.0, 0.0, at_least=LOOKBACK)), "train", scaling, make)
    whole = list(WindowSource(stream, 8).epoch(3, 5))
    ranks = [list(WindowSource(stream, 4).share(rank, 2).epoch(3, 5)) for rank in (0, 1)]
    assert len(whole) == len(ranks[0]) == len(ranks[1]) == len(WindowSource(stream, 4).share(0, 2))
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert batch is not None
        for rank, part in enumerate(parts):
            rows = torch.arange(len(batch.past))[rank::2]
            assert (part is None) == (len(rows) == 0)
            if part is not None:
                torch.testing.assert_close(part.past, batch.past[rows])
                torch.testing.assert_close(part.target, batch.target[rows], equal_nan=True)
    with pytest.raises(OptionError, match="every process must have a window"):
        WindowSource(stream, 4).share(0, len(stream) + 1)
