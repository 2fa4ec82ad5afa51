"""`grus evaluate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from grus.cli.console import load_module, print_json, print_note, print_scores

EXAMPLE = "Example: grus evaluate runs/sales --json"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    data: Annotated[Path | None, typer.Option(help="Another table (default the run's own).", metavar="FILE")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as lines of JSON.")] = False,
) -> None:
    """Backtest a run: forecasts of the test part beside naive and statistical ones, scored in the units of the target."""
    if quiet and as_json:
        raise typer.BadParameter("--quiet prints no progress and --json prints it; give one of them")
    folder = load_module("grus.tasks.folder", "evaluate").open(run, needs=["model"])
    reporter = "json" if as_json else "quiet" if quiet else "bar"
    scores = load_module("grus.tasks.forecast_run", "evaluate").evaluate_run(folder, data, reporter).scores()
    if as_json:
        print_json(scores)
    else:
        print_scores(scores)
    if data is None and reporter == "bar":
        again = shlex.join(["grus", "fit", "--config", str(run / "config.yaml"), "--set", "data.test=0", "--out", f"{run}-final"])
        print_note(f"grus predict {run} forecasts with this network, which has not learnt from the test part; to train one that has: {again}")
