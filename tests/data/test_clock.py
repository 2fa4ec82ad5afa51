"""Times in several columns."""

from __future__ import annotations

from decimal import Decimal
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


@pytest.mark.parametrize("hour", [0.5, float("inf"), 1e300])
def test_a_part_that_is_no_whole_number_is_named(hour: float) -> None:
    with pytest.raises(DataError, match=r"the mapping, row 2, column 'hour': must be a whole number, got (0\.5|inf|1e\+300); correct it"):
        read_panel(table(hour=[22.0, hour, 0.0]), HOURS)


@pytest.mark.parametrize("kind", ["datetime64[D]", "bool"])
def test_parts_of_another_kind_are_named(kind: str) -> None:
    with pytest.raises(DataError, match=r"the mapping, column 'hour': must be a whole number, got 3 of 3 rows"):
        read_panel(table(hour=np.ones(3, np.int64).astype(kind)), HOURS)


def test_a_part_may_be_written_in_several_ways() -> None:
    wanted = read_panel(table(), HOURS).series[0].times
    for hour in (["22", " 23", "0 "], [Decimal("22"), Decimal("23.0"), Decimal("0")], [22.0, 23.0, 0.0]):
        np.testing.assert_array_equal(read_panel(table(hour=hour), HOURS).series[0].times, wanted)


def test_a_missing_part_is_a_missing_time() -> None:
    with pytest.raises(DataError, match=r"row 2, column 'year,month,day,hour': must be a time, got nothing"):
        read_panel(table(hour=[22, None, 0]), HOURS)


def test_a_part_may_be_a_covariate_too(tmp_path: Path) -> None:
    pd.DataFrame(table()).to_csv(tmp_path / "parts.csv", index=False)
    pd.DataFrame(table()).to_parquet(tmp_path / "parts.parquet")
    for source in (table(), tmp_path / "parts.csv", tmp_path / "parts.parquet"):
        panel = read_panel(source, Columns(time="year,month,day,hour", past=("hour",)))
        assert panel.series[0].past[:, 0].tolist() == [22.0, 23.0, 0.0]
