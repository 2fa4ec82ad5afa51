"""Options of `grus fit` and `grus tune` that only some tasks have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grus.cli import main
from grus.tasks.registry import TASKS
from tests.cli.conftest import Job


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            "fit sales.csv --task classify --target y",
            "grus fit: --target must be left out for task classify, got y; give --label, or --task forecast.",
        ),
        (
            "fit sales.csv --task regress --horizon 3",
            "grus fit: --horizon must be left out for task regress, got 3; leave it out, or give --task forecast.",
        ),
        (
            "fit sales.csv --task classify --past a,b",
            "grus fit: --past must be left out for task classify, got a,b; give --channels, or --task forecast.",
        ),
        (
            "fit sales.csv --horizon 3 --text t",
            "grus fit: --text must be left out for task forecast, got t; leave it out, or give --task classify or regress.",
        ),
        (
            "fit sales.csv --horizon 3 --label y",
            "grus fit: --label must be left out for task forecast, got y; give --target, or --task classify or regress.",
        ),
        ("fit sales.csv --set task=classify --horizon 3", "grus fit: --horizon must be left out for task classify, got 3;"),
        ("fit --task classify", "grus fit: data.path must be given, got none; name a file: grus fit DATA."),
        (
            "fit sales.csv --task clasify --target y",
            "grus: --task: task must be 'forecast', 'classify' or 'regress', got 'clasify'; did you mean classify?",
        ),
        ("fit --keys --task clasify", "grus fit: --task must be one of forecast, classify, regress, got clasify; leave it out for forecast."),
        ("tune sales.csv --task classify --horizon 3", "grus tune: --horizon must be left out for task classify, got 3;"),
    ],
)
def test_option_of_another_task_names_the_right_one(job: Job, command: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert sentence.removeprefix("grus: ") in capsys.readouterr().err
    assert job.calls == []


def test_task_of_a_file_decides_too(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.yaml").write_text("task: regress\ndata: {path: sales.csv}\n", encoding="utf-8")
    assert main(["fit", "--config", "run.yaml", "--target", "y"]) == 2
    assert "--target must be left out for task regress, got y; give --label, or --task forecast." in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_keys_are_those_of_the_task(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--keys", "--task", task, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["default"] == task
    assert {*TASKS[task].flags.values()} <= {key["key"] for key in found}
