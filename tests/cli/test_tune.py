"""`grus tune`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from grus.cli import main
from grus.tasks.config import load
from grus.tasks.draft import Draft
from grus.tasks.tuning import loop
from tests.tasks.searches import PROCESS, write_table

RATE = "--search=training.learning_rate=1e-5..1e-1:log"
SMALL = ("tune", "wave.csv", "--horizon=3", "--set=data.lookback=6", "--set=training.epochs=3", "--set=training.batch_size=1")


@pytest.fixture(autouse=True)
def _quick(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(loop, "PROCESS", PROCESS)
    write_table()


def test_search_prints_its_best_trials_and_writes_what_fit_takes(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, RATE, "--search=model.cell=gru,lstm", "--trials=11"]) == 0
    printed = capsys.readouterr()
    rows = [re.split("  +", line) for line in printed.out.splitlines()]
    assert rows[0] == ["trial", "validation_loss", "epochs", "training.learning_rate", "model.cell"]
    values = [float(row[1]) for row in rows[1:]]
    assert values == sorted(values)
    assert len(values) <= 10
    told = printed.err.splitlines()
    assert re.fullmatch(r"grus: at most 11 trials, 1 at a time with (1 thread|\d+ threads) each\.", told[0])
    assert told[1] == "grus: 1 of 11: trial 0 finished 0.3333 after 3 epochs"
    assert re.match(r"grus: 2 of 11: trial 1 finished [\d.]+ after 3 epochs; best 0\.3333, trial 0", told[2])
    assert len([line for line in told if " of 11: trial " in line]) == 11
    assert told[-1].startswith("grus: tuning/report.html shows the search; to train with the best settings: grus fit --config tuning/best.yaml")
    best = load("tuning/best.yaml")
    assert best.data.path == elsewhere / "wave.csv"
    assert best.model.cell == rows[1][4]
    assert "<h2" in Path("tuning/report.html").read_text("utf-8")


def test_lines_of_json_are_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, RATE, "--trials=3", "--json"]) == 0
    printed = capsys.readouterr()
    *trials, last = map(json.loads, printed.out.splitlines())
    assert [trial["trial"] for trial in trials] == [0, 1, 2]
    assert set(trials[0]) == {"trial", "state", "value", "loss", "epochs", "seconds", "settings"}
    assert trials[0]["settings"] == {"training.learning_rate": 1e-3}
    assert last["best"] in trials
    assert (last["trials"], last["importances"]) == (3, {})
    assert printed.err == ""


def test_file_holds_the_search_too(capsys: pytest.CaptureFixture[str]) -> None:
    text = "data: {path: wave.csv, horizon: 3, lookback: 6}\ntraining: {epochs: 3, batch_size: 1}\nsearch:\n  model.hidden_size: [4, 8]\n"
    Path("study.yaml").write_text(text, encoding="utf-8")
    assert main(["tune", "--config=study.yaml", "--trials=2", "--out=a", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert (printed.out.splitlines()[0].split()[-1], printed.err) == ("model.hidden_size", "")
    assert main(["tune", "--config=a/study.yaml", "--trials=2", "--out=b", "--quiet"]) == 0
    assert capsys.readouterr().out == printed.out


def test_file_of_a_search_makes_the_same_search() -> None:
    began = ["--metric=mae", "--pruner=none", "--seed=3", "--trials=2", "--quiet"]
    assert main([*SMALL, RATE, *began, "--out=a"]) == 0
    assert main(["tune", "--config=a/study.yaml", "--out=b", "--quiet"]) == 0
    assert main(["tune", "--config=a/study.yaml", "--out=c", "--quiet", "--trials=1", "--seed=0", "--pruner=median", "--metric=rmse"]) == 0
    a, b, c = (Draft.read(f"{name}/study.yaml").tree["study"] for name in "abc")
    assert {key: b[key] for key in ("metric", "pruner", "seed", "trials")} == {"metric": "mae", "pruner": "none", "seed": 3, "trials": 2}
    assert b == {**a, "name": "b", "place": b["place"]}
    assert a["place"] != b["place"]
    assert (c["metric"], c["pruner"], c["seed"], c["trials"]) == ("rmse", "median", 0, 1)


def test_best_settings_are_only_named_where_there_are_some(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(loop._Loop, "run", lambda self: self.study.ask())  # pyright: ignore
    assert main([*SMALL, RATE, "--trials=1"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "grus: tuning/report.html shows the search."
    assert not Path("tuning/best.yaml").exists()


def test_interrupted_search_tells_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hear = loop._Loop._hear  # pyright: ignore[reportPrivateUsage]
    heard: list[int] = []

    def stop(self: loop._Loop, worker: loop._Worker) -> None:  # pyright: ignore[reportPrivateUsage]
        heard.append(worker.number)
        if len(heard) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        hear(self, worker)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Loop, "_hear", stop)  # pyright: ignore[reportPrivateUsage]
        assert main([*SMALL, RATE, "--trials=4"]) == 130
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("grus: interrupted; grus tune --resume --out tuning goes on from here.\n")
    assert "trial 1 interrupted" in printed.err
    assert main(["tune", "--resume", "--json"]) == 0
    assert [json.loads(line).get("trial") for line in capsys.readouterr().out.splitlines()] == [2, 3, 4, None]
    assert main(["tune", "--resume", "--trials=5", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence", "status"),
    [
        (["tune", "--horizon=3", RATE], "grus tune: data.path must be given, got none; name a file: grus tune DATA.", 2),
        (["tune", "wave.csv", RATE], "grus tune: data.horizon must be given, got none;", 2),
        ([*SMALL], "grus tune: --search must name a key, got none;", 2),
        ([*SMALL, "--search=model.hiden_size=4,8"], "--search model.hiden_size is unknown; did you mean model.hidden_size?", 2),
        ([*SMALL, RATE, "--metric=mea"], "--metric must be one of validation_loss, mae", 2),
        ([*SMALL, RATE, "--pruner=hyperbnd"], "got hyperbnd; did you mean 'hyperband'?", 2),
        ([*SMALL, RATE, "--set=training.learning_rate=1"], "--set must name keys that are not searched, got training.learning_rate=1;", 2),
        ([*SMALL, "--search=data.scaling=standard,robust"], "--metric must be in the target's own units where data.scaling is searched", 2),
        (["tune", "gone.csv", "--horizon=3", RATE], "gone.csv", 1),
        (["tune", "--resume", "--out=nothing"], "nothing: must be the folder of a search, got one without study.yaml;", 1),
        (["tune", "--resume", "wave.csv", "--horizon=3"], "--resume goes on with a search as it began; leave out DATA, --horizon", 2),
        ([*SMALL, RATE, "--quiet", "--json"], "--quiet prints no progress and --json prints it", 2),
        ([*SMALL, RATE, "--trials=0"], "--trials", 2),
        (["tune", "--config=odd.yaml"], "odd.yaml line 2: study.trials must be a whole number from 1, got 'many'; leave it out for the default.", 2),
        (["tune", "--config=more.yaml"], "more.yaml line 2: study must be a section of metric, pruner, seed and trials, got {'jobs': 2};", 2),
        (["tune", "--config=list.yaml"], "list.yaml line 1: search must be a section of keys and their ranges, got [1]; write key: range.", 2),
    ],
)
def test_mistake_is_one_sentence_and_nothing_is_made(arguments: list[str], sentence: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.yaml").write_text("search: [1]\ndata: {path: wave.csv, horizon: 3}\n", encoding="utf-8")
    Path("odd.yaml").write_text("data: {path: wave.csv, horizon: 3}\nstudy: {trials: many}\n", encoding="utf-8")
    Path("more.yaml").write_text("data: {path: wave.csv, horizon: 3}\nstudy: {jobs: 2}\n", encoding="utf-8")
    assert main(arguments) == status
    printed = capsys.readouterr()
    assert sentence in " ".join(re.sub(r"[│╭╮╰╯─]", " ", printed.err).split())
    assert printed.out == ""
    assert sorted(path.name for path in Path().iterdir()) == ["list.yaml", "more.yaml", "odd.yaml", "wave.csv"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["tune", "named.tsv", "--task=classify", "--text=text", "--search=model.hidden_size=2,4", "--metric=f1"],
            "for 3 classes, got f1; did you mean f1_macro?",
        ),
        ([*SMALL, RATE, "--set=model.head=point", "--metric=crps"], "validation_loss, mae, rmse, smape, mase for model.head=point, got crps;"),
    ],
)
def test_metric_that_there_is_not_is_refused_before_a_trial(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("named.tsv").write_text("text\tlabel\n" + "".join(f"word {row}\t{'abc'[row % 3]}\n" for row in range(30)), encoding="utf-8")
    assert main([*arguments, "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("grus: grus tune: --metric must be one of validation_loss, ")
    assert sentence in printed.err
    assert not Path("tuning").exists()


def test_metric_that_only_some_trials_have_is_not_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--search=model.head=point,quantile", "--metric=crps", "--trials=1", "--quiet"]) == 0
    assert capsys.readouterr().out.split()[1] == "crps"


def test_trials_that_do_not_compare_are_not_ended_early(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--search=data.scaling=standard,robust", "--metric=mae", "--trials=2"]) == 0
    assert "grus: no trial is ended early, as the losses of these trials do not compare." in capsys.readouterr().err
