"""Normal scores: by value, with ties and gaps, of outliers, of many values, and damaged files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from grus.data.normal_scores import EDGE, KNOTS, NormalScores
from grus.errors import DataError

NAN = np.nan
COLUMNS = [np.array([3.0, NAN, 1, 1, 8]), np.array([0.0, 1, 1, 0, 0]), np.array([7.0, 7, NAN, 7, 7]), np.full(5, NAN)]


def fitted() -> NormalScores:
    return NormalScores.fit(COLUMNS, [False, True, False, False])


def test_the_share_below_and_half_of_those_equal() -> None:
    found = fitted().apply(np.array([[1.0, 1, 7, 5], [3, 0, 6, NAN], [8, 1, 9, -2]]))
    np.testing.assert_allclose(found[:, 0], norm.ppf([0.25, 0.625, 0.875]))
    np.testing.assert_array_equal(found[:, 1], [1, 0, 1])  # flags stay
    np.testing.assert_array_equal(found[:, 2], 0)  # a constant says nothing
    np.testing.assert_array_equal(found[:, 3], [5, NAN, -2])  # never measured
    np.testing.assert_allclose(fitted().mean, [norm.ppf([0.25, 0.25, 0.625, 0.875]).mean(), 0.4, 0, 0])


def test_between_known_values_it_is_linear_and_beyond_them_constant() -> None:
    own = NormalScores.fit([COLUMNS[0]], [False])
    low, middle, high = norm.ppf([0.25, 0.625, 0.875])
    np.testing.assert_allclose(
        own.apply(np.array([[2.0], [-1e30], [1e30], [4]]))[:, 0], [(low + middle) / 2, low, high, middle + (high - middle) / 5]
    )


def test_many_values_keep_their_ranks_and_outliers_come_near() -> None:
    values = np.random.default_rng(0).lognormal(0, 3, 20000)
    own = NormalScores.fit([values], [False])
    assert len(own.knots[0]) <= KNOTS
    found = own.apply(values[:, None])[:, 0]
    shares = np.clip((rankdata(values) - 0.5) / len(values), EDGE, 1 - EDGE)
    np.testing.assert_allclose(norm.cdf(found), shares, atol=2.1 / KNOTS)
    assert np.abs(found).max() <= norm.ppf(1 - EDGE) + 1e-12
    assert own.mean[0] == pytest.approx(0, abs=1e-3)


def test_values_beside_one_that_many_share() -> None:
    """A sensor that is cut off at 50: half of its values are this one."""
    values = np.minimum(np.random.default_rng(0).uniform(0, 100, 20000), 50)
    found = NormalScores.fit([values], [False]).apply(values[:, None])[:, 0]
    np.testing.assert_allclose(norm.cdf(found), np.clip((rankdata(values) - 0.5) / len(values), EDGE, 1 - EDGE), atol=0.004)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30))
def test_larger_values_have_no_smaller_scores(values: list[float]) -> None:
    column = np.array(values)
    found = NormalScores.fit([column], [False]).apply(column[:, None])[:, 0]
    order = np.argsort(column, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert np.isfinite(found).all()


def test_stored_and_read_back() -> None:
    own = fitted()
    again = NormalScores.from_dict(json.loads(json.dumps(own.to_dict())), 4)
    values = np.random.default_rng(1).normal(3, 4, (6, 4))
    np.testing.assert_array_equal(again.apply(values), own.apply(values))
    np.testing.assert_array_equal(again.mean, own.mean)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"knots": None}, "must be numbers of each channel"),
        ({"mean": [0.0]}, "for 4 channels, got others"),
        ({"scores": [[0.0], [], [0.0], []]}, "for 4 channels, got others"),
        ({"knots": [[3.0, 1, 8], [], [7.0], []]}, "must be finite and rise"),
        ({"scores": [[1.0, 0, 2], [], [0.0], []]}, "must be finite and rise"),
        ({"scores": [[NAN, 0, 1], [], [0.0], []]}, "must be finite and rise"),
    ],
)
def test_damaged_files(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        NormalScores.from_dict({**fitted().to_dict(), **change}, 4)
