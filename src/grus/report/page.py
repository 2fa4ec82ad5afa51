"""One self-contained HTML page from a document: no script, no network, no font of its own."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from grus.report.charts import Chart, Mark, Table
from grus.report.passages import Passage
from grus.report.svg import svg, swatch

# Each chart is drawn once for a desk and once for a phone, so that its lettering is legible on both.
WIDE, NARROW = ("wide", 880, 340), ("narrow", 346, 260)
HALF = ("wide", 420, 270)
LEAST_LETTERS, PADDING = 6, 2  # of a table's column, as the style sheet sets them


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order, `parts` with headings of their own; `small` puts charts side by side if there is room."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    passages: tuple[Passage, ...] = ()
    charts: tuple[Chart, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    small: bool = False
    parts: tuple[Section, ...] = ()

    @property
    def every_chart(self) -> tuple[Chart, ...]:
        """Its own, and those of its parts."""
        return (*self.charts, *(chart for part in self.parts for chart in part.every_chart))


@dataclass(frozen=True)
class Document:
    """A page: its title, the answer in one sentence, what the answer rests on, and the sections."""

    title: str
    answer: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]


class Report(Protocol):
    """What makes a document of its records."""

    def document(self) -> Document: ...


def render(report: Report) -> str:
    """The page as HTML. All text is escaped."""
    folder = files("grus.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(pictures=_pictures, swatch=_swatch, letters=_letters, breakable=_breakable, anchor=_anchor)
    template = environment.from_string((folder / "template.html").read_text("utf-8"))
    return template.render(document=report.document(), style=Markup((folder / "style.css").read_text("utf-8")))


def write(report: Report, path: Path) -> Path:
    """Writes the page to `path`, whole or not at all, and returns it."""
    text = render(report)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(text)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _umask() -> int:
    """The process's mask for new files, which mkstemp does not follow."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _pictures(chart: Chart, small: bool) -> Markup:
    """The chart's drawings; `svg` escapes every text it places."""
    return Markup("".join(svg(chart, *size) for size in (HALF if small else WIDE, NARROW)))


def _letters(table: Table, folded: bool) -> int:
    """About how many letters wide a table is at least: in less room its hint to scroll shows. Only heads, and names in front, break into words."""

    def words(text: str) -> int:
        return max(map(len, text.replace("_", "_ ").split()), default=0)

    columns = [
        max([words(name), *(len(row[place]) if place or folded else words(row[place]) for row in table.rows)])
        for place, name in enumerate(table.head)
    ]
    return sum(max(width, LEAST_LETTERS) + PADDING for width in columns)


def _breakable(text: str) -> Markup:
    """A name that may break into lines behind its underscores."""
    return escape(text).replace("_", Markup("_<wbr>"))


def _anchor(title: str) -> str:
    """A section's place in the page's address: "error-by-horizon"."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in title.lower()).split())


def _swatch(mark: Mark) -> Markup:
    return Markup(swatch(mark))
