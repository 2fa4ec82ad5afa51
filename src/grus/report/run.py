"""The page of a run that was evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grus.data.panel import Panel
from grus.errors import OptionError
from grus.evaluation.backtest import Backtest
from grus.report.forecast import ForecastPage
from grus.report.page import write
from grus.report.records import Example, GateTrace
from grus.tasks import stored
from grus.tasks.folder import RunFolder
from grus.tasks.forecast import ForecastModel
from grus.tasks.forecast_run import facts_of, read_history, read_run, split_run, until_last_target

SHOWN = 3  # series whose next steps are drawn
HISTORY = 8  # horizons of history handed to a drawing


def report_run(folder: RunFolder, out: Path) -> Path:
    """Write the page of a run and give its path.

    Raises: DataError where the run was not evaluated or its files are damaged.
    """
    config, model = folder.config, stored.load(folder.model)
    parts = split_run(config, read_run(config, None, model.like))
    backtest = Backtest.from_json(folder.backtest.read_text(encoding="utf-8"))
    history = read_history(folder)
    page = ForecastPage(
        f"Forecast of {config.data.target}",
        facts_of(config, parts, model, history),
        (*parts.panel.findings, *parts.findings),
        history.epochs,
        backtest,
        next_steps(model, parts.panel),
        gate_trace(model, parts.panel),
        backtest.model,
        target=config.data.target,
    )
    return write(page, out)


def next_steps(model: ForecastModel, panel: Panel) -> list[Example]:
    """What comes after the first series of a panel; none where covariates ahead are needed that only the caller knows."""
    known = until_last_target(panel)
    if model.like.future_names or not panel.step.is_regular:
        return []
    found, examples = model.predict(known), list[Example]()
    for number, series in enumerate(known.series[:SHOWN]):
        shown = slice(-HISTORY * model.horizon, None)
        quantiles = {level: values[number] for level, values in found.quantiles.items()}
        times = panel.step.after(series.times[-1], model.horizon)
        examples.append(Example(series.id, series.times[shown], series.target[shown], times, found.point[number], quantiles))
    return examples


def gate_trace(model: ForecastModel, panel: Panel) -> GateTrace | None:
    """The gates over the last window of the first series whose steps the encoder reads one by one; None where there are none."""
    series = panel.series[0]
    known = np.flatnonzero(~np.isnan(series.target))
    origin = int(known[-1])
    if origin < model.windows.lookback or model.network.settings.decoder == "segment":
        return None
    try:
        _, gates = model.example(panel, 0, origin)
    except OptionError:  # a Transformer has no gates
        return None
    window = slice(origin - model.windows.lookback, origin)
    return GateTrace(series.times[window], series.target[window], gates)
