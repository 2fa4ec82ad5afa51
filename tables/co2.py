"""Weekly CO₂ at Mauna Loa, with gaps, a year ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from grus.data import Columns, Panel, Split, read_panel, split
from grus.evaluation import Backtest, Drift, SeasonalDrift, SeasonalNaive, mae
from grus.evaluation.fitted import AutoArima, Ets
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import WindowSettings
from grus.tasks.judging import BacktestPlan, judge
from grus.tasks.learning import train
from grus.training import TrainingSettings
from tables.table import Figures, Row, Table, baseline_rows, over_seeds

FILE = "classic_series/mauna_loa_co2_weekly.csv"
HORIZON, YEARS, STRIDE, MAE = 52, 4 * 52, 13, "MAE ppm"
WINDOWS = WindowSettings(lookback=104, horizon=HORIZON, missing="forward+mask")
MODEL = ForecastSettings(hidden_size=32, normalisation="last", head="point", loss="mae")
TRAINING = TrainingSettings(epochs=20, learning_rate=3e-3, threads=1)


def cut(panel: Panel) -> Split:
    """The last four years for testing; the epochs are fixed, so no validation part is kept from the training."""
    return split(panel, 0, YEARS)


def windows_of(parts: Split) -> list[tuple[int, int]]:
    """An origin every quarter as long as a whole year follows."""
    ((first, end),) = parts.test
    return [(0, origin) for origin in range(first, end - HORIZON + 1, STRIDE)]


def run(folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
    """The network, trained once, and baselines, fitted anew at every origin."""
    parts = cut(read_panel(folder / FILE, Columns(time="date", target="co2")))

    def once(seed: int) -> Figures:
        model, _ = train(parts, WINDOWS, MODEL, TRAINING.model_copy(update={"seed": seed}))
        return score(judge(model, parts.panel, parts.test, BacktestPlan(STRIDE, baselines=())))

    yield over_seeds("GRU, 32 units", seeds, once)
    rules = (SeasonalDrift(), SeasonalNaive(), Drift(), Ets(), AutoArima(last=10 * 52))
    yield from baseline_rows(parts.panel, windows_of(parts), HORIZON, rules, score)


def score(backtest: Backtest) -> Figures:
    """The mean absolute error over the weeks that were measured."""
    return {MAE: float(mae(backtest.truth, backtest.forecasts[backtest.model]))}


TABLE = Table(
    name="co2",
    title="weekly CO2 at Mauna Loa, 59 weeks missing, forecast 52 weeks ahead",
    protocol="Trained until 1997, never refitted; origins every 13 weeks of the last four years; no published figure. ARIMA sees ten years.",
    chosen=(
        "One GRU layer of 32 units over 104 weeks, the last value in its gaps, and a mask.\n"
        "Chosen on the four years before; the test part was read once."
    ),
    files=(FILE,),
    metrics=(MAE,),
    run=run,
)
