from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grus.errors import DataError, OptionError
from grus.training import Penalty, Quiet, fit
from grus.training.averaging import OPTIONS
from grus.training.clipping import Clip
from tests.training.conftest import Rows, bits, linear_rows, settings, small_network, squared, untimed


class Line(nn.Module):
    """Two weights, which are also the forecasts."""

    def __init__(self, first: float = 0.0, second: float = 0.0) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor([first, second]))

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(len(x), 2)


def weights_with(gradient: list[float]) -> list[nn.Parameter]:
    weight = nn.Parameter(torch.zeros(len(gradient)))
    weight.grad = torch.tensor(gradient)
    return [weight]


@pytest.mark.parametrize(
    ("rule", "left", "clipped"),
    [
        ({"clip_norm": None}, [-6.0, 8.0], False),
        ({"clip_norm": 5.0}, [-3.0, 4.0], True),
        ({"clip_norm": 20.0}, [-6.0, 8.0], False),
        ({"clip_norm": None, "clip_value": 7.0}, [-6.0, 7.0], True),
        ({"clip_norm": None, "clip_value": 9.0}, [-6.0, 8.0], False),
        ({"clip_norm": 5.0, "clip_value": 6.0}, [-5.0 / 2**0.5, 5.0 / 2**0.5], True),
    ],
)
def test_clip_by_hand(rule: dict[str, Any], left: list[float], clipped: bool) -> None:
    """The gradient (−6, 8) has the norm 10."""
    weights = weights_with([-6.0, 8.0])
    norm, found = Clip(settings(**rule))(weights)
    assert float(norm) == 10.0
    assert bool(found) is clipped
    assert weights[0].grad is not None
    np.testing.assert_allclose(weights[0].grad, left, rtol=1e-6)


@pytest.mark.parametrize("size", [0.1, 1 - 3e-6, 1 - 5e-7, 1.0, 1 + 1e-6, 3.0])
def test_clip_gives_pytorchs_bits_and_touches_nothing_below_the_limit(size: float) -> None:
    gradient = [0.6 * size, -0.8 * size]
    ours, theirs = weights_with(gradient), weights_with(gradient)
    given = ours[0].grad
    assert given is not None
    before = given._version
    Clip(settings(clip_norm=1.0))(ours)
    nn.utils.clip_grad_norm_(theirs, 1.0)
    torch.testing.assert_close(given, theirs[0].grad, rtol=0, atol=0)
    assert (given._version == before) is (size < 1 - 2e-6)


def test_clip_to_a_percentile_of_the_norms_so_far() -> None:
    """Norms 1, 3, 2 and 10 have the medians 1, 2, 2 and 2.5."""
    clip = Clip(settings(clip_norm=None, clip_percentile=50.0))
    for norm, limit in ((1.0, 1.0), (3.0, 2.0), (2.0, 2.0), (10.0, 2.5)):
        weights = weights_with([norm])
        clip(weights)
        assert weights[0].grad is not None
        np.testing.assert_allclose(weights[0].grad, [min(norm, limit)], rtol=1e-5)
    other = Clip(settings(clip_norm=None, clip_percentile=50.0))
    other.restore(clip.state())
    weights = weights_with([4.0])
    other(weights)
    assert weights[0].grad is not None
    np.testing.assert_allclose(weights[0].grad, [3.0], rtol=1e-5)  # of 1, 2, 3, 4, 10


def test_history_tells_the_share_of_clipped_updates() -> None:
    """At w = 0 and a rate of almost nothing the gradients are −2 y, of norms 2 and 6."""
    train = Rows(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]), size=1)
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    (row,) = fit(network, squared, train, None, settings(epochs=1, learning_rate=1e-30, clip_norm=4.0)).epochs
    assert row["clipped"] == 0.5
    assert row["gradient_norm"] == 4.0
    assert row["steps"] == 2


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_accumulated_batches_are_one_large_batch(count: int) -> None:
    """43 rows with gaps: batches of other weights, and a last update of fewer batches."""
    small = linear_rows(43, 1, size=4)
    small.y[::5] = float("nan")
    large = Rows(small.x, small.y, size=4 * count)
    torch.manual_seed(0)
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    other.load_state_dict(one.state_dict())
    rows = fit(one, squared, small, None, settings(accumulate=count, optimiser="sgd", clip_norm=0.5)).epochs
    expected = fit(other, squared, large, None, settings(optimiser="sgd", clip_norm=0.5)).epochs
    torch.testing.assert_close(one.weight, other.weight, rtol=0, atol=1e-6)
    for row, reference in zip(rows, expected, strict=True):
        for name in ("loss", "gradient_norm", "learning_rate", "clipped", "steps"):
            assert row[name] == pytest.approx(reference[name], rel=1e-5)


