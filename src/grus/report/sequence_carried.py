"""What carried the answers over the whole test part: words, steps and channels."""

from __future__ import annotations

import numpy as np

from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Bars, Chart, Table
from grus.report.page import Section
from grus.report.records import cells
from grus.report.sequence_examples import untempered
from grus.report.sequence_records import Carried
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import figure, percent, sequences
from grus.tasks.counted import counted

MOST_CLASSES = 12  # whose tokens are listed
MOST_CHANNELS = 15


def carried_section(judged: Judged, carried: Carried) -> Section:
    """By gradient × input, summed over many sequences."""
    record = judged.record
    answer = "most probable label" if record.kind == "labels" else "answer"
    what = f"{record.names[0]}, in scaled units," if record.kind == "number" else f"the log-odds of the {answer}{untempered(judged)}"
    looked = sequences(carried.count) + ("" if carried.count == len(record) else f" of {len(record)}, drawn at random")
    unit = "token" if carried.tokens else "step"
    how = f"By gradient × input over {looked}: an estimate of what {what} would lose with a {unit} replaced by {carried.other}."
    if carried.tokens:
        return Section("Words that carried the answers", (how, *_first_words(carried)), facts=_words(carried, record.kind == "number"))
    charts = () if carried.steps is None else (_along(carried),)
    return Section(
        "Steps that carried the answers", (how, *_said(carried)), (_channels(carried),) if len(carried.channels) > 1 else (), charts=charts
    )


def _first_words(carried: Carried) -> list[str]:
    if len(carried.tokens) > MOST_CLASSES:
        return [f"Shown are the {MOST_CLASSES} answers given most often. Each token with its mean effect and how often it occurred there."]
    return ["Each token with its mean effect and how often it occurred where that was the answer; the largest effect together first."]


def _words(carried: Carried, is_number: bool) -> tuple[tuple[str, str], ...]:
    most = sorted(carried.tokens, key=lambda name: -sum(count for _, _, count in carried.tokens[name]))[:MOST_CLASSES]
    shown = [name for name in carried.tokens if name in most]

    def told(token: str, total: float, count: int) -> str:
        return f"“{token}” (+{figure(total / count)}, {counted(count, 'time')})"

    return tuple((f"raise {name}" if is_number else name, ", ".join(told(*entry) for entry in carried.tokens[name]) or "–") for name in shown)


def _said(carried: Carried) -> list[str]:
    """Where most of the effect lies."""
    said = list[str]()
    if carried.steps is not None and np.nansum(carried.steps) > 0:
        steps: Array = np.nan_to_num(carried.steps)
        order = np.argsort(-steps, kind="stable")
        needed = int(np.searchsorted(np.cumsum(steps[order]), float(steps.sum()) / 2)) + 1
        what = "twentieths of the way" if carried.by_share else "steps"
        said.append(f"Half of all effect lies on {needed} of {len(steps)} {what}; the largest at {_at(carried, int(order[0]))}.")
    if len(carried.channels) > 1:
        listed = ", ".join(f"{name} ({percent(share, 0)})" for name, share in list(carried.channels.items())[:3])
        said.append(f"The channels that count most: {listed}.")
    return said


def _at(carried: Carried, place: int) -> str:
    assert carried.steps is not None
    width = 100 / len(carried.steps)
    return f"{place * width:.0f} to {(place + 1) * width:.0f} % of the sequence" if carried.by_share else f"step {place + 1}"


def _along(carried: Carried) -> Chart:
    """The mean size of the effect along a sequence."""
    steps = carried.steps
    assert steps is not None
    edges: Array = np.linspace(0.0, 100.0, len(steps) + 1) if carried.by_share else np.arange(len(steps) + 1) + np.float64(0.5)
    across = Axis(float(edges[0]), float(edges[-1]), "place in the sequence (%)" if carried.by_share else "step", "count")
    table = Table(("place", "mean size of the effect"), tuple(zip((_at(carried, place) for place in range(len(steps))), cells(steps), strict=True)))
    text = f"Mean size of the effect along a sequence, from {figure(float(np.nanmin(steps)))} to {figure(float(np.nanmax(steps)))}."
    marks = [Bars(edges, np.nan_to_num(steps), "mean size")]
    return Chart(
        "carried-steps", "Where in the sequence", text, across, value_axis("mean size of the effect", steps, zero=True), marks, table, flat=True
    )


def _channels(carried: Carried) -> Table:
    shown = list(carried.channels.items())[:MOST_CHANNELS]
    caption = f"The {MOST_CHANNELS} of {len(carried.channels)} channels that count most." if len(carried.channels) > MOST_CHANNELS else ""
    return Table(("channel", "share of all effect (%)"), tuple((name, number(100 * share, 1)) for name, share in shown), caption)
