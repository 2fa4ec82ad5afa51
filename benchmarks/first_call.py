"""``python -m benchmarks.first_call``: what a layer's first training step costs beyond its second, without and with the disk cache.

Two fresh processes share one empty cache folder: the first compiles, the second loads what the first left.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks import report, threads
from benchmarks.peers import FAILURES
from benchmarks.workload import Size, make_case

COMPILE_S, CACHED_S = 1.0, 0.030
CACHE_VARIABLE = "GRUS_CACHE"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_call", description=__doc__)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    threads.restrict(1)
    if arguments.child:
        print(first_call_s())
    else:
        report.print_lines(lines())


def lines() -> list[report.Line]:
    """The two lines to reach."""
    required = {"first compile of a layer": COMPILE_S, "first call, cached": CACHED_S}
    with tempfile.TemporaryDirectory(prefix="grus-benchmark-") as folder:
        environment = dict(os.environ) | {CACHE_VARIABLE: folder}
        command = [sys.executable, "-m", "benchmarks.first_call", "--child"]
        found: list[report.Line] = []
        for work, most in required.items():
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                found.append(report.Line(work, f"< {most * 1e3:.0f} ms", "not measured", None))
                continue
            seconds = float(done.stdout.strip().splitlines()[-1])
            found.append(report.Line(work, f"< {most * 1e3:.0f} ms", f"{seconds * 1e3:.0f} ms", seconds < most))
    return found


def first_call_s() -> float:
    """A GRU 64 -> 128: its first call's time less the least of five later ones; PyTorch itself has been warmed up before."""
    import torch

    from benchmarks.peers import grus, pytorch

    case = make_case("gru", True, Size(4, 8, 64, 128))
    pytorch.reference(case)
    pytorch.run_module(torch.nn.GRU(case.size.input, case.size.hidden), case).call()  # its own first backward pass imports for 0.1 s
    try:
        module = grus.layer(case.cell, case.size.input, case.size.hidden)
        grus.load_weights(module, case)
        run = pytorch.run_module(module, case)
        return _timed(run.call) - min(_timed(run.call) for _ in range(5))
    except FAILURES as error:
        raise SystemExit(f"benchmarks.first_call: {error}") from error


def _timed(call: Callable[[], object]) -> float:
    gc.disable()  # as timeit does: a full collection of what PyTorch has loaded takes 70 ms, and any allocation may set it off
    try:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
