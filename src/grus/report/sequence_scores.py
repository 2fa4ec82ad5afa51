"""How good the answers are beside baselines, surely or perhaps by chance: one sentence, a table, and a sentence for each rival."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from grus.evaluation.bootstrap import UNDRAWN, Draws, Interval, difference_interval
from grus.evaluation.comparison import McNemar, delong
from grus.evaluation.predictions import Predictions
from grus.evaluation.scores import Scores, compared_by, main_metric
from grus.report.axes import Array, number
from grus.report.charts import Table
from grus.report.page import Section
from grus.report.records import cells
from grus.report.sequence_words import REPEATED, brief, chance, is_better_low, metric_of, percent, said, sequences, span
from grus.tasks.sequence_record import SequenceRecord

SURE = 0.05  # probability below which chance is not called an explanation
DRAWS = Draws(count=1000)
UNRANKED, UNRANKED_AS = ("ece",), "whoever says the frequencies of every sequence has a small one, and knows nothing"


class Gap(NamedTuple):
    """The network's score, a baseline's, the difference as a sentence has it, and whether it is more than chance explains."""

    metric: str
    rival: str
    ours: float
    theirs: float
    evidence: str
    sure: bool

    @property
    def better(self) -> float:
        """How much better the network is, below 0 where it is worse."""
        return (self.theirs - self.ours) if is_better_low(self.metric) else self.ours - self.theirs


@dataclass(frozen=True, eq=False)
class Judged:
    """A record with its scores, each computed once."""

    record: SequenceRecord

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        return self.record.scores()

    @cached_property
    def own(self) -> Scores:
        """Those of the network, with each class's."""
        return self.record.scores_of(self.record.model)

    @cached_property
    def found(self) -> Predictions:
        """What the network said beside the truth."""
        return Predictions.of(self.record.truth, self.record.predicted[self.record.model])

    @cached_property
    def compared(self) -> dict[str, McNemar | Interval]:
        return self.record.compared()

    @cached_property
    def metric(self) -> str:
        """What networks and baselines are compared by."""
        return main_metric(self.record.truth)

    @cached_property
    def gaps(self) -> list[Gap]:
        """The network beside each baseline, the best one first; none where its own score is undefined."""
        return [gap(self, name, self.metric) for name in rivals(self, self.metric)] if math.isfinite(self.own[self.metric]) else []


def rivals(judged: Judged, metric: str) -> list[str]:
    """The baselines, the best first."""
    scores = judged.scores
    known = [name for name in scores if name != judged.record.model and math.isfinite(scores[name][metric])]
    return sorted(known, key=lambda name: scores[name][metric] if is_better_low(metric) else -scores[name][metric])


def gap(judged: Judged, rival: str, metric: str) -> Gap:
    """The network beside a baseline: McNemar's test of accuracy, DeLong's of the ROC AUC, a bootstrap of any other score and of groups."""
    scores, record = judged.scores, judged.record
    ours, theirs = scores[record.model][metric], scores[rival][metric]
    if record.too_few:
        return Gap(metric, rival, ours, theirs, record.too_few, sure=False)
    found = judged.compared[rival] if metric == compared_by(record.truth) else _interval(record, rival, metric)
    if isinstance(found, McNemar):
        right = f"only {record.model} was right on {found.only_a}, only {rival} on {found.only_b}"
        return Gap(metric, rival, ours, theirs, f"{right}; McNemar's test, {chance(found.p_value)}", found.p_value < SURE)
    between = f"{_level(found)} interval of the difference {span(metric, found.low, found.high)}"
    between += ", groups drawn as wholes" if record.groups is not None else ""
    return Gap(metric, rival, ours, theirs, between, found.low > 0 or found.high < 0)


def _interval(record: SequenceRecord, rival: str, metric: str) -> Interval:
    mine, other = record.predicted[record.model], record.predicted[rival]
    if metric == "roc_auc" and record.groups is None:
        found = delong(record.truth.values, mine[:, 1], other[:, 1], DRAWS.confidence)
        return Interval(found.difference, found.low, found.high, math.nan, confidence=DRAWS.confidence)
    return difference_interval(record.truth, mine, other, metric, DRAWS, record.groups)


