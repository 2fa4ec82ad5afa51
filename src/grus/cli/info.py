"""`grus info`: this machine, or a run."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grus.cli.console import command_line, load_module, print_facts, print_note, print_scores
from grus.errors import DataError
from grus.tasks.counted import counted

if TYPE_CHECKING:
    from grus.tasks.folder import RunFolder
    from grus.tasks.live import Beat

EXAMPLE = "Example: grus info runs/sales --follow"
LOOK_EVERY_S = 0.5


def info(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run (default this machine).", metavar="RUN", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Print each epoch as it comes, until the run ends.")] = False,
) -> None:
    """Say what a run holds and how far it has come; without one, the version, this machine's vector units and the folder of compiled kernels."""
    if run is None:
        if follow:
            raise typer.BadParameter("--follow is for a run; name its folder")
        print_facts(load_module("grus.cli.machine", "info").describe_machine())
        return
    folders = load_module("grus.tasks.folder", "info")
    if follow and not run.exists():
        _await(folders.RunFolder(run))
    folder: RunFolder = folders.open(run)
    if follow:
        _follow(folder)
        return
    there = [name for name in folders.ENTRIES if (folder.path / name).exists()]
    print_facts(_describe(folder) | {"files": ", ".join(there)})
    if folder.metrics.exists():
        print()
        print_scores(_scores(folder), folder.task.who)


def _await(folder: RunFolder) -> None:
    """Wait until a run has begun that is not there yet; Ctrl-C ends that with exit status 130."""
    print_note(f"waits for a run in {folder.path}, which is not there yet.")
    try:
        while not (folder.pulse.exists() or folder.trained):
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt as stop:
        raise typer.Exit(130) from stop


def _follow(folder: RunFolder) -> None:
    """Print the epochs until the run ends; the exit status is 0 where that is with a network, 1 without, 130 for Ctrl-C."""
    live = load_module("grus.tasks.live", "info")
    epochs, losses = folder.config.training.epochs, dict[float, float]()
    rows = live.watch(folder, lambda: time.sleep(LOOK_EVERY_S))
    try:
        while True:
            row = next(rows)
            if row["epoch"] in losses:
                print_note(f"the run was taken up again behind epoch {int(row['epoch']) - 1}.")
            losses = {epoch: loss for epoch, loss in losses.items() if epoch < row["epoch"]}
            loss = row.get("validation_loss", math.inf)
            print(live.row_line(row, epochs, best=loss < min(losses.values(), default=math.inf)), flush=True)
            losses[row["epoch"]] = loss
    except StopIteration as end:
        state = end.value
    except KeyboardInterrupt as stop:
        raise typer.Exit(130) from stop
    if state == "trained":
        print_note(f"the run is trained to its end; next: {command_line('evaluate', folder.path)}.")
        return
    print_note(f"the run {_not_running(folder)}." if folder.marker.exists() else f"{folder.path} holds no run any more.")
    raise typer.Exit(1)


def _describe(folder: RunFolder) -> dict[str, Any]:
    live, settings = load_module("grus.tasks.live", "info"), folder.config
    rows, state, data = live.read_rows(folder.log), live.state_of(folder), settings.data
    beat = live.last_beat(folder) if state == "running" else None
    return {
        "run": f"{settings.task} in {folder.path}",
        "state": {"trained": "trained to its end", "running": _running(beat)}.get(state) or _not_running(folder),
        "data": data.path or "given by the caller",
        **settings.about,
        "network": f"{settings.model.cell}, {settings.model.num_layers} × {counted(settings.model.hidden_size, 'unit')}",
        "epochs": f"{len(rows)} of at most {settings.training.epochs}",
        **live.progress_facts(rows, beat),
        "seed": settings.training.seed,
    }


def _running(beat: Beat | None) -> str:
    if beat is None or not beat.epoch:
        return "running, before its first step"
    return f"running, step {beat.step} of {beat.steps} in epoch {beat.epoch}"


def _not_running(folder: RunFolder) -> str:
    if (folder.checkpoints / "diverged").exists():
        return f"does not run, as it diverged; {folder.checkpoints / 'diverged'} has the weights and the batch, grus fit --overwrite begins anew"
    ranks = load_module("grus.training.checkpoint", "info").ranks_of(folder.checkpoints)
    launcher = "" if ranks == 1 else f"torchrun --nproc-per-node {ranks} -m "
    return f"does not run and is not trained to its end; {launcher}{command_line('fit', '--resume', '--out', folder.path)} goes on with it"


def _scores(folder: RunFolder) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(folder.metrics.read_text(encoding="utf-8"))
        return {name: {metric: float("nan") if value is None else float(value) for metric, value in row.items()} for name, row in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder.metrics}: must hold scores by forecaster and metric, got other content; run grus evaluate {folder.path}."
        ) from error
