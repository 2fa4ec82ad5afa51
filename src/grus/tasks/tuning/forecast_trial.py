"""One trial of a search for the settings of a forecaster: trained, and judged on the validation part; the test part is not even there."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from grus.data.panel import Series
from grus.data.splitting import Split
from grus.data.streaming import SplitParts
from grus.tasks.config import Config
from grus.tasks.forecast_config import ForecastConfig, forecasting
from grus.tasks.forecast_run import window_settings
from grus.tasks.judging import BacktestPlan, judge_parts
from grus.tasks.learning import train
from grus.tasks.run_data import parts_of_run
from grus.tasks.tuning import outcome
from grus.tasks.tuning.outcome import LOSS, Asking, Found, GoOn

POINTS = ("mae", "rmse", "smape", "mase")
METRICS = {"forecast": (LOSS, *POINTS, "crps")}
HIGHER_IS_BETTER: tuple[str, ...] = ()


def read(config: Config) -> SplitParts:
    """What the trials of a configuration learn from.

    Raises: DataError, OptionError.
    """
    return parts_of_run(forecasting(config))


def digest_of(parts: SplitParts) -> str:
    """SHA-256 over all that trials may see."""
    found = sha256()
    for part in parts.changed(without_test):
        found.update(f"{part.train} {part.validation}".encode())
        for series in part.panel:
            found.update(series.id.encode())
            for values in (series.times, series.target, series.past, series.future, series.static):
                found.update(f"{values.dtype} {values.shape}".encode() + values.tobytes())
    return found.hexdigest()


def check_metric(config: ForecastConfig, parts: SplitParts, metric: str) -> None:
    """Raises: OptionError for a metric that such a network does not have."""
    head = config.model.head
    outcome.check_metric(metric, POINTS if head == "point" else (*POINTS, "crps"), f"model.head={head}")


def run_trial(config: ForecastConfig, parts: SplitParts, metric: str, go_on: GoOn) -> Found:
    """Train on the training ranges and judge on the validation ranges; `go_on` is told each epoch's row.

    Raises: Pruned as soon as `go_on` says no; DataError, OptionError, TrainingError.
    """
    check_metric(config, parts, metric)
    shown = parts.changed(without_test)
    windows = window_settings(config, shown.step)
    model, history = train(shown, windows, config.model, config.training, reporter=Asking(go_on))

    def scores() -> dict[str, float]:
        record = judge_parts(model, shown.changed(_judged), BacktestPlan(config.backtest.stride, baselines=()))
        return record.scores()[record.model]

    return Found.of(history, metric, scores)


def without_test(split: Split) -> Split:
    """The split as if the test part had never been measured: nothing of a series is left from its first test step on."""
    stops = [high for _, high in split.validation]
    series = tuple(_until(each, stop) for each, stop in zip(split.panel, stops, strict=True))
    return replace(split, panel=replace(split.panel, series=series), test=tuple((stop, stop) for stop in stops))


def _until(series: Series, stop: int) -> Series:
    return replace(series, **{name: getattr(series, name)[:stop] for name in ("times", "target", "past", "future")})


def _judged(split: Split) -> Split:
    """The validation ranges where a backtest looks for what it judges."""
    return replace(split, test=split.validation)
