"""What the scores are over several seeds: how much of a result is the luck of one training."""

from __future__ import annotations

from collections.abc import Mapping

from grus.evaluation import Backtest, Spread, spreads
from grus.report.charts import Table
from grus.report.page import Section
from grus.report.records import Words
from grus.report.scores import IN_OTHER_TABLE, METRICS, Metric, best_rival

CONFIDENCE = 0.95


def seed_section(seeds: Mapping[int, Mapping[str, float]], backtest: Backtest, words: Words, metric: str) -> Section:
    """Mean and interval of every metric over the seeds, beside the best baseline's value."""
    found = {name: spread for name, spread in spreads(seeds, CONFIDENCE).items() if name not in IN_OTHER_TABLE}
    scores = backtest.scores()
    rows: list[tuple[str, ...]] = []
    for name, spread in found.items():
        rival = best_rival(backtest, words.model, name)
        beside = "–" if rival is None else f"{words.figure(scores[rival][name])}, {rival}"
        rows.append((_label(name, words), *(words.figure(value) for value in (spread.mean, spread.low, spread.high)), beside))
    caption = "The interval is Student's for the mean, over the seeds alone: other data or another split is another matter. Baselines have no seed."
    head = ("", "mean", f"{100 * CONFIDENCE:g} % from", "to", "best baseline")
    text = (_sentence(seeds, found[metric], backtest, words, metric),) if metric in found else ()
    return Section("Over seeds", text, tables=(Table(head, tuple(rows), caption),))


def _sentence(seeds: Mapping[int, Mapping[str, float]], spread: Spread, backtest: Backtest, words: Words, metric: str) -> str:
    each = ", ".join(f"{words.figure(row[metric])} (seed {seed})" for seed, row in seeds.items())
    said = f"{words.model} was trained and tested {len(seeds)} times, each with its own seed; {_label(metric, words)}: {each}."
    rival = best_rival(backtest, words.model, metric)
    if rival is None:
        return said
    score = backtest.scores()[rival][metric]
    where = "below" if spread.high < score else "above" if spread.low > score else "on both sides of"
    return f"{said} The interval of their mean lies {where} the best baseline, {rival} ({words.figure(score)})."


def _label(metric: str, words: Words) -> str:
    entry = METRICS.get(metric, Metric(metric, metric))
    return words.with_unit(entry.label) if entry.in_unit else entry.label
