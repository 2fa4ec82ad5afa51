"""Training the demonstration's network, and timing one step of it against torch.nn.GRU."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from grus.demo.data import Series, inputs, targets
from grus.demo.model import GRU, Network, Settings
from grus.errors import DataError


def masked_mae(forecast: Tensor, target: Tensor) -> Tensor:
    """The mean absolute error over the targets that are known; a NaN target has no part in it, nor in its gradient.

    Raises: DataError if no target is known, because the mean would be NaN.
    """
    known = ~torch.isnan(target)
    if not known.any():
        raise DataError("masked_mae: at least one target must be known, got none; give a longer series.")
    return (forecast[known] - target[known]).abs().mean()


class Windows:
    """Windows of a series, drawn at random: inputs [B, window, 6] and targets [B, window − warm_up, horizon].

    The first `warm_up` weeks of a window only bring the state up to date; they carry no loss.
    """

    def __init__(self, series: Series, settings: Settings, seed: int) -> None:
        needed = settings.window + 1
        if len(series) <= needed:
            raise DataError(f"fit: the series must have more than {needed} weeks, got {len(series)}; give a longer series or a shorter window.")
        self.inputs, self.targets = inputs(series), targets(series, settings.horizon)
        self.settings, self.draw = settings, np.random.default_rng(seed)

    def next(self) -> tuple[Tensor, Tensor]:
        start = self.draw.integers(0, len(self.inputs) - self.settings.window, self.settings.batch)
        weeks = start[:, None] + np.arange(self.settings.window)
        read, known = self.inputs[weeks], self.targets[weeks[:, self.settings.warm_up :]]
        return torch.tensor(read, dtype=torch.float32), torch.tensor(known, dtype=torch.float32)


def step(network: Network, optimiser: torch.optim.Optimizer, weeks: Tensor, target: Tensor) -> float:
    """One step of training: forward, loss, backward, clipping, update; returns the loss in ppm."""
    loss = masked_mae(network(weeks)[:, network.settings.warm_up :], target)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def fit(series: Series, settings: Settings, seed: int, advance: Callable[[float], None]) -> Network:
    """A network trained on the whole of `series`; `advance` is told the loss after every step."""
    windows = Windows(series, settings, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(settings, windows.inputs)
        optimiser = torch.optim.AdamW(network.parameters(), settings.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, settings.steps)
        for _ in range(settings.steps):
            advance(step(network, optimiser, *windows.next()))
            schedule.step()
    return network


@dataclass(frozen=True)
class StepTime:
    """Medians of interleaved training steps on the same batch, and the largest relative difference of the losses on the way."""

    grus_s: float
    torch_s: float
    loss_difference: float

    @property
    def ratio(self) -> float:
        return self.torch_s / self.grus_s


def time_step(series: Series, settings: Settings, rounds: int = 15) -> StepTime:
    """A whole training step with grus.nn.GRU and with torch.nn.GRU: same weights, same batch, turn by turn."""
    windows = Windows(series, settings, seed=0)
    batch = windows.next()
    runs: list[tuple[Network, torch.optim.Optimizer]] = []
    with torch.random.fork_rng():
        for gru in (GRU, nn.GRU):
            torch.manual_seed(0)
            network = Network(settings, windows.inputs, gru)
            runs.append((network, torch.optim.AdamW(network.parameters(), settings.rate)))
    seconds: tuple[list[float], list[float]] = ([], [])
    losses: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for (network, optimiser), taken, seen in zip(runs, seconds, losses, strict=True):
            start = time.perf_counter()
            seen.append(step(network, optimiser, *batch))
            taken.append(time.perf_counter() - start)
    apart = max(abs(ours - theirs) / abs(theirs) for ours, theirs in zip(*losses, strict=True))
    return StepTime(statistics.median(seconds[0]), statistics.median(seconds[1]), apart)
