"""Labels of sequences: the kind that is found, the order of classes, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from grus.data.sequences import Labels, make_labels
from grus.errors import DataError, OptionError, ShapeError

FOUND = {
    "texts": (["b", "a", "b"], "class", ("a", "b"), [1, 0, 1]),
    "numbers as texts by number": (["10", "9", "10", "2"], "class", ("2", "9", "10"), [2, 1, 2, 0]),
    "whole numbers": (np.array([3, 1, 3]), "class", ("1", "3"), [1, 0, 1]),
    "whole floats": ([1.0, 2.0], "class", ("1", "2"), [0, 1]),
    "whole floats as texts": (["1.0", "2"], "class", ("1", "2"), [0, 1]),
    "negative numbers": (["-1", "1"], "class", ("-1", "1"), [0, 1]),
    "truth values": ([True, False], "class", ("False", "True"), [1, 0]),
    "pandas": (pd.Series(["y", "x"]), "class", ("x", "y"), [1, 0]),
    "pandas categories": (pd.Series(["y", "x"], dtype="category"), "class", ("x", "y"), [1, 0]),
    "polars": (pl.Series(["y", "x"]), "class", ("x", "y"), [1, 0]),
    "mostly words": (["a", "b", "1"], "class", ("1", "a", "b"), [1, 2, 0]),
    "Chinese": (["差", "好"], "class", ("好", "差"), [1, 0]),
    "fractions": ([1.0, 1.5], "number", ("y",), [[1.0], [1.5]]),
    "fractions as texts": (["1", "1.5e0", "-2"], "number", ("y",), [[1.0], [1.5], [-2.0]]),
    "columns of flags": ([[0, 1], [1, 1]], "labels", ("0", "1"), [[0, 1], [1, 1]]),
    "columns of truth": (np.array([[False, True], [True, True]]), "labels", ("0", "1"), [[0, 1], [1, 1]]),
    "columns of flags as texts": ([["0", "1"], ["1", "1"]], "labels", ("0", "1"), [[0, 1], [1, 1]]),
    "columns of numbers": ([[0, 2.5], [1, 1]], "number", ("0", "1"), [[0, 2.5], [1, 1]]),
    "lists of names": ([["b", "a"], [], ["b"]], "labels", ("a", "b"), [[1, 1], [0, 0], [0, 1]]),
}


@pytest.mark.parametrize(("values", "kind", "names", "expected"), FOUND.values(), ids=list(FOUND))
def test_kind_and_order_are_found(values: Any, kind: str, names: tuple[str, ...], expected: list[Any]) -> None:
    found = make_labels(values)
    assert (found.kind, found.names, found.values.tolist()) == (kind, names, expected)


def test_kind_is_given() -> None:
    assert make_labels(["1", "2", "x"], "class").names == ("1", "2", "x")
    assert make_labels([1, 2], "number").values.tolist() == [[1.0], [2.0]]
    assert make_labels(range(100), "number").kind == "number"
    assert make_labels([[0, 1], [1, 1]], "number", ["a", "b"]).names == ("a", "b")
    assert make_labels([1.0, 1.5], "class").names == ("1", "1.5")
    assert make_labels(np.array([[0], [1]]), "labels", ["ill"]).values.tolist() == [[0], [1]]
    assert make_labels([0, 1], "labels", ["ill"]).values.tolist() == [[0], [1]]


def test_names_keep_the_classes_of_training() -> None:
    found = make_labels(["b", "b"], names=("a", "b", "c"))
    assert found.values.tolist() == [1, 1]
    assert found.findings == ("no sequence is of class 'a' or 'c'",)
    assert make_labels([2.0, 1.0], names=("1", "2", "x")).values.tolist() == [1, 0]
    assert make_labels([["b"]], names=("a", "b")).values.tolist() == [[0, 1]]


def test_whole_numbers_of_many_kinds_are_classes_where_they_come_again() -> None:
    assert len(make_labels(np.repeat(np.arange(50), 4)).names) == 50


def test_ids_of_hexadecimal_digits_are_texts() -> None:
    """No Decimal holds an exponent of twenty digits."""
    found = make_labels(["7e4920481234567890123", "12", "7e4920481234567890123"], "class")
    assert (found.names, found.values.tolist()) == (("12", "7e4920481234567890123"), [1, 0, 1])


REFUSED = {
    "one class": (["a", "a"], {}, "labels: must be of at least two classes, got 1 ('a')"),
    "nothing": ([], {}, "at least two classes, got 0"),
    "NaN": (["a", np.nan, "b"], {}, "labels, row 2: must be a label, got nothing"),
    "None": ([1, 2, None, None], {}, "labels, row 3: must be a label, got nothing (in all 2 of 4)"),
    "an empty text": (["a", " "], {}, "labels, row 2: must be a label"),
    "pandas NA": (pd.Series([1, pd.NA, 2], dtype="Int64"), {}, "labels, row 2: must be a label"),
    "NaN among numbers": ([1.5, np.nan], {}, "labels, row 2: must be a label"),
    "almost numbers": (["1", "2", "x"], {}, "labels, row 3: must be a number as most are, 1, got 'x'; correct it, or say kind='class'"),
    "amounts": (range(40), {}, "must be known as amounts or as classes, got 40 different whole numbers in 40 sequences; say"),
    "one number in two ways": (["2", "1", "01", "2"], {}, "labels, row 3: must be '1' as in labels, row 2, got '01'; write one class in one way."),
    "a point behind a number": (["0", "1", "1.0"], {}, "labels, row 3: must be '1' as in labels, row 2, got '1.0'; write one class in one way."),
    "a point in the other class": (["0", "1.0", "0.0"], {}, "labels, row 3: must be '0' as in labels, row 1, got '0.0'; write one"),
    "one number in two ways among words": (["up", "7", "007", "up"], {}, "labels, row 3: must be '7' as in labels, row 2, got '007'; write one"),
    "one number in two ways with names": (["2.0", "2"], {"names": ("1", "2")}, "labels, row 2: must be '2.0' as in labels, row 1, got '2'"),
    "one number in two ways in lists": ([["a"], ["True", "true"]], {}, "labels, row 2: must be 'True' as in labels, row 2, got 'true'"),
    "truth in two ways": (
        ["True", "false", "true"],
        {},
        "labels, row 3: must be 'True' as in labels, row 1, got 'true'; write one class in one way.",
    ),
    "truth in two ways with blanks": (["TRUE", "FALSE", "False "], {}, "row 3: must be 'FALSE' as in labels, row 2, got 'False'"),
    "a number among texts": (
        [1, "up", "dn"],
        {"kind": "class"},
        "row 2: must be a number as in labels, row 1, 1, got 'up', a text; write all labels",
    ),
    "a text among truth values": ([True, False, "x"], {"kind": "class"}, "row 3: must be a truth value as in labels, row 1, True, got 'x', a text;"),
    "the word NaN": (
        ["a", "NaN", "b"],
        {},
        "labels, row 2: must be a label, got 'NaN', which says that there is none; give each sequence its label.",
    ),
    "NaN for a number": (
        ["1.5", " nan", ""],
        {"kind": "number"},
        "row 2: must be a number, got 'nan', which says that there is none (in all 2 of 3);",
    ),
    "one flag missing": ([[0, 1], [None, 1]], {"kind": "labels"}, "labels, row 2, label '0': must be 0 or 1, got nothing; correct it, or name"),
    "several in a cell": (
        ["a|x", "b"],
        {"kind": "labels", "names": ("y",)},
        "must be 0 or 1, got 'a|x' (in all 2 of 2); correct it, or name the sep",
    ),
    "unknown class": (["a", "c"], {"names": ("a", "b")}, "labels, row 2: must be one of the 2 classes, a, b, got 'c'"),
    "unknown label": ([["c"]], {"names": ("a", "b")}, "labels, row 1: must be among 'a', 'b', got 'c'"),
    "no number": (["1.5", "x"], {"kind": "number"}, "labels, row 2, label 'y': must be a finite number, got 'x'"),
    "infinite": ([1.5, np.inf], {"kind": "number"}, "labels, row 2: must be a finite number, got inf"),
    "NaN in columns": ([[0.5, np.nan]], {}, "labels, row 1, label '1': must be a finite number, got nothing"),
    "no flag": ([[0, 1], [2, 1]], {"kind": "labels"}, "labels, row 2, label '0': must be 0 or 1, got 2"),
    "ragged": ([[0, 1], [2]], {}, "rows must be of one length"),
    "columns for a class": ([[0, 1]], {"kind": "class"}, "must be [N] for kind 'class', got [1, 2]"),
    "infinite classes": ([1, np.inf, 2], {"kind": "class"}, "labels, row 2: must be a finite number, got inf"),
    "objects": ([{"a": 1}, {"b": 1}], {}, "labels: must be texts, truth values, numbers or lists of names, got others"),
    "dates": (np.array(["2024", "2025"], "M8[D]"), {}, "labels: must be texts, truth values, numbers or lists of names, got others"),
    "bytes of no text": (np.array([b"a", b"\xff"]), {}, "labels: bytes must be UTF-8, got others"),
    "one column for labels": (["a", "b"], {"kind": "labels"}, "must be [N, K] for kind 'labels'"),
    "lists for numbers": ([["a"]], {"kind": "number"}, "must be one per sequence for kind 'number'"),
    "names of other columns": ([[0, 1]], {"names": ("a",)}, "names must be 2, one per column, got 1"),
    "three dimensions": (np.zeros((2, 2, 2)), {}, "must be [N] or [N, K], got shape [2, 2, 2]"),
}


@pytest.mark.parametrize(("values", "options", "message"), REFUSED.values(), ids=list(REFUSED))
def test_labels_are_refused(values: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        make_labels(values, **options)
    assert message in str(caught.value)


def test_options_are_refused() -> None:
    with pytest.raises(OptionError, match="kind must be one of class, labels, number, got 'classes'"):
        make_labels(["a", "b"], "classes")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="must be a list or array, got str"):
        make_labels("ab")


def test_labels_must_fit_together() -> None:
    for kind, names, values in (
        ("class", ("a", "b"), np.array([0, 2])),
        ("class", ("a", "b"), np.array([0.0, 1.0])),
        ("class", ("a", "a"), np.array([0, 1])),
        ("labels", ("a",), np.array([[0, 1]], np.uint8)),
        ("labels", ("a", "b"), np.array([[0, 2]], np.uint8)),
        ("number", ("a",), np.array([[np.nan]])),
    ):
        with pytest.raises(DataError):
            Labels(kind, names, values)  # type: ignore[arg-type]


def test_rows_counts_and_findings() -> None:
    found = make_labels(["a", "b", "b"])
    assert found.rows([2, 0]).values.tolist() == [1, 0]
    assert found.counts == {"a": 1, "b": 2}
    several = make_labels([[1, 0, 1], [1, 0, 0]])
    assert several.counts == {"0": 2, "1": 0, "2": 1}
    assert several.findings == ("no sequence has label '1'", "every sequence has label '0'")
    assert make_labels([1.5, 2.5]).findings == ()
    assert make_labels([[1.5, 2.0], [1.5, 3.0]]).findings == ("'0' is the same number for every sequence",)
    assert make_labels([[1.5, 2.0], [1.5, 2.0]]).constant == ("0", "1")
    assert make_labels([[1.5, 2.0]], "number").findings == ()


def test_blanks_are_no_part_of_a_class() -> None:
    found = make_labels(["2", "2 ", " good", "good\t"], "class")
    assert (found.names, found.values.tolist()) == (("2", "good"), [0, 0, 1, 1])
    assert make_labels([[" a"], ["a", "b "]]).names == ("a", "b")
    assert found.findings == ()


def test_classes_that_differ_in_case_alone_are_told() -> None:
    found = make_labels(["good", "GOOD", "bad", "Good"])
    assert (found.names, found.values.tolist()) == (("GOOD", "Good", "bad", "good"), [3, 0, 2, 1])
    assert found.findings == ("classes 'GOOD' and 'Good' and 'good' differ in upper and lower case alone",)
    assert found.rows([0, 2]).findings == ("no sequence is of class 'GOOD' or 'Good'",)
    assert make_labels([["Fast"], ["fast", "b"]]).findings == ("labels 'Fast' and 'fast' differ in upper and lower case alone",)


def test_python_numbers_are_one_however_they_are_typed() -> None:
    found = make_labels([1, 1.0, np.float32(2), np.int64(2)], "class")
    assert (found.names, found.values.tolist()) == (("1", "2"), [0, 0, 1, 1])


def test_large_whole_numbers_stay_apart() -> None:
    names = ("123456789012345678901", "123456789012345678902")
    assert make_labels([*names, names[0]], "class").names == names
    assert make_labels(["9007199254740993.0", "9007199254740992.0"], "class").names == ("9007199254740992", "9007199254740993")
    assert make_labels(["1.000000000000000000e+00", "2.000000000000000000e+00"]).names == ("1", "2")


def test_bytes_are_texts() -> None:
    found = make_labels(np.array([b"b", "é".encode()]))
    assert (found.names, found.values.tolist()) == (("b", "é"), [0, 1])


def test_rows_are_chosen_by_truth_or_by_number() -> None:
    found = make_labels(["a", "b", "b"])
    assert found.rows(np.array([True, False, True])).values.tolist() == [0, 1]
    assert found.rows([]).values.tolist() == []
    assert found.rows([-1, 0]).values.tolist() == [1, 0]
    for index, got in (([True, False], r"bool \[2\]"), ([1.9], r"float64 \[1\]"), ([3], r"int64 \[1\]")):
        with pytest.raises(ShapeError, match=f"rows: index must be whole numbers below 3, or 3 truth values, got {got}; give such"):
            found.rows(index)
