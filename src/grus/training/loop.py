"""``fit``: the whole training loop, in plain sight.

An epoch: for each batch the loss, its gradient, clipping, one update, one move of the learning rate; then the validation loss. Each epoch is
seeded from the run's seed and its number, so an epoch is the same whether the run came to it or was resumed there.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from grus.errors import BackendError, CheckpointError, DataError, OptionError
from grus.training.checkpoint import Checkpoints
from grus.training.history import History, Stopped
from grus.training.optimisers import make_optimiser
from grus.training.progress import JsonLines, Reporter, json_line, quiet
from grus.training.schedule import Schedule
from grus.training.seeds import seed_everything, seeded
from grus.training.settings import TrainingSettings
from grus.training.state import Keeper, Parts
from grus.training.steps import Tally, count_samples, mean


class BatchSource(Protocol):
    """Batches, the same ones for the same epoch number and seed. A batch is whatever the objective takes.

    A source may have an attribute ``digest``, a text that is another one for other data; a run is then not resumed on other data.
    """

    def __len__(self) -> int:
        """Batches per epoch, exactly."""
        ...

    def epoch(self, number: int, seed: int) -> Iterator[Any]:
        """The batches of one epoch. Training counts from 1; number 0 is asked for each time in validation."""
        ...


class Objective(Protocol):
    """The sum of a batch's losses, and their weight: how many there are. A batch of weight 0 moves nothing by its gradient."""

    def __call__(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]: ...


def fit(
    network: nn.Module,
    objective: Objective,
    train: BatchSource,
    validation: BatchSource | None,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    reporter: Reporter = quiet,
    resume: bool = False,
) -> History:
    """Train a network in place; however the run ends, the network then has the best weights so far and is in evaluation mode.

    The best weights are those of the lowest validation loss, without validation the last ones. ``folder`` gets ``checkpoints/`` and
    ``log.jsonl``; ``resume`` goes on from there to the same bits as without the pause. Ctrl-C writes a checkpoint of the last whole epoch and
    returns; a second one while it is written raises KeyboardInterrupt. Random states and threads are the caller's own again at the end.

    Raises: OptionError, BackendError for what cannot be done; DataError for an epoch without known targets and for other data than the run
    to resume had; TrainingError for losses or gradients that are not finite; CheckpointError for files that cannot be read or written.
    """
    steps = _check(train, validation, settings, folder, resume)
    checkpoints = None if folder is None else Checkpoints(folder / "checkpoints", resume=resume)
    with seeded(settings.seed), _threads(settings.threads), _without_fabric_messages():
        fabric = Fabric(accelerator=settings.accelerator, devices=1, precision=settings.precision)
        inner = make_optimiser(network, settings)
        schedule = Schedule(inner, settings, settings.epochs * steps, steps)
        _, optimiser = fabric.setup(network, inner)  # in place; its wrapper of the network takes no frozen dataclass as a batch
        learning = [weight for group in inner.param_groups for weight in group["params"]]
        run = _Run(fabric, network, learning, optimiser, schedule, objective, settings, reporter)
        data = {} if folder is None else {"train": _described(train), "validation": _described(validation)}
        keeper = Keeper(Parts(network, inner, schedule, settings, data), checkpoints)
        history = keeper.begin(resume=resume)
        log = _log(folder, history)
        reporter.start(settings.epochs, steps)
        try:
            while (stopped := _ended(history, settings)) is None:
                number = len(history.epochs) + 1
                seed_everything(settings.seed, number)
                row = run.train(number, train, steps)
                if validation is not None:
                    row["validation_loss"] = run.validate(validation, number)
                schedule.end_epoch(row.get("validation_loss"))
                history.epochs.append(row)
                keeper.keep(history)
                log.epoch(row)
                reporter.epoch(row)
            keeper.flush()
            history.stopped = stopped
        except KeyboardInterrupt:
            keeper.flush()
            history.epochs, history.stopped = keeper.rows, "interrupted"
        except Exception:
            keeper.flush()  # the epochs before the error can be resumed; the error itself goes on
            raise
        finally:
            keeper.put_best_back()
            network.eval()
            reporter.finish(history)
    return history


