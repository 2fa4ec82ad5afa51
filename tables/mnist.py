"""Handwritten digits, read row by row: 28 steps of 28 pixels."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grus.data import Sequences, read_sequences, split_sequences
from grus.errors import DataError
from grus.models import SequenceSettings
from grus.tasks.sequence_learning import Additions
from grus.tasks.sequence_model import Reading
from grus.training import TrainingSettings
from tables.classified import ACCURACY, Recipe, rows
from tables.table import Row, Table

FILES = tuple(f"mnist/{part}-{what}.gz" for part in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte"))
HELD = 5000
RECIPE = Recipe(
    SequenceSettings(hidden_size=128, bidirectional=True, pooling="mean+max", dropout=0.3),
    TrainingSettings(epochs=10, batch_size=128, learning_rate=3e-3, patience=None, threads=1),
    Additions(mix_up=0.2),
    Reading(scaling="none"),
)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array as the files of MNIST hold it: 0, 0, 8, the number of sizes, the sizes of 32 bits, the bytes.

    Raises: DataError for another file.
    """
    held = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(held, ">u4", held[3] if len(held) > 3 else 0, 4).astype(int).tolist() if held[:3] == b"\0\0\x08" else [-1]
    if len(held) != 4 + 4 * len(sizes) + int(np.prod(sizes)):
        raise DataError(f"{path}: must be an IDX file of bytes, whole, got {len(held)} bytes of another form; fetch it again.")
    return np.frombuffer(held, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


def read(images: Path, labels: Path) -> Sequences:
    """Rows of pixels between 0 and 1."""
    return read_sequences(read_idx(images).astype(np.float32) / 255, labels=read_idx(labels), kind="class")


def run(folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
    """The network alone; the last 5000 training images are drawn by class."""
    pictures, digits, test_pictures, test_digits = (folder / name for name in FILES)
    known = read(pictures, digits)
    parts = split_sequences(known, validation=HELD, seed=0)
    return rows(RECIPE, known.rows(parts.train), known.rows(parts.validation), read(test_pictures, test_digits), seeds, [])


TABLE = Table(
    name="mnist",
    title="MNIST, which digit a picture shows that is read row by row",
    protocol="60000 pictures, 5000 of them for validation, drawn by class, and 10000 to test; a step is a row of 28 pixels between 0 and 1.",
    chosen="One network, whose settings were set beforehand; no others were tried. The test part was read once.",
    files=FILES,
    metrics=(ACCURACY,),
    run=run,
)
