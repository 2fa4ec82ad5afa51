"""`grus predict`: tables in, CSV out, through files and pipes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from grus.cli import main
from grus.errors import DataError
from tests.cli.conftest import Job

CSV = f"ds,forecast\n2024-01-01,{0.1 + 0.2!r}\n"


def test_forecast_goes_to_stdout(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run)]) == 0
    assert capsys.readouterr().out == CSV
    ((folder, data, levels),) = job.calls
    assert (folder.path, data, levels) == (run, None, None)


def test_forecast_goes_to_a_file_whole_or_not_at_all(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), "--data", "new.csv", "--out", "forecast.csv", "--levels", "0.1,0.9"]) == 0
    assert capsys.readouterr().out == ""
    assert Path("forecast.csv").read_text(encoding="utf-8") == CSV
    assert job.calls[0][1:] == (Path("new.csv"), (0.1, 0.9))
    job.error = DataError("new.csv: must have rows, got none; add them.")
    assert main(["predict", str(run), "--data", "new.csv", "--out", "forecast.csv"]) == 1
    assert Path("forecast.csv").read_text(encoding="utf-8") == CSV


def test_table_comes_from_stdin(job: Job, run: Path) -> None:
    assert main(["predict", str(run), "--data", "-"]) == 0
    assert job.calls[0][1] is sys.stdin.buffer


@pytest.mark.parametrize("command", ["predict", "evaluate", "report"])
def test_run_that_is_none_or_unfinished_is_refused(command: str, job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "."]) == 1
    assert capsys.readouterr().err.startswith("grus: .: must be the folder of a run, got a folder of other files (run, sales.csv)")
    (run / "model").rmdir()
    assert main([command, str(run)]) == 1
    assert "must hold model" in capsys.readouterr().err
    assert job.calls == []


def test_folder_that_cannot_be_written_is_one_sentence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), "--out", "nowhere/forecast.csv"]) == 2
    expected = "grus: nowhere/forecast.csv: must be in a folder that is there, got none named nowhere; make it, or name another --out.\n"
    assert capsys.readouterr().err == expected
    assert main(["predict", str(run), "--out", str(run)]) == 2
    assert capsys.readouterr().err == f"grus: {run}: must be a file, got a folder; name a file in it.\n"


def test_what_is_noticed_goes_to_stderr_beside_the_forecast(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.note = "y: values are missing at the end."
    assert main(["predict", str(run)]) == 0
    assert capsys.readouterr() == (CSV, "grus: y: values are missing at the end.\n")
