"""Optimisers: PyTorch's by name, groups of parameters, and runs that go on to the same bits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grus.errors import OptionError
from grus.training import History, Quiet, fit
from grus.training.optimisers import FUSED, OPTIMISERS, make_optimiser, options_of
from tests.training.conftest import Rows, linear_rows, settings, small_network, squared

OPTIONS: dict[str, dict[str, Any]] = {
    "adamw": {"betas": (0.5, 0.75), "amsgrad": True},
    "adam": {"eps": 0.1},
    "nadam": {"momentum_decay": 0.1},
    "radam": {"betas": (0.5, 0.75)},
    "sgd": {"momentum": 0.5, "nesterov": True},
    "rmsprop": {"alpha": 0.5, "momentum": 0.5, "centered": True},
    "adagrad": {"initial_accumulator_value": 0.5},
    "adadelta": {"rho": 0.5},
    "lbfgs": {"max_iter": 3, "history_size": 2, "line_search_fn": "strong_wolfe"},
}


class InterruptAfter(Quiet):
    """Ctrl-C once an epoch is done."""

    def __init__(self, epoch: int) -> None:
        self._last = epoch

    def epoch(self, row: dict[str, float]) -> None:
        if row["epoch"] == self._last:
            raise KeyboardInterrupt


def weights_after(network: nn.Module, steps: int, step: Any) -> list[torch.Tensor]:
    for _ in range(steps):
        step()
    return [weight.detach().clone() for weight in network.parameters()]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_is_that_of_pytorch_with_its_options(name: str) -> None:
    x, target = torch.randn(9, 3), torch.randn(9, 2)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    kind: Any = OPTIMISERS[name]
    named = kind(theirs.parameters(), lr=0.05, **OPTIONS[name], **({"fused": True} if name in FUSED else {}))
    if name == "adamw":
        named.param_groups[0]["weight_decay"] = 0.0
    made = make_optimiser(ours, settings(optimiser=name, learning_rate=0.05, optimiser_options=OPTIONS[name], clip_norm=None))
    assert type(made) is kind

    def step(network: nn.Module, optimiser: torch.optim.Optimizer) -> Any:
        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            found = (network(x) - target).square().mean()
            found.backward()
            return found

        def go() -> None:
            if name == "lbfgs":
                optimiser.step(loss)
            else:
                loss()
                optimiser.step()

        return go

    for one, other in zip(weights_after(ours, 4, step(ours, made)), weights_after(theirs, 4, step(theirs, named)), strict=True):
        assert torch.equal(one, other)


def test_momentum_by_hand() -> None:
    network = nn.Linear(1, 1, bias=False)
    optimiser = make_optimiser(network, settings(optimiser="sgd", learning_rate=0.1, optimiser_options={"momentum": 0.5}))
    start = network.weight.item()
    for gradient in (1.0, 2.0, 0.0):
        network.weight.grad = torch.full((1, 1), gradient)
        optimiser.step()
    assert network.weight.item() == pytest.approx(start - 0.1 * (1 + 2.5 + 1.25))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_run_resumed_with_any_optimiser_gives_the_bits_of_one_without_pause(name: str, tmp_path: Path) -> None:
    rate = 1.0 if name == "adadelta" else 0.01  # its own unit
    rule = settings(
        learning_rate=rate,
        optimiser=name,
        optimiser_options=OPTIONS[name],
        clip_norm=None if name == "lbfgs" else 1.0,
        groups=[] if name == "lbfgs" else [{"names": "0.*", "rate_factor": 0.5}],
    )
    train, held = linear_rows(40, 1), linear_rows(16, 2)

    def run(network: nn.Module, **more: Any) -> History:
        return fit(network, squared, train, held, rule, **more)

    whole, parted, after = small_network(), small_network(), small_network(seed=5)
    expected = run(whole)
    assert run(parted, folder=tmp_path, reporter=InterruptAfter(3)).interrupted
    found = run(after, folder=tmp_path, resume=True)
    for one, other in zip(whole.parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [row["loss"] for row in found.epochs] == [row["loss"] for row in expected.epochs]
    assert expected.epochs[-1]["loss"] < expected.epochs[0]["loss"]


def test_lbfgs_finds_the_least_squares() -> None:
    """PyTorch's stops where the loss changes by less than 1e-9, so the weights are the best to about its root."""
    drawn, network = linear_rows(64, 3), nn.Linear(2, 1).double()
    rows = Rows(drawn.x.double(), drawn.y.double(), 64)
    search = {"line_search_fn": "strong_wolfe"}
    fit(network, squared, rows, None, settings(optimiser="lbfgs", optimiser_options=search, learning_rate=1.0, schedule="constant", clip_norm=None))
    wanted = np.linalg.lstsq(np.column_stack([rows.x.numpy(), np.ones(64)]), rows.y.numpy()[:, 0], rcond=None)[0]
    np.testing.assert_allclose([*network.weight[0].tolist(), network.bias.item()], wanted, atol=1e-4)


