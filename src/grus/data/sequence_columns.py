"""Which column of a table, or key of an archive, is what of a sequence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import Any, Literal

from grus.errors import OptionError

Row = Literal["step", "sequence", "value"]
ROWS = ("step", "sequence", "value")


@dataclass(frozen=True)
class SequenceColumns:
    """What the columns of a table are; of an .npz archive, what its keys are.

    id: names the sequence. time: when a step was. label: the truth about the sequence, several columns for several labels or numbers.
    row: what one row of the table is; None finds it by what is named:
        step:     one step of a sequence, with a column per channel; where id is named
        sequence: one sequence, whose steps stand side by side; where neither is
        value:    one measurement, of the channel that `variable` names, at that time; where variable is named
    channels: step: their columns, all other columns by default. sequence: "x" and "y" for the columns x1, y1, x2, y2, …; by default all other
        columns are the steps of one channel. value: the variables that count, all by default. Arrays: the names of the channels.
    value: the column of measurements; in an archive the array [N, T, C], or [steps, C] with the lengths in the array that `length` names.
    header: whether the first row of a .csv or .tsv names the columns. If not, they are called "0", "1", …, and where a row is a sequence, channels
        "x" and "y" take turns in the columns that are left: x, y, x, y, …

    Raises: OptionError where they contradict each other.
    """

    id: str | None = None
    time: str | None = None
    label: str | tuple[str, ...] | None = None
    channels: tuple[str, ...] = ()
    variable: str | None = None
    value: str | None = None
    length: str | None = None
    row: Row | None = None
    header: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "label"):
            value: Any = getattr(self, name)
            if isinstance(value, str) and name == "channels":
                raise OptionError(f"SequenceColumns: channels must be several names, got the text {value!r}; write ({value!r},).")
            object.__setattr__(self, name, tuple(value) if value is not None and not isinstance(value, str) else value)
        if self.row is not None and self.row not in ROWS:
            raise OptionError(f"SequenceColumns: row must be one of {', '.join(ROWS)}, got {self.row!r}; choose one of them.")
        named = [getattr(self, entry.name) for entry in fields(self) if entry.name in ("id", "time", "variable", "value", "length")]
        names = Counter(name for name in (*named, *self.labels, *self.channels) if name is not None)
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise OptionError(f"SequenceColumns: each column must have one role, got {twice[0]!r} twice; name it once.")
        if self.kind_of_row == "value" and (self.variable is None or self.value is None or self.id is None or self.time is None):
            raise OptionError("SequenceColumns: id, time, variable and value must all be named where a row is one value; name the four columns.")
        if self.kind_of_row == "step" and self.id is None:
            raise OptionError("SequenceColumns: id must be named where a row is one step, got None; name the column of the sequence's id.")
        if self.kind_of_row != "value" and self.variable is not None:
            raise OptionError(
                f"SequenceColumns: variable must be left out where a row is a {self.row}, got {self.variable!r}; leave one of the two out."
            )
        if self.kind_of_row == "sequence" and self.time is not None and self.value is None:
            raise OptionError(
                f"SequenceColumns: time must be left out where a row is a whole sequence, got {self.time!r}; name id too for rows of steps."
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of labels."""
        return () if self.label is None else (self.label,) if isinstance(self.label, str) else self.label

    @property
    def kind_of_row(self) -> Row:
        """What a row of a table is."""
        return self.row or ("value" if self.variable is not None else "step" if self.id is not None else "sequence")
