"""Two small sequences of two channels, as arrays and as rows of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grus.data.sequences import Sequences

VALUES = [np.array([[1, 2], [3, np.nan], [5, 6]], np.float32), np.array([[7, 8]], np.float32)]
ROWS = pd.DataFrame({"id": ["p", "p", "p", "q"], "u": [1.0, 3, 5, 7], "v": [2.0, None, 6, 8], "label": ["b", "b", "b", "a"]})


def check(found: Sequences, names: tuple[str, ...] = ("u", "v"), ids: tuple[str, ...] = ("p", "q"), labelled: bool = True) -> None:
    assert (found.names, found.ids, len(found)) == (names, ids, 2)
    for values, expected in zip(found.values, VALUES, strict=True):
        np.testing.assert_array_equal(values, expected)
        assert values.dtype == np.float32
    assert (found.labels is not None) == labelled
    if found.labels is not None:
        assert (found.labels.names, found.labels.values.tolist()) == (("a", "b"), [1, 0])
