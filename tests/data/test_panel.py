"""Panels: their tables, cuts and columns."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data import Columns, Panel, read_panel
from grus.errors import DataError, OptionError

ROLES = Columns(id="shop", time="day", target="sales", past=("visits", "weather"), future=("price",), static=("city",))


def shops() -> Panel:
    frame = pd.DataFrame(
        {
            "shop": ["s1"] * 3 + ["s2"] * 2,
            "day": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-02", "2024-01-03"],
            "sales": [1.0, None, 3.0, 4.0, 5.0],
            "visits": [10.0, 11.0, None, 13.0, 14.0],
            "weather": ["sun", "rain", None, "rain", "sun"],
            "price": [1.0, 1.5, 1.0, 2.0, 2.5],
            "city": ["Bonn"] * 3 + ["Ulm"] * 2,
        }
    )
    return read_panel(frame, ROLES)


def assert_equal(left: Panel, right: Panel) -> None:
    assert (left.columns, left.step, left.categories) == (right.columns, right.step, right.categories)
    assert (left.past_names, left.future_names, left.static_names) == (right.past_names, right.future_names, right.static_names)
    assert [series.id for series in left] == [series.id for series in right]
    for ours, theirs in zip(left, right, strict=True):
        for name in ("times", "target", "past", "future", "static"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype


def test_panel_by_hand() -> None:
    panel = shops()
    assert panel.past_names == ("visits", "weather=rain", "weather=sun")
    assert panel.future_names == ("price",)
    assert panel.static_names == ("city=Bonn", "city=Ulm")
    assert panel.categories == {"weather": ("rain", "sun"), "city": ("Bonn", "Ulm")}
    first, second = panel
    assert (len(panel), len(first), len(second), panel["s2"] is second) == (2, 3, 2, True)
    np.testing.assert_array_equal(first.target, [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(first.past, [[10.0, 0.0, 1.0], [11.0, 1.0, 0.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(second.future, [[2.0], [2.5]])
    np.testing.assert_array_equal(second.static, [0.0, 1.0])
    assert second.times.tolist() == pd.to_datetime(["2024-01-02", "2024-01-03"]).astype("int64").tolist()


def test_table_gives_the_panel_back() -> None:
    panel = shops()
    frame = panel.to_frame()
    assert list(frame.columns) == list(ROLES.names)
    assert frame["weather"].tolist() == ["sun", "rain", None, "rain", "sun"]
    assert_equal(read_panel(frame, like=panel), panel)
    assert_equal(read_panel(frame, ROLES), panel)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=2, max_size=30).filter(lambda values: values[0] is not None), st.booleans())
def test_table_gives_any_one_series_back(values: list[float | None], dated: bool) -> None:
    times = pd.date_range("2020-01-31", periods=len(values), freq="ME") if dated else range(len(values))
    panel = read_panel(pd.DataFrame({"ds": times, "y": values}))
    assert_equal(read_panel(panel.to_frame(), like=panel), panel)


def test_words_that_mark_missing_numbers_are_categories() -> None:
    table = {"ds": [1, 2, 3, 4], "y": [1, 2, 3, 4], "p": ["NA", "sun", "", None], "f": ["None", "null", "x", "null"], "n": ["NA", "1", "", None]}
    roles = Columns(past=("p", "n"), future=("f",))
    panel = read_panel(table, roles)
    assert panel.categories == {"p": ("NA", "sun"), "f": ("None", "null", "x")}
    assert panel.past_names == ("p=NA", "p=sun", "n")
    nothing = [np.nan] * 3
    np.testing.assert_array_equal(panel.series[0].past, [[1, 0, np.nan], [0, 1, 1], nothing, nothing])
    np.testing.assert_array_equal(panel.series[0].future, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    assert panel.to_frame()["p"].tolist() == ["NA", "sun", None, None]
    assert_equal(read_panel(panel.to_frame(), like=panel), panel)
    with pytest.raises(DataError, match=r"row 1, column 'p': must be one of the categories 'NA', 'sun', got 'NaN'"):
        read_panel(table | {"p": ["NaN", "sun", "", None]}, like=panel)
    with pytest.raises(DataError, match=r"row 1, column 'f': must be given in every row, because it is known ahead, got nothing"):
        read_panel(table | {"f": ["", "null", "x", "null"]}, like=panel)


def test_a_column_of_markers_alone_is_of_missing_numbers() -> None:
    panel = read_panel({"ds": [1, 2], "y": [1, 2], "p": ["NA", "NaN"]}, Columns(past=("p",)))
    assert (panel.past_names, panel.categories) == (("p",), {})
    assert np.isnan(panel.series[0].past).all()


def test_cut_leaves_out_the_time_itself() -> None:
    cut = shops().cut("2024-01-03")
    assert [len(series) for series in cut] == [2, 1]
    np.testing.assert_array_equal(cut["s1"].past, [[10.0, 0.0, 1.0], [11.0, 1.0, 0.0]])
    np.testing.assert_array_equal(cut["s2"].future, [[2.0]])
    assert [len(series) for series in read_panel(np.arange(5.0)).cut(3)] == [3]


def test_cut_before_a_series_starts_is_refused() -> None:
    with pytest.raises(DataError, match=r"^Panel\.cut: until must be after the first time of every series, got '2024-01-02' for 's2'"):
        shops().cut("2024-01-02")
    with pytest.raises(DataError, match="must be a whole number"):
        read_panel(np.arange(5.0)).cut("2024-01-02")


def test_unknown_id_is_refused() -> None:
    with pytest.raises(DataError, match=r"^Panel: id must be one of its 2 series, got 's3'"):
        shops()["s3"]


def test_columns_have_one_role_each() -> None:
    with pytest.raises(OptionError, match=r"^Columns: each column must have one role, got 'y' twice"):
        Columns(past=("y",))
    with pytest.raises(OptionError, match=r"^Columns: past must be several names, got the text 'visits'; write \('visits',\)"):
        Columns(past="visits")  # type: ignore[arg-type]
    assert Columns(past=["a", "b"]).past == ("a", "b")  # type: ignore[arg-type]


def test_panels_and_series_do_not_change() -> None:
    panel = shops()
    with pytest.raises(FrozenInstanceError):
        panel.series = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        panel.series[0].id = "other"  # type: ignore[misc]