class Follow(Quiet):
    """Notes the weights after each update and each epoch."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.updates, self.epochs = network, list[Tensor](), list[Tensor]()

    def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
        self.updates.append(next(self.network.parameters()).detach().clone())

    def epoch(self, row: dict[str, float]) -> None:
        self.epochs.append(next(self.network.parameters()).detach().clone())


@pytest.mark.parametrize(
    ("average", "options"),
    [
        ("ema", {"decay": 0.8}),
        ("ema", {"decay": 0.5, "start": 0.5}),
        ("polyak", {"start": 0.0}),
        ("polyak", {}),
        ("swa", {"start": 0.5}),
        ("swa", {}),
    ],
)
def test_averages_by_their_equations(average: str, options: dict[str, float]) -> None:
    """8 epochs of 3 updates; without validation the network gets the average over all that count."""
    train = Rows(torch.zeros(6, 1), torch.linspace(-1, 4, 12).reshape(6, 2), size=2)
    network = Line()
    follow = Follow(network)
    fit(network, squared, train, None, settings(epochs=8, learning_rate=0.1, average=average, average_options=options), reporter=follow)
    first = int((OPTIONS[average] | options)["start"] * 8)
    counted = follow.epochs[first:] if average == "swa" else follow.updates[3 * first :]
    expected = counted[0].double()
    for at, value in enumerate(counted[1:], 2):
        weight = 1 - options["decay"] if average == "ema" else 1 / at
        expected = expected + weight * (value - expected)
    np.testing.assert_allclose(network.values.detach(), expected, rtol=1e-5)


def test_validation_is_of_the_averaged_weights_once_there_are_any() -> None:
    network, held = Line(), Rows(torch.zeros(1, 1), torch.tensor([[1.0, 2.0]]))
    follow = Follow(network)
    train = Rows(torch.zeros(6, 1), torch.linspace(-1, 4, 12).reshape(6, 2), size=2)
    rule = settings(epochs=4, learning_rate=0.1, average="swa", average_options={"start": 0.5})
    rows = fit(network, squared, train, held, rule, reporter=follow).epochs

    def loss(values: Tensor) -> float:
        return float((values - held.y[0]).square().mean())

    one, two, three, four = follow.epochs
    expected = [loss(one), loss(two), loss(three), loss((three + four) / 2)]
    np.testing.assert_allclose([row["validation_loss"] for row in rows], expected, rtol=1e-5)


@pytest.mark.parametrize("ahead", [1, 4, 100])
def test_prefetched_batches_give_the_same_bits(ahead: int) -> None:
    one, other = small_network(), small_network()
    rows = fit(one, squared, linear_rows(43, 1), linear_rows(9, 2), settings()).epochs
    found = fit(other, squared, linear_rows(43, 1), linear_rows(9, 2), settings(prefetch=ahead)).epochs
    assert bits(one) == bits(other)
    assert untimed(rows) == untimed(found)


def test_error_of_a_prefetched_source_is_raised_as_it_is() -> None:
    def refuse(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 3):
            raise DataError("row 7 is wrong")

    with pytest.raises(DataError, match="row 7 is wrong"):
        fit(small_network(), squared, linear_rows(43, 1, before=refuse), None, settings(prefetch=2))


class Carrying:
    """A loss that remembers how many batches it has seen in this epoch, as a carried state would be."""

    def __init__(self) -> None:
        self.seen = torch.zeros(())

    def begin(self, epoch: int) -> None:
        if epoch:
            self.seen = torch.zeros(())

    def __call__(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        total, weight = squared(network, batch)
        if network.training:
            self.seen = self.seen + 1
        return total * (1 + self.seen), weight

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


@pytest.mark.parametrize("step", [1, 2, 7])
def test_run_resumed_within_an_epoch_carries_on_what_the_objective_carries(step: int, tmp_path: Path) -> None:
    class LostError(Exception):
        pass

    def lose(epoch: int, at: int) -> None:
        if (epoch, at) == (3, step + 1):
            raise LostError

    rule, asked = settings(checkpoint_every_s=1e-9, average="polyak", optimiser="adam"), list[tuple[int, int]]()
    whole, parted, again = small_network(), small_network(), small_network(seed=9)
    expected = fit(whole, Carrying(), linear_rows(60, 1), linear_rows(9, 2), rule).epochs
    with pytest.raises(LostError):
        fit(parted, Carrying(), linear_rows(60, 1, before=lose), linear_rows(9, 2), rule, folder=tmp_path)
    trained: list[int] = []

    class Count(Quiet):
        def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
            trained.append(step)

    train = linear_rows(60, 1, before=lambda epoch, at: asked.append((epoch, at)))
    found = fit(again, Carrying(), train, linear_rows(9, 2), rule, folder=tmp_path, resume=True, reporter=Count()).epochs
    assert bits(whole) == bits(again)
    assert untimed(found) == untimed(expected)
    assert trained[0] == step + 1  # the updates before were not made again


def test_average_options_are_checked() -> None:
    with pytest.raises(OptionError, match="did you mean 'decay'"):
        settings(average="ema", average_options={"deca": 0.9})
    with pytest.raises(OptionError, match=r"decay of at least 0 and below 1, got 1"):
        settings(average="ema", average_options={"decay": 1.0})
    with pytest.raises(OptionError, match="must be among none for 'none'"):
        settings(average_options={"decay": 0.9})


@pytest.mark.parametrize("count", [1, 3])
def test_penalties_are_in_the_gradient_and_not_in_the_loss_that_is_told(count: int) -> None:
    """Weights 0 and targets 0 but for the penalty 2 · Σ w²: at w = (3, −1) its gradient is (12, −4), whatever the batches weigh."""
    train = Rows(torch.zeros(6, 1), torch.full((6, 2), float("nan")), size=2)
    train.y[:2] = torch.tensor([3.0, -1.0])
    train.y[3] = torch.tensor([3.0, -1.0])
    network = Line(3.0, -1.0)
    rule = settings(epochs=1, optimiser="sgd", learning_rate=0.01, clip_norm=None, schedule="constant", accumulate=count)
    penalised = rule.model_copy(update={"penalties": (Penalty(l2=2.0),)})
    first: list[Tensor] = []

    class First(Quiet):
        def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
            first.append(network.values.detach().clone())

    (row,) = fit(network, squared, train, None, penalised, reporter=First()).epochs
    assert row["loss"] < 0.05
    if count == 3:  # one update over all batches
        np.testing.assert_allclose(first[0], [3 - 0.12, -1 + 0.04], rtol=1e-6)
        assert row["loss"] == 0


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_lbfgs_solves_ridge_regression(penalty: float) -> None:
    """Against the closed form of mean squares plus λ Σ w²; the bias pays too."""
    train, network = linear_rows(40, 0, size=40), nn.Linear(2, 1)
    options = {"line_search_fn": "strong_wolfe"}
    rule = settings(epochs=20, optimiser="lbfgs", optimiser_options=options, clip_norm=None, learning_rate=1.0, schedule="constant")
    given = rule.model_copy(update={"penalties": (Penalty(l2=penalty),) if penalty else ()})
    fit(network, squared, train, None, given)
    design = torch.cat([train.x, torch.ones(40, 1)], 1).double()
    exact = torch.linalg.solve(design.T @ design + 40 * penalty * torch.eye(3), design.T @ train.y.double())[:, 0]
    np.testing.assert_allclose([*network.weight.detach()[0], *network.bias.detach()], exact, atol=1e-4)


def test_lbfgs_takes_neither_clipping_nor_an_objective_that_carries() -> None:
    with pytest.raises(OptionError, match="clip_norm must be None with optimiser='lbfgs'"):
        settings(optimiser="lbfgs")
    with pytest.raises(OptionError, match="for an objective that carries states"):
        fit(small_network(), Carrying(), linear_rows(8, 1), None, settings(optimiser="lbfgs", clip_norm=None))


class Counting:
    """Carries a count over epochs and has no beginning; validation counts too, and is forgotten."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        self.count += 1
        total, weight = squared(network, batch)
        return total * (1 + self.count % 7), weight

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def test_what_an_objective_carries_over_epochs_is_kept_and_untouched_by_validation(tmp_path: Path) -> None:
    def refuse(epoch: int, step: int) -> None:
        if (epoch, step) == (3, 1):
            raise DataError("row 7 is wrong")

    whole, parted, again = small_network(), small_network(), small_network()
    objective = Counting()
    fit(whole, objective, linear_rows(24, 1), linear_rows(9, 2), settings(epochs=4))
    assert objective.count == 12
    with pytest.raises(DataError, match="row 7"):
        fit(parted, Counting(), linear_rows(24, 1, before=refuse), linear_rows(9, 2), settings(epochs=4), folder=tmp_path)
    fit(again, Counting(), linear_rows(24, 1), linear_rows(9, 2), settings(epochs=4), folder=tmp_path, resume=True)
    assert bits(again) == bits(whole)


