"""A forecasting run in its folder: train, judge, predict; what the command line calls."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from grus.data.panel import Columns, Panel, Series
from grus.data.reading import read_panel
from grus.data.splitting import Split, split
from grus.evaluation.backtest import Backtest
from grus.tasks import stored
from grus.tasks.card import make_card
from grus.tasks.config import Config, DataConfig
from grus.tasks.folder import RunFolder, write_text
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.frames import prediction_frame
from grus.tasks.judging import BacktestPlan, judge, name_of, parts_before
from grus.tasks.learning import train
from grus.training import Bar, History, JsonLines, Reporter, quiet


@dataclass(frozen=True)
class RunSummary:
    """What a training run came to."""

    folder: Path
    history: History
    weights: int
    series: int

    @property
    def stopped(self) -> str:
        return str(self.history.stopped)

    def to_dict(self) -> dict[str, Any]:
        """Labels and values, in a reader's order."""
        rows = self.history.epochs
        best = next((row for row in rows if row["epoch"] == self.history.best_epoch), dict[str, float]())
        facts: dict[str, Any] = {"run": str(self.folder), "series": self.series, "weights": self.weights, "epochs": len(rows)}
        facts |= {"best_epoch": self.history.best_epoch, "stopped_by": self.stopped}
        facts |= {name: best[name] for name in ("loss", "validation_loss") if name in best}
        return facts | {"seconds": sum(row["seconds"] for row in rows)}


def fit_run(config: Config, folder: RunFolder, *, reporter: str, resume: bool) -> RunSummary:
    """Train as the configuration says; the model goes into the folder when the training is over.

    Raises: DataError, OptionError.
    """
    parts = split_run(config, read_run(config))
    windows = window_settings(config, parts.panel)
    model, history = train(parts, windows, config.model, config.training, folder=folder.path, reporter=_reporter(reporter), resume=resume)
    if not history.interrupted:
        model = replace(model, facts=tuple(facts_of(config, parts, model, history)))
        stored.save(model, folder.model, _card(config, parts, model, history, {}), overwrite=True)
    weights = sum(weight.numel() for weight in model.network.parameters())
    return RunSummary(folder.path, history, weights, len(parts.panel))


def evaluate_run(folder: RunFolder, data: Path | None, reporter: str) -> Backtest:
    """Backtest the run's model on its test part, or on that of another table; what an interruption left is gone on with.

    Raises: DataError, OptionError.
    """
    config, model = folder.config, stored.load(folder.model)
    parts = split_run(config, read_run(config, data, model.like))
    plan = BacktestPlan(config.backtest.stride, config.backtest.refit, config.backtest.baselines)
    partial = folder.checkpoints / "backtest"
    going_on = partial.exists()
    partial.mkdir(parents=True, exist_ok=True)
    progress, bar = _backtest_progress(reporter)
    with bar:
        found = judge(
            model,
            parts.panel,
            parts.test,
            plan,
            retrain=lambda origin: _retrain(config, parts, plan, origin),
            folder=partial,
            resume=going_on,
            on_progress=progress,
        )
    scores = found.scores()
    write_text(folder.backtest, found.to_json())
    write_text(folder.metrics, json.dumps(_finite(scores), indent=1))
    history = read_history(folder)
    write_text(folder.model / "README.md", _card(config, parts, model, history, scores) + "\n")
    shutil.rmtree(partial)
    return found


def predict_run(folder: RunFolder, data: Path | TextIO | None, levels: Sequence[float] | None) -> pd.DataFrame:
    """The steps after the end of each series: one row per series and step, the point and a column per quantile.

    Where the network reads covariates known ahead, rows behind the last known target give them.

    Raises: DataError, OptionError.
    """
    config, model = folder.config, stored.load(folder.model)
    panel = read_run(config, data, model.like)
    history = until_last_target(panel) if model.like.future_names else panel
    ahead = panel if model.like.future_names else None
    found = model.predict(history, ahead, levels)
    columns = {model.like.columns.target: found.point} | {str(level): values for level, values in found.quantiles.items()}
    return prediction_frame(history, ahead, model.horizon, columns)


def until_last_target(panel: Panel) -> Panel:
    """Every series up to its last known target."""

    def cut(series: Series) -> Series:
        known = np.flatnonzero(~np.isnan(series.target))
        stop = int(known[-1]) + 1 if known.size else 0
        return replace(series, **{name: getattr(series, name)[:stop] for name in ("times", "target", "past", "future")})

    return replace(panel, series=tuple(cut(series) for series in panel))


