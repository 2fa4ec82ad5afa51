from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel, Series
from grus.data.transforms import TRANSFORMS, Transform
from grus.errors import DataError, OptionError

SEASON = 4


def panel_of(*targets: Any) -> Panel:
    series = tuple(
        Series(f"s{at}", np.arange(len(target)), np.array(target, np.float64), np.empty((len(target), 0)), np.empty((len(target), 0)), np.empty(0))
        for at, target in enumerate(targets)
    )
    return Panel(series, Columns(), Step("1", SEASON))


def rows(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def test_values_of_each_transform() -> None:
    panel = panel_of([1, 2, 4, 8, 3, np.nan, 20, 16, 9])
    for name, wanted in {
        "none": [1, 2, 4, 8, 3, np.nan, 20, 16, 9],
        "log": np.log([1, 2, 4, 8, 3, np.nan, 20, 16, 9]),
        "seasonal_difference": [np.nan] * 4 + [2, np.nan, 16, 8, 6],
        "log_seasonal_difference": [np.nan] * 4 + np.log([3, np.nan, 5, 2, 3]).tolist(),
    }.items():
        np.testing.assert_allclose(Transform(name, SEASON).apply(panel).series[0].target, wanted, rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("horizon", [1, 3, 4, 5, 11])
def test_the_truth_transformed_comes_back(name: str, horizon: int) -> None:
    draw = np.random.default_rng(0)
    panel, transform = panel_of(draw.uniform(1, 9, 30), draw.uniform(1, 9, 25)), Transform(name, SEASON)
    shown, series, origins = transform.apply(panel), rows(1, 0, 0), rows(12, 8, 19)

    def ahead(source: Panel) -> Any:
        return np.stack([source.series[at].target[origin : origin + horizon] for at, origin in zip(series, origins, strict=True)])

    found = transform.invert(panel, series, origins, ahead(shown)[..., None])
    np.testing.assert_allclose(found[..., 0], ahead(panel), rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_nothing_from_the_origin_on_is_read(name: str) -> None:
    draw = np.random.default_rng(1)
    values, changes = draw.uniform(1, 9, 20), draw.normal(0, 0.1, (1, 6, 3))
    values[7] = np.nan  # stood in for by its neighbours: one season before a step ahead
    later = np.concatenate([values[:10], draw.uniform(1, 9, 10)])
    first, second = (Transform(name, SEASON).invert(panel_of(given), rows(0), rows(10), changes) for given in (values, later))
    np.testing.assert_array_equal(first, second)


def test_a_missing_season_before_lies_between_its_neighbours_and_the_last_value_is_carried() -> None:
    panel = panel_of([1, 2, 3, np.nan, 5, np.nan, 9.0])
    found = Transform("seasonal_difference", SEASON).invert(panel, rows(0), rows(6), np.zeros((1, 4, 1)))
    np.testing.assert_array_equal(found[0, :, 0], [3, 4, 5, 5])


def test_quantiles_beyond_a_season_stand_on_the_point_which_is_the_last() -> None:
    changes = np.array([[-1.0, 1.0, 0.5]] * 8)[None]
    found = Transform("seasonal_difference", SEASON).invert(panel_of([10.0] * 6), rows(0), rows(6), changes)
    np.testing.assert_array_equal(found[0, :4], [[9, 11, 10.5]] * 4)
    np.testing.assert_array_equal(found[0, 4:], [[9.5, 11.5, 11]] * 4)


def test_a_series_shorter_than_its_season_has_no_difference() -> None:
    assert np.isnan(Transform("seasonal_difference", SEASON).apply(panel_of([1, 2, 3])).series[0].target).tolist() == [True] * 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transform("sqrt", 4), "transform: must be one of none, log, .* got 'sqrt'"),
        (lambda: Transform("seasonal_difference", 1), "calendar without a season, got 'seasonal_difference'"),
        (lambda: Transform("log", 1).apply(panel_of([3, 0, 1])), "above 0 for 'log', got 0 in series 's0' at 1; take none"),
        (lambda: Transform("log_seasonal_difference", 4).apply(panel_of([3, 2, -1])), "got -1 in series 's0' at 2; take seasonal_difference"),
        (
            lambda: Transform("seasonal_difference", 4).invert(panel_of([np.nan] * 9), rows(0), rows(6), np.zeros((1, 1, 1))),
            "series 's0' must have a measured value before step 6",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((OptionError, DataError), match=message):
        make()
