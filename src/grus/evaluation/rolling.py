"""Run a model and its baselines from rolling origins; an interrupted run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grus.data.order import show
from grus.data.panel import Panel
from grus.errors import CheckpointError, DataError, OptionError, ShapeError
from grus.evaluation.backtest import Array, Backtest, Failure
from grus.evaluation.baselines import Baseline, ProbabilisticBaseline
from grus.evaluation.journal import Journal, Part
from grus.evaluation.metrics import seasonal_scale
from grus.evaluation.plan import Model, Plan, Predict, Task, make_plan

# Windows handed to the model together, and lost at most when a run is interrupted while it forecasts.
BATCH = 64

Progress = Callable[[int, int, str], None]  # windows that all have forecast, all windows, the baseline that is fitted next or ""


def run_backtest(
    panel: Panel,
    windows: Sequence[tuple[int, int]],
    horizon: int,
    model: Model,
    baselines: Sequence[Baseline] = (),
    *,
    on_progress: Progress | None = None,
    folder: Path | None = None,
    resume: bool = False,
) -> Backtest:
    """Forecast `horizon` steps from every window (series, origin), indices into the panel and into the series; sorted by origin, then series.

    With a folder, every forecast is kept in backtest.jsonl there, and `resume` goes on from it; the result is that of an uninterrupted run, but
    for its seconds. `on_progress` is told after each window, and before each fit of a ``ProbabilisticBaseline``, which may take long.
    A window that a baseline cannot forecast, by its DataError or with numbers that are not finite, is NaN and told in `Backtest.failures`.
    Where the model gives quantiles, baselines that are a ``ProbabilisticBaseline`` are asked for the same.

    Raises: OptionError, ShapeError; DataError where the model cannot forecast; CheckpointError where the folder's file is of another run, model,
    data or windows, or damaged: without the file the run starts anew.
    """
    plan = make_plan(panel, windows, horizon, model, baselines, BATCH)
    if folder is not None and not model.key:
        raise OptionError(f"run_backtest: {model.name!r} must have a key to be kept in a folder, got ''; give a digest of its weights and settings.")
    journal, tasks, total = Journal.open(folder, plan.run(), resume), list(plan.tasks()), len(plan.windows)
    done = _finished(journal, tasks, plan)
    predict, fitted = model.predict, 0
    for task in tasks[len(done) :]:
        if on_progress is not None and isinstance(task.baseline, ProbabilisticBaseline):
            on_progress(task.first, total, task.baseline.name)
        began = time.perf_counter()
        if task.baseline is not None:
            found = _ask(task.baseline, plan, task, tuple(done[0].quantiles))
        else:
            if model.refit is not None and task.refits != fitted:
                predict, fitted = model.refit(panel, plan.refit_origin(task.refits)), task.refits
            found = _forecast(plan, task, predict)
            _check_levels(found, done[0] if done else found)
        done.append(replace(found, seconds=time.perf_counter() - began))
        journal.append(done[-1])
        if on_progress is not None and task.is_last:
            on_progress(task.first + len(task.windows), total, "")
    return _record(plan, done)


def _finished(journal: Journal, tasks: Sequence[Task], plan: Plan) -> list[Part]:
    for part, task in zip(journal.parts, tasks, strict=False):
        name = plan.model.name if task.baseline is None else task.baseline.name
        if (part.forecaster, part.first, part.point.shape) != (name, task.first, (len(task.windows), plan.horizon)):
            got = f"a line of {part.forecaster!r} from window {part.first} on where {name!r} from {task.first} on was due"
            raise CheckpointError(f"run_backtest: {journal.path} must be as it was written, got {got}; delete the file and run again.")
    return list(journal.parts[: len(tasks)])


def _forecast(plan: Plan, task: Task, predict: Predict) -> Part:
    found, size = predict(plan.panel, task.windows[:, 0], task.windows[:, 1]), [len(task.windows), plan.horizon]
    arrays = {"point": found.point} | {f"quantile {level}": array for level, array in found.quantiles.items()}
    for name, array in arrays.items():
        if list(array.shape) != size:
            raise ShapeError(f"run_backtest: {name} of {plan.model.name!r} must be [N, H] = {size}, got {list(array.shape)}.")
        for window, row in zip(task.windows, array, strict=True):
            _check_finite(f"{name} of {plan.model.name!r}", plan, window, row)
    quantiles = {float(level): np.asarray(array, np.float64) for level, array in found.quantiles.items()}
    return Part(plan.model.name, task.first, np.asarray(found.point, np.float64), quantiles)


def _check_levels(part: Part, first: Part) -> None:
    if list(part.quantiles) != list(first.quantiles):
        got = f"{list(first.quantiles)} and then {list(part.quantiles)}"
        raise DataError(f"run_backtest: {part.forecaster!r} must give the same quantiles at every origin, got {got}.")


def _ask(baseline: Baseline, plan: Plan, task: Task, levels: tuple[float, ...]) -> Part:
    """The baseline's forecast of a window, NaN where it has none, and why."""
    asked = levels if isinstance(baseline, ProbabilisticBaseline) else ()
    try:
        point, quantiles = _apply(baseline, plan, task.windows[0], asked)
        failure = None
    except DataError as error:
        point, quantiles, failure = np.full(plan.horizon, np.nan), np.full((plan.horizon, len(asked)), np.nan), str(error)
    return Part(baseline.name, task.first, point[None], {level: quantiles[None, :, at] for at, level in enumerate(asked)}, failure=failure)


