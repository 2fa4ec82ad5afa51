"""Scales by hand, from the training ranges alone, exact both ways and through JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import preprocessing

from grus.data.panel import Panel, Series
from grus.data.scaling import METHODS, Scaling, ScalingFit
from grus.errors import DataError, OptionError
from tests.data.small_panels import hours, panel_of, series_of

NAN = np.nan
A = [1.0, 3.0, NAN, 5.0, 7.0, 1000.0]  # the last value is outside the training range
B = [10.0, 10.0, 10.0, 10.0, 40.0]
RANGES = [(0, 5), (0, 4)]
BY_HAND = {
    "standard": ([4.0, 10.0], [math.sqrt(5), 1.0]),
    "robust": ([4.0, 10.0], [3.0, 1.0]),  # quartiles 2.5 and 5.5
    "minmax": ([1.0, 10.0], [6.0, 1.0]),
    "global": ([7.0, 7.0], [math.sqrt(92 / 8), math.sqrt(92 / 8)]),  # 36 + 16 + 4 + 0 + 4 × 9
    "none": ([0.0, 0.0], [1.0, 1.0]),
}


def panel() -> Panel:
    first = series_of(A, "a", past=[[1, 2, NAN, 3, 2, 99]], future=[[0, 1, 0, 1, 1, 0], [0, 2, 0, 2, 1, 50]], static=[4, 1])
    second = series_of(B, "b", past=[[2, 2, 2, 2, 99]], future=[[1, 1, 1, 1, 7], [1, 1, 1, 1, 50]], static=[8, 0])
    return panel_of(first, second, past=["p"], future=["flag", "f"], static=["size", "kind=x"])


@pytest.mark.parametrize("method", METHODS)
def test_target_by_hand(method: str) -> None:
    target = Scaling.fit(panel(), RANGES, method).target
    shift, scale = BY_HAND[method]
    np.testing.assert_allclose(target.shift, shift, rtol=1e-14)
    np.testing.assert_allclose(target.scale, scale, rtol=1e-14)
    np.testing.assert_allclose(target.mean, (np.array([4, 10]) - shift) / scale, rtol=1e-14, atol=1e-15)


def test_covariates_go_by_column_and_flags_are_left_alone() -> None:
    scaling = Scaling.fit(panel(), RANGES)
    np.testing.assert_allclose((scaling.past.shift, scaling.past.scale, scaling.past.mean), [[2], [0.5], [0]], rtol=1e-14)  # six 2s, a 1 and a 3
    np.testing.assert_allclose(scaling.future.shift, [0, 1], rtol=1e-14)
    np.testing.assert_allclose(scaling.future.scale, [1, math.sqrt(4 / 9)], rtol=1e-14)
    np.testing.assert_allclose(scaling.future.mean, [7 / 9, 0], rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose((scaling.static.shift, scaling.static.scale), [[6, 0], [2, 1]], rtol=1e-14)


def test_covariates_none_keeps_the_mean() -> None:
    scaling = Scaling.fit(panel(), RANGES, "standard", covariates="none")
    for columns in (scaling.past, scaling.future, scaling.static):
        np.testing.assert_array_equal(columns.shift, 0)
        np.testing.assert_array_equal(columns.scale, 1)
    np.testing.assert_allclose(scaling.past.mean, [2])


@pytest.mark.parametrize(("method", "scaler"), [
    ("standard", preprocessing.StandardScaler), ("robust", preprocessing.RobustScaler), ("minmax", preprocessing.MinMaxScaler),
])  # fmt: skip
def test_agrees_with_scikit_learn(method: str, scaler: type) -> None:
    values = np.random.default_rng(2).gamma(2.0, size=37)
    values[[3, 8]] = NAN
    scaling = Scaling.fit(panel_of(series_of(list(values))), [(0, 37)], method)
    np.testing.assert_allclose(scaling.apply(0, values), scaler().fit_transform(values[:, None])[:, 0], rtol=1e-12, atol=1e-12)


@given(st.sampled_from(METHODS), st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5))
def test_nothing_outside_the_ranges_counts(method: str, noise: list[float]) -> None:
    first, second = panel().series
    series = (replace(first, target=np.array([*A[:5], noise[0]])), replace(second, target=np.array([*B[:4], noise[1]])))
    for one, values in zip(series, (noise[2], noise[3]), strict=True):
        one.past[len(one) - 1] = values
        one.future[len(one) - 1] = noise[4]
    assert Scaling.fit(replace(panel(), series=series), RANGES, method).to_dict() == Scaling.fit(panel(), RANGES, method).to_dict()


@given(st.sampled_from(METHODS), st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
def test_invert_undoes_apply(method: str, values: list[float]) -> None:
    scaling = Scaling.fit(panel(), RANGES, method)
    for index in (0, 1):
        np.testing.assert_allclose(scaling.invert(index, scaling.apply(index, values)), values, rtol=1e-12, atol=1e-9)


def test_many_series_at_once() -> None:
    scaling = Scaling.fit(panel(), RANGES, "minmax")
    values = np.arange(12.0).reshape(3, 2, 2)
    together = scaling.invert(np.array([1, 0, 1]), values)
    np.testing.assert_array_equal(together, [scaling.invert(index, value) for index, value in zip((1, 0, 1), values, strict=True)])
    np.testing.assert_array_equal(together[1], values[1] * 6 + 1)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e9 / 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_has_scale_1(method: str, constant: float) -> None:
    scaling = Scaling.fit(panel_of(series_of([constant] * 7)), [(0, 7)], method)
    np.testing.assert_array_equal(scaling.target.scale, 1)
    np.testing.assert_allclose(scaling.invert(0, scaling.apply(0, constant)), constant, rtol=1e-15)


def test_json_is_exact() -> None:
    scaling = Scaling.fit(panel(), RANGES, "global")
    again = Scaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    assert again.to_dict() == scaling.to_dict()
    np.testing.assert_array_equal(again.apply(0, A), scaling.apply(0, A))


def test_align_puts_series_in_the_panels_order() -> None:
    scaling = Scaling.fit(panel(), RANGES)
    turned = replace(panel(), series=panel().series[::-1])
    np.testing.assert_array_equal(scaling.align(turned).apply(0, B), scaling.apply(1, B))
    assert scaling.align(panel()) is scaling


def test_unseen_series_need_a_refit() -> None:
    scaling = Scaling.fit(panel(), RANGES)
    other = replace(panel(), series=(replace(panel().series[0], id="new"),))
    with pytest.raises(DataError, match=r"^Scaling: series must be among the 2 that it was fitted on, got 'new' \(1 unseen\); call refit"):
        scaling.align(other)
    refitted = scaling.refit(other, [(0, 6)]).align(other)
    np.testing.assert_allclose(refitted.target.shift, [np.nanmean(A)])
    assert refitted.past is scaling.past
    pooled = Scaling.fit(panel(), RANGES, "global").refit(other, [(0, 6)])
    np.testing.assert_allclose((pooled.target.shift[0], pooled.target.scale[0]), (7, math.sqrt(92 / 8)))
    np.testing.assert_allclose(pooled.invert(0, pooled.target.mean), np.nanmean(A))


def test_lacking_names_past_covariates_that_are_missing_in_training() -> None:
    assert Scaling.fit(panel(), RANGES).lacking == ("p",)
    assert Scaling.fit(panel(), [(3, 5), (0, 4)]).lacking == ()
    fit = ScalingFit()
    for part, steps in zip(panel().series, RANGES, strict=True):
        fit.add(replace(panel(), series=(part,)), [steps])
    assert fit.finish().lacking == ("p",)


def wave(offset: float, size: float, id: str = "a") -> Series:
    return series_of(list(offset + size * np.sin(np.arange(50))), id)


@pytest.mark.parametrize(("method", "offset", "size", "lost"), [
    ("none", 1e7, 1.0, True), ("none", 1e4, 1.0, False), ("standard", 1e7, 1.0, False), ("robust", 1e7, 1.0, False), ("minmax", -1e9, 1.0, False),
    ("global", -1e7, 1.0, True), ("none", -2.0**18, 1.3, True), ("none", 2.0**18, 1.5, False), ("none", 1e9, 0.0, False),
])  # fmt: skip
def test_a_finding_where_32_bits_lose_what_changes(method: str, offset: float, size: float, lost: bool) -> None:
    """A sine's deviation is 0.71 of its size."""
    data = panel_of(wave(0.0, 1e7), wave(offset, size, "b"))
    found = Scaling.fit(data, [(0, 50)] * 2, method).findings(data, [(0, 50)] * 2)
    assert bool(found) == lost
    for text in found:
        assert text == (
            f"1 of 2 series change too little beside their size for 32-bit numbers under the scaling {method!r}: 'b'; "
            "take a scaling that goes by series, such as 'standard'"
        )


