"""A forecasting run in its folder: train, judge, predict; what the command line calls."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from grus.data.panel import Columns, Panel
from grus.data.reading import read_panel
from grus.data.splitting import Split, split
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.tasks import stored
from grus.tasks.card import make_card
from grus.tasks.config import Config, DataConfig
from grus.tasks.ends import blank_ends, known_and_ahead
from grus.tasks.ends import until_last_target as until_last_target
from grus.tasks.facts import training_facts
from grus.tasks.folder import RunFolder, write_text
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.frames import prediction_frame
from grus.tasks.judging import BacktestPlan, judge, name_of, parts_before
from grus.tasks.learning import train
from grus.tasks.progress import backtest_progress, training_reporter
from grus.tasks.seeds import check_seeds, finished, over_seeds
from grus.training import History


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


def prepare_run(config: Config) -> Split:
    """What a run learns from, read and split: what cannot be is told before a folder is made, or a run replaced.

    Raises: DataError, OptionError.
    """
    return split_run(config, read_run(config))


def fit_run(config: Config, folder: RunFolder, parts: Split, *, reporter: str, resume: bool) -> RunSummary:
    """Train as the configuration says; the model goes into the folder when the training is over.

    Raises: DataError, OptionError.
    """
    windows = window_settings(config, parts.panel)
    told = training_reporter(reporter, f"training {describe(config)} on {_data(config, parts.panel)}")
    model, history = train(parts, windows, config.model, config.training, folder=folder.path, reporter=told, resume=resume)
    if not history.interrupted:
        model = replace(model, facts=tuple(facts_of(config, parts, model, history)))
        stored.save(model, folder.model, _card(config, model, {}), overwrite=True)
    weights = sum(weight.numel() for weight in model.network.parameters())
    return RunSummary(folder.path, history, weights, len(parts.panel))


def evaluate_run(folder: RunFolder, data: Path | None, reporter: str, seeds: Sequence[int] = ()) -> Backtest:
    """Backtest the run's model on its test part, or on that of another table; what an interruption left is gone on with.

    seeds: networks trained anew with these are tested as well, beside the run's own, and their scores are in the record.

    Raises: DataError, OptionError.
    """
    config, model = folder.config, load_model(folder)
    parts = split_run(config, read_run(config, data, model.like))
    plan, others = BacktestPlan(config.backtest.stride, config.backtest.refit, config.backtest.baselines), check_seeds(seeds, config.training.seed)
    learnt = parts if data is None or not others else split_run(config, read_run(config, None, model.like))
    partial = folder.checkpoints / "backtest"
    going_on = partial.exists()
    partial.mkdir(parents=True, exist_ok=True)
    title = f"testing {name_of(model)} on the test part of {_data(config, parts.panel) if data is None else data.name}"

    def run(model: ForecastModel, config: Config, plan: BacktestPlan, place: Path) -> Backtest:
        def retrain(origin: int) -> ForecastModel:
            return _retrain(config, parts, plan, origin)

        return judge(model, parts.panel, parts.test, plan, retrain=retrain, folder=place, resume=going_on, on_progress=progress)

    def again(seed: int, place: Path | None) -> Backtest:
        assert place is not None
        other = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
        trained = train(learnt, model.windows, other.model, other.training)
        return run(finished(trained), other, replace(plan, baselines=()), place)

    with backtest_progress(reporter, title) as progress:
        found = over_seeds(run(model, config, plan, partial), config.training.seed, others, again, partial, resume=going_on)
    scores = found.scores()
    write_text(folder.backtest, found.to_json())
    write_text(folder.metrics, json.dumps(_finite(scores), indent=1))
    write_text(folder.model / "README.md", _card(config, model, scores) + "\n")
    shutil.rmtree(partial)
    return found


def predict_run(
    folder: RunFolder, data: Path | TextIO | None, levels: Sequence[float] | None, tell: Callable[[str], None] = warnings.warn
) -> pd.DataFrame:
    """The steps after the end of each series: one row per series and step, the point and a column per quantile.

    Where something must be known ahead, rows behind the last known target give it; elsewhere `tell` is told of such rows.

    Raises: DataError, OptionError.
    """
    config, model = folder.config, load_model(folder)
    panel = read_run(config, data, model.like)
    if levels is not None and not model.levels:
        got = ", ".join(map(str, levels))
        raise OptionError(f"predict: levels must be left out for a network without quantiles, got {got}; train one with model.head=quantile.")
    history, ahead = known_and_ahead(panel)
    if (sentence := blank_ends(history)) is not None:
        tell(sentence)
    found = model.predict(history, ahead, levels)
    columns = {model.like.columns.target: found.point} | {str(level): values for level, values in found.quantiles.items()}
    return prediction_frame(history, ahead, model.horizon, columns)


def load_model(folder: RunFolder) -> ForecastModel:
    """The run's network.

    Raises: DataError where its files are damaged, with a note of the command that makes them anew.
    """
    try:
        return stored.load(folder.model)
    except DataError as error:
        again = shlex.join(["grus", "fit", "--config", str(folder.config_file), "--out", str(folder.path), "--overwrite"])
        error.add_note(f"The same run again: {again}")
        raise


# --- the parts of a run ------------------------------------------------------------------------------------------------------------
def read_run(config: Config, data: Path | TextIO | None = None, like: Panel | None = None) -> Panel:
    """The run's table, or another one read as the run's was."""
    given = config.data
    columns = None if like is not None else columns_of(given)
    step, season = (None, None) if like is not None else (given.step, given.season)
    if data is None or isinstance(data, Path):
        return read_panel(given.path if data is None else data, columns, step=step, season=season, like=like)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "stdin.csv"
        file.write_text(data.read(), encoding="utf-8")
        return read_panel(file, columns, step=step, season=season, like=like)


def columns_of(given: DataConfig) -> Columns:
    """Which column is what."""
    return Columns(given.id, given.time, given.target, given.past, given.future, given.static)


def split_run(config: Config, panel: Panel) -> Split:
    """The run's training, validation and test parts.

    Raises: DataError where a series is too short for them and may not be dropped, or none is left.
    """
    given, least = config.data, config.data.horizon + 1
    parts = split(panel, given.validation, given.test, at_least=least, short="drop")
    kept = {series.id for series in parts.panel}
    short = [series for series in panel if series.id not in kept]
    if short and given.short == "error":
        must = f"{least} steps to learn from, and some of each of data.validation {given.validation} and data.test {given.test}"
        got = f"{len(short)} of {len(panel)} that are too short, the first {short[0].id!r} of {len(short[0])} steps"
        raise DataError(f"data: every series must have {must}, got {got}; ask for smaller parts, or leave such series out with data.short=drop.")
    return parts


def window_settings(config: Config, panel: Panel) -> WindowSettings:
    """What the network is shown."""
    data = config.data
    further: dict[str, Any] = {name: getattr(data, name) for name in ("transform", "covariate_scaling", "calendar_features")}
    return WindowSettings(data.lookback_for(panel.step.season), data.horizon, data.missing, data.scaling, **further)


def read_history(folder: RunFolder) -> History:
    """The epochs that the log holds."""
    lines = folder.log.read_text(encoding="utf-8").splitlines() if folder.log.exists() else []
    return History([json.loads(line) for line in lines])


def _retrain(config: Config, parts: Split, plan: BacktestPlan, origin: int) -> ForecastModel:
    """The run's network trained anew on what precedes an origin."""
    windows = window_settings(config, parts.panel)
    return finished(train(parts_before(parts, origin, plan, windows), windows, config.model, config.training))


def describe(config: Config) -> str:
    """The network in a few words."""
    model = config.model
    if model.encoder == "transformer":
        return f"Transformer of {model.hidden_size} units"
    return f"{model.cell if isinstance(model.cell, str) else model.cell.name} of {model.num_layers} × {model.hidden_size} units"


def _data(config: Config, panel: Panel) -> str:
    name = "data given by the caller" if config.data.path is None else config.data.path.name
    return f"{name} ({len(panel)} series, {sum(map(len, panel)):,} steps of {panel.step.name})"


def facts_of(config: Config, parts: Split, model: ForecastModel, history: History) -> list[tuple[str, str]]:
    """What was learnt from what, for a reader."""
    data = "given by the caller" if config.data.path is None else config.data.path.name
    return training_facts(parts, model, config.training, history, [("data", data)])


def _card(config: Config, model: ForecastModel, scores: Mapping[str, Mapping[str, float]]) -> str:
    return make_card(f"Forecaster of {config.data.target}", model.facts, scores, model.like.findings)


def _finite(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {name: {metric: value if math.isfinite(value) else None for metric, value in row.items()} for name, row in scores.items()}