def _level(found: Interval) -> str:
    """How often such an interval should hold: "95 %"."""
    return f"{100 * found.confidence:g} %"


def answer(judged: Judged) -> str:
    """How much better, or worse, than the best baseline, and whether chance may explain it."""
    record, metric = judged.record, judged.metric
    if not math.isfinite(judged.own[metric]):
        return f"{record.model} was tested on {sequences(len(record))}, of which its {metric_of(metric).label} is undefined."
    ours = _told(record, metric, judged.own[metric]) + _bounds(record, metric)
    if not judged.gaps:
        return f"{ours}; no baseline was run beside it, so nothing says whether that is good."
    return f"{ours}, {beside(judged.gaps[0])}."


def beside(found: Gap) -> str:
    """The difference to the best baseline, with a verdict."""
    theirs, size = f"{found.rival} ({said(found.metric, found.theirs)})", abs(found.better)
    if size == 0:
        return f"no better than the best baseline, {theirs}"
    more = "more" if found.ours > found.theirs else "less"
    if metric_of(found.metric).share:
        much = f"{number(100 * size, 1)} points {more} than"
    elif found.theirs > 0 and found.ours >= 2 * found.theirs:
        much = f"{number(found.ours / found.theirs, 1)} times as much as"
    else:
        much = f"{percent(size / abs(found.theirs), 0) if found.theirs else said(found.metric, size)} {more} than"
    verdict = "more than chance explains" if found.sure else "but chance may explain it"
    return f"{much} the best baseline, {theirs}: {'better' if found.better > 0 else 'worse'}, {verdict}"


def _told(record: SequenceRecord, metric: str, value: float) -> str:
    amount, of = said(metric, value), sequences(len(record))
    if metric == "accuracy":
        return f"{record.model} predicted the right class for {amount} of {of}"
    if metric == "mae":
        return f"{record.model} missed {record.names[0]} of {of} by {amount} on average"
    if metric == "scaled_mae":
        return f"{record.model} missed {len(record.names)} targets of {of} by {amount} of their standard deviations on average"
    return f"{record.model} reached a {metric_of(metric).label} of {amount} on {of}"


def _bounds(record: SequenceRecord, metric: str) -> str:
    found = drawn(record, metric)
    return "" if found is None else f" ({_level(found)} interval {span(metric, found.low, found.high)})"


def drawn(record: SequenceRecord, metric: str) -> Interval | None:
    """The interval; None where there is none, or where every draw gives the same score, which says nothing of how far off it may be."""
    found = record.intervals.get(metric)
    return None if found is None or found.low == found.high else found


def comparisons(judged: Judged) -> list[str]:
    """A sentence for each baseline, the best first."""
    return [_comparison(judged.record, found) for found in judged.gaps]


def _comparison(record: SequenceRecord, found: Gap) -> str:
    verdict = "no better and no worse than" if found.better == 0 else "better than" if found.better > 0 else "worse than"
    verdict = verdict if found.sure or found.better == 0 else f"{verdict.removesuffix(' than')}, perhaps by chance, than"
    scores = f"{metric_of(found.metric).label} {said(found.metric, found.ours)} against {said(found.metric, found.theirs)}"
    return f"{record.model} is {verdict} {found.rival}: {scores} ({found.evidence})."


