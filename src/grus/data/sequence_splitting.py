"""Training, validation and test sequences: drawn at random, class by class, or whole groups; never by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.sequences import Labels, Sequences, Texts, Tokens
from grus.data.text_rows import is_missing
from grus.errors import DataError, OptionError

Rows = NDArray[np.int64]
Some = Sequences | Texts | Tokens


@dataclass(frozen=True, eq=False)
class SequenceSplit:
    """Which sequences are for what, by their numbers in rising order; findings: what of it is odd."""

    train: Rows
    validation: Rows
    test: Rows
    findings: tuple[str, ...] = ()


def split_sequences(
    data: Some, validation: float | int = 0.0, test: float | int = 0.0, *, seed: int = 0, groups: Sequence[Any] | None = None
) -> SequenceSplit:
    """Some sequences for validation and testing, the rest for training.

    validation, test: a fraction of all (a float below 1, rounded down) or a number of sequences (an int); 0 is none.
    groups: one for each sequence, such as the patient; those of a group stay together, and parts are only about as large as asked for.

    Classes have the same shares in every part, to within a sequence, and one sequence of each stays in training. Labels of other kinds, and
    sequences in groups, are drawn without regard to them.

    Raises: OptionError for an amount that is none of these; DataError where a part would be empty.
    """
    count = len(data)
    wanted = [_amount(name, value, count) for name, value in (("test", test), ("validation", validation))]
    if sum(wanted) >= count:
        raise DataError(
            f"split_sequences: training must be left a sequence, got {count}, {sum(wanted)} of them for validation and testing; ask for less."
        )
    draw = np.random.default_rng(seed)
    if groups is not None:
        parts = _grouped_parts(_codes(groups, count), wanted, draw)
    else:
        order, kept = _by_class(data.labels, count, draw)
        parts = list[Rows]()
        for number in wanted:
            if number > len(order) - kept:
                raise DataError(
                    f"split_sequences: every class must keep a sequence for training, got {number} asked for of {len(order) - kept}; ask for less."
                )
            places = kept + ((np.arange(number) + 0.5) * (len(order) - kept) / max(number, 1)).astype(np.int64)
            parts.append(np.sort(order[places]))
            order = np.delete(order, places)
    rest = np.setdiff1d(np.arange(count), np.concatenate(parts))
    return _with_findings(SequenceSplit(rest, parts[1], parts[0]), data.labels)


def folds(
    data: Some, count: int = 5, *, validation: float | int = 0.0, seed: int = 0, groups: Sequence[Any] | None = None
) -> tuple[SequenceSplit, ...]:
    """Splits of which each sequence is for testing in one.

    validation: as in ``split_sequences``, out of the sequences that are left for training. Fold sizes differ by one at most, and so does what
    they have of a class; with groups they are about as large.

    Raises: OptionError for fewer than two folds; DataError for fewer sequences, or groups, than folds, and for a class of one sequence, which
    training would lack.
    """
    if isinstance(count, bool) or count < 2:
        raise OptionError(f"folds: count must be at least 2, got {count!r}; give the number of folds.")
    if len(data) < count:
        raise DataError(f"folds: there must be a sequence for each of {count} folds, got {len(data)}; take fewer folds.")
    draw = np.random.default_rng(seed)
    labels = data.labels
    if groups is None:
        order = _by_class(labels, len(data), draw, keep=False)[0]
        fold = np.empty(len(data), np.int64)
        fold[order] = np.arange(len(data)) % count
        single = [] if labels is None or labels.kind != "class" else [name for name, own in labels.counts.items() if own == 1]
        if single:
            raise DataError(f"folds: every class must have two sequences, got one of {single[0]!r}; leave it out, or give more of it.")
        whole = None
    else:
        whole = _codes(groups, len(data))
        fold = _grouped_folds(whole, labels, count, draw)
    found: list[SequenceSplit] = []
    for number in range(count):
        left, tested = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        inner = split_sequences(data.rows(left), validation, seed=seed + number + 1, groups=None if whole is None else whole[left].tolist())
        found.append(_with_findings(SequenceSplit(left[inner.train], left[inner.validation], tested), labels))
    return tuple(found)


def _amount(name: str, value: Any, count: int) -> int:
    is_fraction = isinstance(value, float)
    if isinstance(value, bool) or not (is_fraction or isinstance(value, int)) or not 0 <= value < (1 if is_fraction else np.inf):
        raise OptionError(f"split_sequences: {name} must be a fraction below 1 or a number of sequences, got {value!r}; write 0.1 or 24.")
    found = int(count * value + 1e-9) if is_fraction else int(value)
    if value and not found:
        raise DataError(f"split_sequences: {name} must hold a sequence, got {value!r} of {count}; ask for more, or for none.")
    return found


def _by_class(labels: Labels | None, count: int, draw: np.random.Generator, *, keep: bool = True) -> tuple[Rows, int]:
    """The sequences in random order, class after class; first, to be kept, one of each class."""
    order = draw.permutation(count)
    if labels is None or labels.kind != "class":
        return order, 0
    order = order[np.argsort(labels.values[order], kind="stable")]
    first = np.unique(labels.values[order], return_index=True)[1] if keep else np.zeros(0, np.int64)
    return np.concatenate([order[first], np.delete(order, first)]), len(first)


def _codes(groups: Sequence[Any], count: int) -> Rows:
    if len(groups) != count:
        raise DataError(f"split_sequences: groups must be {count}, one per sequence, got {len(groups)}; give one for each.")
    missing = [row for row, group in enumerate(groups) if is_missing(group)]
    if missing:
        raise DataError(f"split_sequences: every sequence must have a group, got none in row {missing[0] + 1} (in all {len(missing)}); give it.")
    names = [str(group) for group in groups]
    return np.unique(np.array(names, object).astype(str), return_inverse=True)[1].astype(np.int64)


def _grouped_parts(codes: Rows, wanted: Sequence[int], draw: np.random.Generator) -> list[Rows]:
    """Whole groups in random order, each taken where it brings the part nearer to its size."""
    sizes, taken = np.bincount(codes), np.full(int(codes.max()) + 1, -1)
    for part, number in enumerate(wanted):
        size = 0
        for group in draw.permutation(len(sizes)).tolist() if number else ():
            if taken[group] < 0 and (taken < 0).sum() > 1 and abs(size + sizes[group] - number) < abs(size - number):
                taken[group], size = part, size + int(sizes[group])
        if number and not size:
            raise DataError(
                f"split_sequences: a group must fit in a part of {number} and leave one for training, got groups of at least "
                f"{sizes[taken < 0].min()}, {(taken < 0).sum()} in number; ask for more, or give more groups."
            )
    return [np.flatnonzero(taken[codes] == part) for part in range(len(wanted))]


def _grouped_folds(codes: Rows, labels: Labels | None, count: int, draw: np.random.Generator) -> Rows:
    """The fold of each sequence: large groups first, each into the fold that has least of its classes."""
    sizes = np.bincount(codes)
    if len(sizes) < count:
        raise DataError(f"folds: there must be a group for each of {count} folds, got {len(sizes)}; take fewer folds.")
    classes = labels.values if labels is not None and labels.kind == "class" else np.zeros(len(codes), np.int64)
    of_group = np.zeros((len(sizes), int(classes.max()) + 1))
    np.add.at(of_group, (codes, classes), 1)
    share = of_group / of_group.sum(0).clip(1)
    held, fold = np.zeros((count, share.shape[1])), np.empty(len(sizes), np.int64)
    order = draw.permutation(len(sizes))
    for group in order[np.argsort(-sizes[order], kind="stable")].tolist():
        fold[group] = np.argmin(held @ of_group[group])
        held[fold[group]] += share[group]
    return fold[codes]


def _with_findings(split: SequenceSplit, labels: Labels | None) -> SequenceSplit:
    """The split that tells of classes of which a part has none."""
    if labels is None or labels.kind != "class":
        return split
    found: list[str] = []
    for name, rows in (("training", split.train), ("validation", split.validation), ("test", split.test)):
        absent: list[int] = np.setdiff1d(labels.values, labels.values[rows]).tolist() if rows.size else []
        names = ", ".join(repr(labels.names[number]) for number in absent)
        found += [f"the {name} part has no sequence of {names}"] if absent else []
    return replace(split, findings=tuple(found))
