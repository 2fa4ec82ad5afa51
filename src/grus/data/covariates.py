"""Covariates as numbers: one column each, and one 0/1 column per category of a column of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grus.data.checks import Defects, Rule
from grus.data.panel import Values, one_hot_name
from grus.data.parsing import Column, labels, numbers
from grus.data.sources import Table

Categories = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Covariates:
    """The columns of one role: their names, and values [rows, names], NaN where missing."""

    names: tuple[str, ...]
    values: Values
    categories: Categories


def encode(table: Table, columns: Sequence[str], given: Categories | None, defects: Defects, needed: str | None = None) -> Covariates:
    """The columns as numbers.

    given: the categories to use; None finds them. needed: why no value may be missing; None where one may.
    """
    names: list[str] = []
    values: list[Values] = []
    categories: dict[str, tuple[str, ...]] = {}
    for name in columns:
        column = Column.of(name, table.columns[name])
        if needed is not None:
            defects.add(np.flatnonzero(column.missing), Rule(name, f"given in every row, because it is {needed}", "fill it in"), column.got)
        if column.is_categorical if given is None else name in given:
            categories[name] = find_categories(column) if given is None else given[name]
            names += [one_hot_name(name, category) for category in categories[name]]
            values.append(_one_hot(column, categories[name], defects))
        else:
            names.append(name)
            values.append(numbers(column, defects)[:, None])
    return Covariates(tuple(names), np.concatenate([np.zeros((len(table), 0)), *values], axis=1), categories)


def find_categories(column: Column) -> tuple[str, ...]:
    """The distinct texts of a column, sorted."""
    return tuple(sorted({text for text in labels(column) if text is not None}))


def _one_hot(column: Column, categories: tuple[str, ...], defects: Defects) -> Values:
    codes = {category: code for code, category in enumerate(categories)} | {None: -1}
    found = np.array([codes.get(text, -2) for text in labels(column)], np.int64)
    rule = Rule(column.name, f"one of the categories {', '.join(map(repr, categories))}", "correct it, or read the panel anew with all categories")
    defects.add(np.flatnonzero(found == -2), rule, column.got)
    return np.where(found[:, None] < 0, np.nan, (found[:, None] == np.arange(len(categories))).astype(np.float64))
