"""The surest mistakes, or the numbers that were missed most: what was predicted, what carried it, and what the gates did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Bars, Chart, Line, Mark, Spans, Table, half_step, missing_spans
from grus.report.gates import gate_chart, in_order, read_meanings
from grus.report.page import Section
from grus.report.passages import Passage, pieces, strongest
from grus.report.records import GateTrace, Words, cells
from grus.report.sequence_calibration import uncalibrated
from grus.report.sequence_records import Traced
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import figure, percent
from grus.tasks.counted import counted

SHOWN = 3
NAMED = 3  # steps or tokens that a sentence names
MARKED = 0.5  # of the strongest effect: from there on a step is marked, if it is
FEW = 0.25  # one of the strongest quarter
LEAST = 0.01  # of the strongest effect: one that is smaller is not named, as rounding may make it


class Sides(NamedTuple):
    """What an effect above 0 does, and one below, in a legend and in a sentence."""

    above: str
    below: str
    most_above: str
    most_below: str


ANSWER = Sides("for the answer", "against it", "most for it were", "most against it")
NUMBER = Sides("raises the number", "lowers it", "raised most by", "lowered most by")


def sides(judged: Judged) -> Sides:
    return NUMBER if judged.record.kind == "number" else ANSWER


class Chosen(NamedTuple):
    """A sequence of the record, and the output that is looked at."""

    row: int
    output: int
    absent: bool = False  # the answer is that the label is not there


def worst(judged: Judged) -> list[Chosen]:
    """The surest mistakes; where there are none, the least sure answers. Of numbers the largest errors."""
    found = judged.found
    if found.kind == "number":
        spread = found.truth.std(0)
        errors = np.abs(found.truth - found.predicted) / np.where(spread > 0, spread, 1.0)
        order = np.argsort(-errors.max(1), kind="stable")[:SHOWN]
        return [Chosen(int(row), int(errors[row].argmax())) for row in order]
    if found.kind == "labels":
        sure, wrong = np.abs(found.predicted - 0.5), found.chosen != (found.truth > 0.5)
        score = np.where(wrong, sure, -1 - sure) if wrong.any() else -sure
        rows = np.argsort(-score.max(1), kind="stable")[:SHOWN]
        chosen = [(int(row), int(score[row].argmax())) for row in rows if score[row].max() > -1 or not wrong.any()]
        return [Chosen(row, k, not found.chosen[row, k]) for row, k in chosen]
    sure, wrong = found.predicted.max(1), ~found.right
    order = np.argsort(-np.where(wrong, sure, -1.0) if wrong.any() else sure, kind="stable")[:SHOWN]
    return [Chosen(int(row), int(found.predicted[row].argmax())) for row in order if wrong[row] or not wrong.any()]


def example_section(judged: Judged, traced: Sequence[Traced], called: str = "") -> Section | None:
    """A part for each sequence, with its id, of which `called` says what it is; None where none is shown."""
    if not traced:
        return None
    texts = [called, _how(judged, traced), _gates_are(traced)]
    if judged.record.kind == "number":
        title, first = "Largest errors", "The sequences that were missed most, the worst first."
    elif judged.found.right.all():
        title, first = "Least sure answers", "There are no mistakes; these are the answers with the lowest probability."
    else:
        title, first = (
            "Surest mistakes",
            "The mistakes with the highest probability, the surest first: look here for what the network does not know.",
        )
    parts = tuple(_part(judged, each, place) for place, each in enumerate(traced, 1))
    return Section(title, (first, *filter(None, texts)), parts=parts)


def _gates_are(traced: Sequence[Traced]) -> str:
    if not any(each.gates for each in traced):
        return ""
    which = "the last layer, the units of both directions together" if traced[0].both else "the last layer"
    return f"The gates are those of {which}; the darker, the more open."


def _how(judged: Judged, traced: Sequence[Traced]) -> str:
    """What the marks mean, and how they were found."""
    what = "token" if traced[0].is_text else "step"
    amount = "the number, in scaled units," if judged.record.kind == "number" else f"the log-odds of the answer{untempered(judged)}"
    colours = "Blue raises it, orange lowers it." if judged.record.kind == "number" else "Blue speaks for the answer, orange against it."
    methods = {each.method for each in traced}
    means = f"by how much {amount} would change with another {what} in its place, {traced[0].other}"
    if methods == {"occlusion"}:
        return f"Marked by occlusion: {means}. {colours}"
    if methods == {"gradient × input"}:
        return f"Marked by gradient × input, an estimate of {means}. {colours}"
    return f"Marked by occlusion, {means}, or, where the sequence is long, by gradient × input, an estimate of the same; each says which. {colours}"


def untempered(judged: Judged) -> str:
    """What the log-odds of networks lack, where the page's probabilities have it."""
    return "" if uncalibrated(judged.record) is None else ", before the temperature,"


