"""What a forecaster was trained on, as names and values for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from grus.data.panel import Panel
from grus.data.splitting import Range, Split
from grus.nn import Recurrent
from grus.tasks.card import versions
from grus.tasks.forecast import ForecastModel
from grus.tasks.judging import name_of
from grus.training import History, TrainingSettings

Facts = list[tuple[str, str]]


def training_facts(parts: Split, model: ForecastModel, training: TrainingSettings, history: History, extra: Sequence[tuple[str, str]] = ()) -> Facts:
    """What was learnt from what, in a reader's order, after what the caller knows besides."""
    panel, windows, settings = parts.panel, model.windows, model.network.settings
    steps, known = sum(len(series) for series in panel), sum(int((~np.isnan(series.target)).sum()) for series in panel)
    first, last = min(series.times[0] for series in panel), max(series.times[-1] for series in panel)
    weights = sum(weight.numel() for weight in model.network.parameters())
    return [
        *extra,
        ("target", panel.columns.target),
        *_covariates(panel),
        ("series", f"{len(panel)}, {steps} steps, {steps - known} without a value"),
        ("step and season", f"{panel.step.name}, {panel.step.season}"),
        ("times", f"{time_text(first, panel)} to {time_text(last, panel)}"),
        ("split", _split(parts)),
        ("lookback and horizon", f"{windows.lookback} and {windows.horizon} steps"),
        ("missing values", windows.missing),
        ("transform", windows.transform),
        ("scaling", f"{windows.scaling}, fitted on the training part"),
        ("network", f"{name_of(model)}, {settings.decoder} decoder, {settings.head} head, {weights} weights"),
        *course_facts(model.network, training, history),
    ]


def course_facts(network: nn.Module, training: TrainingSettings, history: History) -> Facts:
    """How long and by what a network was trained."""
    return [
        ("epochs", f"{len(history.epochs)} of {training.epochs}, best {history.best_epoch}, stopped by {history.stopped}"),
        ("batch size", str(training.batch_size)),
        *_memory(network, training),
        ("seed", str(training.seed)),
        ("training time", f"{sum(row['seconds'] for row in history.epochs):.1f} s"),
        ("made with", ", ".join(f"{name} {number}" for name, number in versions().items())),
    ]


def time_text(time: Any, panel: Panel) -> str:
    """A time of a panel: the day, with hours and minutes or more where the panel has times within days.

    Example:
        >>> from grus.data import read_panel
        >>> panel = read_panel({"ds": ["2024-01-01 06:00", "2024-01-01 12:00", "2024-01-01 18:00"], "y": [1.0, 2.0, 3.0]})
        >>> time_text(panel.series[0].times[0], panel)
        '2024-01-01 06:00'
    """
    if panel.series[0].times.dtype.kind != "M":
        return str(int(time))
    unit = next(unit for unit in ("D", "m", "s", "ns") if all((series.times.astype(f"M8[{unit}]") == series.times).all() for series in panel))
    return str(time.astype(f"M8[{unit}]")).replace("T", " ")


def _memory(network: nn.Module, training: TrainingSettings) -> Facts:
    """What the layers kept for their gradients, where a budget chose it."""
    if training.max_memory_gb is None:
        return []
    kept = next(layer.options.memory for layer in network.modules() if isinstance(layer, Recurrent))
    return [("memory", f"{kept}, within {training.max_memory_gb:g} GB")]


def _covariates(panel: Panel) -> Facts:
    columns = panel.columns
    given = {"past covariates": columns.past, "future covariates": columns.future, "static covariates": columns.static}
    return [(name, ", ".join(found)) for name, found in given.items() if found] or [("covariates", "none")]


def _split(parts: Split) -> str:
    """The steps of each part, and where it begins when that is the same time in every series."""

    def begins(ranges: Sequence[Range]) -> str:
        found = {series.times[low] for series, (low, high) in zip(parts.panel, ranges, strict=True) if high > low}
        return f" from {time_text(found.pop(), parts.panel)}" if len(found) == 1 else ""

    named = {"training": parts.train, "validation": parts.validation, "test": parts.test}
    shares = [f"{name} {sum(high - low for low, high in ranges)}{begins(ranges) if name != 'training' else ''}" for name, ranges in named.items()]
    return f"steps by time: {', '.join(shares)}"
