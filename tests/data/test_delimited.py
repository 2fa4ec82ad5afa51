"""Text files whose quotes are wrong: no row is lost to one, and what is whole is read whole."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data import Columns, read_panel
from grus.data.delimited import Delimited
from grus.errors import DataError

LONG = "x" * 200_000

WRONG: dict[str, tuple[str, str]] = {
    "never closed": ('ds,y,note\n0,1,x\n1,2,"c\n2,3,d\n3,4,e\n4,5,f', r", row 3, column 'note': must end with a quote, .* got '\"c\\n2,3,d\\n"),
    "opened at the end": ('ds,y,note\n0,1,x\n1,2,x\n2,3,"', r", row 4, column 'note': must end with a quote, .* got '\"'; close the quote"),
    "closed rows later": (
        'ds,y,note\n0,1,x\n1,2,"c\n2,3,d\n3,4,e"\n4,5,f\n',
        r", row 3, column 'note': must end with its quote in its own row, got a value of 3 lines, of which '2,3,d' looks like a row",
    ),
    "closed after rows with missing values": (
        'ds,y,note\n2024-01-01,1,x\n2024-01-02,2,"c\n2024-01-03,,d\n2024-01-04,4,e"\n',
        r", row 3, column 'note': .* got a value of 3 lines, of which '2024-01-03,,d' looks like a row",
    ),
    "closed in the next row": (
        'ds,y,note\n2024-01-01,1,x\n2024-01-02,2.5,"c, c\n2024-01-03,3,d"\n2024-01-04,5,f\n',
        r", row 3, column 'note': .* got a value of 2 lines, of which '2024-01-03,3,d\"' looks like a row",
    ),
    "in the first column": (
        'note,ds,y\n"a,1,2\na,2,3\na",3,4\na,4,5\n',
        r", row 2, column 'note': .* got a value of 3 lines, of which 'a,2,3' looks like a row",
    ),
    "text behind it": ('ds,y,note\n0,1,x\n1,2,"c"de\n2,3,d\n', r", row 3, column 'note': must end with a quote, .* got '\"c\"' and then 'de'; "),
    "beyond the last column": ('ds,y\n0,1\n1,2,"c\n2,3\n', r", row 3, value 3: must end with a quote"),
    "in the header": ('\n"ds,y\n1,2\n2,3\n', r", row 2: must end with a quote, .* got '\"ds,y\\n1,2\\n2,3\\n'; "),
    "in the header, closed in the first row": (
        'ds,y,"note\n0,1,""x"""\n1,2,y\n2,3,z\n',
        r", row 1, column 'note\\n0,1,\"x\"': must end with its quote in its own row, got a value of 2 lines, of which '0,1,",
    ),
    "after a blank line and a note of two lines": ('ds,y,note\n\n0,1,"x\ny"\n1,2,"c\n', r", row 5, column 'note': must end with a quote"),
    "very long": (
        f'ds,y,note\n0,1,x\n1,2,"{LONG}"\n',
        r", row 3, column 'note': must be at most 131072 characters long, got '\"x{39}' and 199962 characters more; shorten",
    ),
    "too many values": ('ds,y\n0,"1"\n1,2,3\n2,3\n', r", row 3: must be 2 values, one for each column, got 3; "),
    "a defect behind a very long value": (f"ds,y,note\n0,1,{LONG}\n1,two,x\n", r", row 3, column 'y': must be a number, got 'two'; "),
}


@pytest.mark.parametrize(("text", "wanted"), WRONG.values(), ids=list(WRONG))
def test_wrong_quotes_are_refused(text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(DataError, match=r"(?s)a\.csv" + wanted) as caught:
        read_panel(path)
    assert len(str(caught.value)) < 400


def test_notes_of_several_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('ds,y,note\n0,1,x\n1,2,"Dear all,\nplease note 3, 4, 5\nb, c and ""d"""\n2,3,"5,6\n"\n3,"4",5" wide\n', encoding="utf-8")
    assert read_panel(path).series[0].target.tolist() == [1.0, 2.0, 3.0, 4.0]
    path.write_text('"the\nnote",ds,"y"\n"a\nb",2,3\n"c\nd",3,4\n', encoding="utf-8")
    assert read_panel(path, Columns(past=("the\nnote",))).categories == {"the\nnote": ("a\nb", "c\nd")}


CELLS = st.text(st.sampled_from('ab1,\t" é'), max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([",", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_csv_writes_is_read_back(rows: list[tuple[str, str]], quoting: int, delimiter: str, end: str) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([("k", "l"), *rows])
    text = Delimited("a.csv", written.getvalue().encode(), delimiter)
    assert {name: values.to_pylist() for name, values in text.columns(["l", "k"]).items()} == {
        "l": [row[1] for row in rows],
        "k": [row[0] for row in rows],
    }
    assert [text.place(row) for row in range(len(rows))] == [f"a.csv, row {row + 2}" for row in range(len(rows))]


def test_many_quoted_rows_are_all_there() -> None:
    count = 70_000
    text = Delimited("a.csv", b'a,b\n"x",\n' + b"".join(b'"%d",%d\n' % (row, row) for row in range(count)), ",")
    columns = {name: values.to_pylist() for name, values in text.columns(["a", "b"]).items()}
    assert columns == {"a": ["x", *map(str, range(count))], "b": ["", *map(str, range(count))]}


@pytest.mark.parametrize("at", range(10, 30, 3))
def test_a_damaged_gz_is_refused(at: int, tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"ds,y\n" + b"".join(b"%d,%d\n" % (row, row * row) for row in range(200)), mtime=0))
    data[at] ^= 0xFF
    (tmp_path / "a.csv.gz").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.csv\.gz: must be compressed by gzip, got bytes that are not"):
        read_panel(tmp_path / "a.csv.gz")


def test_a_mark_of_byte_order_alone_is_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf\n")
    with pytest.raises(DataError, match="got an empty file"):
        read_panel(tmp_path / "a.csv")


@pytest.mark.parametrize("quote", ["", '"'])
def test_file_without_a_header_is_read_from_its_first_row(quote: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{quote}a{quote},1\n\nb,2\n", encoding="utf-8")
    found = Delimited.of(path, ",", has_header=False)
    assert found.header == ["0", "1"]
    assert {name: column.to_pylist() for name, column in found.columns(["1", "0"]).items()} == {"1": ["1", "2"], "0": ["a", "b"]}
    assert [found.place(row) for row in (0, 1)] == [f"{path}, row 1", f"{path}, row 3"]
    path.write_text(f"{quote}a{quote},1\nb,2,3\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 2: must be 2 values, one for each column, got 3"):
        Delimited.of(path, ",", has_header=False).columns(["0"])
    path.write_text("0,1,2\n5,6,7\n", encoding="utf-8")
    with pytest.raises(DataError, match="the first row must be values where there is no header, got 0, 1, 2, which number the columns"):
        _ = Delimited.of(path, ",", has_header=False).header


def test_row_of_more_than_a_megabyte_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"x,y\n{'5' * 2_000_000},1\n3,2\n", encoding="utf-8")
    found = Delimited.of(tmp_path / "a.csv", ",").columns(["x", "y"])
    assert [len(value) for value in found["x"].to_pylist()] == [2_000_000, 1]
    assert found["y"].to_pylist() == ["1", "2"]
