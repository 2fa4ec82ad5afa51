"""``tune``: trials of a search in processes of their own, side by side, until as many are done as were asked for."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from optuna.exceptions import StorageInternalError

from grus.errors import BackendError, DataError, OptionError
from grus.tasks.config import Config
from grus.tasks.files import write_text
from grus.tasks.registry import TASKS
from grus.tasks.tuning.folder import TuningFolder
from grus.tasks.tuning.storage import open_study
from grus.tasks.tuning.study import Plan, Record, Study
from grus.training.ranks import count_of_processes

BEAT_S = 60.0  # between two signs of life
PROCESS = ("-P", "-m", "grus.tasks.tuning.trial")  # of Python, nothing taken from the current folder
DIES_S = 5.0  # that a process has to end by itself when its orders end

Tell = Callable[[str], None]
Told = Callable[[Record, Study], None]


@dataclass(frozen=True)
class Amount:
    """How much is done: trials in the whole study, how many at a time here, and seconds after which none is begun."""

    trials: int = 30
    jobs: int = 1
    time_limit_s: float | None = None

    @property
    def threads(self) -> int:
        """Of each trial, so that all together use once what PyTorch may use: the processor, or what OMP_NUM_THREADS says."""
        return max(1, torch.get_num_threads() // self.jobs)


def tune(
    plan: Plan, folder: TuningFolder, amount: Amount, *, name: str, storage: str | None, kept: dict[str, Any] | None, told: Told, tell: Tell
) -> Study:
    """Make trials until as many of the study are done as were asked for, and keep the best one's configuration; Ctrl-C ends them before.

    kept: what ``TuningFolder.read`` says of a search to go on with. told: hears of each trial that is over. tell: hears what else a reader must know.

    Raises: OptionError, DataError, BackendError; KeyboardInterrupt when the folder is in order.
    """
    if count_of_processes() > 1:
        raise BackendError(f"grus tune: the search must be led by one process, got {count_of_processes()}; start it without torchrun, give --jobs.")
    data = _look(plan)
    if kept is None:
        folder.make()
    with folder.locked():
        if kept is None:
            folder.create(plan, name, amount.trials, shared=storage is not None)
        elif kept.get("shared", False) and storage is None:
            raise OptionError(f"grus tune: --storage must be the one that the search in {folder.path} began with, got none; name it.")
        place = folder.read()[1]["place"]
        try:
            study = open_study(plan, data, name, place, storage or str(folder.journal), tell)
        except BaseException:
            if kept is None:
                folder.withdraw()
            raise
        study.alone = storage is None
        try:
            _Loop(study, amount, told, tell).run()
        except StorageInternalError as error:
            raise BackendError(
                f"grus tune: the storage must answer, got {error}; grus tune --resume --out {folder.path} goes on from here."
            ) from error
        finally:
            if (best := study.best) is not None:
                write_text(folder.best, plan.config(best.values).to_yaml())
    _check_outcome(study)
    return study


def _look(plan: Plan) -> str:
    """A digest of what the trials learn from, which stays in the memory of their processes alone.

    Raises: DataError, OptionError, also for a metric that is none of what is learnt.
    """
    base = plan.config({})
    trials = TASKS[base.task].load_trial()
    parts = trials.read(base)
    if "model.head" not in plan.space.keys:  # it decides whether there are quantiles; a trial that has none fails before its training
        trials.check_metric(base, parts, plan.metric)
    return trials.digest_of(parts)


def _check_outcome(study: Study) -> None:
    records = study.records
    failed = [record for record in records if record.state == "failed"]
    if study.best is None and failed:
        raise DataError(
            f"grus tune: at least one trial must come to its end, got {len(failed)} that failed, trial {failed[0].number}: {failed[0].note}"
        )
    if study.best is None and not study.running:
        raise OptionError("grus tune: at least one trial must come to its end, got none; give it more trials, or more time.")


class _Worker:
    """A process that makes one trial after the other."""

    number: int = -1  # of its trial; none while it is negative

    def __init__(self, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        # A session of its own: Ctrl-C of the terminal is not for it.
        self._process = subprocess.Popen(
            [sys.executable, *PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=environment, start_new_session=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self.answers = self._process.stdin, self._process.stdout

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # a process that is gone answers with an end of file
            self._to.write(json.dumps(message) + "\n")
            self._to.flush()

    def read(self) -> dict[str, Any] | None:
        """The one message that is there; None from a process that died."""
        line = self.answers.readline()
        return json.loads(line) if line.endswith("\n") else None

    def end(self) -> str:
        """Stop the process; how one ended that was dying by itself."""
        for stream in (self._to, self.answers):
            with suppress(BrokenPipeError):  # what was not sent is not needed
                stream.close()
        try:
            code = self._process.wait(DIES_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"


@dataclass
class _Loop:
    """One thread that asks for trials, hands them to processes, and hears of them."""

    study: Study
    amount: Amount
    told: Told
    tell: Tell
    busy: list[_Worker] = field(default_factory=list[_Worker])
    idle: list[_Worker] = field(default_factory=list[_Worker])

    def run(self) -> None:
        ends = math.inf if self.amount.time_limit_s is None else time.monotonic() + self.amount.time_limit_s
        beat = time.monotonic() + BEAT_S
        try:
            while True:
                if len(self.busy) < self.amount.jobs:
                    for stale in self.study.give_up_stale():
                        self.told(stale, self.study)
                while self._has_room() and time.monotonic() < ends:
                    self._begin()
                if not self.busy:
                    break
                ready, _, _ = select.select([worker.answers for worker in self.busy], [], [], max(0.0, beat - time.monotonic()))
                for worker in [worker for worker in self.busy if worker.answers in ready]:
                    self._hear(worker)
                if time.monotonic() >= beat:
                    self.study.beat()
                    beat = time.monotonic() + BEAT_S
            if elsewhere := self.study.running:
                self.tell(f"trials that others of this study still run: {elsewhere}; grus tune --resume, with the same --storage, shows them later.")
        finally:
            for worker in [*self.busy, *self.idle]:
                worker.end()
            for number in list(self.study.mine):
                self.told(self.study.give_up(number), self.study)

    def _has_room(self) -> bool:
        return len(self.busy) < self.amount.jobs and self.study.done + self.study.running < self.amount.trials

    def _begin(self) -> None:
        trial, values = self.study.ask()
        try:
            config = self.study.plan.config(values)
        except OptionError as error:
            self.told(self.study.fail(trial.number, str(error)), self.study)
            return
        worker = self._idle_worker() or _Worker(config.training.threads or self.amount.threads)
        worker.number = trial.number
        self.busy.append(worker)
        worker.send({"config": _threaded(config, self.amount.threads).model_dump(mode="json"), "metric": self.study.plan.metric})

    def _idle_worker(self) -> _Worker | None:
        """One that is alive; a process may have died between two trials."""
        while self.idle:
            worker = self.idle.pop()
            if worker.is_alive:
                return worker
            worker.end()
        return None

    def _hear(self, worker: _Worker) -> None:
        message, number = worker.read(), worker.number
        match message:
            case {"row": row}:
                go_on = self.study.is_promising(number, row)
                worker.send({"go_on": go_on})
                if not go_on:
                    self._over(worker, self.study.prune(number, ""))
            case {"found": {"value": value}} if math.isfinite(value):
                self._over(worker, self.study.finish(number, value))
            case {"found": {"value": value}}:
                self._over(worker, self.study.fail(number, f"its {self.study.plan.metric} is {value}"))
            case {"failed": sentence, "diverged": True}:
                # A setting that diverges is a bad one: the search hears of it as of a trial that was ended early.
                self._over(worker, self.study.prune(number, f"diverged: {sentence}"))
            case {"failed": sentence}:
                self._over(worker, self.study.fail(number, sentence))
            case _:
                self.busy.remove(worker)
                self.told(self.study.fail(number, f"its process died of {worker.end()}"), self.study)

    def _over(self, worker: _Worker, record: Record) -> None:
        self.busy.remove(worker)
        self.idle.append(worker)
        self.told(record, self.study)


def _threaded(config: Config, threads: int) -> Config:
    """With its share of the processor, unless the configuration says how many threads."""
    if config.training.threads is not None:
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})


def file_name(path: Path) -> str:
    """What a study is called after its folder."""
    return path.resolve().name
