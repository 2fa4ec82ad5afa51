"""``python -m benchmarks.step``: one call per step from Python, NumPy in and out, the state carried (64 -> 128, one thread)."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import report, threads
from benchmarks.peers import FAILURES, YARDSTICK, Step, load
from benchmarks.workload import Case, Size, make_case

BLOCK, CHECKED = 200, 50
REQUIRED_NN, REQUIRED_BEST = 8.0, 2.0


@dataclass(frozen=True)
class StepRow:
    """Microseconds of one call; None where the peer was not timed, and ``note`` says why."""

    peer: str
    p50_us: float | None = None
    p99_us: float | None = None
    error: float | None = None
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help=f"rounds of {BLOCK} steps of each peer in turn")
    parser.add_argument("--input", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="5 rounds")
    parser.add_argument("--json", metavar="PATH")
    arguments = parser.parse_args()
    threads.restrict(1)
    from benchmarks import machine  # torch and LLVM load here, after the thread settings

    about = machine.describe()
    case = make_case("gru", False, Size(1, BLOCK, arguments.input, arguments.hidden))
    steps, rows, missing = checked_steps(case)
    print(f"{about['cpu']}, 1 thread, float32, one gru step {arguments.input} -> {arguments.hidden}")
    for name, why in missing.items():
        print(f"{name}: {why}")
    rows += time_steps(steps, case, 5 if arguments.quick else arguments.rounds)
    print(step_table(rows))
    lines = step_lines(rows)
    print()
    report.print_lines(lines)
    content = {"benchmark": "step", "machine": about, "missing": missing, "rows": report.record(rows), "targets": report.record(lines)}
    report.write_json(arguments.json, content)


def checked_steps(case: Case) -> tuple[dict[str, Step], list[StepRow], dict[str, str]]:
    """The peers that agree with PyTorch's float64 over the first steps, rows for those that do not, and those missing."""
    peers, missing = load(1)
    from benchmarks.peers.pytorch import reference

    expected = reference(case)["y"][:CHECKED, 0]
    steps: dict[str, Step] = {}
    rows: list[StepRow] = []
    for peer in peers:
        if peer.step is None:
            continue
        try:
            step = peer.step(case)
            got = np.array([step(x).copy() for x in case.x[:CHECKED, 0]])
        except FAILURES as failure:
            rows.append(StepRow(peer.name, note=f"failed: {type(failure).__name__}: {failure}".splitlines()[0][:100]))
            continue
        error = float(np.abs(got - expected).max() / np.abs(expected).max()) if got.shape == expected.shape else float("inf")
        if error <= peer.tolerance:
            steps[peer.name] = step
        else:
            rows.append(StepRow(peer.name, error=error, note=f"disagrees by {error:.0e}, not timed"))
    return steps, rows, missing


def time_steps(steps: Mapping[str, Step], case: Case, rounds: int) -> list[StepRow]:
    """Each call on its own, in blocks of one peer after the other; the first tenth of a block refills the caches untimed."""
    samples: dict[str, list[NDArray[np.int64]]] = {name: [] for name in steps}
    xs = [np.ascontiguousarray(x) for x in case.x[:, 0]]
    clock = time.perf_counter_ns
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, step in steps.items():
                for x in xs[: BLOCK // 10]:
                    step(x)
                stamps = np.empty((BLOCK, 2), np.int64)
                for i, x in enumerate(xs):
                    start = clock()
                    step(x)
                    stamps[i] = start, clock()
                samples[name].append(stamps[:, 1] - stamps[:, 0])
    finally:
        gc.enable()
    rows: list[StepRow] = []
    for name, blocks in samples.items():
        p50, p99 = np.percentile(np.concatenate(blocks) / 1e3, [50, 99])
        rows.append(StepRow(name, float(p50), float(p99)))
    return rows


def step_table(rows: list[StepRow]) -> str:
    ours = next((row.p50_us for row in rows if row.peer == "grus"), None)
    cells: list[list[str]] = []
    for row in sorted(rows, key=lambda row: row.p50_us or float("inf")):
        if row.p50_us is None or row.p99_us is None:
            continue
        cells.append([row.peer, f"{row.p50_us:.2f}", f"{row.p99_us:.2f}", f"{row.p50_us / ours:.2f}x" if ours else ""])
    text = report.table(["peer", "p50 us", "p99 us", "peer/grus"], cells)
    return "\n".join([text, *(f"{row.peer}: {row.note}" for row in rows if row.note)])


def step_lines(rows: list[StepRow]) -> list[report.Line]:
    p50 = {row.peer: row.p50_us for row in rows if row.p50_us is not None}
    others = {peer: us for peer, us in p50.items() if not peer.startswith("grus")}
    best = min(others, key=lambda peer: others[peer])
    return [
        report.ratio_line(f"one step / {YARDSTICK}", REQUIRED_NN, p50.get("grus"), others.get(YARDSTICK)),
        report.ratio_line(f"one step / best ({best})", REQUIRED_BEST, p50.get("grus"), others[best]),
    ]


if __name__ == "__main__":
    main()
