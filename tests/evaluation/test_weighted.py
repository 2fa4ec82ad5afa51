"""Metrics over draws, held to those of the sequences that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from grus.data.sequences import Labels
from grus.evaluation.bootstrap import drawn_metrics
from grus.evaluation.predictions import Predictions
from grus.evaluation.scores import metrics_of
from grus.evaluation.weighted import WEIGHTED, Ranked


def made(kind: str, N: int = 12) -> tuple[Labels, np.ndarray]:
    """Few sequences with equal scores, so that draws lack classes, labels and anything to choose, and numbers that do not vary."""
    rng = np.random.default_rng(0)
    if kind.endswith("number"):
        K = int(kind[0])
        return Labels("number", ("u", "v")[:K], rng.integers(2, size=(N, K)) * 1.1 + 1e3), 1e3 + rng.random((N, K))
    if kind == "labels":
        return Labels("labels", ("u", "v", "w"), (rng.random((N, 3)) < [0.5, 0.3, 0.1]).astype(np.uint8)), rng.random((N, 3)).round(1)
    K = int(kind[0])
    p = rng.random((N, K)).round(1) + 0.1
    return Labels("class", tuple("abcd"[:K]), rng.integers(K, size=N)), p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("kind", ["2 classes", "4 classes", "labels", "1 number", "2 number"])
def test_metrics_over_draws_are_those_of_the_sequences_drawn(kind: str) -> None:
    truth, predicted = made(kind)
    found, names, rng = Predictions.of(truth, predicted), drawn_metrics(truth), np.random.default_rng(1)
    draws = [np.arange(12), np.zeros(12, int), *(rng.integers(12, size=size) for size in (1, 3, *[12] * 20))]
    values = Ranked(found).values(names, np.stack([np.bincount(draw, minlength=12) for draw in draws]).astype(np.float64))
    for row, draw in zip(values, draws, strict=True):
        there = found.rows(np.sort(draw))
        if kind == "2 number" and (np.ptp(there.truth, axis=0) == 0).any():
            assert np.isnan(row).all()  # a mean over the other target alone would be another score
            continue
        np.testing.assert_allclose(row, [metrics_of(truth)[name](there) for name in names], rtol=1e-11, atol=1e-14)
    assert np.isnan(values).any()  # undefined values are among those compared
    assert set(names) <= set(WEIGHTED)


def test_areas_over_draws_are_exact_where_all_is_counted() -> None:
    truth = Labels("class", ("a", "b"), np.array([0, 1, 0, 1]))
    p = np.array([0.1, 0.4, 0.4, 0.9])
    values = Ranked(Predictions.of(truth, np.stack([1 - p, p], 1))).values(["roc_auc", "average_precision"], np.array([[1.0, 1, 1, 1], [2, 0, 0, 3]]))
    assert values.tolist() == [[7 / 8, (1 + 2 / 3) / 2], [1, 1]]
