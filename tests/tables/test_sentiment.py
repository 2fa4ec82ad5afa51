"""Texts that praise or do not: which files and columns are which part, and that each network learns from made ones."""

from __future__ import annotations

import gzip
import json
import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tables import sentiment
from tables.classified import ACCURACY, Recipe

WORDS = {
    "en": (["the", "film", "and", "its", "story", "were", "seen", "by", "many", "people", "here"], "good", "bad", " "),
    "zh": (list("这部电影故事情节演员"), "好", "差", ""),
}


def texts(language: str, count: int, seed: int) -> list[tuple[str, int]]:
    """One word in each says it."""
    draw = np.random.default_rng(seed)
    common, good, bad, between = WORDS[language]
    return [(between.join([*draw.choice(common, 6), bad if at % 2 else good, *draw.choice(common, 2)]), 1 - at % 2) for at in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of all three, of 60, 20 and 30 texts."""
    for name in (*sentiment.SENTENCES, *sentiment.REVIEWS, *sentiment.FILMS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    for seed, count in enumerate((60, 20, 30)):
        rows = [f"{text}\t{label}\n" for text, label in texts("en", count, seed)]
        (tmp_path / sentiment.SENTENCES[seed]).write_bytes(gzip.compress("".join(rows).encode()))
        rows = ["label\ttext_a\n", *(f"{label}\t{text}\n" for text, label in texts("zh", count, seed))]
        (tmp_path / sentiment.REVIEWS[seed]).write_bytes(gzip.compress("".join(rows).encode()))
    for name, count in zip(sentiment.FILMS, (60, 30), strict=True):
        lines = [json.dumps({"id": at, "label": label, "rating": 9, "text": text}) for at, (text, label) in enumerate(texts("en", count, count))]
        (tmp_path / name).write_bytes(lzma.compress("\n".join(lines).encode()))
    return tmp_path


def test_parts_are_as_published(folder: Path) -> None:
    for read, sizes in ((sentiment.sentences, [60, 20, 30]), (sentiment.reviews, [60, 20, 30]), (sentiment.films, [54, 6, 30])):
        parts = read(folder)
        assert [len(part) for part in parts] == sizes
        assert all(part.labels is not None and part.labels.names == ("0", "1") for part in parts)
        assert all(
            part.labels is not None and ("good" in text or "好" in text) == bool(part.labels.values[0]) for part in parts for text in part.texts[:1]
        )


def quick(recipe: Recipe) -> Recipe:
    """The recipe with fewer units and texts in a batch."""
    small = {
        "hidden_size": 8,
        "embedding_size": 8,
        "dropout": 0.0,
        "embedding_dropout": 0.0,
        **({"convolution_filters": 8} if recipe.model.convolution_filters else {}),
    }
    training = recipe.training.model_copy(update={"batch_size": 8, "learning_rate": 0.03, "epochs": 12, "patience": None})
    options = {**recipe.reading.tokenizer_options, "min_count": 1}
    return replace(
        recipe,
        model=recipe.model.model_copy(update=small),
        training=training,
        reading=replace(recipe.reading, tokenizer_options=options),
        members=1,
    )


@pytest.mark.parametrize(
    ("read", "recipe"),
    [(sentiment.sentences, sentiment.SST2), (sentiment.reviews, sentiment.CHNSENTICORP), (sentiment.films, sentiment.IMDB)],
    ids=["sst2", "chnsenticorp", "imdb"],
)
def test_each_network_learns(folder: Path, read: object, recipe: Recipe) -> None:
    network, words = sentiment.run(read, quick(recipe), folder, (0,))  # type: ignore[arg-type]
    assert network.figures[ACCURACY][0] > 80
    assert words.name.startswith("TF-IDF + logistic")
    assert words.figures == {ACCURACY: (100.0,)}
