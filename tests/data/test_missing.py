"""Filling by value, GRU-D's deltas against their recursion, and the cell that reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from grus.data.missing import STRATEGIES, deltas, fill, parse, remove
from grus.errors import DataError, OptionError, ShapeError
from grus.runtime import Session
from tests.data.small_panels import panel_of, series_of
from tests.runtime.streams import streams

NAN = np.nan
WINDOW = np.array([NAN, 2.0, NAN, NAN, 8.0, NAN])
MASK = ~np.isnan(WINDOW)
TIMES = np.array([0, 1, 2, 5, 7, 8])  # the third value stands 1/6, the fourth 4/6 of the way from 2 to 8
BY_HAND = {
    "zero": [-3, 2, -3, -3, 8, -3],  # 0 in scaled units
    "mean": [5, 2, 5, 5, 8, 5],
    "forward": [5, 2, 2, 2, 8, 8],
    "linear": [5, 2, 4, 6, 8, 8],
    "time": [5, 2, 3, 6, 8, 8],
    "gru_d": [5, 2, 2, 2, 8, 8],
}
MASKS = arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 9)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fill_by_hand(strategy: str) -> None:
    np.testing.assert_allclose(fill(WINDOW, MASK, strategy, TIMES, 5.0, -3.0), BY_HAND[strategy.removesuffix("+mask")], rtol=1e-15)


def test_every_strategy_has_its_mask_but_gru_d() -> None:
    assert set(STRATEGIES) == {*BY_HAND, *(f"{name}+mask" for name in BY_HAND if name != "gru_d")}
    assert parse("time+mask") == ("time", True)
    assert parse("time") == ("time", False)
    assert parse("gru_d") == ("none", False)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fill_keeps_the_type_and_the_window_given(strategy: str) -> None:
    window = WINDOW.astype(np.float32)
    filled = fill(window, MASK, strategy, TIMES, 5.0, -3.0)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(window, WINDOW.astype(np.float32))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fill_of_a_window_without_values(strategy: str) -> None:
    filled = fill(np.full(3, NAN), np.zeros(3, bool), strategy, np.arange(3), 5.0)
    np.testing.assert_array_equal(filled, [0.0] * 3 if parse(strategy).fill == "zero" else [5.0] * 3)


@given(MASKS, st.sampled_from(STRATEGIES))
def test_fill_of_many_windows_is_that_of_each(mask: NDArray[np.bool_], strategy: str) -> None:
    rng = np.random.default_rng(mask.size)
    values = np.where(mask, rng.normal(size=mask.shape), NAN)
    times, mean = rng.integers(1, 5, mask.shape).cumsum(axis=1), rng.normal(size=len(mask))
    alone = [fill(values[row], mask[row], strategy, times[row], mean[row]) for row in range(len(mask))]
    np.testing.assert_array_equal(fill(values, mask, strategy, times, mean), alone)
    transposed = np.asfortranarray(values)
    np.testing.assert_array_equal(fill(transposed, np.asfortranarray(mask), strategy, times, mean), alone)


@given(MASKS)
def test_fill_agrees_with_pandas(mask: NDArray[np.bool_]) -> None:
    rng = np.random.default_rng(mask.size)
    window, mask = np.where(mask[0], rng.normal(size=mask.shape[1]), NAN), mask[0]
    seconds = rng.integers(1, 50, len(window)).cumsum()
    series = pd.Series(window, pd.to_datetime(seconds, unit="s"))
    wanted = {"forward": series.ffill(), "linear": series.interpolate("linear"), "time": series.interpolate("time")}
    for strategy, result in wanted.items():
        np.testing.assert_allclose(fill(window, mask, strategy, series.index.to_numpy(), 0.5), result.fillna(0.5), rtol=1e-9, err_msg=strategy)


def test_interpolation_by_nanoseconds_since_1970_loses_no_digit() -> None:
    start = np.datetime64("2024-01-01", "ns")
    times = start + np.array([0, 1, 4])
    np.testing.assert_array_equal(fill(np.array([0, NAN, 4]), np.array([1.0, 0, 1]), "time", times, 0.0), [0, 1, 4])


def test_deltas_by_hand() -> None:
    np.testing.assert_array_equal(deltas(MASK), [0, 1, 1, 2, 3, 1])
    np.testing.assert_array_equal(deltas(MASK, TIMES), [0, 1, 1, 4, 6, 1])


@given(MASKS, st.booleans())
def test_deltas_follow_the_recursion_of_the_paper(mask: NDArray[np.bool_], timed: bool) -> None:
    steps = np.random.default_rng(mask.size).uniform(0.1, 3, mask.shape).cumsum(axis=1) if timed else None
    clock = np.broadcast_to(np.arange(mask.shape[1], dtype=float), mask.shape) if steps is None else steps
    wanted = np.zeros(mask.shape)
    for row in range(mask.shape[0]):
        for step in range(1, mask.shape[1]):
            wanted[row, step] = clock[row, step] - clock[row, step - 1] + (0 if mask[row, step - 1] else wanted[row, step - 1])
    np.testing.assert_allclose(deltas(mask, steps), wanted, rtol=1e-12, atol=1e-12)


def test_what_the_cell_reads_without_decay_is_the_window_carried_forward() -> None:
    """Blind to the mask, and with γ = 1, the cell on a window with gaps is the cell on the window carried forward."""
    carried = fill(WINDOW, MASK, "gru_d", mean=5.0)[:, None]
    mask, delta = MASK.astype(float)[:, None], deltas(MASK)[:, None]
    parameters = streams("gru_d", "float64", I=1).parameters
    blind = {name: 0 * value if name.startswith("V_") or "gamma" in name else value for name, value in parameters.items()}
    wanted = Session("gru_d", blind, dtype="float64").block(x=carried, mask=np.ones((6, 1)), delta=np.ones((6, 1)), last=np.zeros((6, 1)))
    inputs = {"x": WINDOW[:, None], "mask": mask, "delta": delta, "last": carried}
    np.testing.assert_allclose(Session("gru_d", blind, dtype="float64").block(**inputs), wanted, rtol=1e-12)
    assert not np.allclose(Session("gru_d", parameters, dtype="float64").block(**inputs), wanted)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.6])
def test_remove_hides_exactly_the_share_and_nothing_else(fraction: float) -> None:
    rng = np.random.default_rng(1)
    targets = [rng.normal(size=30), np.where(np.arange(24) % 3 == 0, NAN, rng.normal(size=24))]
    panel = panel_of(*(series_of(list(target), id, past=[list(target)]) for id, target in zip("ab", targets, strict=True)), past=["p"])
    hidden = remove(panel, fraction, seed=3)
    before, after = (np.concatenate([series.target for series in each.series]) for each in (panel, hidden))
    assert np.isnan(after).sum() - np.isnan(before).sum() == round(fraction * 46)
    kept = ~np.isnan(after)
    np.testing.assert_array_equal(after[kept], before[kept])
    np.testing.assert_array_equal(panel.series[0].target, targets[0])
    for series, original in zip(hidden.series, panel.series, strict=True):
        np.testing.assert_array_equal(series.past, original.past)


def test_remove_follows_the_seed() -> None:
    panel = panel_of(series_of(list(range(40))))
    first, again, other = (remove(panel, 0.5, seed).series[0].target for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (np.isnan(first) != np.isnan(other)).any()


def test_remove_refuses_to_empty_a_series() -> None:
    panel = panel_of(series_of([1.0, NAN, NAN]), series_of(list(range(50)), "b"))
    seeds = [seed for seed in range(20) if 0 in np.random.default_rng(seed).choice(51, 46, replace=False)]
    with pytest.raises(DataError, match=r"^remove: series 'a' must keep a value, got none left of 3; hide less"):
        remove(panel, 0.9, seeds[0])


def test_refusals() -> None:
    with pytest.raises(OptionError, match=r"^missing: strategy must be one of zero, zero\+mask, .*, gru_d, got 'median'; choose"):
        fill(WINDOW, MASK, "median")
    with pytest.raises(OptionError, match=r"mean must be given with strategy 'forward\+mask', got None"):
        fill(WINDOW, MASK, "forward+mask")
    with pytest.raises(OptionError, match="times must be given to fill by time"):
        fill(WINDOW, MASK, "time", mean=0.0)
    with pytest.raises(ShapeError, match=r"mask must be \[6\] as values are, got \[5\]"):
        fill(WINDOW, MASK[:5], "zero")
    with pytest.raises(ShapeError, match=r"mean must be \[\], got \[2\]"):
        fill(WINDOW, MASK, "mean", mean=[1.0, 2.0])
    with pytest.raises(ShapeError, match=r"times must be \[6\], got \[4\]"):
        fill(WINDOW, MASK, "time", TIMES[:4], 0.0)
    with pytest.raises(OptionError, match=r"deltas: times must be numbers in which 1 is one step, got datetime64\[ns\]"):
        deltas(MASK, np.arange(6).astype("datetime64[ns]"))
    for fraction in (-0.1, 1.0, NAN):
        with pytest.raises(OptionError, match="remove: fraction must be at least 0 and less than 1"):
            remove(panel_of(series_of([1.0])), fraction, 0)
