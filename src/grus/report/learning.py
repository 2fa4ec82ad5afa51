"""How the loss fell, epoch by epoch, and which epoch that chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Chart, Line, Mark, Rule, Table
from grus.report.records import cells

History = Sequence[Mapping[str, float]]


def learning(history: History, before: History = ()) -> tuple[Chart, ...]:
    """The losses of a training, behind those of the one `before` it that chose the number of its epochs."""
    if not before:
        best = best_epoch(history)
        alone = "There was no validation set: the weights kept are those of the last epoch."
        kept = alone if best is None else f"The weights kept are those of epoch {best}, with the lowest validation loss."
        return (losses("learning", "Loss by epoch", history, kept),)
    best = best_epoch(before)
    chosen = "no validation loss chose between its epochs" if best is None else f"the validation loss was lowest at epoch {best}"
    epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    anew = f"Trained anew on the validation part as well, for {epochs}: the weights kept are those of the last."
    return (
        losses("learning-first", "First training: loss by epoch", before, f"Here {chosen}; the training after it has {len(history)}."),
        losses("learning", "Training anew: loss by epoch", history, anew),
    )


def best_epoch(history: History) -> int | None:
    """The epoch with the lowest validation loss; None where there was no validation."""
    found = {row["epoch"]: row["validation_loss"] for row in history if math.isfinite(row.get("validation_loss", math.nan))}
    return int(min(found, key=lambda epoch: found[epoch])) if found else None


def losses(name: str, title: str, history: History, caption: str) -> Chart:
    """Losses over epochs, and the best of these."""
    names = list(dict.fromkeys(name for row in history for name in row if name != "epoch"))
    epochs = np.array([row["epoch"] for row in history], np.float64)
    columns = {name: np.array([row.get(name, math.nan) for row in history], np.float64) for name in names}
    loss, validation, best = columns["loss"], columns.get("validation_loss", np.full(len(epochs), np.nan)), best_epoch(history)
    marks: list[Mark] = [Line(epochs, loss, "best", "training")]
    if best is not None:
        marks += [Rule(float(best), upright=True, name=f"best, epoch {best}"), Line(epochs, validation, "model", "validation")]
    across = Axis(float(epochs[0]), max(float(epochs[-1]), float(epochs[0]) + 1), "epoch", "count")
    head = ("epoch", *(name.replace("_", " ") for name in names))
    rows = tuple(zip((f"{epoch:.0f}" for epoch in epochs), *(cells(column) for column in columns.values()), strict=True))
    text = f"Training loss over {len(epochs)} epochs, from {number(loss[0])} to {number(loss[-1])}. {caption}"
    return Chart(name, title, text, across, loss_axis(np.concatenate([loss, validation])), marks, Table(head, rows), caption, flat=True)


def loss_axis(values: Array) -> Axis:
    """The axis over losses, logarithmic where they fall to less than a tenth."""
    known = values[np.isfinite(values)]
    if known.size and known.min() > 0 and known.max() > 10 * known.min():
        return Axis(float(known.min()) / 1.1, float(known.max()) * 1.1, "loss (scaled units), log scale", "log")
    return value_axis("loss (scaled units)", known)
