"""`grus info`: this machine, or a run."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

import grus
from grus.cli import main
from grus.training.checkpoint import Checkpoints, Snapshot

ROWS = [
    {"epoch": 1, "loss": 0.5, "validation_loss": 0.25, "learning_rate": 0.001, "gradient_norm": 2.0, "clipped": 0.5, "seconds": 1.0},
    {"epoch": 2, "loss": 0.25, "validation_loss": 0.5, "learning_rate": 0.001, "gradient_norm": 1.0, "clipped": 0.0, "seconds": 3.0},
]
LOG = "".join(f"{json.dumps(row)}\n" for row in ROWS)
LINES = [
    "epoch 1/100  loss 0.5  validation 0.25 (best)  gradient 2  clipped 50 %  rate 0.001  1 s",
    "epoch 2/100  loss 0.25  validation 0.5  gradient 1  clipped 0 %  rate 0.001  3 s",
]


def test_machine_names_version_and_kernel_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRUS_CACHE", str(tmp_path))
    assert main(["info"]) == 0
    printed = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert printed["grus"] == grus.__version__
    assert printed["kernels"] == str(tmp_path)


def test_run_is_described(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "log.jsonl").write_text(LOG, encoding="utf-8")
    (run / "metrics.json").write_text(json.dumps({"gru": {"mae": 1.25}, "naive": {"mae": None}}), encoding="utf-8")
    assert main(["info", str(run)]) == 0
    printed = capsys.readouterr().out
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in printed.partition("\n\n")[0].splitlines())
    assert facts["horizon"] == "24 steps"
    assert facts["data"] == str(Path("sales.csv").absolute())
    assert facts["target"] == "y by ds"
    assert facts["network"] == "gru, 1 × 64 units"
    assert facts["epochs"] == "2 of at most 100"
    assert facts["state"] == "does not run and is not trained to its end; grus fit --resume --out run goes on with it"
    assert facts["last epoch"] == "2: loss 0.25, validation 0.5"
    assert facts["best epoch"] == "1: loss 0.5, validation 0.25"
    assert facts["time per epoch"] == "2 s without validation"
    assert facts["files"] == "run.json, config.yaml, log.jsonl, model, metrics.json"
    assert [line.split() for line in printed.partition("\n\n")[2].splitlines()] == [["forecaster", "mae"], ["gru", "1.25"], ["naive", "nan"]]


@pytest.mark.parametrize("torn", [False, True])
def test_run_of_several_processes_goes_on_in_as_many(run: Path, torn: bool, capsys: pytest.CaptureFixture[str]) -> None:
    places = [run / "checkpoints", run / "checkpoints" / "previous"]
    places[1].mkdir(parents=True)
    for place in places:
        Checkpoints(place, resume=True).save(Snapshot({}, {}, {}, {"ranks": 3}))
    if torn:
        (places[0] / "state.json").write_text('{"ranks": 1', encoding="utf-8")
    assert main(["info", str(run)]) == 0
    wanted = "not trained to its end; torchrun --nproc-per-node 3 -m grus fit --resume --out run goes on with it"
    assert wanted in capsys.readouterr().out


def test_run_that_diverged_is_no_run_to_go_on_with(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints" / "diverged").mkdir(parents=True)
    assert main(["info", str(run)]) == 0
    assert "does not run, as it diverged; run/checkpoints/diverged has the weights and the batch" in capsys.readouterr().out


def test_damaged_scores_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "metrics.json").write_text("[1", encoding="utf-8")
    assert main(["info", str(run)]) == 1
    assert "metrics.json: must hold scores by forecaster and metric" in capsys.readouterr().err


def test_running_run_says_how_far_it_has_come_and_how_long_it_will_take(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beat = {"time": time.time(), "epochs": 100, "steps": 4, "epoch": 3, "step": 2, "seconds_per_step": 0.5}
    (run / "running.json").write_text(json.dumps(beat), encoding="utf-8")
    assert main(["info", str(run)]) == 0
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts["state"] == "running, step 2 of 4 in epoch 3"
    assert (facts["time per epoch"], facts["time left"]) == ("2 s with validation", "at most 3:15")
    (run / "running.json").write_text(json.dumps({"time": time.time()}), encoding="utf-8")
    assert main(["info", str(run)]) == 0
    assert "running, before its first step" in capsys.readouterr().out


def test_followed_run_that_is_trained_ends_with_what_comes_next(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "log.jsonl").write_text(LOG, encoding="utf-8")
    (run / "model" / "config.json").write_text("{}", encoding="utf-8")
    assert main(["info", str(run), "--follow"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == LINES
    assert printed.err == "grus: the run is trained to its end; next: grus evaluate run.\n"


def test_followed_run_is_told_when_it_is_taken_up_again_and_when_it_is_gone(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in epoch 3 and gone on with behind epoch 1, then gone."""
    pulse, again = run / "running.json", [ROWS[0], ROWS[1] | {"seconds": 2.5, "validation_loss": 0.125}]
    events = iter([lambda: (run / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in again), encoding="utf-8"), pulse.unlink])
    monkeypatch.setattr("grus.cli.info.time.sleep", lambda seconds: next(events)())
    (run / "log.jsonl").write_text(LOG, encoding="utf-8")
    pulse.write_text(json.dumps({"time": time.time()}), encoding="utf-8")
    assert main(["info", str(run), "--follow"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [*LINES, "epoch 2/100  loss 0.25  validation 0.125 (best)  gradient 1  clipped 0 %  rate 0.001  2.5 s"]
    assert printed.err.splitlines() == [
        "grus: the run was taken up again behind epoch 1.",
        "grus: the run does not run and is not trained to its end; grus fit --resume --out run goes on with it.",
    ]


def test_run_that_is_not_there_yet_is_waited_for(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder comes, then its sign of life; then it is trained."""
    later, pulse = run.rename(run.with_name("later")), run / "running.json"
    events = iter(
        [
            lambda: later.rename(run),
            lambda: pulse.write_text(json.dumps({"time": time.time()}), encoding="utf-8"),
            lambda: (run / "model" / "config.json").write_text("{}", encoding="utf-8"),
        ]
    )
    monkeypatch.setattr("grus.cli.info.time.sleep", lambda seconds: next(events)())
    assert main(["info", str(run), "--follow"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "grus: waits for a run in run, which is not there yet.",
        "grus: the run is trained to its end; next: grus evaluate run.",
    ]


def test_ctrl_c_ends_waiting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grus.cli.info.time.sleep", stop)
    assert main(["info", "runs/nowhere", "--follow"]) == 130
    assert capsys.readouterr().err == "grus: waits for a run in runs/nowhere, which is not there yet.\n"


def test_ctrl_c_ends_following_and_not_the_run(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grus.cli.info.time.sleep", stop)
    (run / "running.json").write_text(json.dumps({"time": time.time()}), encoding="utf-8")
    assert main(["info", str(run), "--follow"]) == 130
    assert capsys.readouterr() == ("", "")
    assert (run / "running.json").exists()


def test_follow_is_for_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--follow"]) == 2
    assert "--follow is for a run; name its folder" in capsys.readouterr().err
