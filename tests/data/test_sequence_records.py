"""Irregular records: one measurement per row."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.errors import DataError, OptionError

COLUMNS = SequenceColumns(id="id", time="t", variable="what", value="x")
ROWS = [("p", "00:07", "HR", 73), ("p", "00:00", "Age", 54), ("p", "00:07", "Temp", 35.5), ("q", "01:30", "HR", 60), ("p", "10:37", "HR", 77)]


def table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "t", "what", "x"])


def test_a_step_for_each_time() -> None:
    found = read_sequences(table(ROWS), COLUMNS)
    nan = np.nan
    assert (found.names, found.ids, found.findings) == (("Age", "HR", "Temp"), ("p", "q"), ())
    np.testing.assert_array_equal(found.values[0], np.array([[54, nan, nan], [nan, 73, 35.5], [nan, 77, nan]], np.float32))
    np.testing.assert_array_equal(found.values[1], np.array([[nan, 60, nan]], np.float32))
    assert found.times is not None
    np.testing.assert_allclose(found.times[0], [0, 7 / 60, 10 + 37 / 60], rtol=1e-15)
    assert found.times[1].tolist() == [1.5]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1", "2.5", "10"], [1, 2.5, 10]),
        ([1.0, 2.5, 10.0], [1, 2.5, 10]),
        (["100:00", "100:30", "101:00"], [100, 100.5, 101]),
        (["00:00:36", "00:01:12.0", "01:00:00"], [0.01, 0.02, 1]),
    ],
)
def test_times_are_numbers_or_clocks(times: list[Any], expected: list[float]) -> None:
    found = read_sequences(table([("p", time, "HR", 1) for time in times]), COLUMNS)
    assert found.times is not None
    np.testing.assert_allclose(found.times[0], expected, rtol=1e-14)


def test_dates_are_hours() -> None:
    found = read_sequences(table([("p", time, "HR", 1) for time in ("2024-01-01 00:00", "2024-01-01 06:30", "2024-01-02 00:00")]), COLUMNS)
    assert found.times is not None
    assert np.diff(found.times[0]).tolist() == [6.5, 17.5]


def test_several_values_at_one_time() -> None:
    rows = [*ROWS, ("p", "00:07", "HR", 79), ("p", "00:07", "HR", None)]
    last = read_sequences(table(rows), COLUMNS)
    assert last.values[0][1].tolist() == [pytest.approx(np.nan, nan_ok=True), 79, 35.5]
    assert last.findings == ("1 of 6 values stand at a time that has one already: the last counts", "1 of 7 rows hold no value")
    mean = read_sequences(table(rows), COLUMNS, at_one_time="mean")
    assert mean.values[0][1, 1] == 76
    assert "their mean counts" in mean.findings[0]


def test_labels_in_the_rows() -> None:
    columns = SequenceColumns("id", "t", "dead", (), "what", "x")
    found = read_sequences(table(ROWS).assign(dead=[0, 0, 0, 1, 0]), columns).labels
    assert found is not None
    assert (found.names, found.values.tolist()) == (("0", "1"), [0, 1])
    with pytest.raises(DataError, match="row 3, column 'dead': must be the same in every row of a sequence"):
        read_sequences(table(ROWS).assign(dead=[0, 0, 1, 1, 0]), columns)


def test_chosen_variables_and_sequences_without_one() -> None:
    found = read_sequences(
        table([*ROWS, ("r", "05:00", "Age", 1), ("r", "04:00", "Age", 1)]), SequenceColumns("id", "t", None, ("Temp", "HR"), "what", "x")
    )
    assert found.names == ("Temp", "HR")
    assert found.lengths.tolist() == [2, 1, 1]
    assert np.isnan(found.values[2]).all()
    assert found.times is not None
    assert found.times[2].tolist() == [4]
    assert found.findings == ("variables left out: 'Age'", "nothing was measured in 1 of 3 sequences: 'r'")


def test_other_records_have_the_variables_learnt() -> None:
    like = read_sequences(table(ROWS), COLUMNS)
    found = read_sequences(table([("z", "1", "HR", 5)]), COLUMNS, like=like)
    assert found.names == ("Age", "HR", "Temp")
    np.testing.assert_array_equal(found.values[0], np.array([[np.nan, 5, np.nan]]))
    with pytest.raises(DataError, match="channels must be those learnt, 'Age', 'HR', 'Temp', got also 'pH'"):
        read_sequences(table([("z", "1", "pH", 5)]), COLUMNS, like=like)


REFUSED = {
    "value": ([*ROWS, ("p", "11:00", "HR", "high")], "row 6, column 'x': must be a number, got 'high'"),
    "infinite": ([*ROWS, ("p", "11:00", "HR", np.inf)], "row 6, column 'x': must be finite, got inf"),
    "no variable": ([*ROWS, ("p", "11:00", None, 1)], "row 6, column 'what': must be the name of what was measured, got nothing"),
    "no id": ([*ROWS, (None, "11:00", "HR", 1)], "row 6, column 'id': must be the id of a sequence, got nothing"),
    "no time": ([*ROWS, ("p", None, "HR", 1)], "row 6, column 't': must be a time, got nothing"),
    "no clock": ([*ROWS, ("p", "11:60", "HR", 1)], "column 't': must be a date or a whole number"),
}


@pytest.mark.parametrize(("rows", "message"), REFUSED.values(), ids=list(REFUSED))
def test_bad_records_are_refused(rows: list[tuple[Any, ...]], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_sequences(table(rows), COLUMNS)
    assert message in str(caught.value)


def test_labels_of_another_table_are_asked_for() -> None:
    table = pd.DataFrame([("p", 0, "HR", 60)], columns=["id", "time", "what", "value"])
    with pytest.raises(DataError) as caught:
        read_sequences(table, SequenceColumns("id", "time", "died", variable="what", value="value"))
    assert str(caught.value) == (
        "the table: column 'died' of labels must be there, got 'id', 'time', 'what', 'value'; name another, or give labels= a table of id and label."
    )


def test_missing_roles_are_refused() -> None:
    with pytest.raises(OptionError, match="id, time, variable and value must all be named"):
        SequenceColumns(id="id", variable="what", value="x")
    with pytest.raises(DataError, match="column 'what': channel 'pH' must be there, got 'Age', 'HR', 'Temp'"):
        read_sequences(table(ROWS), SequenceColumns("id", "t", None, ("pH",), "what", "x"))


def test_archive_of_one_file_per_stay(tmp_path: Path) -> None:
    """PhysioNet's challenge of 2012: a zip of texts, −1 for what is missing, and a table of outcomes."""
    stays = {
        "132539": "00:00,RecordID,132539\n00:00,Age,54\n00:00,Height,-1\n00:07,HR,73\n00:07,Temp,35.1\n00:37,HR,77\n",
        "132540": "00:00,RecordID,132540\n00:00,Age,76\n00:00,Height,175.3\n00:42,HR,88\n47:10,HR,90\n47:10,HR,91\n",
        "140501": "00:00,RecordID,140501\n00:00,Age,68\n00:00,Height,-1\n",
    }
    with ZipFile(tmp_path / "set-a.zip", "w") as archive:
        for stay, text in stays.items():
            archive.writestr(f"set-a/{stay}.txt", "Time,Parameter,Value\n" + text)
    outcomes = tmp_path / "outcomes.csv.gz"
    outcomes.write_bytes(gzip.compress(b"RecordID,SOFA,In-hospital_death\n132539,1,0\n132540,8,1\n140501,11,0\n140502,3,1\n"))

    with ZipFile(tmp_path / "set-a.zip") as archive:
        texts = {Path(name).stem: archive.read(name).decode() for name in archive.namelist() if name.endswith(".txt")}
    rows = [[stay, *line.split(",")] for stay, text in texts.items() for line in text.splitlines()[1:]]
    columns = SequenceColumns("RecordID", "Time", "In-hospital_death", ("HR", "Height", "Temp"), "Parameter", "Value")
    found = read_sequences(pd.DataFrame(rows, columns=["RecordID", "Time", "Parameter", "Value"]), columns, labels=outcomes, absent={"Height": -1})

    nan = np.nan
    assert found.ids == ("132539", "132540", "140501")
    np.testing.assert_array_equal(found.values[0], np.array([[73, nan, 35.1], [77, nan, nan]], np.float32))
    np.testing.assert_array_equal(found.values[1], np.array([[nan, 175.3, nan], [88, nan, nan], [91, nan, nan]], np.float32))
    np.testing.assert_array_equal(found.values[2], np.full((1, 3), nan, np.float32))
    assert found.labels is not None
    assert (found.labels.names, found.labels.values.tolist()) == (("0", "1"), [0, 1, 0])
    assert found.findings == (
        "variables left out: 'Age', 'RecordID'",
        "1 of 7 values stand at a time that has one already: the last counts",
        "2 of 15 rows hold no value",
        f"{outcomes}: 1 of 4 ids have no sequence: '140502'",
        "nothing was measured in 1 of 3 sequences: '140501'",
    )
