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


def cut(panel: Panel, horizon: int) -> Split:
    """The last steps for testing and all before them for training; the epochs are fixed, so there is no validation."""
    ends = [len(series) - horizon for series in panel]
    return Split(panel, tuple((0, end) for end in ends), tuple((end, end) for end in ends), tuple((end, end + horizon) for end in ends))


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
    """One result: what is forecast, and by which network."""

    data: Data
    windows: WindowSettings
    model: ForecastSettings
    training: TrainingSettings

    def by_network(self, panel: Panel, seed: int) -> Array:
        """The forecasts of a network trained with this seed, [N, H]."""
        parts = cut(panel, self.data.horizon)
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
            yield over_seeds("mean of their forecasts", (0,), lambda _: judge(np.mean(found, axis=0)))
        for rule in (Naive2(), SeasonalNaive()) if self.data.season > 1 else (Naive2(),):
            yield over_seeds(rule.name, (0,), lambda _, rule=rule: judge(by_rule(rule, panel, self.data.horizon)))


def table(result: Forecasts, title: str, chosen: str, *published: Row) -> Table:
    """A result beside published ones."""
    data = result.data
    return Table(
        name=f"m4-{data.name}",
        title=title,
        protocol=(
            f"M4's own split: the last {data.horizon} steps of every series for testing, all before for training. OWA is the mean of sMAPE and of\n"
            f"MASE, each over that of Naive2; MASE has a season of {data.season}. ES-RNN and N-BEATS are means of many networks."
        ),
        chosen=f"{chosen}\nChosen on the last {data.horizon} steps of the training part, with one seed. The test part was read once.",
        files=data.files,
        metrics=(OWA, SMAPE, MASE),
        run=result.run,
        published=published,
    )


# N-BEATS gives its weekly figure by kind of series: 6.117 is the mean over all of them.
TABLES = (
    table(
        Forecasts(
            HOURLY,
            WindowSettings(lookback=336, horizon=48, scaling="none", transform="log_seasonal_difference"),
            ForecastSettings(hidden_size=128, decoder="segment", segment_length=24, normalisation="none", head="point"),
            TrainingSettings(epochs=10, batch_size=128, steps_per_epoch=250, learning_rate=3e-3, patience=None, threads=1),
        ),
        "M4, 414 hourly series, 48 hours ahead",
        "The growth over a day, of two weeks, read day by day. Validation OWA 0.463; 0.484 with 64 units and the last 20 days to learn from,\n"
        "0.491 with one week of those, 0.527 with logarithms instead of growth, 0.532 with MASE as the loss; seasonal naive has 0.629.",
        Row("Naive2 (M4)", {OWA: (1.0,), SMAPE: (18.383,), MASE: (2.395,)}),
        Row("Theta (M4)", {OWA: (1.006,), SMAPE: (18.138,), MASE: (2.455,)}),
        Row("ES-RNN, M4's winner", {OWA: (0.440,), SMAPE: (9.328,), MASE: (0.893,)}),
        Row("N-BEATS", {SMAPE: (8.197,)}),
    ),
    table(
        Forecasts(
            WEEKLY,
            WindowSettings(lookback=52, horizon=13, scaling="none", transform="log"),
            ForecastSettings(hidden_size=128, decoder="segment", segment_length=13, normalisation="reversible", head="point"),
            TrainingSettings(epochs=20, batch_size=128, steps_per_epoch=250, learning_rate=3e-3, patience=None, threads=1),
        ),
        "M4, 359 weekly series, 13 weeks ahead",
        "Logarithms of a year, read quarter by quarter. Validation OWA 0.686; 0.689 with a dropout of 0.2, 0.701 with 64 units, 0.702 with half the\n"
        "steps and the last five years to learn from; networks that read week by week have 0.87 to 0.91 after 1000 steps.",
        Row("Naive2 (M4)", {OWA: (1.0,), SMAPE: (9.161,), MASE: (2.777,)}),
        Row("Theta (M4)", {OWA: (0.971,), SMAPE: (9.093,), MASE: (2.637,)}),
        Row("ES-RNN, M4's winner", {OWA: (0.851,), SMAPE: (7.817,), MASE: (2.356,)}),
        Row("N-BEATS", {SMAPE: (6.117,)}),
    ),
)
