"""Sequences read from files, tables and arrays, strictly."""
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from grus.data.sequence_arrays import LAYOUTS, Layout, from_archive, from_arrays, from_panel_frame, is_panel_frame, plain
from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_labels import Kind
from grus.data.sequence_records import read_records
from grus.data.sequence_sources import Asked, some
from grus.data.sequence_tables import read_steps, read_wide
from grus.data.sequence_truths import with_findings
from grus.data.sequence_ts import read_ts
from grus.data.sequences import Sequences
from grus.errors import DataError, OptionError


def read_sequences(
    source: Any,
    columns: SequenceColumns | None = None,
    *,
    labels: Any = None,
    ids: Sequence[Any] | None = None,
    kind: Kind | None = None,
    like: Sequences | None = None,
    layout: Layout = "NTC",
    absent: Mapping[str, float] | None = None,
    at_one_time: Literal["last", "mean"] = "last",
) -> Sequences:
    """The sequences of a file, a table or arrays.

    source: .ts, of the UEA and UCR archives, .npz, a table (.csv, .tsv, .parquet, a folder of Parquet files; .ts, .csv and .tsv also .gz), a
        pandas, polars or pyarrow table, a mapping of arrays; an array [N, T, C] or [N, T], a list of [T, C] or [T]; a pandas table with an
        index of two levels, or with a series in each cell, as sktime has them.
    columns: which column is what; of tables and .npz.
    labels: of arrays and of tables with a row per sequence one each, of other tables a table of id and label.
    ids: of arrays; 0, 1, 2, … by default.
    kind: "class", "labels" or "number"; None finds it as make_labels does.
    like: sequences read earlier, whose channels, kind and classes hold; where it has no labels, those of the source are passed over.
    layout: "NCT" where channels come before steps.
    absent: the number that stands for a missing value in a channel, {"Height": -1}.
    at_one_time: what counts of several values of a channel at one time, where rows are values.

    Numbers are 32-bit; empty, NA, NaN and None are not measured. Times are numbers as they are, or hours where written 07:30 or as dates.

    Raises: DataError naming file, row, column and value; OptionError for options that do not go together.

    Example:
        >>> found = read_sequences([[1.0, 2.0], [3.0]], labels=["a", "b"])
        >>> found.lengths.tolist(), found.names, found.labels.names
        ([2, 1], ('x0',), ('a', 'b'))
    """
    if layout not in LAYOUTS or at_one_time not in ("last", "mean"):
        raise OptionError(f"read_sequences: layout must be NTC or NCT, at_one_time last or mean, got {layout!r}, {at_one_time!r}; correct it.")
    if hasattr(source, "__array__") and not hasattr(source, "columns") and not hasattr(source, "__arrow_c_stream__"):
        source = plain(source)  # of other libraries
    asked = Asked(columns or SequenceColumns(), labels, kind, like, absent, at_one_time == "mean")
    path = Path(cast(str, source)) if isinstance(source, str | PathLike) else None
    suffix = None if path is None else "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    is_table = suffix not in (None, ".ts", ".ts.gz", ".npz") if path is not None else not isinstance(source, np.ndarray | list | tuple)
    if is_table and not is_panel_frame(source):
        _check_table(columns, ids, layout)
        found = {"step": read_steps, "sequence": read_wide, "value": read_records}[asked.columns.kind_of_row](source, asked)
        _check_absent(found, asked, "read_sequences" if path is None else str(path))
        return _with_empty(found)
    if suffix != ".npz":
        _check_named(asked.columns, "arrays" if path is None else "a .ts file")
    if path is not None and suffix != ".npz":
        _refuse_for_ts(labels, ids, layout)
        found = read_ts(path, kind, asked.columns.channels or (() if like is None else like.names), like)
        return _with_empty(_like(found, asked, str(path)))
    return _with_empty(_of_arrays(source, path, asked, ids, layout))


