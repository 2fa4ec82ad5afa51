"""What a page shows of single sequences: how each was read, and which of its steps carried what was said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grus.cells import Cell
from grus.insight import Method
from grus.report.axes import Array
from grus.report.records import check_sizes


@dataclass(frozen=True, eq=False)
class Traced:
    """One test sequence.

    row: of the record. output: the class, label or target that is explained. effect: of each step on what was said of it, found by `method`.
    other: what was put in the place of a step or token.
    text, spans: of a text, with the place of each token that was read. unread: how many were not.
    values, channels: of a sequence of numbers, those that count most, NaN where not measured; `scaled` says whether they are in scaled units.
    times: of its steps.
    gates: over the steps that the layers read, [T', H]. cell: which has them. both: whether they are of both directions, side by side.

    Shapes: effect [T]; values [T, C]; times [T].
    """

    row: int
    output: int
    effect: Array
    method: Method
    other: str
    text: str = ""
    spans: Sequence[tuple[int, int]] = ()
    values: Array | None = None
    channels: tuple[str, ...] = ()
    scaled: bool = False
    times: Array | None = None
    gates: Mapping[str, Array] = field(default_factory=dict[str, Array])
    cell: str | Cell = "gru"
    both: bool = False
    unread: int = 0

    def __post_init__(self) -> None:
        sizes = {} if self.values is None else {"values": (self.values, len(self.effect))}
        check_sizes("Traced", sizes if self.times is None else {**sizes, "times": (self.times, len(self.effect))})

    @property
    def is_text(self) -> bool:
        return self.values is None


@dataclass(frozen=True, eq=False)
class Carried:
    """What carried the answers, over many test sequences, by gradient × input.

    count: of the sequences. other: what was put in the place of a step or token. tokens: for each class or label that was said, its tokens with
        the sum of their effects and how often they occur, the strongest first. steps: the mean size of the effect along a sequence, and what its
        places are called. channels: the share of each in all.

    Shapes: steps [P].
    """

    count: int
    other: str
    tokens: Mapping[str, Sequence[tuple[str, float, int]]] = field(default_factory=dict[str, Sequence[tuple[str, float, int]]])
    steps: Array | None = None
    by_share: bool = False
    channels: Mapping[str, float] = field(default_factory=dict[str, float])
