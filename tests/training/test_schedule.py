from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st
from torch import nn

from grus.errors import OptionError
from grus.training.schedule import Schedule, make_optimiser
from tests.training.conftest import settings

RATE = 0.4


def start(steps: int, **given: Any) -> tuple[torch.optim.AdamW, Schedule]:
    rule = settings(learning_rate=RATE, **given)
    optimiser = make_optimiser(nn.Linear(1, 1), rule)
    return optimiser, Schedule(optimiser, rule, steps)


def rates(steps: int, **given: Any) -> list[float]:
    optimiser, schedule = start(steps, **given)
    found: list[float] = []
    for _ in range(steps):
        found.append(schedule.learning_rate)
        optimiser.step()
        schedule.step()
    return found


def test_constant_stays() -> None:
    assert rates(5, schedule="constant") == [RATE] * 5


def test_warmup_rises_linearly_over_its_share_of_the_steps() -> None:
    np.testing.assert_allclose(rates(8, schedule="constant", warmup=0.5), [RATE * k / 5 for k in (1, 2, 3, 4, 5, 5, 5, 5)])


def test_cosine_falls_to_zero() -> None:
    np.testing.assert_allclose(rates(10, schedule="cosine"), [RATE * (1 + math.cos(math.pi * k / 10)) / 2 for k in range(10)])


def test_cosine_follows_the_warmup() -> None:
    expected = [RATE * k / 4 for k in (1, 2, 3)] + [RATE * (1 + math.cos(math.pi * k / 7)) / 2 for k in range(7)]
    np.testing.assert_allclose(rates(10, schedule="cosine", warmup=0.3), expected)


def test_one_cycle_rises_for_three_tenths_and_falls() -> None:
    found = rates(20, schedule="one_cycle")
    assert int(np.argmax(found)) == 5
    assert found[5] == pytest.approx(RATE)
    assert found[0] == pytest.approx(RATE / 25)
    assert found[-1] == pytest.approx(RATE / 25e4)


def rates_after(losses: tuple[float, ...]) -> list[float]:
    optimiser, schedule = start(100, schedule="plateau")
    found: list[float] = []
    for loss in losses:
        optimiser.step()
        schedule.step()
        schedule.end_epoch(loss)
        found.append(schedule.learning_rate)
    return found


@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_plateau_halves_after_three_epochs_without_a_better_loss(shift: float) -> None:
    """An equal loss is no better one; a loss may be negative, as −log p is."""
    losses = tuple(loss + shift for loss in (2.0, 1.0, 1.5, 1.0, 1.25, 1.125, 1.0, 1.5, 0.5, 0.75))
    np.testing.assert_allclose(rates_after(losses), [RATE] * 4 + [RATE / 2] * 3 + [RATE / 4] * 3)


@pytest.mark.parametrize("start_at", [3.0, 1e-3, -3.0])
def test_plateau_counts_any_smaller_loss_as_better(start_at: float) -> None:
    assert rates_after(tuple(start_at - 1e-9 * epoch for epoch in range(8))) == [RATE] * 8


@example_count(max_examples=40)
@given(
    schedule=st.sampled_from(["constant", "cosine", "one_cycle", "plateau"]),
    warmup=st.sampled_from([0.0, 0.2, 0.99]),
    steps=st.integers(1, 12),
    at=st.integers(0, 12),
)
def test_state_through_json_goes_on_as_if_uninterrupted(schedule: str, warmup: float, steps: int, at: int) -> None:
    given = {"schedule": schedule, "warmup": 0.0 if schedule == "one_cycle" else warmup}
    (optimiser, whole), (other, resumed) = start(steps, **given), start(steps, **given)
    for step in range(steps):
        if step == min(at, steps - 1):
            packed = optimiser.state_dict()
            other.load_state_dict({"state": {}, "param_groups": json.loads(json.dumps(packed["param_groups"]))})
            resumed.restore(json.loads(json.dumps(whole.state(), allow_nan=False)))
        for each, one in ((optimiser, whole), (other, resumed)):
            each.step()
            one.step()
            one.end_epoch(float(step % 5))
    assert resumed.learning_rate == whole.learning_rate
    assert resumed.state() == whole.state()


def test_optimiser_decays_matrices_only_and_skips_frozen_parameters() -> None:
    network = nn.GRU(2, 3, 2)
    network.weight_ih_l0.requires_grad_(False)
    decayed, spared = make_optimiser(network, settings(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert {id(weight) for weight in decayed["params"]} == {id(network.weight_hh_l0), id(network.weight_ih_l1), id(network.weight_hh_l1)}
    assert len(spared["params"]) == 4


def test_optimiser_without_a_parameter_that_learns_is_refused() -> None:
    with pytest.raises(OptionError, match="network must have parameters that learn"):
        make_optimiser(nn.Tanh(), settings())
