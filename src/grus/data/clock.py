"""Times that a table spells out in several columns: year, month, day, hour, minute, second."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute

from grus.data.sources import Table

PARTS = ("year", "month", "day", "hour", "minute", "second")
_compute: Any = pyarrow.compute  # its functions are made when it is imported, so a type checker knows none
_BEFORE = ("", "-", "-", "T", ":", ":")


def parts_of(time: str, source: Any) -> tuple[str, ...]:
    """The columns that a name like "year,month,day,hour" stands for; none where it is a column's own name."""
    names = tuple(name.strip() for name in time.split(","))
    there = source if isinstance(source, Mapping) else getattr(source, "columns", ())
    fits = len(names) > 1 and tuple(name.lower() for name in names) == PARTS[: len(names)]
    return names if fits and time not in there else ()


def join_times(table: Table, time: str, parts: tuple[str, ...]) -> Table:
    """The table with one column of ISO times in place of its parts, each as text; what is no time is refused when it is read."""
    texts = [
        _compute.utf8_lpad(_compute.cast(_text(table.columns[name]), pa.string()), width=4 if at == 0 else 2, padding="0")
        for at, name in enumerate(parts)
    ]
    joined = texts[0]
    for at, text in enumerate(texts[1:], 1):
        joined = _compute.binary_join_element_wise(joined, text, _BEFORE[at])
    if len(parts) == 2:
        joined = _compute.binary_join_element_wise(joined, "01", "-")
    if len(parts) == 4:
        joined = _compute.binary_join_element_wise(joined, "00", ":")
    rest = {name: column for name, column in table.columns.items() if name not in parts}
    return replace(table, columns={time: joined, **rest})


def _text(column: Any) -> Any:
    """Whole numbers without a fraction: 2010.0 is the year 2010."""
    array = column if isinstance(column, (pa.Array, pa.ChunkedArray)) else pa.array(column)
    if pa.types.is_floating(array.type):
        return _compute.cast(array, pa.int64())
    return array
