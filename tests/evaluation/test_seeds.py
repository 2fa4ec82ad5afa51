"""Spread over seeds and differences between models, against hand-made numbers, SciPy and full enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation import compare, spread, spreads

NAN = np.nan


def test_spread_by_hand() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert (found.mean, found.count) == (3.0, 3)
    assert found.deviation == pytest.approx(np.sqrt(7))
    half = 4.302652729911275 * np.sqrt(7 / 3)  # Student's t with 2 degrees of freedom at 0.975
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), rel=1e-9)
    assert str(found) == "3 ± 2.6 (3 seeds)"


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_spread_agrees_with_scipy(confidence: float) -> None:
    values = np.random.default_rng(0).normal(size=12)
    found = spread(values.tolist(), confidence)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, NAN], [1.0, np.inf]])
def test_spread_needs_two_finite_values(values: list[float]) -> None:
    with pytest.raises(DataError, match="spread: values must be at least two finite numbers"):
        spread(values)


def test_spreads_are_of_the_metrics_that_every_seed_has() -> None:
    found = spreads({0: {"mae": 1.0, "crps": 4.0, "mase": NAN}, 1: {"mae": 2.0, "mase": 1.0}, 5: {"mae": 6.0, "crps": 4.0, "mase": 1.0}}, 0.9)
    assert found == {"mae": spread([1.0, 2.0, 6.0], 0.9)}
    with pytest.raises(DataError, match="spreads: scores must be of at least two seeds, got 1"):
        spreads({0: {"mae": 1.0}})


def test_interval_ends_where_the_score_can_go_no_further() -> None:
    free, bound = spread([0.9, 1.0]), spread([0.9, 1.0], limits=(0.0, 1.0))
    assert free.low > 0.0
    assert free.high > 1.0
    assert (bound.low, bound.high) == (free.low, 1.0)
    found = spreads(
        {0: {"accuracy": 0.9, "loss": 0.1}, 1: {"accuracy": 1.0, "loss": 9.0}}, limits_of={"accuracy": (0.0, 1.0), "loss": (0.0, np.inf)}.__getitem__
    )
    assert found == {"accuracy": bound, "loss": spread([0.1, 9.0], limits=(0.0, np.inf))}
    assert found["loss"].low == 0.0


def test_difference_is_over_known_steps() -> None:
    a, b = [[1.0, NAN], [4.0, 2.0], [0.0, 0.0]], [[0.5, NAN], [1.0, 3.0], [0.0, 1.0]]
    found = compare(a, b, [0, 0, 1])
    assert found.mean == pytest.approx((0.5 + 3 - 1 + 0 - 1) / 5)


def test_bootstrap_draws_whole_blocks() -> None:
    # blocks of sum 3 over 2 windows and −1 over 1: drawing two of two gives 1.5, 2/3 or −1, with shares ¼, ½, ¼
    found = compare([2.0, 1.0, 0.0], [0.0, 0.0, 1.0], ["x", "x", "y"], draws=40_000, confidence=0.4)
    assert found.mean == pytest.approx(2 / 3)
    assert found.better == pytest.approx(0.25, abs=0.01)
    assert (found.low, found.high) == pytest.approx((2 / 3, 2 / 3))
    wide = compare([2.0, 1.0, 0.0], [0.0, 0.0, 1.0], ["x", "x", "y"], draws=40_000, confidence=0.9)
    assert (wide.low, wide.high) == (-1.0, 1.5)


def test_interval_is_that_of_full_enumeration() -> None:
    rng = np.random.default_rng(1)
    a, b, blocks = rng.normal(size=15), rng.normal(size=15), np.arange(15) // 3
    blocks[0] = 1  # blocks of unequal size
    sums, counts = (np.array([values[blocks == block].sum() for block in range(5)]) for values in (a - b, np.ones(15)))
    every = [sums[list(drawn)].sum() / counts[list(drawn)].sum() for drawn in itertools.product(range(5), repeat=5)]
    found = compare(a, b, blocks, draws=50_000)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(every, [0.025, 0.975])), abs=0.02)
    assert found.better == pytest.approx(np.mean(np.array(every) < 0), abs=0.01)


def test_blocks_widen_the_interval_of_windows_that_err_together() -> None:
    rng = np.random.default_rng(2)
    difference = np.repeat(rng.normal(size=30), 10)
    together = compare(difference, np.zeros(300), np.repeat(np.arange(30), 10))
    apart = compare(difference, np.zeros(300), np.arange(300))
    assert (together.high - together.low) > 2.5 * (apart.high - apart.low)  # √10 times


def test_same_seed_draws_the_same() -> None:
    a, b = np.random.default_rng(3).normal(size=(2, 20))
    assert compare(a, b, np.arange(20), draws=1500) == compare(a, b, np.arange(20), draws=1500)
    assert compare(a, b, np.arange(20), draws=1500) != compare(a, b, np.arange(20), draws=1500, seed=1)


def test_swapping_the_models_turns_the_difference_round() -> None:
    a, b = np.random.default_rng(4).normal(size=(2, 20))
    one, other = compare(a, b, np.arange(20)), compare(b, a, np.arange(20))
    assert (one.mean, one.low, one.high, one.better) == pytest.approx((-other.mean, -other.high, -other.low, 1 - other.better))


def test_arguments_are_checked() -> None:
    with pytest.raises(DataError, match=r"compare: an error must be known for both or for neither, got one alone at \[1\]"):
        compare([1.0, NAN], [1.0, 2.0], [0, 1])
    with pytest.raises(DataError, match="compare: there must be at least two blocks with known errors, got 1"):
        compare([1.0, NAN], [1.0, NAN], [0, 1])
    with pytest.raises(ShapeError, match=r"got \[2\], \[3\], \[2\]"):
        compare([1.0, 2.0], [1.0, 2.0, 3.0], [0, 1])
    with pytest.raises(OptionError, match="compare: draws must be at least 1, got 0"):
        compare([1.0, 2.0], [1.0, 2.0], [0, 1], draws=0)
    with pytest.raises(OptionError, match="spread: confidence must be between 0 and 1, both excluded, got 95"):
        spread([1.0, 2.0], 95)
