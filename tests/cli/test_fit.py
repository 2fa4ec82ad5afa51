"""`grus fit`: options, file and --set make one configuration; the run folder is made, kept, replaced or taken up again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from grus.cli import main
from grus.errors import DataError
from grus.tasks import folder
from grus.tasks.config import Config, DataConfig
from tests.cli.conftest import Job


def test_options_make_the_configuration(job: Job, elsewhere: Path) -> None:
    command = "fit sales.csv --task forecast --target sales --time date --id shop --horizon 28 --past a,b --future c --static d"
    command += " --cell lstm --missing zero --epochs 3 --seed 5 --out runs/sales --set model.hidden_size=8 --set training.patience=null"
    assert main(command.split()) == 0
    ((config, run, reporter, resume),) = job.calls
    assert config.data == DataConfig(
        path=elsewhere / "sales.csv",
        target="sales",
        time="date",
        id="shop",
        horizon=28,
        past=("a", "b"),
        future=("c",),
        static=("d",),
        missing="zero",
    )
    assert (config.model.cell, config.model.hidden_size) == ("lstm", 8)
    assert (config.training.epochs, config.training.seed, config.training.patience) == (3, 5, None)
    assert (run.path, reporter, resume) == (Path("runs/sales"), "bar", False)
    assert run.config == config


def test_options_win_over_the_file_and_set_over_both(job: Job, elsewhere: Path) -> None:
    Path("study.yaml").write_text("data: {path: sales.csv, horizon: 3, target: a, time: a1}\ntraining: {epochs: 1, seed: 1}\n", encoding="utf-8")
    assert main(["fit", "--config", "study.yaml", "--horizon", "4", "--epochs", "2", "--target", "b", "--set", "data.target=c"]) == 0
    config = job.calls[0][0]
    assert (config.data.horizon, config.data.target, config.data.time) == (4, "c", "a1")
    assert (config.training.epochs, config.training.seed) == (2, 1)
    assert config.data.path == elsewhere / "sales.csv"


def test_result_is_a_list_of_facts_or_json(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sales.csv", "--horizon", "24", "--out", "a", "--quiet"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["best", "epoch", "7"],
        ["validation", "loss", "0.1235"],
        ["stopped", "patience"],
    ]
    assert main(["fit", "sales.csv", "--horizon", "24", "--out", "b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"best_epoch": 7, "validation_loss": 0.123456, "stopped": "patience"}
    assert [call[2] for call in job.calls] == ["quiet", "json"]


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("fit --horizon 3", "grus: grus fit: data.path must be given, got none; name a file: grus fit DATA."),
        ("fit sales.csv", "grus: grus fit: data.horizon must be given, got none; give the number of steps to forecast: --horizon 24."),
        ("fit sales.csv --horizon 0", "grus: --horizon: data.horizon must be at least 1, got 0."),
        ("fit sales.csv --horizon 3 --epochs 0", "grus: --epochs: training.epochs must be at least 1, got 0."),
        ("fit sales.csv --horizon 3 --task speech", "grus: --task: task must be 'forecast', got 'speech'."),
        ("fit sales.csv --horizon 3 --set model.hiden_size=3", "grus: --set model.hiden_size is unknown; did you mean model.hidden_size?"),
        ("fit sales.csv --horizon 3 --config no.yaml", "grus: no.yaml: must be a file that can be read, got No such file or directory"),
        ("fit --resume", "grus: run: must be the folder of a run, got nothing; name a folder that grus fit made."),
        ("fit sales.csv --horizon 3 --out sales.csv", "grus: sales.csv: must be a folder, got a file; name another --out."),
        ("fit sales.csv --horizon 3 --out sales.csv/run", "grus: sales.csv/run: must be a file or folder that can be used, got Not a directory."),
    ],
)
def test_mistake_is_one_sentence_and_exit_code_1(command: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not Path("run").exists()


def test_run_is_replaced_only_when_asked(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "sales.csv", "--horizon", "3", "--out", str(run)]
    assert main(command) == 1
    assert "give --overwrite to replace it, or another --out" in capsys.readouterr().err
    assert folder.open(run).config.data.horizon == 24
    assert job.calls == []
    assert main([*command, "--overwrite"]) == 0
    assert folder.open(run).config.data.horizon == 3


def test_resume_goes_on_with_the_same_configuration(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder.open(run).config
    assert main(["fit", "--resume", "--out", str(run)]) == 0
    assert main(["fit", "sales.csv", "--horizon", "24", "--resume", "--out", str(run)]) == 0
    assert [(call[0], call[3]) for call in job.calls] == [(before, True)] * 2
    capsys.readouterr()
    assert main(["fit", "--resume", "--epochs", "7", "--cell", "lstm", "--out", str(run)]) == 1
    assert capsys.readouterr().err == (
        f"grus: grus fit --resume: {run} must go on as it began, got another model.cell, training.epochs; leave it out, or name another --out.\n"
    )
    assert len(job.calls) == 2


def test_failure_before_anything_was_made_leaves_the_place_free(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.error = DataError("sales.csv row 3: y must be a number, got 'abc'; mend it.")
    assert main(["fit", "sales.csv", "--horizon", "3"]) == 1
    assert capsys.readouterr().err == "grus: sales.csv row 3: y must be a number, got 'abc'; mend it.\n"
    job.error = None
    assert main(["fit", "sales.csv", "--horizon", "3"]) == 0


def test_run_is_kept_when_what_should_replace_it_cannot_be_read(job: Job, run: Path) -> None:
    job.unreadable = DataError("sales.csv: must hold rows, got none; write it again.")
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", str(run), "--overwrite"]) == 1
    assert folder.open(run, needs=["model"]).config.data.horizon == 24


def test_folders_made_for_a_run_that_fails_go_with_it(job: Job, elsewhere: Path) -> None:
    job.error = DataError("no batch")
    Path("runs").mkdir()
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "runs/a/b/c"]) == 1
    assert {path.name for path in elsewhere.iterdir()} == {"sales.csv", "runs"}
    assert list(Path("runs").iterdir()) == []
    job.unreadable = job.error
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "a/b"]) == 1
    assert not Path("a").exists()


def test_keys_are_those_that_set_takes(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--keys"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["key", "type", "default", "meaning"]
    assert re.split("  +", next(line for line in lines if line.startswith("data.validation"))) == [
        "data.validation",
        "number or whole number or text",
        "0.1",
        "the part before the test part; a fraction below 1, a number of steps, or the date that it begins on",
    ]
    assert main(["fit", "--keys", "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)
    assert [line.split()[0] for line in lines[1:]] == [key["key"] for key in keys]
    sets = [f"--set={key['key']}={key['default']}" for key in keys if key["default"] != "required"]
    assert main(["fit", "sales.csv", "--horizon", "3", *sets, "--set=data.path=sales.csv"]) == 0
    config, expected = job.calls[0][0], Config(data=DataConfig(horizon=3, path=Path("sales.csv").absolute()))
    assert config == expected
    assert [key["key"] for key in keys if key["key"] != "data.horizon"] == [key for key in flat(expected) if key != "data.horizon"]


def flat(config: Config) -> list[str]:
    return [
        f"{name}.{key}" if isinstance(part, dict) else name
        for name, part in config.model_dump().items()
        for key in (part if isinstance(part, dict) else "x")
    ]


@pytest.mark.usefixtures("job")
def test_baseline_that_is_none_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.yaml").write_text("data: {path: sales.csv, horizon: 3}\nbacktest:\n  baselines: [drift, season naive]\n", encoding="utf-8")
    assert main(["fit", "--config", "study.yaml"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("grus: study.yaml line 3: backtest.baselines[1] must be ")
    assert told.endswith("got 'season naive'; did you mean seasonal naive?\n")


def test_debug_shows_where_an_error_came_from(job: Job) -> None:
    job.error = DataError("here")
    for command in ("--debug fit sales.csv --horizon 3", "fit sales.csv --horizon 3 --debug"):
        with pytest.raises(DataError, match="here"):
            main(command.split())


def test_error_of_the_program_is_not_hidden(job: Job) -> None:
    job.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        main(["fit", "sales.csv", "--horizon", "3"])


def test_interruption_is_exit_code_130(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.stopped = "interrupted"
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "r"]) == 130
    assert capsys.readouterr().err == "grus: interrupted; grus fit --resume --out r goes on from here.\n"
    job.error = KeyboardInterrupt()
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "s"]) == 130
