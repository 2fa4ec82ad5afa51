"""What ``benchmarks.epochs`` has classified: film reviews by the network of ``grus fit``, rows of digits by that of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.classifiers import Task
from grus.data import read_texts
from grus.data.sequence_batches import SequenceBatches
from grus.data.sequence_inputs import SequenceInputs
from grus.data.sequences import Labels
from grus.models import SequenceSettings, SequenceShape
from grus.tasks.sequence_config import FOR_TEXTS, MOST_STEPS, VOCABULARY
from grus.tasks.sequence_learning import SequenceSource
from grus.tasks.sequence_reading import Reading, fit_reader
from grus.training import TrainingSettings
from tables import mnist

REVIEWS = "imdb/train.jsonl.xz"
IMDB, MNIST = "IMDb", "MNIST rows"
TEXTS, PICTURES = 25_000, 60_000
OF_TEXTS = Reading(tokenizer_options=VOCABULARY, max_steps=MOST_STEPS, truncate="middle")
TRAINING: dict[str, Any] = {"epochs": 1, "patience": None, "schedule": "constant", "optimiser": "adam"}


def imdb(folder: Path) -> tuple[Task, str]:
    """All reviews for training, read as ``grus fit`` reads texts; without the file, made ones that are as long. And which of the two."""
    if (folder / REVIEWS).is_file():
        texts = read_texts(folder / REVIEWS)
        reader, _ = fit_reader(texts, OF_TEXTS)
        inputs, vocabulary, said = reader.inputs(texts), reader.vocabulary, f"{len(texts)} reviews"
    else:
        inputs, vocabulary, said = made_texts(TEXTS), VOCABULARY["max_size"], f"no {folder / REVIEWS}, so {TEXTS} made texts"
    shape = SequenceShape("class", outputs=2, vocabulary=vocabulary)
    task = make_task(IMDB, inputs, SequenceSettings(**FOR_TEXTS), shape, TrainingSettings(**TRAINING))
    return task, f"{said} of {task.source.batches.lengths.mean():.0f} tokens on average, {MOST_STEPS} at most"


def digits(folder: Path) -> tuple[Task, str]:
    """The pictures for training, of 28 rows; without the files, noise of that shape. And which of the two."""
    recipe, (images, labels) = mnist.RECIPE, (folder / name for name in mnist.FILES[:2])
    if images.is_file() and labels.is_file():
        sequences = mnist.read(images, labels)
        reader, _ = fit_reader(sequences, recipe.reading)
        inputs, said = reader.inputs(sequences), f"{len(sequences)} pictures"
    else:
        inputs, said = made_pictures(PICTURES), f"no {images}, so {PICTURES} made pictures"
    training = TrainingSettings(**TRAINING, batch_size=recipe.training.batch_size, learning_rate=recipe.training.learning_rate)
    return make_task(MNIST, inputs, recipe.model, SequenceShape("class", outputs=10, channels=28), training), f"{said} of 28 rows"


LESSONS = {IMDB: imdb, MNIST: digits}


def make_task(name: str, inputs: SequenceInputs, settings: SequenceSettings, shape: SequenceShape, training: TrainingSettings) -> Task:
    return Task(name, SequenceSource(SequenceBatches(inputs), training.batch_size), settings, shape, training)


def made_texts(count: int) -> SequenceInputs:
    """Lengths as those of the reviews: their logarithm is about normal, and one in ten is cut."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(5.4, 0.65, count), 10, MOST_STEPS).astype(int)
    size = VOCABULARY["max_size"]
    frequencies = 1 / np.arange(2, size)
    tokens = rng.choice(np.arange(2, size), lengths.sum(), p=frequencies / frequencies.sum())
    return made(tuple(np.split(tokens, lengths.cumsum()[:-1])), (), rng.integers(0, 2, count), 2)


def made_pictures(count: int) -> SequenceInputs:
    rng = np.random.default_rng(0)
    values = tuple(rng.random((count, 28, 28), np.float32))
    return made(values, tuple(map(str, range(28))), rng.integers(0, 10, count), 10)


def made(values: tuple[NDArray[Any], ...], names: tuple[str, ...], classes: NDArray[np.int64], count: int) -> SequenceInputs:
    return SequenceInputs(values, names, tuple(map(str, range(len(values)))), Labels("class", tuple(map(str, range(count))), classes))
