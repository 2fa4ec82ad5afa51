"""How long a training step takes with grus.nn.GRU and with torch.nn.GRU."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grus.models.tensors import TensorBatch
from grus.nn import GRU


@dataclass(frozen=True)
class StepTime:
    """Medians of interleaved training steps on the same batch, and the largest relative difference of the losses on the way."""

    grus_s: float
    torch_s: float
    loss_difference: float

    @property
    def ratio(self) -> float:
        return self.torch_s / self.grus_s


class Reader(nn.Module):
    """A GRU over every step of a window and a linear map from its last state to the steps ahead."""

    def __init__(self, layer: type[nn.GRU] | type[GRU], channels: int, hidden_size: int, horizon: int) -> None:
        super().__init__()
        self.layer = layer(channels, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, horizon)

    def forward(self, past: Tensor) -> Tensor:
        states, _ = self.layer(past)
        return self.output(states[:, -1])


def time_step(batch: TensorBatch, hidden_size: int, rounds: int = 15) -> StepTime:
    """A whole training step with either layer: same weights, same batch, turn by turn."""
    channels, horizon = batch.past.shape[2], batch.target.shape[1]
    runs: list[tuple[Reader, torch.optim.Optimizer]] = []
    with torch.random.fork_rng(devices=[]):
        for layer in (GRU, nn.GRU):
            torch.manual_seed(0)
            reader = Reader(layer, channels, hidden_size, horizon)
            runs.append((reader, torch.optim.AdamW(reader.parameters(), 1e-3)))
    seconds: tuple[list[float], list[float]] = ([], [])
    losses: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for (reader, optimiser), taken, seen in zip(runs, seconds, losses, strict=True):
            start = time.perf_counter()
            seen.append(step(reader, optimiser, batch))
            taken.append(time.perf_counter() - start)
    apart = max(abs(ours - theirs) / abs(theirs) for ours, theirs in zip(*losses, strict=True))
    return StepTime(statistics.median(seconds[0]), statistics.median(seconds[1]), apart)


def step(reader: Reader, optimiser: torch.optim.Optimizer, batch: TensorBatch) -> float:
    """One step of training: forward, mean absolute error over the known targets, backward, clipping, update; returns the loss."""
    known = ~torch.isnan(batch.target)
    loss = (reader(batch.past)[known] - batch.target[known]).abs().mean()
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
    optimiser.step()
    return loss.item()
