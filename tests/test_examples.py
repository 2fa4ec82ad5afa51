from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_drop_in_changes_only_the_last_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(EXAMPLES / "drop_in.py"))["main"]
    assert main(steps=6, out=str(tmp_path / "curves.png"), limit=1e-4) < 1e-4
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "largest relative difference over 6 steps" in capsys.readouterr().out
