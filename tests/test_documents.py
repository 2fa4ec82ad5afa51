"""The documents: their Python examples run, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import grus

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def examples() -> list[tuple[str, str]]:
    """Every Python block, by document and line, with blank lines before it so that an error names the document's line."""
    found: list[tuple[str, str]] = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            before = text.count("\n", 0, block.start(1))
            found.append((f"{path.relative_to(ROOT)}:{before + 1}", "\n" * before + block.group(1)))
    return found


def test_readme_has_examples() -> None:
    assert len([name for name, _ in examples() if name.startswith("README.md")]) >= 2


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("name", "source"), [pytest.param(name, source, id=name) for name, source in examples()])
def test_example_runs(name: str, source: str) -> None:
    # The file's own name lets a cell's traced lines be found again.
    exec(compile(source, str(ROOT / name.partition(":")[0]), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    missing = [target for target in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / target).exists()]
    assert missing == []


def test_readme_lists_the_catalogue() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The cells")[2].partition("`grus.cells.names()`")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(grus.cells.names())
