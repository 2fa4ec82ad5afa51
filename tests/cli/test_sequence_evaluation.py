"""`grus evaluate` on runs of texts and sequences that are really trained: what it prints, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.cli import main
from grus.errors import DataError
from grus.tasks.sequence_record import SequenceRecord
from tests.cli.text_runs import FEW, SMALL, TEXTS, contents
from tests.tasks.written_sequences import write_texts


@pytest.fixture
def run(run_of_texts: Path) -> Path:
    return run_of_texts


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
    for file in ("validation", "test"):
        assert f"| {file} file | {file.replace('validation', 'dev')}.tsv |" in after["model/README.md"].decode()
    told = record.intervals["accuracy"]
    assert f"gru: accuracy {told.value:.4g}, 95 % interval {told.low:.4g} to {told.high:.4g}\n" in printed.out
    assert printed.out.endswith("\nprecision, recall, f1, roc_auc and average_precision are of class 1\n")
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


def test_what_the_network_has_learnt_from_is_told_where_it_is_tested(run: Path, trained_on_texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = trained_on_texts.parent
    lines = (place / "train.tsv").read_text("utf-8").splitlines(True)
    Path("mixed.tsv").write_text("".join([*lines[:12], (place / "dev.tsv").read_text("utf-8").splitlines(True)[2], "1\tnew\n"]), encoding="utf-8")
    for file, told in (
        (place / "train.tsv", ["train.tsv: 40 of 40 stand in the training part too, exactly alike"]),
        (place / "dev.tsv", ["dev.tsv: 40 of 40 stand in the validation part too, exactly alike"]),
        (
            Path("mixed.tsv"),
            [
                "mixed.tsv: 11 of 13 stand in the training part too, exactly alike",
                "mixed.tsv: 1 of 13 stands in the validation part too, exactly alike",
            ],
        ),
        (place / "test.tsv", []),
    ):
        assert main(["evaluate", "run", "--data", str(file), "--quiet", "--set=judging.draws=0", FEW[1]]) == 0
        printed = capsys.readouterr().err.splitlines()
        assert [line for line in printed if "exactly alike" in line] == [f"grus: {sentence}" for sentence in told]


def test_repeated_texts_are_told_before_the_scores_and_on_the_page(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = write_texts(Path("train.tsv"), 30), write_texts(Path("test.tsv"), 10, 1)
    with test.open("a", encoding="utf-8") as file:
        file.writelines(train.read_text("utf-8").splitlines(True)[1:21])
    assert main(["fit", str(train), *TEXTS, "--valid", "0", "--test", str(test), "--out", "run", *SMALL[:-1], "--set=training.epochs=1"]) == 0
    told = capsys.readouterr().err
    assert "grus: noticed in the data: test: 20 of 30 stand in the training part too, exactly alike\n" in told
    assert told.endswith("grus: next: grus evaluate run, its scores beside baselines on the test part, which was set aside.\n")
    assert main(["evaluate", "run", "--quiet", *FEW]) == 0
    assert capsys.readouterr().err.startswith("grus: test: 20 of 30 stand in the training part too, exactly alike\n")
    record = SequenceRecord.from_json(Path("run/evaluation.json").read_text("utf-8"))
    assert record.repeated == {"training": tuple(range(10, 30))}
    card = Path("run/model/README.md").read_text("utf-8")
    assert card.count("test: 20 of 30 stand in the training part too, exactly alike") == 1
    assert main(["report", "run"]) == 0
    page = Path("run/report.html").read_text("utf-8")
    head = page[: page.index("</header>")]
    assert "Tested on 30 sequences, of which 20 stand in the training part too; 2 classes: 0 (15), 1 (15)." in head
    assert "On the 10 others gru reaches accuracy " in head
    assert "had no part in training" not in page
    assert "<dt>test file</dt><dd>test.tsv</dd>" in page
    capsys.readouterr()


def test_evaluation_that_fails_leaves_nothing_to_speak_of(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run", "--quiet", "--set=judging.baselines=[mean]"]) == 2
    assert "got 'mean'" in capsys.readouterr().err
    assert not (run / "checkpoints" / "evaluation").exists()
    assert main(["evaluate", "run", "--quiet", *FEW]) == 0
    assert "starts anew" not in capsys.readouterr().err

    def fails(*_: Any, **__: Any) -> Any:
        raise DataError("judged: must be kept, got an end behind it; go on.")

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["grus.tasks.sequence_run"], "train", fails)
        assert main(["evaluate", "run", "--quiet", "--seeds", "1", *FEW]) == 1
    assert [path.name for path in (run / "checkpoints" / "evaluation").glob("*/*")] == ["record.json"]  # which need not be made again
    capsys.readouterr()
    assert main(["evaluate", "run", "--quiet", "--set=judging.draws=0", FEW[1]]) == 0
    assert "this evaluation starts anew, as one that was not finished had other settings" in capsys.readouterr().err


def test_several_numbers_are_never_averaged_over_units(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(30, 4))
    table = pd.DataFrame(steps, columns=[f"x{step}" for step in range(1, 5)]).assign(load=steps.sum(1), peak=1e4 * steps.max(1))
    table.to_csv("a.csv", index=False)
    columns = ["--task", "regress", "--channels", "x", "--label", "load,peak"]
    assert main(["fit", "a.csv", *columns, "--test", "0.4", "--set=model.hidden_size=4", "--epochs=1", "--quiet"]) == 0
    capsys.readouterr()
    judged = ["--quiet", "--set=judging.draws=100", "--set=judging.baselines=[mean]"]
    assert main(["evaluate", "run", *judged]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    record = SequenceRecord.from_json(Path("run/evaluation.json").read_text("utf-8"))
    assert rows[0] == ["model", "scaled_mae", "scaled_rmse", "r2"]
    found = record.intervals["scaled_mae"]
    assert printed.out.splitlines()[3] == f"gru: scaled_mae {found.value:.4g}, 95 % interval {found.low:.4g} to {found.high:.4g}"
    assert printed.out.splitlines()[4:6] == [
        "scaled_mae and scaled_rmse are means over the targets of errors in units of each one's standard deviation",
        "mean absolute error of each target, in its own units:",
    ]
    assert rows[6] == ["model", "load", "peak"]
    errors = np.abs(record.truth.values - record.predicted["gru"]).mean(0)
    assert rows[7][0] == "gru"
    np.testing.assert_allclose([float(value.replace(",", "")) for value in rows[7][1:]], errors, rtol=1e-3)
    assert "gru beside mean: scaled_mae " in printed.err
    assert set(json.loads(Path("run/metrics.json").read_text("utf-8"))["gru"]) == {"scaled_mae", "scaled_rmse", "r2"}
    assert main(["evaluate", "run", "--json", *judged[1:]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    each = next(line["each"] for line in lines if "each" in line)
    assert [each["gru"][name]["mae"] for name in ("load", "peak")] == pytest.approx(errors.tolist())


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
