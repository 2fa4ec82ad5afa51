"""What an estimator of sequences is given, by its form: a table, sequences or texts; and a weight for each."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data.label_names import check_written_alike
from grus.data.sequence_arrays import Layout, is_panel_frame
from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_reading import read_sequences
from grus.data.sequences import Sequences, Texts
from grus.data.text_rows import is_missing
from grus.data.texts import read_texts
from grus.errors import DataError, OptionError

Form = Literal["table", "sequences", "texts", "read"]
Data = Sequences | Texts
NESTED = (list, tuple)


def form_of(who: str, X: Any) -> Form:
    """What X is.

        read       what ``grus.data`` has read
        texts      a list, array or column of texts
        table      an array [N, F], a pandas table of numbers or a list of lists of one length: N sequences of F steps of one channel
        sequences  an array [N, T, C], a list of arrays, lists of several lengths; panels as sktime and aeon have them

    Raises: OptionError for what is none of them; DataError for an empty list.
    """
    if isinstance(X, Sequences | Texts):
        return "read"
    if is_panel_frame(X):
        return "sequences"
    dims = 1 if isinstance(X, NESTED) else len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim if hasattr(X, "__array__") else 0
    if not dims:
        kinds = "an array, a list of sequences, a list of texts or a pandas table"
        raise OptionError(f"{who}: X must be {kinds}, got {type(X).__name__}; read files with grus.data.read_sequences or read_texts.")
    if dims > 1:
        return "table" if dims == 2 else "sequences"
    cells = list(X)
    if not cells:
        raise DataError(f"{who}: X must hold a sequence or a text, got none; give one at least.")
    if any(isinstance(cell, str) for cell in cells):
        return "texts"
    if all(isinstance(cell, NESTED) and not any(np.ndim(value) for value in cell) for cell in cells):
        return "table" if len({len(cell) for cell in cells}) == 1 else "sequences"
    return "sequences" if any(np.ndim(cell) for cell in cells) else "table"


def read_as(form: Form, X: Any, layout: Layout, channels: tuple[str, ...]) -> Data:
    """X as ``grus.data`` has it, without labels unless it was read with them; a table is an array here.

    Raises: DataError.
    """
    if isinstance(X, Sequences | Texts):
        return X
    if form == "texts":
        return read_texts(list(X), label=None)
    columns = SequenceColumns(channels=channels)
    if form == "table":
        return read_sequences(X[:, :, None], columns)
    if is_panel_frame(X):  # which says itself what its channels are
        return read_sequences(X, columns)
    return read_sequences(X if hasattr(X, "shape") and len(X.shape) > 1 else list(X), columns, layout=layout)


def check_index(who: str, X: Any, y: Any) -> None:
    """Raises: DataError where both are of pandas and have one index in two orders: scikit-learn goes by position, pandas would not."""
    if not (isinstance(X, pd.DataFrame | pd.Series) and isinstance(y, pd.DataFrame | pd.Series)) or y.index.nlevels > 1:
        return
    own = X.index.get_level_values(0).unique() if X.index.nlevels > 1 else X.index
    ours, theirs = own.tolist(), y.index.tolist()
    if ours != theirs and len(set(ours)) == len(ours) == len(theirs) and set(ours) == set(theirs):
        at = next(row for row, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
        got = f"{theirs[at]!r} in place of {ours[at]!r} in row {at + 1}"
        raise DataError(f"{who}: y must be in the order of X's index, got {got}; give y.loc[X.index], or y.to_numpy() where rows stand in one order.")


def check_written(who: str, y: Any) -> None:
    """Raises: DataError where one class is written in two ways, or with blanks around it, of which scikit-learn's scores would make another class."""
    listed = y if isinstance(y, NESTED) else y.tolist() if getattr(y, "ndim", 0) == 1 and hasattr(y, "tolist") else ()
    if not any(isinstance(value, str) for value in listed) or any(is_missing(value) for value in listed):  # which scikit-learn refuses
        return
    check_written_alike(listed, lambda row: f"{who}: y, row {row + 1}")
    texts: list[str] = list(listed)
    for row, text in enumerate(texts):
        if text != text.strip():
            raise DataError(f"{who}: y, row {row + 1}: must have no blanks around it, got {text!r}; strip the labels.")


def read_weights(who: str, weights: Any, count: int) -> NDArray[np.float64] | None:
    """One weight for each of the sequences.

    Raises: DataError.
    """
    if weights is None:
        return None
    found = np.asarray(weights, np.float64)
    if found.shape != (count,):
        raise DataError(f"{who}: sample_weight must be [N] = [{count}], got {list(found.shape)}; give one weight for each sequence.")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        wrong = int(np.flatnonzero(~(np.isfinite(found) & (found >= 0)))[0])
        raise DataError(f"{who}: sample_weight must be finite and at least 0, got {found[wrong]} for sequence {wrong + 1}; correct it.")
    if not found.any():
        raise DataError(f"{who}: sample_weight must be above 0 for a sequence, got only zero weights; give one of them more.")
    return found
