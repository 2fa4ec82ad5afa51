"""The main job in one run: read a real series, train, backtest against baselines, forecast, write a page."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from grus.demo.backtest import BASELINES, INTERVAL, Backtest, baseline, interval, run_backtest
from grus.demo.data import Series, read_co2
from grus.demo.model import Network, Settings, forecast
from grus.demo.page import NETWORK, Report, render, score_head, score_rows
from grus.demo.train import fit, time_step
from grus.errors import OptionError

__all__ = ["main"]

TEST_WEEKS = 208


def main(out: str = "co2-report", seed: int = 0, quiet: bool = False, settings: Settings | None = None) -> int:
    """Trains a GRU on weekly CO₂, backtests it, forecasts the next year and writes `out`/index.html; returns 0.

    Raises: OptionError if `out` is a file; MissingDependencyError without statsmodels.
    """
    start, settings, console = time.perf_counter(), settings or Settings(), Console(quiet=quiet, highlight=False)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"grus demo: out must be a folder, got the file {out}; name a folder that exists or can be made.")
    series = read_co2()
    missing = int(np.isnan(series.values).sum())
    console.print(f"{len(series)} weeks of CO₂ at Mauna Loa, {series.dates[0]} to {series.dates[-1]}, {missing} not measured.", soft_wrap=True)
    threads = torch.get_num_threads()
    # One seed should give one result, and the last digits of PyTorch's own products can depend on the number of threads.
    torch.set_num_threads(1)
    try:
        report = study(series, settings, seed, console)
    finally:
        torch.set_num_threads(threads)
    show_scores(report.backtests, console)
    half, speed = report.half_width, report.speed
    console.print(f"The {INTERVAL:.0%} interval covers {report.backtests[NETWORK].coverage(half):.0%} of the backtest.")
    console.print(f"In a year: {report.outlook[-1]:.1f} ± {half[-1]:.1f} ppm (network trained anew on all weeks).")
    console.print(
        f"A training step: grus.nn.GRU {speed.grus_s * 1e3:.1f} ms, torch.nn.GRU {speed.torch_s * 1e3:.1f} ms, {speed.ratio:.2f}× as fast"
        f" (one thread, same batch, losses {speed.loss_difference:.0e} apart).",
        soft_wrap=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(render(report), encoding="utf-8")
    console.print(f"Wrote {page} in {time.perf_counter() - start:.0f} s.", soft_wrap=True)
    return 0


def study(series: Series, settings: Settings, seed: int, console: Console) -> Report:
    """Three trainings, each on what came before its forecasts: for the interval, for the backtest, for the next year."""
    before = series.before(len(series) - TEST_WEEKS)
    earlier = before.before(len(before) - TEST_WEEKS)
    horizon = settings.horizon
    columns = (TextColumn("{task.description:28}"), BarColumn(), TextColumn("{task.fields[loss]:.3f} ppm"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:

        def train(name: str, known: Series) -> Network:
            task = bar.add_task(name, total=settings.steps, loss=float("nan"))
            return fit(known, settings, seed, lambda loss: bar.update(task, advance=1, loss=loss))

        validated = train("Training for the interval", earlier)
        tested = train("Training for the backtest", before)
        final = train("Training for the next year", series)
    half_width = interval(run_backtest(lambda known, origins: forecast(validated, known, origins), before, len(earlier), horizon))
    backtests = {NETWORK: run_backtest(lambda known, origins: forecast(tested, known, origins), series, len(before), horizon)}
    for name in BASELINES:
        backtests[name] = run_backtest(baseline(name, horizon), series, len(before), horizon)
    outlook = forecast(final, series, [len(series)])[0]
    return Report(series, backtests, outlook, half_width, time_step(before, settings))


def show_scores(backtests: dict[str, Backtest], console: Console) -> None:
    table = Table(title=f"MAE in ppm over {len(backtests[NETWORK].origins)} forecasts of a year, then by weeks ahead")
    for index, name in enumerate(score_head()):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in score_rows(backtests):
        table.add_row(*row, style="bold" if row[0] == NETWORK else None)
    console.print(table)
