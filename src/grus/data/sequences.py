"""Sequences of numbers, texts and tokens, each with its id and, where it is known, its label."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequence_labels import Kind, Labels, chosen, make_labels
from grus.errors import DataError

__all__ = ["Kind", "Labels", "Sequences", "Texts", "Tokens", "make_labels"]

PADDING, UNKNOWN, FIRST = 0, 1, 2  # the numbers of tokens: those of the vocabulary come after


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences of numbers.

    values: each [T, C] float32, T at least 1; NaN is not measured. names: the C channels. ids: distinct.
    times: each [T] float64, strictly rising; None where steps are 0, 1, 2, … findings: what was noticed that is no error.

    Raises: DataError where they do not fit together.
    """

    values: tuple[NDArray[np.float32], ...]
    names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Labels | None = None
    times: tuple[NDArray[np.float64], ...] | None = None
    findings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("Sequences", self.ids, self.values, self.labels)
        if not self.names or len(set(self.names)) < len(self.names):
            raise DataError(f"Sequences: channels must have distinct names, and there must be one, got {list(self.names)}; name each once.")
        for id, values in zip(self.ids, self.values, strict=True):
            if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != len(self.names) or not len(values):
                raise DataError(
                    f"Sequences: sequence {id!r} must be float32 [T, {len(self.names)}] with T at least 1, got {values.dtype} "
                    f"{list(values.shape)}; give every sequence the same channels and leave out empty ones."
                )
            if np.isinf(values).any():
                step, channel = np.argwhere(np.isinf(values))[0].tolist()
                got = values[step, channel]
                raise DataError(
                    f"Sequences: sequence {id!r}, step {step + 1}, channel {self.names[channel]!r}: must be finite in 32 bits, got {got}; "
                    "write NaN where it is missing."
                )
        if self.times is not None:
            if len(self.times) != len(self.ids):
                raise DataError(f"Sequences: times must be given for {len(self.ids)} sequences, got {len(self.times)}; give those of each.")
            for id, values, times in zip(self.ids, self.values, self.times, strict=True):
                if times.shape != values.shape[:1] or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
                    raise DataError(f"Sequences: times of sequence {id!r} must be {len(values)} that rise strictly, got others; sort its steps.")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return _lengths(self.values)

    def rows(self, index: ArrayLike) -> Sequences:
        """Some of the sequences, in the order of the index."""
        places = _places(self, index)
        times = None if self.times is None else _some(self.times, places)
        return replace(self, values=_some(self.values, places), times=times, **_rows(self, places))


@dataclass(frozen=True, eq=False)
class Tokens:
    """N texts as numbers of tokens.

    values: each [T] int64, T at least 1: 0 is padding, which none has, 1 an unknown token, real ones from 2 on.

    Raises: DataError where they do not fit together.
    """

    values: tuple[NDArray[np.int64], ...]
    ids: tuple[str, ...]
    labels: Labels | None = None
    findings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("Tokens", self.ids, self.values, self.labels)
        for id, values in zip(self.ids, self.values, strict=True):
            if values.dtype != np.int64 or values.ndim != 1 or not len(values) or values.min() < UNKNOWN:
                raise DataError(f"Tokens: text {id!r} must be int64 [T] from {UNKNOWN} on, T at least 1, got {values.dtype} {list(values.shape)}.")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return _lengths(self.values)

    def rows(self, index: ArrayLike) -> Tokens:
        """Some of the texts, in the order of the index."""
        places = _places(self, index)
        return replace(self, values=_some(self.values, places), **_rows(self, places))


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts. ids: distinct.

    Raises: DataError where they do not fit together.
    """

    texts: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Labels | None = None
    findings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("Texts", self.ids, self.texts, self.labels)

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, index: ArrayLike) -> Texts:
        """Some of the texts, in the order of the index."""
        places = _places(self, index)
        return replace(self, texts=_some(self.texts, places), **_rows(self, places))


def _lengths(values: Listed[NDArray[Any]]) -> NDArray[np.int64]:
    return np.array([len(each) for each in values], np.int64)


def _places(whole: Sequences | Tokens | Texts, index: ArrayLike) -> list[int]:
    return chosen(index, len(whole)).tolist()


def _some(values: Listed[Any], places: Listed[int]) -> tuple[Any, ...]:
    return tuple(values[row] for row in places)


def _rows(whole: Sequences | Tokens | Texts, places: Listed[int]) -> dict[str, Any]:
    """What every kind of sequences has for each of them."""
    return {"ids": _some(whole.ids, places), "labels": None if whole.labels is None else whole.labels.rows(places)}


def _check(who: str, ids: Listed[str], values: Listed[Any], labels: Labels | None) -> None:
    if len(ids) != len(values) or (labels is not None and len(labels) != len(values)):
        given = f"{len(ids)} ids" + ("" if labels is None else f" and {len(labels)} labels")
        raise DataError(f"{who}: ids and labels must be one for each of {len(values)}, got {given}; give as many.")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(id for id in ids if id in seen or seen.add(id))
        raise DataError(f"{who}: ids must be distinct, got {twice!r} twice; give each its own.")
