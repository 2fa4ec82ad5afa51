"""`grus report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grus.cli.console import command_line, load_module, print_note
from grus.tasks.files import check_file

if TYPE_CHECKING:
    from grus.tasks.folder import RunFolder

EXAMPLE = "Example: grus report runs/sales --out sales.html"


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="HTML file that is written (default report.html in the folder).", metavar="FILE")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder that gets a PNG of every chart as well.", metavar="FOLDER")] = None,
) -> None:
    """Write one page about a run that was evaluated: forecasts or answers, scores, errors, learning, gates. It needs no network."""
    folders = load_module("grus.tasks.folder", "report")
    folder: RunFolder = folders.open(run, needs=["model", folders.open(run).record.name])
    if out is not None:
        check_file(out)
    if pictures is not None and pictures.exists() and not pictures.is_dir():
        raise typer.BadParameter(f"--pictures must be a folder, got the file {pictures}; name another")
    print(load_module(folder.task.page, "report").report_run(folder, out or folder.report, pictures))
    if pictures is not None:
        print(pictures)
    print_note(f"next: {command_line('predict', run)}, {folder.task.answer}.")
