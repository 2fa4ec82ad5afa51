"""A search as it is kept: its plan, its folder, and the Optuna study whose trials several machines may share."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from grus.errors import OptionError
from grus.tasks.config import Config, check
from grus.tasks.draft import Draft
from grus.tasks.registry import DEFAULT, TASKS
from grus.tasks.tuning import space as spaces
from grus.tasks.tuning.outcome import LOSS
from grus.tasks.tuning.space import Space, flat
from grus.training.named import nearest

PRUNERS = ("median", "hyperband", "none")
SILENT_S = 300.0  # since the last sign of life of a trial on another machine: then it is given up
LEAST_FOR_IMPORTANCE = 10  # finished trials

State = Literal["finished", "pruned", "failed", "interrupted", "running", "waiting"]


@dataclass(frozen=True)
class Plan:
    """What is searched, and how it is judged."""

    written: Draft
    space: Space
    metric: str = LOSS
    pruner: str = "median"
    seed: int = 0

    @staticmethod
    def of(written: Draft, search: Mapping[str, Any], assignments: list[str], metric: str, pruner: str | None, seed: int) -> Plan:
        """A plan that can be carried out; without a `pruner` the median one, or none where the losses of trials do not compare.

        Raises: OptionError.
        """
        metrics: tuple[str, ...] = _trials(written).METRICS[_task(written)]
        for name, value, among in (("metric", metric, metrics), ("pruner", pruner or PRUNERS[0], PRUNERS)):
            if value not in among:
                remedy = nearest(value, among, f"leave it out for {among[0]}.")
                raise OptionError(f"grus tune: --{name} must be one of {', '.join(among)}, got {value}; {remedy}")
        space = spaces.parse(written, search, assignments)
        base = check(written)
        if base.data.validation == 0:
            raise OptionError("grus tune: data.validation must leave a part that judges the trials, got 0; leave it out.")
        if apart := ", ".join(space.changes_units(base.model.loss)):
            if metric == LOSS:
                raise OptionError(
                    f"grus tune: --metric must be in the target's own units where {apart} is searched, got {LOSS}; give --metric {metrics[1]}."
                )
            if pruner not in (None, "none"):
                raise OptionError(f"grus tune: --pruner must be none where {apart} is searched, as losses do not compare then, got {pruner}.")
        return Plan(written, space, metric, pruner or ("none" if apart else PRUNERS[0]), seed)

    @property
    def sign(self) -> float:
        """By which the metric is multiplied so that smaller is better."""
        return -1.0 if self.metric in _trials(self.written).HIGHER_IS_BETTER else 1.0

    def config(self, values: Mapping[str, Any]) -> Config:
        """The configuration of a trial.

        Raises: OptionError for values that do not go together.
        """
        return spaces.config_of(self.written, values)

    @property
    def start(self) -> dict[str, Any] | None:
        """The configuration's own values of the keys that are searched; None where the search cannot come to them."""
        own = flat(check(self.written).model_dump(mode="json"))
        found = {key: own.get(key) for key in self.space.keys}
        return found if all(given.holds(found[key]) for key, given in self.space.keys.items()) else None

    def to_dict(self) -> dict[str, Any]:
        """Sections of a file that ``Draft.read`` reads, with one for the search and one for the study."""
        return {**self.written.tree, "search": self.space.to_dict(), "study": {name: getattr(self, name) for name in ("metric", "pruner", "seed")}}


@dataclass(frozen=True)
class Record:
    """A trial as it is told of: its values by key, the loss of each epoch, and what it came to.

    value: the metric of a finished trial.
    """

    number: int
    state: State
    values: dict[str, Any]
    value: float | None
    losses: tuple[tuple[int, float], ...]
    seconds: float | None
    note: str = ""
    start: bool = False

    @property
    def epochs(self) -> int:
        return len(self.losses)

    @property
    def loss(self) -> float | None:
        """The validation loss of the last epoch."""
        return self.losses[-1][1] if self.losses else None

    def to_dict(self) -> dict[str, Any]:
        facts: dict[str, Any] = {name: getattr(self, name) for name in ("state", "value", "loss", "epochs", "seconds")}
        return {"trial": self.number} | facts | {"settings": self.values} | ({"note": self.note} if self.note else {})


