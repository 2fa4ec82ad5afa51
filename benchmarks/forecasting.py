"""``python -m benchmarks.forecasting``: training a forecaster end to end, Grus beside neuralforecast's GRU.

Timed is the whole fit, from a data frame to a trained network, of each in turn: same data, windows per step, steps, rate, loss and hidden units;
no validation, no early stopping, no progress, no log. Each round has a seed of its own and also gives both errors on the same windows, which
neither was trained on. Each number of threads has a process of its own, in which all fits are made.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import report, threads
from benchmarks.peers.forecasters import GRUS, HORIZON, ONE_SERIES, STEPS_PER_EPOCH, YARDSTICK, Fit, Task, load, to_frame

FILE = "ett/etth1.csv.gz"
BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
LEARNT, STEPS, SERIES = 8640, 11520, 7  # 12 months of 30 days for training, 4 for validation; the test part is not read
REQUIRED = 2.0
WARM_STEPS = 3
SHOWN = ("python", "grus", "torch", "neuralforecast", "pytorch-lightning")


@dataclass(frozen=True)
class ForecastRow:
    """One forecaster at one size: a figure per round for time and errors; errors in units of each series' training deviation."""

    peer: str
    hidden: int
    threads: int
    steps: int
    weights: int
    seconds: Sequence[float]
    loop_s: Sequence[float]
    mae: Sequence[float]
    mse: Sequence[float]

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    arguments = parse()
    if arguments.only is not None:
        threads.restrict(arguments.only)
        measure(arguments)
        return
    rows: list[ForecastRow] = []
    about: dict[str, Any] = {}
    for count in arguments.threads:
        content = threads.run_part("benchmarks.forecasting", count)
        about = content["machine"]
        rows += [ForecastRow(**row) for row in content["rows"]]
    lines = forecast_lines(rows, arguments)
    print()
    report.print_lines(lines)
    content = {"benchmark": "forecasting", "machine": about, "rows": report.record(rows), "targets": report.record(lines)}
    report.write_json(arguments.json, content)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasting", description=__doc__)
    parser.add_argument("--threads", type=threads.numbers, default=(1, 2), help="joined by commas (default 1,2)")
    parser.add_argument("--hidden", type=threads.numbers, default=(64, 128), help="units, joined by commas (default 64,128)")
    parser.add_argument("--steps", type=int, default=300, help=f"optimiser steps of a fit, below {STEPS_PER_EPOCH} or a multiple of it (default 300)")
    parser.add_argument("--windows", type=int, default=128, help="windows of a step (default 128, neuralforecast's)")
    parser.add_argument("--rounds", type=int, default=3, help="fits of each forecaster, each with its own seed (default 3)")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GRUS_DATA", BESIDE)), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="20 steps, too few for the errors, 64 units, one thread")
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.hidden, arguments.threads = 20, (64,), (1,)
    if arguments.steps < 1 or arguments.steps % min(arguments.steps, STEPS_PER_EPOCH):
        parser.error(f"--steps must be below {STEPS_PER_EPOCH} or a multiple of it, got {arguments.steps}.")
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {arguments.rounds}.")
    return arguments


def measure(arguments: argparse.Namespace) -> None:
    """What the process of one number of threads does."""
    from benchmarks import machine  # torch and LLVM load here, after the thread settings

    about = machine.describe()
    peers, missing = load()
    about["versions"] |= {name: importlib.metadata.version(name) for name in ("neuralforecast", "pytorch-lightning") if YARDSTICK in peers}
    values, source = read(arguments.data)
    print(f"\n{about['cpu']}, {arguments.only} thread(s); {' '.join(f'{k} {v}' for k, v in about['versions'].items() if k in SHOWN)}")
    for name, why in missing.items():
        print(f"{name}: {why}")
    print(f"{arguments.steps} steps of {arguments.windows} windows, {HORIZON} steps back and ahead; {source}; median of {arguments.rounds} rounds")
    rows: list[ForecastRow] = []
    for hidden in arguments.hidden:
        here = run_rounds(peers, Task(values, LEARNT, hidden, arguments.steps, arguments.windows), arguments)
        print(f"\n{hidden} units, {arguments.only} thread(s)\n{forecast_table(here)}", flush=True)
        rows += here
    report.write_json(arguments.rows, {"machine": about, "rows": report.record(rows)})