def _apply(baseline: Baseline, plan: Plan, window: NDArray[np.int64], levels: tuple[float, ...]) -> tuple[Array, Array]:
    """Shapes: [H] and [H, Q]."""
    history = plan.panel.series[int(window[0])].target[: window[1]].copy()
    if levels and isinstance(baseline, ProbabilisticBaseline):
        point, quantiles = baseline.forecast_quantiles(history, plan.horizon, plan.season, levels)
    else:
        point, quantiles = baseline.forecast(history, plan.horizon, plan.season), np.empty((plan.horizon, 0))
    for letters, array, shape in (("[H]", point, [plan.horizon]), ("[H, Q]", quantiles, [plan.horizon, len(levels)])):
        if list(array.shape) != shape:
            raise ShapeError(f"run_backtest: {baseline.name!r} must forecast {letters} = {shape}, got {list(array.shape)}.")
    _check_finite(repr(baseline.name), plan, window, point)
    for level, row in zip(levels, quantiles.T, strict=True):
        _check_finite(f"quantile {level} of {baseline.name!r}", plan, window, row)
    return point, quantiles


def _check_finite(who: str, plan: Plan, window: NDArray[np.int64], row: Array) -> None:
    wrong = np.flatnonzero(~np.isfinite(row))
    if len(wrong):
        where = f"series {plan.panel.series[int(window[0])].id!r}, origin {window[1]}, step {wrong[0] + 1} ahead"
        raise DataError(f"run_backtest: {who} must be finite, got {row[wrong[0]]} for {where}.")


def _record(plan: Plan, done: Sequence[Part]) -> Backtest:
    chosen = [(plan.panel.series[int(index)], int(origin)) for index, origin in plan.windows]
    of: dict[str, list[Part]] = {name: [] for name in (plan.model.name, *(baseline.name for baseline in plan.baselines))}
    failures: dict[str, list[Failure]] = {}
    for part in done:
        of[part.forecaster].append(part)
        if part.failure is not None:
            series, origin = chosen[part.first]
            failures.setdefault(part.forecaster, []).append(Failure(series.id, show(series.times[origin]), part.failure))
    quantiles = {
        name: {level: np.concatenate([part.quantiles[level] for part in parts]) for level in parts[0].quantiles} for name, parts in of.items()
    }
    return Backtest(
        horizon=plan.horizon,
        season=plan.season,
        series=tuple(series.id for series, _ in chosen),
        origins=plan.windows[:, 1],
        times=np.stack([series.times[origin : origin + plan.horizon] for series, origin in chosen]),
        truth=np.stack([series.target[origin : origin + plan.horizon] for series, origin in chosen]),
        forecasts={name: np.concatenate([part.point for part in parts]) for name, parts in of.items()},
        quantiles=quantiles[plan.model.name],
        scale=np.array([seasonal_scale(series.target[:origin], plan.season) for series, origin in chosen]),
        seconds={name: sum(part.seconds for part in parts) for name, parts in of.items()},
        failures={name: tuple(failures[name]) for name in of if name in failures},
        baseline_quantiles={name: found for name, found in quantiles.items() if found and name != plan.model.name},
    )
