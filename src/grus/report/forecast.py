"""The report of a forecasting run: its records in, a document out, sections in a reader's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.errors import OptionError
from grus.evaluation import Backtest
from grus.evaluation.backtest import central
from grus.report.axes import Array, positions, time_axis, value_axis
from grus.report.charts import Band, Chart, Line, Mark, Rule, Table, missing_spans
from grus.report.findings import worst_first
from grus.report.gates import gate_section
from grus.report.learning import course, learning
from grus.report.page import Document, Section
from grus.report.records import Example, GateTrace, Past, Words, cells
from grus.report.residuals import bias_sentence, correlations, drift, histogram
from grus.report.scores import (
    answer,
    best_rival,
    comparison,
    coverage_by_horizon,
    coverage_sentence,
    coverage_table,
    error_by_horizon,
    fitting_metric,
    scope,
    score_table,
)
from grus.report.seeds import seed_section
from grus.training import TrainingSettings

__all__ = ["Example", "ForecastPage", "GateTrace", "Past"]

WORST = 4
HISTORY = 4  # horizons of history drawn before a forecast, so that the forecast stays wide enough to read
LEAST_HISTORY = 24  # steps of it before a short one


@dataclass(frozen=True, eq=False)
class ForecastPage:
    """All that the report of a forecasting run shows.

    `history` holds one mapping per epoch with epoch, loss and, where there was validation, validation_loss; `first_history` that of a training
    before it that chose the number of its epochs. `target` and `unit` name what is forecast, `step` one step of time ("hour"). `past` has by series
    what the worst forecasts are drawn after, `lookback` steps of it. `seeds` has the model's scores by the seed of its training, where it was
    judged with several. `series` is how many series there are, of which the examples show some. `training` says how updates were made. Forecasters
    are compared by `metric`; None: "mae", or "mase" where series differ in scale.
    Units: forecasts, truths and examples in the unit of the data, undone from any scaling.
    Raises: OptionError if none of the backtest's scores is `metric`.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[str]
    history: Sequence[Mapping[str, float]]
    backtest: Backtest
    examples: Sequence[Example]
    gates: GateTrace | None
    target: str = "the target"
    unit: str = ""
    step: str = "step"
    metric: str | None = None
    past: Mapping[str, Past] = field(default_factory=dict[str, Past])
    lookback: int = 0
    seeds: Mapping[int, Mapping[str, float]] = field(default_factory=dict[int, Mapping[str, float]])
    first_history: Sequence[Mapping[str, float]] = ()
    series: int = 0
    training: TrainingSettings | None = None

    def __post_init__(self) -> None:
        scores = self.backtest.scores()[self.backtest.model]
        if self.metric is not None and self.metric not in scores:
            names = ", ".join(scores)
            raise OptionError(f"ForecastPage: metric must be one of the backtest's scores ({names}), got {self.metric}; choose one of them.")

    @property
    def words(self) -> Words:
        return Words(self.backtest.model, self.target, self.unit, self.step, self.backtest.times)

    @cached_property
    def compared(self) -> str:
        """The metric that forecasters are compared by."""
        return fitting_metric(self.backtest) if self.metric is None else self.metric

    def document(self) -> Document:
        words = self.words
        sections = [Section("Findings", points=tuple(worst_first(self.findings)))] if self.findings else []
        sections += self._results()
        sections.append(Section("How it was made", facts=tuple(self.facts)))
        if self.history:
            sections.append(Section("Learning curves", charts=learning(self.history, self.first_history)))
            said, charts = course(self.history, self.training)
            sections += [Section("Updates", said, charts=charts, small=True)] if charts else []
        sections.append(self._residuals())
        worst = tuple(self._worst())
        if worst:
            sections.append(Section("Worst forecasts", (ranking(self.backtest)[1],), charts=worst, small=True))
        if self.gates is not None:
            sections.append(gate_section(self.gates, words))
        why = (comparison(self.backtest, words),) if self.metric is None and self.compared == "mase" else ()
        summary = (scope(self.backtest, words), *why, coverage_sentence(self.backtest))
        return Document(self.title, answer(self.backtest, words, self.compared), summary, tuple(sections))

    def _results(self) -> list[Section]:
        words, backtest = self.words, self.backtest
        found: list[Section] = []
        if self.examples:
            charts = tuple(fan(example, words, place) for place, example in enumerate(self.examples, 1))
            found.append(Section("The forecast", tuple(self._shown()), charts=charts))
        tables = (score_table(backtest, words), coverage_table(backtest, words))
        found.append(Section("Scores beside baselines", tables=tuple(table for table in tables if table is not None)))
        if len(self.seeds) > 1:
            found.append(seed_section(self.seeds, backtest, words, self.compared))
        ahead = (error_by_horizon(backtest, words, self.compared), coverage_by_horizon(backtest, words))
        found.append(Section("Error by horizon", charts=tuple(chart for chart in ahead if chart is not None)))
        return found

    def _shown(self) -> Iterator[str]:
        names = list(dict.fromkeys(example.series for example in self.examples))
        if len(names) < self.series:
            yield f"Shown: {', '.join(names)} of {self.series} series."

    def _worst(self) -> Iterator[Chart]:
        rival = best_rival(self.backtest, self.words.model, self.compared)
        shown = min(self.lookback, drawn_before(self.backtest.horizon))
        for place, index in enumerate(worst_windows(self.backtest), 1):
            known = self.past.get(self.backtest.series[index])
            before = None if known is None else known.before(self.backtest.times[index, 0], shown)
            yield window(self.backtest, index, self.words, place, before, rival)

    def _residuals(self) -> Section:
        words = self.words
        correlated = correlations(self.backtest, words)
        text = [bias_sentence(self.backtest, words)]
        if correlated is None:
            text.append("Too few forecasts were scored one step ahead, or all erred alike, to say whether errors repeat.")
        charts = (histogram(self.backtest, words), correlated, drift(self.backtest, words))
        return Section("Residual checks", tuple(text), charts=tuple(chart for chart in charts if chart is not None))


