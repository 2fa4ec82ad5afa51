"""Dynamic time warping against a plain dynamic programme, and the nearest neighbour against all distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError
from grus.evaluation.sequence_baselines import Effort
from grus.evaluation.warping import NearestNeighbour, dtw, keogh_bounds, squared_dtw

Array = np.ndarray


def plain(x: Array, y: Array, window: float) -> float:
    """The table of all cells, one by one."""
    n, m = len(x), len(y)
    w = max(int(window * max(n, m)), abs(n - m))
    table = np.full((n + 1, m + 1), np.inf)
    table[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            if abs(i - j) <= w:
                table[i, j] = np.square(x[i - 1] - y[j - 1]).sum() + min(table[i - 1, j], table[i, j - 1], table[i - 1, j - 1])
    return float(table[n, m])


def some(seed: int, count: int, longest: int, C: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(int(rng.integers(1, longest + 1)), C)).cumsum(0) for _ in range(count)]


def test_dtw_by_hand() -> None:
    x, y = np.array([[0.0], [3.0], [0.0]]), np.array([[0.0], [0.0], [4.0]])
    # by step 0 + 9 + 16; shifted by one, 0−0, 0−0, 3−4, 0−4
    assert dtw(x, y, window=0) == 5
    assert dtw(x, y) == pytest.approx(math.sqrt(0 + 0 + 1 + 16))
    assert dtw(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])) == 5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.34, 0.5, 1.0]), st.integers(1, 3))
def test_distances_are_those_of_the_plain_programme(seed: int, window: float, C: int) -> None:
    query, *others = some(seed, 7, 12, C)
    lengths = np.array([len(other) for other in others])
    padded = np.full((C, lengths.max(), 6), 1e6)
    for row, other in enumerate(others):
        padded[:, : len(other), row] = other.T
    expected = [plain(query, other, window) for other in others]
    np.testing.assert_allclose(squared_dtw(query, padded, lengths, window), expected, rtol=1e-12)
    bounds = [keogh_bounds(query, other.T[:, :, None], window)[0] for other in others]
    assert np.all(np.array(bounds) <= np.array(expected) * (1 + 1e-12))
    np.testing.assert_allclose([dtw(other, query, window) ** 2 for other in others], expected, rtol=1e-9)


def test_bound_without_a_band_is_the_distance() -> None:
    x, y = (np.random.default_rng(seed).normal(size=(9, 2)) for seed in (0, 1))
    assert keogh_bounds(x, y.T[:, :, None], 0.0)[0] == pytest.approx(np.square(x - y).sum())
    assert keogh_bounds(x, y.T[:, :, None], 0.2)[0] > 0


def sequences(values: list[Array], labels: Labels) -> Sequences:
    names = tuple(f"x{k}" for k in range(values[0].shape[1]))
    return Sequences(tuple(value.astype(np.float32) for value in values), names, tuple(map(str, range(len(values)))), labels)


@pytest.mark.parametrize("window", [0.0, 0.2, 1.0])
def test_nearest_is_that_of_all_distances(window: float) -> None:
    values = some(0, 340, 9, 2)  # more than are warped at once
    train = sequences(values[:300], Labels("class", ("a", "b"), np.arange(300) % 2))
    test = sequences(values[300:], Labels("class", ("a", "b"), np.zeros(40, np.int64)))
    fitted = NearestNeighbour(window, scaling="none").fit(train, Effort())
    every = [[plain(x.astype(np.float64), y.astype(np.float64), window) for y in train.values[:300]] for x in test.values[:10]]
    expected = np.argmin(every, 1)
    np.testing.assert_array_equal(fitted.nearest(test.rows(range(10)), Effort()), expected)
    np.testing.assert_array_equal(fitted.predict(test.rows(range(10)), Effort()), np.eye(2)[expected % 2])
    assert fitted.predict(test, Effort()).shape == (40, 2)


def test_first_of_equally_near_ones_is_taken() -> None:
    same = [np.ones((3, 1))] * 200
    train = sequences([np.zeros((3, 1)), *same], Labels("number", ("u",), np.arange(201.0)[:, None]))
    found = NearestNeighbour(scaling="none").fit(train, Effort()).predict(train.rows([150, 0]), Effort())
    np.testing.assert_array_equal(found, [[1.0], [0.0]])


def test_channels_count_by_their_spread_in_training() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    values = [np.stack([np.full(5, label) + 0.1 * rng.normal(size=5), 1e6 * rng.normal(size=5)], 1) for label in y]
    train = sequences(values, Labels("class", ("a", "b"), y))
    scaled = NearestNeighbour(0.0).fit(train.rows(range(30)), Effort()).predict(train.rows(range(30, 40)), Effort()).argmax(1)
    raw = NearestNeighbour(0.0, scaling="none").fit(train.rows(range(30)), Effort()).predict(train.rows(range(30, 40)), Effort()).argmax(1)
    assert (scaled == y[30:]).mean() > (raw == y[30:]).mean()


def test_missing_values_are_on_the_line_between_the_others() -> None:
    line, gap = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[0.0], [np.nan], [2.0], [np.nan]])
    train = sequences([line, line + 5], Labels("class", ("a", "b"), np.array([0, 1])))
    fitted = NearestNeighbour(0.0, scaling="none").fit(train, Effort())
    np.testing.assert_array_equal(fitted.predict(sequences([gap], Labels("class", ("a", "b"), np.array([0]))), Effort()), [[1, 0]])


def test_some_of_the_training_sequences_are_told() -> None:
    y = np.array([0] * 90 + [1] * 10)
    values = [np.full((2, 1), float(row)) for row in range(100)]
    train = sequences(values, Labels("class", ("a", "b"), y))
    fitted = NearestNeighbour(most=20).fit(train, Effort(seed=3))
    assert fitted.findings == ("compares with 20 of 100 training sequences, drawn at random (seed 3)",)
    assert fitted.labels.counts == {"a": 18, "b": 2}
    np.testing.assert_array_equal(fitted.padded, NearestNeighbour(most=20).fit(train, Effort(seed=3)).padded)
    assert not np.array_equal(fitted.padded, NearestNeighbour(most=20).fit(train, Effort(seed=4)).padded)
    assert NearestNeighbour(most=100).fit(train, Effort()).findings == ()


def test_progress_and_time_are_told() -> None:
    told: list[tuple[int, int, str]] = []
    train = sequences([np.ones((4, 1)), np.zeros((4, 1))], Labels("class", ("a", "b"), np.array([0, 1])))
    fitted = NearestNeighbour().fit(train, Effort())
    fitted.predict(train, Effort(on_progress=lambda *each: told.append(each)))
    assert [(done, total) for done, total, _ in told] == [(1, 2), (2, 2)]
    assert told[-1][2] == "1-NN DTW, about 0 s left"
    with pytest.raises(OptionError, match="1-NN DTW: limit_s must be about 0 for 2 sequences to compare with 2, got 1e-09; give more time"):
        fitted.predict(train, Effort(limit_s=1e-9))


def test_refusals() -> None:
    labels = Labels("class", ("a", "b"), np.array([0, 1]))
    train = sequences([np.ones((4, 1)), np.zeros((4, 1))], labels)
    with pytest.raises(OptionError, match=r"window must be from 0 to 1 and most at least 1, got 2\.0 and None"):
        NearestNeighbour(2.0).fit(train, Effort())
    with pytest.raises(OptionError, match="scaling: must be one of"):
        NearestNeighbour(scaling="robust").fit(train, Effort())
    with pytest.raises(DataError, match="the data must be sequences of numbers, got texts"):
        NearestNeighbour().fit(Texts(("p", "q"), ("0", "1"), labels), Effort())
    with pytest.raises(DataError, match="channels must be"):
        NearestNeighbour().fit(train, Effort()).predict(sequences([np.ones((4, 2))], labels.rows([0])), Effort())
    with pytest.raises(DataError, match="must be sequences of numbers as in training, got texts"):
        NearestNeighbour().fit(train, Effort()).predict(Texts(("p",), ("0",)), Effort())
