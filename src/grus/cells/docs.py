"""Writes one page per cell of the catalogue, from the cell's own definition: ``python -m grus.cells.docs docs/cells``."""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from pathlib import Path

import grus.cells
from grus.cells.catalogue import get, names
from grus.cells.language import Cell
from grus.compiler.program import SCALAR, Variable

_HEADINGS = ("Equations", "Inputs", "Gates", "Notes")


def read_docstring(cell: Cell) -> tuple[str, dict[str, str]]:
    """The summary line and the sections (Equations, Inputs, Gates, Notes) of a cell's docstring."""
    lines = inspect.cleandoc(cell.doc).splitlines()
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines[1:]:
        if line.endswith(":") and line[:-1] in _HEADINGS:
            current = sections.setdefault(line[:-1], [])
        else:
            current.append(line)
    return lines[0] if lines else "", {name: inspect.cleandoc("\n".join(body)).strip() for name, body in sections.items()}


def write_page(cell: Cell) -> str:
    """The Markdown page of one cell."""
    summary, sections = read_docstring(cell)
    parts = [f"# {cell.name}", summary, "## Equations", *(f"$$\n{equation}\n$$" for equation in cell.equations())]
    parts += ["In Python:", f"```python\n{write_source(cell)}\n```"]
    parts += ["## Parameters", _table(("name", "kind", "shape"), [(f"`{p.name}`", p.kind, _shape(p.shape)) for p in cell.parameters])]
    if cell.gates:
        parts += ["## Gates", _described(cell.gates, sections.get("Gates", ""))]
    parts += ["## States", _variables(cell.program.states)]
    parts += ["## Inputs", _variables(cell.program.inputs)]
    if "Inputs" in sections:
        parts.append(_described(cell.inputs, sections["Inputs"]))
    if "Notes" in sections:
        parts += ["## Notes", sections["Notes"]]
    parts += ["## Source", cell.source]
    return "\n\n".join(parts) + "\n"


def write_source(cell: Cell) -> str:
    """The Python of the cell, to be copied: its imports and its function, without the docstring and the source that the page has elsewhere."""
    text = inspect.getsource(cell.function)
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    decorator = function.decorator_list[0]
    assert isinstance(decorator, ast.Call)
    decorator.keywords = [keyword for keyword in decorator.keywords if keyword.arg != "source"]
    lines = text.splitlines()
    written = lines[function.lineno - 1 : function.body[0].lineno - 1] + lines[function.body[1].lineno - 1 :]
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} & set(grus.cells.__all__)
    return "\n".join([f"from grus.cells import {', '.join(sorted(used))}", "", "", f"@{ast.unparse(decorator)}".replace("'", '"'), *written])


def write_index() -> str:
    """The Markdown page that lists all cells."""
    rows = [(f"[{name}]({name}.md)", read_docstring(get(name))[0], ", ".join(get(name).states)) for name in names()]
    intro = "Written by `python -m grus.cells.docs docs/cells` from the cells' definitions; change those, not these pages."
    letters = "I inputs, H hidden units, P projected units, O outputs; t is the step, ⊙ the product unit by unit, σ the logistic sigmoid."
    return "\n\n".join(["# The cells", intro, letters, _table(("cell", "what it is", "states"), rows)]) + "\n"


def write_pages() -> dict[str, str]:
    """Every file of the folder: its name and its text."""
    return {"README.md": write_index(), **{f"{name}.md": write_page(get(name)) for name in names()}}


def find_stale(folder: Path) -> list[str]:
    """The files of the folder that differ from what would be written, are missing, or belong to no cell."""
    pages = write_pages()
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in pages.keys() | present.keys() if pages.get(name) != present.get(name))


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where ``--check`` finds a stale page."""
    parser = argparse.ArgumentParser(prog="python -m grus.cells.docs", description="Write one page per cell of the catalogue.")
    parser.add_argument("folder", type=Path, help="where the pages are, for example docs/cells")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is stale")
    options = parser.parse_args(arguments)
    stale = find_stale(options.folder)
    if options.check:
        for name in stale:
            print(f"{options.folder / name}: must match its cell, got a stale page; run python -m grus.cells.docs {options.folder}", file=sys.stderr)
        return 1 if stale else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    pages = write_pages()
    for name in stale:
        if name in pages:
            (options.folder / name).write_text(pages[name], encoding="utf-8")
        else:
            (options.folder / name).unlink()
    return 0


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, tuple("---" for _ in head), *rows])


def _shape(dims: tuple[str, ...]) -> str:
    return f"[{', '.join(dims)}]" if dims else "one number"


def _variables(variables: tuple[Variable, ...]) -> str:
    return _table(("name", "shape"), [(f"`{v.name}`", _shape(() if v.dim == SCALAR else (v.dim,))) for v in variables])


def _described(wanted: tuple[str, ...], section: str) -> str:
    """A list of names with what the docstring says of each."""
    said = {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in section.splitlines())}
    return "\n".join(f"- `{name}`" + (f": {said[name]}" if said.get(name) else "") for name in wanted)


if __name__ == "__main__":
    sys.exit(main())
