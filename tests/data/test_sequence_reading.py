"""Sequences from tables: the same values whichever it is, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.errors import DataError, OptionError
from tests.data.small_sequences import ROWS, VALUES, check

STEPS = SequenceColumns(id="id", label="label")
TEXT = "id,u,v,label\np,1,2,b\np,3,,b\np,5,6,b\nq,7,8,a\n"


def zipped(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def packed(path: Path) -> Path:
    parquet.write_table(pa.table(ROWS), path)
    return path


SOURCES = {
    "csv": lambda tmp: str(written(tmp / "a.csv", TEXT)),
    "csv.gz": lambda tmp: zipped(tmp / "a.csv.gz", TEXT),
    "csv with quotes": lambda tmp: written(tmp / "a.csv", TEXT.replace("q,7", '"q","7"')),
    "tsv": lambda tmp: written(tmp / "a.tsv", TEXT.replace(",", "\t")),
    "parquet": lambda tmp: packed(tmp / "a.parquet"),
    "pandas": lambda tmp: ROWS,
    "pandas with text": lambda tmp: ROWS.astype(str),
    "polars": lambda tmp: pl.from_pandas(ROWS),
    "pyarrow": lambda tmp: pa.table(ROWS),
    "mapping": lambda tmp: ROWS.to_dict("list"),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_every_table_gives_the_same_sequences(source: Any, tmp_path: Path) -> None:
    check(read_sequences(source(tmp_path), STEPS))


def test_rows_are_sorted_by_time() -> None:
    shuffled = ROWS.assign(t=[0.5, 1.0, 4, 2]).iloc[[2, 3, 0, 1]]
    found = read_sequences(shuffled, SequenceColumns(id="id", time="t", label="label"))
    check(found)
    assert found.times is not None
    assert [times.tolist() for times in found.times] == [[0.5, 1, 4], [2]]
    dated = ROWS.assign(t=["2024-01-01 00:30", "2024-01-01 01:00", "2024-01-02 00:00", "2024-01-01 00:00"])
    found = read_sequences(dated, SequenceColumns(id="id", time="t", label="label"))
    check(found)
    assert found.times is not None
    assert np.diff(found.times[0]).tolist() == [0.5, 23]


def test_labels_of_a_table_of_their_own(tmp_path: Path) -> None:
    table = written(tmp_path / "labels.csv", "id,label,other\nz,b,1\nq,a,2\np,b,3\n")
    check(read_sequences(ROWS.drop(columns="label"), STEPS, labels=table))
    with pytest.raises(DataError, match=r"labels\.csv: every sequence must have a label, got none for 'p' \(in all 1 of 2\)"):
        read_sequences(ROWS, STEPS, labels=written(table, "id,label\nz,b\nq,a\n"))
    with pytest.raises(DataError, match=r"labels\.csv, row 3, column 'id': must be there once in a table of labels, got 'p'"):
        read_sequences(ROWS, STEPS, labels=written(table, "id,label\np,b\np,b\nq,a\n"))
    with pytest.raises(OptionError, match="labels must be a table of id and label"):
        read_sequences(ROWS, STEPS, labels=["a", "b"])


def test_several_label_columns() -> None:
    rows = ROWS.assign(ill=[1, 1, 1, 0], old=[1, 1, 1, 1])
    found = read_sequences(rows, SequenceColumns(id="id", label=("ill", "old"), channels=("u",))).labels
    assert found is not None
    assert (found.kind, found.names, found.values.tolist()) == ("labels", ("ill", "old"), [[1, 1], [0, 1]])
    found = read_sequences(rows, SequenceColumns(id="id", label="u", channels=("v",), row="step"), labels={"id": ["p", "q"], "u": [0.5, 1]}).labels
    assert found is not None
    assert (found.kind, found.names, found.values.tolist()) == ("number", ("y",), [[0.5], [1]])
    found = read_sequences(rows, SequenceColumns(id="id", label="ill", channels=("v",)), kind="number").labels
    assert found is not None
    assert (found.kind, found.names) == ("number", ("ill",))


def test_wide_tables() -> None:
    table = {"x1": [1, 5], "y1": [2, 6], "x2": [3, 7], "y2": [4, None], "digit": ["9", "10"], "note": [0, 0]}
    found = read_sequences(table, SequenceColumns(label="digit", channels=("x", "y")))
    np.testing.assert_array_equal(np.stack(found.values), np.array([[[1, 2], [3, 4]], [[5, 6], [7, np.nan]]]))
    assert found.labels is not None
    assert found.labels.names == ("9", "10")
    assert found.findings == ("columns left out: 'note'",)
    del table["note"]
    flat = read_sequences(table, SequenceColumns(label="digit"))
    assert (flat.names, flat.values[0].tolist()) == (("value",), [[1], [2], [3], [4]])
    again = read_sequences(table, SequenceColumns(label="digit"), like=found)
    assert again.names == ("x", "y")
    named = read_sequences({"key": ["p", "q"], **table}, SequenceColumns(id="key", label="digit", channels=("x", "y"), row="sequence"))
    assert named.ids == ("p", "q")
    with pytest.raises(DataError, match="as many columns each, numbered as x1, x2, …, got 2 of 'x', 1 of 'y'"):
        read_sequences({name: values for name, values in table.items() if name != "y2"}, SequenceColumns(label="digit", channels=("x", "y")))
    with pytest.raises(DataError, match="row 2, column 'key': must be distinct, got 'p'"):
        read_sequences({"key": ["p", "p"], **table}, SequenceColumns(id="key", label="digit", row="sequence"))
    with pytest.raises(DataError, match="the first row must name the columns, got numbers"):
        read_sequences({"47": [1], "100": [2]}, SequenceColumns())


def test_number_that_stands_for_missing_is_hidden() -> None:
    found = read_sequences(ROWS.fillna(-1), STEPS, absent={"v": -1})
    check(found)
    check(read_sequences([np.nan_to_num(part, nan=-1) for part in VALUES], absent={"x1": -1}), ("x0", "x1"), ("0", "1"), labelled=False)
    with pytest.raises(DataError, match="absent must name channels"):
        read_sequences(VALUES, absent={"v": -1})


TABLES = {
    "text in a channel": (TEXT.replace("5,6", "5,six"), STEPS, "row 4, column 'v': must be a number, got 'six'"),
    "infinite": (TEXT.replace("5,6", "5,inf"), STEPS, "row 4, column 'v': must be finite, got 'inf'"),
    "beyond 32 bits": (TEXT.replace("5,6", "5,1e39"), STEPS, "row 4, column 'v': must be finite in 32 bits, got '1e39'"),
    "no id": (TEXT.replace("q,7", ",7"), STEPS, "row 5, column 'id': must be the id of a sequence, got nothing"),
    "id again": (TEXT + "p,1,2,b\n", STEPS, "row 6, column 'id': must be in rows that stand together"),
    "two labels": (TEXT.replace("5,6,b", "5,6,a"), STEPS, "row 4, column 'label': must be the same in every row of a sequence, got 'a', but 'b' in"),
    "no label": (TEXT.replace("8,a", "8,"), STEPS, "row 5, column 'label': must be a label, got nothing"),
    "one class": (TEXT.replace("8,a", "8,b"), STEPS, "must be of at least two classes"),
    "time again": (TEXT, SequenceColumns("id", "u", "label", ("v",)), None),
    "no time": (TEXT.replace("q,7", "q,"), SequenceColumns("id", "u", "label", ("v",)), "row 5, column 'u': must be a time, got nothing"),
    "same time": (TEXT.replace("p,3", "p,1"), SequenceColumns("id", "u", "label", ("v",)), "row 3, column 'u': must be there once in a sequence"),
    "no column": (TEXT, SequenceColumns("id", label="labels"), "column 'labels' must be there once, got 'id', 'u', 'v', 'label'; perhaps 'label'"),
    "no channel": ("id,label\np,a\nq,b\n", STEPS, "must have a channel, got no column beside id, time and label"),
    "no row": ("id,u,v,label\n", STEPS, "must hold rows, got none"),
    "ragged": (TEXT + "q,1\n", STEPS, "row 6: must be 4 values, one for each column, got 2"),
}


@pytest.mark.parametrize(("text", "columns", "message"), TABLES.values(), ids=list(TABLES))
def test_bad_tables_are_refused(text: str, columns: SequenceColumns, message: str | None, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", text)
    if message is None:
        assert len(read_sequences(path, columns)) == 2
        return
    with pytest.raises(DataError) as caught:
        read_sequences(path, columns)
    assert message in str(caught.value)
    assert "a.csv" in str(caught.value) or "labels" in str(caught.value)


def test_channels_of_another_file_must_be_those_learnt() -> None:
    like = read_sequences(ROWS, STEPS)
    test = ROWS.assign(label="a")
    found = read_sequences(test[["label", "v", "id", "u"]], STEPS, like=like)
    assert found.names == ("u", "v")
    assert found.labels is not None
    assert found.labels.values.tolist() == [0, 0]
    with pytest.raises(DataError, match="channels must be those learnt, 'u', 'v', got also 'w'"):
        read_sequences(test.assign(w=1.0), STEPS, like=like)
    with pytest.raises(DataError, match="column 'v' must be there once"):
        read_sequences(test.drop(columns="v"), STEPS, like=like)
    with pytest.raises(DataError, match="channels must be 2, u, v, got 3"):
        read_sequences(np.zeros((1, 2, 3)), like=like)
    with pytest.raises(DataError, match="labels, row 1: must be one of the 2 classes, a, b, got 'c'"):
        read_sequences([np.zeros((1, 2))], labels=["c"], like=like)


def test_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="columns must be given for a table"):
        read_sequences(ROWS)
    with pytest.raises(OptionError, match="ids and layout must be left out for a table"):
        read_sequences(ROWS, STEPS, layout="NCT")
    with pytest.raises(OptionError, match="layout must be NTC or NCT"):
        read_sequences(VALUES, layout="TNC")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"source must end in \.ts"):
        read_sequences("a.xlsx", STEPS)
    with pytest.raises(OptionError, match="source must be a path, a pandas"):
        read_sequences(3, STEPS)
    for options in (
        {"channels": "u"},
        {"id": "a", "label": "a"},
        {"row": "steps"},
        {"variable": "v", "id": "a"},
        {"row": "step"},
        {"row": "sequence", "time": "t"},
    ):
        with pytest.raises(OptionError, match="SequenceColumns: "):
            SequenceColumns(**options)