def read(folder: Path) -> tuple[NDArray[np.float64], str]:
    """ETTh1's series [7, 11520], or made ones of that size where the file is not there, and which of the two."""
    if (folder / FILE).is_file():
        frame = pd.read_csv(folder / FILE).iloc[:STEPS].drop(columns="date")
        return np.ascontiguousarray(frame.to_numpy(np.float64).T), f"ETTh1, {SERIES} series, {LEARNT} hours for training"
    rng, hours = np.random.default_rng(0), np.arange(STEPS)
    day, week = (np.sin(2 * np.pi * (hours / period + rng.random((SERIES, 1)))) for period in (24, 168))
    noise = np.stack([np.convolve(row, 0.9 ** np.arange(48), "same") for row in rng.standard_normal((SERIES, STEPS))])
    return 3 * day + week + noise, f"no {folder / FILE}, so {SERIES} made series, {LEARNT} hours for training"


def run_rounds(peers: Mapping[str, Fit], task: Task, arguments: argparse.Namespace) -> list[ForecastRow]:
    """A short fit of each that is not timed, then rounds of one fit of each in turn."""
    frame = to_frame(task.values[:, : task.learnt])
    for fit in peers.values():
        fit(replace(task, steps=WARM_STEPS), frame, 0)
    truth = np.lib.stride_tricks.sliding_window_view((task.values - task.shift) / task.scale, HORIZON, axis=1)[:, task.learnt :]
    figures: dict[str, list[tuple[float, float, float, float]]] = {peer: [] for peer in peers}
    weights: dict[str, int] = {}
    for seed in range(arguments.rounds):
        for peer, fit in peers.items():
            gc.collect()
            started = time.perf_counter()
            trained = fit(task, frame, seed)
            seconds = time.perf_counter() - started
            error = trained.forecast() - truth
            figures[peer].append((seconds, trained.loop_s, float(np.abs(error).mean()), float(np.square(error).mean())))
            weights[peer] = trained.weights
    return [
        ForecastRow(peer, task.hidden, arguments.only, task.steps, weights[peer], *map(tuple, zip(*rows, strict=True)))
        for peer, rows in figures.items()
    ]


def forecast_table(rows: Sequence[ForecastRow]) -> str:
    """Ratios are the peer's time over Grus's; ms per step of the whole fit, and of the optimiser's loop alone."""
    ours = next(row.median_s for row in rows if row.peer == GRUS)
    cells: list[list[str]] = []
    for row in rows:
        times = [f"{row.median_s:.2f}", f"{min(row.seconds):.2f}-{max(row.seconds):.2f}"]
        steps = [f"{1e3 * seconds / row.steps:.1f}" for seconds in (row.median_s, statistics.median(row.loop_s))]
        cells.append([row.peer, f"{row.weights:,}", *times, *steps, f"{row.median_s / ours:.2f}x", shown(row.mae), shown(row.mse)])
    return report.table(["peer", "weights", "fit s", "least-most", "ms/step", "in the loop", "peer/grus", "MAE", "MSE"], cells)


def shown(figures: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(figures):.4f}" if len(figures) > 1 else ""
    return f"{statistics.mean(figures):.4f}{deviation}"


def forecast_lines(rows: Sequence[ForecastRow], arguments: argparse.Namespace) -> list[report.Line]:
    lines: list[report.Line] = []
    for count in arguments.threads:
        for hidden in arguments.hidden:
            here = {row.peer: row for row in rows if (row.threads, row.hidden) == (count, hidden)}
            size, ours = f"{hidden} units, {count} thread(s)", here[GRUS]
            for peer in (YARDSTICK, ONE_SERIES):
                lines.append(report.ratio_line(f"fit {size} / {peer}", REQUIRED, ours.median_s, here[peer].median_s if peer in here else None))
                lines += [error_line(f"{name} {size} / {peer}", getattr(ours, name.lower()), here.get(peer), name) for name in ("MAE", "MSE")]
    return lines


def error_line(work: str, ours: Sequence[float], peer: ForecastRow | None, name: str) -> report.Line:
    """No worse: not above the peer's mean by more than two standard errors of the difference of means."""
    theirs: Any = None if peer is None else getattr(peer, name.lower())
    if theirs is None or len(ours) < 2:
        return report.Line(work, "no worse", "not measured", None)
    noise = 2 * ((statistics.variance(ours) + statistics.variance(theirs)) / len(ours)) ** 0.5
    got = f"{statistics.mean(ours):.4f} against {statistics.mean(theirs):.4f}, noise {noise:.4f}"
    return report.Line(work, "no worse", got, statistics.mean(ours) <= statistics.mean(theirs) + noise)


if __name__ == "__main__":
    main()
