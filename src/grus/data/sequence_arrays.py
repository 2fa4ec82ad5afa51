"""Sequences from arrays, ragged lists, archives of arrays and pandas tables as sktime has them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_labels import LARGEST
from grus.errors import DataError

Layout = Literal["NTC", "NCT"]
LAYOUTS = ("NTC", "NCT")
Values = tuple[NDArray[np.float32], ...]


def from_arrays(source: Any, layout: Layout = "NTC", who: str = "the arrays") -> Values:
    """Each sequence as [T, C].

    source: [N, T, C], or [N, C, T] for layout "NCT"; [N, T] or a list of [T] for one channel; a list of [T, C], or of [C, T].

    Raises: DataError naming the sequence, the step and the channel.
    """
    if isinstance(source, np.ndarray) and source.dtype != object:
        if source.ndim not in (2, 3):
            raise DataError(f"{who}: must be [N, T, C], or [N, T] for one channel, got shape {list(source.shape)}; reshape it.")
        parts: Sequence[Any] = list(source)
    else:
        parts = list(source)
    if not parts:
        raise DataError(f"{who}: must hold sequences, got none; give one at least.")
    found: list[NDArray[np.float32]] = []
    for number, part in enumerate(parts):
        where = f"{who}, sequence {number + 1}"
        values = _numeric(where, part)
        if values.ndim not in (1, 2):
            raise DataError(f"{where}: must be [T, C], or [T] for one channel, got shape {list(values.shape)}; reshape it.")
        shaped = values[:, None] if values.ndim == 1 else values.T if layout == "NCT" else values
        if not shaped.size:
            raise DataError(f"{where}: must have a step and a channel, got shape {list(np.shape(part))}; leave it out.")
        if found and shaped.shape[1] != found[0].shape[1]:
            remedy = "" if layout == "NCT" else ", or say layout='NCT' where channels come before steps"
            raise DataError(
                f"{where}: must have {found[0].shape[1]} channels as the first one has, got {shaped.shape[1]}; give all the same{remedy}."
            )
        bad = np.argwhere(np.abs(shaped) > LARGEST)
        if len(bad):
            step, channel = bad[0].tolist()
            got = shaped[step, channel]
            raise DataError(f"{where}, step {step + 1}, channel {channel}: must be finite in 32 bits, got {got}; write NaN where it is missing.")
        found.append(np.ascontiguousarray(shaped, np.float32))
    return tuple(found)


def plain(values: Any) -> NDArray[Any]:
    """An array, of a masked one NaN where its mask hides a value."""
    return np.ma.filled(values.astype(np.float64), np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _numeric(where: str, part: Any) -> NDArray[Any]:
    try:
        values = plain(part)
        if values.dtype == object:
            values = values.astype(np.float64)  # None is missing
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: must be numbers, with as many channels in every step, got others ({error}); correct it.") from error
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: must be numbers, got {values.dtype}; convert it.")
    return values


def from_archive(path: Path, columns: SequenceColumns, layout: Layout) -> tuple[Values, Any, Any, tuple[NDArray[np.float64], ...] | None]:
    """The values, labels, ids and times of an .npz archive, whose keys the columns name; no pickled object is read.

    Raises: DataError for a key that is not there, and for an array of objects.
    """
    if columns.value is None:
        raise DataError(f"{path}: value must name the array of the sequences, got None; write SequenceColumns(value=…), and label=… for the labels.")
    keys = [columns.value, columns.length, columns.id, columns.time, *columns.labels]
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys if key is not None and key not in archive]
            if missing:
                raise DataError(f"{path}: key {missing[0]!r} must be there, got {', '.join(archive)}; name another key.")
            read = {key: archive[key] for key in keys if key is not None}
    except DataError:
        raise
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # TypeError: an .npy
        raise DataError(f"{path}: must be an .npz of plain arrays, got something else ({error}); save it anew with numpy.savez.") from error
    values: Any = read[columns.value]
    times: Any = None if columns.time is None else read[columns.time]
    if times is not None and times.dtype.kind not in "iuf":
        raise DataError(f"{path}, key {columns.time!r}: must be numbers, got {times.dtype}; write times as hours, or in another unit.")
    times = None if times is None else times.astype(np.float64)
    if columns.length is not None:
        ends = _ends(f"{path}, key {columns.length!r}", read[columns.length], len(values))
        values = np.split(values, ends)
        times = None if times is None else np.split(times, ends)
    elif times is not None and times.ndim == 1:
        times = [times] * len(values)
    found = from_arrays(values, layout if columns.length is None else "NTC", f"{path}, key {columns.value!r}")
    labels = [read[key] for key in columns.labels]
    if len({label.shape for label in labels}) > 1:
        raise DataError(
            f"{path}: labels must be of one shape, got {[list(label.shape) for label in labels]}; give each sequence a value for every label."
        )
    truth = None if not labels else labels[0] if len(labels) == 1 else np.stack(labels, axis=1)
    return found, truth, None if columns.id is None else read[columns.id], None if times is None else tuple(times)


def _ends(where: str, lengths: NDArray[Any], total: int) -> NDArray[np.int64]:
    """Where each sequence but the last ends."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or lengths.sum() != total:
        raise DataError(f"{where}: must be whole numbers that add up to {total} steps, got {lengths.dtype} {list(lengths.shape)}; correct them.")
    empty = np.flatnonzero(lengths < 1)
    if empty.size:
        raise DataError(f"{where}: must be at least 1, got {lengths[empty[0]]} for sequence {empty[0] + 1}; leave it out.")
    return np.cumsum(lengths)[:-1].astype(np.int64)


def is_panel_frame(source: Any) -> bool:
    """Whether a pandas table holds sequences as sktime has them: in an index of two levels, or one in each cell."""
    if not isinstance(source, pd.DataFrame) or not len(source.columns):
        return False
    if isinstance(source.index, pd.MultiIndex):
        return source.index.nlevels == 2
    return len(source) > 0 and all(isinstance(value, pd.Series | np.ndarray) for value in source.iloc[0])


def from_panel_frame(frame: Any) -> tuple[Values, tuple[str, ...], tuple[str, ...]]:
    """The values, channels and ids of such a table; times are taken as steps."""
    names = tuple(map(str, frame.columns))
    if isinstance(frame.index, pd.MultiIndex):
        codes, ids = pd.factorize(frame.index.get_level_values(0))
        if (np.diff(codes) < 0).any():
            raise DataError("the pandas table: rows of one sequence must stand together, got others between them; sort the index.")
        stamps = pd.factorize(frame.index.get_level_values(1), sort=True)[0]
        if ((np.diff(codes) == 0) & (np.diff(stamps) <= 0)).any():
            raise DataError(
                "the pandas table: times in the index must rise in each sequence, got others; sort the index, and leave out repeated times."
            )
        parts: list[Any] = np.split(frame.to_numpy(), np.flatnonzero(np.diff(codes)) + 1)
        return from_arrays(parts, who="the pandas table"), names, tuple(map(str, ids))
    parts = []
    for row, cells in enumerate(frame.itertuples(index=False)):
        lengths = [len(cell) if hasattr(cell, "__len__") else 0 for cell in cells]
        if len(set(lengths)) > 1 or not lengths[0]:
            raise DataError(f"the pandas table, row {row + 1}: cells must be series of one length, got {lengths}; give every channel each step.")
        parts.append(np.stack([np.asarray(cell) for cell in cells], axis=1))
    return from_arrays(parts, who="the pandas table"), names, tuple(map(str, frame.index))
