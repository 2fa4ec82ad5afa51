"""The report's charts as PNG files, for pasting elsewhere."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grus.report.charts import Band, Bars, Chart, Dots, Heat, Line, Mark, Rule, Spans, apart
from grus.report.page import WIDE, Report
from grus.report.svg import colours, shortened

INK, ACCENT, SOFT, FAINT = "#1b2127", "#1672a8", "#59636d", "#868e95"
STROKES = {
    "truth": (INK, "-", 1.2),
    "model": (ACCENT, "-", 2.0),
    "best": (SOFT, "--", 1.5),
    "other": (FAINT, "-", 1.0),
    "reference": (INK, ":", 1.2),
    "rule": (FAINT, "-", 0.8),
}
FILLS = {"towards": ("#1f86bf", 0.55), "away": ("#d5701e", 0.55), "ended": (FAINT, 0.75), "bars": (ACCENT, 0.45), "gap": (INK, 0.1)}
TINTS = {"interval": "#d0e3ee", "interval inner": "#a2c7dc"}
LINE, FLAT_LINE = 0.06, 0.095  # height of a label at a line's end, of the chart's
DOTS_PER_INCH = 160


def write_pictures(report: Report, folder: Path) -> list[Path]:
    """Writes one PNG for each chart of the page into `folder`, made where it is missing; returns their paths in the page's order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for section in report.document().sections:
        for chart in section.every_chart:
            path = folder / f"{file_name(chart.name)}.png"
            picture(chart).savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
            paths.append(path)
    return paths


def file_name(name: str) -> str:
    """The chart's name with nothing in it that a file system reads."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def picture(chart: Chart) -> Figure:
    """The chart as a matplotlib figure of its own."""
    figure = Figure(figsize=(8.0, max(2.6 if chart.flat else 3.8, 1 + chart.lines / 7)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(plain(chart.title), loc="left", fontsize=11)
    axes.set_xlabel(plain(chart.x.label))
    axes.set_ylabel(plain(chart.y.label))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xscale("log" if chart.x.kind == "log" else "linear")
    axes.set_xlim(chart.x.low, chart.x.high)
    axes.set_yscale("log" if chart.y.kind == "log" else "linear")
    axes.set_ylim(chart.y.low, chart.y.high)
    for mark in chart.marks:
        draw(axes, chart, mark)
    label_lines(axes, chart)
    for ticks, put in ((chart.x.ticks(7), axes.set_xticks), (chart.y.ticks(5), axes.set_yticks)):
        put([place for place, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    if len(chart.legend) > 1:
        figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=4)
    return figure


def draw(axes: Axes, chart: Chart, mark: Mark) -> None:
    # matplotlib keeps names that begin with an underscore out of a legend, and the data's names may: hence the space.
    first = mark.name and next(other for other in chart.marks if other.name == mark.name) is mark
    label = " " + plain(mark.name) if first else None
    match mark:
        case Line():
            colour, style, width = STROKES[mark.role]
            axes.plot(mark.x, mark.y, color=colour, linestyle=style, linewidth=width, label=label)
        case Dots():
            axes.plot(mark.x, mark.y, "o", color=ACCENT, markersize=3.5, label=label)
        case Band():
            axes.fill_between(mark.x, mark.low, mark.high, color=TINTS[mark.role], linewidth=0, label=label)
        case Spans():
            for place, (start, stop) in enumerate(mark.edges):
                axes.axvspan(start, stop, color=FILLS[mark.role][0], alpha=FILLS[mark.role][1], linewidth=0, label=None if place else label)
        case Bars():
            axes.bar(
                mark.edges[:-1], mark.heights, np.diff(mark.edges), align="edge", color=FILLS[mark.role][0], alpha=FILLS[mark.role][1], label=label
            )
        case Rule():
            colour, style, width = STROKES[mark.role]
            line = axes.axvline if mark.upright else axes.axhline
            line(mark.place, color=colour, linestyle=style, linewidth=width, label=label)
        case Heat():
            extent = (chart.x.low, chart.x.high, chart.y.low, chart.y.high)
            axes.imshow(colours(mark.values), extent=extent, origin="lower", aspect="auto", interpolation="nearest")
            axes.set_title(plain(mark.name), loc="right", fontsize=8)


def label_lines(axes: Axes, chart: Chart) -> None:
    """The names at the ends of lines, apart from one another."""
    found = chart.labelled
    across = chart.x.share(np.array([line.x[last] for line, last in found]))
    up = chart.y.share(np.array([line.y[last] for line, last in found]))
    places = apart(up, FLAT_LINE if chart.flat else LINE, 0.0, 1.0)
    for (line, _), x, y, place in zip(found, across, up, places, strict=True):
        axes.plot([x, 1.015], [y, place], color=FAINT, linewidth=0.6, transform=axes.transAxes, clip_on=False)
        axes.text(1.02, place, plain(shortened(line.label, WIDE[1])), color=SOFT, fontsize=8, va="center", transform=axes.transAxes)


def plain(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")
