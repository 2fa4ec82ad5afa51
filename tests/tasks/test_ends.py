"""Rows behind the last known target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from grus.data import read_panel
from grus.data.calendar import Step
from grus.errors import DataError
from grus.tasks.ends import blank_ends, check_ahead, known_and_ahead, until_last_target
from grus.tasks.frames import prediction_frame
from tests.tasks.waves import panel_of

GAP = np.array([1.0, np.nan, 3.0, np.nan, np.nan])
WHOLE = np.arange(4.0)


def test_series_are_cut_behind_their_last_target() -> None:
    panel = panel_of([GAP, WHOLE, np.full(3, np.nan)])
    found = until_last_target(panel)
    assert [series.times.tolist() for series in found] == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2]]
    np.testing.assert_array_equal(found.series[0].target, GAP[:3])


def test_rows_behind_are_steps_ahead_only_where_something_must_be_known_there() -> None:
    panel = panel_of([GAP])
    assert known_and_ahead(panel) == (panel, None)
    for needs in (replace(panel, step=Step.irregular), replace(panel, future_names=("promo",))):
        known, ahead = known_and_ahead(needs)
        assert len(known.series[0]) == 3
        assert ahead is needs


def test_steps_to_forecast_must_have_rows_where_something_must_be_known_of_them() -> None:
    panel = panel_of([GAP, WHOLE, WHOLE])
    check_ahead(*known_and_ahead(panel), 3, "a.csv")
    known, ahead = known_and_ahead(replace(panel, step=Step.irregular))
    with pytest.raises(DataError) as error:
        check_ahead(known, ahead, 2, "a.csv")
    assert str(error.value) == (
        "predict: a.csv must end with 2 rows for the steps to forecast and a blank y, got 0 such rows of series 'b' after 3, "
        "and too few of 1 more series; add them behind the history in that file, or in a copy that is given with --data."
    )
    with pytest.raises(DataError, match="got 2 such rows of series 'a' after 2, and too few of 2 more series"):
        check_ahead(known, ahead, 3, "a.csv")
    known, ahead = known_and_ahead(replace(panel_of([GAP]), step=Step.irregular))
    check_ahead(known, ahead, 2, "a.csv")


def test_ends_without_a_value_are_told_with_series_count_and_time() -> None:
    assert blank_ends(panel_of([WHOLE, np.full(3, np.nan)])) is None
    assert blank_ends(panel_of([WHOLE, GAP])) == (
        "y: values are missing at the end, and the forecast starts after them: the last 2 of series 'b', forecast from 5 on. "
        "Leave those rows out for a forecast from the last known value on."
    )
    assert "the last 2 of series 'c', forecast from 5 on; those of 2 more series. " in (blank_ends(panel_of([GAP] * 5)) or "")
    times = pd.date_range("2024-02-28 22:00", periods=4, freq="h")
    assert "the last 1 of series 'series', forecast from 2024-02-29 02:00 on" in (
        blank_ends(read_panel(pd.DataFrame({"ds": times, "y": [1.0, 2.0, 3.0, np.nan]}))) or ""
    )


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("year,month,day,hour", "h", {"year": [2024, 2024], "month": [1, 1], "day": [1, 1], "hour": [22, 23]}),
        ("Year,Month", "MS", {"Year": [2024, 2024], "Month": [2, 3]}),
        ("year,month", "D", {"year": [2024, 2024], "month": [1, 1], "day": [2, 3]}),
        ("year,month,day", "30min", {"year": [2024] * 2, "month": [1] * 2, "day": [1] * 2, "hour": [21, 22], "minute": [30, 0]}),
    ],
)
def test_times_from_several_columns_go_back_into_them(name: str, step: str, expected: dict[str, list[int]]) -> None:
    """Further columns where the calendar's step is finer than those that were read."""
    panel = panel_of([WHOLE])
    first = "2024-01-01" if step in ("MS", "D") else "2024-01-01 21:00"
    times = pd.DatetimeIndex([first]).to_numpy().astype("datetime64[ns]")
    series = replace(panel.series[0], times=times, target=WHOLE[:1])
    panel = replace(panel, series=(series,), step=Step.of(step), columns=replace(panel.columns, id=None, time=name))
    found = prediction_frame(panel, None, 2, {"y": np.zeros((1, 2))})
    assert found.to_dict("list") == {**expected, "y": [0.0, 0.0]}
