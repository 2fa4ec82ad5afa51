"""`grus predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from grus.cli.console import load_module, print_note
from grus.tasks.files import check_file, write_text

EXAMPLE = "Example: grus predict runs/sales --data - --levels 0.1,0.9 < sales.csv > forecast.csv"


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    data: Annotated[
        str | None, typer.Option(help="Table to go on from, or of sequences; - for CSV on stdin (default the run's own).", metavar="FILE")
    ] = None,
    out: Annotated[str, typer.Option(help="CSV file that is written, - for stdout (default -).", show_default=False, metavar="FILE")] = "-",
    levels: Annotated[str | None, typer.Option(help="Quantiles of forecasts (default those of training).", metavar="A,B")] = None,
) -> None:
    """Forecast the steps after the end of each series, or tell the class or the numbers of each sequence, as CSV."""
    chosen = _levels(levels)
    folder = load_module("grus.tasks.folder", "predict").open(run, needs=["model"])
    if out != "-":
        check_file(Path(out))
    source = sys.stdin.buffer if data == "-" else None if data is None else Path(data)
    table = load_module(folder.task.job, "predict").predict_run(folder, source, chosen, print_note)
    text: str = table.to_csv(index=False, lineterminator="\n")
    if out == "-":
        sys.stdout.write(text)
    else:
        write_text(Path(out), text)


def _levels(text: str | None) -> tuple[float, ...] | None:
    """Levels out of "0.1,0.9"."""
    if text is None:
        return None
    try:
        levels = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--levels must be numbers with commas between them, got {text!r}") from error
    if not all(0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
        raise typer.BadParameter(f"--levels must rise between 0 and 1, got {text!r}")
    return levels
