"""``python -m benchmarks.distributed``: sequences per second of training on one thread, on two threads, and in two processes of one thread.

The loop is ``grus.training.fit``, the network a GRU and a linear map over its outputs, the update that of one batch of 64 x 50: two processes take 32
rows each and add their gradients. Rounds visit the variants in turn, each in fresh processes; the median of the epochs after the first counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import report, threads
from benchmarks.workload import Size

SIZE = Size(64, 50, 256, 256)
VARIANTS = {"1 thread": (1, 1), "2 threads": (1, 2), "2 processes": (2, 1)}  # processes, threads of each
REQUIRED, EPOCHS, BATCHES = 1.6, 5, 10


@dataclass(frozen=True)
class Random:
    """The same batch of random sequences again and again, or a rank's rows of it."""

    x: Any
    y: Any

    def __len__(self) -> int:
        return BATCHES

    def epoch(self, number: int, seed: int) -> Iterator[Any]:
        return iter([(self.x, self.y)] * BATCHES)

    def share(self, rank: int, ranks: int) -> Random:
        rows = slice(rank, None, ranks)
        return replace(self, x=self.x[:, rows].contiguous(), y=self.y[:, rows].contiguous())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distributed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        measure(VARIANTS[arguments.only][1])
        return
    threads.restrict(2)
    from benchmarks import machine

    about = machine.describe()
    print(f"{about['cpu']}, training GRU {SIZE}, AdamW")
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name, rates in found.items():
            rates.append(run(name))
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    base = medians["1 thread"]
    rows = [[name, f"{medians[name]:.0f}", f"{min(rates):.0f}-{max(rates):.0f}", f"{medians[name] / base:.2f}x"] for name, rates in found.items()]
    print(report.table(["variant", "sequences/s", "range", "of 1 thread"], rows))
    lines = [
        report.Line(f"{name} / 1 thread", f">= {REQUIRED}x", f"{medians[name] / base:.2f}x", medians[name] >= REQUIRED * base)
        for name in ("2 threads", "2 processes")
    ]
    print()
    report.print_lines(lines)
    report.write_json(
        arguments.json, {"benchmark": "distributed", "size": str(SIZE), "machine": about, "rates": found, "targets": report.record(lines)}
    )


def run(name: str) -> float:
    """Sequences per second of one variant, in processes of its own."""
    processes, own = VARIANTS[name]
    launcher: Sequence[str] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "benchmarks.distributed", "--only", name]
    environment = threads.environment(own)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"benchmarks.distributed: {name} must run, got exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(own: int) -> None:
    """What a process of a variant does; the first prints the rate of all."""
    import torch
    from torch import Tensor, nn

    from grus.nn import GRU
    from grus.training import TrainingSettings, fit
    from grus.training.ranks import rank_of_process

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.output = GRU(SIZE.input, SIZE.hidden), nn.Linear(SIZE.hidden, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.output(self.layer(x)[0])

    def squared(network: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        errors = (network(batch[0]) - batch[1]).square()
        return errors.sum(), torch.tensor(float(errors.numel()))

    torch.manual_seed(0)
    data = Random(torch.randn(SIZE.time, SIZE.batch, SIZE.input), torch.randn(SIZE.time, SIZE.batch, 1))
    settings = TrainingSettings(epochs=EPOCHS, patience=None, threads=own)
    rows = fit(Network(), squared, data, None, settings).epochs
    if rank_of_process() == 0:
        print(json.dumps(statistics.median(BATCHES * SIZE.batch / row["seconds"] for row in rows[1:])))


if __name__ == "__main__":
    main()
