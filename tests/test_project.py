"""The project as a whole: its public names, its versions, its files."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import grus
from grus.cli import main

# Adding or removing a public name is a decision: change it here and in CHANGELOG.md.
PUBLIC: dict[str, set[str]] = {
    "grus": {
        "Forecaster",
        "GrusError",
        "SequenceClassifier",
        "SequenceRegressor",
        "__version__",
        "cells",
        "convert",
        "data",
        "evaluation",
        "models",
        "nn",
        "runtime",
        "training",
    },
    "grus.nn": {"Embedding", "GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell", "Recurrent"},
    "grus.runtime": {"Session"},
}

ROOT = Path(__file__).resolve().parent.parent
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".yml", ".yaml", ".cfg", ".html", ".svg", ""}
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|Users|root|work|opt|mnt|tmp)/\w")


def files() -> list[Path]:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines() if line.endswith("/")} | {".git"}
    return sorted(
        path for path in ROOT.rglob("*") if path.is_file() and not ignored & set(path.relative_to(ROOT).parent.parts) and path.suffix in TEXT
    )


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_are_pinned(module: str) -> None:
    assert set(importlib.import_module(module).__all__) == PUBLIC[module]


def test_dir_lists_public_names() -> None:
    assert dir(grus) == sorted(PUBLIC["grus"])


def test_submodules_are_loaded_on_use() -> None:
    assert grus.cells is importlib.import_module("grus.cells")


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'grus' has no attribute 'cels'"):
        _ = grus.cels  # type: ignore[attr-defined]


def test_version_is_that_of_the_installed_package_and_of_the_changelog() -> None:
    assert importlib.metadata.version("grus") == grus.__version__
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == grus.__version__


def test_constraints_pin_every_dependency_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.]+", line) for line in lines)
    pinned = {line.partition("==")[0] for line in lines}
    assert {re.split(r"[\[<>=]", name)[0] for name in wanted} <= pinned
    assert "torch==2.13.0" in lines


def test_files_name_no_folder_of_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_files_name_no_package_index() -> None:
    named = [name for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run") if "://" in (ROOT / name).read_text(encoding="utf-8")]
    assert named == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_decision_is_short_and_numbered(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith(f"# {path.name[:4]}. ")


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) < 60


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "demo" in printed
    assert "info" in printed


def test_info_names_version_and_kernel_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRUS_CACHE", str(tmp_path))
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert grus.__version__ in printed
    assert str(tmp_path) in printed


def test_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--fast"]) == 2
    assert "--fast" in capsys.readouterr().err


def test_wrong_target_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRUS_TARGET", "abacus")
    assert main(["info"]) == 2
    assert capsys.readouterr().err.startswith("grus: GRUS_TARGET: must be one of")


def test_help_loads_no_torch() -> None:
    code = "import sys\nfrom grus.cli import main\nsys.exit(main(['--help']) or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_demo_takes_its_options_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = importlib.import_module("grus.demo")
    accepted = set(inspect.signature(demo.main).parameters)
    calls: list[dict[str, object]] = []
    monkeypatch.setattr(demo, "main", lambda **options: calls.append(options) or 0)
    assert main(["demo"]) == 0
    assert main(["demo", "--out", "page", "--seed", "3", "--quiet"]) == 0
    assert calls == [{"out": "co2-report", "seed": 0, "quiet": False}, {"out": "page", "seed": 3, "quiet": True}]
    assert set(calls[0]) <= accepted


def test_demo_refuses_a_file_as_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    assert main(["demo", "--out", str(tmp_path / "taken")]) == 2
    assert "grus: grus demo: out must be a folder" in capsys.readouterr().err


def test_help_of_every_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("demo", "info"):
        assert main([command, "--help"]) == 0
        assert f"Usage: grus {command}" in capsys.readouterr().out


def test_command_without_its_packages_names_the_missing_one(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['typer'] = None; from grus.__main__ import main; raise SystemExit(main())"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == "grus: needs the package 'typer', which is not installed; pip install 'grus[train]'"
