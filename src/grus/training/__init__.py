"""Training: one loop for every task, checkpoints without pickle, exact resume, progress."""

from __future__ import annotations

from grus.training.checkpoint import Checkpoints, Snapshot
from grus.training.divergence import DivergenceError
from grus.training.history import History
from grus.training.loop import BatchSource, Objective, fit
from grus.training.progress import Bar, JsonLines, Lines, PacedLines, Quiet, Reporter, Together, bar_or_lines, quiet
from grus.training.rate_finder import RateSearch, find_rate
from grus.training.regularise import Penalty
from grus.training.seeds import seed_everything, seeded
from grus.training.settings import TrainingSettings

__all__ = [
    "Bar",
    "BatchSource",
    "Checkpoints",
    "DivergenceError",
    "History",
    "JsonLines",
    "Lines",
    "Objective",
    "PacedLines",
    "Penalty",
    "Quiet",
    "RateSearch",
    "Reporter",
    "Snapshot",
    "Together",
    "TrainingSettings",
    "bar_or_lines",
    "find_rate",
    "fit",
    "quiet",
    "seed_everything",
    "seeded",
]
