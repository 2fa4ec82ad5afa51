"""All the metrics that apply to a kind of labels, in one order, with what is undefined and why."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grus.data.sequences import Kind, Labels
from grus.errors import OptionError
from grus.evaluation.calibration import reliability
from grus.evaluation.classification import (
    CLASSES,
    LABELS,
    TWO_CLASSES,
    Counts,
    Metric,
    average_precision,
    each_of,
    label_log_losses,
    mean_of_defined,
    roc_auc,
)
from grus.evaluation.metrics import mae, rmse
from grus.evaluation.predictions import Array, Predictions

ERRORS = ("mae", "rmse", "scaled_mae", "scaled_rmse")
HIGHER_IS_WORSE = ("hamming_loss", "log_loss", "brier", "ece", "ece_mass", *ERRORS)
LIMITS = {"log_loss": (0.0, np.inf), "brier": (0.0, 2.0), **dict.fromkeys(ERRORS, (0.0, np.inf)), "r2": (-np.inf, 1.0)}
SHARE = (0.0, 1.0)
OF_SECOND = ("precision", "recall", "f1", "roc_auc", "average_precision")  # of two classes, the second one
MOST = 0.75  # of the sequences in one class: from there on accuracy says little of the others
LEAST = 2  # sequences of each class that DeLong's test needs


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """How good predictions of N sequences are.

    `each` has the metrics of every class, label or target by itself; `undefined` says of everything that is NaN why it is.

    Shapes: confusion [K, K] of classes, the truth in rows; [K, 2, 2] of labels, [[true negative, false positive], [false negative, true positive]];
    None of numbers.
    """

    kind: Kind
    count: int
    values: Mapping[str, float]
    each: Mapping[str, Mapping[str, float]]
    confusion: NDArray[np.int64] | None = None
    undefined: tuple[str, ...] = field(default=())

    def __getitem__(self, metric: str) -> float:
        return self.values[metric]

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        return f"Scores({self.count} sequences; {told})"

    def table(self) -> pd.DataFrame:
        """A row per class, label or target; a column per metric."""
        return pd.DataFrame.from_dict({name: dict(found) for name, found in self.each.items()}, orient="index").rename_axis(self.kind)


def score(truth: Labels, predicted: ArrayLike, *, threshold: ArrayLike = 0.5) -> Scores:
    """Judge probabilities of classes or labels, or numbers.

    Shapes: predicted [N, K]; [N] will do for one target. threshold: from which probability on a label is chosen, one for all or one for each.
    Raises: ShapeError, OptionError; DataError for no sequence, or a value that cannot be a probability or is not finite.
    """
    found = Predictions.of(truth, predicted, threshold)
    values = {name: metric(found) for name, metric in metrics_of(truth).items()}
    if truth.kind == "number":
        return Scores(truth.kind, len(found), values, _by_name(found, _each_number(found)), None, _undefined_numbers(found))
    confusion = _label_confusion(found) if truth.kind == "labels" else _class_confusion(found)
    return Scores(truth.kind, len(found), values, _by_name(found, _each_class(found)), confusion, _undefined_classes(found))


def metrics_of(truth: Labels) -> Mapping[str, Metric]:
    """The metrics that apply, by name, in the order of every table."""
    if truth.kind == "number":
        return NUMBERS if len(truth.names) == 1 else SEVERAL_NUMBERS
    if truth.kind == "labels":
        return LABELS
    return TWO_CLASSES if len(truth.names) == 2 else CLASSES


def metric_named(truth: Labels, name: str) -> Metric:
    """Raises: OptionError for a name that is no metric of these labels."""
    known = metrics_of(truth)
    if name not in known:
        raise OptionError(f"score: metric must be one of {', '.join(known)}, got {name!r}; choose one of them.")
    return known[name]


def limits_of(name: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have."""
    return LIMITS.get(name, SHARE)


def main_metric(truth: Labels) -> str:
    """What networks and baselines are compared by first: accuracy, the ROC AUC or balanced accuracy where most sequences are of one class, the micro
    F1 of labels; of numbers the mean absolute error, of several in units of each one's standard deviation."""
    if truth.kind == "labels":
        return "f1_micro"
    if truth.kind == "number":
        return compared_by(truth)
    if max(truth.counts.values()) < MOST * len(truth):
        return "accuracy"
    return "roc_auc" if len(truth.names) == 2 and min(truth.counts.values()) >= LEAST else "balanced_accuracy"