def _part(judged: Judged, each: Traced, place: int) -> Section:
    gates, way = _gate_charts(each, place), sides(judged)
    if each.is_text:
        return Section(_title(judged, each), (_carried(each, way),), passages=(_passage(each, place, way),), charts=gates, small=True)
    return Section(_title(judged, each), (_carried(each, way),), charts=(_input(each, place, way), _effect(each, place, way), *gates), small=True)


def _title(judged: Judged, each: Traced) -> str:
    record, name = judged.record, judged.record.names[each.output]
    said, who = float(record.predicted[record.model][each.row, each.output]), f"{'Text' if each.is_text else 'Sequence'} {record.ids[each.row]}"
    if record.kind == "number":
        return f"{who}: {name} predicted {figure(said)}, is {figure(float(record.truth.values[each.row, each.output]))}"
    if record.kind == "labels":
        return f"{who}: {name} predicted with {percent(said)}, is {'' if record.truth.values[each.row, each.output] else 'not '}there"
    true = record.names[int(record.truth.values[each.row])]
    return f"{who}: predicted {name} ({percent(said)}), is {true}"


def _carried(each: Traced, way: Sides) -> str:
    """The strongest steps for and against, named."""
    order, least = np.argsort(-each.effect, kind="stable"), LEAST * float(np.abs(each.effect).max())
    above = [_step(each, int(step)) for step in order[:NAMED] if each.effect[step] > least]
    below = [_step(each, int(step)) for step in order[::-1][:NAMED] if each.effect[step] < -least]
    told = [f"{what} {', '.join(steps)}" for what, steps in ((way.most_above, above), (way.most_below, below)) if steps]
    return f"By {each.method}: {'; '.join(told) or 'no step has an effect'}."


def _step(each: Traced, step: int) -> str:
    value = figure(float(each.effect[step]))
    value = value if each.effect[step] < 0 else f"+{value}"
    if each.is_text:
        return f"“{each.text[slice(*each.spans[step])].strip() or '␣'}” ({value})"
    return f"{_place(each, step)} ({value})"


def _place(each: Traced, step: int) -> str:
    return f"step {step + 1}" if each.times is None else f"time {figure(float(each.times[step]))}"


def _passage(each: Traced, place: int, way: Sides) -> Passage:
    start, stop = strongest(each.effect)
    spans = each.spans[start:stop]
    first, last = (0 if start == 0 else spans[0][0]), (len(each.text) if stop == len(each.effect) else max(end for _, end in spans))
    marked = pieces(each.text[first:last], [(low - first, high - first) for low, high in spans], each.effect[start:stop])
    whole = (*((("… ", 0.0),) if first else ()), *marked, *(((" …", 0.0),) if last < len(each.text) else ()))
    tokens = [each.text[slice(*span)].strip() for span in each.spans]
    table = Table(("token", "place", "effect"), tuple(zip(tokens, map(str, range(1, len(tokens) + 1)), cells(each.effect), strict=True)))
    return Passage(f"example-{place}", whole, (way.above, way.below), table, " ".join(_shown(each, stop - start)))


def _shown(each: Traced, count: int) -> Iterator[str]:
    """What the marks on a text do not tell."""
    if count < len(each.effect):
        yield f"The {count} neighbouring tokens, of {len(each.effect)} that were read, whose effects are the largest."
    if each.unread:
        yield f"Cut off, and not read: {each.unread} of its {counted(len(each.effect) + each.unread, 'token')}."
    if any(later < end for (_, end), (later, _) in pairwise(each.spans)):
        yield "What several tokens cover has the sum of their effects."


