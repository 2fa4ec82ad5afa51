"""The configuration of a run: sections of plain values, read from YAML and from the command line, checked together.

Each task has a configuration of its own, which is loaded when one is made, for its sections bring PyTorch with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import new_class
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from grus.errors import OptionError
from grus.tasks import draft, mistakes
from grus.tasks.draft import Draft
from grus.tasks.registry import DEFAULT, TASKS

if TYPE_CHECKING:
    from grus.models.settings import LayerSettings
    from grus.training.settings import TrainingSettings

TaskName = Literal["forecast", "classify", "regress"]
Name = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A section, or all of them: keys that are known, values that stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LoggingConfig(Part):
    """What a run writes of its epochs besides log.jsonl.

    csv: the same rows as a table, log.csv.
    tensorboard: the same figures for TensorBoard, in the folder tensorboard.
    """

    csv: bool = False
    tensorboard: bool = False


class Config(Part):
    """All that decides a run, but for the versions of the software; each task's own class has these sections and more."""

    if TYPE_CHECKING:
        task: Any
        data: Any
        model: Any
        training: TrainingSettings
        logging: LoggingConfig

    @property
    def subject(self) -> str:
        """What is learnt to be said, in a few words."""
        raise NotImplementedError

    @property
    def about(self) -> dict[str, str]:
        """What is learnt from what, by label."""
        raise NotImplementedError

    def located(self) -> Self:
        """With absolute paths: a relative one would mean another file when the run is used from elsewhere."""
        given: dict[str, Any] = {key: getattr(self.data, key) for key in TASKS[self.task].paths}
        paths = {key: type(value)(Path(value).absolute()) for key, value in given.items() if isinstance(value, Path | str)}
        return self.model_copy(update={"data": self.data.model_copy(update=paths)}) if paths else self

    @classmethod
    def completed(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """What was written, with what goes with it where nothing else is written."""
        return tree

    def to_yaml(self) -> str:
        """Every value, those left at their defaults too; `load` gives an equal configuration."""
        return draft.dump(self.model_dump(mode="json"))


class _OnlyTask(BaseModel):
    task: TaskName


def checked_by(section: type[BaseModel]) -> WrapValidator:
    """A validator that takes a section as its own class checks it; its errors keep their keys below the section's."""

    def check_section(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, BaseModel):
            return value
        checked = _located(section).model_validate_json(json.dumps(value), strict=True)
        return checked if type(checked) is section else section(**dict(checked))

    return WrapValidator(check_section)


@cache
def _located(section: type[BaseModel]) -> type[BaseModel]:
    """The section with pydantic's own constructor: another one would report the first mistake only, without its key."""
    if section.__init__ is BaseModel.__init__:
        return section
    own = {"__init__": BaseModel.__init__, "__module__": section.__module__}
    return new_class(section.__name__, (section,), exec_body=lambda namespace: namespace.update(own))


def with_gru_d(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with what goes with gru_d, the cell or the treatment of what is missing, where nothing else is written."""
    data, model = (cast(dict[str, Any], part) if isinstance(part := tree.get(name, {}), dict) else {} for name in ("data", "model"))
    if "gru_d" not in (data.get("missing"), model.get("cell")):
        return tree
    return {**tree, "data": {"missing": "gru_d", **data}, "model": {"cell": "gru_d", "missing_aware": True, **model}}


def check_gru_d(missing: str, model: LayerSettings) -> None:
    """Raises: ValueError unless a cell that reads what is missing, and it alone, is shown it."""
    if (missing == "gru_d") != model.missing_aware:
        cell = model.cell if isinstance(model.cell, str) else model.cell.name
        must = "gru_d beside a cell that reads what is missing, as gru_d does, and beside no other"
        raise ValueError(f"data.missing must be {must}, got {missing} beside {cell}; take gru_d for both, or for neither.")


def check_schedule(validation: Any, training: TrainingSettings) -> None:
    """Raises: ValueError for a schedule that follows the validation loss where there is none."""
    if validation == 0 and training.schedule == "plateau":
        raise ValueError("training.schedule must be another than plateau without a validation part, got data.validation 0; change one of them.")


def config_class(task: str) -> type[Config]:
    """The configuration of a task."""
    module, _, name = TASKS[task].config.partition(":")
    return cast(type[Config], getattr(import_module(module), name))


def load(path: str | Path) -> Config:
    """The configuration in a YAML file.

    Raises: OptionError with a line for every mistake, each naming file, line and key.
    """
    return check(Draft.read(path))


def override(config: Config, assignments: Iterable[str]) -> Config:
    """The configuration with each "section.key=value" put in, the value as YAML has it.

    Raises: OptionError with a line for every mistake.
    """
    changed = Draft("config", config.model_dump(mode="json"))
    changed.assign(assignments)
    return check(changed)


def check(written: Draft) -> Config:
    """The configuration that a draft stands for; nothing is converted but whole numbers to numbers.

    Raises: OptionError with a line for every mistake.
    """
    task = written.tree.get("task", DEFAULT)
    known = task if task in get_args(TaskName) else DEFAULT
    try:
        if task != known:
            _OnlyTask.model_validate_json(json.dumps({"task": task}), strict=True)
        chosen = config_class(known)
        return chosen.model_validate_json(json.dumps(chosen.completed(written.tree)), strict=True)
    except ValidationError as error:
        found = mistakes.sentences(error, written, partial(_keys, known))
        raise OptionError("\n".join(found)) from error


def differences(first: Config, second: Config) -> list[str]:
    """The keys whose values differ, such as "training.epochs"."""
    one, other = (_flat(config.model_dump(mode="json"), "") for config in (first, second))
    return [key for key in {**one, **other} if key not in one or key not in other or one[key] != other[key]]


def _flat(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(cast(dict[str, Any], value), f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def classes(task: str) -> dict[str, type[BaseModel]]:
    """The class of every section, in the order of a file; "" is the configuration itself."""
    whole = config_class(task)
    return {"": whole} | {name: cast(type[BaseModel], field.annotation) for name, field in whole.model_fields.items() if name != "task"}


def _keys(task: str) -> dict[str, tuple[str, ...]]:
    """The keys of every section; "" has the sections themselves."""
    return {name: tuple(part.model_fields) for name, part in classes(task).items()}
