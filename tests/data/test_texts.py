"""Texts with labels from files, tables and lists; what is wrong is told with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from grus.data.text_rows import TextRules
from grus.data.texts import read_texts
from grus.errors import DataError, OptionError
from tests.data.small_texts import COMPRESS, MADE, TEXTS, TSV, check, write

CSV = 'label,text\npos,so good 👍\nneg,"a ""bad"" one, really"\nneg,房间太小。\n'
JSONL = "".join(json.dumps({"text": text, "label": label, "more": [1]}) + "\n" for label, text in zip(MADE["label"], TEXTS, strict=True))
FILES = {"a.tsv": TSV, "a.csv": CSV, "a.jsonl": JSONL, "a.ndjson": JSONL.replace("\n", "\r\n"), "b.tsv": TSV.replace("\n", "\r\n")}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_are_read(name: str, suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path, name + suffix, COMPRESS[suffix](b"\xef\xbb\xbf" + FILES[name].encode()))
    check(read_texts(path), ("1", "2", "3") if "json" in name else ("2", "3", "4"))


@pytest.mark.parametrize(
    "source", [MADE, pl.from_pandas(MADE), pa.table(MADE), MADE.to_dict("list"), MADE.astype("category")], ids=lambda one: str(type(one))
)
def test_tables_in_memory_are_read(source: Any) -> None:
    check(read_texts(source, id="no"), ("p", "q", "r"))
    check(read_texts(source), ("0", "1", "2"))


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, pl.Series, pa.array])
def test_lists_of_texts_are_read(kind: Any) -> None:
    check(read_texts(kind(TEXTS), labels=list(MADE["label"])), ("0", "1", "2"))
    assert read_texts(kind(TEXTS)).labels is None


def test_cells_without_a_header_are_numbered(tmp_path: Path) -> None:
    found = read_texts(write(tmp_path, "a.tsv", "it 's good\t1\n\nbad\t0\n"), 0, 1)
    assert found.labels is not None
    assert (found.texts, found.ids, found.labels.names, found.labels.values.tolist()) == (("it 's good", "bad"), ("1", "3"), ("0", "1"), [1, 0])


def test_a_tsv_has_no_quotes_unless_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'label\ttext\n1\t"never closed\n0\t"both"\n1\tx" y\n0\tz\n')
    assert read_texts(path).texts == ('"never closed', '"both"', 'x" y', "z")
    quoted = write(tmp_path, "b.tsv", 'label\ttext\n1\t"a\tb\n""c"""\n0\t"both"\n')
    assert read_texts(quoted, rules=TextRules(quoting=True)).texts == ('a\tb\n"c"', "both")


def test_a_quoted_cell_may_have_several_lines_and_later_places_are_right(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\r\n"one\r\ntwo, three",1\r\n"",0\r\nfour,0')
    with pytest.raises(DataError, match=r"a\.csv, line 4, column 'text': must be a text, got nothing"):
        read_texts(path)
    found = read_texts(path, rules=TextRules(empty="drop"))
    assert (found.texts, found.ids) == (("one\r\ntwo, three", "four"), ("2", "5"))


def test_a_blank_line_in_a_file_of_one_column_is_an_empty_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 3, column 'text': must be a text, got nothing"):
        read_texts(write(tmp_path, "a.csv", "text\nx\n\ny\n"), label=None)


def test_several_labels_in_a_cell_are_flags() -> None:
    table = {"text": ["a", "b", "c"], "label": ["fast|cheap", "", " cheap "]}
    found = read_texts(table, rules=TextRules(separator="|"))
    assert found.labels is not None
    assert (found.labels.kind, found.labels.names, found.labels.values.tolist()) == ("labels", ("cheap", "fast"), [[1, 1], [0, 0], [1, 0]])
    again = read_texts({"text": ["d"], "label": ["cheap"]}, like=found, rules=TextRules(separator="|"))
    assert again.labels is not None
    assert (again.labels.names, again.labels.values.tolist()) == (("cheap", "fast"), [[1, 0]])


def test_lists_of_labels_in_json_are_flags(tmp_path: Path) -> None:
    found = read_texts(write(tmp_path, "a.jsonl", '{"text": "a", "label": ["7", "12"]}\n{"text": "b", "label": []}\n'))
    assert found.labels is not None
    assert (found.labels.names, found.labels.values.tolist()) == (("7", "12"), [[1, 1], [0, 0]])


def test_rows_of_numbers_are_flags_or_numbers(tmp_path: Path) -> None:
    for labels, kind in (([[1, 0], [0, 1]], "labels"), ([[0.5, 1], [2, 3]], "number")):
        lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in zip("ab", labels, strict=True))
        for found in (read_texts(["a", "b"], labels=np.array(labels)), read_texts(write(tmp_path, "a.jsonl", lines))):
            assert found.labels is not None
            assert (found.labels.kind, found.labels.names, found.labels.values.tolist()) == (kind, ("0", "1"), labels)
    with pytest.raises(DataError, match="the list, labels: rows must be of one length"):
        read_texts(["a", "b"], labels=[[1, 0], [1]])


