"""Charts as inline SVG, coloured by the page's style sheet."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from html import escape
from io import BytesIO

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from grus.report.axes import Array, Axis, Ticks
from grus.report.charts import Band, Bars, Chart, Dots, Heat, Line, Mark, Rule, Spans, apart, runs

TOP, RIGHT, BOTTOM = 26, 14, 42
LETTER = 6.7  # mean width of a figure at the style sheet's 12 px
LINE, LEAD, NAME = 14, 16, 7.2  # height of a label at a line's end, the way to it, and the mean width of its letters
MOST_LABEL = 0.3  # of the chart's width
# Both are legible on a light and on a dark page; the cell's value is the opacity.
POSITIVE, NEGATIVE = (0x1F, 0x86, 0xBF), (0xD5, 0x70, 0x1E)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a chart's axes lie in a picture of `width` × `height` pixels."""

    chart: Chart
    width: int
    height: int
    left: float
    right: float
    rows: Ticks

    @classmethod
    def of(cls, chart: Chart, width: int, height: int) -> Frame:
        height = max(height * 5 // 8 if chart.flat else height, TOP + BOTTOM + LINE * chart.lines)
        rows = [(place, shortened(label, width)) for place, label in chart.y.ticks(max(3, height // 48))]
        left = 12 + LETTER * max(chart.letters, *(len(label) for _, label in rows), 1)
        labels = [LEAD + NAME * len(shortened(line.label, width)) for line, _ in chart.labelled]
        return cls(chart, width, height, left, round(width - max([RIGHT, *labels]), 1), rows)

    @property
    def floor(self) -> float:
        return self.height - BOTTOM

    def across(self, x: Array | float) -> Array:
        return self.left + self.chart.x.share(np.asarray(x, np.float64)) * (self.right - self.left)

    def down(self, y: Array | float) -> Array:
        return self.floor - self.chart.y.share(np.asarray(y, np.float64)) * (self.floor - TOP)

    def points(self, x: Array, y: Array) -> list[str]:
        return [f"{a:.1f},{d:.1f}" for a, d in zip(self.across(x), self.down(y), strict=True)]


def svg(chart: Chart, kind: str, width: int, height: int) -> str:
    """The chart as one <svg> of the class `kind`."""
    frame = Frame.of(chart, width, height)
    drawn = "".join(draw(frame, mark) for mark in chart.marks) + draw_labels(frame)
    box = f'viewBox="0 0 {width} {frame.height}" width="{width}" height="{frame.height}"'
    return f'<svg class="chart {kind}" {box} role="img" aria-label="{escape(chart.text)}">{draw_axes(frame)}{drawn}</svg>'


def swatch(mark: Mark) -> str:
    """The mark's colour and form, for a legend."""
    if isinstance(mark, Heat):
        scale = np.linspace(-1.0 if (mark.values < 0).any() else 0.0, 1.0, 5)
        shades = "".join(f'<rect x="{8 * place}" width="8" height="12" style="{_shade(value)}"/>' for place, value in enumerate(scale))
        return f'<svg class="key" viewBox="0 0 40 12" width="40" height="12" aria-hidden="true">{shades}</svg>'
    if isinstance(mark, Dots):
        form = f'<circle class="{mark.role}" cx="11" cy="6" r="3"/>'
    elif isinstance(mark, Line | Rule):
        form = f'<path class="{mark.role}" d="M1,6H21"/>'
    else:
        form = f'<rect class="{mark.role}" x="3" y="0" width="16" height="12"/>'
    return f'<svg class="key" viewBox="0 0 22 12" width="22" height="12" aria-hidden="true">{form}</svg>'


def draw_axes(frame: Frame) -> str:
    x, y = frame.chart.x, frame.chart.y
    drawn = [f'<text class="unit" x="0" y="13">{escape(y.label)}</text>']
    for value, label in frame.rows:
        down = f"{float(frame.down(value)):.1f}"
        drawn.append(f'<path class="grid" d="M{frame.left:.1f},{down}H{frame.right}"/>')
        drawn.append(f'<text class="left" x="{frame.left - 6:.1f}" y="{down}" dy=".32em">{escape(label)}</text>')
    for value, label in columns(x, frame):
        across = float(frame.across(value))
        drawn.append(f'<path class="tick" d="M{across:.1f},{frame.floor}v4"/>')
        # A label at the very edge would be cut off: it moves inwards by what it lacks.
        half = LETTER * len(label) / 2
        drawn.append(f'<text class="below" x="{min(max(across, half), frame.width - half):.1f}" y="{frame.floor + 17}">{escape(label)}</text>')
    drawn.append(f'<text class="left" x="{frame.right}" y="{frame.height - 7}">{escape(x.label)}</text>')
    drawn.append(f'<path class="tick" d="M{frame.left:.1f},{frame.floor}H{frame.right}"/>')
    return "".join(drawn)


def draw_labels(frame: Frame) -> str:
    """The names at the ends of lines, apart from one another, each with a thin stroke from its line."""
    found, drawn = frame.chart.labelled, list[str]()
    across = frame.across(np.array([line.x[last] for line, last in found]))
    down = frame.down(np.array([line.y[last] for line, last in found]))
    places = apart(down, LINE, TOP, frame.floor - LINE / 2)
    for (line, _), x, y, place in zip(found, across, down, places, strict=True):
        drawn.append(f'<path class="tick" d="M{x:.1f},{y:.1f}L{frame.right + LEAD - 4:.1f},{place:.1f}"/>')
        text = escape(shortened(line.label, frame.width))
        drawn.append(f'<text x="{frame.right + LEAD - 2:.1f}" y="{place:.1f}" dy=".32em">{text}</text>')
    return "".join(drawn)


def shortened(label: str, width: int) -> str:
    """The label as far as there is room beside a chart; the line's tooltip and the table have all of it."""
    most = int(MOST_LABEL * width / NAME)
    return label if len(label) <= most else f"{label[: most - 1]}…"


def columns(axis: Axis, frame: Frame) -> Ticks:
    """As many ticks below the chart as its labels leave room for."""
    for wanted in range(max(2, int(frame.width // 60)), 0, -1):
        found = axis.ticks(wanted)
        room = (frame.right - frame.left) / max(1, len(found))
        if room > LETTER * max((len(label) for _, label in found), default=0) + 14:
            return found
    return axis.ticks(1)


def draw(frame: Frame, mark: Mark) -> str:
    """One mark, its name as the tooltip."""
    name = mark.name or (mark.label if isinstance(mark, Line) else "")
    title = f"<title>{escape(name)}</title>" if name else ""
    match mark:
        case Line():
            return f'<path class="{mark.role}" d="{line_path(frame, mark)}">{title}</path>'
        case Dots():
            known = np.isfinite(mark.y)
            spots = (point.split(",") for point in frame.points(mark.x[known], mark.y[known]))
            return f'<g class="{mark.role}">{title}' + "".join(f'<circle cx="{a}" cy="{d}" r="2.6"/>' for a, d in spots) + "</g>"
        case Band():
            return f'<path class="{mark.role}" d="{band_path(frame, mark)}">{title}</path>'
        case Spans():
            strips = "".join(_box(frame, frame.across(start), frame.across(stop), TOP, frame.floor) for start, stop in mark.edges)
            return f'<g class="{mark.role}">{title}{strips}</g>'
        case Bars():
            level = float(frame.down(0.0))
            sides = zip(frame.across(mark.edges[:-1]), frame.across(mark.edges[1:]), frame.down(mark.heights), strict=True)
            return f'<g class="{mark.role}">{title}' + "".join(_box(frame, left, right, top, level) for left, right, top in sides) + "</g>"
        case Rule():
            path = (
                f"M{float(frame.across(mark.place)):.1f},{TOP}V{frame.floor}"
                if mark.upright
                else f"M{frame.left:.1f},{float(frame.down(mark.place)):.1f}H{frame.right}"
            )
            return f'<path class="{mark.role}" d="{path}">{title}</path>'
        case Heat():
            place = f'x="{frame.left:.1f}" y="{TOP}" width="{frame.right - frame.left:.1f}" height="{frame.floor - TOP}"'
            source = "data:image/png;base64," + b64encode(png(mark.values)).decode()
            return f'<image {place} preserveAspectRatio="none" href="{source}">{title}</image>'


def line_path(frame: Frame, line: Line) -> str:
    """A path with one stroke per run of known values; a lone value becomes a dot, by a stroke of no length with round ends."""
    parts: list[str] = []
    for start, stop in runs(np.isfinite(line.y)):
        points = frame.points(line.x[start:stop], line.y[start:stop])
        parts.append("M" + "L".join(points) if len(points) > 1 else f"M{points[0]}h0")
    return "".join(parts)


def band_path(frame: Frame, band: Band) -> str:
    """One closed outline per run of known values."""
    parts: list[str] = []
    for start, stop in runs(np.isfinite(band.low) & np.isfinite(band.high)):
        x, low, high = (values[start:stop] for values in (band.x, band.low, band.high))
        parts.append("M" + "L".join(frame.points(x, low) + frame.points(x[::-1], high[::-1])) + "Z")
    return "".join(parts)


def _box(frame: Frame, left: float | Array, right: float | Array, top: float, bottom: float) -> str:
    # Two pixels at least, so that a single missing step stays visible in a long series.
    start = max(float(left), frame.left)
    wide = max(min(float(right), frame.right) - start, 2.0)
    high, low = min(top, bottom), max(top, bottom)
    return f'<rect x="{start:.1f}" y="{high:.1f}" width="{wide:.1f}" height="{low - high:.1f}"/>'


def _shade(value: float) -> str:
    colour = POSITIVE if value > 0 else NEGATIVE
    return f"fill:rgb{colour};fill-opacity:{abs(value)}".replace(" ", "")


def colours(values: Array) -> NDArray[np.uint8]:
    """Cells in [−1, 1] as RGBA: blue above 0, orange below, more opaque the further from 0."""
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((values > 0)[..., None], POSITIVE, NEGATIVE)
    pixels[..., 3] = np.round(255 * np.clip(np.abs(values), 0, 1))
    return pixels


def png(values: Array) -> bytes:
    """The cells as a PNG, one pixel each, row 0 at the bottom."""
    target = BytesIO()
    imsave(target, colours(values)[::-1], format="png", metadata={"Software": "Grus"})
    return target.getvalue()
