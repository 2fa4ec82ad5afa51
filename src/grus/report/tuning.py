"""The page of a search: how it went, which keys mattered, and every trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Chart, Dots, Line, Mark, Rule, Table
from grus.report.page import Document, Section, write
from grus.tasks.counted import counted
from grus.tasks.registry import DEFAULT
from grus.tasks.tuning.outcome import LOSS
from grus.tasks.tuning.space import Choices, Range, label
from grus.tasks.tuning.study import LEAST_FOR_IMPORTANCE, Record, Study

MOST_KEYS = 12  # of the importance chart
MOST_LETTERS = 20  # of a choice beside its chart


@dataclass(frozen=True)
class TuningPage:
    """All that the page of a search shows.

    sign: 1 where a smaller value of the metric is better, −1 where a greater one is. loss: what the validation loss is called.
    records: all trials; the value of one that was ended early is the validation loss of its last epoch.
    importances: by key, shares of 1; empty where too few trials were finished.
    """

    name: str
    metric: str
    space: Mapping[str, Range | Choices]
    records: Sequence[Record]
    importances: Mapping[str, float]
    facts: Sequence[tuple[str, str]] = ()
    sign: float = 1.0
    loss: str = "validation loss (scaled units)"

    @property
    def label(self) -> str:
        return self.loss if self.metric == LOSS else f"{self.metric} of the validation part"

    @property
    def finished(self) -> list[Record]:
        """By value, the best first."""
        return sorted((record for record in self.records if record.state == "finished"), key=lambda record: self.sign * _value(record))

    @property
    def ended(self) -> list[Record]:
        """Trials that were ended early and have a place in a chart: their loss must be what the others are judged by."""
        return [record for record in self.records if record.state == "pruned" and record.loss is not None and self.metric == LOSS]

    def document(self) -> Document:
        states = [record.state for record in self.records]
        counts = ", ".join(f"{states.count(state)} {said}" for state, said in _SAID.items() if state in states)
        summary = [f"Of {counted(len(states), 'trial')} {counts}. They were judged by the validation part alone; the test part was not looked at."]
        if self.finished:
            summary.append(
                "The best of many is partly luck, and the same validation part that chose it flatters it: train it anew, and test that network once."
            )
        sections = [Section("How the search went", charts=self._history()), *self._mattered()] if self.finished else []
        notes = tuple(f"Trial {record.number} {record.state}: {record.note}" for record in self.records if record.note)
        return Document(
            f"Search for settings: {self.name}",
            self._answer(),
            tuple(summary),
            (*sections, Section("Trials", tables=(self._table(),), points=notes), Section("The search", facts=tuple(self.facts))),
        )

    def _answer(self) -> str:
        if not self.finished:
            return "No trial has come to its end."
        best, start = self.finished[0], next((record for record in self.records if record.start and record.state == "finished"), None)
        settings = ", ".join(f"{key} {_text(value)}" for key, value in best.values.items())
        said = f"The best is trial {best.number} with a {self.label} of {number(_value(best))}: {settings}."
        if start is None or start.number == best.number:
            return said if start is None else f"{said} These are the settings that the search began with."
        low, high = _value(best), _value(start)
        share = f", {100 * abs(1 - low / high):.1f} % {'less' if self.sign > 0 else 'more'}" if low > 0 and high > 0 else ""
        return f"{said} The settings that the search began with have {number(high)}{share and f'; the best has{share[1:]}'}."

    def _history(self) -> tuple[Chart, ...]:
        ordered = sorted(self.finished, key=lambda record: record.number)
        numbers, values = _places(ordered), _values(ordered)
        best, last = self.sign * np.minimum.accumulate(self.sign * values), float(max(record.number for record in self.records))
        marks: list[Mark] = [*self._ended_dots(_places(self.ended)), Dots(numbers, values, "spots", "finished")]
        marks.append(Line(np.append(np.repeat(numbers, 2)[1:], last), np.repeat(best, 2), "model", "best so far"))
        rows = [(str(each.number), number(value), number(least)) for each, value, least in zip(ordered, values.tolist(), best.tolist(), strict=True)]
        table = Table(("trial", self.label, "best so far"), tuple(rows))
        text = f"{self.label} of {len(ordered)} finished trials; the best has {number(_value(self.finished[0]))}."
        return (Chart("history", "Each trial, and the best so far", text, Axis(0.0, max(1.0, last), "trial", "count"), self._axis(), marks, table),)

    def _mattered(self) -> list[Section]:
        slices = tuple(self._slice(key, given) for key, given in self.space.items())
        found = [Section("What mattered", (self._importance_sentence(),), charts=self._importance())]
        return [*found, Section("Each key by itself", ("Other keys differ between these trials, too.",), charts=slices, small=True)]

    def _importance_sentence(self) -> str:
        if self.importances:
            return (
                "The share of the metric's variance over the searched ranges that each key explains (fANOVA, over finished trials). "
                "Another range would give other shares, and few trials give rough ones."
            )
        return f"That takes {LEAST_FOR_IMPORTANCE} finished trials that differ; there are {len(self.finished)}."

    def _importance(self) -> tuple[Chart, ...]:
        if not self.importances:
            return ()
        # The most important at the top.
        shown = sorted(self.importances.items(), key=lambda item: item[1])[-MOST_KEYS:]
        marks: list[Mark] = []
        for place, share in enumerate(share for _, share in shown):
            across, down = np.array([0.0, share]), np.full(2, float(place))
            marks += [Line(across, down, "model", ""), Dots(across[1:], down[1:], "spots", "")]
        table = Table(("key", "share"), tuple((key, number(share, 3)) for key, share in reversed(shown)))
        text = "Shares of importance: " + ", ".join(f"{key} {share:.2f}" for key, share in reversed(shown)) + "."
        across = Axis(0.0, max(1e-9, 1.05 * max(share for _, share in shown)), "share of importance")
        down = Axis(-0.6, len(shown) - 0.4, "", names=tuple(key for key, _ in shown))
        return (Chart("importance", "Importance of the keys", text, across, down, marks, table, flat=len(shown) < 6),)

    def _slice(self, key: str, given: Range | Choices) -> Chart:
        finished, values = self.finished, _values(self.finished)
        best = self.finished[0].values[key]
        rows = tuple((_text(record.values[key]), number(value)) for record, value in zip(finished, values.tolist(), strict=True))
        text = f"{self.label} of finished trials over {key}; the best has {_text(best)}."
        table = Table((key, self.label), rows)
        if isinstance(given, Range):
            marks: list[Mark] = [*self._ended_dots(_of(self.ended, key)), Dots(_of(finished, key), values, "spots", "finished")]
            marks.append(Rule(float(best), upright=True, name=f"best, {_text(best)}"))
            kind = "log" if given.log else "count" if given.whole else "linear"
            return Chart(f"slice-{key}", key, text, Axis(given.low, given.high, key, kind), self._axis(), marks, table)
        order = {choice: float(place) for place, choice in enumerate(reversed(given.labels))}

        def down(records: Sequence[Record]) -> Array:
            return np.array([order[label(record.values[key])] for record in records], np.float64)

        marks = [Dots(_values(self.ended), down(self.ended), "ended", "ended early")] if self.ended else []
        marks.append(Dots(values, down(finished), "spots", "finished"))
        names = tuple(name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…" for name in order)
        return Chart(f"slice-{key}", key, text, self._axis(), Axis(-0.5, len(order) - 0.5, "", names=names), marks, table)

    def _ended_dots(self, across: Array) -> list[Mark]:
        return [Dots(across, _values(self.ended), "ended", "ended early")] if self.ended else []

    def _axis(self) -> Axis:
        """Over all values, logarithmic where they differ by more than ten times."""
        known = _values([*self.finished, *self.ended])
        if known.min() > 0 and known.max() > 10 * known.min():
            return Axis(float(known.min()) / 1.1, float(known.max()) * 1.1, f"{self.label}, log scale", "log")
        return value_axis(self.label, known)

    def _table(self) -> Table:
        rest = [record for record in self.records if record.state != "finished"]
        rows = tuple(
            (
                str(record.number),
                _SAID[record.state],
                number(_value(record) if self.metric == LOSS or record.value is not None else math.nan),
                str(record.epochs),
                number(math.nan if record.seconds is None else record.seconds, 1),
                *(_text(record.values[key]) if key in record.values else "–" for key in self.space),
            )
            for record in (*self.finished, *rest)
        )
        value = "validation loss" if self.metric == LOSS else self.metric
        rest_has = "; of one that was ended early, the validation loss of its last epoch" if self.metric == LOSS else ""
        caption = f"Finished trials by their value, then the others{rest_has}."
        return Table(("trial", "", value, "epochs", "seconds", *self.space), rows, caption, ours=(0,) if self.finished else ())


_SAID = {
    "finished": "finished",
    "pruned": "ended early",
    "failed": "failed",
    "interrupted": "interrupted",
    "running": "running",
    "waiting": "waiting",
}


def report_study(study: Study, out: Path) -> Path:
    """Write the page of a study and give its path."""
    plan = study.plan
    facts = [("study", study.name), ("metric", plan.metric), ("pruner", plan.pruner), ("seed", str(plan.seed))]
    facts += [(f"searched: {key}", str(given)) for key, given in plan.space.keys.items()]
    records = [record for record in study.records if record.state != "waiting"]
    loss = {} if plan.space.task == DEFAULT else {"loss": "validation loss"}
    return write(TuningPage(study.name, plan.metric, plan.space.keys, records, study.importances(), facts, plan.sign, **loss), out)


def _value(record: Record) -> float:
    """The metric of a finished trial, the last loss of another one."""
    found = record.loss if record.value is None else record.value
    return math.nan if found is None else found


def _values(records: Sequence[Record]) -> Array:
    return np.array([_value(record) for record in records], np.float64)


def _places(records: Sequence[Record]) -> Array:
    return np.array([record.number for record in records], np.float64)


def _of(records: Sequence[Record], key: str) -> Array:
    return np.array([record.values[key] for record in records], np.float64)


def _text(value: Any) -> str:
    return number(value) if isinstance(value, float) else label(value)
