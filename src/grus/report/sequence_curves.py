"""How well probabilities rank sequences, at every threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from grus.evaluation.classification import average_precision, roc_auc
from grus.report.axes import Array, Axis
from grus.report.charts import Band, Chart, Line, Mark, Rule, Table
from grus.report.page import Section
from grus.report.records import cells
from grus.report.sequence_scores import Judged, rivals
from grus.report.sequence_words import brief, percent

GRID = np.linspace(0, 1, 101)
MOST_POINTS = 160  # of a curve
MOST_LINES = 12  # classes that are still told apart; of more the range is drawn


class Kind(NamedTuple):
    """One sort of curve: its points, the score below it, and what its axes are."""

    name: str
    title: str
    points: Callable[[Array, Array], tuple[Array, Array]]
    score: Callable[[Array, Array], float]
    across: str
    up: str
    below: str


def roc_points(truth: Array, probability: Array) -> tuple[Array, Array]:
    """False and true positives as shares of the negatives and positives, from the highest threshold on."""
    right, wrong = _counts(truth, probability)
    return np.append(0.0, wrong / wrong[-1]), np.append(0.0, right / right[-1])


def precision_points(truth: Array, probability: Array) -> tuple[Array, Array]:
    """Recall and precision, from the highest threshold on, in steps: up to each recall the precision with which it is reached, so that the average
    precision lies below."""
    right, wrong = _counts(truth, probability)
    reached = np.diff(right, prepend=0.0) > 0
    recall, precision = (right / right[-1])[reached], (right / (right + wrong))[reached]
    return np.append(0.0, np.repeat(recall, 2)[:-1]), np.repeat(precision, 2)


ROC = Kind("roc", "ROC", roc_points, roc_auc, "false positives (share)", "true positives (share)", "AUC")
PRECISION = Kind("precision-recall", "Precision by recall", precision_points, average_precision, "recall", "precision", "average precision")


def _counts(truth: Array, probability: Array) -> tuple[Array, Array]:
    """Positives and negatives at or above each distinct threshold."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    right = np.cumsum(truth[order])[last]
    return right, last + 1.0 - right


def curve_section(judged: Judged) -> Section | None:
    """ROC and precision by recall; None where no class has both examples and others."""
    truth = judged.found.truth
    drawn = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    if not drawn:
        return None
    if judged.record.kind == "class" and len(judged.record.names) == 2:
        charts = tuple(_of_two(judged, kind) for kind in (ROC, PRECISION))
        text = f"Of {judged.record.names[1]} against {judged.record.names[0]}, at every threshold of its probability."
    else:
        charts = tuple(_of_many(judged, kind, drawn) for kind in (ROC, PRECISION))
        text = f"Each of {len(drawn)} {'labels' if judged.record.kind == 'labels' else 'classes'} against the rest, at every threshold."
    return Section("Ranking", (text,), charts=charts, small=True)


def _of_two(judged: Judged, kind: Kind) -> Chart:
    """The network over its baselines."""
    record, truth = judged.record, judged.found.truth[:, 1]
    metric = "roc_auc" if kind is ROC else "average_precision"
    others = [name for name in rivals(judged, metric) if np.ptp(record.predicted[name][:, 1]) > 0]
    marks: list[Mark] = [_chance(kind, float(truth.mean()))]
    curves: dict[str, tuple[Array, Array]] = {}
    for place, name in reversed(list(enumerate(others))):
        curves[name] = kind.points(truth, record.predicted[name][:, 1])
        marks.append(Line(*thinned(*curves[name]), "other" if place else "best", f"{name}, {kind.below} {percent(judged.scores[name][metric])}"))
    ours = kind.points(truth, record.predicted[record.model][:, 1])
    marks.append(Line(*thinned(*ours), "model", f"{record.model}, {kind.below} {percent(judged.scores[record.model][metric])}"))
    x, y = thinned(*ours)
    table = Table((kind.across, kind.up), tuple(zip(cells(x), cells(y), strict=True)))
    text = f"{kind.title} of {record.model}: {kind.below} {percent(judged.scores[record.model][metric])}."
    return Chart(kind.name, kind.title, text, Axis(0.0, 1.0, kind.across), Axis(0.0, 1.02, kind.up), marks, table)


def _of_many(judged: Judged, kind: Kind, drawn: list[int]) -> Chart:
    """Each class thin, or the range of many, the worst dashed, the mean over them."""
    found, names = judged.found, brief(judged.record.names)
    scores = np.array([kind.score(found.truth[:, k], found.predicted[:, k]) for k in drawn])
    curves = [kind.points(found.truth[:, k], found.predicted[:, k]) for k in drawn]
    rows = np.stack([_on_grid(kind, x, y) for x, y in curves])
    worst, many = int(scores.argmin()), len(drawn) > MOST_LINES
    marks: list[Mark] = [_chance(kind, 0.0)] if kind is ROC else []
    if many:
        marks.append(Band(GRID, rows.min(0), rows.max(0), "least to greatest"))
    else:
        marks += [Line(*thinned(x, y), "other", "the others") for place, (x, y) in enumerate(curves) if place != worst]
    marks.append(Line(*thinned(*curves[worst]), "best", f"worst: {names[drawn[worst]]}, {kind.below} {percent(scores[worst])}"))
    marks.append(Line(GRID, rows.mean(0), "model", f"mean, {kind.below} {percent(float(scores.mean()))}"))
    places = np.linspace(0, len(GRID) - 1, 11).astype(int)
    shown = [rows.mean(0), *((rows.min(0), rows.max(0)) if many else rows)]
    head = (kind.across, "mean", *(("least", "greatest") if many else (names[k] for k in drawn)))
    table = Table(head, tuple(zip(cells(GRID[places]), *(cells(row[places]) for row in shown), strict=True)))
    least = f"{percent(scores.min())} ({names[drawn[worst]]})"
    text = f"{kind.title} of {len(drawn)} against the rest: {kind.below} from {least} to {percent(scores.max())}."
    return Chart(kind.name, kind.title, text, Axis(0.0, 1.0, kind.across), Axis(0.0, 1.02, kind.up), marks, table)


def _on_grid(kind: Kind, x: Array, y: Array) -> Array:
    """The curve at round places: the highest there, as each threshold gives a corner; precision is that of the next recall reached."""
    if kind is ROC:
        return np.array([y[x <= place + 1e-12].max() for place in GRID])
    return np.array([y[np.searchsorted(x, place - 1e-12)] for place in GRID])


def _chance(kind: Kind, share: float) -> Mark:
    """What an answer by lot would give."""
    if kind is ROC:
        return Line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "reference", "by lot")
    return Rule(share, name=f"by lot: {percent(share)}", role="reference")


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most so many points, evenly along the curve, its ends among them."""
    if len(x) <= MOST_POINTS:
        return x, y
    way = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    wanted: Array = np.linspace(0.0, float(way[-1]), MOST_POINTS)
    chosen = sorted({0, len(x) - 1, *np.minimum(np.searchsorted(way, wanted), len(x) - 1).tolist()})
    return x[chosen], y[chosen]
