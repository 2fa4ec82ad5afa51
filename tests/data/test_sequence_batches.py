"""Batches: every sequence once, padded little, the same from the same numbers, and shared among processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data.sequence_batches import POOL, PaddedBatch, SequenceBatches
from grus.data.sequence_inputs import SequenceInputs, of_tokens, prepare
from grus.data.sequence_scaling import SequenceScaling
from grus.data.sequences import Sequences, Tokens, make_labels
from grus.errors import DataError, OptionError


def inputs(lengths: list[int], kind: Any = "class", missing: str = "mean") -> SequenceInputs:
    draw = np.random.default_rng(0)
    values = tuple(draw.normal(size=(length, 2)).astype(np.float32) for length in lengths)
    labels = make_labels([number % 2 for number in range(len(lengths))], kind, None if kind == "number" else ["0", "1"])
    data = Sequences(values, ("a", "b"), tuple(map(str, range(len(lengths)))), labels)
    return prepare(data, SequenceScaling.fit(data, "none"), missing)


def there(batches: Any) -> list[PaddedBatch]:
    return [batch for batch in batches if batch is not None]


def test_padding_is_zero_and_values_are_in_place() -> None:
    found = inputs([3, 1, 2], missing="gru_d")
    batch = SequenceBatches(found).batch([2, 0, 1])
    assert batch.lengths.tolist() == [2, 3, 1]
    assert batch.values.shape == (3, 3, 2)
    assert batch.values.dtype == np.float32
    for row, number in enumerate((2, 0, 1)):
        length = int(batch.lengths[row])
        np.testing.assert_array_equal(batch.values[row, :length], found.values[number])
        assert not batch.values[row, length:].any()
        assert batch.mask is not None
        assert batch.delta is not None
        assert (batch.mask[row, :length] == 1).all()
        assert not batch.mask[row, length:].any()
        assert batch.delta[row, :length, 0].tolist() == [0, 1, 1][:length]
        assert not batch.delta[row, length:].any()
    assert batch.mean is not None
    assert batch.mean.shape == (2,)
    assert batch.target is not None
    assert (batch.target.dtype, batch.target.tolist()) == (np.int64, [0, 0, 1])
    assert batch.rows.tolist() == [2, 0, 1]


def test_targets_of_numbers_and_none() -> None:
    batch = SequenceBatches(inputs([1, 2], "number")).batch([0, 1])
    assert batch.target is not None
    assert (batch.target.dtype, batch.target.tolist()) == (np.float32, [[-1], [1]])
    assert (batch.mask, batch.delta, batch.mean) == (None, None, None)
    assert SequenceBatches(replace(inputs([1, 2]), labels=None)).batch([0]).target is None


def test_tokens_are_padded_with_zero() -> None:
    batch = SequenceBatches(of_tokens(Tokens((np.array([2, 1, 5]), np.array([3])), ("p", "q")))).batch([1, 0])
    assert batch.values.dtype == np.int64
    assert batch.values.tolist() == [[3, 0, 0], [2, 1, 5]]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 5), st.booleans(), st.integers(1, 3))
def test_each_sequence_comes_once(lengths: list[int], size: int, seed: int, shuffle: bool, ranks: int) -> None:
    source = SequenceBatches(inputs(lengths, "number" if len(lengths) > 1 else "class"))
    whole = there(source.batches(1, seed, size * ranks, shuffle))
    assert len(whole) == source.count(size * ranks)
    assert sorted(np.concatenate([batch.rows for batch in whole]).tolist()) == list(range(len(lengths)))
    shares = [list(source.batches(1, seed, size * ranks, shuffle, (rank, ranks))) for rank in range(ranks)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        found = [[] if part is None else part.rows.tolist() for part in parts]
        assert sorted(row for part in found for row in part) == sorted(batch.rows.tolist())
        assert max(map(len, found)) - min(map(len, found)) <= 1


def test_order_follows_from_seed_and_epoch() -> None:
    source = SequenceBatches(inputs([5] * 200))

    def order(number: int, seed: int) -> list[int]:
        return np.concatenate([batch.rows for batch in there(source.batches(number, seed, 8))]).tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(number, seed)) for number in (1, 2) for seed in (0, 1)}) == 4


def test_little_is_padded_yet_batches_are_mixed() -> None:
    draw = np.random.default_rng(1)
    source = SequenceBatches(inputs(draw.integers(1, 200, 4 * POOL * 8).tolist()))
    epochs = [there(source.batches(number, 0, 8)) for number in (1, 2)]
    read = sum(int(batch.lengths.sum()) for batch in epochs[0])
    assert read / sum(batch.values.shape[0] * batch.values.shape[1] for batch in epochs[0]) > 0.97
    mates = [{frozenset(batch.rows.tolist()) for batch in batches} for batches in epochs]
    assert not mates[0] & mates[1]
    lengths = [float(batch.lengths.mean()) for batch in epochs[0]]
    assert abs(np.corrcoef(lengths[:-1], lengths[1:])[0, 1]) < 0.2


def test_without_shuffling_the_shortest_come_first() -> None:
    found = there(SequenceBatches(inputs([3, 1, 2, 1, 5])).batches(1, 0, 2, shuffle=False))
    assert [batch.rows.tolist() for batch in found] == [[1, 3], [2, 0], [4]]


def test_digest_is_of_the_content() -> None:
    first = inputs([3, 1, 2], missing="gru_d")
    digest = SequenceBatches(first).digest()
    assert digest == SequenceBatches(inputs([3, 1, 2], missing="gru_d")).digest()
    assert first.labels is not None
    assert first.mask is not None
    assert first.delta is not None
    others = [
        replace(first, values=(first.values[0] + 1, *first.values[1:])),
        replace(first, labels=None),
        replace(first, labels=first.labels.rows([1, 0, 2])),
        replace(first, mask=tuple(1 - mask for mask in first.mask)),
        replace(first, delta=tuple(2 + delta for delta in first.delta)),
        replace(first, mean=np.ones(2, np.float32)),
        replace(first, names=("b", "a")),
        replace(first, ids=("x", "y", "z")),
    ]
    digests = {SequenceBatches(other).digest() for other in others}
    assert len(digests) == len(others)
    assert digest not in digests


def test_refusals() -> None:
    with pytest.raises(DataError, match="there must be a sequence, got none"):
        SequenceBatches(SequenceInputs((), (), ()))
    with pytest.raises(OptionError, match="batch_size must be at least 1, got 0"):
        next(SequenceBatches(inputs([1])).batches(1, 0, 0))
