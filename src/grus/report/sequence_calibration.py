"""Whether the probabilities are what they say, before the temperature and after it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, softmax  # pyright: ignore[reportUnknownVariableType, reportMissingTypeStubs]

from grus.evaluation.calibration import Reliability, reliability
from grus.evaluation.classification import calibration_error, told
from grus.evaluation.predictions import Predictions
from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Bars, Chart, Dots, Line, Mark, Table
from grus.report.page import Section
from grus.report.records import cells
from grus.report.sequence_scores import Judged
from grus.report.sequence_words import percent, sequences
from grus.tasks.counted import counted
from grus.tasks.sequence_record import SequenceRecord

DRAWS, LEAST_DRAWS = 200, 40
SURE = 0.95
FEW = 20  # answers in a bin, below which it has no line
EDGES = np.linspace(0, 1, 21)


class Verdict(NamedTuple):
    """The calibration error, what chance alone gives an honest model at most in 95 of 100 draws, and the error before the temperature."""

    error: float
    honest: float
    before: float | None

    @property
    def is_off(self) -> bool:
        return self.error > self.honest


def judge_calibration(judged: Judged) -> Verdict:
    """Whether the error is more than that of a model of the same probabilities that come true as often as they say.

    Source: Bröcker and Smith 2007, "Increasing the reliability of reliability diagrams".
    """
    confidences, rng = [confidence for _, confidence in compared(judged.found)], np.random.default_rng(0)
    draws = min(DRAWS, max(LEAST_DRAWS, DRAWS * 10 // len(confidences)))
    drawn = [np.mean([reliability((rng.random(len(each)) < each).astype(np.float64), each).error for each in confidences]) for _ in range(draws)]
    before = uncalibrated(judged.record)
    return Verdict(calibration_error(judged.found), float(np.quantile(drawn, SURE)), None if before is None else calibration_error(before))


def compared(found: Predictions) -> list[tuple[Array, Array]]:
    """What came true, and its probability: of each label, or of the classes together."""
    return [(found.truth[:, k], found.predicted[:, k]) for k in range(len(found.names))] if found.kind == "labels" else [told(found)]


def pooled(found: Predictions) -> tuple[Array, Array]:
    """The same for a chart, all labels together."""
    return (found.truth.ravel(), found.predicted.ravel()) if found.kind == "labels" else told(found)


def uncalibrated(record: SequenceRecord) -> Predictions | None:
    """What the network said before its temperature; None where it has none, or one of 1, which changes nothing."""
    if record.logits is None or record.temperature is None or all(value == 1 for value in record.temperature):
        return None
    raw: Array = softmax(record.logits, axis=1) if record.kind == "class" else expit(record.logits)
    return Predictions.of(record.truth, raw)


def calibration_sentence(judged: Judged, verdict: Verdict) -> str:
    """Whether it is calibrated, and in which direction it is not."""
    model, error, honest = judged.record.model, percent(verdict.error), percent(verdict.honest)
    honest += "" if judged.record.groups is None else " if no sequence depended on another"
    if not verdict.is_off:
        said = (
            f"As far as {sequences(len(judged.found))} can tell, {model} is calibrated: its error is {error}, and chance alone gives up to {honest}."
        )
        return said + _before(judged, verdict)
    found = judged.found
    sure = np.maximum(found.predicted, 1 - found.predicted) if found.kind == "labels" else found.predicted.max(1)
    right = (found.chosen == (found.truth > 0.5)) if found.kind == "labels" else found.right
    apart = float(sure.mean() - right.mean())
    way = "surer than it should be" if apart > 0 else "less sure than it could be"
    if abs(apart) < verdict.error / 2:
        way = "too sure of some answers and not sure enough of others"
    told_of = f"its answers had a probability of {percent(float(sure.mean()))} on average and were right in {percent(float(right.mean()))}"
    return f"{model} is {way}: {told_of}; calibration error {error}, where chance explains up to {honest}.{_before(judged, verdict)}"


def _before(judged: Judged, verdict: Verdict) -> str:
    values = judged.record.temperature
    if verdict.before is None or values is None:
        return ""
    how = f"temperature {number(values[0], 2)}" if len(values) == 1 else f"temperatures {number(min(values), 2)} to {number(max(values), 2)}"
    return f" Before its {how}, measured on validation, the error was {percent(verdict.before)}."


def calibration_section(judged: Judged, verdict: Verdict) -> Section:
    """Reliability, and how often it was how sure."""
    return Section(
        "Are its probabilities true?", (calibration_sentence(judged, verdict),), charts=(reliability_chart(judged), sureness(judged)), small=True
    )


def reliability_chart(judged: Judged) -> Chart:
    """The share that came true of what was predicted with each probability."""
    record, marks = judged.record, list[Mark]([Line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "reference", "as predicted")])
    found, raw = reliability(*pooled(judged.found)), uncalibrated(record)
    before = None if raw is None else reliability(*pooled(raw))
    if before is not None:
        marks.append(Line(before.told, _known(before), "best", "before the temperature"))
    marks += [Line(found.told, _known(found), "model", record.model), Dots(found.told, found.true, "spots")]
    what = _what(record)
    table = Table(("predicted (mean)", "came true", "sequences"), _rows(found), "" if before is None else "After the temperature.")
    text = f"Reliability of {record.model} in {counted(len(found.told), 'bin')}: calibration error {percent(found.error)}."
    across, up = Axis(0.0, 1.0, what), Axis(0.0, 1.02, "came true (share)")
    return Chart(
        "reliability",
        "What came true of what was predicted",
        text,
        across,
        up,
        marks,
        table,
        f"{'All labels together. ' if record.kind == 'labels' else ''}{_thin(found)}",
    )


def _known(found: Reliability) -> Array:
    """What came true, where it is more than chance."""
    return np.where(found.count < FEW, np.nan, found.true)


def _what(record: SequenceRecord) -> str:
    if record.kind == "labels":
        return "probability of a label"
    return f"probability of {record.names[1]}" if len(record.names) == 2 else "probability of the class predicted"


def _rows(found: Reliability) -> tuple[tuple[str, ...], ...]:
    return tuple(zip(cells(found.told), cells(found.true), map(str, found.count.tolist()), strict=True))


def _thin(found: Reliability) -> str:
    few = int((found.count < FEW).sum())
    hold = "holds fewer than {} and has no line: its height" if few == 1 else "hold fewer than {} and have no line: their height"
    return f"{few} of {counted(len(found.count), 'bin')} {hold.format(FEW)} is mostly chance." if few else ""


def sureness(judged: Judged) -> Chart:
    """How many answers had which probability, and how many of them are wrong."""
    found = judged.found
    if found.kind == "labels":
        sure, wrong = np.maximum(found.predicted, 1 - found.predicted).ravel(), (found.chosen != (found.truth > 0.5)).ravel()
    else:
        sure, wrong = found.predicted.max(1), ~found.right
    edges = EDGES[int(20 * sure.min() + 1e-9) :]
    every, missed = (np.histogram(values, edges)[0].astype(np.float64) for values in (sure, sure[wrong]))
    marks = [Bars(edges, every, "all"), Bars(edges, missed, "of these wrong", "ended")]
    high = sure >= 0.9
    share = float(wrong[high].mean()) if high.any() else 0.0
    told_of = "answers" if found.kind == "labels" else "sequences"
    caption = (
        f"{int(high.sum())} of {len(sure)} {told_of} had a probability of 90 % or more; {percent(share)} of these are wrong." if high.any() else ""
    )
    rows = tuple(zip(cells(edges[:-1]), cells(edges[1:]), (f"{n:.0f}" for n in every), (f"{n:.0f}" for n in missed), strict=True))
    across, up = Axis(float(edges[0]), 1.0, "probability of what was predicted"), value_axis(told_of, every, zero=True)
    return Chart(
        "sureness", "How sure it was", caption or "How sure it was.", across, up, marks, Table(("from", "to", "all", "wrong"), rows), caption
    )
