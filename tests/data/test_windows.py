"""Windows by value: what each batch holds, where windows may stand, and that nothing of the future enters the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from grus.data.missing import STRATEGIES, deltas, fill, parse
from grus.data.panel import Panel
from grus.data.scaling import Affine, Scaling
from grus.data.windows import Batch, Windows
from grus.errors import DataError, OptionError
from tests.data.small_panels import START, hours, panel_of, series_of

NAN = np.nan
RAW: dict[str, Any] = {"method": "none", "covariates": "none"}


def windows(
    panel: Panel, ranges: Sequence[tuple[int, int]] | None = None, lookback: int = 4, horizon: int = 2, scaling: Scaling | None = None, **options: Any
) -> Windows:
    """In raw units by default, over the whole panel."""
    whole = [(0, len(series.target)) for series in panel.series]
    options = {"missing": "zero", "scaling": scaling or Scaling.fit(panel, whole, **RAW)} | options
    return Windows(panel, whole if ranges is None else ranges, lookback, horizon, **options)


def full(seed: int = 0, lengths: Sequence[int] = (11, 7), share: float = 0.3, step: str = "h") -> Panel:
    """Series with gaps in targets and past covariates, and every kind of covariate."""
    rng = np.random.default_rng(seed)
    series: list[Any] = []
    for number, length in enumerate(lengths):
        target, past = np.where(rng.random((2, length)) < share, NAN, rng.normal(size=(2, length)))
        target[0] = past[0] = number
        times = hours(length) if step == "h" else np.sort(rng.choice(hours(40), length, replace=False))
        series.append(
            series_of(target.tolist(), f"s{number}", times, [past.tolist()], rng.normal(size=(2, length)).tolist(), rng.normal(size=3).tolist())
        )
    return panel_of(*series, step=step, past=["p"], future=["f", "g"], static=["u", "v", "w"])


def same(one: Batch, other: Batch) -> None:
    for field in fields(Batch):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


# --- by hand -----------------------------------------------------------------------------------------------------------------


def test_a_batch_by_hand() -> None:
    panel = panel_of(series_of([1, 2, NAN, 4, 5, NAN, 7], past=[[10, NAN, 12, 13, 14, 15, 16]], future=[range(20, 27)], static=[9.0]),
                     past=["p"], future=["f"], static=["s"])  # fmt: skip
    made = windows(panel, missing="forward+mask")
    assert made.channels.past == ("y", "mask_y", "mask_p", "p", "f")
    assert (made.channels.future, made.channels.static) == (("f",), ("s",))
    np.testing.assert_array_equal(made.origins, [1, 2, 3, 4, 5])
    batch = made.batch([3])
    np.testing.assert_array_equal(batch.past[0].T, [[1, 2, 2, 4], [1, 1, 0, 1], [1, 0, 1, 1], [10, 10, 12, 13], [20, 21, 22, 23]])
    np.testing.assert_array_equal(batch.mask[..., 0], [[1, 1, 0, 1]])
    np.testing.assert_array_equal(batch.delta[..., 0], [[0, 1, 1, 2]])
    np.testing.assert_allclose(batch.mean, [[19 / 5]], rtol=1e-7)
    np.testing.assert_array_equal(batch.future, [[[24], [25]]])
    np.testing.assert_array_equal(batch.target, [[5, NAN]])
    np.testing.assert_array_equal(batch.static, [[9]])
    assert (batch.series.tolist(), batch.origin.tolist()) == ([0], [4])
    for field in fields(Batch):
        array = getattr(batch, field.name)
        assert array.dtype == (np.int64 if field.name in ("series", "origin") else np.float32), field.name
        assert array.flags.c_contiguous


def test_a_window_that_starts_before_its_series() -> None:
    batch = windows(panel_of(series_of([3, NAN, 5, 6], future=[[7, 8, 9, 10]]), future=["f"]), lookback=5, missing="forward+mask").batch([1])
    assert batch.origin.tolist() == [2]
    np.testing.assert_allclose(batch.past[0].T, [[14 / 3, 14 / 3, 14 / 3, 3, 3], [0, 0, 0, 1, 0], [0, 0, 0, 7, 8]], rtol=1e-7)
    np.testing.assert_array_equal(batch.mask[..., 0], [[0, 0, 0, 1, 0]])
    np.testing.assert_array_equal(batch.delta[..., 0], [[0, 1, 2, 3, 1]])


def test_gru_d_gets_mask_delta_and_mean_of_every_channel() -> None:
    panel = panel_of(series_of([3, NAN, NAN, 6, 1, 2], past=[[1, 2, NAN, 4, 5, 6]], future=[range(7, 13)]), past=["p"], future=["f"])
    made = windows(panel, missing="gru_d", min_known=0)
    batch = made.batch([3])
    np.testing.assert_array_equal(batch.past[0].T, [[3, 3, 3, 6], [1, 2, 2, 4], [7, 8, 9, 10]])
    np.testing.assert_array_equal(batch.mask[0].T, [[1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(batch.delta[0].T, [[0, 1, 2, 3], [0, 1, 1, 2], [0, 1, 1, 1]])
    np.testing.assert_allclose(batch.mean, [[3, 18 / 5, 0]], rtol=1e-7)
    early = made.batch([0])  # only its last step is of the series
    np.testing.assert_allclose(early.past[0].T, [[3, 3, 3, 3], [3.6, 3.6, 3.6, 1], [0, 0, 0, 7]], rtol=1e-7)
    np.testing.assert_array_equal(early.mask[0], [[0, 0, 0]] * 3 + [[1, 1, 1]])
    np.testing.assert_array_equal(early.delta[0], [[step] * 3 for step in range(4)])


def test_means_are_those_of_each_series_in_its_units() -> None:
    panel = panel_of(series_of([1, 2, 3, 6]), series_of([10, 30, 20, 40], "b"))
    apart = 11 / np.sqrt(1482 / 8)  # of both series together the mean is 14 and Σ (y − 14)² is 1482
    for method, wanted in {"none": [3, 25], "standard": [0, 0], "minmax": [2 / 5, 1 / 2], "global": [-apart, apart]}.items():
        made = windows(panel, lookback=2, horizon=1, missing="gru_d", scaling=Scaling.fit(panel, [(0, 4), (0, 4)], method))
        batch = made.batch(np.arange(len(made)))
        np.testing.assert_allclose(batch.mean[:, 0], np.array(wanted)[batch.series], rtol=1e-6, atol=1e-7, err_msg=method)


@pytest.mark.parametrize("missing", ["zero", "zero+mask"])
@pytest.mark.parametrize(("method", "covariates"), [("standard", "standard"), ("global", "none"), ("robust", "standard"), ("none", "none")])
def test_zero_is_0_in_the_units_of_each_column(missing: str, method: str, covariates: str) -> None:
    """A day without sales is no average day."""
    panel = panel_of(
        series_of([6, NAN, 4, 8, 7], past=[[3, NAN, 5, 9, 1]]), series_of([60, 40, NAN, 80, 70], "b", past=[[1, 2, NAN, 3, 4]]), past=["p"]
    )
    scaling = Scaling.fit(panel, [(0, 5), (0, 5)], method, covariates)
    made = windows(panel, missing=missing, scaling=scaling, horizon=1)
    batch = made.batch(np.flatnonzero(made.origins == 4))
    shown = scaling.invert(batch.series, batch.past[:, :, 0])
    np.testing.assert_allclose(shown, [[6, 0, 4, 8], [60, 40, 0, 80]], rtol=1e-6, atol=1e-5)
    column = batch.past[:, :, -1] * scaling.past.scale[0] + scaling.past.shift[0]
    np.testing.assert_allclose(column, [[3, 0, 5, 9], [1, 2, 0, 3]], rtol=1e-6, atol=1e-6)


def test_a_mask_for_every_covariate_that_lacks_a_value_in_training() -> None:
    past = [[1, 2, 3, 4, NAN], [1, NAN, 3, 4, 5]]
    panel = panel_of(series_of([1, 2, 3, 4, 5], past=past), past=["p", "q"])
    scaling = Scaling.fit(panel, [(0, 4)])
    assert scaling.lacking == ("q",)
    assert windows(panel, scaling=scaling, missing="mean+mask").channels.past == ("y", "mask_y", "mask_q", "p", "q")
    assert windows(panel, scaling=scaling, missing="mean").channels.past == ("y", "p", "q")
    whole = replace(panel, series=(replace(panel.series[0], past=np.ones((5, 2))),))
    assert windows(whole, scaling=scaling, missing="mean+mask").channels.past == ("y", "mask_y", "mask_q", "p", "q")


def test_calendar_channels_by_hand() -> None:
    times = np.array(["2024-01-01T06", "2024-01-01T07", "2024-01-01T08"], "datetime64[ns]")
    made = windows(panel_of(series_of([1, 2, 3], times=times), step="h"), lookback=1, horizon=1)
    names = ("sin_day", "cos_day", "sin_week", "cos_week", "sin_year", "cos_year")
    assert (made.channels.past, made.channels.future) == (("y", *names), names)
    angles = 2 * np.pi * np.array([6 / 24, 6 / 168, 6 / (366 * 24)])
    wanted = np.stack([np.sin(angles), np.cos(angles)], axis=1).reshape(-1)
    np.testing.assert_allclose(made.batch([0]).past[0, 0, 1:], wanted, atol=1e-7)
    np.testing.assert_array_equal(made.batch([0]).future[0, 0], made.batch([1]).past[0, 0, 1:])
    assert windows(made.panel, lookback=1, horizon=1, calendar_features=False).channels.future == ()


@pytest.mark.parametrize(("step", "cycles"), [
    ("15min", "day week year"), ("h", "day week year"), ("D", "week year"), ("B", "week year"), ("W-SAT", "year"), ("MS", "year"), ("QS-JAN", "year"),
    ("YS-JAN", ""), ("1", ""), ("irregular", "day week year elapsed"),
])  # fmt: skip
def test_the_calendar_tells_what_the_step_can_have(step: str, cycles: str) -> None:
    times = np.arange(3) if step == "1" else hours(3)
    made = windows(panel_of(series_of([1, 2, 3], times=times), step=step), lookback=1, horizon=1)
    assert [name.removeprefix("sin_") for name in made.channels.future[::2]] == cycles.split()


@pytest.mark.parametrize("calendar_features", [True, False])
def test_whole_numbers_without_a_step_have_no_calendar_but_the_time_that_passed(calendar_features: bool) -> None:
    panel = panel_of(series_of([1, 2, 3], times=[0, 5, 6]), step="irregular")
    made = windows(panel, lookback=2, horizon=1, calendar_features=calendar_features)
    assert (made.channels.past, made.channels.future) == (("y", "elapsed"), ("elapsed",))
    batch = made.batch([1])
    np.testing.assert_allclose(batch.delta[..., 0], [[0, 5 / 3]], rtol=1e-7)  # the median of 5 and 1 is 3
    np.testing.assert_allclose(batch.past[0, :, 1], np.log([2, 1 + 5 / 3]), rtol=1e-6)  # the first step counts as one interval
    np.testing.assert_allclose(batch.future[0], np.log([[1 + 1 / 3]]), rtol=1e-6)
    np.testing.assert_array_equal(made.batch([0]).past[0, 0], [0, 0])  # before the series


def test_the_network_is_told_when_the_irregular_steps_ahead_are() -> None:
    panel = panel_of(series_of([1, 2, 3], times=[0, 5, 6]), step="irregular")
    made = windows(panel, lookback=2)
    for times, wanted in (([7, 8], [1, 1]), ([506, 9506], [500, 9000])):
        future = panel_of(series_of([NAN, NAN], times=times), step="irregular")
        np.testing.assert_allclose(made.last(future).future[0, :, 0], np.log1p(np.array(wanted) / 3), rtol=1e-6)


def test_values_are_in_scaled_units() -> None:
    panel = full()
    ranges = [(0, 8), (0, 5)]
    scaling = Scaling.fit(panel, ranges)
    made = windows(panel, scaling=scaling, missing="zero", min_known=0)
    batch = made.batch(np.arange(len(made)))
    for row, (number, origin) in enumerate(zip(batch.series, batch.origin, strict=True)):
        series = panel.series[number]
        truth = series.target[origin : origin + 2]
        np.testing.assert_allclose(made.scaling.invert(number, batch.target[row]), truth, rtol=1e-5, atol=1e-6)
        wanted = (series.future[origin : origin + 2] - scaling.future.shift) / scaling.future.scale
        np.testing.assert_allclose(batch.future[row, :, :2], wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.static[row], (series.static - scaling.static.shift) / scaling.static.scale, rtol=1e-5, atol=1e-6)


# --- against a plain loop ----------------------------------------------------------------------------------------------------


def plain(made: Windows, missing: str, number: int, origin: int) -> dict[str, NDArray[Any]]:
    """One window from the series' own arrays, step by step."""
    series, scaling, lookback = made.panel.series[number], made.scaling, made.lookback
    steps = np.arange(origin - lookback, origin)
    inside = steps >= 0

    def column(values: NDArray[Any], columns: Affine, place: int, empty: float) -> NDArray[Any]:
        return np.where(inside, (values[np.maximum(steps, 0)] - columns.shift[place]) / columns.scale[place], empty)

    regular = made.panel.step.is_regular
    first = (steps - origin).astype(float)
    elapsed = (series.times - series.times[0]).astype(float) / scaling.interval
    clock = np.where(inside, elapsed[np.maximum(steps, 0)], steps)
    target, past = column(series.target, scaling.target, number, NAN), column(series.past[:, 0], scaling.past, 0, NAN)
    masks = [~np.isnan(target), ~np.isnan(past)]
    how, means = parse(missing), [scaling.target.mean[number], scaling.past.mean[0]]
    zeros = [-scaling.target.shift[number] / scaling.target.scale[number], -scaling.past.shift[0] / scaling.past.scale[0]]
    filled = [fill(values, *rest) for values, *rest in zip((target, past), masks, [missing] * 2, [clock] * 2, means, zeros, strict=True)]
    channels = [filled[0], *(masks if how.mask else []), filled[1]]
    channels += [column(series.future[:, place], scaling.future, place, 0.0) for place in range(2)]
    if not regular:
        between = np.concatenate([[1.0], np.diff(elapsed)])
        channels.append(np.where(inside, np.log1p(between[np.maximum(steps, 0)]), 0))
    shown = [*masks, *[inside] * (len(channels) - 2)] if missing == "gru_d" else masks[:1]
    delta = [deltas(mask, first if regular else clock) for mask in shown]
    mean = [*means, *[0.0] * (len(channels) - 2)] if missing == "gru_d" else means[:1]
    return {"past": np.stack(channels, axis=1), "mask": np.stack(shown, 1), "delta": np.stack(delta, 1), "mean": np.array(mean)}


