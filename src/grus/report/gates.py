"""What the gates of a recurrent network did over a window: units × time, under the input."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from grus.cells import Cell
from grus.cells import get as get_cell
from grus.cells.docs import read_docstring
from grus.report.axes import Array, Axis, positions, time_axis, value_axis
from grus.report.charts import Chart, Heat, Line, Mark, Table, half_step, missing_spans
from grus.report.page import Section
from grus.report.records import GateTrace, Words, cells
from grus.tasks.counted import counted

SHUT, OPEN = 0.1, 0.9  # a gate is nearly shut below the one, nearly open above the other
# What a cell's docstring says of a gate such as z: "update, where z = 1 keeps the old state".
EFFECT = re.compile(r"where \w+ = 1 (keeps|takes) the (\w+ \w+)")
DONE = {"keeps": "kept", "takes": "took"}


def gate_section(trace: GateTrace, words: Words) -> Section:
    """The input over the window, and under it each gate as units × time."""
    meanings = read_meanings(trace.cell)
    x, span = positions(trace.times), time_axis(trace.times, words.step)
    # Half a step more on both sides, so that a cell's middle stands below its point of the input.
    across = Axis(span.low - half_step(x), span.high + half_step(x), span.label, span.kind)
    label = f"{words.target}, as read"
    text = f"The input of {counted(len(x), 'step')} that the gates below belong to."
    table = Table(("time", label), tuple(zip(words.times(trace.times), cells(trace.input), strict=True)))
    marks: tuple[Mark, ...] = (missing_spans(x, trace.input), Line(x, trace.input, "truth", "input"))
    up = value_axis(label, trace.input)
    letters = max(len(tick) for wanted in range(2, 9) for _, tick in up.ticks(wanted))
    charts = [Chart("gates-input", "Input", text, across, up, marks, table, flat=True, letters=letters)]
    gates = in_order(trace.gates, trace.cell)
    titles = {name: f"{name}, {meanings[name]}" if name in meanings else name for name in trace.gates}
    charts += [gate_chart(name, titles[name], values, trace, across, words, letters) for name, values in gates.items()]
    times = words.times(trace.times)
    read = f"While {words.model} read {f'{trace.series}, ' if trace.series else ''}{times[0]} to {times[-1]}."
    others = [name for name in trace.gates if row_of(name, trace.cell) != "unit"]
    first = next((name for name in trace.gates if name not in others), "")
    channels = f"; of {', '.join(others)} a channel, in that of its mean {others[0]}" if others else ""
    rows = f"Each row is a unit, in the order of its mean {first}{channels}; each column one {words.step}."
    bounded = [(name, values) for name, values in trace.gates.items() if values.min() >= 0 and values.max() <= 1]
    seen = [gate_sentence(name, values, meanings.get(name, ""), times, row_of(name, trace.cell)) for name, values in bounded]
    return Section("What the gates did", (*seen, f"{read} {rows}"), charts=tuple(charts))


def in_order(gates: Mapping[str, Array], cell: str | Cell) -> dict[str, Array]:
    """The gates with their units in the order of the means of the first: one order for all, so that a row is the same unit in each of them.

    Gates of the channels have the order of the first of these.

    Shapes: each [L, H].
    """
    rows = {name: (row_of(name, cell), values.shape[1]) for name, values in gates.items()}
    orders: dict[tuple[str, int], NDArray[np.int64]] = {}
    for name, values in gates.items():
        orders.setdefault(rows[name], np.argsort(values.mean(axis=0), kind="stable"))
    return {name: values[:, orders[rows[name]]] for name, values in gates.items()}


def read_meanings(cell: str | Cell) -> dict[str, str]:
    """What each gate is, in the words of its cell's docstring."""
    _, sections = read_docstring(get_cell(cell))
    lines = [line.partition(": ") for line in sections.get("Gates", "").splitlines()]
    return {name: text for name, _, text in lines if text}


def row_of(name: str, cell: str | Cell) -> str:
    """What a gate has one value for at each step: a unit of the layer, or a channel of what it reads, as the decay of GRU-D's inputs."""
    program = get_cell(cell).program
    place, of_inputs = program.outputs.get(name), {variable.dim for variable in program.inputs} - {variable.dim for variable in program.states}
    return "channel" if place is not None and program.nodes[place].dim in of_inputs else "unit"


def gate_sentence(name: str, values: Array, meaning: str, times: list[str], row: str = "unit") -> str:
    """How open a gate was on average, at how many steps it was nearly shut, and what it changes with; its values [L, H] lie in [0, 1].

    row: what it has H of.
    """
    steps, units, effect = values.mean(axis=1), values.mean(axis=0), EFFECT.search(meaning)
    nearly_0, nearly_1 = (f"{int(count)} of {counted(len(steps), 'step')}" for count in ((steps < SHUT).sum(), (steps > OPEN).sum()))
    mean = f"Gate {name} was {values.mean():.2f} on average"
    if effect is None:
        seen = f"{mean}; its mean over {row}s was below {SHUT} at {nearly_0}, above {OPEN} at {nearly_1}."
    else:
        verb, what = effect.groups()
        shut = f"{nearly_1} (mean over {row}s above {OPEN})" if verb == "keeps" else f"{nearly_0} (mean over {row}s below {SHUT})"
        seen = f"{mean}: a step {DONE[verb]} {100 * values.mean():.0f} % of the {what}. It was nearly shut to what is new at {shut}."
    least, most = int(steps.argmin()), int(steps.argmax())
    by_step = f"from step to step ({steps[least]:.2f} at {times[least]}, {steps[most]:.2f} at {times[most]})"
    by_unit = f"from {row} to {row} ({units.min():.2f} to {units.max():.2f})"
    more, less = (by_unit, by_step) if units.std() >= steps.std() else (by_step, by_unit)
    return f"{seen} It differed more {more} than {less}."


def gate_chart(name: str, title: str, values: Array, trace: GateTrace, across: Axis, words: Words, letters: int) -> Chart:
    limit = max(1.0, float(np.abs(values).max()))
    signed = bool((values < 0).any())
    mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    near = f"{100 * float((np.abs(values) > OPEN).mean()):.0f} % of its values lie {'beyond ±0.9' if signed else 'above 0.9'}"
    near += "" if signed else f", {100 * float((values < SHUT).mean()):.0f} % below {SHUT}"
    scale = f"−{limit:.3g} (orange) to {limit:.3g} (blue)" if signed else f"0 (clear) to {limit:.3g} (blue)"
    columns, row = (words.times(trace.times), cells(mean), cells(low), cells(high)), row_of(name, trace.cell)
    table = Table(("time", f"mean over {row}s", "least", "greatest"), tuple(zip(*columns, strict=True)))
    text = f"Gate {title}: {counted(values.shape[1], row)} over {counted(len(values), 'step')}. {near}."
    up = Axis(0.0, float(values.shape[1]), row, "count")
    return Chart(f"gates-{name}", title, text, across, up, (Heat(values.T / limit, scale),), table, f"{near}.", True, letters)