@pytest.mark.parametrize(("second", "kind"), [(["1", "0"], "labels"), (["0.5", "0"], "number")])
def test_several_columns_are_flags_or_numbers(second: list[str], kind: str) -> None:
    found = read_texts({"text": ["a", "b"], "u": ["0", "1"], "v": second}, label=("u", "v"))
    assert found.labels is not None
    assert (found.labels.kind, found.labels.names) == (kind, ("u", "v"))
    np.testing.assert_array_equal(found.labels.values, [[0, float(second[0])], [1, 0]])


def test_one_column_is_numbers_or_a_flag_where_the_kind_says_so() -> None:
    table = {"text": ["a", "b"], "stars": ["3", "4.5"], "spam": [1, 0]}
    stars, spam = read_texts(table, label="stars", kind="number").labels, read_texts(table, label="spam", kind="labels").labels
    assert stars is not None
    assert spam is not None
    assert (stars.names, stars.values.tolist(), spam.names, spam.values.tolist()) == (("stars",), [[3.0], [4.5]], ("spam",), [[1], [0]])


def test_labels_of_earlier_texts_hold() -> None:
    first = read_texts(list("abc"), labels=["u", "v", "w"])
    found = read_texts(["d"], labels=["v"], like=first)
    assert found.labels is not None
    assert (found.labels.names, found.labels.values.tolist()) == (("u", "v", "w"), [1])
    assert found.findings == ("no sequence is of class 'u' or 'w'",)
    with pytest.raises(DataError, match=r"the list, row 1, column 'label': must be one of the 3 classes, u, v, w, got 'x'"):
        read_texts(["d"], labels=["x"], like=first)


def test_empty_texts_are_refused_or_left_out_with_their_labels() -> None:
    table = {"text": ["a", " \u3000", None, "b"], "label": ["u", None, "v", "v"]}
    with pytest.raises(
        DataError, match=r"(?s)the mapping, column 'text': must be a text, got 2 of 4 rows .*row 2: got only white space.*row 3: got nothing"
    ):
        read_texts(table)
    found = read_texts(table, rules=TextRules(empty="drop"))
    assert (found.texts, found.ids) == (("a", "b"), ("0", "3"))
    assert found.findings == ("empty texts are left out: 2 of 4 rows: row 2; row 3",)


def test_bytes_that_are_not_utf8_are_refused_or_replaced(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", b"label\ttext\n1\tgood\n0\tb\xffd\n0\tx\xe6\x88\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 3: must be UTF-8, got byte 0xff as byte 4 of the line \(in all 2 lines\)"):
        read_texts(path)
    found = read_texts(path, rules=TextRules(undecodable="replace"))
    assert found.texts == ("good", "b�d", "x�")
    assert found.findings == (f"{path}: bytes that are not UTF-8 are read as �: 2 lines: 3, 4",)


def test_halves_of_surrogate_pairs_are_refused_or_replaced(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "x\\ud83d", "label": 0}\n{"text": "\\ud83d\\udc4d", "label": 1}\n')
    with pytest.raises(DataError, match=r"line 1, column 'text': must be Unicode, got half of a surrogate pair"):
        read_texts(path)
    found = read_texts(path, rules=TextRules(undecodable="replace"))
    assert (found.texts, found.findings) == (("x�", "👍"), ("halves of surrogate pairs are read as �: 1 of 2 rows: line 1",))


def test_ten_megabytes_in_a_cell_are_refused_unless_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", f"text\tlabel\n{'x' * 10_000_000}\t1\ny\t0\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 2, column 'text': must be at most 1000000 characters long, got 10000000 characters, 'xxx"):
        read_texts(path)
    assert len(read_texts(path, rules=TextRules(max_characters=10_000_000)).texts[0]) == 10_000_000


def test_texts_with_different_labels_are_told() -> None:
    table = {"text": ["a", "b", "a", "b", "a"], "label": [1, 0, 0, 0, 0]}
    assert read_texts(table).findings == ("1 text stands there with different labels, such as 'a' in row 1 and row 3",)
    assert read_texts(table, label=None).findings == ()


def test_a_separator_that_stands_nowhere_is_told() -> None:
    found = read_texts({"text": ["a", "b"], "label": ["fast|cheap", "fast"]}, rules=TextRules(separator=";"))
    assert found.findings == ("no cell of labels holds the separator ';', so that each has one label at most",)


TABLES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an id twice": (
        {"text": ["a", "b"], "label": [0, 1], "no": ["p", "p "]},
        {"id": "no"},
        r"row 2, column 'no': must be distinct, got 'p' as in .*row 1",
    ),
    "no id": ({"text": ["a", "b"], "label": [0, 1], "no": ["p", None]}, {"id": "no"}, r"row 2, column 'no': must be an id, got nothing"),
    "lengths": ({"text": ["a"], "label": [0, 1]}, {}, r"columns must be of one length, got {'text': 1, 'label': 2}"),
    "one text": ({"text": "ab", "label": [0, 1]}, {}, r"column 'text': must be a value per row, got one text, 'ab'"),
    "nothing": ({"text": [], "label": []}, {}, r"must hold texts, got none"),
    "only empty texts": ({"text": [""], "label": [0]}, {"rules": TextRules(empty="drop")}, r"must hold texts, got only empty ones"),
    "no flag": ({"text": ["a"], "u": [1], "v": [2]}, {"label": ("u", "v"), "kind": "labels"}, r"row 1, label 'v': must be 0 or 1, got 2"),
    "a missing flag": ({"text": ["a"], "u": [1], "v": [None]}, {"label": ("u", "v")}, r"row 1, label 'v': must be a finite number, got nothing"),
    "an empty label among several": (
        {"text": ["a"], "label": ["u||v"]},
        {"rules": TextRules(separator="|")},
        r"row 1, column 'label': .* got 'u\|\|v'",
    ),
    "no label in any row": ({"text": ["a"], "label": [""]}, {"rules": TextRules(separator="|")}, r"must hold a label in some row, got none"),
}


