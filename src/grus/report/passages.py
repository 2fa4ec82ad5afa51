"""A text whose parts are marked by how much they count, as data; the page's template draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grus.report.axes import Array
from grus.report.charts import Table

MOST_TOKENS = 250  # of a text that are shown


@dataclass(frozen=True)
class Passage:
    """Pieces of a text in their order, each with its weight in [−1, 1]: towards what was said, above 0, or away from it."""

    name: str
    pieces: tuple[tuple[str, float], ...]
    legend: tuple[str, str]
    table: Table
    caption: str = ""


def pieces(text: str, spans: Sequence[tuple[int, int]], effect: Array) -> tuple[tuple[str, float], ...]:
    """The text, cut where tokens begin and end; what several cover has the sum of their effects. All are divided by the largest.

    Shapes: effect [T], one for each span.

    >>> pieces("so bad!", [(0, 2), (3, 6)], np.array([-0.5, 2.0]))
    (('so', -0.25), (' ', 0.0), ('bad', 1.0), ('!', 0.0))
    """
    edges = sorted({0, len(text), *(place for span in spans for place in span)})
    where = {place: number for number, place in enumerate(edges)}
    sums = np.zeros(max(len(edges) - 1, 0))
    for (start, stop), value in zip(spans, effect, strict=True):
        sums[where[start] : where[stop]] += value
    most = float(np.abs(sums).max()) if sums.size and np.abs(sums).max() > 0 else 1.0
    return tuple((text[start:stop], float(value) / most) for start, stop, value in zip(edges, edges[1:], sums, strict=False))


def strongest(effect: Array, most: int = MOST_TOKENS) -> tuple[int, int]:
    """[start, stop) of the `most` neighbouring tokens whose effects are the largest together.

    >>> strongest(np.array([0.0, 1.0, -3.0, 0.5, 0.0]), 2)
    (1, 3)
    """
    if len(effect) <= most:
        return 0, len(effect)
    sums = np.convolve(np.abs(effect), np.ones(most), "valid")
    start = int(sums.argmax())
    return start, start + most