def _positions(each: Traced) -> tuple[Array, Array, Axis]:
    """The steps along an axis, and where each begins and the last ends."""
    if each.times is None:
        return _even(len(each.effect))
    x, half = each.times, half_step(each.times)
    edges = np.concatenate([x[:1] - half, (x[1:] + x[:-1]) / 2, x[-1:] + half])
    return x, edges, Axis(float(edges[0]), float(edges[-1]), "time")


def _even(steps: int) -> tuple[Array, Array, Axis]:
    return np.arange(1.0, steps + 1), np.arange(0.5, steps + 1), Axis(0.5, steps + 0.5, "step", "count")


def _input(each: Traced, place: int, way: Sides) -> Chart:
    """The channels that count most, the steps marked that carried what was said."""
    assert each.values is not None
    x, edges, across = _positions(each)
    size = np.abs(each.effect)
    marked = (size > 0) & (size >= max(MARKED * float(size.max()), float(np.quantile(size, 1 - FEW))))
    strong = {role: np.flatnonzero(marked & (sign * each.effect > 0)) for role, sign in (("towards", 1), ("away", -1))}
    names = {"towards": f"strongest steps: {way.above}", "away": f"strongest steps: {way.below}"}
    marks: list[Mark] = [Spans(tuple((float(edges[s]), float(edges[s + 1])) for s in steps), names[role], role) for role, steps in strong.items()]
    if len(each.channels) == 1:
        marks.append(missing_spans(x, each.values[:, 0]))
    roles = ("truth", "best", "other")
    marks += [Line(x, each.values[:, k], roles[k], name) for k, name in enumerate(each.channels)]
    label = "scaled units" if each.scaled else each.channels[0]
    table = Table(
        ("step", *each.channels),
        tuple(zip((_place(each, step) for step in range(len(x))), *(cells(column) for column in each.values.T), strict=True)),
    )
    title = "What it read" if not each.scaled else "What it read: the channels that count most"
    text = f"The values over {counted(len(x), 'step')}; {len(strong['towards'])} of them are marked as the strongest {way.above}."
    return Chart(f"example-{place}-input", title, text, across, value_axis(label, each.values), marks, table, flat=True)


def _effect(each: Traced, place: int, way: Sides) -> Chart:
    """What each step did for what was said."""
    x, edges, across = _positions(each)
    marks = [Bars(edges, np.maximum(each.effect, 0), way.above, "towards"), Bars(edges, np.minimum(each.effect, 0), way.below, "away")]
    table = Table(("step", "effect"), tuple(zip((_place(each, step) for step in range(len(x))), cells(each.effect), strict=True)))
    ends = f"from {figure(float(each.effect.min()))} to {figure(float(each.effect.max()))}"
    text = f"Effect of each step by {each.method}, over {counted(len(x), 'step')}: {ends}."
    return Chart(
        f"example-{place}-effect",
        f"Effect of each step, by {each.method}",
        text,
        across,
        value_axis("effect", each.effect, zero=True),
        marks,
        table,
        flat=True,
    )


def _gate_charts(each: Traced, place: int) -> tuple[Chart, ...]:
    """Each gate as units × steps, all in one order of the units."""
    if not each.gates:
        return ()
    steps, meanings = len(next(iter(each.gates.values()))), read_meanings(each.cell)
    same = steps == len(each.effect)
    x, _, across = _positions(each) if same and not each.is_text else _even(steps)
    label = ("token" if each.is_text else across.label) if same else "step behind the convolutions"
    trace = GateTrace(np.array([number(value) for value in x]), np.zeros(steps), each.gates, "", each.cell)
    words, titled = Words("", "", "", label), Axis(across.low, across.high, label, across.kind)
    charts = (gate_chart(name, meanings.get(name, ""), values, trace, titled, words, 1) for name, values in in_order(each.gates, each.cell).items())
    return tuple(
        Chart(
            f"example-{place}-{chart.name}",
            f"{name}{', ' if chart.title else ''}{chart.title}",
            chart.text,
            chart.x,
            chart.y,
            chart.marks,
            chart.table,
            chart.caption,
            True,
        )
        for name, chart in zip(each.gates, charts, strict=True)
    )
