"""`grus fit`: options, file and --set make one configuration; the run folder is made, kept, replaced or taken up again."""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path

import pytest

from grus.cli import main
from grus.errors import DataError
from grus.tasks import folder
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from tests.cli.conftest import Job

NEXT = "grus: next: grus evaluate {}, its scores beside baselines on the test part, which was set aside."


def test_options_make_the_configuration(job: Job, elsewhere: Path) -> None:
    command = "fit sales.csv --task forecast --target sales --time date --id shop --horizon 28 --past a,b --future c --static d"
    command += " --cell lstm --missing zero --epochs 3 --seed 5 --out runs/sales --set model.hidden_size=8 --set training.patience=null"
    assert main(command.split()) == 0
    ((config, run, reporter, resume),) = job.calls
    assert config.data == ForecastData(
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


def test_what_is_noticed_in_the_data_is_told_before_the_training(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.findings = ("gaps: 9 of 10 steps had no row", "b", "c", "d", "e")
    command = ["fit", "sales.csv", "--horizon", "3", "--out"]
    assert main([*command, "a"]) == 0
    told = [f"grus: noticed in the data: {finding}" for finding in job.findings[:3]]
    told += ["grus: and 2 more, for the report and a/model/README.md.", NEXT.format("a")]
    assert capsys.readouterr().err.splitlines() == told
    assert main([*command, "b", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "c", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[0]) == {"noticed": list(job.findings)}
    assert len(printed.out.splitlines()) == 2
    assert printed.err == ""


@pytest.mark.usefixtures("job")
def test_next_command_is_named_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "a b"]) == 0
    assert capsys.readouterr().err.splitlines() == [NEXT.format("'a b'")]
    assert main(["fit", "sales.csv", "--horizon", "3", "--set", "data.test=0", "--out", "c"]) == 0
    assert capsys.readouterr().err == "grus: next: grus predict c, the steps after the end of each series.\n"


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("fit --horizon 3", "grus: grus fit: data.path must be given, got none; name a file: grus fit DATA."),
        (
            "fit sales.csv",
            "grus: grus fit: data.horizon must be given, got none; give the number of steps to forecast with --horizon 24, or --task classify or "
            "regress where there are none.",
        ),
        ("fit sales.csv --horizon 0", "grus: --horizon: data.horizon must be at least 1, got 0."),
        ("fit sales.csv --horizon 3 --epochs 0", "grus: --epochs: training.epochs must be at least 1, got 0."),
        ("fit sales.csv --horizon 3 --task speech", "grus: --task: task must be 'forecast', 'classify' or 'regress', got 'speech'."),
        ("fit sales.csv --horizon 3 --set model.hiden_size=3", "grus: --set model.hiden_size is unknown; did you mean model.hidden_size?"),
        ("fit sales.csv --horizon 3 --config no.yaml", "grus: no.yaml: must be a file that can be read, got No such file or directory"),
        ("fit sales.csv --horizon 3 --out sales.csv", "grus: sales.csv: must be a folder, got a file; name another --out."),
        ("fit sales.csv --horizon 3 --cell GRU2", "grus: --cell: model.cell must be a cell of the catalogue, got 'GRU2'; did you mean gru?"),
    ],
)
def test_wrong_option_is_one_sentence_and_exit_code_2(command: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(command, 2, sentence, capsys)


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("fit --resume", "grus: run: must be the folder of a run, got nothing; name a folder that grus fit made."),
        ("fit sales.csv --horizon 3 --out sales.csv/run", "grus: sales.csv/run: must be a file or folder that can be used, got Not a directory."),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence_and_exit_code_1(command: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(command, 1, sentence, capsys)


def check_refused(command: str, code: int, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == code
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not Path("run").exists()


def test_run_is_replaced_only_when_asked(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "sales.csv", "--horizon", "3", "--out", str(run)]
    assert main(command) == 2
    assert "give --overwrite to replace it, or another --out" in capsys.readouterr().err
    assert folder.open(run).config.data.horizon == 24
    assert job.calls == []
    assert main([*command, "--overwrite"]) == 0
    assert folder.open(run).config.data.horizon == 3


def test_resume_goes_on_with_the_same_configuration(job: Job, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder.open(run).config
    assert main(["fit", "--resume", "--out", str(run)]) == 0
    assert main(["fit", "sales.csv", "--horizon", "24", "--resume", "--out", str(run)]) == 0
    assert main(["fit", "--resume", str(run)]) == 0
    assert [(call[0], call[3]) for call in job.calls] == [(before, True)] * 3
    capsys.readouterr()
    assert main(["fit", "--resume", "--epochs", "7", "--cell", "lstm", "--out", str(run)]) == 2
    assert capsys.readouterr().err == (
        f"grus: grus fit --resume: {run} must go on as it began, got another model.cell, training.epochs; leave it out, or name another --out.\n"
    )
    assert len(job.calls) == 3


def test_warning_is_a_sentence(job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def noticed(parts: str) -> tuple[str, ...]:
        warnings.warn("fit: the newest checkpoint is torn. The previous one is used.", RuntimeWarning, stacklevel=1)
        return ()

    monkeypatch.setattr(sys.modules["grus.tasks.forecast_run"], "noticed", noticed)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["fit", "sales.csv", "--horizon", "3"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "grus: fit: the newest checkpoint is torn. The previous one is used."


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
    at = lines.index("data.validation=0.1")
    assert lines[at + 1 : at + 3] == [
        "    the part before the test part; a fraction below 1, a number of steps, or the date that it begins on",
        "    number or whole number or text",
    ]
    assert lines[lines.index("data.horizon (required)") + 1] == "    steps to forecast"
    assert max(map(len, lines)) <= 120
    assert main(["fit", "--keys", "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)
    assert [re.split("[= ]", line)[0] for line in lines if not line.startswith(" ")] == [key["key"] for key in keys]
    sets = [f"--set={key['key']}={key['default']}" for key in keys if key["default"] != "required"]
    assert main(["fit", "sales.csv", "--horizon", "3", *sets, "--set=data.path=sales.csv"]) == 0
    config, expected = job.calls[0][0], ForecastConfig(data=ForecastData(horizon=3, path=Path("sales.csv").absolute()))
    assert config == expected
    assert [key["key"] for key in keys if key["key"] != "data.horizon"] == [key for key in flat(expected) if key != "data.horizon"]


def flat(config: ForecastConfig) -> list[str]:
    return [
        f"{name}.{key}" if isinstance(part, dict) else name
        for name, part in config.model_dump().items()
        for key in (part if isinstance(part, dict) else "x")
    ]


@pytest.mark.usefixtures("job")
def test_baseline_that_is_none_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.yaml").write_text("data: {path: sales.csv, horizon: 3}\nbacktest:\n  baselines: [drift, season naive]\n", encoding="utf-8")
    assert main(["fit", "--config", "study.yaml"]) == 2
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
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "my runs/r"]) == 130
    assert capsys.readouterr().err == "grus: interrupted; grus fit --resume --out 'my runs/r' goes on from here.\n"
    job.error = KeyboardInterrupt()
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "s"]) == 130


def test_interruption_of_several_processes_is_of_all(job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    job.stopped = "interrupted"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "r"]) == 130
    assert capsys.readouterr().err == "grus: interrupted; start all processes again with --resume to go on from here.\n"


def test_rates_are_tried_and_drawn_beside_the_folder_and_nothing_is_trained(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sales.csv", "--horizon", "3", "--out", "runs/a", "--find-rate"]) == 0
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()] == [
        ["rate", "loss", "smoothed"],
        ["1.00e-04", "1", "1"],
        ["1.00e-03", "0.75", "0.75"],
        ["1.00e-02", "0.5", "0.5"],
        ["1.00e-01", "8", "8"],
        [],
        ["suggestion", "0.013"],
        ["stopped", "at", "0.1,", "where", "the", "loss", "rose"],
        ["page", "runs/a-rate.html"],
    ]
    assert printed.err == "grus: next: --set training.learning_rate=0.013 in place of --find-rate; 0.001 is set now.\n"
    assert [path.name for path in Path("runs").iterdir()] == ["a-rate.html"]
    assert job.calls == []


@pytest.mark.usefixtures("job")
def test_rates_as_json_and_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sales.csv", "--horizon", "3", "--find-rate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["suggestion"], found["stopped_at"], found["page"], found["losses"]) == (0.0125, 0.1, "run-rate.html", [1.0, 0.75, 0.5, 8.0])
    assert main(["fit", "sales.csv", "--horizon", "3", "--find-rate", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert (printed.out.splitlines()[0].split(), printed.err) == (["suggestion", "0.013"], "")


def test_search_that_finds_nothing_is_an_error_with_its_page(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.suggestion = None
    assert main(["fit", "sales.csv", "--horizon", "3", "--find-rate"]) == 1
    printed = capsys.readouterr()
    assert "suggestion  none" in printed.out
    assert printed.err.startswith("grus: grus fit --find-rate: a rate must lower the loss by more than it scatters, got none; see run-rate.html")
    assert Path("run-rate.html").exists()


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
def test_search_makes_no_run(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sales.csv", "--horizon", "3", "--find-rate", flag]) == 2
    assert "--find-rate makes no run; leave --resume and --overwrite out" in " ".join(capsys.readouterr().err.replace("│", " ").split())
