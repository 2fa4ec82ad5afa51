"""``python -m benchmarks.epochs``: seconds of a training epoch of classifiers, Grus beside ``torch.nn.GRU`` and Keras, on reviews and rows of digits.

Each network has the same weights to begin with and the same batches of sequences about as long as one another; loss and gradients of the first batch
are compared with PyTorch's in float64 before anything is timed. Timed are the first batches of an epoch, another one in each round, in which the
peers take turns; the seconds are those of a whole epoch at that pace. Grus's hold all that ``grus.training.fit`` does, with the making of batches;
the others' have their batches ready. What they compile is compiled before. Each number of threads, and each peer, has a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report, threads
from benchmarks.forecasting import BESIDE
from benchmarks.layers import difference

if TYPE_CHECKING:
    from benchmarks.peers.classifiers import Build, Learner, Task

REQUIRED = 2.0
TOLERANCE = 1e-4
UNTIMED = 10_000  # seed of the epoch whose first batch is compared
WARM_BATCHES = 3
SHOWN = ("python", "grus", "torch", "keras", "tensorflow", "tensorflow-cpu", "jax")
LIBRARIES = ("torch nn.GRU", "keras")  # each is judged by the fastest of its rows


@dataclass(frozen=True)
class EpochRow:
    """One peer on one task: for each round the seconds of an epoch and the mean loss; empty where it was not timed, and ``note`` says why."""

    task: str
    peer: str
    threads: int
    weights: int
    seconds: Sequence[float]
    losses: Sequence[float]
    error: float | None
    note: str = ""

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    arguments = parse()
    if arguments.only is not None:
        threads.restrict(arguments.only)
        measure(arguments)
        return
    rows: list[EpochRow] = []
    about: dict[str, Any] = {}
    for count in arguments.threads:
        content = threads.run_part("benchmarks.epochs", count)
        about = content["machine"]
        rows += [EpochRow(**row) for row in content["rows"]]
    lines = epoch_lines(rows)
    print()
    report.print_lines(lines)
    settings = {"batches": arguments.batches, "rounds": arguments.rounds}
    content = {"benchmark": "epochs", "machine": about, "settings": settings, "rows": report.record(rows), "targets": report.record(lines)}
    report.write_json(arguments.json, content)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.epochs", description=__doc__)
    parser.add_argument("--threads", type=threads.numbers, default=(1, 2), help="joined by commas (default 1,2)")
    parser.add_argument("--batches", type=int, default=30, help="of an epoch that are timed (default 30)")
    parser.add_argument("--rounds", type=int, default=5, help="epochs that each peer begins (default 5)")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GRUS_DATA", BESIDE)), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="10 batches, one thread")
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.batches, arguments.threads = 10, (1,)
    for name in ("batches", "rounds"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}.")
    return arguments


def measure(arguments: argparse.Namespace) -> None:
    """What the process of one number of threads does."""
    from benchmarks import machine  # torch and LLVM load here, after the thread settings
    from benchmarks.lessons import LESSONS
    from benchmarks.peers.classifiers import load

    about = machine.describe()
    peers, missing = load()
    print(f"\n{about['cpu']}, {arguments.only} thread(s); {' '.join(f'{k} {v}' for k, v in about['versions'].items() if k in SHOWN)}")
    for name, why in missing.items():
        print(f"{name}: {why}")
    rows: list[EpochRow] = []
    for make in LESSONS.values():
        task, said = make(arguments.data)
        timed = min(arguments.batches, len(task.source))
        print(
            f"\n{task.name}, {arguments.only} thread(s): {said}; {timed} of {len(task.source)} batches of {task.source.batch_size} timed", flush=True
        )
        here = run_task(task, peers, arguments)
        print(epoch_table(here), flush=True)
        rows += here
    report.write_json(arguments.rows, {"machine": about, "rows": report.record(rows)})


def run_task(task: Task, peers: Mapping[str, Build], arguments: argparse.Namespace) -> list[EpochRow]:
    """Check every peer, then rounds of those that agree, each in turn."""
    from benchmarks.peers import FAILURES
    from benchmarks.peers.classifiers import PACKED
    from benchmarks.peers.torch_classifier import reference

    (batch,) = task.batches(UNTIMED, 1)
    expected = reference(task, batch)
    learners: dict[str, Learner] = {}
    errors: dict[str, float] = {}
    rows: list[EpochRow] = []
    for peer, build in peers.items():
        if peer == PACKED and task.steps is not None:
            continue  # nothing to leave out
        try:
            learner = build(task, arguments.only)
            error = difference(learner.gradients(batch), expected)
            learner.epoch(UNTIMED, WARM_BATCHES)
        except FAILURES as failure:  # one peer's failure must not cost the others their figures
            reason = f"{type(failure).__name__}: {failure}".splitlines()[0][:100]
            rows.append(EpochRow(task.name, peer, arguments.only, 0, (), (), None, f"failed: {reason}"))
            continue
        errors[peer] = error
        if error > TOLERANCE:
            rows.append(EpochRow(task.name, peer, arguments.only, learner.weights, (), (), error, f"disagrees by {error:.0e}, not timed"))
            continue
        learners[peer] = learner
    figures: dict[str, list[tuple[float, float]]] = {peer: [] for peer in learners}
    count = min(arguments.batches, len(task.source))
    for seed in range(arguments.rounds):
        for peer, learner in learners.items():
            gc.collect()
            learnt = learner.epoch(seed, count)
            figures[peer].append((learnt.seconds * len(task.source) / count, learnt.loss))
    for peer, learner in learners.items():
        seconds, losses = zip(*figures[peer], strict=True)
        rows.append(EpochRow(task.name, peer, arguments.only, learner.weights, seconds, losses, errors[peer]))
    return rows


def epoch_table(rows: Sequence[EpochRow]) -> str:
    """Fastest first; ratios are the peer's time over Grus's."""
    from benchmarks.peers.classifiers import GRUS

    timed = sorted((row for row in rows if row.seconds), key=lambda row: row.median_s)
    ours = next((row.median_s for row in timed if row.peer == GRUS), None)
    cells: list[list[str]] = []
    for row in timed:
        ratio = "" if ours is None else f"{row.median_s / ours:.2f}x"
        times = [f"{row.median_s:.1f}", f"{min(row.seconds):.1f}-{max(row.seconds):.1f}", ratio]
        cells.append([row.peer, f"{row.weights:,}", *times, f"{statistics.mean(row.losses):.4f}", f"{row.error:.0e}"])
    text = report.table(["peer", "weights", "epoch s", "least-most", "peer/grus", "loss", "error"], cells)
    return "\n".join([text, *(f"{row.peer}: {row.note}" for row in rows if row.note)])


def epoch_lines(rows: Sequence[EpochRow]) -> list[report.Line]:
    """Against each library, the fastest of its rows."""
    from benchmarks.peers.classifiers import GRUS

    lines: list[report.Line] = []
    for task, count in dict.fromkeys((row.task, row.threads) for row in rows):
        here = {row.peer: row.median_s for row in rows if (row.task, row.threads) == (task, count) and row.seconds}
        for library in LIBRARIES:
            best = min((peer for peer in here if peer.startswith(library)), key=lambda peer: here[peer], default=library)
            lines.append(report.ratio_line(f"epoch of {task}, {count} thread(s) / {best}", REQUIRED, here.get(GRUS), here.get(best)))
    return lines


if __name__ == "__main__":
    main()