@pytest.mark.parametrize("lost", [3, 5, 0])
def test_epoch_that_accumulation_does_not_divide_is_resumed_at_any_batch_and_in_validation(lost: int, tmp_path: Path) -> None:
    """7 batches in updates of 4 and 3: the run is lost at a batch of epoch 2, or, for 0, in its validation."""
    rule, trained = settings(epochs=3, accumulate=4, checkpoint_every_s=1e-9, optimiser="adam", schedule="cosine"), [0]

    def lose(epoch: int, step: int) -> None:
        if (epoch, step) == (2, lost) or (epoch == lost == 0 and trained[0] == 4):
            raise DataError("row 7 is wrong")

    class Count(Quiet):
        def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
            trained[0] += 1

    whole, parted, again = small_network(), small_network(), small_network()
    expected = fit(whole, squared, linear_rows(53, 1), linear_rows(9, 2), rule).epochs
    with pytest.raises(DataError, match="row 7"):
        fit(parted, squared, linear_rows(53, 1, before=lose), linear_rows(9, 2, before=lose), rule, folder=tmp_path, reporter=Count())
    found = fit(again, squared, linear_rows(53, 1), linear_rows(9, 2), rule, folder=tmp_path, resume=True).epochs
    assert bits(again) == bits(whole)
    assert untimed(found) == untimed(expected)