# --- groups --------------------------------------------------------------------------------------------------------------------------
def test_a_parameter_is_of_the_first_group_that_names_it() -> None:
    network = nn.GRU(2, 3, 2)
    groups = [{"names": "weight_hh_*", "rate_factor": 0.5, "weight_decay": 0.25}, {"names": "*_l1", "rate_factor": 0.1, "weight_decay": 0.5}]
    made = make_optimiser(network, settings(learning_rate=0.4, weight_decay=0.125, groups=groups))
    found = {id(weight): (group["lr"], group["weight_decay"]) for group in made.param_groups for weight in group["params"]}
    named = {name: found[id(weight)] for name, weight in network.named_parameters()}
    assert named["weight_hh_l0"] == named["weight_hh_l1"] == (0.2, 0.25)
    assert named["weight_ih_l1"] == named["bias_ih_l1"] == (pytest.approx(0.04), 0.5)
    assert named["weight_ih_l0"] == (0.4, 0.125)
    assert named["bias_ih_l0"] == (0.4, 0.0)


def test_a_group_without_a_rate_stays_as_it_is_and_has_no_part_in_the_norm() -> None:
    network, before = small_network(), small_network()
    history = fit(network, squared, linear_rows(40, 1), None, settings(epochs=1, groups=[{"names": "0.*", "rate_factor": 0.0}]))
    frozen = small_network()
    frozen[0].requires_grad_(False)  # type: ignore[index]
    expected = fit(frozen, squared, linear_rows(40, 1), None, settings(epochs=1))
    assert torch.equal(network[0].weight, before[0].weight)  # type: ignore[index]
    assert torch.equal(network[3].weight, frozen[3].weight)  # type: ignore[index]
    assert history.epochs[0]["gradient_norm"] == expected.epochs[0]["gradient_norm"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groups": [{"names": "0.weigth"}]}, "got none for '0.weigth'; did you mean '0.weight'?"),
        ({"groups": [{"names": "*"}, {"names": "0.*"}]}, "got none for '0.*'"),
        ({"groups": [{"names": "*", "rate_factor": 0.0}]}, "groups must leave a parameter that learns"),
        ({"optimiser": "lbfgs", "clip_norm": None, "weight_decay": 0.1}, "'lbfgs' must have one group without weight decay"),
    ],
)
def test_groups_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        make_optimiser(small_network(), settings(**given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimiser": "sgdd"}, "optimiser must be one of 'adamw'"),
        ({"optimiser": "sgd", "optimiser_options": {"momentun": 0.9}}, "for 'sgd', got 'momentun'; did you mean 'momentum'?"),
        ({"optimiser_options": {"nesterov": True}}, "for 'adamw', got 'nesterov'"),
        ({"optimiser": "sgd", "optimiser_options": {"lr": 0.9}}, "got 'lr'"),
        ({"optimiser_options": {"betas": [2.0, 0.9]}}, "that AdamW takes, got {'betas': (2.0, 0.9)} (Invalid beta parameter at index 0: 2.0)"),
        ({"optimiser_options": {"eps": "small"}}, "that AdamW takes, got {'eps': 'small'}"),
        ({"optimiser": "sgd", "optimiser_options": {"nesterov": True}}, "(Nesterov momentum requires a momentum and zero dampening)"),
    ],
)
def test_options_of_an_optimiser_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        settings(**given)


def test_betas_may_be_a_list() -> None:
    assert settings(optimiser_options={"betas": [0.5, 0.75]}) == settings(optimiser_options={"betas": (0.5, 0.75)})


def test_options_are_those_of_pytorch() -> None:
    assert options_of("sgd") == {"momentum": 0, "dampening": 0, "nesterov": False}
