"""Tables that are refused: each error names file, row, column and value, and what to do."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
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
    "no date": (
        "ds,y\nsoon,1\n2024-01-02,2\n",
        ", row 2, column 'ds': must be a time written as in FILE, row 3, '2024-01-02', got 'soon'; write every time as",
    ),
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
        ", row 3, column 'ds': must be later than the time before it, got 2024-01-29; sort the rows by ds.",
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
    "static that varies": (
        full(s=[5, 5, 6, 7]),
        r"row 4, column 's': must be the same in every row of a series, got 7, but 6 in the mapping, row 3; give the series one",
    ),
    "static missing": (full(s=[5, None, 6, 6]), r"row 2, column 's': must be given in every row, because it is static, got nothing; fill it in"),
    "future missing": (full(f=[1, 2, None, 4]), r"row 3, column 'f': must be given in every row, because it is known ahead, got nothing"),
    "future row missing": (
        full(ds=[1, 2, 1, 5]),
        r"row 4, column 'f': must be given for every step, because it is known ahead, got no row for the 3 before it, from 2 on; add",
    ),
    "id missing": (full(id=["a", "a", None, "b"]), r"row 3, column 'id': must be the id of a series, got nothing; "),
    "number among words": (
        full(p=["sun", "1.5", "rain", "sun"]),
        r"(?s)column 'p': must be a number, got 3 of 4 rows where it is not: .* the mapping, row 2 '1\.5', .*row 1: got 'sun'",
    ),
    "decimal commas throughout": (
        full(p=["1,5", "2,5", "3,0", "4,0"]),
        r"column 'p': must be a number, got 4 of 4 rows where it is not; write it with a decimal point.*\n  the mapping, row 1: got '1,5'",
    ),
    "times that are parts": (full(ds=[1, 2.5, 1, 2]), r"row 2, column 'ds': must be a date or a whole number, got 2.5"),
    "numbers that are dates": (
        full(y=np.array(["2024-01-01"] * 4, "datetime64[D]")),
        r"'y': must be a number, got 4 of 4 .*\n  the mapping, row 1: got 2024-01-01\n",
    ),  # type: ignore[arg-type]
    "infinity": (full(y=[1.0, np.inf, 3.0, 4.0]), r"row 2, column 'y': must be finite, got inf"),
    "lengths": (full(y=[1, 2, 3]), r"columns must be of one length, got \{'id': 4, 'ds': 4, 'y': 3"),
    "same time in one series": (
        full(ds=[1, 1, 1, 2]),
        r"row 2, column 'ds': must be a time of its own, got 1 again, first in the mapping, row 1; keep",
    ),
    "mixed kinds": (full(y=[1, "abc", 3, 4]), r"row 2, column 'y': must be a number, got 'abc'"),
    "day or month first": (
        full(ds=["01/02/2024", "02/03/2024"] * 2),
        r"must be a date whose day and month can be told apart, got 4 .*\n.* got '01/02/2024'\n",
    ),
    "year too early": (
        full(ds=np.array(["1600-01-01", "2024-01-02"] * 2, "datetime64[D]")),
        r"between 1678 and 2261, got 2 of 4 rows where it is not; correct it\.\n.* got 1600-01-01\n",
    ),
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


def test_zero_bytes_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"ds,y\n1,1\n2,\x002\n")
    with pytest.raises(DataError, match=r"a\.csv, row 3: must be text in UTF-8, got a zero byte; save the file as UTF-8, without zero bytes\.$"):
        read_panel(path)


def test_defects_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ds,y\n2024-01-01,1\n" + "".join(f"2024-01-{day:02d},x{day}\n" for day in range(2, 8)) + "tomorrow,8\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_panel(path)
    lines = str(caught.value).split("\n  ")
    assert lines == [
        f"{path}: every row must be usable, got 7 defects of 2 kinds; mend these:",
        f"{path}, row 3, column 'y': must be a number, got 'x2' (in all 6 of 8 rows where it is not: other rows hold numbers, {path}, row 2 '1', "
        "so it is no column of categories); write it with a decimal point, or leave it empty if it is missing.",
        f"{path}, row 9, column 'ds': must be a time written as in {path}, row 2, '2024-01-01', got 'tomorrow'; "
        "write every time as 2024-01-31 or 2024-01-31 18:00.",
    ]
    path.write_text("ds,y\n2024-01-01,1\n" + "".join(f"2024-01-{day:02d},x{day}\n" for day in range(2, 9)), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_panel(path)
    head, *examples = str(caught.value).split("\n  ")
    assert head.startswith(f"{path}, column 'y': must be a number, got 7 of 8 rows where it is not: other rows hold numbers, {path}, row 2 '1'")
    assert examples == [*(f"{path}, row {day + 1}: got 'x{day}'" for day in range(2, 7)), "and 2 more"]


N = 100_000
HOURS = pd.date_range("2000-01-01", periods=N, freq="h")
SHUFFLED = np.random.default_rng(0).permutation(N)
ONE_OF_TEN = np.arange(N) % (N // 10)  # ten series of one length, one below the other
IDS = np.arange(N) // (N // 10)

FLOODS: dict[str, tuple[Columns, dict[str, Any], str]] = {
    "several series, one below the other": (
        Columns(),
        {"ds": HOURS[ONE_OF_TEN], "y": np.arange(N)},
        "column 'ds': must be later in each row than in the one before, got 90000 of 100000 rows where it is not: times go back at the mapping, "
        "row 10001 and repeat, 10 rows have the time 2000-01-01: the table seems to hold several series; name the column that tells them apart as id "
        "(on the command line --id).\n  the mapping, row 10001: got 2000-01-01 again, first in the mapping, row 1\n",
    ),
    "several series, by time": (
        Columns(),
        {"ds": np.sort(HOURS[ONE_OF_TEN]), "y": np.arange(N)},
        "got 90000 of 100000 rows where it is not: times repeat, 10 rows have the time 2000-01-01: the table seems to hold several series; ",
    ),
    "not sorted": (
        Columns(),
        {"ds": HOURS[SHUFFLED], "y": np.arange(N)},
        "rows where it is not: the rows are not sorted by time; sort the rows by ds.\n",
    ),
    "newest first": (
        Columns(id="id"),
        {"id": IDS, "ds": HOURS[ONE_OF_TEN][::-1], "y": np.arange(N)},
        "got 99990 of 100000 rows where it is not: the rows stand newest first; sort the rows by id and ds.\n",
    ),
    "an id that tells too little": (
        Columns(id="id"),
        {"id": IDS // 2, "ds": HOURS[ONE_OF_TEN], "y": np.arange(N)},
        "rows of one 'id' share their times; name as id a column that tells all series apart, as 'id' does not.\n",
    ),
    "rows twice": (
        Columns(),
        {"ds": HOURS[np.arange(N) % (N // 2)], "y": np.arange(N) % (N // 2)},
        "50000 rows repeat an earlier one, its target too: the table seems to hold them twice; keep each row once.\n",
    ),
    "wrong step": (Columns(), {"ds": HOURS, "y": np.arange(N)}, "must be on the calendar of step 'D', got 95833 of 100000 rows where it is not: "
                   "the times fit the step 'h'; correct the time, give another step, or keep the times as they are with step='irregular'.\n"),
    "words": (Columns(), {"ds": HOURS, "y": ["sun"] * N}, "column 'y': must be a number, got 100000 of 100000 rows where it is not; write it"),
    "static": (
        Columns(id="id", static=("s",)),
        {"id": IDS, "ds": HOURS[ONE_OF_TEN], "y": np.arange(N), "s": np.arange(N)},
        "column 's': must be the same in every row of a series, got 99990 of 100000 rows where it is not; ",
    ),
    "no times": (Columns(), {"ds": [None] * N, "y": np.arange(N)}, "column 'ds': must be a time, got 100000 of 100000 rows where it is not; give"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "table", "wanted"), FLOODS.values(), ids=list(FLOODS))
def test_many_defects_of_one_cause_are_told_once_with_examples(columns: Columns, table: dict[str, Any], wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        read_panel(table, columns, step="D" if "the step 'h'" in wanted else None)
    assert wanted in str(caught.value)
    assert len(str(caught.value).split("\n")) == 7  # the cause, five examples, how many more
    assert len(str(caught.value)) < 1000


def test_text_that_is_no_category_is_refused() -> None:
    table = {"ds": range(3000), "y": range(3000), "p": [f"note {row}" for row in range(3000)]}
    with pytest.raises(DataError, match=r"^the mapping, column 'p': must have at most 1000 categories, got 3000, such as 'note 0'; leave"):
        read_panel(table, Columns(past=("p",)))


def test_categories_in_a_message_are_not_all_told() -> None:
    panel = read_panel({"ds": range(30), "y": range(30), "p": [f"c{row:02d}" for row in range(30)]}, Columns(past=("p",)))
    with pytest.raises(DataError, match=r"must be one of the categories 'c00', .*'c19' and 10 more, got 'd'; correct it"):
        read_panel({"ds": [30, 31], "y": [1, 2], "p": ["c01", "d"]}, like=panel)


def test_times_are_read_as_most_are_written() -> None:
    times = ["01.02.2024", *(f"2024-02-{day:02d}" for day in range(2, 10))]
    with pytest.raises(
        DataError, match=r"^the mapping, row 1, column 'ds': must be a time written as in the mapping, row 2, '2024-02-02', got '01\.02"
    ):
        read_panel({"ds": times, "y": range(9)})


def test_time_off_the_calendar_is_named() -> None:
    times = [*pd.date_range("2024-01-01", periods=30, freq="h"), pd.Timestamp("2024-01-02 06:20")]
    table = {"ds": times, "y": range(31)}
    with pytest.raises(
        DataError, match=r"row 31, column 'ds': must be on the calendar of step 'h', got 2024-01-02T06:20:00; correct the time, .*step='irregular'\.$"
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


ZONED, PLAIN = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2)

TIMES: dict[str, tuple[Any, str]] = {
    "infinite": (np.array([1.0, np.inf, 3.0]), r"row 2, column 'ds': must be between -\d+ and \d+, got inf"),
    "far too large": (np.array([1.0, 2.0, 1e300]), r"row 3, column 'ds': must be between -9007199254740992 and 9007199254740992, got 1e\+300"),
    "beyond int64": (np.array([1, 2, 2**63 + 5], np.uint64), r"row 3, column 'ds': must be between .*, got 9223372036854775813"),
    "beyond Python's dates": (
        pa.array([0, 86400, 2**62], pa.timestamp("s")),
        r"row 3, column 'ds': must be a date .*, got 4611686018427387904 as timestamp",
    ),
    "unknown zone": (pa.array([0, 1, 2], pa.timestamp("s", "Foo/Bar")), r"column 'ds': must be of a time zone there is, got 'Foo/Bar'; "),
    "with and without a zone": ([PLAIN, ZONED, None], r"row 2, column 'ds': must be a time written as in .* got '2024-01-01 00:00:00\+00:00'"),
    "dates and times": ([PLAIN.date(), ZONED, None], r"row 2, column 'ds': must be a time written as in .* got '2024-01-01 00:00:00\+00:00'"),
    "one number": (5, r"column 'ds': must be values in one dimension, got int; give one value per row"),
    "two dimensions": (np.zeros((3, 2)), r"column 'ds': must be values in one dimension, got ndarray; "),
}


@pytest.mark.parametrize(("times", "wanted"), TIMES.values(), ids=list(TIMES))
def test_times_are_refused(times: Any, wanted: str) -> None:
    with pytest.raises(DataError, match=wanted):
        read_panel({"ds": times, "y": [1, 2, 3]})


def test_whole_numbers_are_kept_in_full() -> None:
    times = 1_700_000_000_000_000_001 + 10**9 * np.arange(3)
    np.testing.assert_array_equal(read_panel({"ds": times, "y": [1, 2, 3]}).series[0].times, times)


def test_many_and_long_names_of_columns_are_shown_in_part() -> None:
    with pytest.raises(DataError) as caught:
        read_panel({"z" * 1000: [1], **{f"column {number}": [1] for number in range(50)}})
    assert f"got '{'z' * 40}' and 960 characters more, 'column 0', " in str(caught.value)
    assert ", 'column 18' and 31 more; name the columns" in str(caught.value)


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(DataError, match=r"row 2, column 'y': must be a number, got 'z{40}' and 9960 characters more; write"):
        read_panel({"ds": [1, 2], "y": ["1", "z" * 10_000]})


def test_files_of_a_folder_must_be_alike(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"ds": [1, 2], "y": [1.0, 2.0]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"ds": [3, 4], "z": [3.0, 4.0]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: column 'y' must be there, got 'ds', 'z'"):
        read_panel(tmp_path)
    parquet.write_table(pa.table({"ds": [3, 4], "y": ["3", "4"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"must hold files whose columns are of one type, got others \(.*y has incompatible types"):
        read_panel(tmp_path)


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_damaged_parquet_file_is_refused(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"ds": range(100), "y": ["1.5"] * 100}), path, compression=compression, use_dictionary=False)
    data = path.read_bytes()
    at = data.index(b"1.5")
    path.write_bytes(data[:at] + b"\xff" * 40 + data[at + 40 :])
    with pytest.raises(DataError, match=r"a\.parquet: must be Parquet that can be read, got a fault \("):
        read_panel(path)


def test_row_of_a_folder_names_its_file(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"ds": [1, 2], "y": [1.0, 2.0]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"ds": [3, 4], "y": [3.0, float("inf")]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet, row 2, column 'y': must be finite, got inf"):
        read_panel(tmp_path)
