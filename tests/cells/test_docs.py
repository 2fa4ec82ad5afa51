"""The pages of docs/cells."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from grus import cells
from grus.cells.docs import find_stale, main, read_docstring, write_page

PAGES = Path(__file__).resolve().parents[2] / "docs" / "cells"


def test_pages_are_fresh() -> None:
    assert find_stale(PAGES) == [], "run python -m grus.cells.docs docs/cells"


def test_check_tells_stale_missing_and_foreign_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    (tmp_path / "gru.md").write_text("changed")
    (tmp_path / "lstm.md").unlink()
    (tmp_path / "gone.md").write_text("a cell that is no more")
    assert main([str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert [line.partition(":")[0] for line in told.splitlines()] == [str(tmp_path / name) for name in ("gone.md", "gru.md", "lstm.md")]
    assert (tmp_path / "gru.md").read_text() == "changed"
    assert main([str(tmp_path)]) == 0
    assert find_stale(tmp_path) == []
    assert not (tmp_path / "gone.md").exists()


@pytest.mark.parametrize("name", cells.names())
def test_page_holds_what_the_cell_says(name: str) -> None:
    cell = cells.get(name)
    page = write_page(cell)
    assert page.startswith(f"# {name}\n\n{read_docstring(cell)[0]}\n")
    for equation in cell.equations():
        assert f"$$\n{equation}\n$$" in page
    for parameter in cell.parameters:
        shape = f"[{', '.join(parameter.shape)}]" if parameter.shape else "one number"
        assert f"| `{parameter.name}` | {parameter.kind} | {shape} |" in page
    for gate in cell.gates:
        assert f"- `{gate}`: " in page
    assert cell.source in page
    assert f"def {name}(" in page
    assert inspect.getsource(cell.function).rstrip().splitlines()[-1] in page
    for note in read_docstring(cell)[1].get("Notes", "").splitlines():
        assert note in page


def test_index_links_every_page() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert [name for name in cells.names() if f"[{name}]({name}.md)" not in index] == []
