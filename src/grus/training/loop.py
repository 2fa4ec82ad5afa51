"""``fit``: the whole training loop, in plain sight.

An epoch: for each update the gradient over its batches, clipping, one step of the optimiser, one move of the learning rate; then the validation
loss. Each update is seeded from the run's seed and its place in the run, so it is the same whether the run came to it or was resumed there.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import atexit
import logging
import math
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from grus.errors import BackendError, CheckpointError, DataError, OptionError, TrainingError
from grus.training.averaging import Average
from grus.training.checkpoint import Checkpoints
from grus.training.divergence import DivergenceError, Watch, keep_evidence
from grus.training.history import History, Stopped
from grus.training.prefetch import prefetched
from grus.training.progress import JsonLines, Reporter, json_line, quiet
from grus.training.ranks import Ranks, count_of_processes, leave, processes_here, rank_of_process
from grus.training.schedule import Schedule
from grus.training.seeds import Seeds, seed_everything, seeded
from grus.training.settings import TrainingSettings
from grus.training.state import Keeper, Parts
from grus.training.steps import Tally, count_samples, mean
from grus.training.updates import Objective, Updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ROLL_BACKS = 5  # of a run; each halves the learning rate


class BatchSource(Protocol):
    """Batches, the same ones for the same epoch number and seed. A batch is whatever the objective takes.

    A source may have an attribute ``digest``, a text that is another one for other data; a run is then not resumed on other data. To train on
    several ranks it must have ``share(rank, ranks)``: a source whose i-th batch is that rank's part of the i-th large batch, or None where the
    part is empty.
    """

    def __len__(self) -> int:
        """Batches per epoch, exactly."""
        ...

    def epoch(self, number: int, seed: int) -> Iterator[Any]:
        """The batches of one epoch. Training counts from 1; number 0 is asked for each time in validation."""
        ...


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

    The best weights are those of the lowest validation loss, without validation the last ones; with an average of weights they are averaged
    ones. ``folder`` gets ``checkpoints/`` and ``log.jsonl``; ``resume`` goes on from there to the same bits as without the pause, be it a
    kill in the middle of an epoch. Ctrl-C writes the last checkpoint and returns; a second one while it is written raises KeyboardInterrupt.
    Random states and threads are the caller's own again at the end. Under ``torchrun`` each process calls it with the same arguments; the first
    one alone writes and reports.

    Raises: OptionError, BackendError for what cannot be done; DataError for an epoch without known targets and for other data than the run
    to resume had; DivergenceError, a TrainingError, for losses or gradients that are not finite or grow far above where they began;
    CheckpointError for files that cannot be read or written.
    """
    from lightning_fabric import Fabric  # for trainings alone: it brings PyTorch's compiler, which takes as long to import as PyTorch

    _check(train, validation, settings, folder, resume)
    first = rank_of_process() == 0
    place = folder if first else None
    checkpoints = None if place is None else Checkpoints(place / "checkpoints", resume=resume)
    with seeded(settings.seed), _threads(settings.threads), _without_fabric_messages():
        fabric, ranks = _launch(Fabric, settings)
        shared, judged = _share(train, ranks), None if validation is None else _share(validation, ranks)
        batches = min(len(shared), settings.steps_per_epoch or len(shared))
        steps = -(-batches // settings.accumulate)
        told = reporter if first else quiet
        updates = Updates.of(fabric, ranks, network, objective, settings)
        schedule = Schedule(updates.optimiser, settings, settings.epochs * steps, steps)
        run = _Run(updates, schedule, Average(network, settings), Watch(), settings, batches, told, place)
        data = {} if folder is None and ranks.count == 1 else {"train": _described(train), "validation": _described(validation)}
        keeper = Keeper(run.parts(data), checkpoints, ranks)
        history = keeper.begin(resume=resume)
        log = _log(place, history)
        told.start(settings.epochs, steps)
        try:
            while (stopped := _ended(history, settings)) is None:
                try:
                    row = run.epoch(len(history.epochs) + 1, shared, judged, keeper)
                except DivergenceError as error:
                    if keeper.rolled == ROLL_BACKS:
                        error.add_note(f"The run was rolled back {ROLL_BACKS} times before.")
                    if settings.on_divergence == "stop" or keeper.rolled == ROLL_BACKS:
                        raise
                    keeper.roll_back()
                    again = "from the last whole epoch" if history.epochs else "from its beginning"
                    told_rate = f"goes on {again} at half its learning rate, {schedule.learning_rate:.3g} now"
                    warnings.warn(f"{error} The run {told_rate} (roll-back {keeper.rolled} of {ROLL_BACKS}).", RuntimeWarning, stacklevel=2)
                    continue
                history.epochs.append(row)
                keeper.keep(history)
                log.epoch(row)
                told.epoch(row)
            keeper.flush()
            history.stopped = stopped
        except KeyboardInterrupt:
            keeper.flush()
            history.epochs, history.stopped = keeper.rows, "interrupted"
        except Exception:
            keeper.flush()  # what was learnt before the error can be resumed; the error itself goes on
            raise
        finally:
            keeper.put_best_back()
            network.eval()
            told.finish(history)
    return history


@dataclass(frozen=True)
class _Run:
    updates: Updates
    schedule: Schedule
    average: Average
    watch: Watch
    settings: TrainingSettings
    batches: int
    reporter: Reporter
    place: Path | None

    def parts(self, data: dict[str, Any]) -> Parts:
        """What a checkpoint holds."""
        updates = self.updates
        return Parts(updates, self.schedule, self.average, self.watch, self.settings, data)

    def epoch(self, number: int, train: BatchSource, validation: BatchSource | None, keeper: Keeper) -> dict[str, float]:
        """One epoch; its row of the history."""
        seed_everything(self.settings.seed, number)
        row = self.train(number, train, keeper)
        if validation is not None:
            row["validation_loss"] = self.validate(validation, number)
        self.schedule.end_epoch(row.get("validation_loss"))
        return row

    def train(self, number: int, source: BatchSource, keeper: Keeper) -> dict[str, float]:
        """The updates of an epoch; of one that was begun, those that are left."""
        updates, settings, ranks = self.updates, self.settings, self.updates.ranks
        tally, rate = Tally(updates.network, number, self.watch), self.schedule.learning_rate
        _begin(updates.objective, number)
        keeper.open_epoch(tally)
        seeds = Seeds(ranks.device, settings.seed, number, ranks.number)
        started = time.perf_counter() - tally.seconds
        updates.network.train()
        updates.network.zero_grad()  # of the caller, or of a run interrupted within an update
        wanted = islice(source.epoch(number, settings.seed), settings.steps_per_epoch)
        seen = tally.steps * settings.accumulate
        with closing(prefetched(islice(wanted, seen, None), settings.prefetch)) as batches:
            while given := list(islice(batches, settings.accumulate)):
                seen += len(given)
                group = [batch for batch in given if batch is not None]
                reseed = partial(seeds.update, tally.steps)
                reseed()
                found = updates.gradient(group)
                with self._evidence(group):
                    tally.add(found, partial(updates.run_again, group, reseed))
                rate = self.schedule.learning_rate
                updates.take(group, found, reseed)
                self.average.update(number)
                self.schedule.step()
                samples = sum(map(count_samples, group))
                tally.samples += samples
                tally.seconds = time.perf_counter() - started
                self.reporter.step(number, tally.steps, samples, found.loss)
                if seen < self.batches:
                    with self._evidence([]):
                        keeper.keep_within(tally)
        if seen != self.batches:
            raise DataError(f"fit: train must give {self.batches} batches in an epoch, got {seen} in epoch {number}; len() must say how many come.")
        with self._evidence([]):
            mean_loss, mean_norm = tally.means()
        self.average.end_epoch(number)
        (samples,) = ranks.sum_numbers([float(tally.samples)])
        figures = {"learning_rate": rate, "gradient_norm": mean_norm, "clipped": tally.clipped / tally.steps, "steps": tally.steps}
        return {"epoch": number, "loss": mean_loss} | figures | {"seconds": tally.seconds, "samples_per_s": samples / tally.seconds}

    def validate(self, source: BatchSource, number: int) -> float:
        """The mean of the objective over the validation batches."""
        network, objective = self.average.network, self.updates.objective
        network.eval()
        carrying: Any = objective if hasattr(objective, "state") else None
        carried = None if carrying is None else carrying.state()
        _begin(objective, 0)
        with torch.no_grad(), self.updates.fabric.autocast():
            found = [objective(network, batch) for batch in source.epoch(0, self.settings.seed) if batch is not None]
        if carrying is not None:
            carrying.restore(carried)
        sums = self.updates.ranks.sum_numbers([math.fsum(float(row[at]) for row in found) for at in (0, 1)])
        with self._evidence([]):
            try:
                return mean(sums[:1], sums[1:], f"validation after epoch {number}")
            except TrainingError as error:
                raise DivergenceError(str(error), number, 0) from error

    @contextmanager
    def _evidence(self, batches: Sequence[Any]) -> Generator[None]:
        """Keeps the weights and batches of an update that diverges."""
        try:
            yield
        except DivergenceError as error:
            if self.place is not None:
                note = {"epoch": error.epoch, "step": error.step, "seed": self.settings.seed, "what": str(error)}
                try:
                    kept = keep_evidence(self.place / "checkpoints", self.updates.network, batches, note)
                    what = "before that update and its batches" if batches else "as they are now"
                    error.add_note(f"The weights {what} are in {kept}.")
                except CheckpointError as full:
                    error.add_note(str(full))
            raise


def _launch(kind: type[Fabric], settings: TrainingSettings) -> tuple[Fabric, Ranks]:
    count, here = count_of_processes(), processes_here()
    if count == 1:
        fabric = kind(accelerator=settings.accelerator, devices=1, precision=settings.precision)
    else:
        fabric = kind(accelerator=settings.accelerator, devices=here, num_nodes=max(1, count // here), strategy="ddp", precision=settings.precision)
        fabric.launch()
        atexit.unregister(leave)
        atexit.register(leave)
    return fabric, Ranks(fabric.global_rank, fabric.world_size, fabric.device)


def _share(source: BatchSource, ranks: Ranks) -> BatchSource:
    """This rank's part.

    Raises: OptionError where the source has none.
    """
    if ranks.count == 1:
        return source
    share = getattr(source, "share", None)
    if share is None:
        raise OptionError(f"fit: a source must have share(rank, ranks) on {ranks.count} ranks, got {type(source).__name__}; train in one process.")
    return share(ranks.number, ranks.count)


def _begin(objective: Objective, epoch: int) -> None:
    begin = getattr(objective, "begin", None)
    if begin is not None:
        begin(epoch)


def _check(train: BatchSource, validation: BatchSource | None, settings: TrainingSettings, folder: Path | None, resume: bool) -> None:
    """Raises: what does not fit together."""
    if len(train) < 1 or (validation is not None and len(validation) < 1):
        raise DataError("fit: train and validation must have at least one batch, got none; give more data, or validation=None.")
    if settings.schedule == "plateau" and validation is None:
        raise OptionError("fit: validation must be given for schedule='plateau', got None; pass it, or choose another schedule.")
    if resume and folder is None:
        raise OptionError("fit: folder must be that of the run to resume, got None; pass it, or leave resume out.")
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise BackendError("fit: accelerator='cuda' must have a device that PyTorch can use, got none; use accelerator='cpu'.")


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
