"""The search for a learning rate: on a bowl whose best rate is known, and without a trace in what it is given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grus.errors import BackendError, DataError, OptionError
from grus.training import TrainingSettings
from grus.training.rate_finder import find_rate
from grus.training.streams import Carried, Piece, Streams
from tests.training.conftest import bits, linear_rows, small_network, squared

PLAIN = TrainingSettings(optimiser="sgd", clip_norm=None)


class Bowl(nn.Module):
    """½ a w², whose gradient descent is best at the rate 1 / a and diverges from 2 / a on."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.w, self.a = nn.Parameter(torch.ones(1, dtype=torch.float64)), a

    def forward(self) -> Tensor:
        return self.a / 2 * self.w.square().sum()


@dataclass
class Repeated:
    """Batches of numbers that scale the loss."""

    factors: tuple[float, ...] = (1.0,)

    def __len__(self) -> int:
        return len(self.factors)

    def epoch(self, number: int, seed: int) -> Iterator[Tensor]:
        yield from map(torch.tensor, self.factors)


def scaled(network: nn.Module, factor: Any) -> tuple[Tensor, Tensor]:
    return factor * network(), torch.tensor(1.0)


def descent(a: float, rates: Any, clip: float = math.inf) -> list[float]:
    """The losses of gradient descent on the bowl, by hand."""
    w, losses = 1.0, []
    for rate in rates:
        losses.append(a / 2 * w * w)
        slope = a * w
        w -= rate * math.copysign(min(abs(slope), clip), slope)
    return losses


@pytest.mark.parametrize("a", [1.0, 30.0, 1e4])
def test_losses_of_a_bowl_are_those_of_gradient_descent_and_the_suggestion_is_below_its_best_rate(a: float) -> None:
    found = find_rate(Bowl(a), scaled, Repeated(), PLAIN, highest=10.0)
    rates = np.geomspace(1e-7, 10, 100)[: len(found.rates)]
    np.testing.assert_allclose(found.rates, rates, rtol=1e-12)
    np.testing.assert_allclose(found.losses, descent(a, rates), rtol=1e-9)
    assert found.suggestion is not None
    # The rates grow by the factor g = 1.2 at each step, so that the loss is about exp(−2 a η g / (g − 1)) behind the rate η: it falls steepest over
    # ln η where the exponent is 1, at 0.084 / a.
    assert 0.06 < found.suggestion * a < 0.12


def test_divergence_ends_the_search() -> None:
    found = find_rate(Bowl(100.0), scaled, Repeated(), PLAIN)
    assert found.stopped_at == found.rates[-1]
    assert 2 / 100 < found.stopped_at < 1
    assert found.losses[-1] > found.losses[0]
    assert len(found.losses) == len(found.smoothed) == len(found.rates) < 100


def test_loss_that_is_no_number_ends_the_search_and_is_not_among_the_losses() -> None:
    class Cliff(Bowl):
        def forward(self) -> Tensor:
            return super().forward() * (1.0 if float(self.w.detach()) > 0.5 else math.nan)

    found = find_rate(Cliff(1.0), scaled, Repeated(), PLAIN)
    assert found.stopped_at is not None
    assert found.stopped_at > found.rates[-1]
    assert np.isfinite(found.losses).all()


def test_search_that_does_not_diverge_ends_at_the_highest_rate() -> None:
    found = find_rate(Bowl(1.0), scaled, Repeated(), PLAIN, lowest=1e-3, highest=0.5, steps=20)
    assert (len(found.rates), found.stopped_at) == (20, None)
    assert found.rates[-1] == pytest.approx(0.5)


def test_smoothed_losses_are_means_of_neighbours() -> None:
    found = find_rate(Bowl(1.0), scaled, Repeated(), PLAIN, highest=0.5, steps=40)
    losses = np.array(found.losses)
    assert found.smoothed[0] == losses[0]
    assert found.smoothed[1] == pytest.approx(losses[:3].mean())
    assert found.smoothed[20] == pytest.approx(losses[18:23].mean())
    assert found.smoothed[-1] == pytest.approx(losses[-1])


