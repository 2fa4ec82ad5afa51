"""What is refused in a table, told with file, row, column and value; and what is noticed in a panel that is no error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.panel import Panel, Values
from grus.errors import DataError

SHOWN = 5
SHORT = 0.25  # of the median length: series below it are noticed
Place = Callable[[int], str]


@dataclass(frozen=True)
class Rule:
    """What a column, or the whole row, must be, and what to do where it is not."""

    column: str | None
    must: str
    remedy: str


@dataclass
class Defects:
    """The defects of one table, told together. `place` names a row, counted from 0, as an editor shows it."""

    name: str
    place: Place
    count: int = 0
    kept: list[tuple[int, Rule, str]] = field(default_factory=list[tuple[int, Rule, str]])

    def add(self, rows: Iterable[Any] | NDArray[Any], rule: Rule, got: Callable[[int], str]) -> None:
        """Each of `rows` breaks the rule; `got` says with what."""
        found = sorted(int(row) for row in rows)
        self.count += len(found)
        self.kept += [(row, rule, got(row)) for row in found[:SHOWN]]

    def refuse(self) -> None:
        """Raises: DataError with the first defects, if there are any."""
        if not self.count:
            return
        told = [
            f"{self.place(row)}{'' if rule.column is None else f', column {rule.column!r}'}: must be {rule.must}, got {got}; {rule.remedy}."
            for row, rule, got in sorted(self.kept, key=lambda entry: entry[0])[:SHOWN]
        ]
        if self.count == 1:
            raise DataError(told[0])
        more = self.count - len(told)
        head = f"{self.name}: every row must be usable, got {self.count} defects; mend these" + (f" and {more} more:" if more else ":")
        raise DataError("\n  ".join([head, *told]))


def notice(panel: Panel, inserted: int) -> tuple[str, ...]:
    """What is odd in a panel: constant columns, gaps, short series."""
    found: list[str] = []
    constant = [series.id for series in panel if is_constant(series.target)]
    if constant:
        found.append(f"{_of(constant, panel)} with a constant target: {_list(constant)}")
    for kind, names in (("past", panel.past_names), ("future", panel.future_names)):
        for number, name in enumerate(names):
            if is_constant(np.concatenate([getattr(series, kind)[:, number] for series in panel])):
                found.append(f"constant {kind} covariate {name!r}")
    steps = sum(len(series) for series in panel)
    missing = sum(int(np.isnan(series.target).sum()) for series in panel)
    if inserted:
        found.append(f"gaps: {inserted} of {steps} steps had no row")
    if missing > inserted:
        found.append(f"missing targets: {missing - inserted} of {steps - inserted} rows")
    usual = float(np.median([len(series) for series in panel]))
    short = [series.id for series in panel if len(series) < SHORT * usual]
    if short:
        found.append(f"{_of(short, panel)} much shorter than the usual {usual:g} steps: {_list(short)}")
    return tuple(found)


def is_constant(values: Values) -> bool:
    """Whether all that is known, and more than one value is, is the same."""
    known = values[~np.isnan(values)]
    return len(known) > 1 and bool((known == known[0]).all())


def _of(ids: Sequence[str], panel: Panel) -> str:
    return f"{len(ids)} of {len(panel)} series"


def _list(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:SHOWN])) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
