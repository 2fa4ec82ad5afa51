"""A forecaster beside baselines, on steps that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grus.data.order import show
from grus.data.panel import Panel, Series
from grus.data.splitting import Range, Split
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.evaluation.baselines import Baseline, standard
from grus.evaluation.catalogue import check_baselines, choose_baselines
from grus.evaluation.rolling import Model, Predict, Progress, run_backtest
from grus.tasks.forecast import ForecastModel, WindowSettings

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


def judge(
    model: ForecastModel,
    panel: Panel,
    ranges: Sequence[Range],
    plan: BacktestPlan,
    *,
    retrain: Callable[[int], ForecastModel] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Backtest:
    """Forecasts from origins within the ranges of test targets, beside the baselines.

    retrain: the model trained on what precedes an origin, for plans that refit; ``parts_before`` says what that is.

    Raises: DataError where a range is shorter than the horizon or nothing is known before an origin; OptionError for a plan that cannot be met;
    CheckpointError where the folder holds the backtest of another network, or on other data.
    """
    if plan.refit != "never" and retrain is None:
        raise OptionError(f"backtest: refit must be 'never' for a model that cannot be trained anew, got {plan.refit}; leave it out.")
    windows = windows_of(panel, ranges, plan, model.windows)

    def refit(same: Panel, origin: int) -> Predict:
        assert retrain is not None
        return retrain(origin).rolling(same)

    every = 1 if plan.refit == "never" else plan.refit
    tested = Model(name_of(model), model.rolling(panel), None if plan.refit == "never" else refit, every, key_of(model))
    baselines = choose_baselines(plan.baselines, panel.step.season)
    return run_backtest(panel, windows, model.horizon, tested, baselines, on_progress=on_progress, folder=folder, resume=resume)


def windows_of(panel: Panel, ranges: Sequence[Range], plan: BacktestPlan, settings: WindowSettings) -> list[tuple[int, int]]:
    """The series and origin of every forecast: something is known before it, and some of what it forecasts.

    Raises: DataError where there is none.
    """
    horizon, stride = settings.horizon, settings.horizon if plan.stride is None else plan.stride
    shown = settings.shown(panel)
    fitting = [(index, origin) for index, (low, high) in enumerate(ranges) for origin in range(low, high - horizon + 1, stride)]
    if not fitting:
        longest = max((high - low for low, high in ranges), default=0)
        raise DataError(f"backtest: the test part must hold {horizon} steps, got {longest} at most; ask for a larger test part or a shorter horizon.")
    found = [(index, origin) for index, origin in fitting if _is_measured(shown.series[index].target, panel.series[index].target, origin, settings)]
    if not found:
        raise DataError(
            f"backtest: the test part must have a window with a measured value in its {settings.lookback} steps back and its {horizon} ahead, "
            f"got none in {len(fitting)}; test another part, or look back further."
        )
    return found


def after_learning(parts: Split, until: Mapping[str, str | int]) -> tuple[Split, tuple[str, ...]]:
    """The split whose test ranges begin after the last time that a network has learnt from of each series, and what a reader must know of it.

    until: that time by series, as ``RunFolder.learnt_until`` has it.
    Raises: DataError where nothing of any test range is left.
    """
    tests: list[Range] = []
    cut: list[Series] = []
    for series, (low, high) in zip(parts.panel, parts.test, strict=True):
        first = int(np.count_nonzero(series.times <= _as_time(until[series.id], series))) if series.id in until else low
        tests.append((min(max(low, first), high), high))
        if first > low:
            cut.append(series)
    if cut and all(low == high for low, high in tests):
        last = max(cut, key=lambda series: series.times[-1])
        raise DataError(
            f"backtest: series {last.id!r} must go on after {show(last.times[-1])} where the network has learnt from it until "
            f"{show(_as_time(until[last.id], last))}, got no step to test; give later rows, or series that it has not learnt from."
        )
    notes = [f"of {_named(cut)} the network has learnt a part of what was to be tested, which is left out"] if cut else []
    rows = [(series, low) for series, (low, high) in zip(parts.panel, tests, strict=True) if series.id not in until and low < high]
    latest = max((_as_time(time, parts.panel.series[0]) for time in until.values()), default=None)
    early = [series for series, low in rows if latest is not None and series.times[low] <= latest]
    if early:
        notes.append(f"{_named(early)}, which the network has not learnt from, are tested at times until which it has learnt from others")
    return replace(parts, test=tuple(tests)), tuple(notes)


def untested(panel: Panel, tested: Iterable[str]) -> str | None:
    """Which series of a panel have no part in a backtest, as one sentence; None where all have."""
    there = set(tested)
    missing = [series for series in panel if series.id not in there]
    if not missing:
        return None
    return f"not tested: {len(missing)} of {len(panel)} series, in whose test part no window has room, or none with known values: {_named(missing)}"


def _named(series: Sequence[Series]) -> str:
    more = f" and {len(series) - NAMED} more" if len(series) > NAMED else ""
    return ", ".join(repr(each.id) for each in series[:NAMED]) + more


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


def key_of(model: ForecastModel) -> str:
    """SHA-256 of the weights and of every setting that decides a forecast; training's own settings and seed show in the weights."""
    network, corrections = model.network, [[*pair, each.coverage, each.margin.tolist()] for pair, each in model.intervals.items()]
    settings = [asdict(model.windows), network.settings.model_dump(mode="json"), model.scaling.to_dict(), corrections]
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
