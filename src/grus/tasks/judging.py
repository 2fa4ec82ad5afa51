"""A forecaster beside baselines, on steps that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from grus.data.panel import Panel
from grus.data.splitting import Range
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.evaluation.baselines import Baseline, Drift, LastValue, Mean, SeasonalDrift, SeasonalNaive, standard
from grus.evaluation.fitted import AutoArima, Ets
from grus.evaluation.naive2 import Naive2
from grus.evaluation.rolling import Model, Predict, Progress, run_backtest
from grus.tasks.forecast import ForecastModel

_ALL: tuple[Callable[[], Baseline], ...] = (LastValue, Mean, Drift, SeasonalNaive, SeasonalDrift, Naive2, Ets, AutoArima)
BASELINES = {make().name: make for make in _ALL}


@dataclass(frozen=True)
class BacktestPlan:
    """How the test part is forecast.

    stride: steps between the origins; None: the horizon. refit: the network is trained anew after so many origins, on all that precedes.
    baselines: names of ``BASELINES``; None: those that cost nothing.
    """

    stride: int | None = None
    refit: int | Literal["never"] = "never"
    baselines: tuple[str, ...] | None = None


def choose_baselines(names: Sequence[str] | None, season: int) -> tuple[Baseline, ...]:
    """The baselines of these names.

    Raises: OptionError for a name that is none.
    """
    if names is None:
        return standard(season)
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise OptionError(f"backtest: baselines must be among {', '.join(BASELINES)}, got {unknown[0]!r}; choose one of them.")
    return tuple(BASELINES[name]() for name in names)


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

    retrain: the model trained on what precedes a step, for plans that refit.

    Raises: DataError where a range is shorter than the horizon or nothing is known before an origin.
    """
    stride, horizon = plan.stride or model.horizon, model.horizon
    windows = [(index, origin) for index, (low, high) in enumerate(ranges) for origin in range(low, high - horizon + 1, stride)]
    if not windows:
        longest = max((high - low for low, high in ranges), default=0)
        raise DataError(f"backtest: the test part must hold {horizon} steps, got {longest} at most; ask for a larger test part or a shorter horizon.")
    windows = [(index, origin) for index, origin in windows if _measured(panel, index, origin, model.windows.lookback)]

    def refit(same: Panel, origin: int) -> Predict:
        assert retrain is not None
        return retrain(origin).rolling(same)

    fixed = plan.refit == "never" or retrain is None
    tested = Model(name_of(model), model.rolling(panel), None if fixed else refit, 1 if plan.refit == "never" else plan.refit)
    baselines = choose_baselines(plan.baselines, panel.step.season)
    return run_backtest(panel, windows, horizon, tested, baselines, on_progress=on_progress, folder=folder, resume=resume)


def name_of(model: ForecastModel) -> str:
    """What a table calls a model: its cell, or Transformer."""
    settings = model.network.settings
    cell = settings.cell if isinstance(settings.cell, str) else settings.cell.name
    return "Transformer" if settings.encoder == "transformer" else cell


def _measured(panel: Panel, index: int, origin: int, lookback: int) -> bool:
    """Whether there is anything to forecast from, and any truth to compare with at all."""
    target = panel.series[index].target
    return bool((~np.isnan(target[max(0, origin - lookback) : origin])).any())
