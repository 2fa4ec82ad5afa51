"""The ``grus`` command: ``demo`` runs the main job once on a real series, ``info`` says what this machine offers.

Only the chosen command's modules are imported, so that ``grus --help`` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from grus import __version__
from grus.cli.info import describe_machine
from grus.errors import GrusError, MissingDependencyError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 done, 1 a Grus error, 2 a wrong command line."""
    parser = _build_parser()
    arguments = parser.parse_args(argv)
    try:
        return _run_demo(arguments) if arguments.command == "demo" else _run_info()
    except GrusError as error:
        parser.exit(1, f"grus: {error}\n")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="grus", description="Recurrent cells as equations, compiled to fused kernels.")
    parser.add_argument("--version", action="version", version=f"grus {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser("demo", help="train, judge and draw a forecast of a real series")
    demo.add_argument("--out", default="co2-report", help="folder that the page is written to (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the weights and of the batches (default: %(default)s)")
    demo.add_argument("--quiet", action="store_true", help="write the page and print nothing")
    commands.add_parser("info", help="version, vector units of this machine and the folder of compiled kernels")
    return parser


def _run_demo(arguments: argparse.Namespace) -> int:
    try:
        demo = import_module("grus.demo")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "grus":
            raise
        raise MissingDependencyError(f"grus demo: needs the package {error.name!r}, which is not installed; pip install 'grus[train]'") from error
    status: int = demo.main(out=arguments.out, seed=arguments.seed, quiet=arguments.quiet)
    return status


def _run_info() -> int:
    for label, value in describe_machine().items():
        print(f"{label:<14}{value}")
    return 0
