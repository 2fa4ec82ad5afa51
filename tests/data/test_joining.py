from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.data import Columns, read_panel, split
from grus.data.joining import continued
from grus.data.panel import Panel
from grus.errors import DataError

COLUMNS = Columns("id", past=("p",), future=("f",), static=("s",))


def table(id: str, first: int, values: list[float], *, sign: float = 1.0) -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=400, freq="D")[first : first + len(values)]
    rows = {
        "id": id,
        "ds": days,
        "y": values,
        "p": sign * np.array(values),
        "f": first + np.arange(float(len(values))),
        "s": "red" if id == "a" else "blue",
    }
    return pd.DataFrame(rows)


def panel_of(*tables: pd.DataFrame, like: Panel | None = None) -> Panel:
    return read_panel(pd.concat(tables), None if like else COLUMNS, like=like)


EARLIER = panel_of(table("b", 0, [1.0, 2, 3, 4, 5, 6]), table("a", 2, [7.0, 8, 9, 10]))


def test_later_steps_follow_the_earlier_ones() -> None:
    more = split(panel_of(table("a", 6, [11.0, 12, 13, 14]), table("b", 6, [15.0, 16, 17]), like=EARLIER), 1, 0)
    found = continued(EARLIER, more)
    assert [series.id for series in found.panel] == ["b", "a"]
    b, a = found.panel
    np.testing.assert_array_equal(b.target, [1, 2, 3, 4, 5, 6, 15, 16, 17])
    np.testing.assert_array_equal(a.target, [7, 8, 9, 10, 11, 12, 13, 14])
    np.testing.assert_array_equal(a.past[:, 0], a.target)
    np.testing.assert_array_equal(a.future[:, 0], [2, 3, 4, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(a.static, EARLIER["a"].static)
    assert (found.train, found.validation, found.test) == (((6, 8), (4, 7)), ((8, 9), (7, 8)), ((9, 9), (8, 8)))


def test_where_both_have_a_step_the_later_table_holds_and_other_series_stay() -> None:
    more = split(panel_of(table("a", 4, [50.0, 60, 70], sign=-1.0), like=EARLIER), 0, 0)
    found = continued(EARLIER, more)
    np.testing.assert_array_equal(found.panel["a"].target, [7, 8, 50, 60, 70])
    np.testing.assert_array_equal(found.panel["a"].past[:, 0], [7, 8, -50, -60, -70])
    np.testing.assert_array_equal(found.panel["b"].target, EARLIER["b"].target)
    assert found.train == ((0, 0), (2, 5))


def test_steps_between_are_missing_unless_a_covariate_must_be_known() -> None:
    with pytest.raises(DataError, match="'f'"):
        continued(EARLIER, split(panel_of(table("a", 8, [1.0, 2.0]), like=EARLIER), 0, 0))
    plain: list[Any] = [read_panel({"ds": np.arange(start, start + 3), "y": [1.0, 2.0, 3.0]}) for start in (0, 5)]
    np.testing.assert_array_equal(continued(plain[0], split(plain[1], 0, 0)).panel.series[0].target, [1, 2, 3, np.nan, np.nan, 1, 2, 3])


def test_nothing_earlier_leaves_the_parts_as_they_are() -> None:
    more = split(EARLIER, 1, 0)
    assert continued(EARLIER, more) is more
