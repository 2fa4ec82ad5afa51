"""Which steps carried what networks say of a sequence: what is said, less what is said without a step.

A step is taken away by putting in its place what says nothing: the unknown token, or the mean of the channel in training.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from grus.data.sequences import UNKNOWN
from grus.errors import OptionError, ShapeError
from grus.models.sequence import SequenceNetwork
from grus.models.sequence_batch import SequenceBatch

Method = Literal["occlusion", "gradient × input"]
Array = NDArray[np.float64]

STEPS = 2**16  # that are read at once, all copies of a sequence together


def log_odds(logits: Tensor, output: Tensor) -> Tensor:
    """log p / (1 − p), p the mean over the networks of the probability of one class of each sequence.

    Shapes: logits [M, B, K] of M networks; output [B]; result [B].
    """
    found = logits.log_softmax(-1)
    chosen = torch.nn.functional.one_hot(output, logits.shape[-1]).bool()
    yes = found.masked_fill(~chosen, -torch.inf).logsumexp(-1)
    no = found.masked_fill(chosen, -torch.inf).logsumexp(-1)
    return yes.logsumexp(0) - no.logsumexp(0)


def says(networks: Sequence[SequenceNetwork], batch: SequenceBatch, output: ArrayLike) -> Array:
    """What the networks together say of one output of each sequence: log-odds of a class or label, or a number in scaled units.

    Shapes: output [B], numbers of classes, labels or targets; result [B].
    Raises: OptionError for no network; ShapeError for an output that there is not, or another count of them.
    """
    wanted = _checked(networks, batch, output)
    with _at_rest(networks), torch.no_grad():
        return _numpy(_of(networks, batch, [network.embed(batch) for network in networks], wanted))


def by_occlusion(networks: Sequence[SequenceNetwork], batch: SequenceBatch, output: ArrayLike, replacement: ArrayLike | None = None) -> list[Array]:
    """For each sequence and step: what is said, less what is said with that step replaced.

    replacement: of each channel, NaN for one that is left as it is; None for tokens. What a cell is told of what is missing stays as it was.

    Shapes: output [B]; replacement [C]; result B arrays [T].
    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks".
    """
    wanted, own = _checked(networks, batch, output), _replacement(networks[0], replacement)
    whole = says(networks, batch, output)
    found: list[Array] = []
    for row, steps in enumerate(batch.lengths.tolist()):
        alone = batch._replace(target=None, weight=None).rows(torch.tensor([row]))
        size, parts = max(1, STEPS // steps), list[Array]()
        for first in range(0, steps, size):
            places = torch.arange(first, min(first + size, steps))
            copies = alone.rows(torch.zeros(len(places), dtype=torch.int64))
            copies = _shortened(copies._replace(values=copies.values.clone()), steps)
            here = (torch.arange(len(places)), places)
            copies.values[here] = own(copies.values[here])
            parts.append(says(networks, copies, wanted[row].repeat(len(places)).numpy()))
        found.append(whole[row] - np.concatenate(parts))
    return found


def by_gradient(networks: Sequence[SequenceNetwork], batch: SequenceBatch, output: ArrayLike, replacement: ArrayLike | None = None) -> list[Array]:
    """For each sequence, step and channel: the gradient of what is said times the value less its replacement, which is occlusion to first order.

    The numbers that stand for a token are summed.

    Shapes: output [B]; replacement [C] as for occlusion; result B arrays [T, C], or [T] of tokens.
    Source: Shrikumar, Greenside, Shcherbina and Kundaje 2016, "Not just a black box: learning important features through propagating activation
        differences".
    """
    wanted, own = _checked(networks, batch, output), _replacement(networks[0], replacement)
    with _at_rest(networks):
        with torch.no_grad():
            read = [network.embed(batch) for network in networks]
            without = [network.embed(batch._replace(values=own(batch.values))) for network in networks]
        leaves = [values.detach().clone().requires_grad_() for values in read]
        with torch.enable_grad():
            slopes = torch.autograd.grad(_of(networks, batch, leaves, wanted).sum(), leaves)
    effect = torch.stack([slope * (one - other) for slope, one, other in zip(slopes, read, without, strict=True)]).sum(0)
    found = _numpy(effect.sum(-1) if networks[0].shape.tokens else effect)
    return [found[row, :steps] for row, steps in enumerate(batch.lengths.tolist())]


def _of(networks: Sequence[SequenceNetwork], batch: SequenceBatch, embedded: Sequence[Tensor], output: Tensor) -> Tensor:
    """What is said of one output of each sequence [B]."""
    logits = torch.stack([network.judge(batch, values) for network, values in zip(networks, embedded, strict=True)]).double()
    kind, place = networks[0].shape.kind, output.to(logits.device)
    if kind == "class":
        return log_odds(logits, place)
    own = logits.gather(-1, place.expand(len(networks), -1).unsqueeze(-1)).squeeze(-1)
    if kind == "number":
        return own.mean(0)
    return log_odds(torch.stack([torch.zeros_like(own), own], -1), torch.ones_like(place))


def _replacement(network: SequenceNetwork, given: ArrayLike | None) -> Callable[[Tensor], Tensor]:
    """From values, of some steps or all, to what stands in their place.

    Raises: ShapeError for other channels; OptionError for none where there are channels, or some where there are tokens.
    """
    if network.shape.tokens:
        if given is not None:
            raise OptionError("attribution: replacement must be None for tokens, which the unknown one replaces, got numbers; leave it out.")
        return lambda values: torch.full_like(values, UNKNOWN)
    if given is None:
        raise OptionError("attribution: replacement must be a number for each channel, got None; give the means of training.")
    found = torch.as_tensor(np.asarray(given, np.float32))
    if found.shape != (network.shape.channels,):
        got = list(found.shape)
        raise ShapeError(f"attribution: replacement must be [C] = [{network.shape.channels}], got {got}; give a number for each channel, or NaN.")
    return lambda values: torch.where(found.isnan().to(values.device), values, found.to(values.device))


def _shortened(batch: SequenceBatch, steps: int) -> SequenceBatch:
    """Without the padding that the longest sequence of another batch left."""
    mask, delta = (None if given is None else given[:, :steps] for given in (batch.mask, batch.delta))
    return batch._replace(values=batch.values[:, :steps], mask=mask, delta=delta)


def _checked(networks: Sequence[SequenceNetwork], batch: SequenceBatch, output: ArrayLike) -> Tensor:
    if not networks:
        raise OptionError("attribution: there must be a network, got none; give those of a model.")
    found, outputs = np.asarray(output, np.int64), networks[0].shape.outputs
    if found.shape != (len(batch.values),) or (found.size and not 0 <= found.min() <= found.max() < outputs):
        raise ShapeError(f"attribution: output must be [{len(batch.values)}] numbers below {outputs}, got {found.tolist()}; give one of each.")
    return torch.from_numpy(found)


@contextmanager
def _at_rest(networks: Sequence[SequenceNetwork]) -> Generator[None]:
    """Without dropout, and afterwards as before."""
    modes = [network.training for network in networks]
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)


def _numpy(values: Tensor) -> Array:
    return values.detach().cpu().double().numpy()
