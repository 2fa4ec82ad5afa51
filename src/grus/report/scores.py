"""How good the forecasts are beside baselines: one sentence, a table, and the error by horizon."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from grus.evaluation import Backtest
from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Chart, Line, Mark, Rule, Table
from grus.report.records import Words, cells
from grus.report.starts import start_sentence
from grus.tasks.counted import counted


class Metric(NamedTuple):
    label: str
    meaning: str
    in_unit: bool = False


# All of these are better when smaller; a metric that is not listed is shown under its own name, with none of its values in bold.
METRICS = {
    "mae": Metric("MAE", "mean absolute error", True),
    "rmse": Metric("RMSE", "root mean squared error", True),
    "smape": Metric("sMAPE", "mean absolute error in % of the mean of truth and forecast"),
    "mase": Metric("MASE", "mean absolute error over that of the seasonal naive forecast in the history"),
    "owa": Metric("OWA", "mean of sMAPE and MASE, each over that of naive 2"),
    "crps": Metric("CRPS", "twice the mean pinball loss", True),
    "winkler": Metric("Winkler", "interval score", True),
}
# Of intervals: neither smaller nor larger is better, and coverage_table shows them beside what they should be.
IN_OTHER_TABLE = ("coverage", "width")
COUNT = "windows"  # that a forecaster's scores are over, where one failed
NO_DIFFERENCE = 0.005  # of the baseline's error: less is no news
UNLIKE = 2.0  # times the smallest series' scale: from there on a mean over series would be that of the large ones
MOST_LEVELS = 9  # that a sentence lists


class Verdict(NamedTuple):
    """The model's error, the best baseline with its own, and in how many of the scored windows the model was closer."""

    error: float
    rival: str | None
    rival_error: float
    closer: int
    windows: int


def is_complete(backtest: Backtest, name: str) -> bool:
    """Whether a forecaster has a forecast wherever there is a truth: otherwise its scores are over other windows than the model's."""
    return not (np.isnan(backtest.forecasts[name]) & np.isfinite(backtest.truth)).any()


def best_rival(backtest: Backtest, model: str, metric: str) -> str | None:
    """The best baseline of those that forecast all that the model did."""
    scores = {name: found[metric] for name, found in backtest.scores().items() if metric in found}
    rivals = {name: score for name, score in scores.items() if name != model and math.isfinite(score) and is_complete(backtest, name)}
    return min(rivals, key=lambda name: rivals[name], default=None)


def judge(backtest: Backtest, model: str, metric: str) -> Verdict:
    scores, rival = backtest.scores(), best_rival(backtest, model, metric)
    if rival is None:
        return Verdict(scores[model][metric], None, math.nan, 0, 0)
    known = np.isfinite(backtest.truth).any(axis=1)
    ours, theirs = (np.nanmean(np.abs(backtest.truth - backtest.forecasts[name])[known], axis=1) for name in (model, rival))
    return Verdict(scores[model][metric], rival, scores[rival][metric], int((ours < theirs).sum()), int(known.sum()))


def unlikeness(backtest: Backtest) -> float:
    """How many times the smallest series' scale for MASE the largest is; 1 where no two are known."""
    known = backtest.scale > 0
    _, first = np.unique(np.asarray(backtest.series)[known], return_index=True)
    sizes = backtest.scale[known][first]
    return float(sizes.max() / sizes.min()) if sizes.size else 1.0


def fitting_metric(backtest: Backtest) -> str:
    """What forecasters are compared by: MASE where series differ in scale, else MAE."""
    return "mase" if unlikeness(backtest) >= UNLIKE and math.isfinite(backtest.scores()[backtest.model]["mase"]) else "mae"


def comparison(backtest: Backtest, words: Words) -> str:
    """Why the answer is by MASE, and what it is by MAE."""
    mae, scaled = judge(backtest, words.model, "mae"), backtest.scale > 0
    without = f" Left out, as their history gives no such error: {int((~scaled).sum())} of {len(backtest)} forecasts." if not scaled.all() else ""
    beside = "" if mae.rival is None else f", the best baseline, {mae.rival}, by {words.amount(mae.rival_error)}"
    return (
        f"Compared by MASE, as some series vary {unlikeness(backtest):.3g} times as much as others: each error is divided by that of the seasonal "
        f"naive forecast in the history of its series.{without} By MAE, in which the series that vary most count most, {words.model} missed "
        f"{words.target} by {words.amount(mae.error)}{beside}."
    )