# --- the parts of a run ------------------------------------------------------------------------------------------------------------
def read_run(config: Config, data: Path | TextIO | None = None, like: Panel | None = None) -> Panel:
    """The run's table, or another one read as the run's was."""
    given = config.data
    columns = None if like is not None else columns_of(given)
    step = None if like is not None else given.step
    if data is None or isinstance(data, Path):
        return read_panel(given.path if data is None else data, columns, step=step, like=like)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "stdin.csv"
        file.write_text(data.read(), encoding="utf-8")
        return read_panel(file, columns, step=step, like=like)


def columns_of(given: DataConfig) -> Columns:
    """Which column is what."""
    return Columns(given.id, given.time, given.target, given.past, given.future, given.static)


def split_run(config: Config, panel: Panel) -> Split:
    """The run's training, validation and test parts."""
    least = config.data.horizon + 1
    return split(panel, config.data.validation, config.data.test, at_least=least)


def window_settings(config: Config, panel: Panel) -> WindowSettings:
    """What the network is shown."""
    data = config.data
    return WindowSettings(data.lookback_for(panel.step.season), data.horizon, data.missing, data.scaling, transform=data.transform)


def read_history(folder: RunFolder) -> History:
    """The epochs that the log holds."""
    lines = folder.log.read_text(encoding="utf-8").splitlines() if folder.log.exists() else []
    return History([json.loads(line) for line in lines])


def _retrain(config: Config, parts: Split, plan: BacktestPlan, origin: int) -> ForecastModel:
    """The run's network trained anew on what precedes an origin."""
    windows = window_settings(config, parts.panel)
    return train(parts_before(parts, origin, plan, windows), windows, config.model, config.training)[0]


def facts_of(config: Config, parts: Split, model: ForecastModel, history: History) -> list[tuple[str, str]]:
    """What was learnt from what, for a reader."""
    panel, training = parts.panel, config.training
    steps, known = sum(len(series) for series in panel), sum(int((~np.isnan(series.target)).sum()) for series in panel)
    first, last = min(str(series.times[0]) for series in panel), max(str(series.times[-1]) for series in panel)
    return [
        ("data", "given by the caller" if config.data.path is None else config.data.path.name),
        ("target", config.data.target),
        ("series", f"{len(panel)}, {steps} steps of {panel.step.name}, {steps - known} without a value"),
        ("times", f"{first} to {last}"),
        ("split", f"validation {config.data.validation}, test {config.data.test}, by time"),
        ("window", f"{model.windows.lookback} steps back, {model.horizon} ahead, season {panel.step.season}"),
        ("missing values", model.windows.missing),
        ("transform", model.windows.transform),
        ("scaling", f"{model.windows.scaling}, fitted on the training part"),
        ("network", f"{name_of(model)}, {config.model.decoder} decoder, {sum(w.numel() for w in model.network.parameters())} weights"),
        ("training", f"{len(history.epochs)} of {training.epochs} epochs, best {history.best_epoch}, batches of {training.batch_size}"),
        ("seed", str(training.seed)),
        ("training time", f"{sum(row['seconds'] for row in history.epochs):.1f} s"),
    ]


def _card(config: Config, parts: Split, model: ForecastModel, history: History, scores: Mapping[str, Mapping[str, float]]) -> str:
    findings = (*parts.panel.findings, *parts.findings)
    return make_card(f"Forecaster of {config.data.target}", facts_of(config, parts, model, history), scores, findings)


def _finite(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {name: {metric: value if math.isfinite(value) else None for metric, value in row.items()} for name, row in scores.items()}


# --- progress ----------------------------------------------------------------------------------------------------------------------
def _reporter(name: str) -> Reporter:
    return {"bar": lambda: Bar(Console(stderr=True)), "json": lambda: JsonLines(sys.stdout), "quiet": lambda: quiet}[name]()


def _backtest_progress(name: str) -> tuple[Callable[[int, int], None], Progress]:
    """What is told of a backtest's windows, and the bar that must be open meanwhile."""
    columns = (TextColumn("backtest"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=name != "bar")
    task = bar.add_task("backtest", total=None)

    def tell(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if name == "json":
            print(json.dumps({"done": done, "windows": total}), flush=True)

    return tell, bar
