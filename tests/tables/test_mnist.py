"""Digits by rows: how the files are read, and that a network learns made pictures."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grus.errors import DataError
from grus.tasks.sequence_learning import Additions
from tables import mnist
from tables.classified import ACCURACY


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()))
    return path


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright bar from top to bottom at one of ten places."""
    digits = np.arange(count) % 10
    found = np.random.default_rng(seed).integers(0, 30, (count, 28, 28))
    for row, digit in enumerate(digits.tolist()):
        found[row, :, 2 + 2 * digit : 5 + 2 * digit] += 200
    return found, digits


def test_pictures_are_rows_of_pixels_between_0_and_1(tmp_path: Path) -> None:
    values = np.zeros((2, 28, 28))
    values[1, 3, 5] = 255
    found = mnist.read(write(tmp_path / "m" / "images.gz", values), write(tmp_path / "m" / "labels.gz", np.array([7, 2])))
    assert found.values[1].shape == (28, 28)
    assert np.argwhere(found.values[1]).tolist() == [[3, 5]]
    assert found.values[1].max() == 1
    assert found.labels is not None
    assert (found.labels.names, found.labels.values.tolist()) == (("2", "7"), [1, 0])


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m" / "labels.gz", np.array([7, 2]))
    whole = gzip.decompress(path.read_bytes())
    for broken in (b"", whole[:-1], whole + b"0", b"\1" + whole[1:]):
        path.write_bytes(gzip.compress(broken))
        with pytest.raises(DataError, match=r"labels\.gz: must be an IDX file of bytes, whole"):
            mnist.read_idx(path)


def test_a_network_learns_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for names, count in ((mnist.FILES[:2], 300), (mnist.FILES[2:], 50)):
        for name, values in zip(names, pictures(count, count), strict=True):
            write(tmp_path / name, values)
    monkeypatch.setattr(mnist, "HELD", 50)
    model = mnist.RECIPE.model.model_copy(update={"hidden_size": 12, "dropout": 0.0})
    training = mnist.RECIPE.training.model_copy(update={"batch_size": 16, "epochs": 6, "learning_rate": 0.02})
    monkeypatch.setattr(mnist, "RECIPE", replace(mnist.RECIPE, model=model, training=training, additions=Additions()))
    (row,) = mnist.run(tmp_path, (0,))
    assert row.figures[ACCURACY][0] > 90
