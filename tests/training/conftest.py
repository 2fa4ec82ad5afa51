"""A linear problem that has a closed form, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from grus.training import TrainingSettings
from tests.threads import one_thread as one_thread


@dataclass(frozen=True)
class Rows:
    """Batches of rows in an order that the seed and the epoch decide; ``before`` is told the epoch and the step of each."""

    x: Tensor
    y: Tensor
    size: int = 8
    before: Callable[[int, int], None] = lambda epoch, step: None
    digest: str | None = None
    part: tuple[int, int] = (0, 1)

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def epoch(self, number: int, seed: int) -> Iterator[tuple[Tensor, Tensor] | None]:
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(1000 * seed + number))
        for step, rows in enumerate(order.split(self.size), 1):
            self.before(number, step)
            rows = rows[self.part[0] :: self.part[1]]
            yield (self.x[rows], self.y[rows]) if len(rows) else None

    def share(self, rank: int, ranks: int) -> Rows:
        return replace(self, size=self.size * ranks, part=(rank, ranks))


def squared(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    x, y = batch
    known = ~torch.isnan(y)
    return (network(x) - y)[known].square().sum(), known.sum()


def linear_rows(count: int, seed: int, **more: Any) -> Rows:
    """y = 2 x₀ − x₁ + 0.5 and a little noise."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, generator=draw)
    y = x @ torch.tensor([[2.0], [-1.0]]) + 0.5 + 0.1 * torch.randn(count, 1, generator=draw)
    return Rows(x, y, **more)


def small_network(seed: int = 0) -> nn.Module:
    """Dropout makes every step draw random numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 1))


def settings(**given: Any) -> TrainingSettings:
    return TrainingSettings(**({"epochs": 6, "learning_rate": 0.01, "patience": None} | given))


def bits(network: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in network.state_dict().values()]


def untimed(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in ("seconds", "samples_per_s")} for row in rows]
