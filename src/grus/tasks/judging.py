"""A forecaster beside baselines, on steps that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grus.data.panel import Panel, Series
from grus.data.splitting import Range, Split
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.evaluation.baselines import Baseline, standard
from grus.evaluation.catalogue import check_baselines, choose_baselines
from grus.evaluation.rolling import Model, Predict, Progress, run_backtest
from grus.tasks.forecast import ForecastModel, WindowSettings


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

    Raises: DataError where a range is shorter than the horizon or nothing is known before an origin; OptionError for a plan that cannot be met.
    """
    if plan.refit != "never" and retrain is None:
        raise OptionError(f"backtest: refit must be 'never' for a model that cannot be trained anew, got {plan.refit}; leave it out.")
    windows = windows_of(panel, ranges, plan, model.windows)

    def refit(same: Panel, origin: int) -> Predict:
        assert retrain is not None
        return retrain(origin).rolling(same)

    every = 1 if plan.refit == "never" else plan.refit
    tested = Model(name_of(model), model.rolling(panel), None if plan.refit == "never" else refit, every)
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
