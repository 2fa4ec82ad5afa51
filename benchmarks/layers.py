"""``python -m benchmarks.layers``: training steps and inference of recurrent layers, Grus beside its peers.

Peers are checked against PyTorch in float64 before they are timed; one that disagrees is reported and not timed.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import first_call, report, threads, timing
from benchmarks.peers import FAILURES, Peer, Result, Run, load
from benchmarks.workload import GATES, SIZES, Case, Size, make_case

PRODUCT_SIZES = (128, 256, 512)
PRODUCT_STEPS = 20  # as in a sequence: the weights stay where they are, the call itself does not count


def main() -> None:
    arguments = parse()
    threads.restrict(arguments.threads)
    from benchmarks import machine  # torch and LLVM load here, after the thread settings

    peers, missing = load(arguments.threads)
    about = machine.describe()
    ceilings = machine.ceilings(arguments.threads)
    print(f"{about['cpu']}, {arguments.threads} thread(s), float32; {' '.join(f'{k} {v}' for k, v in about['versions'].items())}")
    print(f"ceilings: FMA {ceilings['fma']:.1f} GFLOP/s, matrix product 2048 (torch) {ceilings['matmul']:.1f} GFLOP/s")
    for name, why in missing.items():
        print(f"{name}: {why}")
    rows: list[report.Row] = []
    for size in arguments.sizes:
        for direction in arguments.directions:
            for cell in arguments.cells:
                case = make_case(cell, direction == "training", size)
                rows += run_case(case, peers, arguments)
                here = [row for row in rows if (row.cell, row.direction, row.size) == (cell, direction, str(size))]
                print(f"\n{cell} {direction} {size}\n{report.case_table(here, ceilings)}", flush=True)
    again = machine.ceilings(arguments.threads)  # others on the machine may have held the first measurement down
    ceilings = {name: max(value, again[name]) for name, value in ceilings.items()}
    print(f"\nceilings, best of before and after: FMA {ceilings['fma']:.1f}, matrix product {ceilings['matmul']:.1f} GFLOP/s")
    lines = report.target_lines(rows) + product_lines(peers, ceilings, arguments) + first_call.lines()
    print()
    report.print_lines(lines)
    content = {"benchmark": "layers", "threads": arguments.threads, "machine": about, "ceilings_gflops": ceilings, "missing": missing}
    report.write_json(arguments.json, content | {"rows": report.record(rows), "targets": report.record(lines)})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the two small sizes, the gru alone, few rounds")
    parser.add_argument("--json", metavar="PATH", help="write machine, versions and every figure here")
    parser.add_argument("--only", choices=("training", "inference"))
    parser.add_argument("--sizes", help="BxTxIxH joined by commas (default: the four of the target table)")
    parser.add_argument("--cells", help=f"joined by commas, of {', '.join(GATES)}")
    parser.add_argument("--seconds", type=float, help="time spent on each table (default 15; quick 2)")
    arguments = parser.parse_args()
    arguments.sizes = [Size.parse(text) for text in arguments.sizes.split(",")] if arguments.sizes else list(SIZES[:2] if arguments.quick else SIZES)
    arguments.cells = arguments.cells.split(",") if arguments.cells else ["gru"] if arguments.quick else list(GATES)
    if unknown := set(arguments.cells) - set(GATES):
        raise SystemExit(f"benchmarks: --cells must be of {', '.join(GATES)}, got {', '.join(sorted(unknown))}.")
    arguments.directions = [arguments.only] if arguments.only else ["training", "inference"]
    arguments.seconds = arguments.seconds or (2.0 if arguments.quick else 15.0)
    return arguments


def run_case(case: Case, peers: Sequence[Peer], arguments: argparse.Namespace) -> list[report.Row]:
    """Check every peer, then time those that agree."""
    from benchmarks.peers.pytorch import reference

    expected = reference(case)
    label = (case.cell, "training" if case.training else "inference", str(case.size))
    runs: dict[str, Run] = {}
    errors: dict[str, float | None] = {}
    rows: list[report.Row] = []
    for peer in peers:
        if not peer.supports(case):
            continue
        try:
            run = peer.build(case, arguments.threads)
            error = difference(run.result(run.call()), expected) if peer.same_function else None
        except FAILURES as failure:  # one peer's failure must not cost the others their figures
            reason = f"{type(failure).__name__}: {failure}".splitlines()[0][:100]
            rows.append(report.Row(*label, peer.name, note=f"failed: {reason}"))
            continue
        if error is None or error <= peer.tolerance:
            runs[peer.name], errors[peer.name] = run, error
        else:
            rows.append(report.Row(*label, peer.name, error=error, note=f"disagrees by {error:.0e}, not timed"))
    least = 3 if arguments.quick else 7
    timed = timing.interleave({name: run.call for name, run in runs.items()}, arguments.seconds, least)
    for name, spread in timed.items():
        gflops = case.flops / spread.median_us / 1e3
        rows.append(report.Row(*label, name, spread.median_us, spread.lower_us, spread.upper_us, spread.rounds, gflops, errors[name]))
    del runs
    gc.collect()
    return rows


def difference(got: Result, expected: Result) -> float:
    """The largest error of any array, over that array's largest value; infinite where one is missing, misshapen or NaN."""
    worst = 0.0
    for name, right in expected.items():
        if name not in got or got[name].shape != right.shape:
            return float("inf")
        error = float(np.abs(got[name] - right).max() / np.abs(right).max())
        worst = max(worst, error) if np.isfinite(error) else float("inf")
    return worst


def product_lines(peers: Sequence[Peer], ceilings: dict[str, float], arguments: argparse.Namespace) -> list[report.Line]:
    """The recurrent product alone: 32 rows, three gates."""
    if not any(peer.is_grus for peer in peers):
        return [report.Line("recurrent product, 32 rows", ">= 85% of FMA", "not measured", None)]
    from benchmarks.peers.grus import recurrent_product

    lines: list[report.Line] = []
    for hidden in PRODUCT_SIZES:
        call: Any = recurrent_product(32, hidden, PRODUCT_STEPS)
        spread = timing.interleave({"product": call}, min(arguments.seconds, 2.0), 5)["product"]
        gflops = 2 * 3 * hidden * hidden * 32 * PRODUCT_STEPS / spread.median_us / 1e3
        share = gflops / ceilings["fma"]
        lines.append(report.Line(f"recurrent product, 32 rows, H {hidden}", ">= 85% of FMA", f"{gflops:.1f} GFLOP/s, {share:.0%}", share >= 0.85))
    return lines


if __name__ == "__main__":
    main()
