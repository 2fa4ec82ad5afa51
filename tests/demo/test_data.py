from __future__ import annotations

import numpy as np
import pytest

from grus.demo.data import Series, decimal_years, fill_forward, inputs, read_co2, targets
from grus.errors import DataError


def weekly(values: np.ndarray) -> Series:
    return Series(np.datetime64("2000-01-01", "D") + 7 * np.arange(len(values)).astype("timedelta64[D]"), values)


def test_read_co2_has_its_gaps() -> None:
    series = read_co2()
    assert len(series) == 2284
    assert np.isnan(series.values).sum() == 59
    assert str(series.dates[0]) == "1958-03-29"


def test_decimal_years_of_a_leap_year() -> None:
    np.testing.assert_allclose(decimal_years(np.array(["2000-01-01", "2000-07-02"], "datetime64[D]")), [2000.0, 2000.5])


def test_fill_forward_of_gaps() -> None:
    np.testing.assert_array_equal(fill_forward(np.array([1.0, np.nan, np.nan, 2.0])), [1, 1, 1, 2])


def test_fill_forward_of_a_missing_start_is_refused() -> None:
    with pytest.raises(DataError, match="first value must be a number"):
        fill_forward(np.array([np.nan, 1.0]))


def test_inputs_mask_a_missing_week_and_the_week_a_year_later() -> None:
    values = np.arange(60.0)
    values[3] = np.nan
    rows = inputs(weekly(values))
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[2:5, 0], [1, 0, 2])
    np.testing.assert_array_equal(rows[2:5, 2], [1, 0, 1])
    np.testing.assert_array_equal(rows[54:57, 1], [52, 0, 52])
    np.testing.assert_array_equal(rows[54:57, 3], [1, 0, 1])


def test_inputs_of_a_week_do_not_depend_on_later_weeks() -> None:
    values = np.random.default_rng(0).normal(size=120)
    changed = values.copy()
    changed[100:] = np.nan
    np.testing.assert_array_equal(inputs(weekly(changed))[:100], inputs(weekly(values))[:100])


def test_targets_are_nan_where_unmeasured_or_past_the_end() -> None:
    known = targets(weekly(np.array([1.0, 2.0, np.nan, 5.0])), 2)
    np.testing.assert_array_equal(known, [[1, np.nan], [np.nan, 3], [3, np.nan], [np.nan, np.nan]])
