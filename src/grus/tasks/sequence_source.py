"""Sequences as the batches of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from grus.data.sequence_batches import SequenceBatches
from grus.errors import OptionError
from grus.models import SequenceBatch
from grus.models.tensors import as_tensor


class SequenceSource:
    """Sequences as the batches of a training run.

    weights: of each sequence in the loss, [N]; None is 1 for all. soft: what teachers say of each, [N, K]; None where there are none.
    extra: what else a run that is resumed must find the same.
    """

    def __init__(
        self,
        batches: SequenceBatches,
        batch_size: int,
        *,
        shuffle: bool = True,
        weights: NDArray[np.float32] | None = None,
        soft: NDArray[np.float32] | None = None,
        extra: bytes = b"",
    ) -> None:
        self.batches, self.batch_size, self.shuffle, self.weights, self.soft = batches, batch_size, shuffle, weights, soft
        self.extra = extra
        self._share = (0, 1)

    def __len__(self) -> int:
        return self.batches.count(self.batch_size)

    @cached_property
    def digest(self) -> str:
        """Of all that decides the batches."""
        found = sha256(self.batches.digest().encode())
        for beside in (self.weights, self.soft):
            found.update(b"" if beside is None else beside.tobytes())
        found.update(self.extra)
        return found.hexdigest()

    def share(self, rank: int, ranks: int) -> SequenceSource:
        """A rank's part of batches that are so many times as large.

        Raises: OptionError where there are fewer sequences than ranks.
        """
        if len(self.batches) < ranks:
            raise OptionError(f"fit: every process must have a sequence, got {len(self.batches)} for {ranks} processes; start fewer of them.")
        found = copy(self)
        found.batch_size, found._share = self.batch_size * ranks, (rank, ranks)
        return found

    def epoch(self, number: int, seed: int) -> Iterator[SequenceBatch | None]:
        """The sequences of one epoch."""
        for padded in self.batches.batches(number, seed, self.batch_size, self.shuffle, self._share):
            if padded is None:
                yield None
                continue
            weight, soft = (None if beside is None else as_tensor(beside[padded.rows], "cpu") for beside in (self.weights, self.soft))
            yield SequenceBatch.of(padded)._replace(weight=weight, soft=soft)
