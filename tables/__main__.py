"""``python -m tables [names] [--data FOLDER] [--seeds N] [--jobs N]``: our figures beside published ones."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from benchmarks import machine
from tables.show import TABLES, show, shown

BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 2 where data is missing."""
    options = parse(arguments)
    chosen = [TABLES[name] for name in options.names or TABLES]
    absent = list(dict.fromkeys(path for table in chosen for path in table.missing(options.data)))
    if absent:
        print("tables: these files must be there, got none; pass their folder with --data or in GRUS_DATA:", file=sys.stderr)
        print("\n".join(f"  {path}" for path in absent), file=sys.stderr)
        return 2
    about = machine.describe()
    versions = " ".join(f"{name} {about['versions'][name]}" for name in ("python", "grus", "torch", "numpy"))
    print(f"{about['cpu']}, {about['cores_used']} cores, one thread per run; {versions}")
    jobs = min(options.jobs or about["cores_used"], len(chosen))
    if jobs == 1:
        for table in chosen:
            show(table, options.data, range(options.seeds))
        return 0
    print(f"tables: {jobs} at a time, each is printed when it is whole.", file=sys.stderr)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        # The last ones take longest.
        for done in as_completed([pool.submit(shown, table.name, options.data, range(options.seeds)) for table in reversed(chosen)]):
            print(done.result(), end="", flush=True)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {table.name:12} {table.title}" for table in TABLES.values())
    parser = argparse.ArgumentParser(
        prog="python -m tables", description=__doc__, epilog=f"tables:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[[], *TABLES], metavar="names", help="which tables (default: all)")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GRUS_DATA", BESIDE)), metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs per figure, seeds 0 to N - 1 (default 3)")
    parser.add_argument("--jobs", type=int, metavar="N", help="tables at a time (default one per core)")
    options = parser.parse_args(arguments)
    for name in ("seeds", "jobs"):
        if (given := getattr(options, name)) is not None and given < 1:
            parser.error(f"--{name} must be at least 1, got {given}.")
    return options


if __name__ == "__main__":
    sys.exit(main())
