"""Batches of sequences that are about as long as one another, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequence_inputs import SequenceInputs
from grus.errors import DataError, OptionError

POOL = 50  # batches whose sequences are sorted by length together: more pad less, fewer mix more


class PaddedBatch(NamedTuple):
    """B sequences, padded with 0 to the T steps of the longest.

    Shapes: values [B, T, C] float32, or [B, T] int64 of tokens; lengths [B]; target [B] int64 of classes, or [B, K] float32 of 0 and 1 or of
    scaled numbers; mask and delta [B, T, C]; mean [C]; rows [B], the numbers of the sequences.
    """

    values: NDArray[Any]
    lengths: NDArray[np.int64]
    target: NDArray[Any] | None
    mask: NDArray[np.float32] | None
    delta: NDArray[np.float32] | None
    mean: NDArray[np.float32] | None
    rows: NDArray[np.int64]


class SequenceBatches:
    """The sequences of inputs, batch by batch."""

    def __init__(self, inputs: SequenceInputs) -> None:
        if not len(inputs):
            raise DataError("SequenceBatches: there must be a sequence, got none; give one at least.")
        self.inputs, self.lengths = inputs, inputs.lengths
        labels = inputs.labels
        self._target = None if labels is None else labels.values if labels.kind == "class" else labels.values.astype(np.float32)

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.inputs)

    def count(self, batch_size: int) -> int:
        """How many batches an epoch has."""
        return -(-len(self) // batch_size)

    def batch(self, index: ArrayLike) -> PaddedBatch:
        """The sequences of these numbers, in this order."""
        chosen, inputs = np.asarray(index, np.int64), self.inputs
        target = None if self._target is None else self._target[chosen]
        values, lengths = self._padded(inputs.values, chosen), self.lengths[chosen]
        mask = None if inputs.mask is None else self._padded(inputs.mask, chosen)
        delta = None if inputs.delta is None else self._padded(inputs.delta, chosen)
        return PaddedBatch(values, lengths, target, mask, delta, inputs.mean, chosen)

    def batches(self, number: int, seed: int, batch_size: int, shuffle: bool = True, share: tuple[int, int] = (0, 1)) -> Iterator[PaddedBatch | None]:
        """Each sequence once, in batches that follow from number and seed alone; without shuffling from the shortest to the longest.

        Shuffled, the sequences are put in random order, cut into pools of so many batches, sorted by length in each, and the batches come in
        random order. share: (k, n) gives the k-th of n parts of each batch, whose sizes differ by one at most; None for an empty one.

        Raises: OptionError for a batch size below 1.
        """
        if batch_size < 1:
            raise OptionError(f"SequenceBatches: batch_size must be at least 1, got {batch_size}; give the number of sequences of a batch.")
        for chosen in self._order(np.random.default_rng((seed, number)) if shuffle else None, batch_size):
            part = chosen[share[0] :: share[1]]
            yield self.batch(part) if part.size else None

    def _order(self, draw: np.random.Generator | None, batch_size: int) -> list[NDArray[np.int64]]:
        """The numbers of the sequences of each batch."""
        order = np.arange(len(self)) if draw is None else draw.permutation(len(self))
        width = len(self) if draw is None else POOL * batch_size
        found: list[NDArray[np.int64]] = []
        for start in range(0, len(self), width):
            pool = order[start : start + width]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            found += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
        return found if draw is None else [found[at] for at in draw.permutation(len(found)).tolist()]

    def _padded(self, arrays: tuple[NDArray[Any], ...], chosen: NDArray[np.int64]) -> NDArray[Any]:
        first = arrays[int(chosen[0])]
        found = np.zeros((len(chosen), int(self.lengths[chosen].max()), *first.shape[1:]), first.dtype)
        for row, number in enumerate(chosen.tolist()):
            found[row, : self.lengths[number]] = arrays[int(number)]
        return found

    def digest(self) -> str:
        """A checksum of all that decides the batches."""
        inputs = self.inputs
        named = (inputs.names, inputs.ids, None if inputs.labels is None else (inputs.labels.kind, inputs.labels.names))
        found = sha256(repr(named).encode())
        arrays = [self.lengths, self._target, inputs.mean, *inputs.values, *(inputs.mask or ()), *(inputs.delta or ())]
        for array in arrays:
            if array is not None:
                found.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()
