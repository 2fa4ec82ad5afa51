from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_drop_in_changes_only_the_last_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(EXAMPLES / "drop_in.py"))["main"]
    assert main(steps=6, out=str(tmp_path / "curves.png"), limit=1e-4) < 1e-4
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "largest relative difference over 6 steps" in capsys.readouterr().out


# Epochs for a test, and what they must reach: of errors a share of the naive one, else the accuracy.
ARTICLES = {"article_1": (2, 0.8), "article_2": (2, 0.95), "article_3": (20, 0.75), "article_4": (5, 0.85), "article_5": (20, 0.95)}


@pytest.mark.parametrize("name", ARTICLES)
def test_article_learns_what_the_naive_answer_does_not_know(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    epochs, limit = ARTICLES[name]
    score, naive = runpy.run_path(str(EXAMPLES / "articles" / f"{name}.py"))["main"](epochs=epochs)
    told = capsys.readouterr().out
    if "error" in told:
        assert score < limit * naive
    else:
        assert naive < limit <= score <= 1
    assert min(abs(float(number) - score) for number in re.findall(r"\d+\.\d+", told)) <= 0.05


def test_every_article_is_run() -> None:
    assert {path.stem for path in (EXAMPLES / "articles").glob("*.py")} == set(ARTICLES)


def test_no_article_is_longer_than_a_page() -> None:
    for path in (EXAMPLES / "articles").glob("*.py"):
        assert len([line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]) <= 40
