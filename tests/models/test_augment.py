"""Windows with noise and warped ones: by hand, and what must stay as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grus.data.missing import deltas
from grus.errors import OptionError
from grus.models import ForecastShape, TensorBatch
from grus.models.augment import Augmentation, resample, warp
from tests.models.conftest import MakeBatch

SHAPE = ForecastShape(lookback=9, horizon=2, past=3, future=1, static=1)


def pairs(one: TensorBatch, other: TensorBatch, *names: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(getattr(one, name), getattr(other, name)) for name in names or TensorBatch._fields]


def same(one: TensorBatch, other: TensorBatch, *names: str) -> bool:
    return all(torch.equal(ours.nan_to_num(7), theirs.nan_to_num(7)) for ours, theirs in pairs(one, other, *names))


def places(first: int, start: float, stop: float, factor: float, length: int = 9) -> list[float]:
    given = (torch.tensor([float(value)]) for value in (start, stop, factor))
    return (first + warp(torch.tensor([length - first]), *given, length))[0].tolist()


def ramp(length: int = 9, channels: int = 1, **changed: Any) -> TensorBatch:
    past = torch.arange(float(length)).view(1, -1, 1).repeat(1, 1, channels)
    ones, none = torch.ones(1, length, 1), torch.zeros(1, 0)
    delta = torch.ones(1, length, 1)
    delta[:, 0] = 0
    batch = TensorBatch(past, ones, delta, none, none, none, none, torch.zeros(1, dtype=torch.int64), torch.tensor([length]))
    return batch._replace(**changed)


def test_a_stretch_slowed_down_by_hand() -> None:
    """Steps 2 to 4 last 4 instead of 2, so the window lasts 10 instead of 8 and step u reads it at 1.25 u."""
    expected = [0, 1.25, 2.25, 2.875, 3.5, 4.25, 5.5, 6.75, 8]
    assert places(0, 2, 4, 2.0) == expected
    read = resample(ramp(), torch.tensor([expected]))
    assert read.past.flatten().tolist() == expected


def test_a_stretch_sped_up_by_hand() -> None:
    """Steps 2 to 6 last 2, so the window lasts 6 and step u reads it at 0.75 u."""
    assert places(0, 2, 6, 0.5) == [0, 0.75, 1.5, 2.5, 4, 5.5, 6.5, 7.25, 8]


def test_steps_before_the_series_stay() -> None:
    """The window of the last 5 steps: 1 to 3 last 4, so v = 1.5 u."""
    assert places(4, 1, 3, 2.0) == [0, 1, 2, 3, 4, 5.25, 6, 6.75, 8]


@given(st.integers(1, 40), st.integers(0, 10), st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 2))
def test_warping_never_turns_back_or_leaves_the_window(own: int, before: int, one: float, other: float, factor: float) -> None:
    span, length = own - 1, own + before
    found = places(before, min(one, other) * span, max(one, other) * span, factor, length)
    assert found[: before + 1] == list(range(before + 1))
    assert found[-1] == length - 1
    assert np.diff(found).min(initial=0) >= -1e-4
    assert np.diff(found).max(initial=0) <= 2 + 1e-4


def test_a_resampled_mask_is_that_of_the_nearest_step_and_delta_counts_anew() -> None:
    """Step 2 of 5 was not measured and is filled with 1, the value before it; the second channel tells so too, the third has no mask."""
    mask = torch.tensor([1.0, 1, 0, 1, 1]).view(1, 5, 1)
    past = torch.tensor([[0.0, 1, 1, 3, 4], [1, 1, 0, 1, 1], [0, 1, 2, 3, 4]]).T.unsqueeze(0)
    read = resample(ramp(5, past=past, mask=mask), torch.tensor([[0.0, 0.75, 1.75, 2.75, 4.0]]), masks=[1])
    assert read.mask.flatten().tolist() == [1, 1, 0, 1, 1]
    assert read.past[0, :, 0].tolist() == [0, 0.75, 1, 3, 4]
    assert read.past[0, :, 1].tolist() == [1, 1, 0, 1, 1]
    assert read.past[0, :, 2].tolist() == [0, 0.75, 1.75, 2.75, 4]
    assert read.delta.flatten().tolist() == [0, 1, 1, 2, 1]


def test_delta_of_a_resampled_mask_is_that_of_the_data() -> None:
    mask = (torch.rand(20, 12, 3) < 0.5).float()
    batch = ramp(12)._replace(past=torch.randn(20, 12, 3), mask=mask)
    still = resample(batch, torch.arange(12.0).expand(20, -1))
    expected = deltas(mask.transpose(1, 2).numpy()).transpose(0, 2, 1)
    np.testing.assert_array_equal(still.delta.numpy(), expected)
    assert same(still, batch, "past", "mask")


def test_nothing_asked_for_changes_nothing(make_batch: MakeBatch) -> None:
    batch, before = make_batch(SHAPE, missing=0.2), torch.get_rng_state()
    assert Augmentation()(batch) is batch
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_on_measured_targets_and_past_covariates(make_batch: MakeBatch) -> None:
    batch = make_batch(SHAPE, rows=400, missing=0.3)
    noisy = Augmentation(input_noise=0.25, covariates=[1])(batch)
    added, measured = noisy.past - batch.past, batch.mask[..., 0] > 0
    assert bool((added[..., 0][~measured] == 0).all())
    assert bool((added[..., 2] == 0).all())
    for values in (added[..., 0][measured], added[..., 1].flatten()):
        assert values.mean().item() == pytest.approx(0, abs=0.02)
        assert values.std().item() == pytest.approx(0.25, rel=0.05)
    assert same(noisy, batch, *(name for name in TensorBatch._fields if name != "past"))


def test_noise_on_covariates_follows_their_mask_where_there_is_one(make_batch: MakeBatch) -> None:
    batch = make_batch(SHAPE, rows=50, missing=0.4, measured=3)
    added = Augmentation(input_noise=1.0, covariates=[1])(batch).past - batch.past
    assert bool(((added[..., :2] != 0) == (batch.mask[..., :2] > 0)).all())
    assert bool((added[..., 2] == 0).all())


def test_warping_leaves_what_lies_ahead_and_the_last_step(make_batch: MakeBatch) -> None:
    batch = make_batch(SHAPE, rows=60)
    batch = batch._replace(origin=torch.arange(60) % 9 + 3)
    warped = Augmentation(window_warping=1.0)(batch)
    assert same(warped, batch, "mean", "future", "static", "target", "series", "origin")
    assert torch.equal(warped.past[:, -1], batch.past[:, -1])
    assert not torch.equal(warped.past, batch.past)
    for row, first in enumerate((9 - batch.origin).clamp(min=0).tolist()):
        assert torch.equal(warped.past[row, : first + 1], batch.past[row, : first + 1])
    assert bool((warped.past.abs().amax(1) <= batch.past.abs().amax(1) + 1e-6).all())


def test_the_share_of_windows_is_warped(make_batch: MakeBatch) -> None:
    batch = make_batch(SHAPE, rows=2000)
    changed = (Augmentation(window_warping=0.3)(batch).past != batch.past).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_a_stretch_is_slowed_down_as_often_as_sped_up() -> None:
    """Before the stretch a window is read faster where the stretch is slower, at up to twice the rate, and the other way round at down to half."""
    batch = ramp(101)
    batch = TensorBatch(*[value.expand(3000, *value.shape[1:]) for value in batch])
    rate = Augmentation(window_warping=1.0)(batch).past[:, 1, 0]
    assert (rate > 1).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert 1.8 < rate.max().item() <= 2
    assert rate.min().item() < 0.6


def test_a_window_keeps_something_measured(make_batch: MakeBatch) -> None:
    batch = make_batch(SHAPE, rows=500, missing=0.85)
    batch = batch._replace(mask=torch.where(batch.mask.sum(1, keepdim=True) == 0, 1, batch.mask))
    found = Augmentation(window_warping=1.0)(batch)
    assert bool((found.mask.sum(1) > 0).all())
    assert not torch.equal(found.mask, batch.mask)


def test_augmentation_follows_the_seed(make_batch: MakeBatch) -> None:
    batch, augmentation = make_batch(SHAPE), Augmentation(input_noise=0.1, window_warping=0.5)
    found: list[TensorBatch] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(augmentation(batch))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_windows_stay_as_they_are(length: int) -> None:
    batch = ramp(length)
    assert same(Augmentation(window_warping=1.0)(batch), batch)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_noise": -0.1}, "input_noise must be a finite number of at least 0, got -0.1; 0 turns it off."),
        ({"input_noise": float("nan")}, "input_noise must be a finite number of at least 0, got nan"),
        ({"window_warping": 1.5}, r"window_warping must be a probability in \[0, 1\], got 1.5; 0 turns it off."),
    ],
)
def test_augmentation_that_cannot_be_is_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Augmentation(**given)
