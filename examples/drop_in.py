"""Replacing torch.nn.GRU by grus.nn.GRU in a training script: the loss curve changes in its last digits only.

    python examples/drop_in.py [--steps 150] [--out drop-in.png]

The script learns to say the next value of sums of two sines, once with each layer, and draws both loss curves and their difference.
"""

from __future__ import annotations

import argparse
import math

import matplotlib as mpl
import torch
from torch import Tensor, nn

import grus.nn

mpl.use("Agg")
from matplotlib import pyplot as plt


class NextValue(nn.Module):
    def __init__(self, gru: type[nn.Module]) -> None:
        super().__init__()
        GRU = gru  # the only line that differs: torch.nn.GRU or grus.nn.GRU
        self.gru = GRU(1, 32, num_layers=2, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0])


def sines(rows: int, steps: int, generator: torch.Generator) -> Tensor:
    """Sums of two sines of random frequency and phase [rows, steps, 1]."""
    frequency, phase = torch.rand(2, rows, 2, 1, generator=generator)
    time = torch.arange(steps, dtype=torch.float32)
    return torch.sin((0.1 + 0.4 * frequency) * time + 2 * math.pi * phase).mean(1)[..., None]


def train(gru: type[nn.Module], steps: int) -> list[float]:
    """The loss after each step of training, from the same seed for every layer."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = NextValue(gru)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses: list[float] = []
    for _ in range(steps):
        series = sines(16, 61, generator)
        loss = nn.functional.mse_loss(model(series[:, :-1]), series[:, 1:])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def draw(theirs: list[float], ours: list[float], difference: list[float], out: str) -> None:
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    above.semilogy(theirs, label="torch.nn.GRU", linewidth=4, alpha=0.4)
    above.semilogy(ours, label="grus.nn.GRU", linewidth=1.2)
    above.set_ylabel("loss (mean squared error)")
    above.legend()
    # A difference of exactly zero has no place on a logarithmic axis; it is drawn at the smallest step of float32.
    below.semilogy([max(value, 2.0**-24) for value in difference], color="C3", linewidth=1)
    below.set_ylabel("relative difference")
    below.set_xlabel("training step")
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main(steps: int = 150, out: str = "drop-in.png", limit: float = 1e-3) -> float:
    """Trains with both layers, writes the plot, and returns the largest relative difference between the two loss curves."""
    theirs, ours = train(torch.nn.GRU, steps), train(grus.nn.GRU, steps)
    difference = [abs(a - b) / abs(a) for a, b in zip(theirs, ours, strict=True)]
    draw(theirs, ours, difference, out)
    print(f"loss {theirs[0]:.4f} → {theirs[-1]:.6f} with torch.nn.GRU, → {ours[-1]:.6f} with grus.nn.GRU")
    print(f"largest relative difference over {steps} steps: {max(difference):.1e} (first step: {difference[0]:.1e}); plot: {out}")
    assert max(difference) < limit, f"the loss curves are {max(difference):.1e} apart, more than {limit:.0e}"
    return max(difference)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", default="drop-in.png")
    arguments = parser.parse_args()
    main(arguments.steps, arguments.out)
