from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from grus.training import DivergenceError, fit
from grus.training.divergence import WINDOW, Watch
from tests.training.conftest import Rows, bits, linear_rows, settings, squared


class Layers(nn.Module):
    """The middle layer takes the logarithm of what it reads, which is none below 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(2, 2), Log(), nn.Linear(2, 1)
        nn.init.eye_(self.first.weight)
        nn.init.zeros_(self.first.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)))


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


def test_error_names_the_step_and_the_layer_and_keeps_weights_and_batch(tmp_path: Path) -> None:
    x = torch.ones(16, 2)
    x[0] = -1
    train, network = Rows(x, torch.ones(16, 1), size=4), Layers()
    seen: list[int] = []

    def before(epoch: int, step: int) -> None:
        seen.append(step)

    with pytest.raises(DivergenceError, match=r"at epoch 1, step \d \(output not finite: middle\)") as raised:
        fit(network, squared, Rows(x, train.y, size=4, before=before), None, settings(), folder=tmp_path)
    error, kept = raised.value, tmp_path / "checkpoints" / "diverged"
    assert (error.epoch, error.step) == (1, seen[-1])
    assert str(kept) in error.__notes__[0]
    note = json.loads((kept / "note.json").read_text())
    assert (note["epoch"], note["step"], note["what"]) == (1, seen[-1], str(error))
    batch = load_file(kept / "batch.safetensors")
    assert batch["0.0"].shape == (4, 2)
    assert (batch["0.0"] < 0).any()
    again = Layers()
    again.load_state_dict(load_file(kept / "weights.safetensors"))
    assert again(batch["0.0"]).isnan().any()


def growing(factor: float) -> Any:
    """A loss that is multiplied after each batch, whatever the network does."""
    scale = [1.0]

    def objective(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        total, weight = squared(network, batch)
        if network.training:
            scale[0] *= factor
        return total * scale[0], weight

    return objective


def test_loss_far_above_its_beginning_is_told_though_it_is_finite() -> None:
    with pytest.raises(DivergenceError, match=r"must not grow far above where it began, got a mean loss of .* over 20 steps"):
        fit(nn.Linear(2, 1), growing(1.2), linear_rows(80, 0, size=1), None, settings(learning_rate=1e-9))


@pytest.mark.parametrize(("optimiser", "rate"), [("adamw", 0.05), ("sgd", 0.01), ("rmsprop", 0.05)])
def test_healthy_runs_raise_no_alarm(optimiser: str, rate: float) -> None:
    """Single rows make noisy losses."""
    rows = fit(nn.Linear(2, 1), squared, linear_rows(200, 0, size=1), None, settings(epochs=8, optimiser=optimiser, learning_rate=rate)).epochs
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize(("level", "ok"), [(-50.0, True), (0.0, True), (20.0, True), (1e5, False)])
def test_watch_by_hand(level: float, ok: bool) -> None:
    """The first 20 losses rise from −100 to −81: the limit is −81 + 10 · (81 + 19) = 919."""
    watch = Watch()
    for at in range(WINDOW):
        assert watch.look(-100.0 + at) is None
    found = [watch.look(level) for _ in range(WINDOW)]
    assert found[:-1] == [None] * (WINDOW - 1)
    assert (found[-1] is None) is ok


@pytest.mark.parametrize(("level", "ok"), [(1300.0, True), (1301.0, False)])
def test_watch_sees_what_was_lost_at_the_very_beginning(level: float, ok: bool) -> None:
    """The first loss is 0.3, the next 19 are far away already: the limit is 0.3 + 1000 · 1.3 = 1300.3."""
    watch = Watch()
    assert [watch.look(loss) for loss in (0.3, *[1e12] * (WINDOW - 1))] == [None] * WINDOW
    found = [watch.look(level) for _ in range(WINDOW)]
    assert found[:-1] == [None] * (WINDOW - 1)
    assert (found[-1] is None) is ok


def test_rate_that_is_far_too_high_is_told() -> None:
    with pytest.raises(DivergenceError, match=r"losses of .* and more over 20 steps, where the first one was"):
        fit(nn.Linear(2, 1), squared, linear_rows(200, 0, size=1), None, settings(epochs=8, optimiser="adamw", learning_rate=1e6))


def test_watch_lets_one_extreme_batch_pass() -> None:
    watch = Watch()
    losses = np.random.default_rng(0).exponential(size=500)
    losses[250] = 50 * losses.max()
    assert [watch.look(float(loss)) for loss in losses] == [None] * 500


def test_roll_back_goes_on_from_the_last_whole_epoch_at_half_the_rate(tmp_path: Path) -> None:
    """Step 2 of epoch 3 gives no finite loss, once."""
    wrong = [True]

    def objective(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        total, weight = squared(network, batch)
        fail = at[0] == (3, 2) and wrong[0] and network.training
        if fail:
            wrong[0] = False
        return total * (float("nan") if fail else 1.0), weight

    at = [(0, 0)]

    def before(epoch: int, step: int) -> None:
        at[0] = (epoch, step)

    train = linear_rows(40, 1, before=before)
    rule = settings(epochs=4, optimiser="sgd", learning_rate=0.04, on_divergence="roll_back", schedule="constant")
    torch.manual_seed(0)
    network, plain = nn.Linear(2, 1), nn.Linear(2, 1)
    plain.load_state_dict(network.state_dict())
    with pytest.warns(RuntimeWarning, match=r"at epoch 3, step 2 .* goes on from the last whole epoch at half its learning rate"):
        rows = fit(network, objective, train, None, rule, folder=tmp_path).epochs
    assert [row["learning_rate"] for row in rows] == [0.04, 0.04, 0.02, 0.02]

    halved = settings(epochs=4, optimiser="sgd", learning_rate=0.04, schedule="step", schedule_options={"every": 2, "factor": 0.5})
    fit(plain, squared, linear_rows(40, 1), None, halved)
    assert bits(network) == bits(plain)
    assert (tmp_path / "checkpoints" / "diverged" / "note.json").exists()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "plateau"])
def test_roll_back_ends_in_an_error_where_it_does_not_help(schedule: str) -> None:
    def objective(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        total, weight = squared(network, batch)
        return total * float("nan") if network.training else total, weight

    network = nn.Linear(2, 1)
    before = bits(network)
    with pytest.warns(RuntimeWarning) as warned, pytest.raises(DivergenceError, match="at epoch 1, step 1") as error:
        fit(network, objective, linear_rows(40, 1), linear_rows(8, 2), settings(schedule=schedule, on_divergence="roll_back"))
    told = [
        re.search(r"goes on from its beginning at half its learning rate, (\S+) now \(roll-back (\d) of 5\)\.$", str(each.message)) for each in warned
    ]
    assert [int(found[2]) for found in told if found] == [1, 2, 3, 4, 5]
    rates = [float(found[1]) for found in told if found]
    assert rates[1:] == pytest.approx([rate / 2 for rate in rates[:-1]], rel=0.01)
    assert error.value.__notes__ == ["The run was rolled back 5 times before."]
    assert bits(network) == before


class Failing:
    """Gives no finite loss at these steps of training, each once; then Ctrl-C comes at ``pressed``."""

    def __init__(self, *steps: tuple[int, int], pressed: tuple[int, int]) -> None:
        self.left, self.pressed, self.at = list(steps), pressed, (0, 0)

    def before(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def __call__(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        if network.training and self.at == self.pressed and not self.left:
            raise KeyboardInterrupt
        total, weight = squared(network, batch)
        if network.training and self.at in self.left:
            self.left.remove(self.at)
            return total * float("nan"), weight
        return total, weight


@pytest.mark.filterwarnings("ignore:fit. loss and gradient must be finite")
def test_run_rolled_back_twice_and_interrupted_is_one_at_a_quarter_of_the_rate(tmp_path: Path) -> None:
    """Adam's moments are those of the last whole epoch each time, and after a resume: as of a run whose rate was a quarter from epoch 3 on."""
    rule = settings(epochs=4, optimiser="adam", learning_rate=0.04, schedule="constant", on_divergence="roll_back", average="polyak")
    torch.manual_seed(0)
    network, plain, again = (nn.Linear(2, 1) for _ in range(3))
    plain.load_state_dict(network.state_dict())
    failing = Failing((3, 2), (3, 4), pressed=(3, 5))
    assert fit(network, failing, linear_rows(40, 1, before=failing.before), linear_rows(9, 2), rule, folder=tmp_path).interrupted
    rows = fit(again, squared, linear_rows(40, 1), linear_rows(9, 2), rule, folder=tmp_path, resume=True).epochs
    assert [row["learning_rate"] for row in rows] == [0.04, 0.04, 0.01, 0.01]
    stepped = settings(
        epochs=4, optimiser="adam", learning_rate=0.04, schedule="step", schedule_options={"every": 2, "factor": 0.25}, average="polyak"
    )
    expected = fit(plain, squared, linear_rows(40, 1), linear_rows(9, 2), stepped).epochs
    assert [row["validation_loss"] for row in rows] == [row["validation_loss"] for row in expected]
    assert bits(again) == bits(plain)


