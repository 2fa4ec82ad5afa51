"""The page of a run that was evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from grus.data.panel import Panel
from grus.errors import OptionError
from grus.evaluation.backtest import Backtest
from grus.report.forecast import ForecastPage, drawn_before
from grus.report.page import write
from grus.report.records import Example, GateTrace, Past
from grus.tasks import stored
from grus.tasks.folder import RunFolder
from grus.tasks.forecast import ForecastModel
from grus.tasks.forecast_run import read_history, read_run, split_run, until_last_target

SHOWN = 3  # series whose next steps are drawn


def report_run(folder: RunFolder, out: Path) -> Path:
    """Write the page of a run and give its path.

    Raises: DataError where the run was not evaluated or its files are damaged.
    """
    config, model = folder.config, stored.load(folder.model)
    parts = split_run(config, read_run(config, None, model.like))
    backtest = Backtest.from_json(folder.backtest.read_text(encoding="utf-8"))
    past = past_of(parts.panel, backtest)
    named, examples = backtest, next_steps(model, parts.panel)
    if model.like.columns.id is None:  # the one series has no name but what it measures
        target = config.data.target
        named, past = replace(backtest, series=(target,) * len(backtest)), dict(zip([target], past.values(), strict=False))
        examples = [replace(example, series=target) for example in examples]
    page = ForecastPage(
        f"Forecast of {config.data.target}",
        model.facts,
        (*model.like.findings, *failed(backtest)),
        read_history(folder).epochs,
        named,
        examples,
        gate_trace(model, parts.panel),
        backtest.model,
        target=config.data.target,
        past=past,
        lookback=model.windows.lookback,
        seeds=backtest.seeds,
    )
    return write(page, out)


def past_of(panel: Panel, backtest: Backtest) -> dict[str, Past]:
    """What is known of the series that the backtest is of; none of one that it met in another table."""
    found = {series.id: Past(series.times, series.target) for series in panel}
    for name, times, truth in zip(backtest.series, backtest.times, backtest.truth, strict=True):
        if name in found:
            known = found[name]
            start = int(np.count_nonzero(known.times < times[0]))
            rows = slice(start, start + len(times))
            if not (np.array_equal(known.times[rows], times) and np.array_equal(known.values[rows], truth, equal_nan=True)):
                del found[name]
    return found


def failed(backtest: Backtest) -> Iterator[str]:
    """Which baselines could not forecast all windows, and why not the first of them."""
    for name, failures in backtest.failures.items():
        if failures:
            first = failures[0]
            windows = f"{name} forecast {backtest.counts[name]} of {len(backtest)} windows, which its scores are over; it is never called the best"
            yield f"{windows}. The first that it could not: {first.series}, from {first.time}: {first.message}"


def next_steps(model: ForecastModel, panel: Panel) -> list[Example]:
    """What comes after the first series of a panel; none where covariates ahead are needed that only the caller knows."""
    known = until_last_target(panel)
    if model.like.future_names or not panel.step.is_regular:
        return []
    found, examples = model.predict(known), list[Example]()
    for number, series in enumerate(known.series[:SHOWN]):
        shown = slice(-2 * drawn_before(model.horizon), None)
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
