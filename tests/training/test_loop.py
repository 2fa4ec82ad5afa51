from __future__ import annotations

import dataclasses
import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st
from torch import nn

from grus.errors import BackendError, DataError, OptionError, TrainingError
from grus.training import History, Quiet, TrainingSettings, fit
from grus.training.optimisers import OPTIMISERS
from grus.training.steps import count_samples
from tests.training.conftest import Rows, bits, linear_rows, settings, small_network, squared, untimed


class Constant(nn.Module):
    """One weight, which is also the forecast."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value.expand(len(x), 1)


def rows_of(*targets: float, **more: Any) -> Rows:
    return Rows(torch.zeros(len(targets), 1), torch.tensor(targets).unsqueeze(1), **more)


def test_fit_reaches_the_closed_form() -> None:
    train, network = linear_rows(64, 0, size=64), nn.Linear(2, 1)
    fit(network, squared, train, None, settings(epochs=250, learning_rate=0.2))
    design = torch.cat((train.x, torch.ones(64, 1)), 1).double().numpy()
    exact = np.linalg.lstsq(design, train.y.double().numpy(), rcond=None)[0][:, 0]
    np.testing.assert_allclose([*network.weight.detach().numpy()[0], network.bias.item()], exact, atol=1e-3)


def test_fit_rows_are_the_figures_by_hand() -> None:
    """Loss (w − y)²: at w = 0 the gradient is −2 · mean(y) = −4; AdamW's first step is lr · sign(gradient)."""
    network = Constant()
    history = fit(network, squared, rows_of(1.0, 3.0), rows_of(2.0), settings(epochs=1, schedule="constant", learning_rate=0.25))
    (row,) = history.epochs
    assert row["epoch"] == 1
    assert row["loss"] == 5.0
    assert row["gradient_norm"] == 4.0
    assert row["learning_rate"] == 0.25
    assert network.value.item() == pytest.approx(0.25, abs=1e-6)
    assert row["validation_loss"] == pytest.approx(1.75**2, abs=1e-5)
    assert row["samples_per_s"] == pytest.approx(2 / row["seconds"])


def test_fit_loss_is_the_mean_over_known_targets_not_over_batches() -> None:
    train = Rows(torch.zeros(4, 1), torch.tensor([[1.0], [1.0], [1.0], [float("nan")]]), size=2)
    frozen_rate = settings(epochs=1, learning_rate=1e-30)
    assert fit(Constant(), squared, train, None, frozen_rate).epochs[0]["loss"] == 1.0


def test_fit_batch_without_a_known_target_gives_no_gradient() -> None:
    train = rows_of(float("nan"), float("nan"), 2.0, 2.0, size=2)
    network = Constant(2.0)
    history = fit(network, squared, train, None, settings(epochs=3))
    assert [row["loss"] for row in history.epochs] == [0.0, 0.0, 0.0]
    assert network.value.item() == 2.0


def test_fit_epoch_without_a_known_target_is_refused() -> None:
    with pytest.raises(DataError, match="epoch 1 must hold at least one known target"):
        fit(Constant(), squared, rows_of(float("nan")), None, settings())


