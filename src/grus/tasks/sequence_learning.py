"""Training a classifier or regressor of sequences: its batches, what must hold before it starts, and the temperature of its probabilities."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequence_batches import SequenceBatches
from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError, ShapeError
from grus.models import SequenceBatch, SequenceNetwork, SequenceObjective, SequenceSettings, SequenceShape
from grus.models.sequence import build
from grus.models.sequence_losses import balanced
from grus.nn.memory import fit_memory
from grus.tasks.learning import check_missing
from grus.tasks.sequence_additions import Additions
from grus.tasks.sequence_facts import training_facts
from grus.tasks.sequence_model import PREDICTED, SequenceModel, calibrate_on, check_labels, ensemble
from grus.tasks.sequence_reading import Reader, Reading, fit_reader
from grus.tasks.sequence_source import SequenceSource
from grus.tasks.sequence_teachers import Teacher, check_teachers, load_teachers, mean_answer
from grus.training import History, Reporter, TrainingSettings, fit, quiet, seeded
from grus.training.ranks import count_of_processes
from grus.training.rate_finder import RateSearch, find_rate

__all__ = ["Additions", "SequenceSource", "ensemble", "search_rate", "train"]


def train(
    learnt: Sequences | Texts,
    held: Sequences | Texts | None,
    reading: Reading,
    settings: SequenceSettings,
    training: TrainingSettings,
    additions: Additions | None = None,
    *,
    weights: ArrayLike | None = None,
    held_weights: ArrayLike | None = None,
    start: SequenceModel | None = None,
    teachers: SequenceModel | None = None,
    folder: Path | None = None,
    reporter: Reporter = quiet,
    resume: bool = False,
) -> tuple[SequenceModel, History]:
    """A network trained on labelled sequences; held out ones choose the best epoch, and measure the temperature of its probabilities.

    weights, held_weights: of each sequence of `learnt` in the loss, and of those held out in theirs; None is 1 for all.
    start: a model whose weights, units and answers training goes on from; it stays as it is.
    teachers: a model whose answers are learnt too, beside those that the additions name.
    Units, tokens and class weights are measured on `learnt` alone. An interrupted run with a folder gives the best network so far, for ``resume``
    to go on with.

    Raises: DataError, OptionError, ShapeError; KeyboardInterrupt for an interrupted run without a folder.
    """
    additions = Additions() if additions is None else additions
    course = _prepare(learnt, held, reading, settings, training, additions, (weights, held_weights), start, teachers)
    network = course.network
    history = fit(network, additions.objective, course.source, course.checked, course.training, folder=folder, reporter=reporter, resume=resume)
    if history.interrupted and folder is None:
        raise KeyboardInterrupt  # half-trained and nothing to resume from: no model
    model = SequenceModel((network.cpu(),), course.reader, course.labels.kind, course.labels.names, findings=course.findings)
    if course.truth is not None and model.kind != "number" and course.checked is not None:
        model = calibrate_on(model, course.truth, model.logits_of(course.checked.batches))
    told = additions if course.training is not training else additions.model_copy(update={"least_updates": 0})  # which asked for nothing then
    return replace(model, facts=training_facts(learnt, held, model, told, course.training, history)), history


def search_rate(
    learnt: Sequences | Texts,
    held: Sequences | Texts | None,
    reading: Reading,
    settings: SequenceSettings,
    training: TrainingSettings,
    additions: Additions | None = None,
    *,
    weights: ArrayLike | None = None,
    start: SequenceModel | None = None,
    teachers: SequenceModel | None = None,
) -> RateSearch:
    """Learning rates tried out on what ``train`` would begin with, of the same arguments.

    Raises: DataError, OptionError, ShapeError.
    """
    additions = Additions() if additions is None else additions
    course = _prepare(learnt, held, reading, settings, training, additions, (weights, None), start, teachers)
    return find_rate(course.network, additions.objective, course.source, course.training)


def check_training(
    learnt: Sequences | Texts, settings: SequenceSettings, training: TrainingSettings, additions: Additions, teachers: SequenceModel | None = None
) -> tuple[Teacher, ...]:
    """The teachers of such a training, where all that was asked for can be done with such sequences.

    Raises: DataError, OptionError.
    """
    if learnt.labels is None:
        raise DataError("train: sequences must be some with labels, got no labels; give them.")
    kind, channels = learnt.labels.kind, 0 if isinstance(learnt, Texts) else len(learnt.names)
    for name in ("input_noise", "window_warping"):
        if getattr(training, name):
            raise OptionError(f"train: {name} must be 0 for whole sequences, as it is of windows, got {getattr(training, name)}; see mix_up.")
    settings.check_fits(SequenceShape(kind, len(learnt.labels.names), channels, int(not channels)))
    found = (*(() if teachers is None else (Teacher(teachers.name, teachers),)), *load_teachers(additions.teachers))
    additions.check_for(texts=not channels, measures=settings.missing_aware, numbers=kind == "number", taught=bool(found))
    check_teachers(found, learnt, learnt.labels)
    return found


@dataclass(frozen=True)
class _Course:
    """What a training begins with."""

    network: SequenceNetwork
    training: TrainingSettings
    source: SequenceSource
    checked: SequenceSource | None
    reader: Reader
    labels: Labels
    truth: Labels | None
    findings: tuple[str, ...]


def _prepare(
    learnt: Sequences | Texts,
    held: Sequences | Texts | None,
    reading: Reading,
    settings: SequenceSettings,
    training: TrainingSettings,
    additions: Additions,
    weights: tuple[ArrayLike | None, ArrayLike | None],
    start: SequenceModel | None,
    teachers: SequenceModel | None,
) -> _Course:
    labels = check_labels("train", learnt, *_answers(learnt, start))
    asked = check_training(learnt, settings, training, additions, teachers)
    if isinstance(learnt, Sequences):
        check_missing(reading.missing, settings)
        additions.check_elapsed(reading.elapsed)
    if start is None:
        reader, findings = fit_reader(learnt, reading)
    else:
        reader, findings = _reader_of(start, reading), ()
    inputs = reader.inputs(learnt)
    training, few = for_few(len(learnt), training, additions.least_updates)
    findings = (*learnt.findings, *labels.findings, *findings, *inputs.findings, *few)
    checked = truth = None
    if held is not None:
        truth = check_labels("train", held, labels.kind, labels.names)
        judged = reader.inputs(held)
        findings += tuple(f"validation: {finding}" for finding in (*held.findings, *judged.findings))
        checked = SequenceSource(SequenceBatches(judged), PREDICTED, shuffle=False, weights=_checked_weights(weights[1], len(held)))
    shape = SequenceShape(labels.kind, len(labels.names), len(inputs.names), reader.vocabulary)
    with seeded(training.seed):
        if start is None:
            balance = balanced(labels.values, labels.kind, shape.outputs) if settings.class_weights == "balanced" else None
            network = build(settings, shape, balance)
        else:
            network = _goes_on(start, settings)
    batches, loss = SequenceBatches(inputs), _checked_weights(weights[0], len(learnt))
    soft = _soft(asked, learnt, reader, additions.distillation_temperature)
    usual = vars(SequenceObjective())
    changed = {name: value for name, value in vars(additions.objective).items() if value != usual[name]}
    extra = repr(changed).encode() if changed else b""
    source = SequenceSource(batches, training.batch_size, weights=loss, soft=soft, extra=extra)
    if training.max_memory_gb is not None:
        with seeded(training.seed):  # on the longest sequence, in as many rows as a batch has
            longest = SequenceBatch.of(batches.batch([int(batches.lengths.argmax())]))
            fit_memory(
                network.train(), partial(additions.objective, network, longest), training.max_memory_gb, rows=min(training.batch_size, len(learnt))
            )
    return _Course(network, training, source, checked, reader, labels, truth, tuple(dict.fromkeys(findings)))


def for_few(count: int, training: TrainingSettings, least: int) -> tuple[TrainingSettings, tuple[str, ...]]:
    """How so many sequences are learnt in at least so many updates, as far as batches of one can, and what there is to say of it.

    Source: Hoffer, Hubara and Soudry, Train longer, generalize better, 2017, arXiv:1705.08741: what counts is the number of updates.
    """
    each = -(-least // training.epochs) * training.accumulate * count_of_processes()
    size = max(1, count // each) if least else training.batch_size
    if size >= training.batch_size:
        return training, ()
    told = f"{count} sequences are few: they are read in batches of {size}, for all epochs, to learn in some {least} updates or more"
    return training.model_copy(update={"batch_size": size, "patience": None}), (f"{told}; additions.least_updates=0 leaves that",)


def _soft(teachers: tuple[Teacher, ...], learnt: Sequences | Texts, reader: Reader, temperature: float) -> NDArray[np.float32] | None:
    """What teachers say of the sequences, as the network is to say it."""
    if not teachers:
        return None
    said = mean_answer(teachers, learnt, temperature)
    kind, names = teachers[0].model.kind, teachers[0].model.names
    return (reader.scaled(Labels(kind, names, said)).values if kind == "number" else said).astype(np.float32)


def _answers(learnt: Sequences | Texts, start: SequenceModel | None) -> tuple[Any, tuple[str, ...]]:
    """The kind and names that labels must have: those of a model to go on from, else their own."""
    if start is not None:
        return start.kind, start.names
    return ("class", ()) if learnt.labels is None else (learnt.labels.kind, learnt.labels.names)


def _reader_of(given: SequenceModel, reading: Reading) -> Reader:
    """Raises: OptionError where it reads in another way than is asked for."""
    if given.reader.reading != reading:
        for name, value in vars(given.reader.reading).items():
            if getattr(reading, name) != value:
                got = getattr(reading, name)
                raise OptionError(f"train: {name} must be {value!r}, that of the model that is given, got {got!r}; take its reading, or train anew.")
    return given.reader


def _goes_on(start: SequenceModel, settings: SequenceSettings) -> SequenceNetwork:
    """A copy of the network to go on from.

    Raises: OptionError for an ensemble, or other settings.
    """
    if len(start.networks) > 1:
        raise OptionError(f"train: the model to go on from must have one network, got {len(start.networks)}; go on from each, then join them.")
    wanted = settings.model_dump()
    for name, value in start.network.settings.model_dump().items():
        if wanted[name] != value:
            raise OptionError(
                f"train: {name} must be {value!r}, that of the model to go on from, got {wanted[name]!r}; train anew for another network."
            )
    return deepcopy(start.network)


def _checked_weights(weights: ArrayLike | None, count: int) -> NDArray[np.float32] | None:
    """Raises: ShapeError, DataError."""
    if weights is None:
        return None
    found = np.asarray(weights, np.float32)
    if found.shape != (count,):
        raise ShapeError(f"train: weights must be [N] = [{count}], got {list(found.shape)}; give one for each sequence.")
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise DataError("train: weights must be finite numbers of at least 0, and one above 0, got others; leave out what is not to be learnt.")
    return found
