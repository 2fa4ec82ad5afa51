"""Small problems that a network learns in seconds, and the model that learnt one of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from grus.data.sequences import Labels, Sequences, Texts, make_labels
from grus.models import SequenceSettings
from grus.tasks.sequence_learning import train
from grus.tasks.sequence_model import Reading, SequenceModel, ensemble
from grus.training import TrainingSettings

ENGLISH = ["the", "a", "film", "story", "with", "this", "was", "plot", "actor", "scene", "and", "of"]
CHINESE = list("这部电影故事情节演员场景真的很是在我们都")


def _ids(count: int) -> tuple[str, ...]:
    return tuple(f"s{number}" for number in range(count))


def waves(count: int, seed: int, *, kind: str = "class", gaps: float = 0.0) -> Sequences:
    """Two noisy channels of 3 to 9 steps around a level of their own: its sign is the class, both signs the labels, the levels the numbers."""
    draw = np.random.default_rng(seed)
    levels, lengths = draw.choice([-1.0, 1.0], (count, 2)) * draw.uniform(0.5, 1.5, (count, 2)), draw.integers(3, 10, count)
    values = [(level + draw.normal(0, 0.2, (length, 2))).astype(np.float32) for level, length in zip(levels, lengths.tolist(), strict=True)]
    for each in values:
        each[draw.random(each.shape) < gaps] = np.nan
    labels = {
        "class": lambda: make_labels(["up" if level > 0 else "down" for level in levels[:, 0]], names=["down", "up"]),
        "labels": lambda: Labels("labels", ("first", "second"), (levels > 0).astype(np.uint8)),
        "number": lambda: Labels("number", ("first", "second"), 1000.0 + 50.0 * levels),
    }[kind]()
    times = tuple(np.cumsum(draw.uniform(0.1, 3.0, length)) for length in lengths.tolist()) if gaps else None
    return Sequences(tuple(values), ("a", "b"), _ids(count), labels, times)


def reviews(count: int, seed: int, *, chinese: bool = False, kind: str = "class") -> Texts:
    """Texts with one word that says the class; as a number, how often it stands there."""
    draw = np.random.default_rng(seed)
    words, good, bad = (CHINESE, "好", "差") if chinese else (ENGLISH, "good", "bad")
    texts, answers = list[str](), list[Any]()
    for is_good in draw.random(count) < 0.5:
        found = draw.choice(words, int(draw.integers(3, 12))).tolist()
        times = int(draw.integers(1, 4))
        for _ in range(times):
            found.insert(int(draw.integers(0, len(found) + 1)), good if is_good else bad)
        texts.append(("" if chinese else " ").join(found))
        answers.append((times if is_good else -times) + 0.5 if kind == "number" else "pos" if is_good else "neg")
    labels = make_labels(answers, kind="number") if kind == "number" else make_labels(answers, names=["neg", "pos"])
    return Texts(tuple(texts), _ids(count), labels)


def quick(**given: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 12, "learning_rate": 0.03, "batch_size": 16, "patience": None, **given})


def design(**given: Any) -> SequenceSettings:
    return SequenceSettings(**{"hidden_size": 8, **given})


def taught(data: Sequences | Texts, held: Sequences | Texts | None = None, *, seed: int = 0, epochs: int = 2, **reading: Any) -> SequenceModel:
    """A network that was trained a little."""
    settings = design() if isinstance(data, Sequences) else design(embedding_size=6, pooling="max")
    return train(data, held, Reading(**reading), settings, quick(epochs=epochs, seed=seed))[0]


def gappy(count: int, seed: int) -> Sequences:
    return waves(count, seed, gaps=0.3)


def numbers(count: int, seed: int) -> Sequences:
    return waves(count, seed, kind="number")


def convolved(pooling: str) -> SequenceModel:
    own: dict[str, Any] = {"convolution_filters": 4, "convolution_width": 3, "convolution_stride": 2, "bidirectional": True, "pooling": pooling}
    return train(waves(40, 1), waves(40, 2), Reading(), design(**own), quick(epochs=1))[0]


def aware() -> SequenceModel:
    return train(gappy(40, 1), None, Reading("gru_d", elapsed=True), design(cell="gru_d", missing_aware=True), quick(epochs=1))[0]


MADE: dict[str, Callable[[], tuple[SequenceModel, Any]]] = {
    "numbers": lambda: (taught(waves(40, 1), waves(40, 2)), waves(40, 3)),
    "masked": lambda: (taught(gappy(40, 1), elapsed=True), gappy(40, 3)),
    "gru_d": lambda: (aware(), gappy(40, 3)),
    "convolved": lambda: (convolved("attention"), waves(40, 3)),
    "texts": lambda: (taught(reviews(40, 1), reviews(20, 2)), reviews(40, 3)),
    "ratings": lambda: (taught(reviews(40, 1, kind="number")), reviews(40, 3, kind="number")),
    "regression": lambda: (taught(numbers(40, 1)), numbers(40, 3)),
    "labels": lambda: (taught(waves(40, 1, kind="labels"), waves(20, 2, kind="labels")), waves(40, 3, kind="labels")),
    "ensemble": lambda: (ensemble([taught(waves(40, 1), waves(40, 2), seed=seed) for seed in (0, 1)]), waves(40, 3)),
}


@cache
def made(case: str) -> tuple[SequenceModel, Any]:
    """A model, and sequences that it has not seen."""
    return MADE[case]()
