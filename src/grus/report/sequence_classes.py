"""Which classes and labels are found, and what they are taken for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grus.report.axes import Array, Axis, number
from grus.report.charts import Chart, Heat, Table
from grus.report.page import Section
from grus.report.records import cells
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import brief, metric_of, percent, sequences

MOST_IN_TABLE = 12  # classes whose confusion fits into a table
MOST_IN_CHART = 40  # classes that are still told apart in a chart
MOST_PAIRS = 8  # of classes that are taken for one another
APART = 0.05  # of recall, below which no class is the worst
FEW = 5  # examples below which a class is not named the worst

Counts = NDArray[np.int64]


def class_sections(judged: Judged) -> list[Section]:
    """The confusion matrix of classes, and the scores of each class or label."""
    what = "label" if judged.record.kind == "labels" else "class"
    found = [] if judged.record.kind == "labels" else [confusion_section(judged)]
    return [*found, Section(f"Each {what} by itself", tables=(each_table(judged),))]


def confusion_section(judged: Judged) -> Section:
    """What the classes are taken for."""
    names, counts = brief(judged.record.names), _confusion(judged)
    text, pairs = (confusion_sentence(names, counts),), pair_table(names, counts)
    if len(names) <= MOST_IN_TABLE:
        tables = (confusion_table(names, counts), *((pairs,) if pairs.rows and len(names) > 3 else ()))
        return Section("What is taken for what", text, tables)
    chart = confusion_chart(names, counts)
    return Section("What is taken for what", text, (pairs,) if pairs.rows else (), charts=(chart,))


def _confusion(judged: Judged) -> Counts:
    counts = judged.own.confusion
    assert counts is not None
    return counts


def confusion_sentence(names: tuple[str, ...], counts: Counts) -> str:
    """How many mistakes there are, and the commonest of them."""
    wrong = counts - np.diag(np.diag(counts))
    total = int(wrong.sum())
    if not total:
        return f"All {sequences(int(counts.sum()))} were predicted rightly."
    true, told = (int(place) for place in np.unravel_index(wrong.argmax(), wrong.shape))
    most = int(wrong[true, told])
    return (
        f"{total} of {sequences(int(counts.sum()))} are mistakes, most often {names[true]} predicted as {names[told]}: "
        f"{most} of {int(counts[true].sum())} ({percent(most / counts[true].sum(), 0)})."
    )


def confusion_table(names: tuple[str, ...], counts: Counts) -> Table:
    """How many of each class, in rows, were predicted as which, in columns."""
    totals = counts.sum(1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    places = np.argwhere(counts > 0).tolist()
    shades = {(row, column + 1): float(share[row, column] if row == column else -np.sqrt(share[row, column])) for row, column in places}
    strong = frozenset((place, place + 1) for place in range(len(names)))
    rows = tuple((f"is {name}", *(str(count or "·") for count in counts[row].tolist()), str(int(totals[row, 0]))) for row, name in enumerate(names))
    head = ("", *(f"predicted {name}" for name in names), "all")
    return Table(head, rows, "Blue is right, orange is wrong; the darker, the larger the share of the row.", strong, shades=shades)


def pair_table(names: tuple[str, ...], counts: Counts) -> Table:
    """The commonest mistakes."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong.ravel(), kind="stable")[:MOST_PAIRS]
    found = [divmod(int(place), len(names)) for place in order if wrong.ravel()[place] > 1]
    rows = tuple(
        (names[true], names[told], str(int(wrong[true, told])), str(int(counts[true].sum())), number(100 * wrong[true, told] / counts[true].sum(), 1))
        for true, told in found
    )
    return Table(("is", "predicted as", "times", "of", "share (%)"), rows, "The commonest mistakes, of those that were made more than once.")


def confusion_chart(names: tuple[str, ...], counts: Counts) -> Chart:
    """Classes by classes, those of most mistakes where there are too many to draw."""
    wrong = counts - np.diag(np.diag(counts))
    mistakes = wrong.sum(0) + wrong.sum(1)
    chosen: list[int] = sorted(np.argsort(-mistakes, kind="stable")[:MOST_IN_CHART].tolist())
    share: Array = np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))[np.ix_(chosen, chosen)]
    signed = np.where(np.eye(len(chosen), dtype=bool), share, -share)[::-1]
    shown = [f"{number + 1} {names[place]}" for number, place in enumerate(chosen)]
    across = Axis(0.5, len(chosen) + 0.5, "predicted as (numbers of the rows)", "count")
    up = Axis(-0.5, len(chosen) - 0.5, "is", names=tuple(reversed(shown)))
    rows = tuple((names[true], names[told], str(int(counts[true, told]))) for true in chosen for told in chosen if counts[true, told])
    text = confusion_sentence(names, counts)
    caption = "Blue is right, orange is wrong; the darker, the larger the share of the row."
    if len(chosen) < len(names):
        caption += f" Of {len(names)} classes the {len(chosen)} with the most mistakes are drawn."
    heat = Heat(signed, "wrong (orange), right (blue)")
    return Chart(
        "confusion",
        "Classes by what they were predicted as",
        text,
        across,
        up,
        (heat,),
        Table(("is", "predicted as", "times"), rows),
        caption,
        lines=len(chosen),
    )


def each_table(judged: Judged) -> Table:
    """Every metric of each class or label; of many the worst first."""
    each = judged.own.each
    names, columns = list(each), [name for name in next(iter(each.values())) if name != "ece_mass"]
    order = sorted(names, key=lambda name: np.nan_to_num(each[name]["f1"])) if len(names) > MOST_IN_TABLE else names
    texts = {column: _column(column, np.array([each[name][column] for name in order])) for column in columns}
    rows = tuple((name, *(texts[column][row] for column in columns)) for row, name in enumerate(order))
    head = ("", *(f"{metric_of(column).label}{' (%)' if metric_of(column).share else ''}" for column in columns))
    caption = "Each against the rest." + (" The least F1 first." if order != names or len(names) > MOST_IN_TABLE else "")
    if judged.record.kind == "labels":
        caption += " A label is predicted from a probability of 50 % on."
    return Table(head, rows, caption)


def _column(name: str, values: NDArray[np.float64]) -> list[str]:
    if name == "count":
        return [number(value, 0) for value in values]
    return [number(100 * value, 1) for value in values] if metric_of(name).share else cells(values, least=True)


def worst_class(judged: Judged) -> str:
    """Which class is found least, and what it is taken for; "" where all are found, or none is frequent enough to say so."""
    record, each = judged.record, judged.own.each
    known = {name: row["recall"] for name, row in each.items() if row["count"] >= FEW and np.isfinite(row["recall"])}
    if len(known) < 2 or max(known.values()) - min(known.values()) < APART:
        return ""
    name = min(known, key=lambda name: known[name])
    what = "label" if record.kind == "labels" else "class"
    found = f"{what.capitalize()} {name} is found least often, in {percent(known[name])} of its {sequences(int(each[name]['count']))}"
    if record.kind == "labels":
        return f"{found}, with a precision of {percent(each[name]['precision'])}." if np.isfinite(each[name]["precision"]) else f"{found}."
    row = _confusion(judged)[record.names.index(name)].copy()
    row[record.names.index(name)] = 0
    told = record.names[int(row.argmax())]
    most = int(row.max())
    return f"{found}; {most} {'was' if most == 1 else 'were'} predicted as {told}." if len(record.names) > 2 else f"{found}."
