"""Sequences from tables: the same values whichever it is, and what is refused."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.errors import DataError, OptionError
from tests.data.small_sequences import ROWS, VALUES, check

STEPS = SequenceColumns(id="id", label="label")
VALUE_ROWS = SequenceColumns(id="id", time="time", label="label", variable="kind", value="u")
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
    with pytest.raises(DataError, match="the same columns each, numbered as x1, x2, …, got 2 of 'x', 1 of 'y'"):
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


def test_columns_of_steps_must_stand_in_the_order_of_their_numbers() -> None:
    as_texts = {"t_1": [1.0, 2.0], "t_10": [10.0, 20.0], "t_2": [2.0, 4.0], "y": ["a", "b"]}
    with pytest.raises(DataError, match=r"in the order of their numbers, got 't_2' after 't_10'; sort them, or name the channel 't_', whose"):
        read_sequences(as_texts, SequenceColumns(label="y"))
    found = read_sequences(as_texts, SequenceColumns(label="y", channels=("t_",)))
    assert [values.ravel().tolist() for values in found.values] == [[1, 2, 10], [2, 4, 20]]
    for names in (("lag3", "lag2", "lag1"), ("a1", "b3", "a2"), ("low", "high", "mean")):
        table = {name: [number, number] for number, name in enumerate(names)}
        assert read_sequences(table, SequenceColumns()).values[0].ravel().tolist() == [0, 1, 2]


TWICE = {
    "two columns of a number": (("x1", "x_1", "x2"), ("x",), "channel 'x' must have one column of a number, got 'x1' and 'x_1'; rename one"),
    "a number written twice": (("x1", "x01", "x2"), ("x",), "got 'x1' and 'x01'"),
    "other numbers": (("x1", "x2", "y2", "y3"), ("x", "y"), "the same columns each, .* got 2 of 'x', 2 of 'y', or other numbers"),
    "no column": (("x1", "x2"), ("x", "z"), "got 2 of 'x', 0 of 'z'"),
    "an index of pandas": (("", "x1", "x2"), (), "columns of channels must have names, got '', such as pandas' index has; leave it out"),
    "an index of pandas read again": (("Unnamed: 0", "x1"), (), "must have names, got 'Unnamed: 0'"),
}


@pytest.mark.parametrize(("names", "channels", "wanted"), TWICE.values(), ids=list(TWICE))
def test_columns_that_would_be_mistaken_for_steps_are_refused(names: Any, channels: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(DataError, match=wanted):
        read_sequences({name: [1.0, 2.0] for name in names}, SequenceColumns(channels=channels))


def test_number_of_a_row_is_no_channel_of_steps(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match="columns of channels must have names, got ''"):
        read_sequences(tmp_path / "a.csv", STEPS)
    check(read_sequences(tmp_path / "a.csv", SequenceColumns(id="id", label="label", channels=("u", "v"))))


@pytest.mark.parametrize("columns", [STEPS, SequenceColumns(label="label", row="sequence"), VALUE_ROWS], ids=["steps", "sequences", "values"])
def test_missing_value_of_no_channel_is_refused_in_every_table(columns: SequenceColumns) -> None:
    table = {"id": ["1", "2"], "time": [0, 0], "u": [1.0, -1.0], "label": ["a", "b"]}
    table |= {"kind": ["u", "u"]} if columns is VALUE_ROWS else {}
    with pytest.raises(DataError, match=r"absent must name channels, .*, got 'Height'; correct it"):
        read_sequences(table, columns, absent={"Height": -1})


def test_columns_that_pandas_numbers_are_names() -> None:
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]])
    found = read_sequences(frame, SequenceColumns(), labels=["a", "b"])
    assert [values.ravel().tolist() for values in found.values] == [[1, 2], [3, 4]]


def test_kind_is_that_of_like() -> None:
    like = read_sequences(ROWS, STEPS)
    with pytest.raises(OptionError, match="kind must be that of like, 'class', got 'number'; leave it out"):
        read_sequences(ROWS, STEPS, like=like, kind="number")
    assert read_sequences(ROWS, STEPS, like=like, kind="class").labels is not None


def test_texts_are_not_sequences(tmp_path: Path) -> None:
    for name in ("names.zip", "a.jsonl", "a.tsv.xz", "a.txt"):
        with pytest.raises(OptionError, match=r"source must end in .*; read texts with read_texts"):
            read_sequences(written(tmp_path / name, "x"), STEPS)


def test_one_class_is_told_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv, column 'label', labels: must be of at least two classes, got 1 \('b'\)"):
        read_sequences(written(tmp_path / "a.csv", "id,u,label\np,1,b\nq,2,b\n"), STEPS)


NEEDLESS = {
    "variable of steps": ({"id": "id", "row": "step", "variable": "v"}, "variable must be left out where a row is a step, got 'v'"),
    "value of steps": ({"id": "id", "value": "u"}, "length and value must be left out for a table without variable"),
    "length of steps": ({"id": "id", "length": "n"}, "length and value must be left out for a table without variable"),
}


@pytest.mark.parametrize(("named", "wanted"), NEEDLESS.values(), ids=list(NEEDLESS))
def test_columns_without_a_use_are_refused(named: dict[str, Any], wanted: str) -> None:
    with pytest.raises(OptionError, match=wanted):
        read_sequences(ROWS, SequenceColumns(**named))


PASSED_OVER = {
    "steps": ({"id": ["p", "q"], "u": [1.0, 2.0]}, SequenceColumns(id="id", label="label")),
    "sequences": ({"x1": [1.0, 2.0], "x2": [3.0, 4.0]}, SequenceColumns(label="label")),
    "values": ({"id": ["p", "q"], "time": [0, 0], "kind": ["u", "u"], "u": [1.0, 2.0]}, VALUE_ROWS),
}


@pytest.mark.parametrize(("table", "columns"), PASSED_OVER.values(), ids=list(PASSED_OVER))
def test_labels_are_passed_over_where_like_has_none(table: dict[str, Any], columns: SequenceColumns, tmp_path: Path) -> None:
    like = replace(read_sequences({**table, "label": ["a", "b"]}, columns), labels=None)
    for source in (table, {**table, "label": ["?", None]}):
        found = read_sequences(source, columns, like=like)
        assert found.labels is None
        assert [values.tolist() for values in found.values] == [values.tolist() for values in like.values]
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 3)))
    archive = SequenceColumns(value="X", label="y")
    assert read_sequences(tmp_path / "a.npz", archive, like=replace(read_sequences(np.zeros((1, 3))), labels=None)).labels is None


NO_HEADER = {
    "steps": ("p,0,1,a\np,1,2,a\nq,0,3,b\n", {"id": "0", "time": "1", "label": "3"}, ("2",), [[[1], [2]], [[3]]]),
    "sequences": ("a\t1\t2\nb\t3\t4\n", {"label": "0"}, ("value",), [[[1], [2]], [[3], [4]]]),
    "channels in turn": ("1,2,3,4,a\n5,6,7,8,b\n", {"label": "4", "channels": ("x", "y")}, ("x", "y"), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
}


@pytest.mark.parametrize(("text", "named", "channels", "values"), NO_HEADER.values(), ids=list(NO_HEADER))
def test_tables_without_a_header_are_read(text: str, named: dict[str, Any], channels: tuple[str, ...], values: Any, tmp_path: Path) -> None:
    found = read_sequences(written(tmp_path / ("a.tsv" if "\t" in text else "a.csv"), text), SequenceColumns(**named, header=False))
    assert (found.names, [each.tolist() for each in found.values]) == (channels, values)
    assert found.labels is not None
    assert (found.labels.names, found.labels.values.tolist()) == (("a", "b"), [0, 1])


def test_a_header_is_for_files_of_cells(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="header must be True for a table that names its columns itself, got False"):
        read_sequences(ROWS, SequenceColumns(id="id", header=False))
    path = written(tmp_path / "a.csv", "1,2,3,a\n5,6,7,b\n")
    with pytest.raises(DataError, match="channels must take turns in the columns without a header, got 3 beside id and label for 2"):
        read_sequences(path, SequenceColumns(label="3", channels=("x", "y"), header=False))


def test_channels_that_are_not_named_are_told() -> None:
    told = "channels are all other columns, 'u', 'v'; no column tells the time, so that steps stand in the order of their rows"
    whole = read_sequences(ROWS, STEPS)
    assert whole.findings == (told,)
    assert read_sequences(ROWS, replace(STEPS, channels=("u",))).findings == ()
    assert read_sequences(ROWS, STEPS, like=whole).findings == ()
    assert read_sequences(ROWS.assign(t=range(4)), replace(STEPS, time="t")).findings == ("channels are all other columns, 'u', 'v'",)


def test_sequences_without_a_value_are_told_wherever_they_stand(tmp_path: Path) -> None:
    told = "nothing was measured in 1 of 2 sequences: "
    nothing = [np.full((2, 1), np.nan), np.ones((1, 1))]
    assert read_sequences(nothing).findings == (told + "'0'",)
    assert read_sequences(np.array([[1.0, -1.0], [-1.0, -1.0]]), SequenceColumns(channels=("a",)), absent={"a": -1}).findings == (told + "'1'",)
    wide = written(tmp_path / "wide.csv", "x1,x2,label\n1,2,a\n,,b\n")
    assert read_sequences(wide, SequenceColumns(label="label")).findings == (told + "'1'",)
    rows = written(tmp_path / "rows.csv", "id,a,label\np,1,x\nq,,y\nq,,y\n")
    assert read_sequences(rows, SequenceColumns(id="id", channels=("a",), label="label")).findings == (told + "'q'",)
