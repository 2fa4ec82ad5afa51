"""M4: 414 series by the hour and 359 by the week, each kind forecast by one network for all of its series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data import Columns, Panel, Split, read_panel
from grus.evaluation import Baseline, SeasonalNaive, mase, owa, smape
from grus.evaluation.naive2 import Naive2
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import WindowSettings
from grus.tasks.learning import train
from grus.training import TrainingSettings
from tables.table import Figures, Row, Table, over_seeds

OWA, SMAPE, MASE = "OWA", "sMAPE %", "MASE"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """One kind of series: the season by which M4 scales their errors, and the steps to forecast."""

    name: str
    season: int
    horizon: int

    @property
    def files(self) -> tuple[str, str]:
        return f"m4/{self.name}-train.csv.gz", f"m4/{self.name}-test.csv.gz"

    def read(self, folder: Path) -> Panel:
        """The series, each with its test part behind it, numbered by the step: the files have no dates."""
        known, ahead = (pd.read_csv(folder / name, index_col=0) for name in self.files)
        frames = list[pd.DataFrame]()
        for id, row in known.iterrows():
            values = pd.concat([row.dropna(), ahead.loc[id]]).to_numpy(np.float64)
            frames.append(pd.DataFrame({"id": id, "step": np.arange(len(values)), "value": values}))
        return read_panel(pd.concat(frames), Columns(id="id", time="step", target="value"), season=self.season)


HOURLY, WEEKLY = Data("hourly", 24, 48), Data("weekly", 1, 13)


def cut(panel: Panel, horizon: int, recent: int) -> Split:
    """The last steps for testing and the `recent` ones before them to learn to forecast; the epochs are fixed, so there is no validation."""
    ends = [len(series) - horizon for series in panel]
    learnt = tuple((max(0, end - recent), end) for end in ends)
    return Split(panel, learnt, tuple((end, end) for end in ends), tuple((end, end + horizon) for end in ends))


@dataclass(frozen=True)
class Judge:
    """M4's three figures of forecasts of the last steps of a panel.

    OWA = ½ (sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2)

    Shapes: truth and naive2 [N, H]; past [N, T], NaN before the start of a series.
    """

    truth: Array
    naive2: Array
    past: Array
    season: int

    @staticmethod
    def of(panel: Panel, horizon: int) -> Judge:
        targets = [series.target for series in panel]
        past = np.full((len(targets), max(map(len, targets)) - horizon), np.nan)
        for row, target in zip(past, targets, strict=True):
            row[len(row) - len(target) + horizon :] = target[:-horizon]
        return Judge(np.stack([target[-horizon:] for target in targets]), by_rule(Naive2(), panel, horizon), past, panel.step.season)

    def __call__(self, forecast: Array) -> Figures:
        return {
            OWA: owa(self.truth, forecast, self.naive2, self.past, self.season),
            SMAPE: float(smape(self.truth, forecast)),
            MASE: float(mase(self.truth, forecast, self.past, self.season)),
        }


def by_rule(rule: Baseline, panel: Panel, horizon: int) -> Array:
    """A baseline's forecasts of the last steps of each series, [N, H]."""
    return np.stack([rule.forecast(series.target[:-horizon], horizon, panel.step.season) for series in panel])


@dataclass(frozen=True)
class Forecasts:
    """One result: what is forecast, how many of the last steps of each series training forecasts, and by which network."""

    data: Data
    recent: int
    windows: WindowSettings
    model: ForecastSettings
    training: TrainingSettings

    def by_network(self, panel: Panel, seed: int) -> Array:
        """The forecasts of a network trained with this seed, [N, H]."""
        parts = cut(panel, self.data.horizon, self.recent)
        model, _ = train(parts, self.windows, self.model, self.training.model_copy(update={"seed": seed}))
        return model.predict_at(panel, np.arange(len(panel)), [low for low, _ in parts.test]).point

    def run(self, folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
        """The network once per seed, the mean of their forecasts, and baselines."""
        panel = self.data.read(folder)
        judge, found = Judge.of(panel, self.data.horizon), list[Array]()

        def once(seed: int) -> Figures:
            found.append(self.by_network(panel, seed))
            return judge(found[-1])

        yield over_seeds(f"GRU, {self.model.hidden_size} units", seeds, once)
        if len(found) > 1:
            yield over_seeds("the mean of their forecasts", (0,), lambda _: judge(np.mean(found, axis=0)))
        for rule in (Naive2(), SeasonalNaive()):
            yield over_seeds(rule.name, (0,), lambda _, rule=rule: judge(by_rule(rule, panel, self.data.horizon)))


def table(result: Forecasts, title: str, chosen: str, *published: tuple[str, float | None, float, float | None]) -> Table:
    """A result beside published ones: their names, OWA, sMAPE and MASE, where they are given."""
    rows = [(name, {OWA: owa, SMAPE: smape, MASE: mase}) for name, owa, smape, mase in published]
    return Table(
        name=f"m4-{result.data.name}",
        title=title,
        protocol=(
            f"M4's own split: the last {result.data.horizon} steps of every series are the test part, all before them training. OWA is the mean of sMAPE and MASE,\n"
            f"each over that of Naive2; MASE has a season of {result.data.season}. M4's winners are means of many networks, or of many methods."
        ),
        chosen=chosen,
        files=result.data.files,
        metrics=(OWA, SMAPE, MASE),
        run=result.run,
        published=tuple(Row(name, {metric: (value,) for metric, value in figures.items() if value is not None}) for name, figures in rows),
    )
