"""Records of what a network and its baselines said of sequences, made here, and the page of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from grus.data.sequences import Kind, Labels
from grus.evaluation.bootstrap import Draws
from grus.report.sequence import SequencePage
from grus.report.sequence_records import Carried, Traced
from grus.tasks.sequence_record import SequenceRecord, with_intervals

Array = NDArray[np.float64]
TEXT = "not good, not bad"
SPANS = [(0, 3), (4, 8), (8, 9), (10, 13), (14, 17)]


def classes(
    K: int = 3, N: int = 120, *, skill: float = 2.0, rival: float = 1.0, temperature: float = 2.0, share: float | None = None
) -> SequenceRecord:
    """A network whose logits hold the truth by `skill`; share: of the first class, where not all are as frequent."""
    rng = np.random.default_rng(3)
    truth = np.arange(N) % K if share is None else (rng.random(N) >= share).astype(np.int64)
    logits, other = (rng.normal(0, 1, (N, K)) + strength * np.eye(K)[truth] for strength in (skill, rival))
    names = tuple(f"class {chr(97 + k)}" if K <= 26 else f"class {k}" for k in range(K))
    counts = np.bincount(truth, minlength=K) / N
    predicted = {"gru": softmax(logits / temperature, 1), "rival": softmax(other, 1), "majority class": np.tile(counts, (N, 1))}
    return SequenceRecord(
        "gru", "class", names, tuple(f"s{n}" for n in range(N)), Labels("class", names, truth), predicted, logits, temperature=[temperature]
    )


def labels(N: int = 80) -> SequenceRecord:
    rng = np.random.default_rng(4)
    truth = (rng.random((N, 3)) < [0.5, 0.3, 0.1]).astype(np.uint8)
    logits = rng.normal(0, 1, (N, 3)) + 3.0 * truth - 1.5
    predicted = {"gru": expit(logits), "label frequencies": np.tile(truth.mean(0), (N, 1))}
    names = ("rain", "wind", "snow")
    return SequenceRecord(
        "gru", "labels", names, tuple(f"s{n}" for n in range(N)), Labels("labels", names, truth), predicted, logits, temperature=[1.0]
    )


def numbers(N: int = 60, targets: int = 1) -> SequenceRecord:
    rng = np.random.default_rng(5)
    truth = rng.normal(20, 5, (N, targets))
    predicted = {"gru": truth + rng.normal(0, 1, (N, targets)), "mean": np.full((N, targets), 20.0)}
    names = ("depth", "speed", "heat")[:targets]
    return SequenceRecord("gru", "number", names, tuple(f"s{n}" for n in range(N)), Labels("number", names, truth), predicted)


def right_on(right: int, rival: int, both: int, N: int = 100) -> SequenceRecord:
    """Two classes in turn; the network right on `right`, the rival on `rival`, both on `both` sequences."""
    truth = np.arange(N) % 2
    order = np.random.default_rng(0).permutation(N)
    ours, theirs = np.zeros(N, bool), np.zeros(N, bool)
    ours[order[:right]], theirs[order[right - both : right - both + rival]] = True, True

    def said(correct: Any) -> Any:
        chosen = np.where(correct, truth, 1 - truth)
        return np.where(np.eye(2)[chosen] == 1, 0.8, 0.2)

    predicted = {"gru": said(ours), "rival": said(theirs)}
    return SequenceRecord("gru", "class", ("no", "yes"), tuple(map(str, range(N))), Labels("class", ("no", "yes"), truth), predicted)


def of_kind(kind: Kind) -> SequenceRecord:
    made = {"class": classes, "labels": labels, "number": numbers}[kind]()
    return with_intervals(made, Draws(100))


def gates(steps: int) -> dict[str, Array]:
    return {name: np.random.default_rng(steps).random((steps, 6)) for name in ("r", "z")} | {"n": np.linspace(-1, 1, 6 * steps).reshape(steps, 6)}


def text(row: int = 0, output: int = 0) -> Traced:
    return Traced(row, output, np.array([0.5, 1.0, 0.0, -0.25, -2.0]), "occlusion", "the unknown one", TEXT, SPANS, gates=gates(5))


def series(row: int = 0, output: int = 0, channels: int = 2, steps: int = 30) -> Traced:
    rng = np.random.default_rng(row)
    values = rng.normal(0, 1, (steps, channels)).cumsum(0)
    values[4:7, 0] = np.nan
    names = tuple(f"sensor_{k}" for k in range(channels))
    return Traced(
        row,
        output,
        rng.normal(0, 1, steps),
        "gradient × input",
        "the channels' means of training",
        "",
        (),
        values,
        names,
        channels > 1,
        None,
        gates(steps),
    )


def page(record: SequenceRecord | None = None, title: str = "Classification: weather of days.csv") -> SequencePage:
    record = of_kind("class") if record is None else record
    record = replace(record, seeds={1: record.predicted[record.model], 2: record.predicted["rival" if "rival" in record.predicted else record.model]})
    history = [{"epoch": float(k + 1), "loss": 1 / (k + 1), "validation_loss": 0.2 + 1 / (k + 2)} for k in range(8)]
    carried = Carried(60, "the unknown one", {"class a": [("good", 3.0, 4), ("fine", 1.0, 2)], "class b": [("bad", 2.5, 5)]})
    return SequencePage(title, [("data", "days.csv")], ["channel 'x' is constant"], history, record, (text(), series(1)), carried)
