"""What a table is: where its data lies, how it cuts it, what others published, and the rows that a run adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grus.data import Panel
from grus.evaluation import Backtest, Baseline, Model, Prediction, run_backtest, spread

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One forecaster: for each metric its figures, one per seed, and the seconds that each took."""

    name: str
    figures: Mapping[str, tuple[float, ...]]
    seconds: tuple[float, ...] = ()

    def cell(self, metric: str) -> str:
        """The figure; over several seeds the mean and the deviation."""
        found = self.figures.get(metric, ())
        return "-" if not found else f"{found[0]:.4g}" if len(found) == 1 else str(spread(found))


@dataclass(frozen=True)
class Table:
    """A published result and how it is made again.

    files: below the data folder. metrics: the columns, the published one first. chosen: the settings, and how they were chosen.
    run: rows as they are ready, from the data folder and the seeds.
    """

    name: str
    title: str
    protocol: str
    chosen: str
    files: tuple[str, ...]
    metrics: tuple[str, ...]
    run: Callable[[Path, Sequence[int]], Iterator[Row]]
    published: tuple[Row, ...] = ()

    def missing(self, folder: Path) -> list[Path]:
        """The files that are not there."""
        return [folder / name for name in self.files if not (folder / name).is_file()]


def over_seeds(name: str, seeds: Sequence[int], once: Callable[[int], Figures]) -> Row:
    """A row from one run per seed, each timed."""
    found: list[Figures] = []
    seconds: list[float] = []
    for seed in seeds:
        began = time.perf_counter()
        found.append(once(seed))
        seconds.append(time.perf_counter() - began)
    return Row(name, {metric: tuple(each[metric] for each in found) for metric in found[0]}, tuple(seconds))


def baseline_rows(
    panel: Panel, windows: Sequence[tuple[int, int]], horizon: int, rules: Sequence[Baseline], score: Callable[[Backtest], Figures]
) -> Iterator[Row]:
    """A row for each baseline, which sees the whole history before each origin."""
    for rule in rules:

        def once(_: int, rule: Baseline = rule) -> Figures:
            return score(run_backtest(panel, windows, horizon, Model(rule.name, partial(_forecast, rule, horizon))))

        yield over_seeds(rule.name, (0,), once)


def _forecast(rule: Baseline, horizon: int, panel: Panel, series: NDArray[np.int64], at: NDArray[np.int64], /) -> Prediction:
    histories = [panel.series[int(index)].target[:origin] for index, origin in zip(series, at, strict=True)]
    return Prediction(np.stack([rule.forecast(history, horizon, panel.step.season) for history in histories]))
