"""Series of a Parquet table that is larger than memory, some at a time, and the windows of an epoch from them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as dataset

from grus.data.assembling import Known, assemble
from grus.data.calendar import Step
from grus.data.clock import parts_of
from grus.data.covariates import find_categories
from grus.data.panel import Columns, Panel
from grus.data.parsing import Column, is_text
from grus.data.scaling import Affine, Ranges, Scaling, ScalingFit
from grus.data.sources import Table, open_dataset
from grus.data.splitting import Split
from grus.data.windows import Batch, Windows
from grus.errors import DataError, OptionError

TOLD = 5  # parts whose findings a reader is told
READ_AHEAD = {"batch_readahead": 1, "fragment_readahead": 1}  # Arrow's own, 16 and 4, hold gigabytes of large files


class PanelStream:
    """The series of a Parquet file or folder, `ids_per_part` at a time, in the order in which the ids first appear.

    The step is that of the first part unless given, and the categories are those of the whole. Rows that an error names count within the part.
    A part is read when it is asked for, with a pass over the files; where the rows are sorted by id it reads little but its own.

    step, season, like: as in read_panel.

    Raises: as read_panel; OptionError without an id column, on an irregular calendar, and where the time stands in several columns.
    """

    def __init__(
        self,
        source: str | PathLike[str],
        columns: Columns,
        *,
        ids_per_part: int = 1000,
        step: str | None = None,
        season: int | None = None,
        like: Panel | None = None,
    ) -> None:
        _check_stream(columns, ids_per_part, step if like is None else like.step.name)
        self.name, self.columns, self.ids_per_part = str(source), columns, ids_per_part
        self._found = open_dataset(Path(source), columns.names)
        ids, categories = _survey(self._found, self.name, columns)
        self.series = len(ids)
        self._parts = [ids[start : start + ids_per_part] for start in range(0, len(ids), ids_per_part)]
        known = Known(columns, None if step is None else Step.of(step), categories)
        self._known = known if like is None else Known(like.columns, like.step, like.categories)
        self.step = self._known.step or self.part(0).step
        if season is not None:
            self.step = Panel((), columns, self.step).with_season(season).step
        self._known = replace(self._known, step=self.step)

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
        try:
            kept = self._found.to_table(columns=list(self.columns.names), filter=wanted, **READ_AHEAD)
            kept.validate(full=True)  # texts of a damaged file may be no UTF-8
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.name, error) from error
        arrays = {name: kept.column(name).combine_chunks() for name in self.columns.names}
        return assemble(Table(label, arrays, lambda row: f"{label}, row {row + 1}"), self._known)


def open_panels(source: str | PathLike[str], columns: Columns, *, ids_per_part: int = 1000, step: str | None = None) -> Iterator[Panel]:
    """The parts of a `PanelStream`, one after the other."""
    return iter(PanelStream(source, columns, ids_per_part=ids_per_part, step=step))


class SplitParts(ABC):
    """Series that come in parts, each part split by time. A part may be without series, where all of its own were dropped."""

    def __iter__(self) -> Iterator[Split]:
        return map(self.part, range(len(self)))

    @abstractmethod
    def __len__(self) -> int:
        """The number of parts."""

    @property
    @abstractmethod
    def step(self) -> Step:
        """That of the calendar of all parts."""

    @abstractmethod
    def part(self, number: int) -> Split:
        """One part, 0 to len − 1."""

    @abstractmethod
    def changed(self, change: Callable[[Split], Split]) -> Self:
        """The same parts, of each what `change` makes of it."""


@dataclass(frozen=True, eq=False)
class OnePart(SplitParts):
    """All series, which are in memory."""

    split: Split

    def __len__(self) -> int:
        return 1

    @property
    def step(self) -> Step:
        return self.split.panel.step

    def part(self, number: int) -> Split:
        return self.split

    def changed(self, change: Callable[[Split], Split]) -> Self:
        return replace(self, split=change(self.split))


@dataclass(frozen=True, eq=False)
class SplitStream(SplitParts):
    """The parts of a stream, each split by time when it is asked for: cut(panel) is what ``grus.data.split`` gives."""

    panels: PanelStream
    cut: Callable[[Panel], Split]

    def __len__(self) -> int:
        return len(self.panels)

    @property
    def step(self) -> Step:
        return self.panels.step

    def part(self, number: int) -> Split:
        return self.cut(self.panels.part(number))

    def changed(self, change: Callable[[Split], Split]) -> Self:
        def cut(panel: Panel) -> Split:
            return change(self.cut(panel))

        return replace(self, cut=cut)


def fit_scaling(parts: Iterable[Split], method: str = "standard", covariates: str = "standard") -> Scaling:
    """The scaling of the training ranges of all parts, from one pass.

    Raises: as ScalingFit; DataError where no part has a series.
    """
    fit, empty = ScalingFit(method, covariates), True
    for part in parts:
        if len(part.panel):
            fit.add(part.panel, part.train)
            empty = False
    if empty:
        raise DataError("fit_scaling: a part must have a series to learn from, got none in any; ask for smaller validation and test parts.")
    return fit.finish()


def told(findings: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What was found in each part, for a reader: all of it where there is one part, else that of the first parts that have any."""
    if len(findings) == 1:
        return tuple(findings[0])
    having = [number for number, found in enumerate(findings) if found]
    shown = [f"part {number + 1} of {len(findings)}: {finding}" for number in having[:TOLD] for finding in findings[number]]
    return (*shown, *([f"{len(having) - TOLD} more parts with findings of their own"] if len(having) > TOLD else []))


