"""On what the answer of a page rests: which sequences were tested, whether training holds them too, and by which score models are compared."""

from __future__ import annotations

import numpy as np

from grus.evaluation.metrics import mae
from grus.evaluation.scores import mean_of_defined, scaled, score
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import brief, figure, metric_of, percent, said, sequences
from grus.tasks.counted import counted
from grus.tasks.sequence_record import SequenceRecord

NAMED = 6  # classes or targets in a sentence


def scope(record: SequenceRecord) -> str:
    """How many sequences were tested, and what is true of them."""
    tested = f"Tested on {sequences(len(record))}{_in_groups(record)}{_apart(record)}"
    if record.kind == "number":
        low, high = record.truth.values.min(0), record.truth.values.max(0)
        ranges = [f"{name} from {figure(a)} to {figure(b)}" for name, a, b in zip(record.names, low, high, strict=True)]
        return f"{tested}: {_listed(ranges, 3)}."
    counts = sorted(zip(brief(record.names), record.truth.counts.values(), strict=True), key=lambda entry: -entry[1])
    listed = _listed([f"{name} ({count})" for name, count in counts], NAMED)
    what = counted(len(counts), "class", "classes") if record.kind == "class" else counted(len(counts), "label")
    return f"{tested}; {what}: {listed}."


def _listed(parts: list[str], most: int) -> str:
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _in_groups(record: SequenceRecord) -> str:
    count = len(set(record.groups or ()))
    return f" in {counted(count, 'group')}" if count else ""


def _apart(record: SequenceRecord) -> str:
    """Whether what was tested had a part in the training; nothing where that was not looked at."""
    if record.repeated is None:
        return ""
    counts = {part: len(rows) for part, rows in record.repeated.items() if rows}
    if not counts:
        return " that had no part in training"
    if len(record) == 1:
        return f", which stands in the {' and in the '.join(counts)} part too"
    told = " and ".join(f"{'all' if count == len(record) else count} in the {part}" for part, count in counts.items())
    first = next(iter(counts.values()))
    return f", of which {told.replace(' in', ' stands in' if first == 1 else ' stand in', 1)} part too"


def on_others(judged: Judged) -> str:
    """The score on the sequences that stand in no other part, in the units of the score on all of them; "" where all do, or none does."""
    record, metric = judged.record, judged.metric
    rows = np.array(record.alone, np.int64)
    if not 0 < len(rows) < len(record):
        return ""
    truth, names = record.truth.rows(rows), [record.model, *(found.rival for found in judged.gaps[:1])]
    predicted = [record.predicted[name][rows] for name in names]
    if metric == "scaled_mae":
        values = [mean_of_defined(scaled(mae(truth.values, own, axis=0), record.truth.values)) for own in predicted]
    else:
        values = [score(truth, own).values[metric] for own in predicted]
    others = "On the 1 other" if len(rows) == 1 else f"On the {len(rows)} others"
    if not np.isfinite(values).all():
        return f"{others} the {metric_of(metric).label} is undefined."
    beside = f", {names[1]} {said(metric, values[1])}" if len(names) > 1 else ""
    return f"{others} {names[0]} reaches {metric_of(metric).label} {said(metric, values[0])}{beside}."


def why_metric(judged: Judged) -> str:
    """Why the answer is not by accuracy, or by the error; "" where it is, or where there is none."""
    record, metric, counts = judged.record, judged.metric, judged.record.truth.counts
    if metric == "scaled_mae":
        return "Compared by scaled MAE: the error of each target over its standard deviation here, as errors in several units have no mean."
    if record.kind != "class" or metric == "accuracy":
        return ""
    most = max(counts, key=lambda name: counts[name])
    share = percent(counts[most] / len(record), 0)
    return f"Compared by {metric_of(metric).label}, as {share} of the sequences are {most}: whoever always says so is right that often."


def each_target(judged: Judged) -> str:
    """The mean absolute error of each of several targets in its own units, beside the best baseline's; "" for one target."""
    record = judged.record
    if record.kind != "number" or len(record.names) == 1:
        return ""
    told = [f"{name} {figure(row['mae'])}" for name, row in judged.own.each.items()]
    if judged.gaps:
        theirs = record.scores_of(judged.gaps[0].rival).each.values()
        told = [f"{each} ({judged.gaps[0].rival} {figure(row['mae'])})" for each, row in zip(told, theirs, strict=True)]
    return f"Mean absolute error of each: {_listed(told, NAMED)}."
