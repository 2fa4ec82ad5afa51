"""What is noticed in a table, the worst first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.data import Columns, read_panel
from grus.data.splitting import split
from grus.data.streaming import OnePart
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from grus.tasks.noticed import noticed
from grus.tasks.run_data import parts_of_run


def table(steps: int = 40) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps, freq="h"), "y": np.arange(steps) % 7 + 1.0})


def parts_of(frame: pd.DataFrame, columns: Columns | None = None) -> OnePart:
    return OnePart(split(read_panel(frame, columns), 0.1, 0.1, at_least=8, short="drop"))


def test_worst_comes_first() -> None:
    frame = table().drop(index=[5, 6]).assign(id="a", c=2.0)
    frame.loc[10:19, "y"] = np.nan
    found = noticed(parts_of(pd.concat([frame, table(9).assign(id="b", c=2.0)]), Columns("id", past=("c",))))
    assert [finding.partition(":")[0] for finding in found] == [
        "dropped",
        "missing targets",
        "gaps",
        "constant past covariate 'c'",
    ]
    assert noticed(parts_of(table())) == ()


def test_cause_is_guessed_where_more_than_half_is_missing() -> None:
    frame = table(80).assign(wind=["N", "E", "S", "W"] * 20)
    assert noticed(parts_of(frame.drop(index=frame.index[1::4]))) == ("gaps: 20 of 80 steps had no row",)
    turned = frame.assign(wind=np.random.default_rng(0).permutation(frame["wind"]))
    (found,) = noticed(parts_of(turned, Columns("wind")))
    assert found.endswith(", more than half: 'wind' may not be the column that tells series apart (--id), or the step may not be h (--set data.step)")
    frame.loc[:50, "y"] = np.nan
    assert noticed(parts_of(frame)) == ("missing targets: 51 of 80 rows, more than half: 'y' may not be the column to forecast (--target)",)


@pytest.mark.usefixtures("elsewhere")
def test_first_part_stands_for_a_table_in_parts() -> None:
    frame = pd.concat([table().drop(index=[5]).assign(id="a"), table().assign(id="b")])
    frame.to_parquet("two.parquet")
    given = ForecastData(horizon=2, path=Path("two.parquet"), id="id", ids_per_part=1)
    assert noticed(parts_of_run(ForecastConfig(data=given))) == ("part 1 of 2: gaps: 1 of 40 steps had no row",)
