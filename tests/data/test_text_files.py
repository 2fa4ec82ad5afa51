"""Files of texts that are wrong, packed, or hold a class each."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import pytest

from grus.data.texts import read_texts
from grus.errors import DataError
from tests.data.small_texts import COMPRESS, TSV, write


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_file_per_class_is_read(is_folder: bool, tmp_path: Path) -> None:
    files = {"Dutch.txt": "Abel\nVan Dam", "Arabic.txt": "Abel\r\nAswad\r\n", "NOTE.md": "x"}
    folder = tmp_path / "names"
    folder.mkdir()
    if is_folder:
        for name, content in files.items():
            write(folder, name, content)
    else:
        with zipfile.ZipFile(tmp_path / "names.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"names/{name}", content)
    found = read_texts(folder if is_folder else tmp_path / "names.zip")
    assert (found.texts, found.ids) == (("Abel", "Aswad", "Abel", "Van Dam"), ("Arabic 1", "Arabic 2", "Dutch 1", "Dutch 2"))
    assert found.labels is not None
    assert (found.labels.names, found.labels.values.tolist()) == (("Arabic", "Dutch"), [0, 0, 1, 1])
    prefix = "" if is_folder else "names/"
    assert found.findings == (
        f"left out, as no .txt: {prefix}NOTE.md",
        f"1 text stands there with different labels, such as 'Abel' in {prefix}Arabic.txt, line 1 and {prefix}Dutch.txt, line 1",
    )


WRONG: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.tsv", "\n", r"a\.tsv: must hold texts, got an empty file"),
    "a header alone": ("a.tsv", "text\tlabel\n", r"must hold rows of texts, got a header alone"),
    "no such column": ("a.tsv", "txt\tlabel\na\t0\n", r"column 'text' must be there once, got 'txt', 'label'; perhaps 'txt' was meant"),
    "a column twice": ("a.tsv", "text\tlabel\ttext\na\t0\tb\n", r"column 'text' must be there once, got it 2 times"),
    "no header": ("a.tsv", "so good\t1\nbad\t0\n", r"got 'so good', '1'; .* or number them without a header"),
    "ragged": ("a.tsv", "text\tlabel\na\t0\nb\tc\t1\n", r"line 3: must be 2 cells, as in the first line, got 3; write no separator"),
    "no label": ("a.tsv", "text\tlabel\na\t0\nb\t\nc\t1\n", r"line 3, column 'label': must be a label, got nothing"),
    "one class": ("a.tsv", "text\tlabel\na\t0\nb\t0\n", r"must be of at least two classes, got 1"),
    "almost a number": ("a.tsv", "text\tlabel\na\t0\nb\t1\nc\tx\n", r"line 4, column 'label': must be a number as most are, 0, got 'x'"),
    "a quote never closed": ("a.csv", 'text,label\na,0\n"b,1\nc,0\n', r"line 3, cell 1: must end with a quote, .* got '\"b,1\\nc,0\\n'; close"),
    "text behind a quote": ("a.csv", 'text,label\n"a" b,0\n', r"line 2, cell 1: must end with a quote, .* got '\"a\"' and then ' b,0'"),
    "a quote that hides a row": ("a.csv", 'label,text\n1,"a\n0,b\n1,c"\n0,d\n', r"line 2: must end each quote .* of which '0,b' looks like a row"),
    "no JSON": ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', r"line 2: must be one JSON object, got '{\"text\": ' \(Expecting value"),
    "no object": ("a.jsonl", '{"text": "a", "label": 1}\n[1]\n', r"line 2: must be one JSON object, got '\[1\]'"),
    "a key twice": ("a.jsonl", '{"text": "a", "text": "b", "label": 1}\n', r"line 1: must be one JSON object, .*key 'text' is there twice"),
    "deep JSON": ("a.jsonl", '{"text": ' + "[" * 100_000 + "\n", r"line 1: must be one JSON object"),
    "no key": ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', r"line 2, column 'label': must be there, got 'text'; write it"),
    "no such key": ("a.jsonl", '{"texts": "a", "label": 1}\n', r"column 'text' must be there once, got 'texts', 'label'; perhaps 'texts'"),
    "a number for a text": ("a.jsonl", '{"text": 3, "label": 1}\n', r"line 1, column 'text': must be a text, got 3"),
    "null for a text": ("a.jsonl", '{"text": null, "label": 1}\n', r"line 1, column 'text': must be a text, got nothing"),
    "a class in two ways": ("a.tsv", "text\tlabel\na\t1\nb\t0\nc\t1.0\n", r"a\.tsv, line 4, column 'label': must be '1' as in .*a\.tsv, line 2, col"),
    "truth in two ways": (
        "a.csv",
        "text,label\na,true\nb,no\nc, True\n",
        r"a\.csv, line 4, column 'label': must be 'true' as in .*line 2, .*got 'True'",
    ),
    "a number among texts": (
        "a.jsonl",
        '{"text": "a", "label": "up"}\n{"text": "b", "label": 1}\n',
        r"line 2, column 'label': must be a text as in .*a\.jsonl, line 1, column 'label', 'up', got 1, a number; write all labels as texts",
    ),
    "a label in two ways in lists": (
        "a.jsonl",
        '{"text": "a", "label": ["7", "x"]}\n{"text": "b", "label": ["07"]}\n',
        r"line 2, column 'label': must be '7' as in .*a\.jsonl, line 1, column 'label', got '07'; write one class in one way",
    ),
    "NaN for a label": ("a.jsonl", '{"text": "a", "label": NaN}\n', r"line 1, column 'label': must be a label, got nothing"),
    "labels of two forms": (
        "a.jsonl",
        '{"text": "a", "label": ["u"]}\n{"text": "b", "label": "u"}\n',
        r"line 2, column 'label': must be a list of names",
    ),
    "no gzip": ("a.tsv.gz", b"text\tlabel\n", r"a\.tsv\.gz: must be compressed as \.gz says"),
    "cut off": ("a.tsv.gz", gzip.compress(TSV.encode())[:-9], r"must be compressed as \.gz says"),
    "no xz": ("a.tsv.xz", b"text\tlabel\n", r"must be compressed as \.xz says"),
    "cut off bz2": ("a.tsv.bz2", bz2.compress(TSV.encode())[:-9], r"must be compressed as \.bz2 says"),
    "UTF-16": ("a.csv", "text,label\na,1\nb,0\n".encode("utf-16"), r"a\.csv: must be text in UTF-8, got the mark of UTF-16; save it so"),
    "UTF-16 without its mark": ("a.csv", "text,label\na,1\n".encode("utf-16-le"), r"must be text in UTF-8, got a zero byte in line 1"),
    "a zero byte": ("a.tsv", "text\tlabel\na\t0\nb\0\t1\n", r"must be text in UTF-8, got a zero byte in line 3"),
    "ends of lines of old": ("a.csv", "text,label\ra,1\rb,0\r", r"must have lines that end with \\n or \\r\\n, got \\r alone"),
    "only empty cells": ("a.csv", '""\n""\n', r"must hold texts, got only empty lines"),
    "semicolons": ("a.csv", "text;label\na;1\n", r"got 'text;label'; its cells seem to be separated by ';', write commas in \.csv and tabs"),
    "an infinite label": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "label": 1e400}\n',
        r"line 2, column 'label': must be a finite number",
    ),
    "an object for a label": ("a.jsonl", '{"text": "a", "label": {"u": 1}}\n', r"a\.jsonl, labels: must be texts, truth values, numbers or lists"),
    "bytes after the end": ("a.tsv.bz2", bz2.compress(TSV.encode()) + b"more", r"must be compressed as \.bz2 says"),
    "a second stream that is damaged": ("a.tsv.bz2", 2 * bz2.compress(TSV.encode())[:-1] + b"x", r"must be compressed as \.bz2 says"),
    "a second stream cut off": ("a.tsv.xz", (2 * lzma.compress(TSV.encode()))[:-9], r"must be compressed as \.xz says"),
    "bytes after the end of xz": ("a.tsv.xz", lzma.compress(TSV.encode()) + b"more", r"must be compressed as \.xz says"),
    "no zip": ("a.zip", b"PK", r"must be a \.zip that can be read"),
}


@pytest.mark.parametrize(("name", "content", "wanted"), WRONG.values(), ids=list(WRONG))
def test_wrong_files_are_refused(name: str, content: str | bytes, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="(?s)" + wanted) as caught:
        read_texts(write(tmp_path, name, content))
    assert name in str(caught.value)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_all_streams_of_a_file_are_read(suffix: str, tmp_path: Path) -> None:
    packed = COMPRESS[suffix](b"text\tlabel\na\t1\n") + COMPRESS[suffix](b"b\t0\n") + (b"" if suffix == ".bz2" else bytes(8))
    assert read_texts(write(tmp_path, f"a.tsv{suffix}", packed)).texts == ("a", "b")


def test_what_a_system_hides_in_an_archive_is_no_class(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, text in (("__MACOSX/n/._x.txt", "?"), ("n/.DS_Store", "?"), ("n/x.txt", "a\r\n"), ("n/y.txt", "b")):
            archive.writestr(name, text)
    found = read_texts(tmp_path / "a.zip")
    assert (found.texts, found.ids, found.findings) == (("a", "b"), ("x 1", "y 1"), ())


def test_an_archive_must_hold_one_folder_of_files(tmp_path: Path) -> None:
    for names, got in ((("a/x.txt", "b/y.txt"), "them in several, such as a/x.txt and b/y.txt"), (("x.csv",), "x.csv"), ((), "nothing")):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, "x")
        with pytest.raises(DataError, match=f"must hold a .txt file per class in one folder, .* got {got};"):
            read_texts(tmp_path / "a.zip")
