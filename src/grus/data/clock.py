"""Times that a table spells out in several columns: year, month, day, hour, minute, second."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from grus.data.checks import Defects, Rule
from grus.data.parsing import EXACT, Column, is_text
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
    """The table with one more column, the ISO times of its parts, as text; what is no time is refused when it is read.

    Raises: DataError for a part that is no whole number.
    """
    defects = Defects(table.name, table.place, len(table))
    texts = [
        _compute.utf8_lpad(_text(Column.of(name, table.columns[name]), defects), width=4 if at == 0 else 2, padding="0")
        for at, name in enumerate(parts)
    ]
    defects.refuse()
    joined = texts[0]
    for at, text in enumerate(texts[1:], 1):
        joined = _compute.binary_join_element_wise(joined, text, _BEFORE[at])
    if len(parts) == 2:
        joined = _compute.binary_join_element_wise(joined, "01", "-")
    if len(parts) == 4:
        joined = _compute.binary_join_element_wise(joined, "00", ":")
    return replace(table, columns={**table.columns, time: joined})  # the parts stay: an hour may be a covariate too


def _text(column: Column, defects: Defects) -> Any:
    """Whole numbers as text: 2010.0 is the year 2010."""
    array, kind = column.array, column.array.type
    if is_text(kind):
        return array.cast(pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = np.where(column.missing, 0, array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)).astype(np.float64)
        fits = (values == np.rint(values)) & (np.abs(values) <= EXACT)
        whole = pa.array(np.where(fits, values, 0).astype(np.int64), mask=column.missing)
    else:
        fits = np.full(len(array), pa.types.is_integer(kind)) | column.missing
        whole = array if fits.all() else pa.nulls(len(array), pa.int64())
    defects.add(np.flatnonzero(~fits), Rule(column.name, "a whole number", "correct it, or leave the column out of the time"), column.got)
    return whole.cast(pa.string())
