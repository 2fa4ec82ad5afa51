"""``python -m benchmarks.memory``: peak memory and time of one training step on a long sequence, a fresh process for each row.

The loss is the sum of the last state. Memory is the peak while the step runs minus what the process held just before it, with
libraries loaded, everything warmed up or compiled, and weights and x in place.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report, threads
from benchmarks.workload import Case, Size, make_case

LONG = Size(16, 4000, 64, 256)
POLICIES = ("store", "recompute", "checkpoint")
VARIANTS = (*(f"grus {policy}" for policy in POLICIES), "torch nn.GRU", "jax", "jax checkpoint")
SHARE_OF_NN, TIME_OF_STORE = 1 / 12, 1.5
TOLERANCE = 1e-4  # of the gradients' norms, against the first variant that ran
Step = Callable[[], dict[str, float]]  # runs one training step; gives the norms of its gradients


@dataclass(frozen=True)
class MemoryRow:
    """One variant; ``peak_mb`` is in 10^6 bytes above the level before the step, None where it did not run."""

    variant: str
    peak_mb: float | None = None
    seconds: float | None = None
    norms: dict[str, float] | None = None
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--size", type=Size.parse, default=LONG, help="BxTxIxH (default 16x4000x64x256)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3, help="timed steps in each process")
    parser.add_argument("--quick", action="store_true", help="one timed step, T 400")
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        size = arguments.size
        arguments.size, arguments.runs = Size(size.batch, min(size.time, 400), size.input, size.hidden), 1
    threads.restrict(arguments.threads)
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.size, arguments.runs)))
        return
    from benchmarks import machine  # torch and LLVM load here, after the thread settings

    about = machine.describe()
    print(f"{about['cpu']}, {arguments.threads} thread(s), training step of gru {arguments.size}, loss on the last state")
    rows = [run_variant(variant, arguments) for variant in VARIANTS]
    rows = check(rows)
    print(memory_table(rows))
    lines = memory_lines(rows)
    print()
    report.print_lines(lines)
    content = {"benchmark": "memory", "size": str(arguments.size), "threads": arguments.threads, "machine": about}
    report.write_json(arguments.json, content | {"rows": report.record(rows), "targets": report.record(lines)})


def run_variant(variant: str, arguments: argparse.Namespace) -> MemoryRow:
    size = arguments.size
    command = [sys.executable, "-m", "benchmarks.memory", "--only", variant, "--threads", str(arguments.threads), "--runs", str(arguments.runs)]
    command += ["--size", f"{size.batch}x{size.time}x{size.input}x{size.hidden}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return MemoryRow(variant, note=f"not available ({(done.stderr.strip().splitlines() or ['no message'])[-1][:110]})")
    return MemoryRow(variant, **json.loads(done.stdout.strip().splitlines()[-1]))


def check(rows: Sequence[MemoryRow]) -> list[MemoryRow]:
    """Rows whose gradients' norms disagree with PyTorch's lose their figures."""
    right = next((row.norms for row in rows if row.variant == "torch nn.GRU"), None)
    checked: list[MemoryRow] = []
    for row in rows:
        wrong = [name for name in row.norms if abs(row.norms[name] - right[name]) > TOLERANCE * right[name]] if row.norms and right else []
        checked.append(MemoryRow(row.variant, note=f"disagrees on {', '.join(wrong)}") if wrong else row)
    return checked


def measure(variant: str, size: Size, runs: int) -> dict[str, Any]:
    """What a child process does: prepare, read the level, step, read the peak, then time further steps."""
    step = _prepare(variant, make_case("gru", True, size))
    gc.collect()
    _give_back()
    before = _status("VmRSS")
    reset = _reset_peak()
    norms = step()
    peak = _status("VmHWM") if reset else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"peak_mb": (peak - before) / 1e6, "seconds": statistics.median(seconds), "norms": norms}


def _prepare(variant: str, case: Case) -> Step:
    library, _, policy = variant.partition(" ")
    if library == "jax":
        from benchmarks.peers import jax

        return jax.last_state_step(case, checkpoint=policy == "checkpoint")
    from benchmarks.peers import pytorch

    if library == "torch":
        return pytorch.last_state_step(case)
    from benchmarks.peers import grus

    return grus.last_state_step(case, policy)


def _status(field: str) -> int:
    """Bytes of a field of this process's status."""
    text = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{field}:"))) * 1024


def _give_back() -> None:
    """Return freed heap pages to the system, so that a step cannot hide in what a warm-up or a compiler has left."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_peak() -> bool:
    """Set the peak to the present level, where the kernel lets a process do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def memory_table(rows: Sequence[MemoryRow]) -> str:
    store = next((row.seconds for row in rows if row.variant == "grus store"), None)
    nn = next((row.peak_mb for row in rows if row.variant == "torch nn.GRU"), None)
    cells: list[list[str]] = []
    for row in rows:
        if row.peak_mb is None or row.seconds is None:
            continue
        share = f"1/{nn / row.peak_mb:.1f}" if nn and row.peak_mb > 0 else ""
        cells.append([row.variant, f"{row.peak_mb:.1f}", share, f"{row.seconds:.2f}", f"{row.seconds / store:.2f}x" if store else ""])
    text = report.table(["variant", "peak MB", "of nn.GRU", "seconds", "time/store"], cells)
    return "\n".join([text, *(f"{row.variant}: {row.note}" for row in rows if row.note)])


def memory_lines(rows: Sequence[MemoryRow]) -> list[report.Line]:
    by = {row.variant: row for row in rows if row.peak_mb is not None}
    ours, store = by.get("grus checkpoint"), by.get("grus store")
    nn, jax = by.get("torch nn.GRU"), by.get("jax checkpoint")
    return [
        _at_most("peak of checkpoint / nn.GRU", SHARE_OF_NN, ours and ours.peak_mb, nn and nn.peak_mb),
        _at_most("peak of checkpoint / jax checkpoint", 1.0, ours and ours.peak_mb, jax and jax.peak_mb),
        _at_most("time of checkpoint / store", TIME_OF_STORE, ours and ours.seconds, store and store.seconds),
    ]


def _at_most(work: str, most: float, ours: float | None, theirs: float | None) -> report.Line:
    if ours is None or theirs is None:
        return report.Line(work, f"<= {most:.3g}", "not measured", None)
    return report.Line(work, f"<= {most:.3g}", f"{ours / theirs:.3g}", ours / theirs <= most)


if __name__ == "__main__":
    main()
