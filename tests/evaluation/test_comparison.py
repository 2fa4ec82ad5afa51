"""McNemar's test against SciPy and statsmodels, DeLong's against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as theirs

from grus.data.sequences import Labels
from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation.comparison import delong, mcnemar
from grus.evaluation.predictions import Predictions


def flags(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = [both, only_a, only_b, neither]
    return np.repeat([True, True, False, False], sizes), np.repeat([True, False, True, False], sizes)


@pytest.mark.parametrize("counts", [(5, 10, 2, 3), (0, 24, 0, 0), (50, 12, 12, 5), (1, 1, 0, 0), (3, 0, 7, 0)])
def test_few_disagreements_are_tested_exactly(counts: tuple[int, int, int, int]) -> None:
    found = mcnemar(*flags(*counts))
    both, only_a, only_b, neither = counts
    assert (found.both, found.only_a, found.only_b, found.neither) == counts
    assert found.exact
    assert math.isnan(found.statistic)
    assert found.p_value == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert found.p_value == pytest.approx(theirs([[both, only_a], [only_b, neither]], exact=True).pvalue)


@pytest.mark.parametrize("counts", [(5, 20, 5, 3), (100, 59, 33, 60), (0, 0, 25, 0)])
def test_many_disagreements_are_tested_by_chi_squared(counts: tuple[int, int, int, int]) -> None:
    found = mcnemar(*flags(*counts))
    expected = theirs([[counts[0], counts[1]], [counts[2], counts[3]]], exact=False, correction=True)
    assert not found.exact
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_mcnemar_by_hand() -> None:
    found = mcnemar(*flags(10, 20, 10, 5))
    assert found.statistic == pytest.approx(81 / 30)
    assert str(found) == "right: both 10, only A 20, only B 10, neither 5; p = 0.1 (χ² = 2.7)"
    exact = mcnemar(*flags(1, 3, 0, 0))
    assert exact.p_value == 0.25
    assert str(exact).endswith("p = 0.25 (exact)")


def test_models_that_disagree_as_often_either_way_do_not_differ() -> None:
    assert mcnemar(*flags(7, 0, 0, 2)).p_value == 1
    even = mcnemar(*flags(7, 30, 30, 2))
    assert (even.statistic, even.p_value) == (0, 1)


def test_right_is_what_mcnemar_takes() -> None:
    truth = Labels("labels", ("x", "y"), np.array([[1, 0], [1, 1]], np.uint8))
    a, b = (Predictions.of(truth, p).right for p in ([[0.9, 0.1], [0.9, 0.1]], [[0.1, 0.1], [0.9, 0.9]]))
    found = mcnemar(a, b)
    assert (found.both, found.only_a, found.only_b, found.neither) == (0, 1, 1, 0)


def wins(y: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Whether each with the outcome outranks each without."""
    gap = s[y == 1][:, None] - s[y == 0][None]
    return (gap > 0) + (gap == 0) / 2


def test_delong_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    y = np.array([1] * 12 + [0] * 17)
    a, b = np.round(y + rng.normal(size=29), 1), np.round(0.5 * y + rng.normal(size=29), 1)  # with ties
    kernels = [wins(y, s) for s in (a, b)]
    areas = [kernel.mean() for kernel in kernels]
    by_row, by_column = (np.stack([kernel.mean(axis) for kernel in kernels]) for axis in (1, 0))
    covariance = np.cov(by_row) / 12 + np.cov(by_column) / 17
    deviation = math.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    found = delong(y, a, b, 0.9)
    assert (found.a, found.b) == pytest.approx(tuple(areas))
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(areas[0] - areas[1]) / deviation))
    half = stats.norm.ppf(0.95) * deviation
    assert (found.low, found.high) == pytest.approx((found.difference - half, found.difference + half))


def test_delong_of_equal_scores_has_no_p_value() -> None:
    found = delong([1, 0, 1, 0], [4, 1, 3, 2], [4, 1, 3, 2])
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert math.isnan(found.p_value)


def test_interval_ends_where_no_difference_can_be() -> None:
    found = delong([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [0.9, 0.1, 0.8, 0.2, 0.3, 0.85])
    turned = delong([0, 0, 0, 1, 1, 1], [0.9, 0.1, 0.8, 0.2, 0.3, 0.85], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    assert found.difference == pytest.approx(5 / 9)
    assert (found.high, turned.low) == (1.0, -1.0)
    assert found.low == pytest.approx(-turned.high) == pytest.approx(-0.0604, abs=1e-4)


def test_refusals() -> None:
    with pytest.raises(ShapeError, match=r"must be \[N\] with N ≥ 1, got \[2\] and \[3\]"):
        mcnemar([True, False], [True, False, True])
    with pytest.raises(DataError, match="values must be true or false"):
        mcnemar([0.5], [1.0])
    with pytest.raises(ShapeError, match=r"outcome, a and b must be \[N\], got \[2\], \[2\] and \[1\]"):
        delong([0, 1], [0.1, 0.2], [0.1])
    with pytest.raises(DataError, match="two sequences at least with the outcome and two without, with finite scores, got 1 and 2"):
        delong([0, 1, 0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    with pytest.raises(OptionError, match="confidence must be between 0 and 1"):
        delong([0, 1, 0, 1], [1] * 4, [1] * 4, 1.5)
