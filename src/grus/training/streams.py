"""Truncated back-propagation: long sequences in pieces, and states that go from each piece to the next.

Rows are streams: the pieces of a row follow one another in time, so that the state of a row after one batch is where it begins in the next.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from grus.errors import DataError, OptionError, ShapeError


@dataclass(frozen=True)
class Piece:
    """A piece of every stream.

    Shapes: each of ``values`` [T, B, …]; ``resets`` [T, B], True where another sequence begins than the one of the step before; ``known`` [T, B],
    False behind the end of a stream.
    """

    values: tuple[Tensor, ...]
    resets: Tensor
    known: Tensor

    @property
    def rows(self) -> int:
        return self.resets.shape[1]


class Streams:
    """Sequences laid end to end, cut into as many streams as a batch has rows, and these into pieces of so many steps.

    A stream may begin within a sequence, so the order is another one in each epoch unless ``shuffle`` is False. One that is shorter than the
    others is filled with zeros behind its end, where ``known`` is False.

    Shapes: each sequence is a tensor [T, …] or a tuple of them of one length T, such as inputs and targets.
    Raises: DataError for no sequence or one without steps, ShapeError where they do not fit each other, OptionError for a size below 1.

    Example:
        >>> pieces = Streams([torch.arange(5), torch.arange(10, 13)], rows=2, steps=3, shuffle=False)
        >>> [piece.values[0].T.tolist() for piece in pieces.epoch(1, 0)]
        [[[0, 1, 2], [4, 10, 11]], [[3], [12]]]
        >>> next(pieces.epoch(1, 0)).resets.T.tolist()
        [[True, False, False], [True, True, False]]
    """

    def __init__(self, sequences: Sequence[Tensor | tuple[Tensor, ...]], *, rows: int, steps: int, shuffle: bool = True) -> None:
        for name, value in (("rows", rows), ("steps", steps)):
            if isinstance(value, bool) or value < 1:
                raise OptionError(f"Streams: {name} must be a whole number of at least 1, got {value!r}; give the size of a piece.")
        parts = [each if isinstance(each, tuple) else (each,) for each in sequences]
        _check(parts)
        self.rows, self.steps, self.shuffle = rows, steps, shuffle
        self._lengths = np.array([len(part[0]) for part in parts])
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)[:-1]])
        self._values = tuple(torch.cat([part[at] for part in parts]) for at in range(len(parts[0])))
        self._columns = np.arange(rows)

    @property
    def length(self) -> int:
        """Steps of a stream."""
        return -(-int(self._lengths.sum()) // self.rows)

    @property
    def digest(self) -> str:
        """Of all values and lengths, for a run that may be resumed."""
        found = sha256(repr((self.rows, self.steps, self.shuffle, self._lengths.tolist())).encode())
        for value in self._values:
            found.update(f"{value.dtype} {tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
        return found.hexdigest()

    def __len__(self) -> int:
        return -(-self.length // self.steps)

    def share(self, rank: int, ranks: int) -> Streams:
        """A rank's streams, where each has as many as are asked for of one.

        Raises: DataError where there are fewer steps than streams.
        """
        total = int(self._lengths.sum())
        if total < self.rows * ranks:
            raise DataError(f"Streams: there must be a step for each of {self.rows * ranks} streams, got {total}; take fewer rows or processes.")
        found = object.__new__(Streams)
        found.__dict__.update(self.__dict__)
        found._columns, found.rows = np.arange(rank * self.rows, (rank + 1) * self.rows), self.rows * ranks
        return found

    def epoch(self, number: int, seed: int) -> Iterator[Piece]:
        """The pieces of one epoch, in an order of the sequences that follows from number and seed alone."""
        count = len(self._lengths)
        order = np.random.default_rng((seed, number)).permutation(count) if self.shuffle else np.arange(count)
        lengths = self._lengths[order]
        first = np.zeros(int(lengths.sum()), bool)
        first[np.cumsum(lengths)[:-1]] = True
        places = np.repeat(self._starts[order] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(len(first))
        for start in range(0, self.length, self.steps):
            stop = min(start + self.steps, self.length)
            at = np.arange(start, stop)[:, None] + self._columns * self.length
            known, within = at < len(first), np.minimum(at, len(first) - 1)
            resets = (first[within] & known) | (at % self.length == 0)
            chosen, mask = torch.from_numpy(places[within]), torch.from_numpy(known)
            values = (value[chosen] for value in self._values)
            shown = tuple(value.masked_fill(~mask.view(*mask.shape, *[1] * (value.dim() - 2)), 0) for value in values)
            yield Piece(shown, torch.from_numpy(resets), mask)


class Carried:
    """An objective over pieces: the network goes on from the states that the piece before ended with, through which no gradient flows.

    network(piece, states) gives its output and its states; ``loss`` makes of the output and the piece the sum of losses and their weight.
    ``states`` is None at the start of an epoch, and of each validation. With pieces as long as the streams it is full back-propagation.

    Raises: OptionError for a bidirectional network, which would need the pieces to come.
    """

    def __init__(self, network: nn.Module, loss: Callable[[Any, Piece], tuple[Tensor, Tensor]]) -> None:
        for name, module in network.named_modules():
            if getattr(module, "bidirectional", False):
                raise OptionError(f"Carried: network must not be bidirectional, got {name or type(module).__name__}; train it on whole sequences.")
        self._loss, self.states = loss, cast(Any, None)

    def __call__(self, network: nn.Module, piece: Piece) -> tuple[Tensor, Tensor]:
        output, states = network(piece, _moved(self.states, next(network.parameters()).device))
        self.states = _detached(states)
        return self._loss(output, piece)

    def begin(self, epoch: int) -> None:
        """Start from no state."""
        self.states = None

    def state(self) -> dict[str, Any]:
        return {"states": self.states}

    def restore(self, state: dict[str, Any]) -> None:
        self.states = _tupled(state["states"])


def _check(parts: Sequence[tuple[Tensor, ...]]) -> None:
    if not parts:
        raise DataError("Streams: there must be at least one sequence, got none; give the sequences to learn from.")
    for at, part in enumerate(parts):
        lengths = {len(each) for each in part}
        if len(lengths) != 1 or not lengths.isdisjoint({0}):
            raise DataError(f"Streams: sequence {at} must have one length of at least 1, got {sorted(lengths)}; leave it out or mend it.")
        for own, first in zip(part, parts[0], strict=False):
            if own.shape[1:] != first.shape[1:] or own.dtype != first.dtype or len(part) != len(parts[0]):
                raise ShapeError(
                    f"Streams: sequence {at} must be as the first one, {first.dtype} [T{''.join(f', {size}' for size in first.shape[1:])}], "
                    f"got {own.dtype} {list(own.shape)}; give all alike."
                )


def _detached(states: Any) -> Any:
    return states.detach() if isinstance(states, Tensor) else None if states is None else tuple(map(_detached, states))


def _moved(states: Any, device: torch.device) -> Any:
    """A checkpoint gives states on the CPU."""
    return states.to(device) if isinstance(states, Tensor) else None if states is None else tuple(_moved(state, device) for state in states)


def _tupled(states: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(map(_tupled, states)) if isinstance(states, list | tuple) else states