def worst_windows(backtest: Backtest) -> list[int]:
    """The windows that are drawn as the worst forecasts."""
    return backtest.worst(WORST, metric=ranking(backtest)[0])


def ranking(backtest: Backtest) -> tuple[str, str]:
    """The metric by which forecasts are the worst ones, and how that is said: a series of large numbers is not worse for being large."""
    said = "The forecasts with the largest error, the worst first: look here for what the model does not know."
    known, scaled = np.isfinite(backtest.truth).any(axis=1), backtest.scale > 0
    if len(set(backtest.series)) == 1 or not (known & scaled).any():
        return "mae", said
    said += " Series are compared by MASE: the error over that of the seasonal naive forecast in the series' own history."
    without = {name for name, wanted in zip(backtest.series, known & ~scaled, strict=True) if wanted}
    return "mase", said + (f" Forecasts whose history gives none are left out ({', '.join(sorted(without))})." if without else "")


def drawn_before(horizon: int) -> int:
    """The most steps that are drawn before a forecast."""
    return max(HISTORY * horizon, LEAST_HISTORY)


def fan(example: Example, words: Words, place: int) -> Chart:
    """The end of the history with its gaps, the forecast with its intervals, and the truth where it is known."""
    drawn = min(len(example.times), drawn_before(len(example.point)))
    times, values = example.times[-drawn:], example.values[-drawn:]
    x, ahead = positions(times), positions(example.forecast_times)
    truth = np.full(len(ahead), np.nan) if example.truth is None else example.truth
    marks: list[Mark] = [
        missing_spans(x, values) if example.truth is None else missing_spans(np.concatenate([x, ahead]), np.concatenate([values, truth]))
    ]
    marks += interval_marks(ahead, example.quantiles)
    marks += [Rule(float(ahead[0]), upright=True), Line(ahead, example.point, "model", f"{words.model}, forecast")]
    marks.append(Line(np.concatenate([x, ahead]), np.concatenate([values, truth]), "truth", "measured"))
    start, first, last = words.time(example.forecast_times[0]), words.figure(float(example.point[0])), words.amount(float(example.point[-1]))
    text = f"{example.series}: {words.steps(drawn)} of history, then the forecast of {words.steps(len(ahead))}, from {first} to {last}."
    caption = f"Of the {words.steps(len(example.times))} before the forecast the last {drawn} are drawn." if drawn < len(example.times) else ""
    table = forecast_table(example.forecast_times, truth, example.point, example.quantiles, words)
    across = time_axis(np.concatenate([times, example.forecast_times]), words.step)
    up = value_axis(words.with_unit(words.target), values, example.point, truth, *example.quantiles.values())
    title = f"{example.series}, from {start}" + ("" if example.truth is None else ": a forecast of the backtest, and what came")
    return Chart(f"forecast-{place}", title, text, across, up, marks, table, caption)


def window(backtest: Backtest, index: int, words: Words, place: int, before: Past | None = None, rival: str | None = None) -> Chart:
    """One window of the backtest after what was measured before it, beside a baseline's forecast."""
    ahead: NDArray[Any] = backtest.times[index]
    truth: Array = backtest.truth[index]
    point: Array = backtest.forecasts[words.model][index]
    times, values = (ahead, truth) if before is None else (np.concatenate([before.times, ahead]), np.concatenate([before.values, truth]))
    x, quantiles = positions(ahead), {level: rows[index] for level, rows in backtest.quantiles.items()}
    other = {} if rival is None else {rival: backtest.forecasts[rival][index]}
    marks: list[Mark] = [missing_spans(positions(times), values), *interval_marks(x, quantiles)]
    marks += [Rule(float(x[0]), upright=True)] if len(times) > len(ahead) else []
    marks += [Line(x, row, "best", f"{name} (best baseline)") for name, row in other.items()]
    marks += [Line(x, point, "model", f"{words.model}, forecast"), Line(positions(times), values, "truth", "measured")]
    error = words.amount(float(np.nanmean(np.abs(truth - point)))) if np.isfinite(truth).any() else "not known"
    title = f"{backtest.series[index]}, from {words.time(ahead[0])}: off by {error}"
    up = value_axis(words.with_unit(words.target), values, point, *other.values(), *quantiles.values())
    table = forecast_table(ahead, truth, point, quantiles, words, other)
    return Chart(f"worst-{place}", title, f"{title} on average.", time_axis(times, words.step), up, marks, table)


def interval_marks(x: Array, quantiles: Mapping[float, Array]) -> list[Mark]:
    return [
        Band(x, quantiles[low], quantiles[high], f"{100 * (high - low):.4g} % interval", "interval inner" if place else "interval")
        for place, (low, high) in enumerate(central(list(quantiles)))
    ]


def forecast_table(
    times: NDArray[Any],
    truth: Array,
    point: Array,
    quantiles: Mapping[float, Array],
    words: Words,
    others: Mapping[str, Array] | None = None,
) -> Table:
    levels, beside = sorted(quantiles), others or {}
    columns = [cells(column) for column in (truth, point, *beside.values(), *(quantiles[level] for level in levels))]
    head = ("time", words.with_unit("measured"), words.with_unit("forecast"), *beside, *(f"quantile {level:g}" for level in levels))
    return Table(head, tuple(zip(words.times(times), *columns, strict=True)))