class WindowStream:
    """The windows of one kind of range of all parts, one part in memory at a time; of a single part they are kept.

    make(panel, ranges, scaling=…, may_be_empty=…) gives the windows of a part: ``Windows`` with its other arguments filled in.
    ``Batch.series`` counts the series of the scaling, which is of all parts. An epoch takes the parts in an order of its own and the windows
    of each in another, so that windows of two parts never share a batch. Windows are counted once, in a pass; `look` is told of each part and
    its windows then.

    Raises: DataError where no part has a window.
    """

    def __init__(
        self,
        parts: SplitParts,
        kind: Literal["train", "validation", "test"],
        scaling: Scaling,
        make: Callable[..., Windows],
        look: Callable[[int, Split, Windows], None] | None = None,
    ) -> None:
        self.parts, self.kind, self._scaling, self._make = parts, kind, scaling, make
        self._places = {id: place for place, id in enumerate(scaling.target.names)}
        self._kept: Windows | None = None
        self.counts: list[int] = []
        for number, part in enumerate(parts):
            windows = self._windows_of(part) if len(part.panel) else None
            self.counts.append(0 if windows is None else len(windows))
            if windows is not None:
                self.channels = windows.channels
                self._kept = windows if len(parts) == 1 else None
                if look is not None:
                    look(number, part, windows)
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
        return self._windows_of(self.parts.part(number)) if self._kept is None else self._kept

    @property
    def filled(self) -> list[int]:
        """The parts that have windows."""
        return np.flatnonzero(self.counts).tolist()

    def _windows_of(self, part: Split) -> Windows:
        ranges: Ranges = getattr(part, self.kind)
        return self._make(part.panel, ranges, scaling=self._scaling_of(part.panel), may_be_empty=len(self.parts) > 1)

    def _scaling_of(self, panel: Panel) -> Scaling:
        """That of a part's own series, so that no part costs what all series do."""
        names, target = tuple(series.id for series in panel), self._scaling.target
        order = [self._places.get(name, -1) for name in names]
        if -1 in order:
            return self._scaling  # of which Windows says what it lacks
        return replace(self._scaling, target=Affine(names, target.shift[order], target.scale[order], target.mean[order]))

    def epoch(self, number: int, seed: int, batch_size: int, shuffle: bool = True, share: tuple[int, int] = (0, 1)) -> Iterator[Batch | None]:
        """Each window once, in an order that follows from number and seed alone.

        share: (k, n) gives the k-th of n parts of each batch, whose sizes differ by one at most; None for an empty one.
        """
        if batch_size < 1:
            raise OptionError(f"WindowStream: batch_size must be at least 1, got {batch_size}; give the number of windows of a batch.")
        draw = np.random.default_rng((seed, number)) if shuffle else None
        for part in self.filled if draw is None else draw.permutation(self.filled).tolist():
            yield from self._part_batches(part, draw, batch_size, share)

    def _part_batches(self, number: int, draw: np.random.Generator | None, batch_size: int, share: tuple[int, int]) -> Iterator[Batch | None]:
        windows = self.windows(number)
        places = np.array([self._places[series.id] for series in windows.panel], np.int64)
        order = np.arange(len(windows)) if draw is None else draw.permutation(len(windows))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size][share[0] :: share[1]]
            batch = windows.batch(chosen) if chosen.size else None
            yield None if batch is None else replace(batch, series=places[batch.series])


def _survey(found: Any, name: str, columns: Columns) -> tuple[list[Any], dict[str, tuple[str, ...]]]:
    """The distinct ids, and the categories of the columns of text, from one pass over those columns alone."""
    texts = [column for column in (*columns.past, *columns.future, *columns.static) if is_text(found.schema.field(column).type)]
    seen: dict[str, dict[Any, None]] = {column: {} for column in (columns.id or "", *texts)}
    try:
        for batch in found.to_batches(columns=list(seen), **READ_AHEAD):
            for column, values in seen.items():
                values.update(dict.fromkeys(batch.column(column).unique().to_pylist()))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(name, error) from error
    ids = list(seen.pop(columns.id or ""))
    if None in ids:
        raise DataError(f"{name}, column {columns.id!r}: must be the id of a series in every row, got nothing; give every row its id.")
    if not ids:
        raise DataError(f"{name}: must hold rows, got none; check that it was written to its end.")
    spelt: dict[str, Any] = {}
    for id in ids:  # a table read whole would join them
        if (other := spelt.setdefault(str(id).strip(), id)) is not id:
            raise DataError(f"{name}, column {columns.id!r}: an id must be written in one way, got {other!r} and {id!r}; write both alike.")
    columns_of_text = (Column.of(column, pa.array(list(values), pa.string())) for column, values in seen.items())
    return ids, {column.name: find_categories(name, column) for column in columns_of_text if column.is_categorical}


def _check_stream(columns: Columns, ids_per_part: int, step: str | None) -> None:
    """Raises: OptionError for what cannot be read in parts."""
    if columns.id is None:
        raise OptionError("PanelStream: columns.id must name the column of the series, got none; a table of one series is read by read_panel.")
    if ids_per_part < 1:
        raise OptionError(f"PanelStream: ids_per_part must be at least 1, got {ids_per_part}; give the number of series held at once.")
    if parts_of(columns.time, ()):
        raise OptionError(f"PanelStream: columns.time must be one column, got {columns.time!r}; join its parts to one, or read the table whole.")
    if step == Step.irregular.name:
        raise OptionError("PanelStream: step must be that of a calendar, got 'irregular'; read the table whole.")


def _unreadable(name: str, error: Exception) -> DataError:
    got = str(error).splitlines()[0].rstrip(".")
    return DataError(f"{name}: must be Parquet that can be read, got a fault ({got}); write it again.")
