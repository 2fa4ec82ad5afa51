"""What is refused in a table, told with file, row, column and value; and what is noticed in a panel that is no error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """What a column, or the whole row, must be, and what to do where it is not. `cause` is what explains many such rows at once."""

    column: str | None
    must: str
    remedy: str
    cause: str = ""


@dataclass
class Defects:
    """The defects of a table of `rows` rows, told together. `place` names a row, counted from 0, as an editor shows it."""

    name: str
    place: Place
    rows: int
    counts: dict[Rule, int] = field(default_factory=dict[Rule, int])
    shown: dict[Rule, list[tuple[int, str]]] = field(default_factory=dict[Rule, list[tuple[int, str]]])

    def add(self, rows: Sequence[int] | NDArray[Any], rule: Rule, got: Callable[[int], str]) -> None:
        """Each of `rows` breaks the rule; `got` says with what."""
        found = np.sort(np.asarray(rows, np.int64))
        if not found.size:
            return
        self.counts[rule] = self.counts.get(rule, 0) + found.size
        first = [(row, got(row)) for row in found[:SHOWN].tolist()]
        self.shown[rule] = sorted([*self.shown.get(rule, []), *first])[:SHOWN]

    def refuse(self) -> None:
        """Raises: DataError with the cause and the first defects, if there are any."""
        if not self.counts:
            return
        kinds = sorted(self.counts, key=lambda rule: (not rule.cause, self.shown[rule][0]))
        if len(kinds) == 1:
            raise DataError(self._tell_kind(kinds[0]))
        told = [self._tell_first(rule) for rule in kinds[:SHOWN]]
        more = [f"and {len(kinds) - SHOWN} more kinds of defects"] if len(kinds) > SHOWN else []
        head = f"{self.name}: every row must be usable, got {sum(self.counts.values())} defects of {len(kinds)} kinds; mend these:"
        raise DataError("\n  ".join([head, *told, *more]))

    def _tell_kind(self, rule: Rule) -> str:
        """One kind alone: the cause first, then examples."""
        count, shown = self.counts[rule], self.shown[rule]
        if count == 1:
            return self._tell_first(rule)
        examples = [f"{self.place(row)}: got {got}" for row, got in shown]
        more = [f"and {count - len(shown)} more"] if count > len(shown) else []
        column = "" if rule.column is None else f", column {rule.column!r}"
        return "\n  ".join([f"{self.name}{column}: must be {rule.must}, got {self._extent(rule)}; {rule.remedy}.", *examples, *more])

    def _tell_first(self, rule: Rule) -> str:
        """One kind among others: its first row, and how many there are."""
        row, got = self.shown[rule][0]
        extent = f" (in all {self._extent(rule)})" if self.counts[rule] > 1 else ""
        column = "" if rule.column is None else f", column {rule.column!r}"
        return f"{self.place(row)}{column}: must be {rule.must}, got {got}{extent}; {rule.remedy}."

    def _extent(self, rule: Rule) -> str:
        return f"{self.counts[rule]} of {self.rows} rows where it is not{rule.cause and ': '}{rule.cause}"


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
