"""What there is to know of each task before its modules are loaded: where they are, what its runs are called, and which options it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType

DEFAULT = "forecast"


@dataclass(frozen=True)
class Task:
    """A task.

    config: where its configuration is defined, as module:class. job: the module that prepares, trains, judges and uses its runs.
    page: the module of its report. trial: the module that makes one trial of a search.
    kind: what a run's folder says it is. record: the file of a run's judgement. judged: the section that says how a run is judged.
    who: the header over those whose scores are printed. answer: what a prediction is.
    unseen: what ``grus predict`` must be given where a run has no test part.
    needs: keys of data that must be given, and the remedy without each.
    flags: the key of each option of ``grus fit`` that not every task has, or not under this key.
    fixed: keys of data with another value of which a search would learn another thing, or none of its business.
    units: keys with another value of which losses do not compare. paths: keys of data that may be paths.
    """

    config: str
    job: str
    page: str
    trial: str
    kind: str
    record: str
    judged: str
    who: str
    answer: str
    needs: Mapping[str, str]
    flags: Mapping[str, str]
    fixed: tuple[str, ...]
    units: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("path",)
    unseen: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])  # options of other tasks, and this one's own in place of each

    def load_job(self) -> ModuleType:
        return import_module(self.job)

    def load_trial(self) -> ModuleType:
        return import_module(self.trial)


_PATH = {"path": "name a file: grus {} DATA"}
_OF_SEQUENCES = {"--text": "data.text", "--label": "data.label", "--channels": "data.channels", "--valid": "data.validation", "--test": "data.test"}
_FORECAST = Task(
    config="grus.tasks.forecast_config:ForecastConfig",
    job="grus.tasks.forecast_run",
    page="grus.report.run",
    trial="grus.tasks.tuning.forecast_trial",
    kind="grus forecast run",
    record="backtest.json",
    judged="backtest",
    who="forecaster",
    answer="the steps after the end of each series",
    needs={**_PATH, "horizon": "give the number of steps to forecast with --horizon 24, or --task classify or regress where there are none"},
    flags={
        "--horizon": "data.horizon",
        "--target": "data.target",
        "--past": "data.past",
        "--future": "data.future",
        "--static": "data.static",
    },
    # Another value of these is another problem, whose losses say nothing about this one's, or has no part in a trial.
    fixed=("path", "ids_per_part", "id", "time", "target", "horizon", "step", "season", "validation", "test", "short"),
    # Another value of these changes what the loss is measured in or what it is.
    units=("data.scaling", "data.transform", "model.head", "model.levels", "model.loss", "model.huber_delta", "model.mase_season"),
    renamed={"--label": "--target", "--channels": "--past", "--valid": "--set data.validation", "--test": "--set data.test"},
)


def _sequence(task: str, noun: str) -> Task:
    return Task(
        config=f"grus.tasks.sequence_config:{task.title()}Config",
        job="grus.tasks.sequence_run",
        page="grus.report.sequence_run",
        trial="grus.tasks.tuning.sequence_trial",
        kind=f"grus {task} run",
        record="evaluation.json",
        judged="judging",
        who="model",
        answer=noun,
        needs=_PATH,
        flags=_OF_SEQUENCES,
        fixed=(
            *("path", "text", "label", "id", "time", "channels", "variable", "value", "row", "length", "layout", "labels", "absent", "at_one_time"),
            *("separator", "quoting", "empty", "undecodable", "max_characters", "kind", "validation", "test", "groups", "split_seed"),
        ),
        paths=("path", "labels", "validation", "test"),
        unseen=("--data", "FILE"),
        units=("model.loss", "model.label_smoothing", "model.focal_gamma", "model.huber_delta", "model.class_weights"),
        renamed={"--target": "--label", "--past": "--channels", "--horizon": "", "--future": "--channels", "--static": ""},
    )


TASKS: dict[str, Task] = {
    "forecast": _FORECAST,
    "classify": _sequence("classify", "the class of each sequence of the test part, or with --data FILE of others"),
    "regress": _sequence("regress", "the numbers of each sequence of the test part, or with --data FILE of others"),
}
