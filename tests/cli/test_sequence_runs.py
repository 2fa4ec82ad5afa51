"""The commands on runs of texts and sequences that are really trained: what they print, what they keep, and what they refuse."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.cli import main
from grus.tasks import folder as folders
from grus.tasks.sequence_record import SequenceRecord
from tests.tasks.written_sequences import write_steps, write_texts

SMALL = ("--set=model.hidden_size=4", "--set=model.embedding_size=4", "--epochs=2", "--quiet")
FEW = ("--set=judging.draws=100", "--set=judging.baselines=[majority class]")
TEXTS = ("--task", "classify", "--text", "text_a", "--label", "label")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on 40 texts, with files of its own for validation and test."""
    place = tmp_path_factory.mktemp("trained")
    files = [str(write_texts(place / f"{name}.tsv", 40, seed)) for seed, name in enumerate(("train", "dev", "test"))]
    assert main(["fit", files[0], *TEXTS, "--valid", files[1], "--test", files[2], "--out", str(place / "run"), *SMALL]) == 0
    return place / "run"


@pytest.fixture
def run(trained: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A copy of that run, in an empty current folder."""
    shutil.copytree(trained, "run")
    capsys.readouterr()
    return Path("run")


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != ".lock"}


def predicted(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> pd.DataFrame:
    assert main(["predict", "run", *arguments]) == 0
    return pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"id": str, "predicted": str})


def test_run_says_what_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads((run / "run.json").read_text()) == {"kind": "grus classify run", "version": 1}
    assert folders.open(run).task.record == "evaluation.json"
    config = (run / "config.yaml").read_text("utf-8")
    assert "task: classify" in config
    assert "pooling: mean+max" in config
    card = (run / "model" / "README.md").read_text("utf-8")
    assert card.startswith("# Classifier of label\n")
    assert "| texts | 40 for training, 40 for validation |" in card
    assert "- tokens are words; --set data.tokenizer gives others" in card
    assert main(["info", "run"]) == 0
    facts = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert facts["run"].strip() == "classify in run"
    assert facts["from"].strip() == "texts in text_a"
    assert facts["state"].strip() == "trained to its end"


def test_evaluation_prints_and_keeps_its_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    assert main(["evaluate", "run", *FEW]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert printed.out.splitlines()[0].split("  ")[0] == "metric"
    assert [row[0] for row in rows[1:3]] == ["accuracy", "balanced_accuracy"]
    assert "grus: gru beside majority class: right where the other is wrong" in printed.err
    assert "grus: next: grus report run, all this on one page." in printed.err
    assert "grus predict run answers with this network, which has not learnt from the test part;" in printed.err
    after = contents(run)
    assert {name for name in after if after[name] != before.get(name)} == {"metrics.json", "evaluation.json", "model/README.md"}
    record = SequenceRecord.from_json(after["evaluation.json"].decode())
    assert list(record.predicted) == ["gru", "majority class"]
    assert record.intervals["accuracy"].value == record.scores()["gru"]["accuracy"]
    assert json.loads(after["metrics.json"])["gru"]["accuracy"] == record.scores()["gru"]["accuracy"]
    assert "| tested | 40 texts |" in after["model/README.md"].decode()
    assert main(["info", "run"]) == 0
    assert "roc_auc" in capsys.readouterr().out


def test_evaluation_in_json_and_of_other_data(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    write_texts(Path("other.tsv"), 12, 7)
    assert main(["evaluate", "run", "--data", "other.tsv", "--out", "found.json", "--json", "--set=judging.draws=0", FEW[1]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert set(lines[-1]) == {"gru", "majority class"}
    assert lines[-1]["majority class"]["accuracy"] == 0.5
    assert lines[-2]["compared"]["majority class"]["exact"] is True
    assert lines[-3] == {"intervals": {}}
    found = SequenceRecord.from_json(Path("found.json").read_text("utf-8"))
    assert (len(found), dict(found.intervals)) == (12, {})
    assert contents(run) == before


def test_what_is_of_one_group_is_judged_together(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = write_texts(Path("a.tsv"), 90).read_text("utf-8").splitlines()
    who = ["who", *(f"w{number // 3}" for number in range(90))]
    Path("a.tsv").write_text("".join(f"{name}\t{line}\n" for name, line in zip(who, lines, strict=True)), encoding="utf-8")
    assert main(["fit", "a.tsv", *TEXTS, "--set=data.groups=who", "--test", "0.7", "--valid", "0", "--out", "run", *SMALL]) == 0
    assert main(["evaluate", "run", *FEW]) == 0
    assert " interval " in capsys.readouterr().err.partition("gru beside majority class: accuracy ")[2]
    record = SequenceRecord.from_json(Path("run/evaluation.json").read_text("utf-8"))
    assert record.groups == tuple(f"w{(int(id) - 2) // 3}" for id in record.ids)
    assert record.intervals["log_loss"].findings == ("the sequences of a group are drawn together, 21 groups in every draw",)
    assert main(["evaluate", "run", "--data", "a.tsv", "--out", "whole.json", *FEW]) == 0
    assert SequenceRecord.from_json(Path("whole.json").read_text("utf-8")).groups == tuple(who[1:])
    write_texts(Path("other.tsv"), 12, 7)
    capsys.readouterr()
    assert main(["evaluate", "run", "--data", "other.tsv", "--out", "other.json", *FEW]) == 1
    assert "other.tsv: column 'who' must be there once, got 'label', 'text_a'" in capsys.readouterr().err


def test_networks_of_other_seeds_are_tested_too(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run", "--quiet", "--seeds", "0,1", *FEW]) == 0
    assert "gru over seeds 0, 1:\n  accuracy " in capsys.readouterr().out
    record = SequenceRecord.from_json((run / "evaluation.json").read_text("utf-8"))
    assert list(record.seeds) == [1]
    assert not np.array_equal(record.seeds[1], record.predicted["gru"])
    assert "| gru over seeds 0, 1 |" in (run / "model" / "README.md").read_text("utf-8")


def test_interrupted_evaluation_is_gone_on_with(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    job = sys.modules["grus.tasks.sequence_run"]
    with monkeypatch.context() as patched:
        patched.setattr(job, "train", interrupted)
        assert main(["evaluate", "run", "--quiet", "--seeds", "1", *FEW]) == 130
    (kept,) = (run / "checkpoints" / "evaluation").iterdir()
    assert [path.name for path in kept.iterdir()] == ["record.json"]
    with monkeypatch.context() as patched:
        patched.setattr(job, "judge", interrupted)  # what was judged is not judged again
        assert main(["evaluate", "run", "--quiet", "--seeds", "1", *FEW]) == 0
    assert not (run / "checkpoints" / "evaluation").exists()
    capsys.readouterr()


def test_predictions_are_rows_of_probabilities(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    own = predicted([], capsys)
    assert list(own) == ["id", "predicted", "probability of 0", "probability of 1"]
    assert own["id"].tolist() == [str(line) for line in range(2, 42)]
    np.testing.assert_allclose(own[["probability of 0", "probability of 1"]].sum(axis=1), 1)
    assert own["predicted"].tolist() == own[["probability of 0", "probability of 1"]].to_numpy().argmax(1).astype(str).tolist()
    write_texts(Path("new.tsv"), 40, 2)
    Path("bare.tsv").write_text("text_a\n" + "".join(line.split("\t")[1] for line in Path("new.tsv").read_text().splitlines(True)[1:]))
    pd.testing.assert_frame_equal(predicted(["--data", "bare.tsv"], capsys), own)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("bare.tsv").read_bytes())))
    pd.testing.assert_frame_equal(predicted(["--data", "-"], capsys), own)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text\nfine\n")))
    assert main(["predict", "run", "--data", "-"]) == 1
    assert capsys.readouterr().err.startswith("grus: stdin: column 'text_a' must be there once, got 'text'; perhaps 'text' was meant.")
    assert main(["predict", "run", "--levels", "0.1"]) == 2
    assert "predict: --levels must be left out for task classify, got 0.1; it is for forecasts." in capsys.readouterr().err


def test_page_follows_the_evaluation(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run"]) == 1
    assert "run: must hold evaluation.json, got a run with" in (told := capsys.readouterr().err)
    assert told.endswith("run grus evaluate run first.\n")


def test_interrupted_run_is_gone_on_with_and_ends_as_one_that_was_not(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loop: Any = sys.modules["grus.training.loop"]
    assert loop is not None
    config = ["--config", "run/config.yaml", "--set=training.epochs=2"]
    progress: Any = sys.modules["grus.training.progress"]
    kept: Callable[..., None] = progress.Together.epoch

    def stop(self: Any, row: dict[str, float]) -> None:
        kept(self, row)
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(progress.Together, "epoch", stop)
        assert main(["fit", *config, "--out", "other", "--quiet"]) == 130
    assert "grus fit --resume --out other goes on from here." in capsys.readouterr().err
    assert main(["fit", "--resume", "--out", "other", "--epochs", "3", "--quiet"]) == 2
    assert "must go on as it began, got another training.epochs" in capsys.readouterr().err
    assert main(["fit", "--resume", "--out", "other", "--quiet"]) == 0
    assert (run / "model" / "model.safetensors").read_bytes() == Path("other/model/model.safetensors").read_bytes()
    capsys.readouterr()
    assert main(["fit", "--resume", "--out", "other"]) == 0
    assert "other: was trained to its end" in capsys.readouterr().err


def test_numbers_are_learnt_from_steps(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_steps(Path("a.csv"), 40)
    columns = ["--id", "id", "--time", "time", "--channels", "a,b", "--label", "slope", "--missing", "gru_d"]
    assert main(["fit", "a.csv", "--task", "regress", *columns, "--json", "--set=model.hidden_size=4", "--epochs=1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["sequences"] == 32
    assert folders.open("run").config.model.cell == "gru_d"
    assert main(["evaluate", "run", "--quiet", "--set=judging.baselines=[mean, ridge on summary features]", "--set=judging.draws=0"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].split() == ["model", "mae", "rmse", "r2"]
    assert "gru_d beside mean: mae" in printed.err
    found = predicted(["--data", "a.csv"], capsys)
    assert list(found) == ["id", "slope"]
    assert found["id"].tolist() == [f"s{number}" for number in range(40)]
    assert main(["fit", "a.csv", "--task", "regress", *columns, "--find-rate", "--quiet"]) in (0, 1)
    assert "<title>Learning rates for slope" in Path("run-rate.html").read_text("utf-8")


def test_run_without_a_test_part_is_told_to_predict_a_file(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_steps(Path("a.csv"), 40)
    columns = ["--id", "id", "--time", "time", "--channels", "a,b", "--label", "slope"]
    assert main(["fit", "a.csv", "--task", "regress", *columns, "--test", "0", "--set=model.hidden_size=4", "--epochs=1"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "grus: next: grus predict run --data FILE, what it says of the sequences in a file."
    assert main(["predict", "run"]) == 1


def test_texts_without_their_column_named_are_told_of_it(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(Path("a.tsv"), 40, 0)
    assert main(["fit", "a.tsv", "--task", "classify", "--label", "label"]) == 1
    assert "name the columns of numbers with --channels, that of texts with --text." in capsys.readouterr().err


def test_trial_of_a_search_is_of_its_task(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(Path("train.tsv"), 40)
    search = ["--search=model.hidden_size=2,4", "--metric=accuracy", "--trials=2", "--out=found"]
    assert main(["tune", "train.tsv", *TEXTS, "--set=training.epochs=1", "--set=model.embedding_size=4", *search]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert rows[0] == ["trial", "accuracy", "epochs", "model.hidden_size"]
    assert [float(row[1]) for row in rows[1:]] == sorted((float(row[1]) for row in rows[1:]), reverse=True)
    assert folders.load("found/best.yaml").task == "classify"
    assert main(["tune", "train.tsv", *TEXTS, "--metric=mse", "--search=model.hidden_size=2,4", "--out=none"]) == 2
    assert "--metric must be one of validation_loss, accuracy," in capsys.readouterr().err
    assert main(["tune", "train.tsv", *TEXTS, "--search=data.split_seed=1,2", "--out=none"]) == 2
    assert "data.split_seed: must be a key that the same validation part can judge" in capsys.readouterr().err