@dataclass(frozen=True)
class _Run:
    fabric: Fabric
    network: nn.Module
    learning: Sequence[nn.Parameter]
    optimiser: Any
    schedule: Schedule
    objective: Objective
    settings: TrainingSettings
    reporter: Reporter

    def train(self, number: int, source: BatchSource, steps: int) -> dict[str, float]:
        """One epoch of updates; its row of the history."""
        tally, started = Tally(self.network, number), time.perf_counter()
        rate = self.schedule.learning_rate
        self.network.train()
        self.optimiser.zero_grad()  # of the caller, or of a run interrupted within a step
        for batch in islice(source.epoch(number, self.settings.seed), self.settings.steps_per_epoch):
            loss = self._gradient(batch, tally)
            rate = self.schedule.learning_rate
            # L-BFGS looks at the loss and its gradient several times in a step; the first look is here.
            self.optimiser.step(*((self._looks(batch, loss),) if self.settings.optimiser == "lbfgs" else ()))
            self.optimiser.zero_grad()
            self.schedule.step()
            samples = count_samples(batch)
            tally.samples += samples
            self.reporter.step(number, tally.steps, samples, loss)
        if tally.steps != steps:
            raise DataError(f"fit: train must give {steps} batches in an epoch, got {tally.steps} in epoch {number}; len() must say how many come.")
        mean_loss, mean_norm = tally.means()
        seconds = time.perf_counter() - started
        figures = {"learning_rate": rate, "gradient_norm": mean_norm, "seconds": seconds, "samples_per_s": tally.samples / seconds}
        return {"epoch": number, "loss": mean_loss} | figures

    def _gradient(self, batch: Any, tally: Tally | None) -> Tensor:
        """The mean loss of a batch; its gradient, clipped, lies in the parameters."""
        with self.fabric.autocast():
            total, weight = self.objective(self.network, batch)
        loss = total / (weight + (weight == 0))
        self.fabric.backward(loss)
        norm = get_total_norm([parameter.grad for parameter in self.learning if parameter.grad is not None])
        if tally is not None:
            tally.add(total, weight, norm)
        if self.settings.clip_norm is not None:
            clip_grads_with_norm_(self.learning, self.settings.clip_norm, norm)
        return loss.detach()

    def _looks(self, batch: Any, first: Tensor) -> Callable[[], Tensor]:
        """What L-BFGS calls: the loss, with its gradient in the parameters; the first time as they are."""
        known = [first]

        def look() -> Tensor:
            if known:
                return known.pop()
            self.optimiser.zero_grad()
            return self._gradient(batch, None)

        return look

    def validate(self, source: BatchSource, number: int) -> float:
        """The mean of the objective over the validation batches."""
        self.network.eval()
        with torch.no_grad(), self.fabric.autocast():
            found = [self.objective(self.network, batch) for batch in source.epoch(0, self.settings.seed)]
        return mean([float(total) for total, _ in found], [float(weight) for _, weight in found], f"validation after epoch {number}")


def _check(train: BatchSource, validation: BatchSource | None, settings: TrainingSettings, folder: Path | None, resume: bool) -> int:
    """The steps per epoch, where the arguments fit together."""
    if len(train) < 1 or (validation is not None and len(validation) < 1):
        raise DataError("fit: train and validation must have at least one batch, got none; give more data, or validation=None.")
    if settings.schedule == "plateau" and validation is None:
        raise OptionError("fit: validation must be given for schedule='plateau', got None; pass it, or choose another schedule.")
    if resume and folder is None:
        raise OptionError("fit: folder must be that of the run to resume, got None; pass it, or leave resume out.")
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise BackendError("fit: accelerator='cuda' must have a device that PyTorch can use, got none; use accelerator='cpu'.")
    return min(len(train), settings.steps_per_epoch or len(train))


def _described(source: BatchSource | None) -> dict[str, Any] | None:
    """What a checkpoint notes of the data."""
    return None if source is None else {"batches": len(source), "digest": getattr(source, "digest", None)}


def _ended(history: History, settings: TrainingSettings) -> Stopped | None:
    done, best = len(history.epochs), history.best_epoch
    if done >= settings.epochs:
        return "epochs"
    if best is not None and settings.patience is not None and done - best >= settings.patience:
        return "patience"
    return None


def _log(folder: Path | None, history: History) -> Reporter:
    """Appends to ``log.jsonl``, which first becomes what the history says: rows after the checkpoint are made again."""
    if folder is None:
        return quiet
    path, draft = folder / "log.jsonl", folder / ".log.jsonl.draft"
    try:
        draft.write_text("".join(map(json_line, history.epochs)), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise CheckpointError(f"fit: {path} must be writable, got {error.strerror or error}; make room or pass another folder.") from error
    return JsonLines(path)


@contextmanager
def _threads(count: int | None) -> Generator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_fabric_messages() -> Generator[None]:
    """Fabric says which device and precision it uses; its warnings still come."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
