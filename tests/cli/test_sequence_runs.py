"""The commands on runs of texts and sequences that are really trained: what they print, what they keep, and what they refuse."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.cli import main
from grus.tasks import folder as folders
from tests.cli.text_runs import TEXTS
from tests.tasks.written_sequences import write_steps, write_texts


@pytest.fixture
def run(run_of_texts: Path) -> Path:
    return run_of_texts


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
    Path("quote.tsv").write_text('label\ttext\n1\t"good\n0\tbad\n')
    assert main(["fit", "quote.tsv", "--task", "classify", "--label", "label"]) == 1
    assert "write a quote inside a value twice, or name the column of texts with --text." in capsys.readouterr().err


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