def test_no_rate_is_suggested_where_the_loss_only_scatters() -> None:
    for seed in range(20):
        factors = tuple(np.random.default_rng(seed).uniform(0.5, 1.5, 100).tolist())
        found = find_rate(Bowl(1.0), scaled, Repeated(factors), PLAIN, lowest=1e-12, highest=1e-9)
        assert (found.suggestion, found.stopped_at) == (None, None)


def test_clipping_and_accumulation_are_those_of_the_settings() -> None:
    clipped = find_rate(Bowl(2.0), scaled, Repeated(), PLAIN.model_copy(update={"clip_norm": 0.5}), highest=1.0, steps=20)
    np.testing.assert_allclose(clipped.losses, descent(2.0, clipped.rates, clip=0.5), rtol=1e-6)
    pairs = find_rate(Bowl(1.0), scaled, Repeated((0.5, 1.5)), PLAIN.model_copy(update={"accumulate": 2}), highest=0.5, steps=20)
    np.testing.assert_allclose(pairs.losses, descent(1.0, pairs.rates), rtol=1e-6)


def test_groups_keep_their_share_of_the_rate() -> None:
    settings = TrainingSettings(optimiser="sgd", clip_norm=None, groups=[{"names": "w", "rate_factor": 0.1}])
    found = find_rate(Bowl(1.0), scaled, Repeated(), settings, highest=0.5, steps=20)
    np.testing.assert_allclose(found.losses, descent(1.0, [rate / 10 for rate in found.rates]), rtol=1e-9)


def test_network_random_states_and_modes_stay_as_they_were() -> None:
    network, before = small_network(), torch.get_rng_state()
    network.eval()
    held, numpy = bits(network), np.random.get_state()[1].copy()  # type: ignore[index]
    found = [find_rate(network, squared, linear_rows(30, 0), TrainingSettings(), steps=30) for _ in range(2)]
    assert found[0] == found[1]
    assert bits(network) == held
    assert not any(module.training for module in network.modules())
    assert all(weight.grad is None for weight in network.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy)  # type: ignore[index]


def test_carried_states_are_as_they_were() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.5))

        def forward(self, piece: Piece, states: Tensor | None) -> tuple[Tensor, Tensor]:
            state = self.a * piece.values[0].sum(0) + (0 if states is None else states)
            return state, state

    network = Sum()
    carried = Carried(network, lambda output, piece: (output.square().sum(), torch.tensor(float(output.numel()))))
    carried.states = torch.full((2,), 7.0)
    find_rate(network, carried, Streams([torch.ones(20)], rows=2, steps=5), TrainingSettings(), steps=10)
    assert carried.states.tolist() == [7.0, 7.0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lowest": 0.0}, "lowest and highest must be finite rates above 0 in this order, got 0.0 and 1.0"),
        ({"lowest": 1.0, "highest": 0.1}, "in this order, got 1.0 and 0.1; exchange them"),
        ({"highest": math.inf}, "got 1e-07 and inf"),
        ({"steps": 9}, "steps must be a whole number of at least 10, got 9; leave it out for 100"),
    ],
)
def test_wrong_range_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        find_rate(Bowl(1.0), scaled, Repeated(), PLAIN, **given)


def test_data_without_a_finite_loss_is_refused() -> None:
    with pytest.raises(DataError, match="the loss must be finite before the first update, got nan; look for extreme values"):
        find_rate(Bowl(1.0), scaled, Repeated((math.nan,)), PLAIN)
    with pytest.raises(DataError, match="at least one known target, got none in epoch 1"):
        find_rate(Bowl(1.0), lambda network, batch: (0 * network(), torch.tensor(0.0)), Repeated(), PLAIN)
    with pytest.raises(DataError, match="at least one batch, got none"):
        find_rate(Bowl(1.0), scaled, Repeated(()), PLAIN)


def test_search_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BackendError, match="must run in one process, got 2; start it without torchrun"):
        find_rate(Bowl(1.0), scaled, Repeated(), PLAIN)