def answer(backtest: Backtest, words: Words, metric: str) -> str:
    """How much better, or worse, than the best baseline, on what, in the unit."""
    verdict = judge(backtest, words.model, metric)
    label, _, in_unit = METRICS.get(metric, Metric(metric, metric))
    say = words.amount if in_unit else words.figure
    ours = f"by {say(verdict.error)} {'on average' if metric == 'mae' else f'in {label}'}"
    if verdict.rival is None:
        return f"{words.model} missed {words.target} {ours}; no baseline was run beside it, so nothing says whether that is good."
    theirs = f"{verdict.rival} ({say(verdict.rival_error)})"
    closer = f"and was the closer of the two in {verdict.closer} of {verdict.windows} forecasts"
    ratio = verdict.error / verdict.rival_error if verdict.rival_error else math.inf
    if verdict.error == verdict.rival_error or abs(ratio - 1) < NO_DIFFERENCE:
        return f"{words.model} was no better than the best baseline, {theirs}: it missed {words.target} {ours}, {closer}."
    if ratio > 1:
        much = "more than" if math.isinf(ratio) else f"{percent(ratio - 1)} more than" if ratio < 2 else f"{ratio:.3g} times as much as"
        return f"{words.model} was worse than the best baseline: it missed {words.target} {ours}, {much} {theirs}, {closer}."
    return f"{words.model} missed {words.target} {ours}, {percent(1 - ratio)} less than the best baseline, {theirs}, {closer}."


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def scope(backtest: Backtest, words: Words) -> str:
    """On what the answer rests."""
    count, series, known = len(backtest.truth), len(set(backtest.series)), int(np.isfinite(backtest.truth).sum())
    first, last = words.times(np.array([backtest.times.min(), backtest.times.max()]))
    forecasts = f"{counted(count, 'forecast')} of {words.steps(backtest.horizon)}"
    scored = f"{known} of {backtest.truth.size} forecast values were measured and are scored"
    return f"Backtest: {forecasts}, {series} series, {first} to {last}; {scored}."


def score_table(backtest: Backtest, words: Words) -> Table:
    """Models by metrics, the model first, the best of each column in bold."""
    scores = backtest.scores()
    models = [words.model, *(name for name in scores if name != words.model)]
    metrics = list(dict.fromkeys(metric for name in models for metric in scores[name] if metric not in IN_OTHER_TABLE))
    columns = {metric: np.array([scores[name].get(metric, math.nan) for name in models], np.float64) for metric in metrics}
    whole = np.array([is_complete(backtest, name) for name in models])
    strong = {
        (row, column)
        for column, (metric, values) in enumerate(columns.items(), 1)
        if metric in METRICS and np.isfinite(values[whole]).sum() > 1
        for row in np.flatnonzero(whole & (values == np.nanmin(values[whole]))).tolist()
    }
    head = (METRICS[metric] if metric in METRICS else Metric(metric, "") for metric in metrics)
    names = ("", *(words.with_unit(entry.label) if entry.in_unit else entry.label for entry in head))
    texts = [[number(value, 0) for value in values] if metric == COUNT else cells(values, least=True) for metric, values in columns.items()]
    rows = tuple((name, *(column[row] for column in texts)) for row, name in enumerate(models))
    meanings = "; ".join(f"{METRICS[metric].label}: {meaning(metric, backtest)}" for metric in metrics if metric in METRICS)
    caption = " ".join(filter(None, (start_sentence(backtest, words), f"Smaller is better, the best in bold. {meanings}." if meanings else "")))
    if not whole.all():
        caption += " Scores over fewer windows than the model's do not compare with the others, and are never the best."
    return Table(names, rows, caption.strip(), frozenset(strong), (0,))


def meaning(metric: str, backtest: Backtest) -> str:
    """What a metric is, with the levels and the interval that it is of here."""
    said, levels = METRICS[metric].meaning, sorted(backtest.quantiles)
    if metric == "winkler":
        return f"{said} of the {100 * next(iter(backtest.coverages())):.4g} % interval"
    if metric != "crps":
        return said
    which = ", ".join(f"{level:g}" for level in levels) if len(levels) <= MOST_LEVELS else f"{levels[0]:g} to {levels[-1]:g}"
    return f"{said} over the {len(levels)} quantile levels that were forecast ({which}), from which alone it is estimated"


