"""Files of the UEA and UCR archives, good and bad."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.errors import DataError, OptionError

HEAD = "# words\n\n@problemName Small\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true b a\n"
TEXT = HEAD + "@data\n1,2.5,?:4,5,6:a\n7:NaN:b\n\n# between\n1e1,2:3,4:b\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.ts", "a.ts.gz"])
def test_cases_are_read(name: str, tmp_path: Path) -> None:
    found = read_sequences(write(tmp_path / name, TEXT))
    assert found.names == ("x0", "x1")
    assert found.ids == ("0", "1", "2")
    np.testing.assert_array_equal(found.values[0], np.array([[1, 4], [2.5, 5], [np.nan, 6]], np.float32))
    np.testing.assert_array_equal(found.values[1], np.array([[7, np.nan]], np.float32))
    np.testing.assert_array_equal(found.values[2], np.array([[10, 3], [2, 4]], np.float32))
    assert found.labels is not None
    assert found.labels.names == ("a", "b")
    assert found.labels.values.tolist() == [0, 1, 1]
    assert found.times is None
    assert found.findings == ()


def test_numbers_of_classes_are_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a\.ts: @targetLabel must be true where numbers are learnt, got @classLabel true; say kind='class', or mend"
    ):
        read_sequences(write(tmp_path / "a.ts", TEXT), kind="number")
    known = read_sequences([[[1.0, 2.0]], [[2.0, 3.0]]], labels=[0.5, 1.5], kind="number")
    with pytest.raises(DataError, match=r"a\.ts: @targetLabel must be true where numbers are learnt, got @classLabel true"):
        read_sequences(write(tmp_path / "b.a.ts", TEXT.replace("true b a", "true 1 2").replace(":a", ":1").replace(":b", ":2")), like=known)


def test_case_without_a_value_is_told(tmp_path: Path) -> None:
    found = read_sequences(write(tmp_path / "a.ts", HEAD + "@data\n?,?:?,?:a\n1:2:b\n?:NaN:b\n"))
    assert found.findings == ("nothing was measured in 2 of 3 sequences: '0', '2'",)


def test_class_without_a_case_is_told(tmp_path: Path) -> None:
    found = read_sequences(write(tmp_path / "a.ts", TEXT.replace("b a", "b c a")))
    assert found.findings == ("no sequence is of class 'c'",)


def test_targets_are_numbers(tmp_path: Path) -> None:
    text = "@timeStamps false\n@univariate true\n@targetLabel true\n@data\n1,2:3\n4,5:6.5\n"
    found = read_sequences(write(tmp_path / "a.ts", text))
    assert found.labels is not None
    assert found.labels.kind == "number"
    assert found.labels.values.tolist() == [[3.0], [6.5]]


def test_channels_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", TEXT)
    assert read_sequences(path, SequenceColumns(channels=("u", "v"))).names == ("u", "v")
    with pytest.raises(DataError, match=r"a\.ts: channels must be 3, u, v, w, got 2"):
        read_sequences(path, SequenceColumns(channels=("u", "v", "w")))


def test_no_label(tmp_path: Path) -> None:
    found = read_sequences(write(tmp_path / "a.ts", "@univariate true\n@equalLength true\n@classLabel false\n@data\n1,2\n4,5\n"))
    assert found.labels is None
    assert found.lengths.tolist() == [2, 2]


def test_test_file_takes_the_classes_of_training(tmp_path: Path) -> None:
    train = read_sequences(write(tmp_path / "a.ts", TEXT))
    test = read_sequences(write(tmp_path / "b.ts", HEAD.replace("b a", "c b a") + "@data\n1:2:b\n"), like=train)
    assert test.labels is not None
    assert test.labels.values.tolist() == [1]
    with pytest.raises(DataError, match=r"b\.ts, row 11, the value after the last ':': must be one of the 2 classes, a, b, got 'c'"):
        read_sequences(write(tmp_path / "b.ts", HEAD.replace("b a", "c b a") + "@data\n1:2:c\n"), like=train)


REFUSED = {
    "value": (TEXT.replace("2.5", "2,5x"), "row 11, dimension 1, value 3: must be a finite number, or '?' where it is missing, got '5x'"),
    "empty value": (TEXT.replace("2.5", ""), "row 11, dimension 1, value 2: must be a finite number, or '?' where it is missing, got nothing"),
    "infinite": (TEXT.replace("2.5", "inf"), "dimension 1, value 2: must be a finite number"),
    "beyond 32 bits": (TEXT.replace("2.5", "1e39"), "dimension 1, value 2: must be a finite number"),
    "underscore": (TEXT.replace("2.5", "2_5"), "dimension 1, value 2: must be a finite number"),
    "dimensions": (
        TEXT.replace("1,2.5,?:4,5,6:a", "1,2:a"),
        "row 11: must hold 2 dimensions between colons, and the label last if there is one, got 1",
    ),
    "lengths of dimensions": (TEXT.replace("4,5,6", "4,5"), "row 11: dimensions must have one length, got [3, 2]"),
    "no value": (TEXT.replace("7:NaN", ":NaN"), "row 12, dimension 1: must hold values, got none"),
    "missing not announced": (TEXT.replace("@missing true", "@missing false"), "row 11, dimension 1, value 3: must be there, as @missing is false"),
    "unequal not announced": (TEXT.replace("@equalLength false", "@equalLength true"), "row 12: must hold 3 steps, as @equalLength says, got 1"),
    "another length": (TEXT.replace("@equalLength false", "@equalLength true\n@seriesLength 2"), "row 12: must hold 2 steps"),
    "time stamps": (TEXT.replace("@timeStamps false", "@timeStamps true"), "@timeStamps must be false, got true"),
    "time stamps in the values": (TEXT.replace("1,2.5,?", "(0,1),(1,2)"), "row 11, dimension 1: must be plain values, got '(0'"),
    "unknown class": (TEXT.replace("4:b", "4:c"), "row 15, the value after the last ':': must be one of the 2 classes, a, b, got 'c'"),
    "no class": (TEXT.replace("4:b", "4:"), "row 15, the value after the last ':': must be a label, got nothing"),
    "some classes unknown": (TEXT.replace("4:b", "4:?"), "row 15, the value after the last ':': must be a label, got nothing"),
    "nothing before the class": ("@classLabel true a b\n@data\n1,2\n", "row 3: must hold 1 dimensions between colons, and the label last"),
    "classes between commas": (TEXT.replace("true b a", "true b,a"), "a.ts, @classLabel, labels: must be of at least two classes, got 1 ('b,a')"),
    "class directive without classes": (TEXT.replace("true b a", "true"), "@classLabel true must name the classes"),
    "flag": (TEXT.replace("@missing true", "@missing perhaps"), "row 5: @missing must be true or false, got 'perhaps'"),
    "count": (TEXT.replace("@dimensions 2", "@dimensions two"), "row 7: @dimensions must be a whole number of at least 1, got 'two'"),
    "univariate": (TEXT.replace("@univariate false", "@univariate true"), "@dimensions must be 1 where @univariate is true, got 2"),
    "both labels": (TEXT.replace("@data", "@targetLabel true\n@data"), "@classLabel and @targetLabel must not both be true"),
    "no data line": (HEAD, "must have a line @data, got none"),
    "data before the line": (HEAD + "1,2:3\n@data\n", "row 10: must be a directive"),
    "no case": (HEAD + "@data\n", "must hold cases after @data, got none"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=list(REFUSED))
def test_bad_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    assert text != TEXT
    with pytest.raises(DataError) as caught:
        read_sequences(write(tmp_path / "a.ts", text))
    assert message in str(caught.value)
    assert "a.ts" in str(caught.value)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ts.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="must be compressed by gzip"):
        read_sequences(tmp_path / "a.ts.gz")
    (tmp_path / "a.ts").write_bytes(TEXT.encode() + b"\xff")
    with pytest.raises(DataError, match="must be UTF-8, got byte 0xff"):
        read_sequences(tmp_path / "a.ts")
    with pytest.raises(OptionError, match=r"must be left out for a \.ts file"):
        read_sequences(write(tmp_path / "b.ts", TEXT), layout="NCT")


def test_labels_that_are_not_known_are_not_read(tmp_path: Path) -> None:
    unknown = write(tmp_path / "a.ts", TEXT.replace(":a\n", ":?\n").replace(":b\n", ":?\n"))
    assert read_sequences(unknown).labels is None
    like = replace(read_sequences(write(tmp_path / "b.ts", TEXT)), labels=None)
    other = read_sequences(write(tmp_path / "c.ts", TEXT.replace(":a\n", ":other\n")), like=like)
    assert other.labels is None
    assert other.lengths.tolist() == [3, 1, 2]


def test_kind_is_that_of_like(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", TEXT)
    with pytest.raises(OptionError, match="kind must be that of like, 'class', got 'number'"):
        read_sequences(path, like=read_sequences(path), kind="number")
    with pytest.raises(OptionError, match=r"label must be left out where there are no columns to name, got 'y' for a \.ts file; leave it out,"):
        read_sequences(path, SequenceColumns(label="y"))
