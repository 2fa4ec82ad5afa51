"""One direction of one layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grus.nn.rooms import Rooms


@dataclass(frozen=True)
class Direction:
    """One direction of one layer: its size by dimension, and the names of its tensors and of its learnt initial states."""

    layer: int
    reverse: bool
    sizes: Mapping[str, int]
    tensors: tuple[str, ...]
    initial: tuple[str, ...]
    rooms: Rooms = field(default_factory=Rooms, compare=False, repr=False)
