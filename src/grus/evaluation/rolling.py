"""Run a model and its baselines from rolling origins; an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from grus.data.order import show
from grus.data.panel import Panel
from grus.errors import CheckpointError, DataError, OptionError, ShapeError
from grus.evaluation.backtest import Array, Backtest, Failure
from grus.evaluation.baselines import Baseline, ProbabilisticBaseline
from grus.evaluation.journal import Journal, Part
from grus.evaluation.metrics import seasonal_scale

# Windows handed to the model together, and lost at most when a run is interrupted while it forecasts.
BATCH = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Forecasts of N windows. Shapes: point and each quantile [N, H]."""

    point: Array
    quantiles: Mapping[float, Array] = field(default_factory=dict[float, Array])


class Predict(Protocol):
    """Forecasts the steps from each origin on; it may read the panel's targets only before the origin."""

    def __call__(self, panel: Panel, series: NDArray[np.int64], origins: NDArray[np.int64], /) -> Prediction: ...


@dataclass(frozen=True)
class Model:
    """What is tested. With `refit`, every `every` origins a model fitted on what precedes that origin takes over: predict = refit(panel, origin).

    `refit` must depend on its arguments alone, so that a run that was interrupted gives what an uninterrupted one would.
    key: a text that is another one for other weights or settings, such as a digest of them; a run that is kept in a folder must have one.
    """

    name: str
    predict: Predict
    refit: Callable[[Panel, int], Predict] | None = None
    every: int = 1
    key: str = ""


class _Task(NamedTuple):
    """What one forecaster does at once: the model some windows, a baseline one."""

    baseline: Baseline | None  # None: the model
    first: int
    windows: NDArray[np.int64]  # [n, 2]: series, origin
    refits: int  # before it
    is_last: bool  # of its windows


@dataclass(frozen=True, eq=False)
class _Plan:
    """The windows in order, cut into parts that the model forecasts together; `refits` [parts] counts the refits before each."""

    panel: Panel
    horizon: int
    model: Model
    baselines: tuple[Baseline, ...]
    parts: tuple[NDArray[np.int64], ...]
    refits: tuple[int, ...]

    @property
    def windows(self) -> NDArray[np.int64]:
        return np.concatenate(self.parts)

    @property
    def season(self) -> int:
        return self.panel.step.season

    def tasks(self) -> Iterator[_Task]:
        first = 0
        for part, refits in zip(self.parts, self.refits, strict=True):
            yield _Task(None, first, part, refits, not self.baselines)
            for number, window in enumerate(part, first):
                for baseline in self.baselines:
                    yield _Task(baseline, number, window[None], refits, baseline is self.baselines[-1])
            first += len(part)

    def run(self) -> dict[str, str]:
        """What makes it this run and no other, each as a SHA-256."""
        baselines = [repr(rule) if is_dataclass(rule) else rule.name for rule in self.baselines]
        windows = [self.horizon, self.season, self.refits, [part.tolist() for part in self.parts]]
        found = {"model": [self.model.name, self.model.key], "baselines": baselines, "windows": windows}
        return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest() for name, value in found.items()} | {"data": _digest(self.panel)}


def _digest(panel: Panel) -> str:
    """All series, those that are not tested too: a refit learns from them."""
    found = hashlib.sha256(json.dumps([panel.step.name, panel.past_names, panel.future_names, panel.static_names]).encode())
    for series in panel.series:
        found.update(json.dumps([series.id, len(series), str(series.times.dtype)]).encode())
        found.update(np.ascontiguousarray(series.times.astype(np.int64), "<i8").tobytes())
        for values in (series.target, series.past, series.future, series.static):
            found.update(np.ascontiguousarray(values, "<f8").tobytes())
    return found.hexdigest()


