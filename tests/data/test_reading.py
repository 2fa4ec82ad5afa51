"""Panels from every kind of source, with the same values whichever it is; what is noticed in them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from grus.data import Columns, Panel, open_panels, read_panel
from grus.errors import DataError, OptionError

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
TEXT = "ds,y\n2024-01-01,1\n2024-01-02,2.5\n2024-01-03,NA\n2024-01-04,4\n"
FRAME = pd.DataFrame({"ds": pd.to_datetime(DAYS), "y": [1.0, 2.5, None, 4.0]})
NAMED = Columns(id="id", past=("p",), future=("f",), static=("s",))


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    parquet.write_table(pa.table(FRAME.iloc[:2]), path / "a.parquet")
    parquet.write_table(pa.table(FRAME.iloc[2:]), path / "b.parquet")
    return path


def zipped(path: Path) -> Path:
    path.write_bytes(gzip.compress(TEXT.encode()))
    return path


def one_file(path: Path) -> Path:
    parquet.write_table(pa.table(FRAME), path)
    return path


SOURCES = {
    "csv": lambda tmp: write(tmp / "a.csv", TEXT),
    "csv as str": lambda tmp: str(write(tmp / "a.csv", TEXT)),
    "csv of Windows": lambda tmp: write(tmp / "a.csv", TEXT.replace("\n", "\r\n"), "utf-8-sig"),
    "csv with blank lines and quotes": lambda tmp: write(tmp / "a.csv", TEXT.replace("2024-01-02,2.5", '\n"2024-01-02"," 2.5 "') + "\n\n"),
    "csv.gz": lambda tmp: zipped(tmp / "a.csv.gz"),
    "tsv": lambda tmp: write(tmp / "a.tsv", TEXT.replace(",", "\t")),
    "parquet": lambda tmp: one_file(tmp / "a.parquet"),
    "folder": lambda tmp: folder(tmp / "parts"),
    "pandas": lambda tmp: FRAME,
    "pandas with text": lambda tmp: pd.DataFrame({"ds": DAYS, "y": ["1", "2.5", None, "4"]}),
    "pandas by index": lambda tmp: FRAME.set_index("ds"),
    "pandas by nameless index": lambda tmp: FRAME.set_index("ds").rename_axis(None),
    "pandas series": lambda tmp: FRAME.set_index("ds")["y"],
    "pandas periods": lambda tmp: FRAME.set_index(pd.PeriodIndex(DAYS, freq="D"))["y"],
    "polars": lambda tmp: pl.from_pandas(FRAME),
    "polars with text": lambda tmp: pl.DataFrame({"ds": DAYS, "y": ["1", "2.5", "nan", "4"]}),
    "pyarrow": lambda tmp: pa.table(FRAME),
    "mapping": lambda tmp: {"ds": np.array(DAYS, "datetime64[D]"), "y": [1, 2.5, None, 4]},
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_every_source_gives_the_same_panel(source: Any, tmp_path: Path) -> None:
    panel = read_panel(source(tmp_path))
    assert (panel.step.name, len(panel), panel.findings) == ("D", 1, ("missing targets: 1 of 4 rows",))
    np.testing.assert_array_equal(panel.series[0].times, FRAME["ds"].to_numpy())
    assert panel.series[0].times.dtype == "datetime64[ns]"
    np.testing.assert_array_equal(panel.series[0].target, [1.0, 2.5, np.nan, 4.0])


@pytest.mark.parametrize("values", [np.array([3, 1, 2], np.int8), [3.0, 1.0, 2.0], (3, 1, 2), pd.Series([3.0, 1.0, 2.0])])
def test_array_has_the_times_from_zero(values: Any) -> None:
    panel = read_panel(values)
    assert (panel.step.name, panel.series[0].times.tolist(), panel.series[0].target.tolist()) == ("1", [0, 1, 2], [3.0, 1.0, 2.0])


@pytest.mark.parametrize("marker", ["", "NA", "NaN", "nan", "null", "None", " "])
def test_missing_markers(marker: str, tmp_path: Path) -> None:
    panel = read_panel(write(tmp_path / "a.csv", f"ds,y\n1,5\n2,{marker}\n3,7\n"))
    np.testing.assert_array_equal(panel.series[0].target, [5.0, np.nan, 7.0])


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["2024-01", "2024-02"], "2024-02-01"),
        (["2024/1/30", "2024/1/31"], "2024-01-31"),
        (["30.1.2024", "31.1.2024"], "2024-01-31"),
        (["30/01/2024", "31/01/2024"], "2024-01-31"),
        (["01/30/2024 06:00", "01/31/2024 06:00"], "2024-01-31T06:00"),
        (["20240130", "20240131"], "2024-01-31"),
        (["202312", "202401"], "2024-01-01"),
        (["2024-01-30T00:00:00.000", "2024-01-30T00:00:00.001"], "2024-01-30T00:00:00.001"),
        (["2024-01-30T22:00+01:00", "2024-01-30T23:00+01:00"], "2024-01-30T22:00"),
        (["2024-03-31 01:00:00+0100", "2024-03-31 03:00:00+0200"], "2024-03-31T01:00"),
        (["2024-01-30T22:00:00Z", "2024-01-30T23:00:00Z"], "2024-01-30T23:00"),
    ],
)
def test_ways_to_write_times(texts: list[str], wanted: str) -> None:
    assert read_panel({"ds": texts, "y": [1, 2]}).series[0].times[1] == np.datetime64(wanted)


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ns"])
def test_times_of_every_unit_of_numpy(unit: str) -> None:
    times = np.arange(30, 33).astype(f"datetime64[{unit}]")
    np.testing.assert_array_equal(read_panel({"ds": times, "y": [1, 2, 3]}).series[0].times, times)


def test_what_the_reading_of_times_assumed_is_said() -> None:
    assert read_panel({"ds": ["30/01/2024", "31/01/2024"], "y": [1, 2]}).findings == ("column 'ds' is read as %d/%m/%Y",)
    assert "year, month and day" in read_panel({"ds": [20240130, 20240131], "y": [1, 2]}).findings[0]
    for months in ([202311, 202312, 202401], ["202311", "202312", "202401"], [202311.0, 202312.0, 202401.0]):
        panel = read_panel({"ds": months, "y": [1, 2, 3]})
        assert panel.findings == ("column 'ds' is read as dates: its numbers are year and month",)
        assert (panel.step.name, panel.series[0].target.tolist()) == ("MS", [1.0, 2.0, 3.0])
    assert read_panel({"ds": [202312, 202313, 202314], "y": [1, 2, 3]}).series[0].times.tolist() == [202312, 202313, 202314]
    summer = pd.date_range("2024-03-30 12:00", periods=24, freq="h", tz="Europe/Berlin")
    panel = read_panel(pd.Series(np.arange(24.0), summer))
    assert panel.findings == ("column 'ds' is converted from Europe/Berlin to UTC",)
    assert (panel.step.name, panel.series[0].times[0], len(panel.series[0])) == ("h", np.datetime64("2024-03-30T11:00"), 24)


def test_missing_rows_are_inserted() -> None:
    columns = Columns(past=("p",))
    panel = read_panel({"ds": ["2024-01-01", "2024-02-01", "2024-05-01"], "y": [1, 2, 5], "p": [1, 2, 3]}, columns)
    assert panel.step.name == "MS"
    np.testing.assert_array_equal(panel.series[0].target, [1, 2, np.nan, np.nan, 5])
    np.testing.assert_array_equal(panel.series[0].past[:, 0], [1, 2, np.nan, np.nan, 3])
    assert panel.findings == ("gaps: 2 of 5 steps had no row",)


def test_irregular_times_are_kept_where_allowed() -> None:
    table: dict[str, Any] = {"ds": ["2024-01-01", "2024-01-02", "2024-01-02 07:13", "2024-01-09"], "y": [1, 2, 3, 4]}
    table["ds"] = pd.to_datetime(pd.Series(table["ds"]), format="mixed")
    panel = read_panel(table, allow_irregular=True, step="irregular")
    assert (panel.step.name, len(panel.series[0])) == ("irregular", 4)
    assert read_panel({"ds": ["2024-01-01", "2024-01-02"], "y": [1, 2]}, allow_irregular=True).step.name == "D"


def test_findings_name_what_is_odd() -> None:
    lengths = {"a": 20, "b": 20, "c": 2}
    table: dict[str, Any] = {"id": [name for name, length in lengths.items() for _ in range(length)], "ds": [*range(20), *range(20), 0, 1]}
    table |= {"y": [*range(20), *[7] * 20, 1, 2], "p": [0] * 42}
    assert read_panel(table, Columns(id="id", past=("p",))).findings == (
        "1 of 3 series with a constant target: 'b'",
        "constant past covariate 'p'",
        "1 of 3 series much shorter than the usual 20 steps: 'c'",
    )


def table_of(ids: str, weather: list[str], start: int = 0) -> dict[str, Any]:
    count = len(weather)
    columns: dict[str, list[Any]] = {"id": [], "ds": [], "y": [], "p": [], "f": [], "s": []}
    for number, name in enumerate(ids):
        values = ([name] * count, range(start, start + count), range(count), range(count), weather, [f"city{number % 2}"] * count)
        for column, more in zip(columns.values(), values, strict=True):
            column.extend(more)
    return columns


def test_interleaved_series_come_in_the_order_of_their_first_rows() -> None:
    panel = read_panel({"id": ["b", "a", "b", "a"], "ds": [5, 1, 6, 2], "y": [50, 10, 60, 20]}, Columns(id="id"))
    assert [(series.id, series.times.tolist(), series.target.tolist()) for series in panel] == [("b", [5, 6], [50, 60]), ("a", [1, 2], [10, 20])]


def test_id_may_be_the_text_of_a_missing_number() -> None:
    assert [series.id for series in read_panel({"id": ["NA", "NA"], "ds": [1, 2], "y": [1, 2]}, Columns(id="id"))] == ["NA"]


def test_like_keeps_columns_step_and_categories() -> None:
    panel = read_panel(table_of("ab", ["sun", "rain", "snow"]), NAMED)
    later = read_panel(table_of("a", ["sun", "sun"], 3), like=panel)
    assert (later.columns, later.step, later.future_names) == (panel.columns, panel.step, ("f=rain", "f=snow", "f=sun"))
    np.testing.assert_array_equal(later.series[0].future, [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(later.series[0].static, [1, 0])
    with pytest.raises(DataError, match=r"row 2, column 'f': must be one of the categories 'rain', 'snow', 'sun', got 'hail'; "):
        read_panel(table_of("a", ["sun", "hail"], 3), like=panel)
    with pytest.raises(OptionError, match="columns must be those of like"):
        read_panel(table_of("a", ["sun", "sun"]), Columns(), like=panel)
    with pytest.raises(OptionError, match="step must be that of like, '1', got '2'"):
        read_panel(table_of("a", ["sun", "sun"]), like=panel, step="2")


def test_ahead_reads_only_what_is_known_ahead() -> None:
    panel = read_panel(table_of("ab", ["sun", "rain", "snow"]), NAMED)
    future = read_panel({"id": ["b"], "ds": [3], "f": ["rain"]}, like=panel, ahead=True)
    series = future.series[0]
    assert (future.step, future.past_names, future.static_names, future.categories) == (
        panel.step,
        panel.past_names,
        panel.static_names,
        panel.categories,
    )
    assert (series.times.tolist(), series.future.tolist(), series.static.tolist()) == ([3], [[1, 0, 0]], [0, 1])
    assert np.isnan(series.target).all()
    assert np.isnan(series.past).all()
    assert series.past.shape == (1, 1)
    with pytest.raises(DataError, match="series must be those of the earlier panel, got 'z'"):
        read_panel({"id": ["z"], "ds": [3], "f": ["rain"]}, like=panel, ahead=True)
    with pytest.raises(OptionError, match="like must be a panel with ahead=True"):
        read_panel({"ds": [3]}, ahead=True)


@pytest.mark.parametrize("ids_per_part", [1, 2, 3, 100])
def test_parts_of_a_dataset_are_the_series_of_the_whole(ids_per_part: int, tmp_path: Path) -> None:
    table = pa.table(table_of("abcde", ["sun", "rain", "snow"]))
    for number in range(3):
        parquet.write_table(table.slice(number * 5, 5), tmp_path / f"{number}.parquet")
    parts = list(open_panels(tmp_path, NAMED, ids_per_part=ids_per_part))
    whole = read_panel(table, NAMED)
    assert [len(part) for part in parts] == [min(ids_per_part, 5 - start) for start in range(0, 5, ids_per_part)]
    assert {part.static_names for part in parts} == {whole.static_names}
    for ours, theirs in zip((series for part in parts for series in part), whole, strict=True):
        assert ours.id == theirs.id
        for name in ("times", "target", "past", "future", "static"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_parts_need_an_id_column_and_parquet(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"columns\.id must name the column"):
        open_panels(tmp_path, Columns())
    with pytest.raises(OptionError, match="ids_per_part must be at least 1, got 0"):
        open_panels(tmp_path, NAMED, ids_per_part=0)
    with pytest.raises(DataError, match="must hold Parquet files, got none"):
        open_panels(tmp_path, NAMED)
    parquet.write_table(pa.table(table_of("a", ["sun", "rain"])), tmp_path / "a.parquet")
    parquet.write_table(pa.table(table_of("a", ["sun", "rain"]) | {"id": ["a", None]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="column 'id': must be the id of a series in every row, got nothing"):
        next(open_panels(tmp_path, NAMED))
    with pytest.raises(DataError, match="column 'q' must be there"):
        open_panels(tmp_path, Columns(id="id", past=("q",)))


def test_files_of_a_folder_may_differ_in_the_kind_of_number(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"ds": [1, 2], "y": [1, 2]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"ds": [3, 4], "y": [1.5, None]}), tmp_path / "b.parquet")
    np.testing.assert_array_equal(read_panel(tmp_path).series[0].target, [1.0, 2.0, 1.5, np.nan])


def test_folders_may_name_a_column(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"id={name}").mkdir()
        parquet.write_table(pa.table({"ds": [1, 2], "y": [1.0, 2.0]}), tmp_path / f"id={name}" / "part.parquet")
    assert [(series.id, len(series)) for series in read_panel(tmp_path, Columns(id="id"))] == [("a", 2), ("b", 2)]


def test_columns_may_be_named_by_numbers() -> None:
    for source in (pd.DataFrame(np.arange(6.0).reshape(3, 2)), {0: [0.0, 2.0, 4.0], 1: [1.0, 3.0, 5.0]}):
        assert read_panel(source, Columns(time="0", target="1")).series[0].target.tolist() == [1.0, 3.0, 5.0]


def test_bytes_that_are_text_and_decimals_are_read() -> None:
    panel = read_panel(pa.table({"id": [b"a", b"a"], "ds": pa.array([1, 2], pa.decimal128(5)), "y": [b"1", b"2.5"]}), Columns(id="id"))
    assert (panel.series[0].id, panel.series[0].times.tolist(), panel.series[0].target.tolist()) == ("a", [1, 2], [1.0, 2.5])


def test_numbers_of_many_types() -> None:
    panel: Panel = read_panel(
        pl.DataFrame({"ds": [1, 2], "y": [1, 2], "p": [True, False]}, schema_overrides={"y": pl.Decimal(10, 2)}), Columns(past=("p",))
    )
    assert (panel.series[0].target.tolist(), panel.series[0].past.tolist()) == ([1.0, 2.0], [[1.0], [0.0]])
