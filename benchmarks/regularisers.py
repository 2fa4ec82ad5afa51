"""``python -m benchmarks.regularisers``: what each regulariser inside a layer adds to a training step (forward and backward, one thread)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import report, threads
from benchmarks.timing import interleave
from benchmarks.workload import Size

SIZES = (Size(32, 100, 64, 128), Size(64, 50, 256, 256))
OPTIONS: dict[str, dict[str, Any]] = {
    "recurrent_dropout": {"recurrent_dropout": 0.2},
    "zoneout": {"zoneout": 0.1},
    "weight_drop": {"weight_drop": 0.3},
    "input_dropout": {"input_dropout": 0.2},
    "clip_state_gradient": {"clip_state_gradient": 1.0},
    "layer_norm": {"layer_norm": True},
}
MOST = 1.15
FREE = ("layer_norm",)  # another network, not another way of training: for information


@dataclass(frozen=True)
class RegulariserRow:
    """One option of one cell at one size: the median of the rounds' times, and over the plain layer's."""

    cell: str
    size: str
    option: str
    median_us: float
    ratio: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regularisers", description=__doc__)
    parser.add_argument("--cells", default="gru,lstm", help="gru, lstm or both")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each cell and size")
    parser.add_argument("--quick", action="store_true", help="3 s for each")
    parser.add_argument("--json", metavar="PATH")
    arguments = parser.parse_args()
    threads.restrict(1)
    from benchmarks import machine  # torch and LLVM load here, after the thread settings

    about = machine.describe()
    print(f"{about['cpu']}, 1 thread, float32, forward and backward, medians of interleaved rounds")
    budget = 3.0 if arguments.quick else arguments.seconds
    rows = [row for cell in arguments.cells.split(",") for size in SIZES for row in measure(cell, size, budget)]
    print(report.table(["cell", "size", "option", "ms", "over plain"], [_cells(row) for row in rows]))
    lines = [
        report.Line(f"{row.option}, {row.cell} {row.size}", f"< {MOST:.2f}x", f"{row.ratio:.3f}x", row.ratio < MOST)
        for row in rows
        if row.option not in ("plain", *FREE)
    ]
    print()
    report.print_lines(lines)
    report.write_json(arguments.json, {"benchmark": "regularisers", "machine": about, "rows": report.record(rows), "targets": report.record(lines)})


def measure(cell: str, size: Size, budget_s: float) -> list[RegulariserRow]:
    """The plain layer and every option, one step of each in turn."""
    calls = {name: step(cell, size, options) for name, options in ({"plain": {}} | OPTIONS).items()}
    found = interleave(calls, budget_s, least=5)
    plain = found["plain"].median_us
    return [RegulariserRow(cell, str(size), name, spread.median_us, spread.median_us / plain) for name, spread in found.items()]


def step(cell: str, size: Size, options: dict[str, Any]) -> Callable[[], None]:
    """One training step of a layer: the gradients of its weights and its input for a given gradient of its output."""
    import torch

    from grus.nn import GRU, LSTM

    torch.manual_seed(0)
    layer = {"gru": GRU, "lstm": LSTM}[cell](size.input, size.hidden, **options)
    x = torch.randn(size.time, size.batch, size.input, requires_grad=True)
    cotangent = torch.randn(size.time, size.batch, size.hidden)

    def call() -> None:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].backward(cotangent)

    return call


def _cells(row: RegulariserRow) -> list[str]:
    return [row.cell, row.size, row.option, f"{row.median_us / 1e3:.2f}", f"{row.ratio:.3f}"]


if __name__ == "__main__":
    main()
