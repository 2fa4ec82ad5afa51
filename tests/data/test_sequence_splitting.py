"""Parts and folds of sequences: every sequence once, classes alike, groups whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data.sequence_reading import read_sequences
from grus.data.sequence_splitting import SequenceSplit, folds, split_sequences
from grus.data.sequences import Labels, Texts, make_labels
from grus.errors import DataError, OptionError


def texts(labels: Labels | None, count: int | None = None) -> Texts:
    count = len(labels) if labels is not None else count or 0
    return Texts(("x",) * count, tuple(map(str, range(count))), labels)


def classes(*counts: int) -> Texts:
    names = [str(number) for number in range(len(counts))]
    return texts(make_labels(np.repeat(names, counts).tolist(), "class", names))


def of_classes(data: Texts, rows: Any) -> list[int]:
    assert data.labels is not None
    return list(data.labels.rows(rows).counts.values())


def whole(split: SequenceSplit) -> list[int]:
    return sorted([*split.train, *split.validation, *split.test])


def test_shares_are_exact_in_every_class() -> None:
    data = classes(50, 30, 20)
    found = split_sequences(data, 0.1, 0.2, seed=3)
    assert (len(found.train), len(found.validation), len(found.test)) == (70, 10, 20)
    assert of_classes(data, found.test) == [10, 6, 4]
    assert of_classes(data, found.validation) == [5, 3, 2]
    assert whole(found) == list(range(100))
    assert found.findings == ()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.floats(0.05, 0.4), st.integers(0, 9))
def test_shares_are_within_a_sequence(counts: list[int], share: float, seed: int) -> None:
    data = classes(*counts)
    number = int(len(data) * share)
    if not 0 < number <= len(data) - len(counts):
        return
    found = split_sequences(data, 0, number, seed=seed)
    assert whole(found) == list(range(len(data)))
    assert len(found.test) == number
    assert min(of_classes(data, found.train)) >= 1
    expected = (np.array(counts) - 1) * number / (len(data) - len(counts))
    assert np.abs(np.array(of_classes(data, found.test)) - expected).max() < 1 + 1e-9


def test_split_follows_from_the_seed() -> None:
    data = classes(40, 40)
    first, again, other = (split_sequences(data, 0.2, 0.2, seed=seed) for seed in (1, 1, 2))
    assert first.test.tolist() == again.test.tolist()
    assert first.validation.tolist() == again.validation.tolist()
    assert first.test.tolist() != other.test.tolist()


def test_split_leaves_the_order_of_the_file() -> None:
    found = split_sequences(texts(None, 100), 0, 30)
    assert found.train.tolist() == sorted(found.train.tolist())
    assert found.test.tolist() != list(range(70, 100))
    assert len(set(found.test // 10)) > 5


def test_single_sequence_of_a_class_stays_in_training() -> None:
    data = classes(20, 1)
    for seed in range(20):
        found = split_sequences(data, 0.2, 0.2, seed=seed)
        assert 20 in found.train
        assert found.findings == ("the validation part has no sequence of '1'", "the test part has no sequence of '1'")


def test_groups_stay_whole() -> None:
    groups = np.repeat(np.arange(20), 5).tolist()
    found = split_sequences(texts(None, 100), 0.2, 0.3, seed=1, groups=groups)
    parts = [{groups[row] for row in rows} for rows in (found.train, found.validation, found.test)]
    assert [len(part) for part in parts] == [10, 4, 6]
    assert len(set.union(*parts)) == 20
    assert whole(found) == list(range(100))
    for split in folds(texts(None, 100), 4, validation=0.2, groups=groups):
        parts = [{groups[row] for row in rows} for rows in (split.train, split.validation, split.test)]
        assert [len(part) for part in parts] == [12, 3, 5]
        assert len(set.union(*parts)) == 20


def test_training_keeps_a_group_whatever_the_seed() -> None:
    for seed in range(10):
        assert len(split_sequences(texts(None, 4), 0, 3, seed=seed, groups=["a", "b", "b", "b"]).train)


def test_groups_of_folds_spread_the_classes() -> None:
    data = classes(50, 50)
    for split in folds(data, 5, groups=[row // 5 for row in range(100)]):
        assert of_classes(data, split.test) == [10, 10]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(2, 30), min_size=2, max_size=5), st.integers(2, 5), st.integers(0, 9))
def test_folds_test_each_sequence_once(counts: list[int], count: int, seed: int) -> None:
    data = classes(*counts)
    if len(data) < count:
        return
    found = folds(data, count, seed=seed)
    assert sorted(np.concatenate([split.test for split in found]).tolist()) == list(range(len(data)))
    assert all(whole(split) == list(range(len(data))) for split in found)
    sizes = [len(split.test) for split in found]
    assert max(sizes) - min(sizes) <= 1
    tables = np.array([of_classes(data, split.test) for split in found])
    assert (tables.max(0) - tables.min(0) <= 1).all()
    assert all(min(of_classes(data, split.train)) >= 1 for split in found)


def test_folds_give_validation_out_of_training() -> None:
    data = classes(60, 40)
    for split in folds(data, 5, validation=0.1, seed=1):
        assert (len(split.train), len(split.validation), len(split.test)) == (72, 8, 20)
        assert of_classes(data, split.test) == [12, 8]
        assert whole(split) == list(range(100))


def test_class_that_a_fold_lacks_is_told() -> None:
    found = folds(classes(10, 2), 3)
    assert sorted(split.findings for split in found) == [(), (), ("the test part has no sequence of '1'",)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_sequences(classes(2, 2), 2, 2), "training must be left a sequence, got 4, 4 of them"),
        (lambda: split_sequences(classes(2, 2), 0, 3), "every class must keep a sequence for training, got 3 asked for of 2"),
        (lambda: split_sequences(classes(2, 2), 0, 0.1), "test must hold a sequence, got 0.1 of 4"),
        (lambda: split_sequences(classes(2, 2), 0, 1, groups=[1, 1]), "groups must be 4, one per sequence, got 2"),
        (
            lambda: split_sequences(classes(2, 2), 0, 1, groups=[1, 1, 2, 2]),
            "a group must fit in a part of 1 and leave one for training, got groups of at least 2",
        ),
        (lambda: split_sequences(classes(2, 2), 0, 3, groups=[1, 1, 1, 1]), "got groups of at least 4, 1 in number"),
        (lambda: folds(classes(2, 1), 4), "there must be a sequence for each of 4 folds, got 3"),
        (lambda: folds(texts(None, 0), 2), "there must be a sequence for each of 2 folds, got 0"),
        (lambda: folds(classes(5, 1), 2), "every class must have two sequences, got one of '1'"),
        (lambda: folds(classes(5, 5), 3, groups=[0] * 5 + [1] * 5), "there must be a group for each of 3 folds, got 2"),
        (lambda: split_sequences(texts(None, 0), 0, 0), "training must be left a sequence, got 0"),
    ],
)
def test_too_few_sequences_are_refused(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize("amount", [1.0, -1, -0.5, True, "2020", float("nan")])
def test_other_amounts_are_refused(amount: Any) -> None:
    with pytest.raises(OptionError, match="validation must be a fraction below 1 or a number of sequences"):
        split_sequences(classes(5, 5), amount)


@pytest.mark.parametrize("count", [1, 0, True])
def test_fewer_than_two_folds_are_refused(count: Any) -> None:
    with pytest.raises(OptionError, match="count must be at least 2"):
        folds(classes(5, 5), count)


def test_every_sequence_must_have_a_group() -> None:
    data = read_sequences(np.zeros((3, 2)))
    for missing in (None, np.nan):
        with pytest.raises(DataError, match=r"every sequence must have a group, got none in row 2 \(in all 2\); give it"):
            split_sequences(data, test=1, groups=["p", missing, missing])
