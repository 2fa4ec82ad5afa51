"""Sequences from arrays, ragged lists, archives and pandas tables as sktime has them; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.errors import DataError, OptionError
from tests.data.small_sequences import ROWS, VALUES, check

NESTED = pd.DataFrame({"u": [pd.Series(part[:, 0]) for part in VALUES], "v": [pd.Series(part[:, 1]) for part in VALUES]})
INDEX = pd.MultiIndex.from_tuples([("p", 0), ("p", 1), ("p", 2), ("q", 0)])


def test_ragged_lists() -> None:
    check(read_sequences(VALUES, labels=["b", "a"]), ("x0", "x1"), ("0", "1"))
    check(read_sequences([part.T for part in VALUES], layout="NCT"), ("x0", "x1"), ("0", "1"), labelled=False)
    check(read_sequences([part.tolist() for part in VALUES], SequenceColumns(channels=("u", "v")), ids=["p", "q"], labels=["b", "a"]))
    check(read_sequences([[[1, 2], [3, None], [5, 6]], [[7, 8]]], SequenceColumns(channels=("u", "v")), ids=["p", "q"]), labelled=False)


def test_arrays_of_three_dimensions() -> None:
    whole = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(np.stack(read_sequences(whole).values), whole)
    np.testing.assert_array_equal(np.stack(read_sequences(whole.transpose(0, 2, 1), layout="NCT").values), whole)
    flags = read_sequences(whole > 3)
    np.testing.assert_array_equal(np.stack(flags.values), whole > 3)
    flat = read_sequences(np.array([[1, 2, 3], [4, 5, 6]]))
    assert flat.values[1].tolist() == [[4], [5], [6]]
    assert read_sequences([[1.0], [2, 3]]).lengths.tolist() == [1, 2]


def test_pandas_as_sktime_has_it() -> None:
    check(read_sequences(NESTED.set_axis(["p", "q"]), labels=["b", "a"]))
    check(read_sequences(ROWS[["u", "v"]].set_axis(INDEX), labels=["b", "a"]))
    with pytest.raises(DataError, match="rows of one sequence must stand together"):
        read_sequences(ROWS[["u", "v"]].set_axis(INDEX).iloc[[0, 3, 1, 2]])
    with pytest.raises(DataError, match=r"row 1: cells must be series of one length, got \[3, 1\]"):
        read_sequences(pd.DataFrame({"u": [pd.Series([1.0, 2, 3])], "v": [pd.Series([1.0])]}))


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=np.arange(12.0).reshape(2, 3, 2), y=["b", "a"], names=["p", "q"], t=[0.0, 1, 5])
    found = read_sequences(path, SequenceColumns(value="X", label="y", id="names", time="t", channels=("u", "v")))
    np.testing.assert_array_equal(np.stack(found.values), np.arange(12.0).reshape(2, 3, 2))
    assert found.ids == ("p", "q")
    assert found.times is not None
    assert found.times[1].tolist() == [0, 1, 5]
    assert found.labels is not None
    assert found.labels.values.tolist() == [1, 0]
    np.savez(path, flat=np.concatenate(VALUES), lengths=[3, 1], y=[1, 0])
    check(read_sequences(path, SequenceColumns(value="flat", length="lengths")), ("x0", "x1"), ("0", "1"), labelled=False)


@pytest.mark.parametrize(
    ("arrays", "columns", "message"),
    [
        ({"X": np.zeros((2, 3, 1))}, SequenceColumns(value="x"), "key 'x' must be there, got X"),
        ({"X": np.zeros((2, 3, 1))}, SequenceColumns(), "value must name the array of the sequences"),
        ({"X": np.array([[1], [2, 3]], object)}, SequenceColumns(value="X"), "must be an .npz of plain arrays"),
        ({"X": np.zeros((4, 1)), "n": [1, 2]}, SequenceColumns(value="X", length="n"), "must be whole numbers that add up to 4 steps"),
        ({"X": np.zeros((3, 1)), "n": [3, 0]}, SequenceColumns(value="X", length="n"), "must be at least 1, got 0 for sequence 2"),
        ({"X": np.zeros((2, 3, 1)), "y": [1, 2, 3]}, SequenceColumns(value="X", label="y"), "labels: must be 2, one per sequence, got 3"),
    ],
)
def test_bad_archives_are_refused(arrays: dict[str, Any], columns: SequenceColumns, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
    with pytest.raises(DataError) as caught:
        read_sequences(tmp_path / "a.npz", columns)
    assert message in str(caught.value)
    (tmp_path / "b.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"must be an \.npz of plain arrays"):
        read_sequences(tmp_path / "b.npz", SequenceColumns(value="X"))


ARRAYS = {
    "no sequence": ([], "must hold sequences, got none"),
    "no row": (np.zeros((0, 3, 1)), "must hold sequences, got none"),
    "length 0": ([[1.0], []], "sequence 2: must have a step and a channel, got shape [0]"),
    "no channel": (np.zeros((1, 3, 0)), "sequence 1: must have a step and a channel"),
    "channels that differ": ([np.zeros((2, 2)), np.zeros((2, 3))], "sequence 2: must have 2 channels as the first one has, got 3"),
    "infinite": ([[1.0], [2.0, np.inf]], "sequence 2, step 2, channel 0: must be finite in 32 bits, got inf"),
    "beyond 32 bits": ([[1.0], [2.0, -1e39]], "sequence 2, step 2, channel 0: must be finite in 32 bits, got -1e+39"),
    "texts": ([["a", "b"]], "sequence 1: must be numbers, got <U1"),
    "ragged steps": ([[[1, 2], [3]]], "sequence 1: must be numbers, with as many channels in every step"),
    "one dimension": (np.zeros(3), "must be [N, T, C], or [N, T] for one channel, got shape [3]"),
    "scalars": ([1.0, 2.0], "sequence 1: must be [T, C], or [T] for one channel, got shape []"),
    "complex": (np.zeros((1, 2), complex), "sequence 1: must be numbers, got complex128"),
}


@pytest.mark.parametrize(("source", "message"), ARRAYS.values(), ids=list(ARRAYS))
def test_bad_arrays_are_refused(source: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_sequences(source)
    assert message in str(caught.value)


def test_arrays_of_other_libraries() -> None:
    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.arange(12.0).reshape(2, 3, 2)

    np.testing.assert_array_equal(np.stack(read_sequences(Tensor()).values), np.arange(12.0).reshape(2, 3, 2))


def test_what_a_mask_hides_is_missing() -> None:
    for source in (np.ma.masked_array([[1, 2], [3, 4]], [[0, 1], [0, 0]]), [np.ma.masked_array([1.0, 2.0], [0, 1]), [3.0, 4.0]]):
        found = read_sequences(source)
        np.testing.assert_array_equal(np.stack(found.values)[:, :, 0], np.array([[1, np.nan], [3, 4]], np.float32))


def test_times_in_an_index_must_rise() -> None:
    index = pd.MultiIndex.from_tuples([("p", 0), ("p", 2), ("p", 1), ("q", 0)])
    for times in (index, index.set_levels([0, 1, 1], level=1, verify_integrity=False)):
        with pytest.raises(DataError, match="times in the index must rise in each sequence, got others; sort the index"):
            read_sequences(pd.DataFrame({"u": [1.0, 2, 3, 4]}, index=times))
    with pytest.raises(OptionError, match="layout must be left out for a pandas table of sequences, got 'NCT'"):
        read_sequences(pd.DataFrame({"u": [1.0, 2, 3, 4]}, index=INDEX), layout="NCT")


@pytest.mark.parametrize("named", [{"id": "id"}, {"label": "y"}, {"row": "sequence"}])
def test_columns_of_arrays_are_refused(named: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(named))} must be left out where there are no columns to name, got .* for arrays; "):
        read_sequences(VALUES, SequenceColumns(**named))


def test_labels_of_an_archive_keep_their_names_and_times_need_no_id(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 3)), spam=[0, 1], long=[1, 1], t=[0.0, 0.5, 2.0])
    found = read_sequences(tmp_path / "a.npz", SequenceColumns(value="X", time="t", label=("spam", "long")))
    assert found.labels is not None
    assert (found.labels.kind, found.labels.names, found.labels.values.tolist()) == ("labels", ("spam", "long"), [[0, 1], [1, 1]])
    assert found.times is not None
    assert [times.tolist() for times in found.times] == [[0.0, 0.5, 2.0]] * 2


ARCHIVES = {
    "no such key": ({"X": np.zeros((1, 2))}, {"label": "y"}, r"a\.npz: key 'y' must be there, got X; name another key\.$"),
    "times as dates": (
        {"X": np.zeros((1, 2)), "t": np.array(["2024", "2025"], "M8[D]")},
        {"time": "t"},
        r"key 't': must be numbers, got datetime64\[D\]",
    ),
    "labels of other lengths": (
        {"X": np.zeros((1, 2)), "y": [1], "z": [1, 2]},
        {"label": ("y", "z")},
        r"labels must be of one shape, got \[\[1\], \[2\]\]",
    ),
}


@pytest.mark.parametrize(("arrays", "named", "wanted"), ARCHIVES.values(), ids=list(ARCHIVES))
def test_keys_that_do_not_fit_are_refused(arrays: dict[str, Any], named: dict[str, Any], wanted: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=wanted):
        read_sequences(tmp_path / "a.npz", SequenceColumns(value="X", **named))


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", X=np.random.default_rng(0).random((20, 30)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(data)
    np.save(tmp_path / "b.npy", np.zeros((2, 3)))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError, match=rf"{name}: must be an \.npz of plain arrays, got something else"):
            read_sequences(tmp_path / name, SequenceColumns(value="X"))