@dataclass(eq=False)
class Study:
    """The trials of a plan, in an Optuna study. Only plain values are stored: JSON lines in a journal, or rows of a database.

    place: the name of the folder that trials are begun from; a running trial of it is dead where this object is new.
    alone: no other folder begins trials in this storage.
    """

    plan: Plan
    name: str
    place: str
    study: optuna.Study
    alone: bool = False
    mine: dict[int, Trial] = field(default_factory=dict[int, Trial])

    @property
    def records(self) -> list[Record]:
        """All trials, by number."""
        return [_record(self.plan, trial) for trial in self.study.get_trials(deepcopy=False)]

    @property
    def done(self) -> int:
        """Trials that were finished, pruned or failed."""
        return sum(record.state in ("finished", "pruned", "failed") for record in self.records)

    @property
    def running(self) -> int:
        return sum(record.state == "running" for record in self.records)

    @property
    def best(self) -> Record | None:
        """The finished trial of the best value, the first of equals."""
        sign = self.plan.sign
        return min((record for record in self.records if record.state == "finished"), key=lambda record: sign * _value(record), default=None)

    def ask(self) -> tuple[Trial, dict[str, Any]]:
        """A new trial and its values. A search that was interrupted suggests what it would have suggested without that."""
        trial = self.study.ask()  # its number is no other machine's, and neither is the seed then
        self.mine[trial.number] = trial
        for name, value in (("place", self.place), ("host", socket.gethostname()), ("heard", time.time())):
            trial.set_user_attr(name, value)
        rank = sum(record.state != "interrupted" for record in self.records[: trial.number])
        seed = int(np.random.SeedSequence([self.plan.seed, rank]).generate_state(1)[0])
        self.study.sampler = TPESampler(seed=seed, constant_liar=True)  # away from what runs beside it
        return trial, self.plan.space.suggest(trial)

    def is_promising(self, number: int, row: Mapping[str, float]) -> bool:
        """Whether a trial should go on, that has just had this epoch; not one that another machine gave up."""
        if (trial := self.mine.get(number)) is None:
            return False
        try:
            trial.report(row[LOSS], int(row["epoch"]))
            return not trial.should_prune()
        except UpdateFinishedTrialError:
            return False

    def finish(self, number: int, value: float) -> Record:
        return self._tell(number, value=self.plan.sign * value)

    def prune(self, number: int, note: str) -> Record:
        return self._tell(number, TrialState.PRUNED, note)

    def fail(self, number: int, note: str) -> Record:
        return self._tell(number, TrialState.FAIL, note)

    def give_up(self, number: int) -> Record:
        """Mark a trial that did not come to its end, and put its values in line to be tried again, unless another machine did."""
        self.mine.pop(number, None)
        frozen = self.study.get_trials(deepcopy=False)[number]
        try:
            self.study.tell(number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):  # what Optuna says of a trial that is over
            return self.records[number]
        if set(frozen.params) == set(self.plan.space.keys):
            attributes = {"start": True} if frozen.user_attrs.get("start") else {}
            self.study.enqueue_trial(dict(frozen.params), user_attrs=attributes)
        return self.records[number]

    def give_up_stale(self) -> list[Record]:
        """Give up what runs no more: trials of this folder that are not this process's own, and those of other machines that fell silent."""
        found = list[Record]()
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in self.mine:
                continue
            begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
            heard = float(trial.user_attrs.get("heard", begun))
            if trial.user_attrs.get("place", self.place if self.alone else None) == self.place or time.time() - heard > SILENT_S:
                found.append(self.give_up(trial.number))
        return found

    def beat(self) -> None:
        """A sign of life of every trial that runs here."""
        for number, trial in list(self.mine.items()):
            try:
                trial.set_user_attr("heard", time.time())
            except UpdateFinishedTrialError:  # another machine gave it up
                del self.mine[number]

    def importances(self) -> dict[str, float]:
        """The share of the metric's variance over the ranges that each key explains, the greatest first; empty where too few trials were finished.

        Source: fANOVA (Hutter, Hoos & Leyton-Brown 2014).
        """
        finished = [record for record in self.records if record.state == "finished"]
        if len(finished) < LEAST_FOR_IMPORTANCE or len({record.value for record in finished}) < 2:
            return {}
        found = get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=0), params=list(self.plan.space.keys))
        return {key: float(share) for key, share in found.items()}

    def _tell(self, number: int, state: TrialState | None = None, note: str = "", *, value: float | None = None) -> Record:
        trial = self.mine.pop(number, None)
        with suppress(UpdateFinishedTrialError):  # another machine may have given it up
            if trial is not None and note:
                trial.set_user_attr("note", note)
            self.study.tell(number, value, state, skip_if_finished=True)
        return self.records[number]


def _value(record: Record) -> float:
    assert record.value is not None
    return record.value


def _trials(written: Draft) -> ModuleType:
    """What makes the trials of a configuration's task; those of a task that is none are for the configuration to refuse."""
    return TASKS[_task(written)].load_trial()


def _task(written: Draft) -> str:
    task = written.tree.get("task", DEFAULT)
    return task if task in TASKS else DEFAULT


def _record(plan: Plan, trial: FrozenTrial) -> Record:
    note = str(trial.user_attrs.get("note", ""))
    states: dict[TrialState, State] = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}
    states |= {TrialState.WAITING: "waiting", TrialState.FAIL: "failed" if note else "interrupted"}
    return Record(
        trial.number,
        states[trial.state],
        plan.space.values(trial.params),
        plan.sign * trial.value if trial.state == TrialState.COMPLETE and trial.value is not None else None,
        tuple(sorted(trial.intermediate_values.items())),
        trial.duration.total_seconds() if trial.duration else None,
        note,
        bool(trial.user_attrs.get("start")),
    )