def origins(length: int, first: int, stride: int, horizon: int) -> NDArray[np.int64]:
    """first, first + stride, … as long as `horizon` steps remain in a series of `length` steps. An origin is the first step forecast.

    Raises: OptionError; DataError where there is none.
    """
    for name, value in (("first", first), ("stride", stride), ("horizon", horizon)):
        if value < 1:
            raise OptionError(f"origins: {name} must be at least 1, got {value}; it counts steps.")
    if first + horizon > length:
        raise DataError(f"origins: the series must have {first + horizon} steps for one forecast, got {length}; start earlier or forecast less far.")
    return np.arange(first, length - horizon + 1, stride, dtype=np.int64)


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
    for its seconds. `on_progress` is told the number of windows that all have forecast, and of all windows.
    A window that a baseline cannot forecast, by its DataError or with numbers that are not finite, is NaN and told in `Backtest.failures`.
    Where the model gives quantiles, baselines that are a ``ProbabilisticBaseline`` are asked for the same.

    Raises: OptionError, ShapeError; DataError where the model cannot forecast; CheckpointError where the folder's file is of another run, model,
    data or windows, or damaged: without the file the run starts anew.
    """
    plan = _plan(panel, windows, horizon, model, baselines)
    if folder is not None and not model.key:
        raise OptionError(f"run_backtest: {model.name!r} must have a key to be kept in a folder, got ''; give a digest of its weights and settings.")
    journal, tasks, total = Journal.open(folder, plan.run(), resume), list(plan.tasks()), len(plan.windows)
    done = _finished(journal, tasks, plan)
    predict, fitted = model.predict, 0
    for task in tasks[len(done) :]:
        began = time.perf_counter()
        if task.baseline is not None:
            found = _ask(task.baseline, plan, task, tuple(done[0].quantiles))
        else:
            if model.refit is not None and task.refits != fitted:
                predict, fitted = model.refit(panel, _refit_origin(plan, task.refits)), task.refits
            found = _forecast(plan, task, predict)
            _check_levels(found, done[0] if done else found)
        done.append(replace(found, seconds=time.perf_counter() - began))
        journal.append(done[-1])
        if on_progress is not None and task.is_last:
            on_progress(task.first + len(task.windows), total)
    return _record(plan, done)


def _finished(journal: Journal, tasks: Sequence[_Task], plan: _Plan) -> list[Part]:
    for part, task in zip(journal.parts, tasks, strict=False):
        name = plan.model.name if task.baseline is None else task.baseline.name
        if (part.forecaster, part.first, part.point.shape) != (name, task.first, (len(task.windows), plan.horizon)):
            got = f"a line of {part.forecaster!r} from window {part.first} on where {name!r} from {task.first} on was due"
            raise CheckpointError(f"run_backtest: {journal.path} must be as it was written, got {got}; delete the file and run again.")
    return list(journal.parts[: len(tasks)])


def _plan(panel: Panel, windows: Sequence[tuple[int, int]], horizon: int, model: Model, baselines: Sequence[Baseline]) -> _Plan:
    names = [model.name, *(baseline.name for baseline in baselines)]
    if len(set(names)) < len(names):
        raise OptionError(f"run_backtest: every forecaster must have a name of its own, got {', '.join(names)}; rename one.")
    if horizon < 1 or model.every < 1:
        raise OptionError(f"run_backtest: horizon and every must be at least 1, got {horizon} and {model.every}; they count steps and origins.")
    if not windows or len(set(windows)) < len(windows):
        raise OptionError(f"run_backtest: windows must be different from each other and at least one, got {len(windows)}; see origins().")
    for index, origin in windows:
        if not 0 <= index < len(panel.series):
            raise OptionError(f"run_backtest: a window's series must be below {len(panel.series)}, got {index}; it is an index into the panel.")
        last = len(panel.series[index].target) - horizon
        if not 1 <= origin <= last:
            raise OptionError(
                f"run_backtest: an origin of series {panel.series[index].id!r} must be between 1 and {last}, got {origin}; see origins()."
            )
    rows = np.array(sorted(windows, key=lambda window: (window[1], window[0])), np.int64)
    cut = list(_cut(rows, model))
    return _Plan(panel, horizon, model, tuple(baselines), tuple(part for part, _ in cut), tuple(refits for _, refits in cut))


def _cut(rows: NDArray[np.int64], model: Model) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Whole origins, up to BATCH windows and never across a refit."""
    of_origin = np.split(rows, np.flatnonzero(np.diff(rows[:, 1])) + 1)
    pending: list[NDArray[np.int64]] = []
    refits = 0
    for number, group in enumerate(of_origin):
        due = number // model.every if model.refit is not None else 0
        if pending and (due != refits or sum(map(len, pending)) + len(group) > BATCH):
            yield np.concatenate(pending), refits
            pending = []
        refits = due
        pending.append(group)
    yield np.concatenate(pending), refits


def _refit_origin(plan: _Plan, refits: int) -> int:
    return int(plan.parts[plan.refits.index(refits)][0, 1])


def _forecast(plan: _Plan, task: _Task, predict: Predict) -> Part:
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


def _ask(baseline: Baseline, plan: _Plan, task: _Task, levels: tuple[float, ...]) -> Part:
    """The baseline's forecast of a window, NaN where it has none, and why."""
    asked = levels if isinstance(baseline, ProbabilisticBaseline) else ()
    try:
        point, quantiles = _apply(baseline, plan, task.windows[0], asked)
        failure = None
    except DataError as error:
        point, quantiles, failure = np.full(plan.horizon, np.nan), np.full((plan.horizon, len(asked)), np.nan), str(error)
    return Part(baseline.name, task.first, point[None], {level: quantiles[None, :, at] for at, level in enumerate(asked)}, failure=failure)


def _apply(baseline: Baseline, plan: _Plan, window: NDArray[np.int64], levels: tuple[float, ...]) -> tuple[Array, Array]:
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


def _check_finite(who: str, plan: _Plan, window: NDArray[np.int64], row: Array) -> None:
    wrong = np.flatnonzero(~np.isfinite(row))
    if len(wrong):
        where = f"series {plan.panel.series[int(window[0])].id!r}, origin {window[1]}, step {wrong[0] + 1} ahead"
        raise DataError(f"run_backtest: {who} must be finite, got {row[wrong[0]]} for {where}.")


def _record(plan: _Plan, done: Sequence[Part]) -> Backtest:
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
