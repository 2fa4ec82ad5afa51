"""`grus evaluate` and `grus report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grus.cli import main
from tests.cli.conftest import Job


def test_scores_are_a_plain_table_in_a_pipe(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--data", "new.csv", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()] == [["forecaster", "mae", "mase"], ["gru", "1.25", "0.5"], ["SeasonalNaive", "2.5", "nan"]]
    assert printed.isascii()
    ((folder, data, reporter, seeds, options),) = job.calls
    assert (folder.path, data, reporter, seeds) == (run, Path("new.csv"), "quiet", ())
    assert (options["assignments"], options["out"]) == ([], None)


def test_scores_as_json_have_null_for_no_number(run: Path, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert found == {"gru": {"mae": 1.25, "mase": 0.5}, "SeasonalNaive": {"mae": 2.5, "mase": None}}
    assert job.calls[0][1:3] == (None, "json")


def test_report_needs_an_evaluation(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 1
    assert "must hold backtest.json" in capsys.readouterr().err
    assert not (run / "report.html").exists()


def test_report_names_the_page_it_wrote(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "backtest.json").touch()
    assert main(["report", str(run)]) == 0
    assert main(["report", str(run), "--out", "page.html"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{run / 'report.html'}\npage.html\n"
    assert printed.err == f"grus: next: grus predict {run}, the steps after the end of each series.\n" * 2
    assert Path("page.html").exists()


def test_it_ends_with_how_to_train_on_everything(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run)]) == 0
    told = capsys.readouterr().err
    assert told.startswith(f"grus: next: grus report {run}, ")
    assert told.endswith(f"to train one that has: grus fit --config {run / 'config.yaml'} --set data.test=0 --out {run}-final\n")
    for flags in (["--quiet"], ["--json"]):
        assert main(["evaluate", str(run), *flags]) == 0
        assert capsys.readouterr().err == ""
    assert main(told.rpartition("grus ")[2].split()) == 0