@pytest.mark.parametrize(("table", "options", "wanted"), TABLES.values(), ids=list(TABLES))
def test_wrong_tables_are_refused(table: dict[str, Any], options: dict[str, Any], wanted: str) -> None:
    with pytest.raises(DataError, match=r"the mapping.*" + wanted):
        read_texts(table, **options)


LEARNT = read_texts(["a", "b"], labels=["u", "v"])
FLAGGED = read_texts({"text": ["a"], "u": [1], "v": [0]}, label=("u", "v"))
OPTIONS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a kind of file": ("a.txt", {}, r"source must be \.csv, .* got 'a\.txt'"),
    "a kind of source": (3, {}, r"source must be a path, a list of texts, .* got int"),
    "a role twice": ({}, {"label": "text"}, r"each column must have one role"),
    "names and numbers": ({}, {"label": 1}, r"columns must all be named, or all numbered"),
    "numbers in a table": ({"text": ["a"]}, {"text": 0, "label": None}, r"columns of the mapping must be named, got numbers"),
    "columns of a list": (["a"], {"id": "no"}, r"columns must be left out for a list, .* got 'text', 'label', 'no'"),
    "labels of a list as a column": (
        ["a", "b"],
        {"label": [0, 1]},
        r"columns must be left out for a list, labels= being one for each, got 'text', 0, 1",
    ),
    "labels of a table": ({"text": ["a"]}, {"labels": [1]}, r"labels must be left out where source is no list"),
    "another kind than like": (["a"], {"labels": ["u"], "like": LEARNT, "kind": "number"}, r"kind must be that of like, 'class', got 'number'"),
    "like without labels": (["a"], {"labels": ["u"], "like": read_texts(["a"])}, r"like must be texts with labels"),
    "classes in several columns": ({"text": ["a"], "u": [0], "v": [1]}, {"label": ("u", "v"), "kind": "class"}, r"label must be one column"),
    "classes in lists": (["a"], {"labels": [["u"]], "kind": "class"}, r"kind must be 'labels' where a cell lists several"),
    "an unknown kind": (["a"], {"labels": ["u"], "kind": "clas"}, r"kind must be one of class, labels, number"),
}


@pytest.mark.parametrize(("source", "options", "wanted"), OPTIONS.values(), ids=list(OPTIONS))
def test_options_that_do_not_go_together_are_refused(source: Any, options: dict[str, Any], wanted: str) -> None:
    with pytest.raises(OptionError, match=wanted):
        read_texts(source, **options)


def test_numbers_are_for_files_of_cells_and_files_per_class_have_no_columns(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"must be named, got numbers; numbers are for \.csv and \.tsv"):
        read_texts(write(tmp_path, "a.jsonl", JSONL), 0, 1)
    with pytest.raises(DataError, match=r"column 7 must be there, counted from 0, got 2"):
        read_texts(write(tmp_path, "a.tsv", TSV), 0, 7)
    with pytest.raises(OptionError, match="columns must be left out for a file per class, got 'word', 'label'"):
        read_texts(tmp_path, "word")


def test_other_columns_or_labels_than_those_of_like_are_refused() -> None:
    with pytest.raises(DataError, match="labels must be those of like, u, v, got v, u"):
        read_texts({"text": ["a"], "u": [1], "v": [0]}, label=("v", "u"), like=FLAGGED)
    with pytest.raises(DataError, match="row 1, column 'label': must be among 'u', 'v', got 'w'"):
        read_texts({"text": ["a"], "label": ["u|w"]}, like=FLAGGED, rules=TextRules(separator="|"))
    with pytest.raises(DataError, match="labels must be one for each of 1 texts, got 2"):
        read_texts(["a"], labels=[1, 0])


@pytest.mark.parametrize("wrong", [{"quoting": 2}, {"empty": "skip"}, {"undecodable": "ignore"}, {"separator": " "}, {"max_characters": 0}])
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"TextRules: {next(iter(wrong))} must be"):
        TextRules(**wrong)
