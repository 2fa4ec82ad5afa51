"""The main job in one run: read a real series, train, backtest against baselines, forecast the next year, write a page."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from grus.data.panel import Panel
from grus.data.scaling import Scaling
from grus.data.windows import Windows
from grus.demo.page import page, score_table
from grus.demo.series import read_co2
from grus.demo.speed import StepTime, time_step
from grus.demo.study import Settings, Study, run_study
from grus.errors import OptionError
from grus.models.tensors import TensorBatch
from grus.report import write
from grus.training import Bar

__all__ = ["Settings", "Study", "main"]

BATCH = 32  # windows of the timed step, as in training


def main(out: str = "co2-report", seed: int = 0, quiet: bool = False, settings: Settings | None = None) -> int:
    """Trains a GRU on weekly CO₂, backtests it, forecasts the next year and writes `out`/index.html; returns 0.

    Raises: OptionError if `out` is a file; MissingDependencyError without statsmodels.
    """
    start, settings, console = time.perf_counter(), settings or Settings(), Console(quiet=quiet, highlight=False)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"grus demo: out must be a folder, got the file {out}; name a folder that exists or can be made.")
    panel = read_co2()
    console.print(_about(panel), soft_wrap=True)
    threads = torch.get_num_threads()
    # One seed should give one result, and the last digits of PyTorch's own products can depend on the number of threads.
    torch.set_num_threads(1)
    try:
        study = _watch(panel, settings, seed, console)
        speed = time_step(_batch(panel, settings), settings.hidden_size)
    finally:
        torch.set_num_threads(threads)
    _show(study, speed, console)
    folder.mkdir(parents=True, exist_ok=True)
    written = write(page(study), folder / "index.html")
    console.print(f"Wrote {written} in {time.perf_counter() - start:.0f} s.", soft_wrap=True)
    return 0


def _about(panel: Panel) -> str:
    (series,) = panel
    first, last = series.times[[0, -1]].astype("datetime64[D]")
    return f"{len(series)} weeks of CO₂ at Mauna Loa, {first} to {last}, {int(np.isnan(series.target).sum())} not measured."


def _watch(panel: Panel, settings: Settings, seed: int, console: Console) -> Study:
    """The study, with a bar on stderr during the backtest; training draws its own."""
    errors = Console(stderr=True, quiet=console.quiet)
    bar = Progress(console=errors, transient=True, disable=console.quiet or not errors.is_terminal)
    task = bar.add_task("backtest", total=None)

    def advance(done: int, total: int, fitting: str) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)
        if bar.finished:
            bar.stop()

    try:
        return run_study(panel, settings, seed, Bar(errors), lambda text: console.print(text, soft_wrap=True), advance)
    finally:
        bar.stop()


def _batch(panel: Panel, settings: Settings) -> TensorBatch:
    """The first windows of the series, in scaled units."""
    ranges = [(0, len(series)) for series in panel]
    shown = settings.windows
    windows = Windows(panel, ranges, shown.lookback, shown.horizon, missing=shown.missing, scaling=Scaling.fit(panel, ranges, shown.scaling))
    return TensorBatch.of(windows.batch(range(settings.lookback, settings.lookback + BATCH)))


def _show(study: Study, speed: StepTime, console: Console) -> None:
    console.print(score_table(study.backtest))
    for nominal, held in study.backtest.coverages().items():
        console.print(
            f"The {nominal:.0%} interval, corrected on the four years before the backtest, held {held:.0%} of its measured weeks.", soft_wrap=True
        )
    outlook = study.outlook
    low, high = (outlook.quantiles[level][0, -1] for level in (min(outlook.quantiles), max(outlook.quantiles)))
    day = study.panel.step.after(study.panel.series[0].times[-1], outlook.point.shape[1])[-1].astype("datetime64[D]")
    console.print(f"On {day}: {outlook.point[0, -1]:.1f} ppm, between {low:.1f} and {high:.1f} (network trained anew on everything).", soft_wrap=True)
    console.print(
        f"A training step: grus.nn.GRU {speed.grus_s * 1e3:.1f} ms, torch.nn.GRU {speed.torch_s * 1e3:.1f} ms, {speed.ratio:.2f}× as fast"
        f" (one thread, same batch, losses {f'{speed.loss_difference:.0e} apart' if speed.loss_difference else 'equal'}).",
        soft_wrap=True,
    )
