"""The demonstration's study: a network judged on the last four years, which it has not seen, and one trained anew for the year to come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.panel import Panel
from grus.data.splitting import Split, split
from grus.errors import DataError
from grus.evaluation import Backtest, Baseline, Drift, LastValue, Model, Prediction, SeasonalDrift, SeasonalNaive, origins, run_backtest
from grus.evaluation.fitted import AutoArima, Ets
from grus.evaluation.rolling import Progress
from grus.models.settings import ForecastSettings
from grus.report import Example, GateTrace, Past, judged
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.learning import train
from grus.training import History, Reporter, TrainingSettings

Array = NDArray[np.float64]
NAME = "GRU"
TEST = 208  # weeks


def _baselines() -> tuple[Baseline, ...]:
    """ETS and ARIMA read the last ten years: on the years before the test ETS was better so, and ARIMA needs a third of the time."""
    return LastValue(), Drift(), SeasonalNaive(), SeasonalDrift(), Ets(last=520), AutoArima(last=520)


@dataclass(frozen=True)
class Settings:
    """What is fixed before the last four years are looked at; the defaults were chosen on the eight years before those.

    The last `validation` weeks of what may be learnt from choose the epochs and correct the intervals. `stride`: weeks between forecasts.
    """

    lookback: int = 104
    horizon: int = 52
    hidden_size: int = 32
    segment_length: int = 13
    dropout: float = 0.2
    epochs: int = 20
    learning_rate: float = 2e-3
    validation: int = 208
    stride: int = 4
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    baselines: tuple[Baseline, ...] = field(default_factory=_baselines)

    @property
    def windows(self) -> WindowSettings:
        return WindowSettings(self.lookback, self.horizon, "linear+mask")

    @property
    def network(self) -> ForecastSettings:
        names = ("hidden_size", "segment_length", "dropout", "levels")
        return ForecastSettings(decoder="segment", **{name: getattr(self, name) for name in names})

    def training(self, epochs: int, seed: int) -> TrainingSettings:
        given: dict[str, Any] = {"epochs": epochs, "learning_rate": self.learning_rate, "seed": seed, "threads": 1}
        return TrainingSettings(**given)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A model trained on every week of a panel, with its history; `first` and `parts` are of the training before it, which chose the epochs."""

    model: ForecastModel
    history: History
    first: History
    parts: Split


def learn(panel: Panel, settings: Settings, seed: int, reporter: Reporter) -> Learnt:
    """Train on all but the validation weeks, to choose the number of epochs and correct the intervals; then anew on all for so many epochs."""
    parts, (series,) = split(panel, settings.validation, 0), panel
    chosen, first = train(parts, settings.windows, settings.network, settings.training(settings.epochs, seed), reporter=reporter)
    whole = replace(parts, train=((0, len(series)),), validation=((len(series), len(series)),))
    epochs = first.best_epoch or settings.epochs
    model, history = train(whole, settings.windows, settings.network, settings.training(epochs, seed), reporter=reporter)
    return Learnt(replace(model, intervals=chosen.intervals), history, first, parts)


@dataclass(frozen=True, eq=False)
class Study:
    """What came of it: the network that was judged, its backtest, and the one that was trained on everything, with its forecast."""

    panel: Panel
    settings: Settings
    seed: int
    tested: Learnt
    backtest: Backtest
    final: Learnt
    outlook: Prediction


def run_study(panel: Panel, settings: Settings, seed: int, reporter: Reporter, say: Callable[[str], Any], advance: Progress) -> Study:
    """Training, backtest, and training anew; `say` is told before each, `advance` after every window of the backtest, as ``run_backtest`` tells it.

    Raises: DataError for a series that is too short for its parts.
    """
    (series,) = panel
    length = len(series)
    least = TEST + settings.validation + settings.lookback + settings.horizon
    if length < least:
        raise DataError(f"grus demo: the series must have at least {least} weeks, got {length}; give a longer one.")
    first = length - TEST
    say(f"Training on what precedes {_day(series.times[first])}, {settings.validation} weeks of it kept aside first, then on all of it.")
    tested = learn(panel.cut(series.times[first]), settings, seed, reporter)
    windows = [(0, int(origin)) for origin in origins(length, first, settings.stride, settings.horizon)]
    names = ", ".join(baseline.name for baseline in settings.baselines)
    say(f"Backtest: {len(windows)} forecasts of {settings.horizon} weeks, beside {names}.")
    model = Model(NAME, tested.model.rolling(panel))
    backtest = run_backtest(panel, windows, settings.horizon, model, settings.baselines, on_progress=advance)
    say("Training anew on everything, for the year to come.")
    final = learn(panel, settings, seed, reporter)
    return Study(panel, settings, seed, tested, backtest, final, final.model.predict(panel))


def next_year(study: Study) -> Example:
    """The forecast of the year after the series ends."""
    (series,) = study.panel
    times = study.panel.step.after(series.times[-1], study.backtest.horizon)
    return Example(series.id, series.times, series.target, times, study.outlook.point[0], {q: rows[0] for q, rows in study.outlook.quantiles.items()})


def last_test(study: Study) -> Example:
    """The latest forecast of the backtest, with what came."""
    (series,) = study.panel
    return judged(study.backtest, len(study.backtest) - 1, Past(series.times, series.target))


def gates_of(study: Study) -> GateTrace:
    """The gates of the judged network while it read what precedes `last_test`; a segment's gates stand at each of its weeks."""
    (series,), model = study.panel, study.tested.model
    origin, lookback = int(study.backtest.origins[-1]), model.windows.lookback
    times, values = series.times[origin - lookback : origin], series.target[origin - lookback : origin]
    return GateTrace(times, values, _gates(model, study.panel, origin), series.id)


def _gates(model: ForecastModel, panel: Panel, origin: int) -> dict[str, Array]:
    _, gates = model.example(panel, 0, origin)
    return {name: np.repeat(rows, model.windows.lookback // len(rows), axis=0) for name, rows in gates.items()}


def _day(time: Any) -> str:
    return str(np.datetime64(time, "D"))
