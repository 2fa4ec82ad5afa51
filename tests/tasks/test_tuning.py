"""A search from its first trial to its last, with processes that die, and leaders that are killed."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from grus.errors import BackendError, DataError, OptionError
from grus.tasks.config import load
from grus.tasks.tuning import loop
from grus.tasks.tuning import study as studies
from grus.tasks.tuning.folder import TuningFolder
from grus.tasks.tuning.loop import Amount
from grus.tasks.tuning.storage import open_study
from grus.tasks.tuning.study import Record, Study
from tests.tasks.searches import PROCESS, RATE, Heard, outcomes, plan_of, search, write_table

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _quick(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(loop, "PROCESS", PROCESS)
    write_table()


def states(study: Study) -> list[str]:
    return [record.state for record in study.records]


def test_search_finds_the_best_and_keeps_its_configuration() -> None:
    heard = Heard()
    study = search(plan_of(), "out", 15, heard=heard)
    best = study.best
    assert best is not None
    assert best.value == min(record.value for record in study.records if record.state == "finished" and record.value is not None)
    assert 0.33 < best.value < 1.0
    assert [record.number for record in heard.records] == list(range(15))
    kept = load("out/best.yaml")
    assert kept == plan_of().config(best.values)
    assert kept.training.threads is None


def test_search_begins_with_the_settings_as_they_are() -> None:
    first = search(plan_of(), "out", 1).records[0]
    assert (first.values, first.value, first.start) == ({"training.learning_rate": 1e-3}, pytest.approx(1 / 3), True)
    elsewhere = search(plan_of(learning_rate=0.5), "other", 1).records[0]
    assert not elsewhere.start


def test_poor_trials_are_pruned_and_told_as_such() -> None:
    heard = Heard()
    study = search(plan_of(epochs=6), "out", 14, heard=heard)
    pruned = [record for record in heard.records if record.state == "pruned"]
    assert pruned
    assert all(1 < record.epochs < 6 and record.value is None and record.loss == record.losses[-1][1] for record in pruned)
    kept = [record for record in study.records if record.state == "finished"]
    assert all(record.epochs == 6 for record in kept)
    assert "pruned" not in states(search(plan_of(epochs=6, pruner="none"), "whole", 14))
    assert states(search(plan_of(epochs=9, pruner="hyperband"), "bands", 12)).count("pruned") > 0


def test_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    first = outcomes(search(plan_of(), "a", 12))
    assert outcomes(search(plan_of(), "b", 12)) == first
    assert outcomes(search(plan_of(seed=1), "c", 12))[1:] != first[1:]


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_trial_that_dies_fails_or_diverges_leaves_the_others_alone(kind: int) -> None:
    heard = Heard()
    study = search(plan_of(RATE, f"training.batch_size=1,{kind}"), "out", 8, jobs=2, heard=heard)
    wrong = [record for record in study.records if record.values["training.batch_size"] == kind]
    assert 0 < len(wrong) < 8
    state = "pruned" if kind == 4 else "failed"
    note = {2: "its process died of signal 9 (SIGKILL)", 3: "gru: must be another, got this.", 4: "diverged: gru: must be another, got this."}
    assert {(record.state, record.note) for record in wrong} == {(state, note[kind])}
    assert {record.state for record in study.records if record not in wrong} <= {"finished", "pruned"}
    assert len(heard.records) == 8


def test_trials_that_all_fail_are_an_error() -> None:
    with pytest.raises(DataError, match=r"at least one trial must come to its end, got 2 that failed, trial 0: gru: must be another"):
        search(plan_of(batch_size=3), "out", 2)
    assert not Path("out/best.yaml").exists()


def test_settings_that_do_not_go_together_fail_without_a_training() -> None:
    plan = plan_of("model.num_layers=1,2", "model.residual=false,true", RATE)
    study = search(plan, "out", 12)
    wrong = [record for record in study.records if record.values["model.num_layers"] == 1 and record.values["model.residual"]]
    assert wrong
    assert all(record.state == "failed" and "model.residual must be False without a second" in record.note for record in wrong)


def test_time_limit_begins_no_trial() -> None:
    with pytest.raises(OptionError, match="at least one trial must come to its end, got none"):
        search(plan_of(), "out", 5, time_limit_s=0.0)
    assert states(search(plan_of(), "out", 2, resume=True)) == ["finished"] * 2


def test_several_processes_of_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BackendError, match=r"must be led by one process, got 2; start it without torchrun"):
        search(plan_of(), "out", 2)
    assert not Path("out").exists()


def test_process_that_died_between_two_trials_fails_none(monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[Any] = []
    run = loop._Loop.run  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(loop._Loop, "run", lambda self: (loops.append(self), run(self)))  # pyright: ignore

    class Kills(Heard):
        def trial(self, record: Record, study: Study) -> None:
            if record.number == 0:
                process = loops[0].idle[0]._process
                process.kill()
                process.wait()

    assert states(search(plan_of(), "out", 3, heard=Kills())) == ["finished"] * 3


def test_value_that_is_told_is_the_metric_of_a_finished_trial() -> None:
    study = search(plan_of(epochs=6), "out", 14)
    pruned = next(record for record in study.records if record.state == "pruned")
    assert (pruned.to_dict()["value"], pruned.to_dict()["loss"]) == (None, pruned.losses[-1][1])
    first = study.records[0].to_dict()
    assert (first["value"], first["loss"]) == (study.records[0].value, study.records[0].losses[-1][1])


def test_threads_are_divided_among_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [Amount(1, jobs).threads for jobs in (1, 2, 3, 16)] == [8, 4, 2, 1]
    orders: list[dict[str, Any]] = []
    send = loop._Worker.send  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(loop._Worker, "send", lambda self, message: (orders.append(message), send(self, message)))  # pyright: ignore
    search(plan_of(), "out", 1, jobs=2)
    search(plan_of(threads=3), "own", 1, jobs=2)
    assert [order["config"]["training"]["threads"] for order in orders if "config" in order] == [4, 3]


# --- interrupted, killed, gone on with -----------------------------------------------------------------------------------------------
class Stops(Heard):
    """Ctrl-C when some trials are over."""

    def trial(self, record: Record, study: Study) -> None:
        super().trial(record, study)
        if len(self.records) == 4:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_loses_nothing_that_is_finished() -> None:
    alone = outcomes(search(plan_of(), "alone", 12))
    heard = Stops()
    with pytest.raises(KeyboardInterrupt):
        search(plan_of(), "out", 12, heard=heard)
    assert load("out/best.yaml").training.learning_rate > 0
    study = search(plan_of(), "out", 12, resume=True)
    assert "running" not in states(study)
    assert outcomes(study) == alone


LEADER = """
import sys
from grus.tasks.tuning import loop
from tests.tasks.searches import PROCESS, plan_of, search
loop.PROCESS = PROCESS
search(plan_of("training.learning_rate=1e-5..1e-1:log", batch_size=5), "out", 6)
"""


def test_search_goes_on_after_sigkill_to_the_same_bits() -> None:
    plan = plan_of(RATE, batch_size=5)
    alone = outcomes(search(plan, "alone", 6))
    Path("HANG").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    leader = subprocess.Popen([sys.executable, "-c", LEADER], stderr=subprocess.PIPE, text=True, env=environment)
    assert leader.stderr is not None
    assert leader.stderr.readline() == "hangs\n"
    with pytest.raises(OptionError, match="must be a folder that no other grus tune is at work in, got one that is"):
        search(plan, "out", 6, resume=True)
    leader.kill()
    leader.communicate()
    Path("HANG").unlink()
    heard = Heard()
    study = search(plan, "out", 6, resume=True, heard=heard)
    assert [(record.number, record.state) for record in heard.records][:2] == [(3, "interrupted"), (4, alone[3][0])]
    assert len(heard.records) == 4
    assert outcomes(study) == alone


def test_more_trials_are_added_to_a_search() -> None:
    first = outcomes(search(plan_of(), "out", 4))
    assert outcomes(search(plan_of(), "out", 9, resume=True))[:4] == first
    assert len(search(plan_of(), "out", 9, resume=True).records) == 9


# --- storages ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("storage", ["shared.log", "sqlite:///shared.db"])
def test_machines_join_a_study_and_no_pickle_is_read(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("loads", "load", "dumps", "dump", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("pickle"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of SQLAlchemy's pool, which closes its files with the process
        search(plan_of(), "one", 3, storage=storage)
        heard = Heard()
        study = search(plan_of(), "two", 5, storage=storage, heard=heard)
        assert len(heard.records) == 2
        assert states(study) == ["finished"] * 5
        assert heard.sentences == [f"goes on with the study 'study' in {storage}, which has 3 trials that are done."]
        with pytest.raises(OptionError, match=r"must go on as it began, got another search\.training\.learning_rate, training\.epochs; give another"):
            search(plan_of("training.learning_rate=1e-4..1e-1:log", epochs=4), "three", 5, storage=storage)
        assert os.listdir("three") == [".lock"]
        write_table(steps=61)
        with pytest.raises(OptionError, match="got another table; give another --study"):
            search(plan_of(), "four", 5, storage=storage)
    if storage == "shared.log":
        assert all(isinstance(json.loads(line), dict) for line in Path(storage).read_text("utf-8").splitlines())


def test_silent_trials_of_another_machine_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    study = search(plan_of(), "one", 2, storage="shared.log")
    study.place = "far away"
    gone, _ = study.ask()
    heard = Heard()
    search(plan_of(), "two", 3, storage="shared.log", heard=heard)
    assert heard.records == []
    assert heard.sentences[-1] == "trials that others of this study still run: 1; grus tune --resume, with the same --storage, shows them later."
    now = studies.time.time()
    monkeypatch.setattr(studies.time, "time", lambda: now + studies.SILENT_S - 10)
    study.beat()
    monkeypatch.setattr(studies.time, "time", lambda: now + studies.SILENT_S + 10)
    search(plan_of(), "two", 3, storage="shared.log", heard=heard, resume=True)
    assert heard.records == []
    monkeypatch.setattr(studies.time, "time", lambda: now + 2 * studies.SILENT_S)
    again = search(plan_of(), "two", 3, storage="shared.log", heard=heard, resume=True)
    assert [(record.number, record.state) for record in heard.records] == [(gone.number, "interrupted"), (gone.number + 1, "finished")]
    assert again.records[gone.number + 1].values["training.learning_rate"] == gone.params["training.learning_rate"]
    # The machine wakes up: what it found comes too late, and changes nothing.
    count = len(again.records)
    assert not study.is_promising(gone.number, {"epoch": 1, "validation_loss": 0.5})
    study.beat()
    assert study.mine == {}
    assert not study.is_promising(gone.number, {"epoch": 2, "validation_loss": 0.5})
    study.mine[gone.number] = gone
    late = study.prune(gone.number, "diverged: too late")
    assert (late.state, late.note, late.losses) == ("interrupted", "", ())
    assert study.finish(gone.number, 0.0).state == "interrupted"
    assert study.give_up(gone.number).state == "interrupted"
    assert len(study.records) == count  # its values are not put in line twice


@pytest.mark.parametrize("first", [0, 1])
def test_machines_that_ask_at_once_get_other_values(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    search(plan_of(), "out", 1, storage="shared.log")
    one, two = (open_study(plan_of(), "", "another", place, "shared.log", lambda _: None) for place in "ab")
    two.ask()  # the settings as they are
    ask, asked = one.study.ask, list[Any]()

    def beside(*given: Any) -> Any:
        found = [two.ask()[1]] if first == 0 else []
        trial = ask(*given)
        asked.extend(found or [two.ask()[1]])
        return trial

    monkeypatch.setattr(one.study, "ask", beside)
    trial, values = one.ask()
    assert values != asked[0]
    assert trial.number == 2 - first


def test_trial_without_a_place_is_this_folders_where_the_journal_is_its_own() -> None:
    for storage, state in ((None, "interrupted"), ("shared.log", "running")):
        out = f"out-{state}"
        begun = search(plan_of(), out, 1, storage=storage)
        begun.study.ask()  # killed before it said whose it is
        assert states(search(plan_of(), out, 3, storage=storage, resume=True))[1] == state


def test_torn_line_of_a_journal_is_left_out_and_told() -> None:
    before = outcomes(search(plan_of(), "out", 2))
    journal = Path("out/journal.log")
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":5,"worker')
    heard = Heard()
    assert outcomes(search(plan_of(), "out", 3, resume=True, heard=heard))[:2] == before
    assert re.fullmatch(r".*journal\.log: its last line was torn, as by a power cut, and is left out \(20 bytes\)\.", heard.sentences[0])
    assert journal.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("wave.csv", r"--storage must be a journal of Optuna, got wave\.csv with other content; name another file"),
        ("postgres9://me:secret@host/name", r"got postgres9://me:\*\*\*@host/name \(Can't load plugin"),
        ("redis://host", r"the URL of a database that answers, such as postgresql://user@host/name, got redis://host"),
        ("sqlite:///nowhere/at/all.db", r"unable to open database file"),
    ],
)
def test_storage_that_is_none_is_refused_before_any_work(storage: str, message: str) -> None:
    with pytest.raises(BackendError, match=message) as error:
        search(plan_of(), "out", 2, storage=storage)
    assert "secret" not in str(error.value)
    assert os.listdir("out") == [".lock"]
    assert states(search(plan_of(), "out", 1)) == ["finished"]


def test_folder_that_another_process_begins_in_is_left_alone() -> None:
    Path("out").mkdir()
    with Path("out/.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OptionError, match="must be a folder that no other grus tune is at work in, got one that is"):
            search(plan_of(), "out", 2)
    assert os.listdir("out") == [".lock"]


def test_folder_of_something_else_is_refused() -> None:
    Path("taken").mkdir()
    Path("taken/notes.txt").touch()
    with pytest.raises(OptionError, match=r"taken: must be a new or an empty folder, got one with notes\.txt"):
        search(plan_of(), "taken", 2)
    with pytest.raises(DataError, match=r"taken: must be the folder of a search, got one without study\.yaml"):
        search(plan_of(), "taken", 2, resume=True)
    search(plan_of(), "out", 1)
    with pytest.raises(OptionError, match="got one that holds a search; give --resume to go on with it"):
        search(plan_of(), "out", 2)
    TuningFolder(Path("out")).file.write_text("data: {horizon: 3}\n", encoding="utf-8")
    with pytest.raises(DataError, match="must be as grus tune wrote it, got other content"):
        search(plan_of(), "out", 2, resume=True)


def test_importances_need_trials_that_differ() -> None:
    plan = plan_of(RATE, "model.hidden_size=4..64", pruner="none")
    assert search(plan, "out", 9).importances() == {}
    found = search(plan, "out", 20, resume=True).importances()
    assert list(found) == ["training.learning_rate", "model.hidden_size"]
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["training.learning_rate"] > 0.6


def test_only_plain_values_are_told_to_the_storage() -> None:
    study = search(plan_of("model.levels=[0.1, 0.5, 0.9],[0.5]", metric="mae"), "out", 3)
    trial = study.study.get_trials(states=(TrialState.COMPLETE,))[0]
    assert trial.params == {"model.levels": "[0.1, 0.5, 0.9]"}
    assert study.records[0].values == {"model.levels": [0.1, 0.5, 0.9]}
