"""What the metrics of classes, labels and numbers are called, and how their values are told."""

from __future__ import annotations

import math
from typing import NamedTuple

from grus.evaluation.scores import HIGHER_IS_WORSE
from grus.report.axes import number, signed
from grus.tasks.counted import counted


class Metric(NamedTuple):
    label: str
    meaning: str
    share: bool = True  # of 1, told in per cent


# Metrics that say what another one does.
REPEATED = {"class": ("recall_macro", "f1_micro", "ece_mass"), "labels": ("ece_mass",), "number": ()}
LONGEST = 36  # letters of a name
MEAN, ALL = "mean over the classes, or labels", "over all together"
METRICS = {
    "accuracy": Metric("accuracy", "share of sequences whose class was predicted"),
    "subset_accuracy": Metric("exact sets", "share of sequences of which every label is right"),
    "balanced_accuracy": Metric("balanced accuracy", "mean recall over the classes"),
    "hamming_loss": Metric("Hamming loss", "share of all labels that are wrong"),
    "precision": Metric("precision", "of those predicted as the second class, the share that are of it"),
    "recall": Metric("recall", "of those of the second class, the share that were found"),
    "precision_macro": Metric("macro precision", "mean over those that were predicted at all"),
    "recall_macro": Metric("macro recall", MEAN),
    "precision_micro": Metric("micro precision", ALL),
    "recall_micro": Metric("micro recall", ALL),
    "f1": Metric("F1", "2 × precision × recall / (precision + recall)"),
    "f1_macro": Metric("macro F1", MEAN),
    "f1_micro": Metric("micro F1", ALL),
    "f1_weighted": Metric("weighted F1", "mean over the classes by their size"),
    "roc_auc": Metric("ROC AUC", "chance that one of the second class ranks above one of the first class"),
    "roc_auc_ovr": Metric("ROC AUC", "each class against the rest, mean"),
    "roc_auc_macro": Metric("macro ROC AUC", MEAN),
    "roc_auc_micro": Metric("micro ROC AUC", ALL),
    "average_precision": Metric("average precision", "area below precision over recall"),
    "average_precision_macro": Metric("macro average precision", MEAN),
    "average_precision_micro": Metric("micro average precision", ALL),
    "log_loss": Metric("log-loss", "−mean log of the probability of what is true", False),
    "brier": Metric("Brier", "mean squared error of the probabilities", False),
    "ece": Metric("calibration error", "mean gap between probabilities and what came true, in 15 bins"),
    "ece_mass": Metric("calibration error, equal bins", "the same in bins of one size"),
    "mae": Metric("MAE", "mean absolute error", False),
    "rmse": Metric("RMSE", "root mean squared error", False),
    "scaled_mae": Metric("scaled MAE", "mean over the targets of MAE over the target's standard deviation in what is judged", False),
    "scaled_rmse": Metric("scaled RMSE", "the same of RMSE", False),
    "r2": Metric("R²", "share of the variance that is predicted", False),
    "count": Metric("sequences", "", False),
}


def metric_of(name: str) -> Metric:
    """A metric that is not listed is shown under its own name."""
    return METRICS.get(name, Metric(name, "", False))


def is_better_low(name: str) -> bool:
    return name in HIGHER_IS_WORSE


def brief(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of classes as tables and lists have room for: long ones without their middle, unless two would be alike.

    >>> brief(("short", "x" * 30 + "y" * 30))
    ('short', 'xxxxxxxxxxxxxxxxxxxxxxxx…yyyyyyyyyyyy')
    """
    found = tuple(name if len(name) <= LONGEST else f"{name[: 2 * LONGEST // 3]}…{name[-(LONGEST // 3) :]}" for name in names)
    return found if len(set(found)) == len(set(names)) else names


def percent(share: float, decimals: int = 1) -> str:
    """A share of 1 in per cent; what is not all or nothing is not told as such.

    >>> percent(0.9213), percent(0.99999), percent(1.0)
    ('92.1 %', '> 99.9 %', '100.0 %')
    """
    least = 10.0 ** -(decimals + 2)
    if 0 < share < least / 2:
        return f"< {number(100 * least, decimals)} %"
    if 1 - least / 2 < share < 1:
        return f"> {number(100 * (1 - least), decimals)} %"
    return f"{number(100 * share, decimals)} %"


def figure(value: float) -> str:
    """A number to three figures or so, as text reads best.

    >>> [figure(value) for value in (0.0, 0.01234, 12.345, -1234.5)]
    ['0', '0.0123', '12.3', '−1234']
    """
    if value == 0 or abs(value) >= 1000 or not math.isfinite(value):
        return number(value, 0)
    text = f"{value:.3g}"
    return signed(text) if "e" in text else number(value, len(text.partition(".")[2]))


def said(name: str, value: float) -> str:
    """A metric's value: "92.1 %", or "0.213"."""
    return percent(value) if metric_of(name).share else figure(value)


def span(name: str, low: float, high: float) -> str:
    """Two values of a metric: "91.5 to 96.2 %"."""
    return f"{number(100 * low, 1)} to {number(100 * high, 1)} %" if metric_of(name).share else f"{figure(low)} to {figure(high)}"


def chance(p_value: float) -> str:
    """A probability as it is told: "p = 0.012", "p < 0.001"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def sequences(count: int) -> str:
    return counted(count, "sequence")
