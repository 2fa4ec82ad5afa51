"""Holding every library of this process, and the process itself, to a number of threads."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MARK = "GRUS_BENCHMARK_THREADS"
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def restrict(threads: int) -> None:
    """Start this program anew with ``threads`` cores and pools of that size, unless it already runs so.

    The pools read their variables when they are loaded and count cores by affinity, so both are set before a fresh start.
    """
    if os.environ.get(MARK) == str(threads):
        return
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if threads > len(cores):
            raise SystemExit(f"benchmarks: --threads must be at most {len(cores)}, the cores this process may use, got {threads}.")
        os.sched_setaffinity(0, cores[-threads:])
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment(threads))


def environment(threads: int) -> dict[str, str]:
    """The variables of a process whose pools have that size."""
    found = dict(os.environ) | dict.fromkeys(POOLS, str(threads)) | {MARK: str(threads), "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return found


def active() -> int:
    """The number of threads that :func:`restrict` set."""
    return int(os.environ.get(MARK, "1"))


def numbers(text: str) -> tuple[int, ...]:
    """An option's whole numbers, joined by commas."""
    found = tuple(int(part) for part in text.split(","))
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"must be numbers of at least 1 joined by commas, got {text!r}.")
    return found


def run_part(module: str, count: int) -> dict[str, Any]:
    """The same command for one number of threads, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        own = ["--only", str(count), "--rows", str(path)]
        done = subprocess.run([sys.executable, "-m", module, *sys.argv[1:], *own], check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        return json.loads(path.read_text())
