"""Tables that are refused: each error names file, row, column and value, and what to do."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from grus.data import Columns, read_panel
from grus.errors import DataError, OptionError

FULL = Columns(id="id", past=("p",), future=("f",), static=("s",))

FILES: dict[str, tuple[str, str]] = {
    "empty": ("", ": must hold a row of column names and rows of values, got an empty file; "),
    "header only": ("ds,y\n", ": must hold rows, got none; "),
    "one row": ("ds,y\n2024-01-01,1\n", ": must hold at least two rows, got one; "),
    "missing column": ("ds,yy\n1,1\n2,2\n", ": column 'y' must be there, got 'ds', 'yy'; perhaps 'yy' was meant."),
    "other case": ("DS,y\n1,1\n2,2\n", ": column 'ds' must be there, got 'DS', 'y'; perhaps 'DS' was meant."),
    "semicolons": ("ds;y\n1;1\n", ": column 'ds' must be there, got 'ds;y'; its values seem to be separated by semicolons, write commas."),
    "column twice": ("ds,y,y\n1,1,1\n2,2,2\n", ": column 'y' must be there once, got it 2 times; "),
    "ragged": ("ds,y\n1,1\n2,2,2\n3,3\n", ", row 3: must be 2 values, one for each column, got 3; "),
    "too few": ("ds,y\n\n1,1\n2\n3,3\n", ", row 4: must be 2 values, one for each column, got 1; "),
    "decimal comma": ('ds,y\n1,1\n2,"1,5"\n', ", row 3, column 'y': must be a number, got '1,5'; write it with a decimal point"),
    "text": ("ds,y\n1,1\n\n2,abc\n", ", row 4, column 'y': must be a number, got 'abc'; "),
    "row after a line break in quotes": ('ds,y,note\n1,1,"a\nb"\n2,abc,c\n', ", row 4, column 'y': must be a number, got 'abc'; "),
    "infinity": ("ds,y\n1,1\n2,-inf\n", ", row 3, column 'y': must be finite, got '-inf'; "),
    "too large": ("ds,y\n1,1\n2,1e400\n", ", row 3, column 'y': must be finite, got '1e400'; "),
    "no date": ("ds,y\nsoon,1\n2024-01-02,2\n", ", row 2, column 'ds': must be a date or a whole number, got 'soon'; write every time as 2024-01-31"),
    "day that is not": (
        "ds,y\n2023-02-28,1\n2023-02-29,2\n",
        ", row 3, column 'ds': must be a date there is, between 1678 and 2261, got '2023-02-29'; ",
    ),
    "mixed dates": (
        "ds,y\n2024-01-30,1\n31.01.2024,2\n",
        ", row 3, column 'ds': must be a time written as in FILE, row 2, '2024-01-30', got '31.01.2024'; write every time as",
    ),
    "mixed clocks": ("ds,y\n2024-01-30,1\n2024-01-31 00:00,2\n", "must be a time written as in FILE, row 2, '2024-01-30', got '2024-01-31 00:00'; "),
    "missing time": ("ds,y\n2024-01-30,1\n,2\n", ", row 3, column 'ds': must be a time, got nothing; give every row its time."),
    "times twice": (
        "ds,y\n2024-01-30,1\n2024-01-30,2\n",
        ", row 3, column 'ds': must be a time of its own, got 2024-01-30 again, first in FILE, row 2; keep one",
    ),
    "unsorted": (
        "ds,y\n2024-01-30,1\n2024-01-29,2\n",
        ", row 3, column 'ds': must be later than the time before it, got 2024-01-29; sort the rows by time.",
    ),
    "no target": ("ds,y\n1,NA\n2,\n", ", column 'y': the target of series 'series' must have a number, got 2 missing values; "),
}


@pytest.mark.parametrize(("text", "wanted"), FILES.values(), ids=list(FILES))
def test_csv_is_refused(text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_panel(path)
    assert str(caught.value).startswith(str(path))
    assert wanted.replace("FILE", str(path)) in str(caught.value)
    assert str(caught.value).endswith(".")


def full(**changed: list[Any]) -> dict[str, Any]:
    table: dict[str, Any] = {
        "id": ["a", "a", "b", "b"],
        "ds": [1, 2, 1, 2],
        "y": [1, 2, 3, 4],
        "p": [1, 2, 3, 4],
        "f": [1, 2, 3, 4],
        "s": [5, 5, 6, 6],
    }
    return table | changed


TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "static that varies": (full(s=[5, 5, 6, 7]), r"row 4, column 's': must be 6 as in the mapping, row 3, got 7; give the series one value"),
    "static missing": (full(s=[5, None, 6, 6]), r"row 2, column 's': must be given in every row, because it is static, got nothing; fill it in"),
    "future missing": (full(f=[1, 2, None, 4]), r"row 3, column 'f': must be given in every row, because it is known ahead, got nothing"),
    "future row missing": (
        full(ds=[1, 2, 1, 5]),
        r"row 4, column 'f': must be given for every step, because it is known ahead, got no row for the 3 before it, from 2 on; add",
    ),
    "id missing": (full(id=["a", "a", None, "b"]), r"row 3, column 'id': must be the id of a series, got nothing; "),
    "number among words": (full(p=["sun", "1.5", "rain", "sun"]), r"(?s)got 3 defects.*row 1, column 'p': must be a number, got 'sun'"),
    "decimal commas throughout": (full(p=["1,5", "2,5", "3,0", "4,0"]), r"row 1, column 'p': must be a number, got '1,5'"),
    "times that are parts": (full(ds=[1, 2.5, 1, 2]), r"row 2, column 'ds': must be a date or a whole number, got 2.5"),
    "numbers that are dates": (full(y=np.array(["2024-01-01"] * 4, "datetime64[D]")), r"row 1, column 'y': must be a number, got 2024-01-01"),  # type: ignore[arg-type]
    "infinity": (full(y=[1.0, np.inf, 3.0, 4.0]), r"row 2, column 'y': must be finite, got inf"),
    "lengths": (full(y=[1, 2, 3]), r"columns must be of one length, got \{'id': 4, 'ds': 4, 'y': 3"),
    "same time in one series": (
        full(ds=[1, 1, 1, 2]),
        r"row 2, column 'ds': must be a time of its own, got 1 again, first in the mapping, row 1; keep",
    ),
    "mixed kinds": (full(y=[1, "abc", 3, 4]), r"row 2, column 'y': must be a number, got 'abc'"),
    "day or month first": (full(ds=["01/02/2024", "02/03/2024"] * 2), r"must be a date whose day and month can be told apart, got '01/02/2024'"),
    "year too early": (full(ds=np.array(["1600-01-01", "2024-01-02"] * 2, "datetime64[D]")), r"between 1678 and 2261, got 1600-01-01"),
}


@pytest.mark.parametrize(("table", "wanted"), TABLES.values(), ids=list(TABLES))
def test_table_is_refused(table: dict[str, Any], wanted: str) -> None:
    with pytest.raises(DataError, match=wanted):
        read_panel(table, FULL)


def test_wrong_encoding_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("ds,y\n1,1\n2,ü\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.csv, row 3: must be UTF-8, got byte 0xfc at position 11; save the file as UTF-8\.$"):
        read_panel(path)


def test_defects_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ds,y\n2024-01-01,1\n" + "".join(f"2024-01-{day:02d},x{day}\n" for day in range(2, 8)) + "tomorrow,8\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_panel(path)
    lines = str(caught.value).split("\n  ")
    assert lines[0] == f"{path}: every row must be usable, got 7 defects; mend these and 2 more:"
    assert [re.findall(r"row (\d+), column 'y'.*got '(x\d)'", line) for line in lines[1:]] == [[(str(day + 1), f"x{day}")] for day in range(2, 7)]


def test_time_off_the_calendar_is_named() -> None:
    times = [*pd.date_range("2024-01-01", periods=30, freq="h"), pd.Timestamp("2024-01-02 06:20")]
    table = {"ds": times, "y": range(31)}
    with pytest.raises(
        DataError, match=r"row 31, column 'ds': must be on the calendar of step 'h', got 2024-01-02T06:20:00; correct the time, .*allow_irregular"
    ):
        read_panel(table)
    assert read_panel(table, allow_irregular=True).step.name == "irregular"
    with pytest.raises(DataError, match="row 2, column 'ds': must be on the calendar of step '2h'"):
        read_panel({"ds": times[:2] + times[4:6:2], "y": range(3)}, step="2h")


def test_hour_that_repeats_in_autumn_is_told() -> None:
    local = pd.date_range("2024-10-26 22:00", periods=4, freq="h", tz="UTC").tz_convert("Europe/Berlin").tz_localize(None)
    with pytest.raises(
        DataError, match=r"row 4, .*got 2024-10-27T02:00:00 again, first in the mapping, row 3; .*summer time ends needs times in UTC"
    ):
        read_panel({"ds": local, "y": range(4)})


def test_step_must_suit_the_times() -> None:
    with pytest.raises(DataError, match=r"column 'ds': times must suit the step '1', got dates"):
        read_panel({"ds": ["2024-01-01", "2024-01-02"], "y": [1, 2]}, step="1")
    with pytest.raises(DataError, match=r"times must suit the step 'D', got whole numbers"):
        read_panel([1.0, 2.0], step="D")
    with pytest.raises(DataError, match=r"step must suit the times of series 'series', got 's', that is 86401 steps of 2 rows"):
        read_panel({"ds": ["2024-01-01", "2024-01-02"], "y": [1, 2]}, step="s")
    with pytest.raises(OptionError, match="name must be a pandas offset alias"):
        read_panel([1.0, 2.0], step="often")
    with pytest.raises(DataError, match="a series must have two times for the step to be found"):
        read_panel({"id": ["a", "b"], "ds": [1, 1], "y": [1, 2]}, Columns(id="id"))


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    (tmp_path / "a.csv.gz").write_bytes(b"ds,y\n1,2\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"ds,y\n1,2\n")[:-6])
    (tmp_path / "a.parquet").write_bytes(b"ds,y\n1,2\n")
    (tmp_path / "empty").mkdir()
    for name, error, wanted in (
        ("a.xlsx", OptionError, r"source must end in \.csv, .*got .*a\.xlsx"),
        ("a.csv.gz", DataError, "must be compressed by gzip"),
        ("b.csv.gz", DataError, "must be compressed by gzip"),
        ("a.parquet", DataError, "must be Parquet, got another content"),
        ("empty", DataError, "must hold Parquet files, got none"),
        ("none.csv", FileNotFoundError, "none.csv"),
        ("none.parquet", FileNotFoundError, "none.parquet"),
    ):
        with pytest.raises(error, match=wanted):
            read_panel(tmp_path / name)
    for source in (None, 3.0, object()):
        with pytest.raises(OptionError, match="read_panel: source must be a path"):
            read_panel(source)
    with pytest.raises(DataError, match=r"must have one dimension, got shape \[2, 2\]"):
        read_panel(np.zeros((2, 2)))


def test_row_of_a_folder_names_its_file(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"ds": [1, 2], "y": [1.0, 2.0]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"ds": [3, 4], "y": [3.0, float("inf")]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet, row 2, column 'y': must be finite, got inf"):
        read_panel(tmp_path)