def score_table(judged: Judged) -> Table:
    """Metrics by network, its interval, and baselines; the best of each row in bold."""
    record, scores = judged.record, judged.scores
    names = list(scores)
    metrics = [metric for metric in scores[record.model] if metric not in REPEATED[record.kind]]
    rows, strong = list[tuple[str, ...]](), set[tuple[int, int]]()
    for row, metric in enumerate(metrics):
        values, bounds = np.array([scores[name][metric] for name in names]), drawn(record, metric)
        ends = np.array([math.nan] * 2 if bounds is None else [bounds.low, bounds.high])
        *texts, low, high = _texts(metric, np.concatenate([values, ends]))
        between = [] if not record.intervals else ["–" if bounds is None else f"{low} to {high}"]
        rows.append((f"{metric_of(metric).label}{' (%)' if metric_of(metric).share else ''}", texts[0], *between, *texts[1:]))
        if metric not in UNRANKED and np.isfinite(values).sum() > 1:
            best = np.flatnonzero(values == (np.nanmin(values) if is_better_low(metric) else np.nanmax(values))).tolist()
            strong |= {(row, place + 1 + (len(between) if place else 0)) for place in best}
    interval = [f"{_level(next(iter(record.intervals.values())))} interval"] if record.intervals else []
    smaller = [metric_of(metric).label for metric in metrics if is_better_low(metric)]
    meanings = "; ".join(f"{metric_of(metric).label}: {meaning(metric, record)}" for metric in metrics)
    none = "".join(f" The {metric_of(metric).label} has no best: {UNRANKED_AS}." for metric in metrics if metric in UNRANKED)
    caption = f"The best in bold; smaller is better for {', '.join(smaller)}.{none} {meanings}.{_told_of_draws(record, metrics)}"
    return Table(("", record.model, *interval, *names[1:]), tuple(rows), caption, frozenset(strong))


def meaning(metric: str, record: SequenceRecord) -> str:
    """What a metric is; of two classes, which one it is of."""
    told = metric_of(metric).meaning
    if record.kind != "class" or len(record.names) != 2:
        return told
    first, second = brief(record.names)
    return told.replace("the second class", f"class {second}").replace("the first class", f"class {first}")


def _told_of_draws(record: SequenceRecord, metrics: list[str]) -> str:
    """What a reader must know of the intervals: of which scores it holds, unless of all."""
    known = {metric: record.intervals[metric] for metric in metrics if metric in record.intervals}
    told: dict[str, list[str]] = {}
    for metric, found in known.items():
        for finding in found.findings:
            told.setdefault(finding, []).append(metric_of(metric).label)
    listed = [finding if len(of) == len(known) else f"{finding} ({', '.join(of)})" for finding, of in told.items()]
    listed += [f"there is none of the {metric_of(metric).label}, to which every draw adds" for metric in metrics if known and metric in UNDRAWN]
    return f" Of the intervals: {'; '.join(listed)}." if listed else ""


def _texts(metric: str, values: Array) -> list[str]:
    return [number(100 * value, 1) for value in values] if metric_of(metric).share else cells(values, least=True)


def seed_section(judged: Judged) -> Section | None:
    """Mean and interval of every metric over the seeds; None where there is one seed."""
    record, metric, scores = judged.record, judged.metric, judged.scores
    if not record.seeds:
        return None
    found = record.over_seeds()
    rows: list[tuple[str, ...]] = []
    for name, spread in ((name, spread) for name, spread in found.items() if name not in REPEATED[record.kind]):
        others = [] if name in UNRANKED else rivals(judged, name)
        rival = f"{said(name, scores[others[0]][name])}, {others[0]}" if others else "–"
        rows.append((metric_of(name).label, *(said(name, value) for value in (spread.mean, spread.low, spread.high)), rival))
    caption = "The interval is over the seeds alone: other data or another split is another matter. Baselines have no seed."
    table = Table(("", "mean", "95 % from", "to", "best baseline"), tuple(rows), caption)
    times = f"{record.model} was trained and tested {len(record.tested_seeds)} times, each with its own seed"
    if metric not in found:
        return Section("Over seeds", (f"{times}; {metric_of(metric).label} is undefined for one of them.",), tables=(table,))
    spread, others = found[metric], rivals(judged, metric)
    text = f"{times}; {metric_of(metric).label} on average {said(metric, spread.mean)}, "
    text += f"Student's interval of the mean {span(metric, spread.low, spread.high)}."
    if others:
        score = scores[others[0]][metric]
        where = "below" if spread.high < score else "above" if spread.low > score else "on both sides of"
        text += f" That lies {where} the best baseline, {others[0]} ({said(metric, score)})."
    return Section("Over seeds", (text,), tables=(table,))
