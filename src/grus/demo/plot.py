"""Line charts as inline SVG: the few marks the demonstration's page needs, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from grus.demo.data import Array

LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 28


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], about `wanted` of them."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [gap * count for count in range(math.ceil(low / gap), math.floor(high / gap) + 1)]


@dataclass
class Chart:
    """A chart of `width` × `height` pixels over x and y ranges; marks are drawn in the order they are added."""

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    label: str
    marks: list[str] = field(default_factory=list[str])

    def place(self, x: Array, y: Array) -> list[str]:
        across = LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT)
        down = self.height - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)
        return [f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True)]

    def line(self, kind: str, x: Array, y: Array) -> None:
        """A line that breaks where y is NaN."""
        known = ~np.isnan(y)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
        runs = (self.place(x[start:stop], y[start:stop]) for start, stop in edges.reshape(-1, 2))
        self.marks.append(f'<path class="{kind}" d="{" ".join("M" + "L".join(run) for run in runs)}"/>')

    def band(self, x: Array, low: Array, high: Array) -> None:
        outline = self.place(x, low) + self.place(x[::-1], high[::-1])
        self.marks.append(f'<path class="band" d="M{"L".join(outline)}Z"/>')

    def shade(self, spans: Sequence[tuple[float, float]], least: float = 1.5) -> None:
        """Full-height strips, `least` pixels wide at least so that a single week stays visible."""
        for start, stop in spans:
            left, right = (LEFT + (edge - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT) for edge in (start, stop))
            wide, tall = max(right - left, least), self.height - TOP - BOTTOM
            self.marks.append(f'<rect class="gap" x="{left:.1f}" y="{TOP}" width="{wide:.1f}" height="{tall}"/>')

    def axes(self) -> str:
        drawn: list[str] = []
        for value in ticks(*self.y, max(3, self.height // 70)):
            down = self.place(np.array([self.x[0]]), np.array([value]))[0].split(",")[1]
            drawn.append(f'<path class="grid" d="M{LEFT},{down}H{self.width - RIGHT}"/>')
            drawn.append(f'<text x="{LEFT - 6}" y="{down}" dy=".32em" class="left">{value:g}</text>')
        for value in ticks(*self.x, max(3, self.width // 110)):
            across = self.place(np.array([value]), np.array([self.y[0]]))[0].split(",")[0]
            drawn.append(f'<text x="{across}" y="{self.height - 8}" class="below">{value:g}</text>')
        return "".join(drawn)

    def svg(self, kind: str) -> str:
        box = f'viewBox="0 0 {self.width} {self.height}"'
        return f'<svg class="{kind}" {box} role="img" aria-label="{escape(self.label)}">{self.axes()}{"".join(self.marks)}</svg>'