def _of_arrays(source: Any, path: Path | None, asked: Asked, ids: Sequence[Any] | None, layout: Layout) -> Sequences:
    truth, found_ids, times, columns = asked.labels, ids, None, None
    names = asked.columns.channels or (() if asked.like is None else asked.like.names)
    if path is not None:
        values, inside, own, times = from_archive(path, replace(asked.columns, label=asked.truths or None), layout)
        truth, found_ids = inside if truth is None else truth, own if ids is None else ids
        columns = asked.columns.labels if truth is inside and len(asked.columns.labels) > 1 else None
    elif is_panel_frame(source):
        if layout != "NTC":
            raise OptionError(f"read_sequences: layout must be left out for a pandas table of sequences, got {layout!r}; leave it out.")
        values, own_names, own = from_panel_frame(source)
        if names and names != own_names:
            raise DataError(f"the pandas table: channels must be {list(names)}, got {list(own_names)}; give the same columns.")
        names, found_ids = own_names, own if ids is None else ids
    else:
        values = from_arrays(source, layout)
    who, width = "the arrays" if path is None else str(path), values[0].shape[1]
    if names and len(names) != width:
        raise DataError(f"{who}: channels must be {len(names)}, {', '.join(names[:10])}, got {width}; give the same.")
    if truth is not None and len(truth) != len(values):
        raise DataError(f"labels: must be {len(values)}, one per sequence, got {len(truth)}; give one for each.")
    source_of = "" if path is None else str(path)
    made, told = with_findings(None if truth is None else asked.make(truth, columns, lambda row: f"{who}, labels, row {row + 1}", source_of))
    keys = tuple(map(str, range(len(values)) if found_ids is None else found_ids))
    return _like(Sequences(values, tuple(names) or tuple(f"x{at}" for at in range(width)), keys, made, times, told), asked, who)


def _like(found: Sequences, asked: Asked, who: str) -> Sequences:
    """The sequences with missing values for the numbers that stand for them.

    Raises: DataError where the channels are not those of `like`.
    """
    if asked.like is not None and found.names != asked.like.names:
        raise DataError(f"{who}: channels must be {list(asked.like.names)}, got {list(found.names)}; give the same.")
    _check_absent(found, asked, who)
    if not asked.absent:
        return found
    hidden = np.array([asked.absent.get(name, np.nan) for name in found.names], np.float32)
    values = tuple(np.where(each == hidden, np.float32(np.nan), each) for each in found.values)
    return Sequences(values, found.names, found.ids, found.labels, found.times, found.findings)


def _with_empty(found: Sequences) -> Sequences:
    """The sequences, which tell of those without a value."""
    empty = [id for id, values in zip(found.ids, found.values, strict=True) if np.isnan(values).all()]
    if not empty:
        return found
    return replace(found, findings=(*found.findings, f"nothing was measured in {len(empty)} of {len(found)} sequences: {some(empty)}"))


def _check_absent(found: Sequences, asked: Asked, who: str) -> None:
    unknown = sorted(set(asked.absent or {}) - set(found.names))
    if unknown:
        raise DataError(f"{who}: absent must name channels, {list(found.names)}, got {unknown[0]!r}; correct it.")


def _check_named(columns: SequenceColumns, what: str) -> None:
    named = [name for name in ("id", "time", "label", "variable", "value", "length", "row") if getattr(columns, name) not in (None, ())]
    if named:
        got = f"{getattr(columns, named[0])!r} for {what}"
        raise OptionError(
            f"read_sequences: {named[0]} must be left out where there are no columns to name, got {got}; leave it out, or give a table."
        )


def _check_table(columns: SequenceColumns | None, ids: Any, layout: Layout) -> None:
    if columns is None:
        raise OptionError("read_sequences: columns must be given for a table, got None; write SequenceColumns(id=…, time=…, label=…).")
    if columns.length is not None or (columns.value is not None and columns.variable is None):
        raise OptionError("read_sequences: length and value must be left out for a table without variable, got one of them; leave it out.")
    if ids is not None or layout != "NTC":
        raise OptionError("read_sequences: ids and layout must be left out for a table, got one of them; name the columns instead.")


def _refuse_for_ts(labels: Any, ids: Any, layout: Layout) -> None:
    if labels is not None or ids is not None or layout != "NTC":
        raise OptionError("read_sequences: labels, ids and layout must be left out for a .ts file, which says them itself, got one; leave it out.")
