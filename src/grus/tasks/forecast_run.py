"""A forecasting run in its folder: train, judge, predict; what the command line calls."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial as bind
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from grus.data.calendar import Step
from grus.data.splitting import Split
from grus.data.streaming import OnePart, SplitParts, SplitStream, told
from grus.errors import CheckpointError, OptionError
from grus.evaluation.backtest import Backtest
from grus.tasks import stored
from grus.tasks.course import RunSummary, check_test_part, describe, finished_history, has_checkpoint, judged_by, load_from, told_training
from grus.tasks.course import read_history as read_history
from grus.tasks.ends import blank_ends, check_ahead, known_and_ahead
from grus.tasks.facts import training_facts
from grus.tasks.files import write_text
from grus.tasks.folder import RunFolder
from grus.tasks.forecast import ForecastModel, WindowSettings, default_lookback
from grus.tasks.forecast_config import ForecastConfig, forecasting
from grus.tasks.frames import prediction_frame
from grus.tasks.judging import BacktestPlan, Retrain, after_learning, judge_parts, name_of, one_phase, parts_before, untested_of
from grus.tasks.learning import search_rate, train
from grus.tasks.noticed import noticed as noticed
from grus.tasks.progress import backtest_progress, training_reporter
from grus.tasks.run_data import STDIN, Outline, last_learnt, parts_of_run, stream_run
from grus.tasks.run_data import read_run as read_run
from grus.tasks.run_data import split_run as split_run
from grus.tasks.run_record import check_out, content_of, digest_of, failed, keep_record, place_for, run_card
from grus.tasks.seeds import check_seeds, over_seeds
from grus.training import History
from grus.training.ranks import rank_of_process
from grus.training.rate_finder import RateSearch


def prepare_run(config: ForecastConfig) -> SplitParts:
    """What a run learns from, read and split: what cannot be is told before a folder is made, or a run replaced.

    A table in parts is read while it is learnt from.

    Raises: DataError, OptionError.
    """
    return parts_of_run(config)


def fit_run(config: ForecastConfig, folder: RunFolder, parts: SplitParts, *, reporter: str, resume: bool) -> RunSummary:
    """Train as the configuration says; the model goes into the folder when the training is over, by the first of several processes.

    A run that was ended before its first checkpoint begins anew, which gives the same bits.
    Raises: DataError, OptionError, which also says that another process trains in the folder.
    """
    windows = window_settings(config, parts.step)
    bar = training_reporter(reporter, f"training {describe(config.model)} on {_data(config, parts)}")
    resume = resume and has_checkpoint(folder)
    with told_training(config, folder, bar) as reporting:
        model, history = train(parts, windows, config.model, config.training, folder=folder.path, reporter=reporting, resume=resume)
        if not history.interrupted and rank_of_process() == 0:
            facts, until = facts_of(config, parts, model, history)
            model = replace(model, facts=tuple(facts))
            folder.note_learnt(until)
            stored.save(model, folder.model, run_card(config, model, {}), overwrite=True)
            folder.drop_previous()
    return _summary(folder, model, history)


def search_run(config: ForecastConfig, parts: SplitParts) -> RateSearch:
    """Learning rates tried out on what such a run would begin with.

    Raises: DataError, OptionError.
    """
    return search_rate(parts, window_settings(config, parts.step), config.model, config.training)


def finished_run(folder: RunFolder) -> RunSummary:
    """What a run came to that was trained to its end.

    Raises: DataError where its files are damaged.
    """
    return _summary(folder, load_model(folder), finished_history(folder))


def _summary(folder: RunFolder, model: ForecastModel, history: History) -> RunSummary:
    weights = sum(weight.numel() for weight in model.network.parameters())
    return RunSummary(folder.path, history, weights, ("series", len(model.scaling.target.names)))


def evaluate_run(
    folder: RunFolder,
    data: Path | None,
    reporter: str,
    seeds: Sequence[int] = (),
    *,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    tell: Callable[[str], None] = warnings.warn,
) -> Backtest:
    """Backtest the run's model on its test part, beside baselines; what an interruption left of the same evaluation is gone on with.

    data: another table, of which the last part is tested as far as the network has not learnt from it; the run's own record stays as it is.
    seeds: networks trained anew with these are tested as well, beside the run's own, and their scores are in the record.
    assignments: "backtest.key=value" in place of what the run's configuration has.
    out: a JSON file for the record, in place of the run's own. tell: is told what a reader of the scores must know.

    Raises: DataError, OptionError.
    """
    config, model = judged_by(forecasting(folder.config), assignments), load_model(folder)
    check_test_part(folder, config)
    check_out(folder, out)
    others, plan = check_seeds(seeds, config.training.seed), BacktestPlan(**config.backtest.model_dump())
    whole, until = parts_of_run(config, data, model.like), folder.learnt_until
    learnt = whole if data is None or not others else parts_of_run(config, None, model.like)

    def left(part: Split) -> Split:
        found, notes = after_learning(part, until, may_be_empty=len(whole) > 1)
        return replace(found, findings=(*found.findings, *notes))

    parts = whole.changed(left)
    ids, findings = list[str](), list[tuple[str, ...]]()

    def looked() -> Iterator[Split]:
        for part in parts:
            ids.extend(series.id for series in part.panel)
            findings.append(part.findings)
            yield part
        yield from () if learnt is whole else learnt

    digest = digest_of(folder, config, content_of(looked()))
    notes = told(findings)
    for note in notes:
        tell(note)
    title = f"testing {name_of(model)} on the test part of {_data(config, parts) if data is None else data.name}"

    def run(model: ForecastModel, config: ForecastConfig, plan: BacktestPlan, place: Path) -> Backtest:
        def retrain(origin: int) -> ForecastModel:
            return train(parts_before(parts.part(0), origin, plan, model.windows), model.windows, config.model, config.training)[0]

        test = bind(judge_parts, model, parts, plan, retrain=Retrain(retrain, config.training), folder=place, resume=True, on_progress=progress)
        try:
            return test()
        except CheckpointError as error:
            tell(f"this test starts anew, as what was kept of it is of other software, or damaged ({error})")
            shutil.rmtree(place)
            return test()

    def again(seed: int, place: Path | None) -> Backtest:
        assert place is not None
        other = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
        trained, _ = train(learnt, model.windows, other.model, other.training)
        return run(trained, other, replace(plan, baselines=()), place)

    with place_for(folder, digest, tell) as partial:
        with backtest_progress(reporter, title) as progress:
            found = over_seeds(run(model, config, plan, partial), config.training.seed, others, again, partial, resume=True)
        after = (*filter(None, (untested_of(ids, found.series), one_phase(found))), *failed(found))
        for note in after:
            tell(note)
        if data is None and out is None:
            keep_record(folder, config, model, found, [note for note in (*notes, *after) if note not in model.like.findings])
        elif out is not None:
            write_text(out, found.to_json())
    return found


def predict_run(
    folder: RunFolder, data: Path | BinaryIO | None, levels: Sequence[float] | None, tell: Callable[[str], None] = warnings.warn
) -> pd.DataFrame:
    """The steps after the end of each series: one row per series and step, the point and a column per quantile.

    Where something must be known ahead, rows behind the last known target give it; elsewhere `tell` is told of such rows.

    Raises: DataError, OptionError.
    """
    config, model = forecasting(folder.config), load_model(folder)
    if levels is not None and not model.levels:
        got = ", ".join(map(str, levels))
        raise OptionError(f"predict: levels must be left out for a network without quantiles, got {got}; train one with model.head=quantile.")
    stream = stream_run(config, data, model.like) if data is None or isinstance(data, Path) else None
    frames, blank = list[pd.DataFrame](), list[tuple[str, ...]]()
    for panel in (read_run(config, data, model.like),) if stream is None else stream:
        history, ahead = known_and_ahead(panel)
        check_ahead(history, ahead, model.horizon, _table_name(config, data))
        sentence = blank_ends(history)
        blank.append(() if sentence is None else (sentence,))
        found = model.predict(history, ahead, levels)
        columns = {model.like.columns.target: found.point} | {str(level): values for level, values in found.quantiles.items()}
        frames.append(prediction_frame(history, ahead, model.horizon, columns))
    for sentence in told(blank):
        tell(sentence)
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _table_name(config: ForecastConfig, data: Path | BinaryIO | None) -> str:
    """What a message calls the table that a forecast goes on from."""
    path = config.data.path if data is None else data
    return str(path) if isinstance(path, Path) else "the table" if path is None else STDIN


def load_model(folder: RunFolder) -> ForecastModel:
    """The run's network.

    Raises: DataError where its files are damaged, with a note of the command that makes them anew.
    """
    return load_from(folder, stored.load)


# --- the parts of a run ------------------------------------------------------------------------------------------------------------
def window_settings(config: ForecastConfig, step: Step) -> WindowSettings:
    """What the network is shown of series on this calendar."""
    data = config.data
    further: dict[str, Any] = {name: getattr(data, name) for name in ("transform", "covariate_scaling", "calendar_features")}
    lookback = default_lookback(step.season, data.horizon) if data.lookback is None else data.lookback
    return WindowSettings(lookback, data.horizon, data.missing, data.scaling, **further)


def _data(config: ForecastConfig, parts: SplitParts) -> str:
    name = "data given by the caller" if config.data.path is None else config.data.path.name
    if isinstance(parts, SplitStream):
        panels = parts.panels
        return f"{name} ({panels.series:,} series of {panels.step.name}, {panels.ids_per_part:,} at a time)"
    series = [len(each) for part in parts for each in part.panel]
    return f"{name} ({len(series)} series, {sum(series):,} steps of {parts.step.name})"


def facts_of(config: ForecastConfig, parts: SplitParts, model: ForecastModel, history: History) -> tuple[list[tuple[str, str]], dict[str, str | int]]:
    """What was learnt from what, for a reader, and the last time of each series that was learnt from."""
    data = "given by the caller" if config.data.path is None else config.data.path.name
    tell = bind(training_facts, model=model, training=config.training, history=history, extra=[("data", data)])
    if isinstance(parts, OnePart):
        return tell(parts.split), last_learnt(parts.split)
    outline = Outline.of(parts)
    other = outline.facts(len(parts))  # in place of the first part's own
    return [(name, other.get(name, value)) for name, value in tell(next(part for part in parts if len(part.panel)))], outline.until
