"""Normalisation: by hand, over known values only, and undone exactly by the heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.models import ForecastSettings, ForecastShape, build
from grus.models.normalisation import EPSILON, Kind, Normalisation
from tests.models.conftest import MakeBatch

DOUBLE = torch.float64
VALUES = torch.tensor([[1.0, 99.0, 3.0, 8.0], [7.0, 5.0, 2.0, 4.0], [9.0, 9.0, 9.0, 9.0]], dtype=DOUBLE)
MASK = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]], dtype=DOUBLE)


@pytest.mark.parametrize(
    ("kind", "shift", "scale"),
    [
        ("last", [3, 4, 0], [1, 1, 1]),
        ("scale", [0, 0, 0], [3, 5.5, 1]),
        ("reversible", [2, 4.5, 0], [np.sqrt(1 + EPSILON), np.sqrt(3.25 + EPSILON), 1]),
    ],
)
def test_moments_by_hand(kind: Kind, shift: list[float], scale: list[float]) -> None:
    moments = Normalisation(kind)(VALUES, MASK)
    np.testing.assert_allclose(torch.cat(moments, 1).numpy(), np.stack([shift, scale], 1), rtol=1e-12)


def test_none_has_no_moments() -> None:
    assert Normalisation("none")(VALUES, MASK) is None


@pytest.mark.parametrize("kind", ["last", "scale", "reversible"])
def test_unknown_values_have_no_part(kind: Kind) -> None:
    other = torch.where(MASK > 0, VALUES, -1234.0)
    for one, two in zip(Normalisation(kind)(VALUES, MASK), Normalisation(kind)(other, MASK), strict=True):
        assert torch.equal(one, two)


def test_learnt_affine_is_inside_the_moments() -> None:
    normalisation = Normalisation("reversible", affine=True).double()
    gain, offset = 1.7, -0.3
    with torch.no_grad():
        assert normalisation.log_gain is not None
        assert normalisation.offset is not None
        normalisation.log_gain.fill_(np.log(gain))
        normalisation.offset.fill_(offset)
    shift, scale = normalisation(VALUES, MASK)
    plain_shift, plain_scale = Normalisation("reversible")(VALUES, MASK)
    torch.testing.assert_close((VALUES - shift) / scale, gain * (VALUES - plain_shift) / plain_scale + offset)


@settings(max_examples=40)
@given(shift=st.floats(-100, 100), scale=st.floats(0.5, 20), head=st.sampled_from(["point", "quantile", "normal", "student_t"]))
def test_reversible_forecasts_shift_and_scale_with_the_series(make_batch: MakeBatch, shift: float, scale: float, head: str) -> None:
    torch.manual_seed(0)
    shape = ForecastShape(lookback=8, horizon=3, past=2)
    network = build(ForecastSettings(hidden_size=4, head=head), shape).double()  # pyright: ignore[reportArgumentType]
    batch = make_batch(shape, dtype=DOUBLE)
    moved = batch._replace(past=torch.cat([shift + scale * batch.past[..., :1], batch.past[..., 1:]], -1))
    expected = network.head.affine(network(batch), torch.tensor([[shift]]), torch.tensor([[scale]]))
    torch.testing.assert_close(network(moved), expected, rtol=2e-4, atol=2e-4 * scale)


@settings(max_examples=40)
@given(shift=st.floats(-100, 100))
def test_last_forecasts_shift_with_the_series(make_batch: MakeBatch, shift: float) -> None:
    torch.manual_seed(0)
    shape = ForecastShape(lookback=8, horizon=3, past=1)
    network = build(ForecastSettings(hidden_size=4, normalisation="last", decoder="recursive"), shape).double()
    batch = make_batch(shape, dtype=DOUBLE)
    torch.testing.assert_close(network(batch._replace(past=batch.past + shift)), network(batch) + shift, rtol=1e-9, atol=1e-9)
