"""`grus info`: this machine, or a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import grus
from grus.cli import main


def test_machine_names_version_and_kernel_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRUS_CACHE", str(tmp_path))
    assert main(["info"]) == 0
    printed = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert printed["grus"] == grus.__version__
    assert printed["kernels"] == str(tmp_path)


def test_run_is_described(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "log.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n', encoding="utf-8")
    (run / "metrics.json").write_text(json.dumps({"gru": {"mae": 1.25}, "naive": {"mae": None}}), encoding="utf-8")
    assert main(["info", str(run)]) == 0
    printed = capsys.readouterr().out
    facts = dict(line.split(None, 1) for line in printed.partition("\n\n")[0].splitlines())
    assert facts["horizon"] == "24 steps"
    assert facts["data"] == str(Path("sales.csv").absolute())
    assert facts["target"] == "y by ds"
    assert facts["network"] == "gru, 1 × 64 units"
    assert facts["epochs"] == "2 of at most 100"
    assert facts["files"] == "run.json, config.yaml, log.jsonl, model, metrics.json"
    assert [line.split() for line in printed.partition("\n\n")[2].splitlines()] == [["forecaster", "mae"], ["gru", "1.25"], ["naive", "nan"]]


def test_damaged_scores_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "metrics.json").write_text("[1", encoding="utf-8")
    assert main(["info", str(run)]) == 1
    assert "metrics.json: must hold scores by forecaster and metric" in capsys.readouterr().err
