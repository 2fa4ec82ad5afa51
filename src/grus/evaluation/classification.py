"""Metrics of classes and labels that are told with probabilities. What a metric cannot be computed for is NaN.

They are written here rather than taken from scikit-learn, to whose values the tests hold them: a bootstrap asks for them thousands of times, and
its checks of the input take longer than the sums.

A mean over classes is over those for which the metric is defined. Undefined are: the recall, ROC AUC and average precision of a class without
an example; the ROC AUC of a class that all examples have; the precision of one that is never chosen; the F1 of one that is neither there nor chosen.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from grus.evaluation.calibration import By, reliability
from grus.evaluation.predictions import Array, Predictions

Metric = Callable[[Predictions], float]

SMALLEST = float(np.finfo(np.float64).eps)  # what a probability of 0 counts as in a logarithm, as in scikit-learn


class Counts(NamedTuple):
    """Right and wrong choices. Shapes: each [K], or [] for all classes together."""

    true_positive: Array
    false_positive: Array
    false_negative: Array

    @staticmethod
    def of(found: Predictions) -> Counts:
        there, chosen = found.truth > 0.5, found.chosen
        return Counts(*(np.asarray(each.sum(0), np.float64) for each in (there & chosen, ~there & chosen, there & ~chosen)))

    def together(self) -> Counts:
        return Counts(*(each.sum() for each in self))

    @property
    def precision(self) -> Array:
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> Array:
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> Array:
        """2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)


def accuracy(found: Predictions) -> float:
    """The share of sequences whose class, or whole set of labels, was chosen."""
    return float(found.right.mean())


def balanced_accuracy(found: Predictions) -> float:
    """The mean recall over the classes that have examples."""
    return mean_of_defined(Counts.of(found).recall)


def hamming_loss(found: Predictions) -> float:
    """The share of all labels of all sequences that were chosen wrongly."""
    return float((found.chosen != (found.truth > 0.5)).mean())


def roc_auc(truth: Array, probability: Array) -> float:
    """The probability that an example with the class has the higher score than one without; a tie is half. Shapes: [N]."""
    from scipy.stats import rankdata  # here, as it takes a second to import, which every command that judges nothing would wait for

    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rankdata(probability)[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else np.nan


def average_precision(truth: Array, probability: Array) -> float:
    """Σ (R_n − R_{n−1}) P_n over the thresholds, without interpolation. Shapes: [N]."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)  # of the examples that share a threshold
    found = np.cumsum(truth[order])[last]
    return float(np.diff(found, prepend=0) @ (found / (last + 1)) / found[-1]) if found[-1] else np.nan


def log_loss(found: Predictions) -> float:
    """−mean log p of what is true: of the class, or of each label being there or not. A p of 0 counts as 2.2e−16.

    Units: nats.
    """
    if found.kind == "labels":
        return float(label_log_losses(found).mean())
    share = (found.truth * found.predicted).sum(1) / found.predicted.sum(1)
    return float(-np.log(np.maximum(share, SMALLEST)).mean())


def label_log_losses(found: Predictions) -> Array:
    """Each label's own −mean log p. Shapes: [K]."""
    share = np.where(found.truth > 0.5, found.predicted, 1 - found.predicted)
    return -np.log(np.maximum(share, SMALLEST)).mean(0)


def brier(found: Predictions) -> float:
    """Mean squared error of the probabilities: mean Σ_k (p_k − y_k)², for two classes mean (p_1 − y_1)², for labels the mean over them.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    squared = np.square(found.predicted - found.truth)
    if found.kind == "labels":
        return float(squared.mean())
    return float(squared[:, 1].mean() if len(found.names) == 2 else squared.sum(1).mean())


def calibration_error(found: Predictions, by: By = "width") -> float:
    """Expected calibration error over 15 bins: of the second class where there are two, of the class chosen where there are more, and the mean
    over the labels where each is told by itself.

    by: "width" has bins of one width (`ece`), "mass" bins that hold as many sequences as one another (`ece_mass`). Where most probabilities are
    alike, nearly all are in one bin of the former, and what differs within it is not seen.

    Source: Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks"; by mass: Nguyen and O'Connor 2015.
    """
    if found.kind == "labels":
        return float(np.mean([reliability(found.truth[:, k], found.predicted[:, k], by=by).error for k in range(len(found.names))]))
    outcome, confidence = told(found)
    return reliability(outcome, confidence, by=by).error


def told(found: Predictions) -> tuple[Array, Array]:
    """Whether the second class of two, or the chosen one of more, is true, and its probability: what calibration compares.

    Shapes: each [N].
    """
    if len(found.names) == 2:
        return found.truth[:, 1], found.predicted[:, 1]
    return found.right.astype(np.float64), found.predicted.max(1)


def mean_of_defined(values: Array) -> float:
    """The mean over what is not NaN; NaN where nothing is defined."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def each_of(metric: Callable[[Array, Array], float], found: Predictions) -> Array:
    """The metric of each class or label against the rest. Shapes: [K]."""
    return np.array([metric(found.truth[:, k], found.predicted[:, k]) for k in range(len(found.names))])


def _ratio(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _f1_weighted(found: Predictions) -> float:
    there = found.counts > 0
    weights = found.counts[there]
    return float(np.average(Counts.of(found).f1[there], weights=weights)) if len(weights) else np.nan


_CERTAINTY: dict[str, Metric] = {
    "log_loss": log_loss,
    "brier": brier,
    "ece": calibration_error,
    "ece_mass": lambda found: calibration_error(found, "mass"),
}
_F1: dict[str, Metric] = {
    "f1_macro": lambda found: mean_of_defined(Counts.of(found).f1),
    "f1_micro": lambda found: float(Counts.of(found).together().f1),
    "f1_weighted": _f1_weighted,
}
_MACRO: dict[str, Metric] = {
    "precision_macro": lambda found: mean_of_defined(Counts.of(found).precision),
    "recall_macro": lambda found: mean_of_defined(Counts.of(found).recall),
}
TWO_CLASSES: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": lambda found: float(Counts.of(found).precision[1]),
    "recall": lambda found: float(Counts.of(found).recall[1]),
    "f1": lambda found: float(Counts.of(found).f1[1]),
    **_F1,
    "roc_auc": lambda found: roc_auc(found.truth[:, 1], found.predicted[:, 1]),
    "average_precision": lambda found: average_precision(found.truth[:, 1], found.predicted[:, 1]),
    **_CERTAINTY,
}
CLASSES: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    **_MACRO,
    **_F1,
    "roc_auc_ovr": lambda found: mean_of_defined(each_of(roc_auc, found)),
    "average_precision_macro": lambda found: mean_of_defined(each_of(average_precision, found)),
    **_CERTAINTY,
}
LABELS: Mapping[str, Metric] = {
    "subset_accuracy": accuracy,
    "hamming_loss": hamming_loss,
    **_MACRO,
    "precision_micro": lambda found: float(Counts.of(found).together().precision),
    "recall_micro": lambda found: float(Counts.of(found).together().recall),
    **_F1,
    "roc_auc_macro": lambda found: mean_of_defined(each_of(roc_auc, found)),
    "roc_auc_micro": lambda found: roc_auc(found.truth.ravel(), found.predicted.ravel()),
    "average_precision_macro": lambda found: mean_of_defined(each_of(average_precision, found)),
    "average_precision_micro": lambda found: average_precision(found.truth.ravel(), found.predicted.ravel()),
    **_CERTAINTY,
}
