"""Surnames: how they are cut, and that a network learns from which language made ones are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from grus.data import read_texts
from tables import names
from tables.classified import ACCURACY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Names of three letters, of a, e and i in one language, of o, u and y in the other."""
    (tmp_path / names.FILE).parent.mkdir()
    draw = np.random.default_rng(0)
    with ZipFile(tmp_path / names.FILE, "w") as archive:
        for language, letters, count in (("Bright", "aei", 60), ("Dark", "ouy", 40)):
            lines = ["".join(draw.choice(list(letters), 5)) for _ in range(count)]
            archive.writestr(f"names/{language}.txt", "\n".join(lines) + "\n")
    return tmp_path


def test_a_fifth_of_each_language_is_for_testing(folder: Path) -> None:
    parts = names.cut(read_texts(folder / names.FILE))
    assert [len(part) for part in parts] == [72, 8, 20]
    assert [None if part.labels is None else np.bincount(part.labels.values).tolist() for part in parts] == [[43, 29], [5, 3], [12, 8]]
    assert len({id for part in parts for id in part.ids}) == 100


def test_a_network_learns_languages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = names.RECIPE.model.model_copy(update={"hidden_size": 4, "embedding_size": 4})
    training = names.RECIPE.training.model_copy(update={"batch_size": 8, "epochs": 6, "learning_rate": 0.02})
    monkeypatch.setattr(names, "RECIPE", replace(names.RECIPE, model=model, training=training, members=2))
    network, ngrams = names.run(folder, (0,))
    assert network.name == "2 × conv, gru 4 both ways"
    assert network.figures[ACCURACY] == (100.0,)
    assert ngrams.name == "TF-IDF + logistic"
