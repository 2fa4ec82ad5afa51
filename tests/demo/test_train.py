from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from grus.demo.backtest import run_backtest
from grus.demo.data import Series, read_co2
from grus.demo.model import Network, Settings, forecast
from grus.demo.train import fit, masked_mae, time_step
from grus.errors import DataError

TINY = Settings(hidden=4, window=60, warm_up=52, horizon=52, steps=3, batch=2)


def train(series: Series, seed: int = 0, settings: Settings = TINY) -> tuple[Network, list[float]]:
    losses: list[float] = []
    return fit(series, settings, seed, losses.append), losses


def test_masked_mae_gives_a_missing_target_no_gradient() -> None:
    said = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = masked_mae(said, torch.tensor([0.0, float("nan"), 5.0]))
    loss.backward()
    assert loss.item() == 1.5
    assert said.grad is not None
    assert said.grad.tolist() == [0.5, 0.0, -0.5]


def test_masked_mae_without_a_known_target_is_refused() -> None:
    with pytest.raises(DataError, match="at least one target must be known"):
        masked_mae(torch.zeros(2), torch.full((2,), float("nan")))


def test_fit_over_gaps_has_finite_losses() -> None:
    series = read_co2().before(130)
    assert np.isnan(series.values).any()
    _, losses = train(series, settings=dataclasses.replace(TINY, batch=16))
    assert np.isfinite(losses).all()


def test_fit_is_decided_by_the_seed() -> None:
    series = read_co2().before(400)
    weights = [torch.cat([part.flatten() for part in train(series, seed)[0].parameters()]) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_fit_leaves_the_callers_random_state_alone() -> None:
    state = torch.random.get_rng_state()
    train(read_co2().before(200))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fit_of_a_short_series_is_refused() -> None:
    with pytest.raises(DataError, match="more than 61 weeks, got 61"):
        train(read_co2().before(61))


def test_forecast_sees_nothing_after_the_origin() -> None:
    series = read_co2().before(520)
    network, _ = train(series.before(300))
    changed = series.values.copy()
    changed[400:] = 1e6
    before = run_backtest(lambda known, origins: forecast(network, known, origins), series, 300, 52)
    after = run_backtest(lambda known, origins: forecast(network, known, origins), Series(series.dates, changed), 300, 52)
    early = [origin <= 400 for origin in before.origins]
    np.testing.assert_array_equal(after.forecasts[early], before.forecasts[early])
    assert not np.array_equal(after.forecasts, before.forecasts)


def test_forecast_from_an_early_origin_is_refused() -> None:
    series = read_co2().before(200)
    with pytest.raises(DataError, match="at least 60 weeks before it, got 59"):
        forecast(train(series)[0], series, [59])


def test_time_step_runs_the_same_training_twice() -> None:
    measured = time_step(read_co2().before(400), TINY, rounds=3)
    assert measured.ratio == measured.torch_s / measured.grus_s
    assert measured.loss_difference < 1e-5
