"""A run of the command line as options of an estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grus.tasks import folder as folders
from grus.tasks.sequence_config import of_sequences
from grus.training import TrainingSettings


def settings_of_run(place: Path) -> dict[str, Any]:
    """How a run was trained, as an estimator's options; of a folder that is no run nothing.

    A validation part with a file of its own, or of whole groups, is no share of what an estimator is given, which keeps its default then.

    Raises: DataError, OptionError for a run of another task.
    """
    if not folders.is_run(place):
        return {}
    config = of_sequences(folders.open(place).config)
    data, training = config.data, config.training
    found: dict[str, Any] = {"layout": data.layout, "epochs": training.epochs, "batch_size": training.batch_size, "random_state": training.seed}
    found |= {} if isinstance(data.validation, str) or data.groups is not None else {"validation_split": data.validation}
    return found | {"training": further_training(training), "additions": config.additions.model_dump(mode="json", exclude_defaults=True) or None}


def further_training(training: TrainingSettings) -> dict[str, Any] | None:
    """The settings of training that are no options of an estimator by themselves, where they are not the defaults."""
    return training.model_dump(mode="json", exclude_defaults=True, exclude={"epochs", "batch_size", "seed"}) or None
