"""Series of a Parquet folder that is larger than memory, some at a time, and the windows of an epoch from them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from grus.data.assembling import Known, assemble
from grus.data.calendar import Step
from grus.data.covariates import find_categories
from grus.data.panel import Columns, Panel
from grus.data.parsing import Column, is_text
from grus.data.scaling import Ranges, Scaling, ScalingFit
from grus.data.sources import Table, check_columns, open_dataset
from grus.data.splitting import Split
from grus.data.windows import Batch, Windows
from grus.errors import DataError, OptionError

READ_AHEAD = {"batch_readahead": 1, "fragment_readahead": 1}  # Arrow's own, 16 and 4, hold gigabytes of large files


class PanelStream:
    """The series of a Parquet file or folder, `ids_per_part` at a time, in the order in which the ids first appear.

    The step is that of the first part unless given, and the categories are those of the whole. Rows that an error names count within the part.
    A part is read when it is asked for, with a pass over the files; where the rows are sorted by id it reads little but its own.

    Raises: as read_panel; OptionError without an id column.
    """

    def __init__(self, source: str | PathLike[str], columns: Columns, *, ids_per_part: int = 1000, step: str | None = None) -> None:
        if columns.id is None:
            raise OptionError("PanelStream: columns.id must name the column of the series, got none; a table of one series is read by read_panel.")
        if ids_per_part < 1:
            raise OptionError(f"PanelStream: ids_per_part must be at least 1, got {ids_per_part}; give the number of series held at once.")
        self.name, self.columns = str(source), columns
        self._found = open_dataset(Path(source))
        check_columns(self.name, self._found.schema.names, columns.names)
        ids, categories = _survey(self._found, self.name, columns)
        self._parts = [ids[start : start + ids_per_part] for start in range(0, len(ids), ids_per_part)]
        self._known = Known(columns, None if step is None else Step.of(step), categories)
        if step is None:
            self._known = replace(self._known, step=self.part(0).step)

    def __len__(self) -> int:
        """The number of parts."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Panel]:
        return map(self.part, range(len(self)))

    def part(self, number: int) -> Panel:
        """The series of one part, 0 to len − 1."""
        ids = self._parts[number]
        label, column = f"{self.name}, series {ids[0]!r} to {ids[-1]!r}", dataset.field(self.columns.id)
        # The bounds let Arrow pass over row groups, as a set of ids does not.
        wanted = (column >= min(ids)) & (column <= max(ids)) & column.isin(pa.array(ids))
        kept = self._found.to_table(columns=list(self.columns.names), filter=wanted, **READ_AHEAD)
        arrays = {name: kept.column(name).combine_chunks() for name in self.columns.names}
        return assemble(Table(label, arrays, lambda row: f"{label}, row {row + 1}"), self._known)


def open_panels(source: str | PathLike[str], columns: Columns, *, ids_per_part: int = 1000, step: str | None = None) -> Iterator[Panel]:
    """The parts of a `PanelStream`, one after the other."""
    return iter(PanelStream(source, columns, ids_per_part=ids_per_part, step=step))


@dataclass(frozen=True, eq=False)
class SplitStream:
    """The parts of a stream, each split by time: cut(panel) is what ``grus.data.split`` gives."""

    panels: PanelStream
    cut: Callable[[Panel], Split]

    def __len__(self) -> int:
        return len(self.panels)

    def __iter__(self) -> Iterator[Split]:
        return map(self.part, range(len(self)))

    def part(self, number: int) -> Split:
        return self.cut(self.panels.part(number))

    def fit_scaling(self, method: str = "standard", covariates: str = "standard", show: Callable[[Panel], Panel] | None = None) -> Scaling:
        """The scaling of the training ranges of all parts, from one pass.

        show: what becomes of a panel before it is measured, such as ``Transform.apply``.
        """
        fit = ScalingFit(method, covariates)
        for part in self:
            fit.add(part.panel if show is None else show(part.panel), part.train)
        return fit.finish()


class WindowStream:
    """The windows of one kind of range of a stream, one part in memory at a time.

    make(panel, ranges, may_be_empty=True) gives the windows of a part: ``Windows`` with its other arguments filled in. ``Batch.series`` counts
    the series of the scaling, which is of the whole stream. An epoch takes the parts in an order of its own and the windows of each in another,
    so that windows of two parts never share a batch. Windows are counted once, in a pass.

    Raises: DataError where no part has a window.
    """

    def __init__(self, parts: SplitStream, kind: Literal["train", "validation", "test"], scaling: Scaling, make: Callable[..., Windows]) -> None:
        self.parts, self.kind, self._make = parts, kind, make
        self._places = {id: place for place, id in enumerate(scaling.target.names)}
        self.counts: list[int] = []
        for number in range(len(parts)):
            windows = self.windows(number)
            self.counts.append(len(windows))
            self.channels = windows.channels
        if not sum(self.counts):
            raise DataError(
                f"WindowStream: the {kind} part of a series must hold a window, got none in {len(self._places)} series; shorten the horizon."
            )

    def __len__(self) -> int:
        """The number of windows."""
        return sum(self.counts)

    def batches(self, batch_size: int) -> int:
        """How many batches an epoch has."""
        return sum(-(-count // batch_size) for count in self.counts)

    def windows(self, number: int) -> Windows:
        """Those of one part, whose ``Batch.series`` counts the part's own series."""
        part = self.parts.part(number)
        ranges: Ranges = getattr(part, self.kind)
        return self._make(part.panel, ranges, may_be_empty=True)

    def epoch(self, number: int, seed: int, batch_size: int, shuffle: bool = True) -> Iterator[Batch]:
        """Each window once, in an order that follows from number and seed alone."""
        if batch_size < 1:
            raise OptionError(f"WindowStream: batch_size must be at least 1, got {batch_size}; give the number of windows of a batch.")
        draw = np.random.default_rng((seed, number)) if shuffle else None
        filled = np.flatnonzero(self.counts)
        for part in (filled if draw is None else draw.permutation(filled)).tolist():
            yield from self._part_batches(part, draw, batch_size)

    def _part_batches(self, number: int, draw: np.random.Generator | None, batch_size: int) -> Iterator[Batch]:
        windows = self.windows(number)
        places: NDArray[np.int64] = np.array([self._places[series.id] for series in windows.panel], np.int64)
        order = np.arange(len(windows)) if draw is None else draw.permutation(len(windows))
        for start in range(0, len(order), batch_size):
            batch = windows.batch(order[start : start + batch_size])
            yield replace(batch, series=places[batch.series])


def _survey(found: Any, name: str, columns: Columns) -> tuple[list[Any], dict[str, tuple[str, ...]]]:
    """The distinct ids, and the categories of the columns of text, from one pass over those columns alone."""
    texts = [column for column in (*columns.past, *columns.future, *columns.static) if is_text(found.schema.field(column).type)]
    seen: dict[str, dict[Any, None]] = {column: {} for column in (columns.id or "", *texts)}
    for batch in found.to_batches(columns=list(seen), **READ_AHEAD):
        for column, values in seen.items():
            values.update(dict.fromkeys(batch.column(column).unique().to_pylist()))
    ids = list(seen.pop(columns.id or ""))
    if None in ids:
        raise DataError(f"{name}, column {columns.id!r}: must be the id of a series in every row, got nothing; give every row its id.")
    if not ids:
        raise DataError(f"{name}: must hold rows, got none; check that it was written to its end.")
    columns_of_text = (Column.of(column, pa.array(list(values), pa.string())) for column, values in seen.items())
    return ids, {column.name: find_categories(name, column) for column in columns_of_text if column.is_categorical}
