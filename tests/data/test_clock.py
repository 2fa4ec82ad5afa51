"""Times in several columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.data import Columns, read_panel
from grus.errors import DataError

HOURS = Columns(time="year,month,day,hour")


def table(**changed: object) -> dict[str, object]:
    return {"year": [2010, 2010, 2010], "month": [1, 1, 2], "day": [31, 31, 1], "hour": [22, 23, 0], "y": [1.0, 2.0, 3.0]} | changed


def test_parts_become_times(tmp_path: Path) -> None:
    wanted = np.array(["2010-01-31T22", "2010-01-31T23", "2010-02-01T00"], "datetime64[ns]")
    frame = pd.DataFrame(table())
    frame.to_csv(tmp_path / "parts.csv", index=False)
    for source in (table(), frame, tmp_path / "parts.csv", frame.astype({"year": float})):
        panel = read_panel(source, HOURS)
        np.testing.assert_array_equal(panel.series[0].times, wanted)
        assert panel.step.name == "h"


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_as_far_as_the_parts_go(count: int) -> None:
    names = ("year", "month", "day", "hour", "minute", "second")[:count]
    steps = {"year": [2011, 2011, 2011], "month": [3, 4, 5], "day": [1, 1, 1], "hour": [0, 0, 0], "minute": [0, 0, 0], "second": [0, 0, 0]}
    panel = read_panel({**{name: steps[name] for name in names}, "y": [1.0, 2.0, 3.0]}, Columns(time=",".join(names)))
    assert panel.series[0].times.astype("datetime64[D]").tolist() == np.array(["2011-03-01", "2011-04-01", "2011-05-01"], "datetime64[D]").tolist()


def test_a_panel_read_from_parts_is_read_again_from_its_own_frame() -> None:
    panel = read_panel(table(), HOURS)
    again = read_panel(panel.to_frame(), like=panel)
    np.testing.assert_array_equal(again.series[0].times, panel.series[0].times)


def test_a_part_that_is_no_date_names_its_row() -> None:
    with pytest.raises(DataError, match=r"row 2.*year,month,day,hour.*2010-13-31T23"):
        read_panel(table(month=[1, 13, 2]), HOURS)


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="column 'day' must be there"):
        read_panel({name: value for name, value in table().items() if name != "day"}, HOURS)
