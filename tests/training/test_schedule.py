from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st
from torch import nn

from grus.errors import OptionError
from grus.training.optimisers import make_optimiser
from grus.training.schedule import OPTIONS, Schedule, check_schedule
from tests.training.conftest import settings

RATE = 0.4


def start(steps: int, per_epoch: int = 1, **given: Any) -> tuple[torch.optim.Optimizer, Schedule]:
    rule = settings(learning_rate=RATE, **given)
    optimiser = make_optimiser(nn.Linear(1, 1), rule)
    return optimiser, Schedule(optimiser, rule, steps, per_epoch)


def rates(steps: int, per_epoch: int = 1, **given: Any) -> list[float]:
    optimiser, schedule = start(steps, per_epoch, **given)
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


SHAPES: dict[str, tuple[dict[str, float], Any]] = {
    "step": ({"every": 2, "factor": 0.5}, lambda k: 0.5 ** (k // 6)),
    "step after 2 epochs": ({"every": 1, "factor": 0.5, "after": 2}, lambda k: 0.5 ** max(0, k // 3 - 2)),
    "exponential": ({"factor": 0.5}, lambda k: 0.5 ** (k / 3)),
    "exponential after 2 epochs": ({"factor": 0.5, "after": 2}, lambda k: 0.5 ** max(0, k / 3 - 2)),
    "inverse_time": ({"decay": 2.0}, lambda k: 1 / (1 + 2 * k / 3)),
    "polynomial": ({"power": 2.0, "end": 0.25}, lambda k: 0.25 + 0.75 * (1 - k / 21) ** 2),
    "cosine": ({"end": 0.1}, lambda k: 0.1 + 0.45 * (1 + math.cos(math.pi * k / 21))),
    # Cycles of 1, 2 and 4 epochs: 3, 6 and 12 steps.
    "warm_restarts": (
        {"every": 1, "growth": 2},
        lambda k: (1 + math.cos(math.pi * (k / 3 if k < 3 else (k - 3) / 6 if k < 9 else (k - 9) / 12))) / 2,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_schedule_by_its_formula(name: str) -> None:
    options, expected = SHAPES[name]
    np.testing.assert_allclose(rates(21, 3, schedule=name.split()[0], schedule_options=options), [RATE * expected(k) for k in range(21)], rtol=1e-12)


@pytest.mark.parametrize("name", SHAPES)
def test_each_schedule_begins_after_the_warmup(name: str) -> None:
    name = name.split()[0]
    found = rates(24, 3, schedule=name, warmup=0.25)
    np.testing.assert_allclose(found[:7], [RATE * k / 7 for k in range(1, 8)])
    np.testing.assert_allclose(found[6:], rates(18, 3, schedule=name))


def test_one_cycle_takes_its_ends_and_its_rise() -> None:
    found = rates(20, schedule="one_cycle", schedule_options={"rise": 0.5, "start": 0.5, "end": 0.125})
    np.testing.assert_allclose([found[0], max(found), found[-1]], [RATE / 2, RATE, RATE / 8])
    assert found.index(max(found)) == 9


def test_plateau_after_a_warmup_keeps_what_it_lowered() -> None:
    optimiser, schedule = start(8, schedule="plateau", warmup=0.25, schedule_options={"patience": 1, "factor": 0.25})
    found: list[float] = []
    for loss in (3.0, 3.0, 2.0, 2.0, 1.0, 1.0):
        optimiser.step()
        schedule.step()
        schedule.end_epoch(loss)
        found.append(schedule.learning_rate / RATE)
    np.testing.assert_allclose(found[2:], [1 / 4, 1 / 16, 1 / 16, 1 / 64], rtol=1e-9)


def test_every_group_keeps_its_share_of_the_rate() -> None:
    groups = [{"names": "bias", "rate_factor": 0.25}]
    for schedule in OPTIONS:
        optimiser, moving = start(9, schedule=schedule, groups=groups)
        for _ in range(8):
            optimiser.step()
            moving.step()
            moving.end_epoch(1.0)
            rates_now = sorted(group["lr"] for group in optimiser.param_groups)
            assert rates_now[0] == pytest.approx(rates_now[1] / 4)


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        ("step", {"evry": 3}, "must be among every, factor, after for 'step', got 'evry'; did you mean 'every'?"),
        ("constant", {"factor": 0.5}, "must be among none for 'constant', got 'factor'; leave it out"),
        ("step", {"every": 2.5}, "every a whole number of at least 1, got 2.5; leave it out for 10"),
        ("exponential", {"factor": 1.0}, "factor between 0 and 1, got 1.0"),
        ("exponential", {"factor": math.nan}, "factor between 0 and 1, got nan"),
        ("inverse_time", {"decay": 0.0}, "decay a finite number above 0, got 0.0"),
    ],
)
def test_options_of_a_schedule_are_checked(schedule: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        check_schedule(schedule, options)
    with pytest.raises(OptionError, match=re.escape(message)):
        settings(schedule=schedule, schedule_options=options)
