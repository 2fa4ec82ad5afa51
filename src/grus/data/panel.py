"""A panel: series on one calendar, with their covariates."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data.calendar import Step, Times, as_time
from grus.errors import DataError, OptionError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what.

    id: names the series; None where the table holds one.
    past: known up to the moment of forecasting. future: known ahead too. static: one value per series.

    Raises: OptionError where one column is named twice.
    """

    id: str | None = None
    time: str = "ds"
    target: str = "y"
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("past", "future", "static"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise OptionError(f"Columns: {name} must be several names, got the text {value!r}; write ({value!r},).")
            object.__setattr__(self, name, tuple(value))
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise OptionError(f"Columns: each column must have one role, got {twice[0]!r} twice; name it once.")

    @property
    def names(self) -> tuple[str, ...]:
        """Every column named, in the order id, time, target, past, future, static."""
        return (() if self.id is None else (self.id,)) + (self.time, self.target, *self.past, *self.future, *self.static)


@dataclass(frozen=True, eq=False)
class Series:
    """One series of a panel.

    Shapes: times [T], datetime64[ns] or int64, strictly increasing, every step of a regular calendar there; target [T]; past [T, P];
    future [T, F]; static [S]. NaN is missing, in target and past.
    """

    id: str
    times: Times
    target: Values
    past: Values
    future: Values
    static: Values

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, eq=False)
class Panel:
    """Series on one calendar.

    past_names, future_names, static_names: what the columns of the series' arrays hold; a column of text is one 0/1 column per category, named
    "column=category". categories: those of each column of text. findings: what was noticed that is no error.
    """

    series: tuple[Series, ...]
    columns: Columns
    step: Step
    past_names: tuple[str, ...] = ()
    future_names: tuple[str, ...] = ()
    static_names: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    findings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[Series]:
        return iter(self.series)

    def __getitem__(self, id: str) -> Series:
        """The series of that id.

        Raises: DataError where there is none.
        """
        for series in self.series:
            if series.id == id:
                return series
        raise DataError(f"Panel: id must be one of its {len(self)} series, got {id!r}; see [series.id for series in panel].")

    def with_season(self, season: int) -> Panel:
        """The same series, held to repeat themselves after so many steps.

        Raises: OptionError.
        """
        if not isinstance(season, int) or isinstance(season, bool) or season < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OptionError(f"season: must be a whole number of at least 1, got {season!r}; give the steps after which a series repeats itself.")
        return replace(self, step=replace(self.step, season=season))

    def cut(self, until: Any) -> Panel:
        """Every series before the time `until`, which is left out: what is known when forecasting from it.

        Raises: DataError where nothing of a series is left.
        """
        kept: list[Series] = []
        for series in self.series:
            count = int(np.searchsorted(series.times, as_time(until, series.times, "Panel.cut")))
            if count == 0:
                raise DataError(
                    f"Panel.cut: until must be after the first time of every series, got {until!r} for {series.id!r}, "
                    f"which starts at {series.times[0]}; cut later or leave that series out."
                )
            parts = {name: getattr(series, name)[:count] for name in ("times", "target", "past", "future")}
            kept.append(replace(series, **parts))
        return replace(self, series=tuple(kept))

    def to_frame(self) -> pd.DataFrame:
        """One table with the columns that `columns` names; `read_panel(frame, like=panel)` gives the panel back."""
        return pd.concat([self._frame(series) for series in self.series], ignore_index=True)

    def _frame(self, series: Series) -> pd.DataFrame:
        frame: dict[str, Any] = {} if self.columns.id is None else {self.columns.id: np.full(len(series), series.id, object)}
        frame |= {self.columns.time: series.times, self.columns.target: series.target}
        frame |= self._decode(self.columns.past, self.past_names, series.past)
        frame |= self._decode(self.columns.future, self.future_names, series.future)
        static = np.broadcast_to(series.static, (len(series), len(series.static)))
        return pd.DataFrame(frame | self._decode(self.columns.static, self.static_names, static))

    def _decode(self, columns: tuple[str, ...], names: tuple[str, ...], values: Values) -> dict[str, Any]:
        """Columns of the table from the arrays' columns, categories as text."""
        found: dict[str, Any] = {}
        for column in columns:
            if column not in self.categories:
                found[column] = values[:, names.index(column)]
                continue
            labels = self.categories[column]
            start = names.index(one_hot_name(column, labels[0]))
            chosen = values[:, start : start + len(labels)]
            texts = np.array(labels, object)[np.nan_to_num(chosen).argmax(axis=1)]
            texts[np.isnan(chosen).any(axis=1)] = None
            found[column] = texts
        return found


def one_hot_name(column: str, category: str) -> str:
    """The name of the 0/1 column that marks a category."""
    return f"{column}={category}"
