"""What the errors of a backtest say about the model: spread, correlation in time, drift."""

from __future__ import annotations

import math

import numpy as np

from grus.evaluation import Backtest
from grus.report.axes import Array, positions, time_axis, value_axis
from grus.report.charts import Bars, Chart, Dots, Line, Rule, Table
from grus.report.records import Words, cells

MOST_DOTS = 500  # of single forecasts: beyond it those of one start are drawn as their mean
LEAST_ORIGINS = 8  # of one series: below it every correlation lies within its bounds


def errors(backtest: Backtest, model: str) -> tuple[Array, bool]:
    """Truth − forecast [W, H], and whether it was divided by each series' own spread, as it is where there are several series."""
    found = backtest.truth - backtest.forecasts[model]
    names = np.asarray(backtest.series)
    if len(set(backtest.series)) == 1:
        return found, False
    scaled = np.full_like(found, np.nan)
    for name in set(backtest.series):
        rows = found[names == name]
        spread = float(np.nanstd(rows)) if np.isfinite(rows).any() else 0.0
        scaled[names == name] = rows / (spread or 1.0)
    return scaled, True


def autocorrelation(rows: list[Array], lags: int) -> tuple[Array, Array]:
    """The autocorrelation at lags 1 … `lags` pooled over sequences with gaps, and the pairs behind each.

        r_k = (Σ e_t e_{t+k} / N_k) / (Σ e_t² / N),  e less its sequence's mean, sums over what is known

    Source: Parzen (1963), On spectral analysis with missing observations and amplitude modulation.
    """
    parts = [row - np.nanmean(row) for row in rows if np.isfinite(row).any()]
    power = np.concatenate([part[np.isfinite(part)] for part in parts]) ** 2
    products, pairs = np.zeros(lags), np.zeros(lags)
    for lag in range(1, lags + 1):
        shifted = np.concatenate([part[:-lag] * part[lag:] for part in parts])
        known = np.isfinite(shifted)
        products[lag - 1], pairs[lag - 1] = shifted[known].sum(), known.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / pairs / power.mean(), pairs


def bias_sentence(backtest: Backtest, words: Words) -> str:
    """Whether forecasts are too low or too high on average, in the unit."""
    found = backtest.truth - backtest.forecasts[words.model]
    mean, size = float(np.nanmean(found)), float(np.nanmean(np.abs(found)))
    if abs(mean) < 0.05 * size:
        return f"On average the forecasts are neither too high nor too low: the mean error is {words.amount(mean)}."
    return f"On average the forecasts are too {'low' if mean > 0 else 'high'} by {words.amount(abs(mean))} (error is truth less forecast)."


def histogram(backtest: Backtest, words: Words) -> Chart:
    """All errors against the normal density of the same mean and spread."""
    found, scaled = errors(backtest, words.model)
    known = found[np.isfinite(found)]
    label = "error / series' spread" if scaled else words.with_unit("error")
    counts, edges = np.histogram(known, bins=min(40, max(8, round(math.sqrt(known.size)))))
    density = counts / known.size / np.diff(edges)
    mean, spread = float(known.mean()), float(known.std())
    x: Array = np.linspace(float(edges[0]), float(edges[-1]), 121)
    normal: Array = np.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * math.sqrt(2 * math.pi)) if spread else np.full_like(x, np.nan)
    marks = [Bars(edges, density, "errors"), Line(x, normal, "reference", "normal with their mean and spread"), Rule(0.0, upright=True)]
    text = f"Histogram of {known.size} errors: mean {words.figure(mean)}, standard deviation {words.figure(spread)}, beside a normal curve."
    table = Table((f"{label} from", "to", "count"), tuple(zip(cells(edges[:-1]), cells(edges[1:]), map(str, counts), strict=True)))
    across, up = value_axis(label, edges), value_axis("density", density, normal, zero=True)
    return Chart("residual-histogram", "Errors against a normal curve", text, across, up, marks, table)


def correlations(backtest: Backtest, words: Words) -> Chart | None:
    """Correlation between errors one step ahead at successive origins; None where there are too few origins."""
    first = errors(backtest, words.model)[0][:, 0]
    names, order = np.asarray(backtest.series), np.argsort(np.asarray(backtest.origins), kind="stable")
    rows = [first[order][names[order] == name] for name in dict.fromkeys(backtest.series)]
    longest, known = max(len(row) for row in rows), first[np.isfinite(first)]
    if longest < LEAST_ORIGINS or known.size < LEAST_ORIGINS or not known.std():
        return None
    found, pairs = autocorrelation(rows, min(24, longest // 2))
    lags = np.arange(1.0, len(found) + 1)
    with np.errstate(divide="ignore"):
        bound = np.where(pairs > 0, 1.96 / np.sqrt(pairs), np.nan)
    outside = int((np.abs(found) > bound).sum())
    text = f"Autocorrelation of the errors one {words.step} ahead: {outside} of {len(found)} lags lie outside the 95 % bounds."
    # An upright bar at each lag: the edges between two bars have height 0.
    edges = np.stack([lags - 0.3, lags + 0.3], axis=1).ravel()
    heights = np.insert(found, np.arange(1, len(found)), 0.0)
    bounds = [Line(lags, sign * bound, "reference", "95 % bounds where there is no correlation") for sign in (1, -1)]
    marks = [Bars(edges, heights, "autocorrelation"), *bounds, Rule(0.0)]
    table = Table(
        ("lag (origins)", "autocorrelation", "95 % bound"), tuple(zip((f"{lag:.0f}" for lag in lags), cells(found), cells(bound), strict=True))
    )
    up = value_axis("correlation", found, bound, -bound)
    caption = f"{outside} of {len(found)} lags lie outside the bounds; with no correlation about one in twenty would."
    across = value_axis("lag, in forecast origins", edges)
    return Chart("residual-correlation", f"Do errors repeat? Correlation of errors one {words.step} ahead", text, across, up, marks, table, caption)


def drift(backtest: Backtest, words: Words) -> Chart:
    """The mean error of each forecast, where it began."""
    found, scaled = errors(backtest, words.model)
    known = np.flatnonzero(np.isfinite(found).any(axis=1))
    starts, mean = backtest.times[known, 0], np.nanmean(found[known], axis=1)
    names = [backtest.series[int(i)] for i in known]
    what = "mean error of one forecast"
    if len(mean) > MOST_DOTS:
        starts, place, count = np.unique(starts, return_inverse=True, return_counts=True)
        mean, what = np.bincount(place, mean) / count, "mean error of the forecasts with one start"
        names = [f"{number} forecasts" for number in count]
    order = np.argsort(starts, kind="stable")
    x, y = positions(starts)[order], mean[order]
    label = "mean error / series' spread" if scaled else words.with_unit("mean error")
    text = f"{what.capitalize()}, {len(y)} of them in the order of their start, between {words.figure(y.min())} and {words.figure(y.max())}."
    rows = tuple(zip(words.times(starts[order]), (names[int(i)] for i in order), cells(y), strict=True))
    marks = [Rule(0.0), Dots(x, y, "spots", what)]
    across, up = time_axis(starts, words.step), value_axis(label, y, np.zeros(1))
    return Chart("residual-drift", "Errors over time", text, across, up, marks, Table(("start", "series", label), rows), flat=True)