def compared_by(truth: Labels) -> str:
    """The metric whose difference between two models tells who was right where: a mean over sequences; of several targets in units of each one's
    standard deviation."""
    if truth.kind == "number":
        return "mae" if len(truth.names) == 1 else "scaled_mae"
    return "accuracy" if truth.kind == "class" else "subset_accuracy"


def r2(found: Predictions) -> Array:
    """1 − Σ (y − ŷ)² / Σ (y − ȳ)², NaN for a target that does not vary. Shapes: [K]."""
    rest, whole = np.square(found.truth - found.predicted).sum(0), np.square(found.truth - found.truth.mean(0)).sum(0)
    varies = np.ptp(found.truth, axis=0) > 0
    return np.where(varies, 1 - rest / np.where(varies, whole, 1), np.nan)


def scaled(errors: Array, truth: Array) -> Array:
    """Errors of targets in units of each one's standard deviation in `truth`, NaN for a target that does not vary. Shapes: [K]; truth [N, K]."""
    spread, varies = truth.std(0), np.ptp(truth, axis=0) > 0
    return np.where(varies, errors / np.where(varies, spread, 1), np.nan)


# A mean over targets of errors in their own units would be that of the target with the largest numbers, so that several have none.
NUMBERS: Mapping[str, Metric] = {
    "mae": lambda found: float(mae(found.truth, found.predicted)),
    "rmse": lambda found: float(rmse(found.truth, found.predicted)),
    "r2": lambda found: mean_of_defined(r2(found)),
}
SEVERAL_NUMBERS: Mapping[str, Metric] = {
    "scaled_mae": lambda found: mean_of_defined(scaled(mae(found.truth, found.predicted, axis=0), found.truth)),
    "scaled_rmse": lambda found: mean_of_defined(scaled(rmse(found.truth, found.predicted, axis=0), found.truth)),
    "r2": lambda found: mean_of_defined(r2(found)),
}


def _each_number(found: Predictions) -> dict[str, Array]:
    return {"mae": mae(found.truth, found.predicted, axis=0), "rmse": rmse(found.truth, found.predicted, axis=0), "r2": r2(found)}


def _each_class(found: Predictions) -> dict[str, Array]:
    counts = Counts.of(found)
    columns = {"count": found.counts, "precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
    columns |= {"roc_auc": each_of(roc_auc, found), "average_precision": each_of(average_precision, found)}
    if found.kind == "labels":
        columns |= {"log_loss": label_log_losses(found), "brier": np.square(found.predicted - found.truth).mean(0)}
        columns |= {"ece": each_of(lambda truth, probability: reliability(truth, probability).error, found)}
    return columns


def _class_confusion(found: Predictions) -> NDArray[np.int64]:
    K = len(found.names)
    return np.bincount(K * found.truth.argmax(1) + found.chosen.argmax(1), minlength=K * K).reshape(K, K)


def _label_confusion(found: Predictions) -> NDArray[np.int64]:
    right, false, missed = Counts.of(found)
    return np.stack([len(found) - right - false - missed, false, missed, right], 1).reshape(-1, 2, 2).astype(np.int64)


def _by_name(found: Predictions, columns: Mapping[str, Array]) -> dict[str, dict[str, float]]:
    return {name: {column: float(values[k]) for column, values in columns.items()} for k, name in enumerate(found.names)}


def _undefined_classes(found: Predictions) -> tuple[str, ...]:
    what = "label" if found.kind == "labels" else "class"
    absent, always = found.counts == 0, found.counts == len(found)
    unchosen = ~found.chosen.any(0)
    reasons = (
        (absent, "has no example: its recall, ROC AUC and average precision are undefined, and left out of the means over all"),
        (always, "is true of every example: its ROC AUC is undefined, and left out of the means over all"),
        (unchosen, "is never chosen: its precision is undefined, and left out of the mean over all"),
        (absent & unchosen, "is neither there nor chosen: its F1 is undefined, and left out of the mean over all"),
    )
    return tuple(f"{what} {found.names[k]!r} {reason}" for where, reason in reasons for k in np.flatnonzero(where))


def _undefined_numbers(found: Predictions) -> tuple[str, ...]:
    reason = "is the same number in every example: its R² is undefined, and left out of the mean over all"
    if len(found.names) > 1:
        reason = "is the same number in every example: its R² and scaled errors are undefined, and left out of the means over all"
    return tuple(f"target {found.names[k]!r} {reason}" for k in np.flatnonzero(np.isnan(r2(found))))
