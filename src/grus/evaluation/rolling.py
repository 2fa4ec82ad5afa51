"""Run a model and its baselines from rolling origins; an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grus.data.order import show
from grus.data.panel import Panel, Series
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.backtest import Array, Backtest, Failure
from grus.evaluation.baselines import Baseline
from grus.evaluation.journal import Journal, Part
from grus.evaluation.metrics import seasonal_scale

# Windows handed to the model together, and lost at most when a run is interrupted.
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
    """

    name: str
    predict: Predict
    refit: Callable[[Panel, int], Predict] | None = None
    every: int = 1


@dataclass(frozen=True, eq=False)
class _Plan:
    """The windows in order, cut into parts that are forecast together; `refits` [parts] counts the refits before each."""

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

    def digest(self) -> str:
        """SHA-256 over the settings, the windows and the series' values."""
        names = [self.model.name, *(repr(rule) if is_dataclass(rule) else rule.name for rule in self.baselines)]
        found = hashlib.sha256(json.dumps([self.horizon, self.season, names, self.refits, [part.tolist() for part in self.parts]]).encode())
        for index in np.unique(self.windows[:, 0]):
            series = self.panel.series[int(index)]
            found.update(json.dumps([series.id, len(series)]).encode())
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

    With a folder, what is finished is kept in backtest.jsonl there, and `resume` goes on from it; the result is that of an uninterrupted run,
    but for its seconds. A model is told from another by its name alone. `on_progress` is told the number of windows done and of all.
    A window that a baseline cannot forecast, by its DataError or with numbers that are not finite, is NaN and told in `Backtest.failures`.

    Raises: OptionError, ShapeError; DataError where the model cannot forecast, or the folder's file is of another run.
    """
    plan = _plan(panel, windows, horizon, model, baselines)
    journal = Journal.open(folder, plan.digest(), resume)
    done = list(journal.parts[: len(plan.parts)])
    count, total = sum(len(part) for part in plan.parts[: len(done)]), len(plan.windows)
    predict, fitted = model.predict, 0
    for part, refits in list(zip(plan.parts, plan.refits, strict=True))[len(done) :]:
        began = time.perf_counter()
        if model.refit is not None and refits != fitted:
            predict, fitted = model.refit(panel, _refit_origin(plan, refits)), refits
        found = _forecast(plan, part, predict)
        found.seconds[model.name] = time.perf_counter() - began
        for baseline in baselines:
            began = time.perf_counter()
            _add(found, baseline, plan, part)
            found.seconds[baseline.name] = time.perf_counter() - began
        journal.append(found)
        done.append(found)
        count += len(part)
        if on_progress is not None:
            on_progress(count, total)
    return _record(plan, done)


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


def _forecast(plan: _Plan, part: NDArray[np.int64], predict: Predict) -> Part:
    found = predict(plan.panel, part[:, 0], part[:, 1])
    arrays = {"point": found.point} | {f"quantile {level}": array for level, array in found.quantiles.items()}
    for name, array in arrays.items():
        if list(array.shape) != [len(part), plan.horizon]:
            raise ShapeError(f"run_backtest: {name} of {plan.model.name!r} must be [N, H] = {[len(part), plan.horizon]}, got {list(array.shape)}.")
        for (index, origin), row in zip(part, array, strict=True):
            _check_finite(f"{name} of {plan.model.name!r}", plan.panel.series[int(index)].id, int(origin), row)
    return Part({plan.model.name: np.asarray(found.point, np.float64)}, {q: np.asarray(array, np.float64) for q, array in found.quantiles.items()})


def _add(part: Part, baseline: Baseline, plan: _Plan, windows: NDArray[np.int64]) -> None:
    """The baseline's forecasts of these windows, NaN where it has none, and why."""
    rows: list[Array] = []
    failures: list[Failure] = []
    for index, origin in zip(windows[:, 0].tolist(), windows[:, 1].tolist(), strict=True):
        series = plan.panel.series[int(index)]
        try:
            rows.append(_apply(baseline, plan, series, origin))
        except DataError as error:
            rows.append(np.full(plan.horizon, np.nan))
            failures.append(Failure(series.id, show(series.times[origin]), str(error)))
    part.forecasts[baseline.name] = np.stack(rows)
    if failures:
        part.failures[baseline.name] = tuple(failures)


def _apply(baseline: Baseline, plan: _Plan, series: Series, origin: int) -> Array:
    found = baseline.forecast(series.target[:origin].copy(), plan.horizon, plan.season)
    if found.shape != (plan.horizon,):
        raise ShapeError(f"run_backtest: {baseline.name!r} must forecast [H] = [{plan.horizon}], got {list(found.shape)}.")
    _check_finite(repr(baseline.name), series.id, origin, found)
    return found


def _check_finite(who: str, series: str, origin: int, row: Array) -> None:
    wrong = np.flatnonzero(~np.isfinite(row))
    if len(wrong):
        raise DataError(f"run_backtest: {who} must be finite, got {row[wrong[0]]} for series {series!r}, origin {origin}, step {wrong[0] + 1} ahead.")


def _record(plan: _Plan, done: Sequence[Part]) -> Backtest:
    levels = [tuple(part.quantiles) for part in done]
    if len(set(levels)) > 1:
        raise DataError(f"run_backtest: {plan.model.name!r} must give the same quantiles at every origin, got {levels[0]} and then others.")
    chosen = [(plan.panel.series[int(index)], int(origin)) for index, origin in plan.windows]
    names = [plan.model.name, *(baseline.name for baseline in plan.baselines)]
    return Backtest(
        horizon=plan.horizon,
        season=plan.season,
        series=tuple(series.id for series, _ in chosen),
        origins=plan.windows[:, 1],
        times=np.stack([series.times[origin : origin + plan.horizon] for series, origin in chosen]),
        truth=np.stack([series.target[origin : origin + plan.horizon] for series, origin in chosen]),
        forecasts={name: np.concatenate([part.forecasts[name] for part in done]) for name in names},
        quantiles={level: np.concatenate([part.quantiles[level] for part in done]) for level in levels[0]},
        scale=np.array([seasonal_scale(series.target[:origin], plan.season) for series, origin in chosen]),
        seconds={name: sum(part.seconds[name] for part in done) for name in names},
        failures={name: found for name in names if (found := tuple(failure for part in done for failure in part.failures.get(name, ())))},
    )
