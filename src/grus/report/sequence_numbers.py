"""How the numbers that were predicted lie about the truth."""

from __future__ import annotations

import math

import numpy as np

from grus.report.axes import Array, value_axis
from grus.report.charts import Bars, Chart, Dots, Line, Rule, Table
from grus.report.page import Section
from grus.report.records import cells
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import figure, percent

MOST_TARGETS = 4  # that are drawn
MOST_DOTS = 1500
CLEAR = 0.05  # of the mean absolute error: a mean error below it is none


def number_sections(judged: Judged) -> list[Section]:
    """Predicted against true, and the errors, of each target."""
    names, found = judged.record.names, judged.found
    shown = range(min(len(names), MOST_TARGETS))
    pairs = [(names[k], found.truth[:, k], found.predicted[:, k]) for k in shown]
    more = (f"Shown: {MOST_TARGETS} of {len(names)} targets.",) if len(names) > MOST_TARGETS else ()
    charts = tuple(chart for place, pair in enumerate(pairs, 1) for chart in (told_against_true(*pair, place), residuals(*pair, place)))
    sections = [Section("Predicted against true", (*more, *(bias(*pair) for pair in pairs)), charts=charts, small=True)]
    if len(names) > 1:
        sections.append(Section("Each target by itself", tables=(_each(judged),)))
    return sections


def told_against_true(name: str, truth: Array, told: Array, place: int) -> Chart:
    """One dot per sequence, beside the line on which all would be right."""
    chosen = _chosen(len(truth))
    both = np.concatenate([truth, told])
    axis = value_axis(f"{name}, true", both)
    ends = np.array([axis.low, axis.high])
    marks = [Line(ends, ends, "reference", "right"), Dots(truth[chosen], told[chosen], "spots", "sequences")]
    table = Table((f"{name}, true", "predicted"), tuple(zip(cells(truth[chosen]), cells(told[chosen]), strict=True)))
    text = f"{name}: predicted from {figure(told.min())} to {figure(told.max())}, true from {figure(truth.min())} to {figure(truth.max())}."
    up = value_axis(f"{name}, predicted", both)
    return Chart(f"told-{place}", f"{name}: predicted against true", text, axis, up, marks, table, _drawn(chosen, truth))


def residuals(name: str, truth: Array, told: Array, place: int) -> Chart:
    """All errors against the normal density of the same mean and spread."""
    errors = truth - told
    counts, edges = np.histogram(errors, bins=min(40, max(8, round(math.sqrt(errors.size)))))
    density = counts / errors.size / np.diff(edges)
    mean, spread = float(errors.mean()), float(errors.std())
    x: Array = np.linspace(float(edges[0]), float(edges[-1]), 121)
    normal: Array = np.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * math.sqrt(2 * math.pi)) if spread else np.full_like(x, np.nan)
    marks = [Bars(edges, density, "errors"), Line(x, normal, "reference", "normal with their mean and spread"), Rule(0.0, upright=True)]
    text = f"Histogram of {errors.size} errors of {name}: mean {figure(mean)}, standard deviation {figure(spread)}."
    table = Table(("error from", "to", "count"), tuple(zip(cells(edges[:-1]), cells(edges[1:]), map(str, counts), strict=True)))
    across, up = value_axis("error, true less predicted", edges), value_axis("density", density, normal, zero=True)
    return Chart(f"errors-{place}", f"{name}: errors", text, across, up, marks, table)


def bias(name: str, truth: Array, told: Array) -> str:
    """Whether what was predicted is too low or too high, and whether it keeps to the middle."""
    errors, size = truth - told, float(np.abs(truth - told).mean())
    mean = float(errors.mean())
    level = (
        "neither too high nor too low on average"
        if abs(mean) < CLEAR * size
        else f"too {'low' if mean > 0 else 'high'} by {figure(abs(mean))} on average"
    )
    spread = float(told.std() / truth.std()) if truth.std() > 0 else math.nan
    kept = f"; what was predicted varies {percent(spread, 0)} as much as what is true" if math.isfinite(spread) else ""
    return f"{name}: {level}{kept}."


def _each(judged: Judged) -> Table:
    each = judged.own.each
    names = list(each)
    columns = [cells(np.array([each[name][metric] for name in names]), least=True) for metric in ("mae", "rmse", "r2")]
    return Table(("", "MAE", "RMSE", "R²"), tuple(zip(names, *columns, strict=True)))


def _chosen(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """All, or as many as can be drawn, at random."""
    return np.arange(count) if count <= MOST_DOTS else np.sort(np.random.default_rng(0).choice(count, MOST_DOTS, replace=False))


def _drawn(chosen: Array | np.ndarray[tuple[int], np.dtype[np.int64]], truth: Array) -> str:
    return f"Drawn: {len(chosen)} of {len(truth)} sequences, at random." if len(chosen) < len(truth) else ""
