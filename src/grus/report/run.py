"""The page of a run that was evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from grus.data.panel import Panel, Series
from grus.data.streaming import SplitParts
from grus.errors import OptionError
from grus.evaluation import Backtest
from grus.report.forecast import ForecastPage, worst_windows
from grus.report.page import write
from grus.report.pictures import write_pictures
from grus.report.records import Example, GateTrace, Past, judged
from grus.tasks.ends import known_and_ahead
from grus.tasks.folder import RunFolder
from grus.tasks.forecast import ForecastModel
from grus.tasks.forecast_config import forecasting
from grus.tasks.forecast_run import load_model, read_history
from grus.tasks.judging import untested_of
from grus.tasks.run_data import parts_of_run
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
    """All that the page of a run shows; of a table that is read in parts nothing else is held, and no part is read behind the last that it needs.

    Raises: DataError where the run was not evaluated or its files are damaged.
    """
    config, model = forecasting(folder.config), load_model(folder)
    backtest = Backtest.from_json(folder.backtest.read_text(encoding="utf-8"))
    shown = look(model, parts_of_run(config, None, model.like), backtest)
    past, gates, examples = shown.past, shown.gates, [*shown.ahead, *latest_test(backtest, shown.past)]
    learnt = model.scaling.target.names
    findings = [*model.like.findings, *filter(None, [untested_of(learnt, backtest.series)]), *failed(backtest)]
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
        series=len(learnt),
        training=config.training,
    )


@dataclass
class Shown:
    """What a page shows of a table: the next steps of its first series, the gates over the first, and the past of those whose test it draws."""

    ahead: list[Example] = field(default_factory=list[Example])
    gates: GateTrace | None = None
    past: dict[str, Past] = field(default_factory=dict[str, Past])


def look(model: ForecastModel, parts: SplitParts, backtest: Backtest) -> Shown:
    """From the parts of a table up to the last that is needed."""
    shown, first = Shown(), True
    wanted = {backtest.series[index] for index in (*worst_windows(backtest), int(np.argmax(backtest.times[:, 0])))}
    for panel in (part.panel for part in parts if len(part.panel)):
        if first:
            shown.gates, first = gate_trace(model, panel), False
        if len(shown.ahead) < SHOWN:
            shown.ahead += next_steps(model, panel, SHOWN - len(shown.ahead))
        shown.past |= past_of([series for series in panel if series.id in wanted], backtest)
        wanted -= {series.id for series in panel}
        if not wanted and (len(shown.ahead) == SHOWN or not goes_on(model)):
            break
    return shown


def past_of(found: Iterable[Series], backtest: Backtest) -> dict[str, Past]:
    """What is known of those series that the backtest is of; none of one that it met in another table."""
    past = {series.id: Past(series.times, series.target) for series in found}
    for name, times, truth in zip(backtest.series, backtest.times, backtest.truth, strict=True):
        if name in past:
            known = past[name]
            start = int(np.count_nonzero(known.times < times[0]))
            rows = slice(start, start + len(times))
            if not (np.array_equal(known.times[rows], times) and np.array_equal(known.values[rows], truth, equal_nan=True)):
                del past[name]
    return past


def goes_on(model: ForecastModel) -> bool:
    """Whether nothing ahead is needed that only the caller knows."""
    return not model.like.future_names and model.like.step.is_regular


def next_steps(model: ForecastModel, panel: Panel, most: int = SHOWN) -> list[Example]:
    """What comes after the first series that can be forecast; none where something ahead is needed that only the caller knows."""
    if not goes_on(model):
        return []
    known, _ = known_and_ahead(panel)
    shown = model.windows.shown(known)
    ready = [at for at, series in enumerate(shown) if np.isfinite(series.target[-model.windows.lookback :]).any()][:most]
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
    """The gates over the last window of the first series, where the encoder reads its steps one by one; None where there are none."""
    series, lookback = panel.series[0], model.windows.lookback
    (shown,) = model.windows.shown(replace(panel, series=(series,)))
    known = np.flatnonzero(np.isfinite(shown.target))
    origin = int(known[-1]) if known.size else 0
    if origin < lookback or known.size < 2 or known[-2] < origin - lookback or model.network.settings.decoder == "segment":
        return None
    try:
        _, gates = model.example(panel, 0, origin)
    except OptionError:  # a Transformer has no gates
        return None
    if not gates:  # nor has a plain recurrent network
        return None
    window = slice(origin - lookback, origin)
    return GateTrace(series.times[window], series.target[window], gates, series.id, model.network.settings.cell)
