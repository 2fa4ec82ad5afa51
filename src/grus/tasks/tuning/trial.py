"""One trial of a search: a network trained with some settings and judged on the validation part; the test part is not even there.

``python -m grus.tasks.tuning.trial`` is a process that makes trials as it is told, by lines of JSON: what it reads is a trial or, behind each epoch,
whether to go on; what it writes is an epoch's row, and in the end what was found or why nothing was.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from grus.data.panel import Series
from grus.data.splitting import Split
from grus.data.streaming import SplitParts
from grus.errors import GrusError, OptionError, TrainingError
from grus.tasks.config import check
from grus.tasks.draft import Draft
from grus.tasks.forecast_config import ForecastConfig, forecasting
from grus.tasks.forecast_run import window_settings
from grus.tasks.judging import BacktestPlan, judge_parts
from grus.tasks.learning import train
from grus.tasks.run_data import parts_of_run
from grus.training.progress import Quiet

Metric = Literal["validation_loss", "mae", "rmse", "smape", "mase", "crps"]
METRICS: tuple[str, ...] = get_args(Metric)
LOSS = METRICS[0]
Row = dict[str, float]


class Pruned(Exception):  # noqa: N818  no error: the trial was ended as it was not promising
    """A trial was ended before its last epoch."""


@dataclass(frozen=True)
class Found:
    """What a trial came to: the metric of the epoch that the network keeps, smaller is better."""

    value: float
    best_epoch: int
    epochs: int


class _Asking(Quiet):
    def __init__(self, go_on: Callable[[Row], bool]) -> None:
        self._go_on = go_on

    def epoch(self, row: Row) -> None:
        if not self._go_on(row):
            raise Pruned


def run_trial(config: ForecastConfig, parts: SplitParts, metric: str, go_on: Callable[[Row], bool]) -> Found:
    """Train on the training ranges and judge on the validation ranges; `go_on` is told each epoch's row.

    Raises: Pruned as soon as `go_on` says no; DataError, OptionError, TrainingError.
    """
    shown = parts.changed(without_test)
    windows = window_settings(config, shown.step)
    model, history = train(shown, windows, config.model, config.training, reporter=_Asking(go_on))
    best = next(row for row in history.epochs if row["epoch"] == history.best_epoch)
    value = best[LOSS] if metric == LOSS else 0.0
    if metric != LOSS:
        record = judge_parts(model, shown.changed(_judged), BacktestPlan(config.backtest.stride, baselines=()))
        scores = record.scores()[record.model]
        if metric not in scores:
            raise OptionError(f"grus tune: --metric must be one that the network has, got {metric}; its are {', '.join((LOSS, *scores))}.")
        value = scores[metric]
    return Found(value, int(best["epoch"]), len(history.epochs))


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


class _Process:
    """Trials on the orders of another process, whose end is its own."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints is no message
        self._read: tuple[str, SplitParts] | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(1)  # whoever asked for trials is gone, in the middle of one

    def serve(self) -> None:
        while True:
            order = json.loads(self._lines.get())
            try:
                self._tell(self._trial(order))
            except Pruned:
                continue
            except (GrusError, OSError) as error:
                self._tell({"failed": str(error), "diverged": isinstance(error, TrainingError)})

    def _trial(self, order: Mapping[str, Any]) -> dict[str, Any]:
        config = forecasting(check(Draft("trial", order["config"])))
        return {"found": vars(run_trial(config, self._parts(config), order["metric"], self._go_on))}

    def _parts(self, config: ForecastConfig) -> SplitParts:
        """The table, read once for all trials that read it alike."""
        alike = config.data.model_dump_json()
        if self._read is None or self._read[0] != alike:
            self._read = None
            self._read = alike, parts_of_run(config)
        return self._read[1]

    def _go_on(self, row: Row) -> bool:
        self._tell({"row": row})
        return bool(json.loads(self._lines.get())["go_on"])

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked
    _Process().serve()
