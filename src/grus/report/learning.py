"""How the loss fell, epoch by epoch, and which epoch that chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from grus.report.axes import Array, Axis, number, value_axis
from grus.report.charts import Chart, Line, Mark, Rule, Table
from grus.report.records import cells
from grus.tasks.counted import counted
from grus.training import TrainingSettings

History = Sequence[Mapping[str, float]]
MANY = 0.5  # share of updates that are clipped, from which on it is worth a try not to
LEAP = 10.0  # times the median norm
SLOW = 2.0  # times the median time
SCALED = "loss (scaled units)"


def learning(history: History, before: History = (), unit: str = SCALED) -> tuple[Chart, ...]:
    """The losses of a training, behind those of the one `before` it that chose the number of its epochs."""
    if not before:
        best = best_epoch(history)
        alone = "There was no validation set: the weights kept are those of the last epoch."
        kept = alone if best is None else f"The weights kept are those of epoch {best}, with the lowest validation loss."
        return (losses("learning", "Loss by epoch", history, kept, unit),)
    best = best_epoch(before)
    chosen = "no validation loss chose between its epochs" if best is None else f"the validation loss was lowest at epoch {best}"
    anew = f"Trained anew on the validation part as well, for {counted(len(history), 'epoch')}: the weights kept are those of the last."
    return (
        losses("learning-first", "First training: loss by epoch", before, f"Here {chosen}; the training after it has {len(history)}.", unit),
        losses("learning", "Training anew: loss by epoch", history, anew, unit),
    )


def course(history: History, training: TrainingSettings | None = None) -> tuple[tuple[str, ...], tuple[Chart, ...]]:
    """What is to be said of the updates of a training, as sentences, and how they went from epoch to epoch, in small charts.

    Only what the epochs hold is drawn, and nothing of a single one. `training` says how the gradient was clipped.
    """
    if len(history) < 2:
        return (), ()
    names = {name for name in history[0] if all(name in row for row in history)}
    values = {name: np.array([row[name] for row in history], np.float64) for name in names}
    said, charts = list[str](), list[Chart]()

    def draw(name: str, title: str, unit: str, drawn: Array) -> None:
        charts.append(_small(name, title, unit, values["epoch"], drawn))

    if "gradient_norm" in names:
        said += _leap(values["epoch"], values["gradient_norm"])
        draw("gradient-norm", "Gradient norm", "mean norm before clipping", values["gradient_norm"])
    if {"gradient_norm", "clipped", "steps"} <= names:
        said += clipped_sentence(values["clipped"], values["steps"], values["gradient_norm"], training)
        if values["clipped"].any():
            draw("clipped", "Clipped updates", "share of updates (%)", 100 * values["clipped"])
    if "learning_rate" in names:
        draw("learning-rate", "Learning rate", "rate of the last update", values["learning_rate"])
    if {"steps", "seconds"} <= names:
        step_ms = 1000 * values["seconds"] / values["steps"]
        said += _slow(values["epoch"], step_ms)
        draw("step-time", "Time per update", "ms, without validation", step_ms)
    return tuple(said), tuple(charts)


def clipped_sentence(clipped: Array, steps: Array, norms: Array, training: TrainingSettings | None) -> list[str]:
    """How many updates were clipped, and what follows where it was most of them and to one norm.

    Shapes: all [epochs]; clipped are shares of the steps.
    """
    share = float((clipped * steps).sum() / steps.sum())
    if share == 0:
        return ["No update was clipped."]
    late = slice(len(clipped) // 2, None)
    lately = float((clipped[late] * steps[late]).sum() / steps[late].sum())
    said = f"{100 * share:.3g} % of the updates were clipped"
    limit = None if training is None or training.clip_value is not None or training.clip_percentile is not None else training.clip_norm
    if limit is None or min(share, lately) < MANY:
        return [f"{said}."]
    return [
        f"{said}, and {100 * lately:.3g} % of those in the second half of the epochs, where the norm was "
        f"{number(float(np.median(norms[late])), 2)} in the median: clip_norm = {limit:g} decided how large most gradients were. "
        "See whether a higher clip_norm or a lower learning_rate gives a lower validation loss."
    ]


def _leap(epochs: Array, norms: Array) -> list[str]:
    """Of the epoch whose gradients were far above the others'; those of the first epoch often are."""
    middle, top = float(np.median(norms)), int(norms[1:].argmax()) + 1
    if not norms[top] > LEAP * middle > 0:
        return []
    times = f"{norms[top] / middle:.0f} times the median of all epochs"
    return [f"At epoch {epochs[top]:.0f} the gradient's mean norm was {times}: look for extreme values in the data, or lower learning_rate."]


def _slow(epochs: Array, step_ms: Array) -> list[str]:
    """The usual time of an update, and of the epoch that took much longer."""
    middle, top = float(np.median(step_ms)), int(step_ms.argmax())
    said = f"An update took {number(middle, 1 if middle < 10 else 0)} ms in the median of the epochs"
    if not step_ms[top] > SLOW * middle > 0:
        return [f"{said}."]
    return [f"{said}; at epoch {epochs[top]:.0f} it took {step_ms[top] / middle:.1f} times that, which other work on the machine may explain."]


def _small(name: str, title: str, unit: str, epochs: Array, values: Array) -> Chart:
    """One line over the epochs."""
    known = values[np.isfinite(values)]
    if name == "clipped":
        up = Axis(0.0, 100.0, unit)
    elif known.size and known.min() > 0 and known.max() > 10 * known.min():
        up = Axis(float(known.min()) / 1.1, float(known.max()) * 1.1, f"{unit}, log scale", "log")
    else:
        up = value_axis(unit, known, zero=True)
    text = f"{title} over {counted(len(epochs), 'epoch')}: {number(values[0])} at first, {number(values[-1])} in the end."
    rows = tuple(zip((f"{epoch:.0f}" for epoch in epochs), cells(values), strict=True))
    across = Axis(float(epochs[0]), float(epochs[-1]), "epoch", "count")
    return Chart(name, title, text, across, up, [Line(epochs, values, "model")], Table(("epoch", unit), rows))


def best_epoch(history: History) -> int | None:
    """The epoch with the lowest validation loss; None where there was no validation."""
    found = {row["epoch"]: row["validation_loss"] for row in history if math.isfinite(row.get("validation_loss", math.nan))}
    return int(min(found, key=lambda epoch: found[epoch])) if found else None


def losses(name: str, title: str, history: History, caption: str, unit: str = SCALED) -> Chart:
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
    text = f"Training loss over {counted(len(epochs), 'epoch')}, from {number(loss[0])} to {number(loss[-1])}. {caption}"
    return Chart(name, title, text, across, loss_axis(np.concatenate([loss, validation]), unit), marks, Table(head, rows), caption, flat=True)


def loss_axis(values: Array, unit: str = SCALED) -> Axis:
    """The axis over losses, logarithmic where they fall to less than a tenth."""
    known = values[np.isfinite(values)]
    if known.size and known.min() > 0 and known.max() > 10 * known.min():
        return Axis(float(known.min()) / 1.1, float(known.max()) * 1.1, f"{unit}, log scale", "log")
    return value_axis(unit, known)
