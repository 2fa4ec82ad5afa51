"""A forecaster beside baselines, on steps that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grus.data.order import show
from grus.data.panel import Panel, Series
from grus.data.splitting import Range, Split
from grus.data.streaming import SplitParts
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.evaluation.baselines import Baseline, standard
from grus.evaluation.catalogue import check_baselines, choose_baselines
from grus.evaluation.plan import Model, Predict
from grus.evaluation.rolling import Progress, run_backtest
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.training import TrainingSettings

NAMED = 5  # series in a sentence


@dataclass(frozen=True)
class BacktestPlan:
    """How the test part is forecast.

    stride: steps between the origins; None: the horizon. refit: the network is trained anew after so many origins, on all that precedes.
    baselines: names of ``grus.evaluation.catalogue``; None: those that cost nothing.

    Raises: OptionError.
    """

    stride: int | None = None
    refit: int | Literal["never"] = "never"
    baselines: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, value, other in (("stride", self.stride, None), ("refit", self.refit, "never")):
            if value != other and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise OptionError(f"backtest: {name} must be a whole number of at least 1, or {other!r}, got {value!r}; give one of these.")
        check_baselines(self.baselines or ())


class Retrain(NamedTuple):
    """How a network is trained anew: by these settings, on what precedes an origin; ``parts_before`` says what that is."""

    before: Callable[[int], ForecastModel]
    settings: TrainingSettings


def judge(
    model: ForecastModel,
    panel: Panel,
    ranges: Sequence[Range],
    plan: BacktestPlan,
    *,
    retrain: Retrain | None = None,
    folder: Path | None = None,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Backtest:
    """Forecasts from origins within the ranges of test targets, beside the baselines.

    retrain: for plans that refit.

    Raises: DataError where a range is shorter than the horizon or nothing is known before an origin; OptionError for a plan that cannot be met;
    CheckpointError where the folder holds the backtest of another network, or on other data.
    """
    windows = windows_of(panel, ranges, plan, model.windows)
    tested = Model(name_of(model), model.rolling(panel), key=key_of(model))
    if plan.refit != "never":
        if retrain is None:
            raise OptionError(f"backtest: refit must be 'never' for a model that cannot be trained anew, got {plan.refit}; leave it out.")
        before = retrain.before

        def refit(same: Panel, origin: int) -> Predict:
            return before(origin).rolling(same)

        tested = replace(tested, refit=refit, every=plan.refit, key=key_of(model, retrain.settings))
    baselines = choose_baselines(plan.baselines, panel.step.season)
    return run_backtest(panel, windows, model.horizon, tested, baselines, on_progress=on_progress, folder=folder, resume=resume)


def judge_parts(
    model: ForecastModel,
    parts: SplitParts,
    plan: BacktestPlan,
    *,
    retrain: Retrain | None = None,
    folder: Path | None = None,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Backtest:
    """``judge`` on the test ranges of one part after the other, as one record.

    Raises: as ``judge``; OptionError for a plan that refits on several parts.
    """
    if len(parts) == 1:
        whole = parts.part(0)
        return judge(model, whole.panel, whole.test, plan, retrain=retrain, folder=folder, resume=resume, on_progress=on_progress)
    if plan.refit != "never":
        raise OptionError(f"backtest: refit must be 'never' for a table that is read in parts, got {plan.refit}; leave it out, or read it whole.")
    counts, ids = list[int](), list[str]()
    key, baselines = key_of(model), choose_baselines(plan.baselines, parts.step.season)
    for part in parts:
        counts.append(len(_measured(part.panel, _fitting(part.test, plan, model.windows), model.windows)))
        ids += [series.id for series in part.panel]
    if not sum(counts):
        raise DataError(
            f"backtest: the test part must have a window with measured values before and within {model.horizon} steps, got none in {len(ids)} "
            "series; ask for a larger test part or a shorter horizon."
        )
    found: list[Backtest] = []
    for number in np.flatnonzero(counts).tolist():
        part, before = parts.part(number), sum(counts[:number])

        def tell(done: int, total: int, fitting: str, before: int = before) -> None:
            if on_progress is not None:
                on_progress(before + done, sum(counts), fitting)

        windows, place = windows_of(part.panel, part.test, plan, model.windows), None if folder is None else folder / f"part-{number}"
        tested = Model(name_of(model), model.rolling(part.panel), key=key)
        found.append(run_backtest(part.panel, windows, model.horizon, tested, baselines, on_progress=tell, folder=place, resume=resume))
    return _joined(found, ids)


def _joined(parts: Sequence[Backtest], ids: Sequence[str]) -> Backtest:
    """The record of all parts, its rows in the order of one that was never cut: by origin, then as the series come in ids."""
    first = parts[0]
    places = {id: place for place, id in enumerate(ids)}
    series = [id for part in parts for id in part.series]
    order = np.lexsort((np.array([places[id] for id in series]), np.concatenate([part.origins for part in parts])))

    def rows(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(arrays))[order]

    def quantiles(name: str) -> dict[float, NDArray[np.float64]]:
        return {level: rows(part.quantiles_of(name)[level] for part in parts) for level in first.quantiles_of(name)}

    names, times = tuple(series[int(at)] for at in order), rows(part.times for part in parts)
    window = {(id, show(time)): row for row, (id, time) in enumerate(zip(names, times[:, 0], strict=True))}
    failures = {name: [failure for part in parts for failure in part.failures.get(name, ())] for name in first.forecasts}
    return Backtest(
        first.horizon,
        first.season,
        names,
        rows(part.origins for part in parts),
        times,
        rows(part.truth for part in parts),
        {name: rows(part.forecasts[name] for part in parts) for name in first.forecasts},
        quantiles(first.model),
        rows(part.scale for part in parts),
        {name: sum(part.seconds[name] for part in parts) for name in first.seconds},
        failures={name: tuple(sorted(found, key=lambda failure: window[failure.series, failure.time])) for name, found in failures.items() if found},
        baseline_quantiles={name: quantiles(name) for name in first.probabilistic if name != first.model},
    )


def windows_of(panel: Panel, ranges: Sequence[Range], plan: BacktestPlan, settings: WindowSettings) -> list[tuple[int, int]]:
    """The series and origin of every forecast: something is known before it, and some of what it forecasts.

    Raises: DataError where there is none.
    """
    horizon, fitting = settings.horizon, _fitting(ranges, plan, settings)
    if not fitting:
        longest = max((high - low for low, high in ranges), default=0)
        raise DataError(f"backtest: the test part must hold {horizon} steps, got {longest} at most; ask for a larger test part or a shorter horizon.")
    found = _measured(panel, fitting, settings)
    if not found:
        raise DataError(
            f"backtest: the test part must have a window with a measured value in its {settings.lookback} steps back and its {horizon} ahead, "
            f"got none in {len(fitting)}; test another part, or look back further."
        )
    return found


def _fitting(ranges: Sequence[Range], plan: BacktestPlan, settings: WindowSettings) -> list[tuple[int, int]]:
    """The series and origin of every window that the ranges have room for."""
    stride = settings.horizon if plan.stride is None else plan.stride
    return [(index, origin) for index, (low, high) in enumerate(ranges) for origin in range(low, high - settings.horizon + 1, stride)]


def _measured(panel: Panel, windows: Sequence[tuple[int, int]], settings: WindowSettings) -> list[tuple[int, int]]:
    """Those before and in which something was measured."""
    shown = settings.shown(panel)
    return [(index, origin) for index, origin in windows if _is_measured(shown.series[index].target, panel.series[index].target, origin, settings)]


def after_learning(parts: Split, until: Mapping[str, str | int], *, may_be_empty: bool = False) -> tuple[Split, tuple[str, ...]]:
    """The split whose test ranges begin after the last time that a network has learnt from of each series, and what a reader must know of it.

    until: that time by series, as ``RunFolder.learnt_until`` has it.
    Raises: DataError where nothing of any test range is left and it may not be empty.
    """
    tests: list[Range] = []
    cut: list[Series] = []
    for series, (low, high) in zip(parts.panel, parts.test, strict=True):
        first = int(np.count_nonzero(series.times <= _as_time(until[series.id], series))) if series.id in until else low
        tests.append((min(max(low, first), high), high))
        if first > low:
            cut.append(series)
    if cut and not may_be_empty and all(low == high for low, high in tests):
        last = max(cut, key=lambda series: series.times[-1])
        raise DataError(
            f"backtest: series {last.id!r} must go on after {show(last.times[-1])} where the network has learnt from it until "
            f"{show(_as_time(until[last.id], last))}, got no step to test; give later rows, or series that it has not learnt from."
        )
    notes = [f"of {_named([series.id for series in cut])} the network has learnt a part of what was to be tested, which is left out"] if cut else []
    rows = [(series, low) for series, (low, high) in zip(parts.panel, tests, strict=True) if series.id not in until and low < high]
    latest = max((_as_time(time, rows[0][0]) for time in until.values()), default=None) if rows else None
    early = [series.id for series, low in rows if latest is not None and series.times[low] <= latest]
    if early:
        notes.append(f"{_named(early)}, which the network has not learnt from, are tested at times until which it has learnt from others")
    return replace(parts, test=tuple(tests)), tuple(notes)


def untested(panel: Panel, tested: Iterable[str]) -> str | None:
    """Which series of a panel have no part in a backtest, as one sentence; None where all have."""
    return untested_of([series.id for series in panel], tested)


def untested_of(ids: Sequence[str], tested: Iterable[str]) -> str | None:
    """``untested``, where the series go by their ids."""
    there = set(tested)
    missing = [id for id in ids if id not in there]
    if not missing:
        return None
    return f"not tested: {len(missing)} of {len(ids)} series, in whose test part no window has room, or none with known values: {_named(missing)}"


def one_phase(found: Backtest) -> str | None:
    """That all forecasts of a series start at one step of its season, as one sentence; None where they do not, or each series has one alone."""
    _, series = np.unique(np.array(found.series), return_inverse=True)
    order = np.lexsort((found.origins, series))
    strides = np.diff(found.origins[order])[np.diff(series[order]) == 0]
    if found.season == 1 or not strides.size or np.any(strides % found.season):
        return None
    stride = int(strides.min())
    return (
        f"every forecast starts at the same step of the season of {found.season} (stride {stride}), and the scores are of such forecasts alone; "
        f"backtest.stride={stride - 1} starts at each step in turn"
    )


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(map(repr, ids[:NAMED])) + more


def _as_time(time: str | int, series: Series) -> Any:
    """A time that was noted, as the series has them."""
    return np.datetime64(str(time), "ns") if series.times.dtype.kind == "M" else int(time)


def parts_before(parts: Split, origin: int, plan: BacktestPlan, settings: WindowSettings) -> Split:
    """What a network may learn that takes over at an origin: of every series the steps before the first time it then forecasts.

    Each series keeps the length of its validation part, which ends there; the rest is for training. Steps that come later are not in the panel
    at all, and neither are series of which too little is left.

    origin: one at which the plan refits.
    Raises: DataError where no series is left.
    """
    every = 1 if plan.refit == "never" else plan.refit
    windows = windows_of(parts.panel, parts.test, plan, settings)
    ahead = sorted({place for _, place in windows if place >= origin})[:every]
    first: Any = min(parts.panel.series[index].times[place] for index, place in windows if place in ahead)
    kept: list[Series] = []
    ranges: list[tuple[Range, Range]] = []
    for series, (low, high) in zip(parts.panel, parts.validation, strict=True):
        stop = int(np.count_nonzero(series.times < first))
        middle = stop - (high - low)
        if middle > 0 and not np.isnan(series.target[:middle]).all():
            kept.append(replace(series, **{name: getattr(series, name)[:stop] for name in ("times", "target", "past", "future")}))
            ranges.append(((0, middle), (middle, stop)))
    if not kept:
        raise DataError(f"backtest: a series must have steps to learn from before {first}, got none; refit less often, or test a smaller part.")
    train, validation = zip(*ranges, strict=True)
    return Split(replace(parts.panel, series=tuple(kept)), train, validation, tuple((stop, stop) for _, (_, stop) in ranges), parts.findings)


def name_of(model: ForecastModel) -> str:
    """What a table calls a model: its cell, or Transformer."""
    settings = model.network.settings
    cell = settings.cell if isinstance(settings.cell, str) else settings.cell.name
    return "Transformer" if settings.encoder == "transformer" else cell


def key_of(model: ForecastModel, training: TrainingSettings | None = None) -> str:
    """SHA-256 of the weights and of every setting that decides a forecast.

    training: by which the network is trained anew; what it was trained by the first time shows in the weights.
    """
    network, corrections = model.network, [[*pair, each.coverage, each.factor.tolist()] for pair, each in model.intervals.items()]
    anew = None if training is None else training.model_dump(mode="json")
    settings = [asdict(model.windows), network.settings.model_dump(mode="json"), model.scaling.to_dict(), corrections, anew]
    found = sha256(json.dumps(settings).encode())
    for name, weight in network.state_dict().items():
        found.update(name.encode() + weight.cpu().numpy().tobytes())
    return found.hexdigest()


def standard_for(panel: Panel, windows: Sequence[tuple[int, int]], horizon: int) -> tuple[str, ...]:
    """The baselines that cost nothing and can forecast every one of these windows."""

    def can(baseline: Baseline) -> bool:
        for index, origin in windows:
            try:
                baseline.forecast(panel.series[index].target[:origin], horizon, panel.step.season)
            except DataError:
                return False
        return True

    return tuple(baseline.name for baseline in standard(panel.step.season) if can(baseline))


def _is_measured(shown: NDArray[np.float64], target: NDArray[np.float64], origin: int, settings: WindowSettings) -> bool:
    """Whether there is anything to forecast from, and any truth to compare with at all."""
    past, ahead = shown[max(0, origin - settings.lookback) : origin], target[origin : origin + settings.horizon]
    return not (np.isnan(past).all() or np.isnan(ahead).all())
