"""Training: one loop for every task, checkpoints without pickle, exact resume, progress."""

from __future__ import annotations

from grus.training.checkpoint import Checkpoints, Snapshot
from grus.training.history import History
from grus.training.loop import BatchSource, Objective, fit
from grus.training.progress import Bar, JsonLines, Quiet, Reporter, quiet
from grus.training.seeds import seed_everything, seeded
from grus.training.settings import TrainingSettings

__all__ = [
    "Bar",
    "BatchSource",
    "Checkpoints",
    "History",
    "JsonLines",
    "Objective",
    "Quiet",
    "Reporter",
    "Snapshot",
    "TrainingSettings",
    "fit",
    "quiet",
    "seed_everything",
    "seeded",
]
