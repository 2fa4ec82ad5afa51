"""Trained models whose answers another one learns: found in their folders, held against what is learnt, and asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import OptionError
from grus.tasks import folder as folders
from grus.tasks import sequence_stored
from grus.tasks.registry import TASKS
from grus.tasks.sequence_config import ClassifyConfig, RegressConfig, of_sequences
from grus.tasks.sequence_model import Array, SequenceModel, listed
from grus.tasks.sequence_reading import NumberReader


class Teacher(NamedTuple):
    """A model, and what a message calls it."""

    name: str
    model: SequenceModel


def load_teachers(places: Iterable[Path]) -> tuple[Teacher, ...]:
    """Models in folders of runs, or as ``save`` wrote them.

    Raises: DataError for a folder that holds none; OptionError for a run of another task.
    """
    return tuple(Teacher(str(place), sequence_stored.load(model_folder(place))) for place in places)


def check_teachers(teachers: Iterable[Teacher], learnt: Sequences | Texts, labels: Labels) -> None:
    """Raises: OptionError for one that does not read such data, or answers another question."""
    for name, model in teachers:
        texts = not isinstance(model.reader, NumberReader)
        if texts != isinstance(learnt, Texts):
            must, got = ("texts", "sequences of numbers") if isinstance(learnt, Texts) else ("sequences of numbers", "texts")
            raise OptionError(f"Additions: teachers must read {must}, got {name}, which reads {got}; leave it out.")
        own = model.reader.scaling.values.names if isinstance(model.reader, NumberReader) else ()
        if isinstance(learnt, Sequences) and own != learnt.names:
            must, got = listed(learnt.names), listed(own)
            raise OptionError(f"Additions: teachers must read the channels {must}, got {name}, which reads {got}; leave it out.")
        if (model.kind, model.names) != (labels.kind, labels.names):
            must, got = f"{labels.kind!r} of {listed(labels.names)}", f"{model.kind!r} of {listed(model.names)}"
            raise OptionError(f"Additions: teachers must answer {must}, got {name}, which answers {got}; leave it out.")


def mean_answer(teachers: Iterable[Teacher], learnt: Sequences | Texts, temperature: float) -> Array:
    """What they say of sequences on average: probabilities, each teacher's logits divided by its own temperature and this one; or numbers.

    Shapes: [N, K].
    """
    found: list[Array] = []
    for _, model in teachers:
        logits = model.logits(learnt)
        found.append(logits if model.kind == "number" else model.probabilities(logits / temperature))
    return np.mean(found, 0)


def teacher_findings(config: ClassifyConfig | RegressConfig) -> tuple[str, ...]:
    """Whether the teachers of a run may have learnt from sequences that it is judged by."""
    if config.data.test == 0:
        return ()
    told: list[str] = []
    for place in config.additions.teachers:
        if not folders.is_run(place):
            told.append(f"teacher {place} does not say what it learnt from: where the test part is in it, the scores are too good")
            continue
        own = of_sequences(folders.open(place).config).data
        other = [key for key in TASKS[config.task].fixed if getattr(own, key, None) != getattr(config.data, key, None)]
        if other:
            named = ", ".join(f"data.{key}" for key in other)
            told.append(f"teacher {place} has another {named}: where it learnt from sequences of the test part, the scores are too good")
    return tuple(told)


def model_folder(place: Path) -> Path:
    """The model's folder in that of a run; another folder is the model's own.

    Raises: DataError for a run without a model; OptionError for a run of another task.
    """
    if not folders.is_run(place):
        return place
    run = folders.open(place, needs=("model",))
    of_sequences(run.config)
    return run.model
