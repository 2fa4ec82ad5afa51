"""The command line as a whole: help, versions, exit codes, what is imported."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import grus
from grus.cli import app, main
from grus.models.settings import ForecastSettings
from grus.tasks import folder as folders
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from grus.tasks.sequence_config import ClassifyConfig, ClassifyData
from grus.training.settings import TrainingSettings

COMMANDS = ("demo", "fit", "tune", "evaluate", "predict", "report", "info")


def words(text: str) -> str:
    """Text without the frames and line breaks of Rich."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = words(capsys.readouterr().out)
    assert re.findall(rf"(?<= )({'|'.join(COMMANDS)}) [A-Z]", printed) == list(COMMANDS)
    assert [command.callback.__name__ for command in app.registered_commands if command.callback] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_that_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    printed = words(capsys.readouterr().out)
    assert f"Usage: grus {command}" in printed
    _, _, example = printed.rpartition("Example: ")
    assert f"Example: {example.strip()}" == import_module(f"grus.cli.{command}").EXAMPLE
    flags = re.findall(r"--[\w-]+", example)
    assert flags or command == "info"
    assert all(printed.count(flag) >= 2 for flag in flags)


def test_help_states_the_defaults_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--help"])
    printed = words(capsys.readouterr().out)
    stated = dict(re.findall(r"--(\w+) (?:(?!--\w)[^()])*\(default ([^ )]+)(?: of forecasts, [^)]+)?\)\.", printed))
    data = ForecastData(horizon=1)
    expected = {"target": data.target, "time": data.time, "missing": data.missing, "cell": ForecastSettings().cell, "out": "run"}
    expected |= {"epochs": TrainingSettings().epochs, "seed": TrainingSettings().seed, "task": ForecastConfig(data=data).task}
    assert stated == {name: str(value) for name, value in expected.items()}
    assert f", {ClassifyData.model_fields['missing'].default} of sequences)" in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"grus {grus.__version__}\n"


def test_what_one_process_does_is_refused_to_several(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["evaluate", "runs/sales"]) == 2
    assert capsys.readouterr().err == "grus: grus evaluate: one process must do it, got 2; start it without torchrun.\n"


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["tune", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    heavy = ("torch", "pandas", "matplotlib", "numpy", "llvmlite", "optuna")
    code = f"import sys\nfrom grus.cli import main\nstatus = main({arguments!r})\nprint(status, *(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_what_trains_nothing_loads_neither_fabric_nor_what_baselines_need(elsewhere: Path) -> None:
    config = ClassifyConfig(data=ClassifyData(path=Path("a.csv")))
    folders.create(Path("run"), config)
    heavy = ("lightning_fabric", "torch._dynamo", "scipy.stats", "scipy.optimize", "sklearn", "optuna", "matplotlib", "statsforecast")
    code = f"""
import sys
from grus.cli import main
status = main(["info", "run"]), main(["fit", "a.csv", "--task", "classify", "--set", "model.hiden_size=3"]), main(["tune", "a.csv", "--epochs", "2"])
import grus.tasks.forecast_run, grus.tasks.sequence_run  # what grus predict loads
print(status, *(name for name in {heavy!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "(0, 2, 2)"