def test_the_finding_is_of_the_range_alone_and_names_five_series() -> None:
    data = panel_of(*(wave(1e7, 1.0, f"s{number}") for number in range(7)))
    data.series[0].target[40:] = 0.0
    scaling = Scaling.fit(data, [(0, 40)] * 7, "none")
    assert "7 of 7 series" in scaling.findings(data, [(0, 40)] * 7)[0]
    assert "6 of 7 series" in scaling.findings(data, [(0, 50)] * 7)[0]
    assert "'s0', 's1', 's2', 's3', 's4' and 2 more; take" in scaling.findings(data, [(0, 40)] * 7)[0]


def test_interval_is_the_median_of_the_training_rows() -> None:
    times = hours(40)[[0, 1, 3, 6, 10, 30]]
    irregular = panel_of(series_of([1.0] * 6, times=times), step="irregular")
    assert Scaling.fit(irregular, [(0, 5)]).interval == 2.5 * 3600e9
    assert Scaling.fit(panel(), RANGES).interval == 1


def test_refusals() -> None:
    with pytest.raises(OptionError, match=r"^scaling: must be one of standard, .*, got 'z'; choose one of them\.$"):
        Scaling.fit(panel(), RANGES, "z")
    with pytest.raises(OptionError, match=r"^covariate_scaling: must be one of standard, none, got 'robust'"):
        Scaling.fit(panel(), RANGES, "standard", "robust")
    with pytest.raises(OptionError, match="ranges must be one per series, 2, got 1"):
        Scaling.fit(panel(), RANGES[:1])
    with pytest.raises(OptionError, match=r"range of series 'b' must lie within its 5 steps, got \[2, 6\)"):
        Scaling.fit(panel(), [(0, 2), (2, 6)])
    with pytest.raises(DataError, match=r"series 'a' must have a measured target in its training range \[2, 3\), got none"):
        Scaling.fit(panel(), [(2, 3), (0, 4)])
    with pytest.raises(DataError, match="past column 'p' must have a value in the training ranges, got none"):
        Scaling.fit(panel_of(series_of([1.0, 2.0], past=[[NAN, NAN]]), past=["p"]), [(0, 2)])
    with pytest.raises(DataError, match=r"covariates must be \['p'\], those of the training data, got \['q'\]; give"):
        Scaling.fit(panel(), RANGES).align(replace(panel(), past_names=("q",)))
    damaged = Scaling.fit(panel(), RANGES).to_dict()
    with pytest.raises(DataError, match="keys must be method, covariates"):
        Scaling.from_dict({"method": "none"})
    with pytest.raises(DataError, match=r"lacking must name past covariates, \['p'\], got \['q'\]; the file is damaged"):
        Scaling.from_dict({**damaged, "lacking": ["q"]})
    damaged["target"]["scale"] = [1.0]
    with pytest.raises(DataError, match=r"scale must be 2 finite numbers, got \[1\.0\]; the file is damaged"):
        Scaling.from_dict(damaged)
