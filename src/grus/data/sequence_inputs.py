"""What a network reads of sequences of numbers: scaled, what is missing filled or told, what is too long cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.missing import deltas, fill, parse
from grus.data.sequence_cutting import Truncate, check_lengths, kept
from grus.data.sequence_scaling import SequenceScaling
from grus.data.sequences import Labels, Sequences, Tokens
from grus.errors import DataError, OptionError

ELAPSED = "elapsed"
Values = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class SequenceInputs:
    """N sequences as a network reads them; no value is missing.

    values: each [T, C] float32, or [T] int64 of tokens. names: the C channels: those of the sequences, "mask_x" for those that say whether x was
        measured, "elapsed"; none for tokens.
    labels: real targets in scaled units. mask, delta, mean: for a cell that reads what is missing, each [T, C], and [C].
    """

    values: tuple[NDArray[Any], ...]
    names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Labels | None = None
    mask: Values | None = None
    delta: Values | None = None
    mean: NDArray[np.float32] | None = None
    findings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(values) for values in self.values], np.int64)


def prepare(
    sequences: Sequences,
    scaling: SequenceScaling,
    missing: str = "mean",
    *,
    elapsed: bool = False,
    max_steps: int | None = None,
    truncate: Truncate | None = None,
) -> SequenceInputs:
    """The inputs of sequences.

    missing: one of ``grus.data.missing.STRATEGIES``. "zero" is 0 in the channel's own units, "time" is "linear" where there are no times, and
        "+mask" adds a channel of 0 and 1 for each one that lacks a value somewhere in training. "gru_d" gives mask, delta and mean of all.
    elapsed: whether a channel tells how many intervals have gone by since the step before.
    max_steps: sequences that are longer are refused, or cut where `truncate` says "head", "tail" or "middle", before anything is filled.

    Raises: OptionError for an option that is not allowed; DataError for other channels than those scaled, and for a sequence that is too long.
    """
    scaling.check(sequences)
    masked = parse(missing).mask
    if elapsed and sequences.times is None:
        raise OptionError("prepare: elapsed must be False for sequences without times, got True; leave it out.")
    if ELAPSED in sequences.names and elapsed:
        raise DataError(f"prepare: no channel may be called {ELAPSED!r} with elapsed=True, got one; rename it.")
    findings = check_lengths("prepare", sequences.ids, sequences.lengths, max_steps, truncate)
    shown = [number for number, name in enumerate(sequences.names) if masked and name in scaling.lacking]
    steps = [None if max_steps is None or truncate is None else kept(len(values), max_steps, truncate) for values in sequences.values]
    found = [
        _one(values, None if sequences.times is None else sequences.times[at], steps[at], scaling, missing, shown, elapsed)
        for at, values in enumerate(sequences.values)
    ]
    names = (*sequences.names, *(f"mask_{sequences.names[number]}" for number in shown), *([ELAPSED] if elapsed else []))
    if len(set(names)) < len(names):
        raise DataError(f"prepare: channels must not be called as the masks of others, got {list(names)}; rename them.")
    findings += _unexpected(sequences, scaling)
    labels = None if sequences.labels is None else scaling.labels(sequences.labels)
    told: dict[str, Any] = {}
    if missing == "gru_d":
        mean = np.append(scaling.values.mean, [0.0] * elapsed).astype(np.float32)
        told = {"mask": tuple(own[1] for own in found), "delta": tuple(own[2] for own in found), "mean": mean}
    return SequenceInputs(tuple(own[0] for own in found), names, sequences.ids, labels, findings=findings, **told)


def of_tokens(tokens: Tokens) -> SequenceInputs:
    """The inputs of texts."""
    return SequenceInputs(tokens.values, (), tokens.ids, tokens.labels)


def _one(
    values: NDArray[np.float32],
    times: NDArray[np.float64] | None,
    steps: NDArray[np.int64] | None,
    scaling: SequenceScaling,
    missing: str,
    shown: list[int],
    elapsed: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Values, mask and delta of one sequence; the latter two are empty unless they are asked for."""
    if steps is not None:
        values, times = values[steps], None if times is None else times[steps]
    scaled, zero, mean = scaling.apply(values)
    measured = ~np.isnan(scaled)
    clock = None if times is None else (times - times[0]) / scaling.interval
    if not measured.all():
        strategy = missing.replace("time", "linear") if clock is None else missing
        scaled = fill(scaled.T, measured.T, strategy, clock, mean, zero).T
    columns = [scaled, measured[:, shown].astype(np.float32)]
    gap = np.zeros((len(values), 0), np.float32)
    if elapsed and clock is not None:
        gap = np.diff(clock, prepend=0.0)[:, None].astype(np.float32)
        columns.append(gap)
    read = np.ascontiguousarray(np.concatenate(columns, axis=1), np.float32)
    if missing != "gru_d":
        return read, gap, gap
    delta = np.concatenate([deltas(measured.T, clock).T.astype(np.float32), gap], axis=1)
    return read, np.concatenate([measured, np.ones_like(gap)], axis=1).astype(np.float32), delta


def _unexpected(sequences: Sequences, scaling: SequenceScaling) -> tuple[str, ...]:
    """Channels that lack values here and lacked none in training."""
    lacks = np.zeros(len(sequences.names), np.bool_)
    for values in sequences.values:
        lacks |= np.isnan(values).any(axis=0)
    names = [name for name, lacking in zip(sequences.names, lacks, strict=True) if lacking and name not in scaling.lacking]
    return (f"channel {', '.join(map(repr, names))} lacks values, and lacked none in training",) if names else ()
