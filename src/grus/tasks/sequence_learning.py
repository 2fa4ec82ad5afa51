"""Training a classifier or regressor of sequences: its batches, what must hold before it starts, and the temperature of its probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
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
from grus.models.tensors import as_tensor
from grus.nn.memory import fit_memory
from grus.tasks.learning import check_missing
from grus.tasks.sequence_additions import Additions, objective_of
from grus.tasks.sequence_facts import training_facts
from grus.tasks.sequence_model import PREDICTED, SequenceModel, calibrate_on, check_labels, ensemble
from grus.tasks.sequence_reading import Reader, Reading, fit_reader, read_alike
from grus.training import History, Reporter, TrainingSettings, fit, quiet, seeded
from grus.training.rate_finder import RateSearch, find_rate

__all__ = ["Additions", "SequenceSource", "ensemble", "search_rate", "train"]


class SequenceSource:
    """Sequences as the batches of a training run.

    weights: of each sequence in the loss, [N]; None is 1 for all. extra: what else a run that is resumed must find the same.
    """

    def __init__(
        self, batches: SequenceBatches, batch_size: int, *, shuffle: bool = True, weights: NDArray[np.float32] | None = None, extra: bytes = b""
    ) -> None:
        self.batches, self.batch_size, self.shuffle, self.weights, self.extra = batches, batch_size, shuffle, weights, extra
        self._share = (0, 1)

    def __len__(self) -> int:
        return self.batches.count(self.batch_size)

    @cached_property
    def digest(self) -> str:
        """Of all that decides the batches."""
        weights = b"" if self.weights is None else self.weights.tobytes()
        return sha256(self.batches.digest().encode() + weights + self.extra).hexdigest()

    def share(self, rank: int, ranks: int) -> SequenceSource:
        """A rank's part of batches that are so many times as large.

        Raises: OptionError where there are fewer sequences than ranks.
        """
        if len(self.batches) < ranks:
            raise OptionError(f"fit: every process must have a sequence, got {len(self.batches)} for {ranks} processes; start fewer of them.")
        found = SequenceSource(self.batches, self.batch_size * ranks, shuffle=self.shuffle, weights=self.weights, extra=self.extra)
        found._share = (rank, ranks)
        return found

    def epoch(self, number: int, seed: int) -> Iterator[SequenceBatch | None]:
        """The sequences of one epoch."""
        for padded in self.batches.batches(number, seed, self.batch_size, self.shuffle, self._share):
            if padded is None:
                yield None
                continue
            batch = SequenceBatch.of(padded)
            yield batch if self.weights is None else batch._replace(weight=as_tensor(self.weights[padded.rows], "cpu"))


def train(
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
    folder: Path | None = None,
    reporter: Reporter = quiet,
    resume: bool = False,
) -> tuple[SequenceModel, History]:
    """A network trained on labelled sequences; held out ones choose the best epoch, and measure the temperature of its probabilities.

    weights: of each sequence of `learnt` in the loss; None is 1 for all.
    start: a model whose weights, units and answers training goes on from; it stays as it is.
    teachers: a model whose answers are learnt too; the network reads as it does.
    Units, tokens and class weights are measured on `learnt` alone. An interrupted run with a folder gives the best network so far, for ``resume``
    to go on with.

    Raises: DataError, OptionError, ShapeError; KeyboardInterrupt for an interrupted run without a folder.
    """
    additions = Additions() if additions is None else additions
    course = _prepare(learnt, held, reading, settings, training, additions, weights, start, teachers)
    network = course.network
    try:
        history = fit(network, course.objective, course.source, course.checked, training, folder=folder, reporter=reporter, resume=resume)
    finally:
        for teacher in () if teachers is None else teachers.networks:
            teacher.cpu()  # they went to the device of the learner
    if history.interrupted and folder is None:
        raise KeyboardInterrupt  # half-trained and nothing to resume from: no model
    model = SequenceModel((network.cpu(),), course.reader, course.labels.kind, course.labels.names, findings=course.findings)
    if course.truth is not None and model.kind != "number" and course.checked is not None:
        model = calibrate_on(model, course.truth, model.logits_of(course.checked.batches))
    return replace(model, facts=training_facts(learnt, held, model, additions, training, history)), history


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
    course = _prepare(learnt, held, reading, settings, training, additions or Additions(), weights, start, teachers)
    return find_rate(course.network, course.objective, course.source, training)


@dataclass(frozen=True)
class _Course:
    """What a training begins with."""

    network: SequenceNetwork
    objective: SequenceObjective
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
    weights: ArrayLike | None,
    start: SequenceModel | None,
    teachers: SequenceModel | None,
) -> _Course:
    _check_settings(learnt, reading, settings, training)
    labels = check_labels("train", learnt, *_answers(learnt, start, teachers))
    objective = objective_of(additions, teachers)
    given = next((model for model in (start, teachers) if model is not None), None)
    if given is None:
        reader, findings = fit_reader(learnt, reading)
    else:
        reader, findings = _reader_of(given, reading), ()
    if start is not None and teachers is not None and not read_alike(start.reader, teachers.reader):
        raise OptionError("train: teachers must read as the model to go on from does, got others; train them on the same data.")
    inputs = reader.inputs(learnt)
    findings = (*learnt.findings, *labels.findings, *findings, *inputs.findings)
    checked = truth = None
    if held is not None:
        truth = check_labels("train", held, labels.kind, labels.names)
        judged = reader.inputs(held)
        findings += tuple(f"validation: {finding}" for finding in (*held.findings, *judged.findings))
        checked = SequenceSource(SequenceBatches(judged), PREDICTED, shuffle=False)
    shape = SequenceShape(labels.kind, len(labels.names), len(inputs.names), reader.vocabulary)
    with seeded(training.seed):
        if start is None:
            balance = balanced(labels.values, labels.kind, shape.outputs) if settings.class_weights == "balanced" else None
            network = build(settings, shape, balance)
        else:
            network = _goes_on(start, settings)
    batches = SequenceBatches(inputs)
    source = SequenceSource(batches, training.batch_size, weights=_checked_weights(weights, len(learnt)), extra=_digest_of(teachers))
    if training.max_memory_gb is not None:
        with seeded(training.seed):  # on the longest sequence, in as many rows as a batch has
            longest = SequenceBatch.of(batches.batch([int(batches.lengths.argmax())]))
            fit_memory(network.train(), partial(objective, network, longest), training.max_memory_gb, rows=min(training.batch_size, len(learnt)))
    return _Course(network, objective, source, checked, reader, labels, truth, tuple(dict.fromkeys(findings)))


def _answers(learnt: Sequences | Texts, start: SequenceModel | None, teachers: SequenceModel | None) -> tuple[Any, tuple[str, ...]]:
    """The kind and names that labels must have: those of a model that is given, else their own."""
    known = [(model.kind, model.names) for model in (start, teachers) if model is not None]
    if len(set(known)) > 1:
        raise OptionError("train: teachers must answer as the model to go on from does, got others; train them on the same labels.")
    if known:
        return known[0]
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


def _check_settings(learnt: Sequences | Texts, reading: Reading, settings: SequenceSettings, training: TrainingSettings) -> None:
    if isinstance(learnt, Sequences):
        check_missing(reading.missing, settings)
    for name, instead in (("input_noise", "mix_up"), ("window_warping", "mix_up")):
        if getattr(training, name):
            raise OptionError(f"train: {name} must be 0 for whole sequences, as it is of windows, got {getattr(training, name)}; see {instead}.")


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


def _digest_of(teachers: SequenceModel | None) -> bytes:
    """What they say is learnt as labels are."""
    found = sha256()
    for network in () if teachers is None else teachers.networks:
        for name, weight in network.state_dict().items():
            found.update(name.encode() + weight.numpy().tobytes())
    return b"" if teachers is None else found.digest()