def test_validation_loss_that_is_not_finite_rolls_back_too() -> None:
    network, wrong = nn.Linear(2, 1), [True]

    def objective(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        total, weight = squared(network, batch)
        if network.training or not wrong:
            return total, weight
        wrong.clear()
        return total * float("inf"), weight

    with pytest.warns(RuntimeWarning, match=r"the loss must be finite, got inf in validation after epoch 1.* half its learning rate"):
        rows = fit(
            network, objective, linear_rows(40, 1), linear_rows(9, 2), settings(epochs=2, on_divergence="roll_back", schedule="constant")
        ).epochs
    assert [row["learning_rate"] for row in rows] == [0.005, 0.005]


def test_gradient_that_is_not_finite_is_named_though_gradients_are_clipped() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 1)
            self.last.bias.register_hook(lambda gradient: gradient * float("nan"))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x))

    with pytest.raises(DivergenceError, match=r"\(gradient not finite: last.bias\)"):
        fit(Last(), squared, linear_rows(40, 1), None, settings(clip_norm=1.0))


def test_evidence_of_tied_weights_and_shared_batches_is_kept(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x))

    class Shifted:
        x = torch.ones(5, 2)

        def epoch(self, number: int, seed: int) -> Any:
            yield self.x[:-1], self.x[1:], np.array(["text"])

        def __len__(self) -> int:
            return 1

    def objective(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        return (network(batch[0]) - batch[1]).sum() * float("nan"), torch.tensor(1.0)

    with pytest.raises(DivergenceError):
        fit(Tied(), objective, Shifted(), None, settings(), folder=tmp_path)
    assert set(load_file(tmp_path / "checkpoints" / "diverged" / "batch.safetensors")) == {"0.0", "0.1"}
