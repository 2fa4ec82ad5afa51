"""The page of a run that was evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from grus.data.panel import Panel
from grus.errors import OptionError
from grus.evaluation import Backtest
from grus.report.forecast import ForecastPage
from grus.report.page import write
from grus.report.pictures import write_pictures
from grus.report.records import Example, GateTrace, Past, judged
from grus.tasks.ends import known_and_ahead
from grus.tasks.folder import RunFolder
from grus.tasks.forecast import ForecastModel
from grus.tasks.forecast_run import load_model, read_history, read_run, split_run
from grus.tasks.judging import untested
from grus.tasks.run_record import failed

SHOWN = 3  # series whose next steps are drawn


def report_run(folder: RunFolder, out: Path, pictures: Path | None = None) -> Path:
    """Write the page of a run and give its path; with `pictures` write its charts as PNG files into that folder, too.

    Raises: DataError where the run was not evaluated or its files are damaged.
    """
    page = page_of(folder)
    if pictures is not None:
        write_pictures(page, pictures)
    return write(page, out)


def page_of(folder: RunFolder) -> ForecastPage:
    """All that the page of a run shows.

    Raises: DataError where the run was not evaluated or its files are damaged.
    """
    config, model = folder.config, load_model(folder)
    panel = read_run(config, None, model.like)
    parts, backtest = split_run(config, panel), Backtest.from_json(folder.backtest.read_text(encoding="utf-8"))
    past, gates = past_of(parts.panel, backtest), gate_trace(model, parts.panel)
    examples = [*next_steps(model, panel), *latest_test(backtest, past)]
    findings = [*model.like.findings, *filter(None, [untested(parts.panel, backtest.series)]), *failed(backtest)]
    if model.like.columns.id is None:  # the one series has no name but what it measures
        name = config.data.target
        backtest, past = replace(backtest, series=(name,) * len(backtest)), dict(zip([name], past.values(), strict=False))
        examples, gates = [replace(example, series=name) for example in examples], gates and replace(gates, series=name)
    return ForecastPage(
        f"Forecast of {config.data.target}",
        model.facts,
        findings,
        read_history(folder).epochs,
        backtest,
        examples,
        gates,
        target=config.data.target,
        past=past,
        lookback=model.windows.lookback,
        seeds=backtest.seeds,
        series=len(panel),
    )


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


def next_steps(model: ForecastModel, panel: Panel) -> list[Example]:
    """What comes after the first series that can be forecast; none where something ahead is needed that only the caller knows."""
    if model.like.future_names or not panel.step.is_regular:
        return []
    known, _ = known_and_ahead(panel)
    shown = model.windows.shown(known)
    ready = [at for at, series in enumerate(shown) if np.isfinite(series.target[-model.windows.lookback :]).any()][:SHOWN]
    if not ready:
        return []
    first = replace(known, series=tuple(known.series[at] for at in ready))
    found = model.predict(first)
    return [
        Example(
            series.id,
            series.times,
            series.target,
            panel.step.after(series.times[-1], model.horizon),
            found.point[number],
            {level: values[number] for level, values in found.quantiles.items()},
        )
        for number, series in enumerate(first)
    ]


def latest_test(backtest: Backtest, past: Mapping[str, Past]) -> list[Example]:
    """The forecast of the backtest that begins last, of the first such series; none where what precedes it is not known."""
    known = [index for index, name in enumerate(backtest.series) if name in past]
    if not known:
        return []
    latest = max(known, key=lambda index: backtest.times[index, 0])
    return [judged(backtest, latest, past[backtest.series[latest]])]


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
    return GateTrace(series.times[window], series.target[window], gates, series.id)