def coverage_table(backtest: Backtest, words: Words) -> Table | None:
    """How often each interval held against how often it should, of every forecaster that has intervals; None without any."""
    if not backtest.intervals:
        return None
    held, width = ({name: found(name) for name in backtest.probabilistic} for found in (backtest.coverages, backtest.widths))
    rows = [
        (name, f"{number(100 * share, 1)} % of {100 * nominal:.4g} %", _points(share - nominal), words.figure(width[name][nominal]))
        for name, shares in held.items()
        for nominal, share in shares.items()
    ]
    head = ("", "interval held the truth", "difference (points)", words.with_unit("mean width"))
    caption = "An 80 % interval should hold 80 % of what came; one that holds less is too narrow, one that holds more too wide."
    return Table(head, tuple(rows), caption, ours=tuple(range(len(backtest.intervals))))


def _points(difference: float) -> str:
    return f"{'+' if difference > 0 else ''}{number(100 * difference, 1)}"


def coverage_sentence(backtest: Backtest) -> str:
    """The widest interval's coverage beside its nominal one."""
    if not backtest.intervals:
        return "No intervals were forecast."
    nominal, held = next(iter(backtest.coverages().items()))
    return f"The {100 * nominal:.4g} % interval held {100 * held:.1f} % of the measured values, where it should hold {100 * nominal:.4g} %."


def horizon_axis(backtest: Backtest, words: Words) -> tuple[Array, Axis]:
    steps = np.arange(1.0, backtest.horizon + 1)
    return steps, Axis(1.0, max(2.0, steps[-1]), f"{words.step}s ahead", "count")


def error_by_horizon(backtest: Backtest, words: Words, metric: str) -> Chart:
    """The metric at each step ahead, the model over its baselines."""
    found = backtest.by_horizon(metric)
    steps, across = horizon_axis(backtest, words)
    rival = judge(backtest, words.model, metric).rival
    others = [name for name in found if name not in (words.model, rival)]
    marks: list[Mark] = [Line(steps, found[name], "other", label=name) for name in others]
    if rival is not None:
        marks.append(Line(steps, found[rival], "best", f"{rival} (best baseline)"))
    marks.append(Line(steps, found[words.model], "model", words.model))
    entry = METRICS.get(metric, Metric(metric, metric))
    label = words.with_unit(entry.label) if entry.in_unit else entry.label
    order = [words.model, *(name for name in found if name != words.model)]
    columns = [cells(np.asarray(found[name])) for name in order]
    table = Table((f"{words.step}s ahead", *order), tuple((f"{step:.0f}", *row) for step, *row in zip(steps, *columns, strict=True)))
    ours = found[words.model]
    first, last = words.figure(float(ours[0])), words.figure(float(ours[-1]))
    text = f"{label} of {words.model}, from {first} at 1 to {last} at {words.steps(backtest.horizon)} ahead."
    up = value_axis(label, *(np.asarray(values) for values in found.values()), zero=True)
    return Chart("error-by-horizon", f"{label} by horizon", text, across, up, marks, table)


def coverage_by_horizon(backtest: Backtest, words: Words) -> Chart | None:
    """How often the widest interval held at each step ahead; None without intervals."""
    if not backtest.intervals:
        return None
    found = {name: 100 * shares for name, shares in backtest.by_horizon("coverage").items()}
    share, nominal = found[words.model], 100 * next(iter(backtest.coverages()))
    steps, across = horizon_axis(backtest, words)
    marks: list[Mark] = [Rule(nominal, name=f"nominal: {nominal:.4g} %", role="reference")]
    others = [name for name in found if name != words.model]
    marks += [Line(steps, found[name], "other", label=name) for name in others]
    marks.append(Line(steps, share, "model", f"{words.model}, share of truths within"))
    head = (f"{words.step}s ahead", *(f"{name} held (%), nominally {nominal:.4g}" for name in found))
    table = Table(head, tuple(zip((f"{step:.0f}" for step in steps), *(cells(column) for column in found.values()), strict=True)))
    text = f"Coverage of the {nominal:.4g} % interval by horizon, between {np.nanmin(share):.0f} % and {np.nanmax(share):.0f} % of {nominal:.4g} %."
    least = min(float(np.nanmin(column)) for column in found.values() if np.isfinite(column).any())
    up = Axis(min(50.0, least // 10 * 10), 102.0, "held (%)")
    return Chart("coverage-by-horizon", f"Coverage of the {nominal:.4g} % interval by horizon", text, across, up, marks, table, flat=True)
