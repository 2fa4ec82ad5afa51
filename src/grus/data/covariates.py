"""Covariates as numbers: one column each, and one 0/1 column per category of a column of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grus.data.checks import Defects, Rule
from grus.data.panel import Values, one_hot_name
from grus.data.parsing import Column, labels, numbers
from grus.data.sources import Table
from grus.errors import DataError

MOST = 1000  # categories of a column, each of which takes a column of numbers
LISTED = 20  # categories in a message
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
        is_words = column.is_categorical if given is None else name in given
        column = column.as_words if is_words else column
        if needed is not None:
            defects.add(np.flatnonzero(column.missing), Rule(name, f"given in every row, because it is {needed}", "fill it in"), column.got)
        if is_words:
            categories[name] = find_categories(table.name, column) if given is None else given[name]
            names += [one_hot_name(name, category) for category in categories[name]]
            values.append(_one_hot(column, categories[name], defects))
        else:
            names.append(name)
            values.append(numbers(column, defects)[:, None])
    return Covariates(tuple(names), np.concatenate([np.zeros((len(table), 0)), *values], axis=1), categories)


def find_categories(table: str, column: Column) -> tuple[str, ...]:
    """The distinct texts of a column of words, sorted.

    Raises: DataError where there are so many that they are no categories.
    """
    found = tuple(sorted({text for text in labels(column.as_words) if text is not None}))
    if len(found) > MOST:
        raise DataError(
            f"{table}, column {column.name!r}: must have at most {MOST} categories, got {len(found)}, such as {found[0]!r}; "
            "leave the column out, or put numbers in it."
        )
    return found


def _one_hot(column: Column, categories: tuple[str, ...], defects: Defects) -> Values:
    codes = {category: code for code, category in enumerate(categories)} | {None: -1}
    found = np.array([codes.get(text, -2) for text in labels(column)], np.int64)
    more = f" and {len(categories) - LISTED} more" if len(categories) > LISTED else ""
    known = f"one of the categories {', '.join(map(repr, categories[:LISTED]))}{more}"
    rule = Rule(column.name, known, "correct it, or train anew on data with all categories")
    defects.add(np.flatnonzero(found == -2), rule, column.got)
    return np.where(found[:, None] < 0, np.nan, (found[:, None] == np.arange(len(categories))).astype(np.float64))
