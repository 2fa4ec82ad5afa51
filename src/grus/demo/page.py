"""The demonstration's records as a page and as a table in the terminal; both are the same for the same seed."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from grus.demo.study import NAME, Study, gates_of, last_test, next_year
from grus.evaluation import Backtest, mae
from grus.report import ForecastPage, Past
from grus.training import History

# Weeks ahead, first and last; together they cover the year.
BUCKETS = ((1, 4), (5, 13), (14, 26), (27, 52))
TITLE = "Weekly CO₂ at Mauna Loa, a year ahead"
# What the clock says stays off the page, so that one seed gives one page.
HISTORY = ("epoch", "loss", "validation_loss", "learning_rate", "gradient_norm")


def page(study: Study) -> ForecastPage:
    """The report of a study."""
    (series,) = study.panel
    return ForecastPage(
        title=TITLE,
        facts=facts(study),
        findings=study.panel.findings,
        history=epochs(study.tested.history),
        first_history=epochs(study.tested.first),
        backtest=study.backtest,
        examples=(next_year(study), last_test(study)),
        gates=gates_of(study),
        target="CO₂",
        unit="ppm",
        step="week",
        past={series.id: Past(series.times, series.target)},
        lookback=study.settings.lookback,
    )


def epochs(history: History) -> list[dict[str, float]]:
    """What the page shows of each epoch."""
    return [{name: row[name] for name in HISTORY if name in row} for row in history.epochs]


def facts(study: Study) -> list[tuple[str, str]]:
    """What was trained on what, and how its rivals and its settings were chosen."""
    (series,), tested, settings = study.panel, study.tested, study.settings
    (low, high), first = tested.parts.validation[0], int(study.backtest.origins[0])
    days = [str(time)[:10] for time in series.times]
    weights = sum(weight.numel() for weight in tested.model.network.parameters())
    steps = settings.segment_length
    return [
        ("data", f"{len(series)} weeks, {days[0]} to {days[-1]}; {int(np.isnan(series.target).sum())} were not measured"),
        ("source", "Keeling and Whorf (2004), as statsmodels carries it"),
        ("validation", f"{days[low]} to {days[high - 1]}: kept aside at first, to choose the number of epochs and correct the intervals"),
        ("learnt from", f"{days[0]} to {days[first - 1]}, trained anew on all of it, {len(tested.history.epochs)} epochs"),
        ("backtest", f"{days[first]} to {days[-1]}: no part in training, scaling or intervals"),
        ("network", f"GRU of {settings.hidden_size} units, {weights} weights; reads {settings.lookback} weeks, {steps} at a time, and so forecasts"),
        ("gates", f"drawn at each week of the {steps} that they belong to"),
        ("missing values", "filled on straight lines; a mask tells the network which"),
        ("settings", "chosen on the eight years before the backtest, with the years before those to learn from"),
        ("seed", str(study.seed)),
        ("baselines", "ETS and ARIMA: fitted anew for every forecast on the ten years before it"),
        ("the year to come", f"trained anew in the same way on everything, {len(study.final.history.epochs)} epochs"),
    ]


def score_table(backtest: Backtest) -> Table:
    """The mean absolute error of each forecaster, over all weeks and by weeks ahead, the best forecaster first."""
    table = Table(title=f"MAE in ppm of {len(backtest)} forecasts of {backtest.horizon} weeks, by weeks ahead")
    buckets = [(first, min(last, backtest.horizon)) for first, last in BUCKETS if first <= backtest.horizon]
    for index, name in enumerate(["forecaster", "all", *(f"{first}–{last}" for first, last in buckets), "MASE"]):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    scores = backtest.scores()
    for name in sorted(scores, key=lambda name: scores[name]["mae"]):
        parts = [mae(backtest.truth[:, first - 1 : last], backtest.forecasts[name][:, first - 1 : last]) for first, last in buckets]
        figures = [f"{value:.2f}" for value in (scores[name]["mae"], *map(float, parts), scores[name]["mase"])]
        table.add_row(name, *figures, style="bold" if name == NAME else None)
    return table