def test_fit_clips_to_the_norm_and_records_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is (−6, −8), of norm 10; clipped to 5 it is (−3, −4)."""
    seen: list[list[float]] = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Any = None) -> None:
            seen.append([float(group["params"][0].grad[0]) for group in self.param_groups] + self.param_groups[0]["params"][0].grad[1:].tolist())
            super().step(closure)

    monkeypatch.setitem(OPTIMISERS, "adamw", Watched)

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = nn.Parameter(torch.zeros(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.values.expand(1, 2)

    train = Rows(torch.zeros(1, 1), torch.tensor([[3.0, 4.0]]))

    def summed(network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return (network(batch[0]) - batch[1]).square().sum(), torch.tensor(1.0)

    for clip_norm in (5.0, None, 20.0):
        history = fit(Pair(), summed, train, None, settings(epochs=1, clip_norm=clip_norm))
        assert history.epochs[0]["gradient_norm"] == 10.0
    np.testing.assert_allclose(seen, [[-3.0, -4.0], [-6.0, -8.0], [-6.0, -8.0]], rtol=1e-6)


def test_fit_decays_matrices_and_leaves_vectors() -> None:
    network = nn.Linear(2, 1)
    weight, bias = network.weight.detach().clone(), network.bias.detach().clone()

    def flat(module: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return 0.0 * module(batch[0]).sum(), torch.tensor(1.0)

    fit(network, flat, linear_rows(8, 0), None, settings(epochs=1, schedule="constant", learning_rate=0.1, weight_decay=0.5))
    torch.testing.assert_close(network.weight.detach(), weight * (1 - 0.1 * 0.5))
    assert torch.equal(network.bias.detach(), bias)


def test_fit_stops_after_patience_and_restores_the_best() -> None:
    """Training pulls the weight from 0 to 4 in steps of about 0.5; validation is best at 1, which is passed in epoch 2."""
    network = Constant()
    rule = settings(epochs=50, schedule="constant", learning_rate=0.5, patience=3)
    history = fit(network, squared, rows_of(4.0), rows_of(1.0), rule)
    assert history.best_epoch == 2
    assert len(history.epochs) == 5
    assert history.stopped == "patience"
    assert (network.value.item() - 1.0) ** 2 == pytest.approx(history.epochs[1]["validation_loss"])
    assert not network.training


def test_fit_without_validation_keeps_the_last_weights() -> None:
    network = Constant()
    history = fit(network, squared, rows_of(4.0), None, settings(epochs=3, schedule="constant", learning_rate=0.5, patience=1))
    assert (history.stopped, history.best_epoch, len(history.epochs)) == ("epochs", 3, 3)
    assert network.value.item() == pytest.approx(1.5, abs=0.01)


def test_fit_is_decided_by_the_seed() -> None:
    found = []
    for seed in (0, 0, 1):
        network = small_network()
        fit(network, squared, linear_rows(32, 0), None, settings(seed=seed, epochs=2))
        found.append(bits(network))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_fit_is_not_changed_by_random_numbers_of_validation() -> None:
    def drawing(network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not network.training:
            torch.rand(3)
        return squared(network, batch)

    alone = fit(small_network(), drawing, linear_rows(32, 0), None, settings(epochs=3))
    watched = fit(small_network(), drawing, linear_rows(32, 0), linear_rows(8, 1), settings(epochs=3))
    assert [row["loss"] for row in watched.epochs] == [row["loss"] for row in alone.epochs]


def test_fit_draws_other_random_numbers_in_every_epoch() -> None:
    drawn: list[float] = []
    train = linear_rows(8, 0, before=lambda epoch, step: drawn.extend((torch.rand(1).item(), random.random(), np.random.random())))
    fit(small_network(), squared, train, None, settings(epochs=3))
    assert len(set(drawn)) == 9


def test_fit_asks_for_the_same_validation_batches_each_time() -> None:
    asked: list[int] = []
    validation = linear_rows(8, 1, before=lambda epoch, step: asked.append(epoch))
    fit(small_network(), squared, linear_rows(8, 0), validation, settings(epochs=3))
    assert asked == [0, 0, 0]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_fit_hands_network_and_batch_to_the_objective_as_they_are(precision: str) -> None:
    @dataclasses.dataclass(frozen=True)
    class Batch:
        x: torch.Tensor

    class Source(Rows):
        def epoch(self, number: int, seed: int) -> Iterator[Any]:
            yield batch

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, given: Batch) -> torch.Tensor:
            assert given is batch
            out = self.layer(given.x)
            assert out.dtype == (torch.bfloat16 if precision == "bf16-mixed" else torch.float32)
            return out

    def objective(given: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        assert given is network
        return given(batch).float().square().sum(), torch.tensor(1.0)

    batch, network = Batch(torch.ones(3, 2)), Reader()
    source = Source(batch.x, batch.x)
    history = fit(network, objective, source, source, settings(epochs=2, precision=precision))
    assert history.epochs[1]["loss"] < history.epochs[0]["loss"]


def test_fit_leaves_the_callers_random_states_and_threads_alone() -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate(), torch.get_num_threads()
    seen: list[int] = []
    watching = linear_rows(8, 0, before=lambda epoch, step: seen.append(torch.get_num_threads()))
    fit(small_network(), squared, watching, None, settings(epochs=1, threads=2))
    assert seen == [2]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate(), torch.get_num_threads()) == states[1:]


def test_fit_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    fit(small_network(), squared, linear_rows(8, 0), None, settings(epochs=1, precision="bf16-mixed"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [float("inf"), -float("inf"), 3e38])
def test_fit_names_epoch_step_and_gradients_that_are_not_finite(wrong: float, tmp_path: Path) -> None:
    """3e38 squared overflows. The best weights come back, and the checkpoint of the epochs before is there."""
    train = linear_rows(24, 0)

    def spoil(epoch: int, step: int) -> None:
        if (epoch, step) == (3, 2):
            train.y.fill_(wrong)

    network = small_network()
    spoiling = dataclasses.replace(train, before=spoil)
    with pytest.raises(TrainingError, match=r"at epoch 3, step 2 \(gradient not finite: 0\.weight, 0\.bias, 3\.weight and 1 more\)"):
        fit(network, squared, spoiling, None, settings(), folder=tmp_path)
    two = small_network()
    fit(two, squared, linear_rows(24, 0), None, settings(epochs=6), folder=tmp_path / "two", reporter=InterruptAfter(2))
    assert bits(network) == bits(two)
    assert (tmp_path / "checkpoints/last.safetensors").read_bytes() == (tmp_path / "two/checkpoints/last.safetensors").read_bytes()


def test_fit_names_weights_that_are_not_finite() -> None:
    network = small_network()
    network[3].bias.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"epoch 1, step 1 \(not finite: 3\.bias\)"):
        fit(network, squared, linear_rows(8, 0), None, settings())


def test_fit_refuses_a_validation_loss_that_is_not_finite() -> None:
    with pytest.raises(TrainingError, match="got inf in validation after epoch 1"):
        fit(small_network(), squared, linear_rows(8, 0), Rows(torch.zeros(1, 2), torch.tensor([[float("inf")]])), settings())


class InterruptAfter(Quiet):
    """Raises as Ctrl-C does, after a number of epochs, or in the middle of the epoch that follows."""

    def __init__(self, epochs: int, step: int | None = None) -> None:
        self.epochs, self.at = epochs, step

    def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
        if (epoch, step) == (self.epochs + 1, self.at):
            raise KeyboardInterrupt

    def epoch(self, row: dict[str, float]) -> None:
        if self.at is None and row["epoch"] == self.epochs:
            raise KeyboardInterrupt


def test_fit_interrupted_returns_whole_epochs_and_the_best_weights(tmp_path: Path) -> None:
    network, whole = small_network(), small_network()
    history = fit(network, squared, linear_rows(24, 0), None, settings(), folder=tmp_path, reporter=InterruptAfter(2, step=2))
    assert history.interrupted
    assert [row["epoch"] for row in history.epochs] == [1, 2]
    fit(whole, squared, linear_rows(24, 0), None, settings(), reporter=InterruptAfter(2))
    assert bits(network) == bits(whole)


def test_fit_interrupted_in_the_batch_source_in_the_first_epoch_keeps_the_first_weights(tmp_path: Path) -> None:
    def press(epoch: int, step: int) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    network = small_network()
    history = fit(network, squared, linear_rows(24, 0, before=press), None, settings(), folder=tmp_path)
    assert (history.epochs, history.stopped, history.best_epoch) == ([], "interrupted", None)
    assert bits(network) == bits(small_network())


def test_fit_second_interrupt_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(epoch: int, step: int) -> None:
        if epoch == 3:
            monkeypatch.setattr("grus.training.state.Checkpoints.save", again)
            raise KeyboardInterrupt

    def again(*_: object) -> None:
        raise KeyboardInterrupt

    worse = Rows(torch.zeros(1, 2), torch.tensor([[-100.0]]))
    with pytest.raises(KeyboardInterrupt):
        fit(small_network(), squared, linear_rows(24, 0, before=press), worse, settings(learning_rate=0.1), folder=tmp_path)


@pytest.mark.parametrize(
    ("schedule", "after", "step"),
    [("constant", 2, 2), ("cosine", 0, 1), ("cosine", 2, None), ("cosine", 5, 3), ("one_cycle", 2, 2), ("plateau", 4, None)],
)
def test_fit_resumed_gives_the_bits_of_a_run_without_pause(schedule: str, after: int, step: int | None, tmp_path: Path) -> None:
    rule = settings(schedule=schedule, warmup=0.0 if schedule == "one_cycle" else 0.3, learning_rate=0.05)
    train, validation, straight, resumed = linear_rows(24, 0), linear_rows(8, 1), small_network(), small_network()
    whole = fit(straight, squared, train, validation, rule, folder=tmp_path / "whole")
    first = fit(resumed, squared, train, validation, rule, folder=tmp_path / "parts", reporter=InterruptAfter(after, step))
    assert len(first.epochs) == after
    other = small_network(seed=9)
    second = fit(other, squared, train, validation, rule, folder=tmp_path / "parts", resume=True)
    assert bits(other) == bits(straight)
    assert untimed(second.epochs) == untimed(whole.epochs)
    assert (second.stopped, second.best_epoch) == ("epochs", whole.best_epoch)
    for name in ("last", "best", "optimiser"):
        parts, one = ((tmp_path / run / f"checkpoints/{name}.safetensors").read_bytes() for run in ("parts", "whole"))
        assert parts == one


def test_fit_does_not_use_gradients_that_were_there_before() -> None:
    fresh, used = small_network(), small_network()
    for weight in used.parameters():
        weight.grad = torch.full_like(weight, 1e3)
    expected = fit(fresh, squared, linear_rows(24, 0), None, settings(epochs=2))
    found = fit(used, squared, linear_rows(24, 0), None, settings(epochs=2))
    assert untimed(found.epochs) == untimed(expected.epochs)
    assert bits(used) == bits(fresh)


def test_fit_resumed_with_the_network_that_was_interrupted_gives_the_same_bits(tmp_path: Path) -> None:
    """The interrupt comes between a gradient and its update."""
    left = [5]

    class Pressed(torch.optim.AdamW):
        def step(self, closure: Any = None) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            super().step(closure)

    straight, network = small_network(), small_network()
    fit(straight, squared, linear_rows(24, 0), None, settings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIMISERS, "adamw", Pressed)
        assert len(fit(network, squared, linear_rows(24, 0), None, settings(), folder=tmp_path).epochs) == 1
    fit(network, squared, linear_rows(24, 0), None, settings(), folder=tmp_path, resume=True)
    assert bits(network) == bits(straight)


def test_fit_resumed_after_its_end_changes_nothing(tmp_path: Path) -> None:
    network, again = small_network(), small_network(9)
    whole = fit(network, squared, linear_rows(24, 0), None, settings(), folder=tmp_path)
    assert fit(again, squared, linear_rows(24, 0), None, settings(), folder=tmp_path, resume=True) == whole
    assert bits(again) == bits(network)


def test_fit_resumed_for_more_epochs_where_the_schedule_does_not_depend_on_them(tmp_path: Path) -> None:
    def run(network: nn.Module, folder: Path, epochs: int, **more: Any) -> History:
        return fit(network, squared, linear_rows(24, 0), None, settings(epochs=epochs, schedule="constant"), folder=folder, **more)

    straight, resumed = small_network(), small_network()
    whole = run(straight, tmp_path / "whole", 6)
    run(resumed, tmp_path / "parts", 2)
    assert untimed(run(resumed, tmp_path / "parts", 6, resume=True).epochs) == untimed(whole.epochs)
    assert bits(resumed) == bits(straight)
    with pytest.raises(OptionError, match=r"learning_rate must be 0\.01 as in the run to resume, got 0\.1"):
        fit(
            small_network(),
            squared,
            linear_rows(24, 0),
            None,
            settings(schedule="constant", learning_rate=0.1),
            folder=tmp_path / "parts",
            resume=True,
        )


def test_fit_resumed_for_more_epochs_of_a_cosine_is_refused(tmp_path: Path) -> None:
    fit(small_network(), squared, linear_rows(24, 0), None, settings(epochs=2), folder=tmp_path)
    with pytest.raises(OptionError, match="epochs must be 2 as in the run to resume, got 3"):
        fit(small_network(), squared, linear_rows(24, 0), None, settings(epochs=3), folder=tmp_path, resume=True)


def test_fit_log_has_the_rows_of_the_history(tmp_path: Path) -> None:
    def read(folder: Path) -> list[dict[str, float]]:
        return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]

    first = fit(small_network(), squared, linear_rows(24, 0), None, settings(), folder=tmp_path, reporter=InterruptAfter(3))
    assert read(tmp_path) == first.epochs
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"epoch": 4, "lo')
    second = fit(small_network(), squared, linear_rows(24, 0), None, settings(), folder=tmp_path, resume=True)
    assert read(tmp_path) == second.epochs
    assert second.epochs[:3] == first.epochs


def test_fit_takes_at_most_steps_per_epoch() -> None:
    seen: list[tuple[int, int]] = []
    train = linear_rows(40, 0, before=lambda epoch, step: seen.append((epoch, step)))
    fit(small_network(), squared, train, None, settings(epochs=2, steps_per_epoch=3))
    assert seen == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_fit_source_that_gives_fewer_batches_than_it_says_is_refused() -> None:
    class Short(Rows):
        def __len__(self) -> int:
            return 4

    with pytest.raises(DataError, match="must give 4 batches in an epoch, got 1 in epoch 1"):
        fit(small_network(), squared, Short(torch.zeros(2, 2), torch.zeros(2, 1)), None, settings())


def test_fit_refuses_what_does_not_fit_together(tmp_path: Path) -> None:
    train, network = linear_rows(8, 0), small_network()
    with pytest.raises(DataError, match="at least one batch"):
        fit(network, squared, Rows(torch.zeros(0, 2), torch.zeros(0, 1)), None, settings())
    with pytest.raises(OptionError, match="validation must be given for schedule='plateau'"):
        fit(network, squared, train, None, settings(schedule="plateau"))
    with pytest.raises(OptionError, match="folder must be that of the run to resume"):
        fit(network, squared, train, None, settings(), resume=True)
    with pytest.raises(OptionError, match="parameters that learn"):
        fit(network.requires_grad_(False), squared, train, None, settings())
    fit(small_network(), squared, train, None, settings(epochs=1), folder=tmp_path)
    with pytest.raises(OptionError, match="folder must hold no run yet"):
        fit(small_network(), squared, train, None, settings(epochs=1), folder=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_fit_without_the_device_asked_for_is_refused() -> None:
    with pytest.raises(BackendError, match="accelerator='cuda'"):
        fit(small_network(), squared, linear_rows(8, 0), None, settings(accelerator="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no device")
def test_fit_on_a_device_agrees_with_the_cpu() -> None:
    def moved(network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return squared(network, [part.to(next(network.parameters()).device) for part in batch])

    def run(accelerator: str) -> tuple[History, nn.Module]:
        network = nn.Linear(2, 1)
        nn.init.zeros_(network.weight)
        nn.init.zeros_(network.bias)
        return fit(network, moved, linear_rows(24, 0), None, settings(accelerator=accelerator)), network.cpu()

    (ours, cpu), (theirs, cuda) = run("cpu"), run("cuda")
    np.testing.assert_allclose([row["loss"] for row in ours.epochs], [row["loss"] for row in theirs.epochs], rtol=1e-4)
    torch.testing.assert_close(cpu.weight.detach(), cuda.weight.detach(), rtol=1e-4, atol=1e-5)


def test_count_samples_is_the_first_dimension_of_the_first_array() -> None:
    @dataclasses.dataclass
    class Parts:
        number: int
        rows: np.ndarray

    assert count_samples(torch.zeros(3, 2)) == 3
    assert count_samples((torch.tensor(1.0), {"x": np.zeros((4, 1))})) == 4
    assert count_samples(Parts(7, np.zeros((5, 2)))) == 5
    assert count_samples("nothing") == 0


@example_count(max_examples=30)
@given(losses=st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_history_best_epoch_is_the_first_of_the_lowest_and_survives_json(losses: list[float]) -> None:
    history = History([{"epoch": number, "validation_loss": loss} for number, loss in enumerate(losses, 1)], "epochs")
    assert history.best_epoch == int(np.argmin(losses)) + 1
    assert History.from_json(history.to_json()) == history
    assert repr(history) == f"History({len(losses)} epochs; stopped by epochs; best {history.best_epoch}, validation_loss {min(losses):.4g})"
    assert repr(History()) == "History(0 epochs)"


def test_history_from_other_text_is_refused() -> None:
    for text in ("[]", "{", '{"epochs": 1}'):
        with pytest.raises(DataError, match="as to_json wrote it"):
            History.from_json(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0; leave it out for 100."),
        ({"epochs": True}, "epochs must be a whole number of at least 1, got True"),
        ({"epochs": "3"}, "epochs must be a whole number of at least 1, got '3'"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number above 0, got nan; leave it out for 0.001."),
        ({"clip_norm": 0.0}, "clip_norm must be a finite number above 0, or None, got 0.0"),
        ({"schedule": "linear"}, "schedule must be one of 'constant', 'step', .*, 'plateau', got 'linear'"),
        ({"warmup": 1.0}, "warmup must be a number of at least 0 and below 1, got 1.0"),
        ({"schedule": "one_cycle", "warmup": 0.1}, "warmup must be 0 with schedule='one_cycle'"),
        ({"epoch": 3}, "options must be among epochs, .*, got 'epoch'; did you mean 'epochs'\\?"),
        ({"zzz": 3}, "options must be among epochs, .*, got 'zzz'; check its spelling."),
        ({"schedule": "cosin"}, "schedule must be one of .*, got 'cosin'; did you mean 'cosine'\\?"),
    ],
)
def test_settings_refuse_in_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=f"TrainingSettings: {said}"):
        TrainingSettings(**given)


def test_settings_come_back_from_json_and_stay_as_they_are() -> None:
    rule = TrainingSettings(epochs=3, clip_norm=None, schedule="plateau")
    assert TrainingSettings.model_validate_json(rule.model_dump_json()) == rule
    with pytest.raises(ValueError, match="frozen"):
        rule.epochs = 4  # type: ignore[misc]


def test_every_default_of_the_settings_is_allowed() -> None:
    assert TrainingSettings(**TrainingSettings().model_dump()) == TrainingSettings()
