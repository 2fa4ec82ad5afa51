"""What sequences must be, and some of them."""

from __future__ import annotations

import numpy as np
import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.data.sequences import Sequences, Texts, Tokens, make_labels
from grus.errors import DataError
from tests.data.small_sequences import ROWS, VALUES


def test_sequences_must_fit_together() -> None:
    good = VALUES[0]
    for values, names, ids, times in (
        ((good,), ("u",), ("p",), None),
        ((good[:0],), ("u", "v"), ("p",), None),
        ((good.astype(np.float64),), ("u", "v"), ("p",), None),
        ((good * np.float32(np.inf),), ("u", "v"), ("p",), None),
        ((good, good), ("u", "v"), ("p", "p"), None),
        ((good,), ("u", "v"), ("p", "q"), None),
        ((good,), ("u", "u"), ("p",), None),
        ((good,), ("u", "v"), ("p",), (np.array([0.0, 1, 1]),)),
        ((good,), ("u", "v"), ("p",), ()),
    ):
        with pytest.raises(DataError):
            Sequences(values, names, ids, None, times)


def test_rows_of_sequences() -> None:
    whole = read_sequences(ROWS.assign(t=[1, 2, 3, 4]), SequenceColumns(id="id", time="t", label="label"))
    for index in ([1], np.array([False, True])):
        part = whole.rows(index)
        assert part.ids == ("q",)
        assert part.labels is not None
        assert part.labels.values.tolist() == [0]
        assert part.times is not None
        assert part.times[0].tolist() == [4]
        np.testing.assert_array_equal(part.values[0], VALUES[1])


def test_rows_of_texts_and_tokens() -> None:
    labels = make_labels(["a", "b", "a"])
    texts = Texts(("x", "y", "z"), ("1", "2", "3"), labels).rows([2, 0])
    assert (texts.texts, texts.ids, len(texts)) == (("z", "x"), ("3", "1"), 2)
    assert texts.labels is not None
    assert texts.labels.values.tolist() == [0, 0]
    tokens = Tokens(tuple(np.array([number]) for number in (2, 3, 4)), ("1", "2", "3"), labels).rows(np.array([False, True, True]))
    assert ([each.tolist() for each in tokens.values], tokens.ids) == ([[3], [4]], ("2", "3"))
    with pytest.raises(DataError, match="ids and labels must be one for each of 1, got 1 ids and 3 labels"):
        Texts(("x",), ("1",), labels)
