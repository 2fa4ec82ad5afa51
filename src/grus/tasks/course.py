"""What the runs of all tasks have in common: a training that is told and locked, its history, and what is asked of one that is judged."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from grus.errors import DataError, OptionError
from grus.tasks.config import Config, override
from grus.tasks.counted import counted
from grus.tasks.folder import RunFolder
from grus.tasks.live import Pulse
from grus.tasks.registry import TASKS
from grus.training import History, Reporter
from grus.training.progress import Together, read_rows
from grus.training.ranks import rank_of_process

Some = TypeVar("Some", bound=Config)
Model = TypeVar("Model")


@dataclass(frozen=True)
class RunSummary:
    """What a training run came to; counted: what it learnt from, such as series, and how many of them."""

    folder: Path
    history: History
    weights: int
    counted: tuple[str, int]

    @property
    def stopped(self) -> str:
        return str(self.history.stopped)

    def to_dict(self) -> dict[str, Any]:
        """Labels and values, in a reader's order."""
        rows, (what, count) = self.history.epochs, self.counted
        best = next((row for row in rows if row["epoch"] == self.history.best_epoch), dict[str, float]())
        facts: dict[str, Any] = {"run": str(self.folder), what: count, "weights": self.weights, "epochs": len(rows)}
        facts |= {"best_epoch": self.history.best_epoch, "stopped_by": self.stopped}
        facts |= {name: best[name] for name in ("loss", "validation_loss") if name in best}
        return facts | {"seconds": sum(row["seconds"] for row in rows)}


@contextmanager
def told_training(config: Config, folder: RunFolder, bar: Reporter) -> Generator[Reporter]:
    """Whom the training tells of itself; the first of several processes has the folder for itself meanwhile, and gives a sign of life.

    Raises: OptionError where another process trains in the folder.
    """
    with ExitStack() as life:
        if rank_of_process():
            yield bar
            return
        life.enter_context(folder.held())
        yield Together(life.enter_context(Pulse(folder.pulse)), *_logs(config, folder), bar)


def _logs(config: Config, folder: RunFolder) -> list[Reporter]:
    """What writes the epochs for other programs; the module brings TensorBoard's formats, which take a tenth of a second."""
    wanted = {"CsvLog": config.logging.csv, "TensorBoardLog": config.logging.tensorboard}
    return [getattr(import_module("grus.training.loggers"), name)(folder.path) for name, is_wanted in wanted.items() if is_wanted]


def has_checkpoint(folder: RunFolder) -> bool:
    """Whether there is something to go on from; a run that was ended before its first checkpoint begins anew, which gives the same bits."""
    return any(folder.checkpoints.rglob("state.json"))


def read_history(folder: RunFolder) -> History:
    """The epochs that the log holds."""
    return History(read_rows(folder.log))


def finished_history(folder: RunFolder) -> History:
    """The epochs of a run that was trained to its end."""
    history = read_history(folder)
    history.stopped = "epochs" if len(history.epochs) == folder.config.training.epochs else "patience"
    return history


def load_from(folder: RunFolder, load: Callable[[Path], Model]) -> Model:
    """The run's network.

    Raises: DataError where its files are damaged, with a note of the command that makes them anew.
    """
    try:
        return load(folder.model)
    except DataError as error:
        again = shlex.join(["grus", "fit", "--config", str(folder.config_file), "--out", str(folder.path), "--overwrite"])
        error.add_note(f"The same run again: {again}")
        raise


def judged_by(config: Some, assignments: Sequence[str]) -> Some:
    """The configuration with "section.key=value" of the section that says how a run is judged.

    Raises: OptionError for a key of another one: the network is trained.
    """
    section = TASKS[config.task].judged
    for assignment in assignments:
        if not assignment.startswith(f"{section}."):
            got = assignment.partition("=")[0]
            raise OptionError(
                f"evaluate: --set must be of a key such as {section}.baselines, got {got}; the network is trained, fit another one for it."
            )
    if not assignments:
        return config
    found = override(config, assignments)
    assert isinstance(found, type(config))
    return found


def check_test_part(folder: RunFolder, config: Config) -> None:
    """Raises: DataError for a run whose network was to learn from all but the validation part."""
    if config.data.test != 0:
        return
    other = shlex.join(["grus", "fit", "--config", str(folder.config_file), "--set", "data.test=0.1", "--out", f"{folder.path}-tested"])
    raise DataError(
        f"evaluate: {folder.path} must be a run with a test part, got one with data.test=0, for which no table has one; "
        f"evaluate the run that it was made from, or one that leaves a part to test on: {other}"
    )


def describe(model: Any) -> str:
    """The network of these settings in a few words."""
    if model.encoder == "transformer":
        return f"Transformer of {counted(model.hidden_size, 'unit')}"
    return f"{model.cell if isinstance(model.cell, str) else model.cell.name} of {model.num_layers} × {counted(model.hidden_size, 'unit')}"