@pytest.mark.parametrize("step", ["h", "irregular"])
@pytest.mark.parametrize("missing", STRATEGIES)
def test_every_window_is_that_of_a_plain_loop(missing: str, step: str) -> None:
    panel = full(5, (11, 3, 7), step=step)
    made = windows(panel, scaling=Scaling.fit(panel, [(0, 6), (0, 3), (0, 6)]), missing=missing, calendar_features=False, lookback=5, min_known=0)
    batch = made.batch(np.arange(len(made)))
    assert {0, 1, 2} == set(batch.series.tolist())
    for row, (number, origin) in enumerate(zip(batch.series.tolist(), batch.origin.tolist(), strict=True)):
        for name, wanted in plain(made, missing, number, origin).items():
            np.testing.assert_allclose(getattr(batch, name)[row], wanted, rtol=2e-6, atol=2e-6, err_msg=f"{name} of {number} at {origin}")


# --- what may be seen --------------------------------------------------------------------------------------------------------


@given(st.sampled_from(STRATEGIES), st.integers(1, 10), st.integers(0, 30), st.sampled_from(["h", "irregular"]), st.booleans())
def test_nothing_from_the_origin_on_enters_the_past(missing: str, origin: int, seed: int, step: str, erase: bool) -> None:
    panel = full(seed, step=step)
    scaling = Scaling.fit(panel, [(0, 6), (0, 6)], "robust")
    first = panel.series[0]
    later = {name: getattr(first, name).copy() for name in ("target", "past", "future")}
    for name, values in later.items():
        values[origin:] = NAN if erase and name != "future" else 1e6
    changed = replace(panel, series=(replace(first, **later), panel.series[1]))
    options: dict[str, Any] = {"ranges": [(origin, 11), (0, 0)], "scaling": scaling, "missing": missing, "min_known": 0, "keep_partial": True}
    before, after = windows(panel, **options), windows(changed, **options)
    assert before.origins[0] == after.origins[0] == origin
    one, other = before.batch([0]), after.batch([0])
    for name in ("past", "mask", "delta", "mean", "static"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert not np.array_equal(one.target, other.target)


@given(st.integers(0, 30))
def test_nothing_before_the_window_enters_it(seed: int) -> None:
    panel = full(seed)
    scaling = Scaling.fit(panel, [(0, 11), (0, 7)])
    first = panel.series[0]
    changed = replace(panel, series=(replace(first, target=np.where(np.arange(11) < 4, 1e6, first.target)), panel.series[1]))
    pair = [windows(each, [(8, 11), (0, 0)], scaling=scaling, missing="linear", min_known=0) for each in (panel, changed)]
    same(*(each.batch(np.flatnonzero(each.origins == 8)) for each in pair))


# --- where windows stand -----------------------------------------------------------------------------------------------------


def test_targets_stay_inside_the_range_and_the_past_may_reach_back() -> None:
    made = windows(panel_of(series_of(list(range(12)))), [(5, 9)])
    np.testing.assert_array_equal(made.origins, [5, 6, 7])
    np.testing.assert_array_equal(made.batch([0]).past[0, :, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(windows(made.panel, [(5, 9)], stride=2).origins, [5, 7])


def test_partial_windows_do_not_see_targets_beyond_the_range() -> None:
    made = windows(panel_of(series_of(list(range(12)), future=[range(12)]), future=["f"]), [(5, 11)], horizon=3, keep_partial=True)
    np.testing.assert_array_equal(made.origins, [5, 6, 7, 8, 9, 10])
    batch = made.batch([3, 4, 5])
    np.testing.assert_array_equal(batch.target, [[8, 9, 10], [9, 10, NAN], [10, NAN, NAN]])
    np.testing.assert_array_equal(batch.future[:, :, 0], [[8, 9, 10], [9, 10, 11], [10, 11, 0]])


def test_enough_targets_must_be_known() -> None:
    panel = panel_of(series_of([1, 2, NAN, NAN, 5, 6, 7]))
    np.testing.assert_array_equal(windows(panel).origins, [1, 3, 4, 5])
    np.testing.assert_array_equal(windows(panel, min_known=2).origins, [4, 5])
    np.testing.assert_array_equal(windows(panel, min_known=0).origins, [1, 2, 3, 4, 5])
    partial = windows(panel, [(0, 4)], keep_partial=True)
    np.testing.assert_array_equal(partial.origins, [1])  # from 3, step 4 is known but beyond the range


def test_something_of_the_past_must_be_known() -> None:
    panel = panel_of(series_of([NAN, NAN, 3, 4, NAN, NAN, 7, 8]))
    np.testing.assert_array_equal(windows(panel, lookback=2).origins, [3, 5])
    np.testing.assert_array_equal(windows(panel, lookback=2, min_known=0).origins, [3, 4, 5])


def test_series_do_not_touch() -> None:
    made = windows(panel_of(series_of([1, 1, 1]), series_of([2, 2, 2, 2], "b"), series_of([3, 3], "c")), lookback=6, horizon=1)
    batch = made.batch(np.arange(len(made)))
    assert list(zip(batch.series.tolist(), batch.origin.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1)]
    for row, number in enumerate(batch.series):
        assert set(batch.past[row, :, 0].tolist()) == {0.0, number + 1.0}
        assert batch.mask[row].sum() == batch.origin[row]


# --- epochs ------------------------------------------------------------------------------------------------------------------


def seen(made: Windows, number: int, seed: int, size: int = 4) -> list[tuple[int, int]]:
    batches = made.epoch(number, seed, size)
    return [pair for batch in batches for pair in zip(batch.series.tolist(), batch.origin.tolist(), strict=True)]


def test_an_epoch_has_every_window_once_and_keeps_the_last_batch() -> None:
    made = windows(full())
    assert len(made) == 12
    assert [len(batch.origin) for batch in made.epoch(0, 0, 5)] == [5, 5, 2]
    assert sorted(seen(made, 0, 0)) == list(zip(made.series.tolist(), made.origins.tolist(), strict=True))


def test_an_epoch_follows_from_number_and_seed() -> None:
    made = windows(full())
    assert seen(made, 3, 7) == seen(made, 3, 7) == seen(windows(full()), 3, 7, size=5)
    orders = [seen(made, *pair) for pair in ((3, 7), (4, 7), (3, 8), (7, 3))]
    assert all(one != other for place, one in enumerate(orders) for other in orders[:place])


def test_an_epoch_in_order() -> None:
    made = windows(full())
    batches = list(made.epoch(5, 1, 3, shuffle=False))
    np.testing.assert_array_equal(np.concatenate([batch.origin for batch in batches]), made.origins)
    same(batches[1], made.batch([3, 4, 5]))


# --- the last window ---------------------------------------------------------------------------------------------------------


def to_come(panel: Panel, count: int, start: int = 0) -> Panel:
    """Covariates of the steps from ``start`` after each series on: 100 and 200 more than their number."""
    series = [
        series_of([NAN] * count, one.id, one.times[-1] + np.arange(start + 1, start + count + 1) * (one.times[1] - one.times[0]),
                  [[NAN] * count], [np.arange(count) + 100.0, np.arange(count) + 200.0], one.static.tolist())
        for one in panel.series
    ]  # fmt: skip
    return replace(panel, series=tuple(series[::-1]))


def test_last_is_the_window_that_ends_with_each_series() -> None:
    panel = full()
    made = windows(panel, missing="forward")
    batch = made.last(to_come(panel, 3))
    assert (batch.series.tolist(), batch.origin.tolist()) == ([0, 1], [11, 7])
    assert np.isnan(batch.target).all()
    np.testing.assert_array_equal(batch.past[:, :, 2], [series.future[-4:, 0].astype(np.float32) for series in panel.series])
    np.testing.assert_array_equal(batch.future[:, :, :2], [[[100, 200], [101, 201]]] * 2)
    day = 2 * np.pi * np.array([[11, 12], [7, 8]]) / 24
    np.testing.assert_allclose(batch.future[:, :, 2], np.sin(day), atol=1e-6)
    longer = windows(replace(panel, series=tuple(_longer(series) for series in panel.series)), scaling=made.scaling, missing="forward", min_known=0)
    wanted = longer.batch([int(np.flatnonzero((longer.series == number) & (longer.origins == end))[0]) for number, end in ((0, 11), (1, 7))])
    np.testing.assert_array_equal(batch.past, wanted.past)
    np.testing.assert_array_equal(batch.future[:, :, 2:], wanted.future[:, :, 2:])


def _longer(series: Any) -> Any:
    parts = {name: np.concatenate([getattr(series, name), getattr(series, name)[:2]]) for name in ("target", "past", "future")}
    return replace(series, times=hours(len(series) + 2), **parts)


def test_last_needs_no_future_where_there_is_none() -> None:
    assert windows(panel_of(series_of([1, 2, 3]))).last().future.shape == (1, 2, 0)
    monthly = np.array(["2024-10-01", "2024-11-01"], "datetime64[ns]")
    future = windows(panel_of(series_of([1, 2], times=monthly), step="MS"), lookback=2, horizon=1, min_known=0, keep_partial=True).last().future
    np.testing.assert_allclose(future[0, 0], [np.sin(2 * np.pi * 335 / 366), np.cos(2 * np.pi * 335 / 366)], atol=1e-6)


def test_last_on_an_irregular_calendar_takes_the_times_to_come() -> None:
    panel = full(step="irregular")
    made = windows(panel, missing="gru_d")
    np.testing.assert_array_equal(made.last(to_come(panel, 2)).future[:, :, 1], [[200, 201]] * 2)
    np.testing.assert_array_equal(made.last(to_come(panel, 3, start=-1)).future[:, :, 1], [[201, 202]] * 2)
    with pytest.raises(
        DataError, match=r"series 's0' must have 2 times after .*, as its calendar is irregular, got 1; add their rows, without a target"
    ):
        made.last(to_come(panel, 1))


def test_last_refuses_what_is_not_known() -> None:
    panel = full()
    made = windows(panel)
    with pytest.raises(DataError, match=r"^predict: the future covariates 'f', 'g' must be known for the 2 steps to forecast, got none; give"):
        made.last()
    with pytest.raises(
        DataError, match=r"^predict: the future covariates of series 's0' must be known at 2024-01-01T12:00:00, got none \(1 of 2 times lack"
    ):
        made.last(to_come(panel, 1))
    with pytest.raises(DataError, match=r"of series 's0' must be known at 2024-01-01T11.*\(1 of 2 times lack"):
        made.last(to_come(panel, 5, start=1))
    with pytest.raises(DataError, match="series 's1' must have future covariates, got none of that name"):
        made.last(replace(panel, series=to_come(panel, 2).series[1:]))
    with pytest.raises(DataError, match=r"must be \['f', 'g'\], those of the training data, got \['g', 'f'\]; name"):
        made.last(replace(to_come(panel, 2), future_names=("g", "f")))
    with pytest.raises(DataError, match=r"series 'a' must have a measured value in its last 2 steps, got none \(1 of 1 series have none\); leave"):
        windows(panel_of(series_of([1, 2, 3, NAN, NAN])), lookback=2).last()


# --- refusals ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "value"), [("lookback", 0), ("horizon", 0), ("stride", 0), ("min_known", -1)])
def test_numbers_that_are_too_small(option: str, value: int) -> None:
    with pytest.raises(OptionError, match=rf"^Windows: {option} must be at least {value + 1}, got {value}; give a number of steps\.$"):
        windows(panel_of(series_of([1, 2, 3, 4])), **{option: value})


def test_other_refusals() -> None:
    panel = panel_of(series_of([1, 2, 3, 4], times=START + np.arange(4)), step="ns")
    with pytest.raises(OptionError, match="strategy must be one of"):
        windows(panel, missing="nearest")
    with pytest.raises(OptionError, match="Windows: calendar_features must be True or False, got 'no'; choose one of them"):
        windows(panel, calendar_features="no")
    with pytest.raises(OptionError, match="Windows: ranges must be one per series, 1, got 2"):
        windows(panel, [(0, 1), (0, 1)])
    with pytest.raises(DataError, match="got none such in 1 series, of which at most 3 steps are used here; shorten the horizon"):
        windows(panel, [(1, 4)], horizon=4)
    with pytest.raises(DataError, match="got 'a'"):
        windows(panel, scaling=Scaling.fit(replace(panel, series=(replace(panel.series[0], id="z"),)), [(0, 4)]))
    with pytest.raises(OptionError, match="batch_size must be at least 1, got 0"):
        windows(panel).epoch(0, 0, 0)


def test_scaling_follows_the_series_into_another_panel() -> None:
    panel = full()
    scaling = Scaling.fit(panel, [(0, 11), (0, 7)])
    turned = windows(replace(panel, series=panel.series[::-1]), scaling=scaling, min_known=0)
    straight = windows(panel, scaling=scaling, min_known=0)
    one, other = turned.batch([0]), straight.batch(np.flatnonzero(straight.series == 1)[:1])
    np.testing.assert_array_equal(one.past, other.past)
    np.testing.assert_allclose(turned.scaling.invert(one.series, one.target), straight.scaling.invert(other.series, other.target))
