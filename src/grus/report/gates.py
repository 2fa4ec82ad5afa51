"""What the gates of a recurrent network did over a window: units × time, under the input."""

from __future__ import annotations

import numpy as np

from grus.report.axes import Array, Axis, positions, time_axis, value_axis
from grus.report.charts import Chart, Heat, Line, Mark, Table, half_step, missing_spans
from grus.report.page import Section
from grus.report.records import GateTrace, Words, cells

GATES = {
    "r": "reset: near 0 the candidate ignores the past",
    "z": "update: near 1 keeps the old state",
    "n": "candidate: what a new state would be",
    "i": "input: near 1 lets the new value in",
    "f": "forget: near 1 keeps the cell",
    "g": "candidate: what a new value would be",
    "o": "output: near 1 shows the cell",
}


def gate_section(trace: GateTrace, words: Words) -> Section:
    """The input over the window, and under it each gate as units × time."""
    x, span = positions(trace.times), time_axis(trace.times, words.step)
    # Half a step more on both sides, so that a cell's middle stands below its point of the input.
    across = Axis(span.low - half_step(x), span.high + half_step(x), span.label, span.kind)
    label = f"{words.target}, as read"
    text = f"The input of {len(x)} steps that the gates below belong to."
    table = Table(("time", label), tuple(zip(words.times(trace.times), cells(trace.input), strict=True)))
    marks: tuple[Mark, ...] = (missing_spans(x, trace.input), Line(x, trace.input, "truth", "input"))
    up = value_axis(label, trace.input)
    letters = max(len(tick) for wanted in range(2, 9) for _, tick in up.ticks(wanted))
    charts = [Chart("gates-input", "Input", text, across, up, marks, table, flat=True, letters=letters)]
    # One order for all gates, so that a row is the same unit in each of them.
    order = np.argsort(next(iter(trace.gates.values())).mean(axis=0), kind="stable") if trace.gates else np.zeros(0, np.int64)
    charts += [gate_chart(name, values[:, order], trace, across, words, letters) for name, values in trace.gates.items()]
    times = words.times(trace.times)
    read = f"While {words.model} read {f'{trace.series}, ' if trace.series else ''}{times[0]} to {times[-1]}."
    rows = f"Each row is a unit, in the order of its mean {next(iter(trace.gates), '')}; each column one {words.step}."
    return Section("What the gates did", (f"{read} {rows}",), charts=tuple(charts))


def gate_chart(name: str, values: Array, trace: GateTrace, across: Axis, words: Words, letters: int) -> Chart:
    limit = max(1.0, float(np.abs(values).max()))
    signed = bool((values < 0).any())
    mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    title = f"{name}, {GATES[name]}" if name in GATES else name
    near = f"{100 * float((np.abs(values) > 0.9).mean()):.0f} % of its values lie {'beyond ±0.9' if signed else 'above 0.9'}"
    near += "" if signed else f", {100 * float((values < 0.1).mean()):.0f} % below 0.1"
    scale = f"−{limit:.3g} (orange) to {limit:.3g} (blue)" if signed else f"0 (clear) to {limit:.3g} (blue)"
    columns = (words.times(trace.times), cells(mean), cells(low), cells(high))
    table = Table(("time", "mean over units", "least", "greatest"), tuple(zip(*columns, strict=True)))
    text = f"Gate {title}: {values.shape[1]} units over {len(values)} steps. {near}."
    up = Axis(0.0, float(values.shape[1]), "unit", "count")
    return Chart(f"gates-{name}", title, text, across, up, (Heat(values.T / limit, scale),), table, f"{near}.", True, letters)
