"""A learning rate found by trying: the rate grows from step to step until the loss does."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from grus.errors import BackendError, DataError, OptionError
from grus.training.loop import BatchSource
from grus.training.ranks import Ranks, count_of_processes
from grus.training.seeds import seeded
from grus.training.settings import TrainingSettings
from grus.training.updates import Objective, Updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LEAST_STEPS = 10
MEAN = 0.9  # of the mean that ends the search, as it fades
FAR = 3.0
SCATTER = 2.0  # deviations that a fall must exceed; means of noise alone differ by half of that


@dataclass(frozen=True)
class RateSearch:
    """What a search came to: the loss of the batches at each rate, before the step at that rate.

    smoothed: the means of each loss and its neighbours, up to a twentieth of the search to both sides.
    suggestion: where the smoothed loss s falls steepest over the logarithm of the rate η, before it is lowest:

        argmin over k of (s[k+1] − s[k−1]) / (ln η[k+1] − ln η[k−1])

        None where the loss never falls by more than twice the deviation of losses from smoothed ones.
    stopped_at: the rate at which the loss had grown so far, or was no number, that the search ended; None where it came to the highest.

    Source: Smith 2015; the suggestion is the one that fastai calls steep, of a curve that is smoothed to both sides so that it does not lag.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    stopped_at: float | None


def find_rate(
    network: nn.Module,
    objective: Objective,
    train: BatchSource,
    settings: TrainingSettings,
    *,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
) -> RateSearch:
    """Try learning rates from the lowest to the highest, one update at each, ever higher by the same factor.

    The updates are those of a training with these settings, but for the rate: optimiser, groups, accumulation, clipping. They are made on
    a copy: the network, the random states and what the objective carries are afterwards as they were. With m the lowest mean of the last ten
    losses or so and l the first loss, the search ends where that mean exceeds m + 3 max(|m|, l − m), or where a loss is not finite.

    Raises: OptionError; DataError for no batch with known targets, or a loss that is never finite; BackendError under ``torchrun``.
    """
    from lightning_fabric import Fabric  # for searches alone: it takes as long to import as PyTorch

    _check(train, settings, lowest, highest, steps)
    carrying: Any = objective if hasattr(objective, "state") else None
    carried = None if carrying is None else carrying.state()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(settings.threads or threads)
        with seeded(settings.seed):
            rates = np.geomspace(lowest, highest, steps).tolist()
            losses = list(_losses(_updates(Fabric, network, objective, settings), train, rates))
    finally:
        torch.set_num_threads(threads)
        if carrying is not None:
            carrying.restore(carried)
    known = [loss for loss in losses if math.isfinite(loss)]
    if not known:
        raise DataError(f"find_rate: the loss must be finite before the first update, got {losses[0]:g}; look for extreme values in the data.")
    stopped = len(known) < len(losses) or _has_grown(known)
    width = steps // 20
    smoothed = _smooth(np.array(known), width)
    found = _steepest(np.log(rates[: len(known)]), np.array(known), smoothed, width)
    at = None if found is None else rates[found]
    return RateSearch(tuple(rates[: len(known)]), tuple(known), tuple(smoothed.tolist()), at, rates[len(losses) - 1] if stopped else None)


def _updates(kind: type[Fabric], network: nn.Module, objective: Objective, settings: TrainingSettings) -> Updates:
    """What makes the updates, on a copy of the network."""
    fabric = kind(accelerator=settings.accelerator, devices=1, precision=settings.precision)
    return Updates.of(fabric, Ranks(0, 1, fabric.device), deepcopy(network).train(), objective, settings)


def _losses(updates: Updates, train: BatchSource, rates: Sequence[float]) -> Iterator[float]:
    """The mean loss of the batches at each rate, up to the one that ends the search."""
    shares = [group["lr"] / updates.settings.learning_rate for group in updates.optimiser.param_groups]
    updates.optimiser.zero_grad()
    groups, seen = _groups(updates, train), list[float]()
    for rate in rates:
        batches, found = next(groups)
        seen.append(float(found.loss))
        yield seen[-1]
        if not math.isfinite(seen[-1]) or _has_grown(seen):
            return
        for group, share in zip(updates.optimiser.param_groups, shares, strict=True):
            group["lr"] = rate * share
        updates.take(batches, found, lambda: None)


def _groups(updates: Updates, train: BatchSource) -> Iterator[tuple[list[Any], Any]]:
    """The batches of each update with its gradient, epoch after epoch, without those that have no known target.

    Raises: DataError where an epoch has none.
    """
    settings, objective = updates.settings, updates.objective
    for number in count(1):
        begin, known = getattr(objective, "begin", None), False
        if begin is not None:
            begin(number)
        source = (batch for batch in islice(train.epoch(number, settings.seed), settings.steps_per_epoch))
        while given := list(islice(source, settings.accumulate)):
            batches = [batch for batch in given if batch is not None]
            found = updates.gradient(batches)
            if float(found.weight) > 0:
                known = True
                yield batches, found
        if not known:
            raise DataError(f"find_rate: train must hold at least one known target, got none in epoch {number}; give more data.")


def _has_grown(losses: Sequence[float]) -> bool:
    """Whether the fading mean of the losses is now far above its lowest."""
    mean, lowest = losses[0], losses[0]
    for loss in losses[1:]:
        mean = MEAN * mean + (1 - MEAN) * loss
        lowest = min(lowest, mean)
    return mean > lowest + FAR * max(abs(lowest), losses[0] - lowest)


def _smooth(losses: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean of each loss and its neighbours, as many to both sides: `width`, or fewer near an end."""
    sums, places = np.concatenate([[0.0], np.cumsum(losses)]), np.arange(len(losses))
    sides = np.minimum(width, np.minimum(places, places[::-1]))
    return (sums[places + sides + 1] - sums[places - sides]) / (2 * sides + 1)


def _steepest(logs: NDArray[np.float64], losses: NDArray[np.float64], smoothed: NDArray[np.float64], width: int) -> int | None:
    """The place of the suggestion, among those whose means have all their neighbours."""
    inside = slice(width, len(losses) - width)
    places, means = np.arange(len(losses))[inside], smoothed[inside]
    if len(means) < 3:
        return None
    stop = int(means.argmin()) + 1
    scatter = float(np.std((losses - smoothed)[inside][:stop]))
    if stop < 3 or means[:stop].max() - means[stop - 1] <= SCATTER * scatter:
        return None
    slopes = (means[2:stop] - means[: stop - 2]) / (logs[inside][2:stop] - logs[inside][: stop - 2])
    return int(places[int(slopes.argmin()) + 1])


def _check(train: BatchSource, settings: TrainingSettings, lowest: float, highest: float, steps: int) -> None:
    """Raises: what cannot be searched."""
    if not 0 < lowest < highest < math.inf:
        raise OptionError(f"find_rate: lowest and highest must be finite rates above 0 in this order, got {lowest} and {highest}; exchange them.")
    if isinstance(steps, bool) or steps < LEAST_STEPS:
        raise OptionError(f"find_rate: steps must be a whole number of at least {LEAST_STEPS}, got {steps!r}; leave it out for 100.")
    if len(train) < 1:
        raise DataError("find_rate: train must have at least one batch, got none; give more data.")
    if count_of_processes() > 1:
        raise BackendError(f"find_rate: the search must run in one process, got {count_of_processes()}; start it without torchrun.")
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise BackendError("find_rate: accelerator='cuda' must have a device that PyTorch can use, got none; use accelerator='cpu'.")
