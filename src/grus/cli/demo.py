"""`grus demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from grus.cli.console import load_module

EXAMPLE = "Example: grus demo --out co2-report"


def demo(
    out: Annotated[str, typer.Option(help="Folder of the page (default co2-report).", show_default=False, metavar="FOLDER")] = "co2-report",
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the batches (default 0).", show_default=False, metavar="N")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Write the page and print nothing.")] = False,
) -> None:
    """Train, judge and draw a forecast of a real series: weekly CO₂ at Mauna Loa. About two minutes."""
    load_module("grus.demo", "demo").main(out=out, seed=seed, quiet=quiet)
