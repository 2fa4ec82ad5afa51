"""`grus info`: this machine, or a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grus.cli.console import load_module, print_facts, print_scores
from grus.errors import DataError

if TYPE_CHECKING:
    from grus.tasks.folder import RunFolder

EXAMPLE = "Example: grus info runs/sales"


def info(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run (default this machine).", metavar="RUN", show_default=False)] = None,
) -> None:
    """Say what a run holds; without one, the version, this machine's vector units and the folder of compiled kernels."""
    if run is None:
        print_facts(load_module("grus.cli.machine", "info").describe_machine())
        return
    folders = load_module("grus.tasks.folder", "info")
    folder: RunFolder = folders.open(run)
    there = [name for name in folders.ENTRIES if (folder.path / name).exists()]
    print_facts(_describe(folder) | {"files": ", ".join(there)})
    if folder.metrics.exists():
        print()
        print_scores(_scores(folder))


def _describe(folder: RunFolder) -> dict[str, Any]:
    settings = folder.config
    done = len(folder.log.read_text(encoding="utf-8").splitlines()) if folder.log.exists() else 0
    data = settings.data
    return {
        "run": f"{settings.task} in {folder.path}",
        "data": data.path or "given by the caller",
        "target": f"{data.target} by {data.time}" + (f", series by {data.id}" if data.id else ""),
        "horizon": f"{data.horizon} steps",
        "missing": data.missing,
        "network": f"{settings.model.cell}, {settings.model.num_layers} × {settings.model.hidden_size} units",
        "epochs": f"{done} of at most {settings.training.epochs}",
        "seed": settings.training.seed,
    }


def _scores(folder: RunFolder) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(folder.metrics.read_text(encoding="utf-8"))
        return {name: {metric: float("nan") if value is None else float(value) for metric, value in row.items()} for name, row in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder.metrics}: must hold scores by forecaster and metric, got other content; run grus evaluate {folder.path}."
        ) from error
