"""The adding problem: of 600 numbers two are marked, and the answer is their sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from grus.nn import Recurrent
from grus.nn.initialisers import chrono
from grus.training import TrainingSettings, fit, seeded
from tables.table import Figures, Row, Table, over_seeds

MSE = "MSE"
STEPS, JUDGED = 600, 250
SIZES = {"training": 50_000, "validation": 1_000, "test": 1_000}
UNITS = {"gru": 150, "lstm": 130, "rnn_tanh": 262}
TRAINING = TrainingSettings(epochs=1, batch_size=16, learning_rate=0.01, patience=None, threads=1)


@dataclass(frozen=True)
class Sums:
    """Sequences [N, T, 2] of numbers and marks, and the sums [N] of the two numbers marked, as the batches of a training run."""

    inputs: Tensor
    targets: Tensor
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def epoch(self, number: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them, in an order of the epoch's own."""
        order = torch.from_numpy(np.random.default_rng((seed, number)).permutation(len(self.inputs)))
        return ((self.inputs[rows], self.targets[rows]) for rows in order.split(self.batch_size))


def draw(part: Literal["training", "validation", "test"], batch_size: int) -> Sums:
    """Numbers uniform in [0, 1), and any two places; the same ones each time."""
    count, steps = SIZES[part], STEPS
    draws = np.random.default_rng(list(SIZES).index(part))
    numbers = draws.random((count, steps), np.float32)
    first = draws.integers(steps, size=count)
    second = (first + draws.integers(1, steps, size=count)) % steps
    marks, rows = np.zeros_like(numbers), np.arange(count)
    marks[rows, first] = marks[rows, second] = 1.0
    sums = numbers[rows, first] + numbers[rows, second]
    return Sums(torch.from_numpy(np.stack([numbers, marks], -1)), torch.from_numpy(sums), batch_size)


class Adder(nn.Module):
    """A recurrent layer, and a linear one on its last output."""

    def __init__(self, cell: str, units: int) -> None:
        super().__init__()
        gated: Any = ("pytorch", "orthogonal", chrono(STEPS))
        initialiser = "orthogonal" if cell == "rnn_tanh" else gated
        self.recurrent = Recurrent(cell, 2, units, batch_first=True, output="last", initialiser=initialiser)
        self.head = nn.Linear(units, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.recurrent(inputs)[0]).squeeze(-1)


def squared_error(network: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The squared errors' sum, and how many they are."""
    inputs, targets = batch
    return (network(inputs) - targets).square().sum(), torch.tensor(float(len(targets)))


def train(cell: str, seed: int) -> nn.Module:
    """A network of this cell, its best epoch chosen on the validation sequences."""
    with seeded(seed):
        network = Adder(cell, UNITS[cell])
    settings = TRAINING.model_copy(update={"seed": seed})
    fit(network, squared_error, draw("training", settings.batch_size), draw("validation", JUDGED), settings)
    return network


def score(network: nn.Module) -> Figures:
    """The mean squared error over the test sequences."""
    with torch.no_grad():
        found = [squared_error(network, batch) for batch in draw("test", JUDGED).epoch(0, 0)]
    return {MSE: float(sum(total for total, _ in found) / sum(weight for _, weight in found))}


def run(folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
    """The GRU once per seed, the others with the first seed alone: they take as long, and what they show is not in the digits."""
    for cell, name in (("gru", "GRU"), ("lstm", "LSTM"), ("rnn_tanh", "tanh RNN")):
        chosen = seeds if cell == "gru" else seeds[:1]
        yield over_seeds(f"{name}, {UNITS[cell]} units", chosen, lambda seed, cell=cell: score(train(cell, seed)))


TABLE = Table(
    name="adding",
    title="the adding problem over 600 steps",
    protocol=(
        "50000 sequences of 600 numbers in [0, 1) for training and 1000 for testing, as published, drawn once; any two numbers are marked, and the\n"
        "answer comes after the last. To answer 1 always has an error of 1/6 = 0.1667. 70 thousand weights, one layer."
    ),
    chosen=(
        f"One epoch, {-(-SIZES['training'] // TRAINING.batch_size)} steps of {TRAINING.batch_size} sequences, for every network. "
        "Chosen for the GRU on 1000 sequences of their own; the LSTM and the\n"
        "tanh RNN have its settings. The test sequences were read once."
    ),
    files=(),
    metrics=(MSE,),
    run=run,
    published=(
        Row("GRU (Bai 2018)", {MSE: (5.3e-5,)}),
        Row("LSTM (Bai 2018)", {MSE: (0.164,)}),
        Row("tanh RNN (Bai 2018)", {MSE: (0.177,)}),
        Row("TCN (Bai 2018)", {MSE: (5.8e-5,)}),
    ),
)
