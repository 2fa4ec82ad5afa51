"""Short series and strokes of the UCR and UEA archives, each with the archive's own training and test part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from grus.data import SequenceColumns, Sequences, read_sequences
from grus.evaluation.warping import NearestNeighbour
from grus.models import SequenceSettings
from grus.tasks.sequence_learning import Additions
from grus.tasks.sequence_model import Reading
from grus.training import TrainingSettings
from tables.bend import Bend, Slant
from tables.classified import ACCURACY, Recipe, rows
from tables.table import Row, Table

STROKES = SequenceColumns(label="digit", channels=("x", "y"))
POINTS = [*(f"{axis}{number}" for number in range(1, 9) for axis in "xy"), "digit"]


def read(path: Path, like: Sequences | None = None) -> Sequences:
    """A .ts file of the archives, or a table without a header of x1, y1, … x8, y8 and the digit."""
    if ".ts" in path.suffixes:
        return read_sequences(path, like=like)
    return read_sequences(pd.read_csv(path, names=POINTS), STROKES, kind="class", like=like)


def run(files: tuple[str, str], recipe: Recipe, folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
    """The network, all of whose epochs are taken, then 1-NN DTW."""
    learnt = read(folder / files[0])
    return rows(recipe, learnt, None, read(folder / files[1], learnt), seeds, [NearestNeighbour()])


def training(epochs: int, batch_size: int = 16, learning_rate: float = 3e-3) -> TrainingSettings:
    return TrainingSettings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, patience=None, threads=1)
