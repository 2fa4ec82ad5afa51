"""The cells that come with Grus, one file per family."""

from __future__ import annotations

import difflib

from grus.cells.catalogue import articles, gru, linear, lstm, minimal, missing, normalised, rnn
from grus.cells.language import Cell
from grus.errors import OptionError

_FAMILIES = (rnn, gru, lstm, minimal, linear, normalised, missing, articles)
_CELLS: dict[str, Cell] = {value.name: value for family in _FAMILIES for value in vars(family).values() if isinstance(value, Cell)}


def names() -> list[str]:
    """The names of all cells of the catalogue, family by family."""
    return list(_CELLS)


def get(cell: str | Cell) -> Cell:
    """The cell of this name; a ``Cell`` is returned as it is.

    Raises: OptionError where no cell has that name; it tells the nearest one.

    Example:
        >>> get("gru").gates
        ('r', 'z', 'n')
    """
    if isinstance(cell, Cell):
        return cell
    if cell not in _CELLS:
        nearest = difflib.get_close_matches(str(cell), _CELLS, n=1, cutoff=0.4)
        remedy = f"did you mean {nearest[0]!r}? grus.cells.names() lists all" if nearest else "grus.cells.names() lists all"
        raise OptionError(f"cell: must be a Cell or the name of one, got {cell!r}; {remedy}.")
    return _CELLS[cell]
