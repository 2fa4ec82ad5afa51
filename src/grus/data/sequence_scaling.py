"""Shifts and scales of sequences and of real targets, measured on the training sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.moments import Moments
from grus.data.normal_scores import NormalScores
from grus.data.scaling import FINE, Affine, affine
from grus.data.sequence_labels import LARGEST
from grus.data.sequences import Labels, Sequences
from grus.errors import DataError, OptionError

METHODS = ("standard", "minmax", "quantile", "instance", "none")
TARGET_METHODS = ("standard", "minmax", "none")
PART = 2**18  # steps measured at once
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SequenceScaling:
    """How the values of sequences, and real targets, become the network's, and back.

    method, of each channel:
        standard: by its mean and standard deviation (of the population); flags of only 0 and 1 are left alone
        minmax:   from its smallest value, 0, to its largest, 1
        quantile: by its rank, as a quantile of the normal distribution, so that outliers lie near the rest; flags are left alone
        instance: by the mean and standard deviation of each sequence
        none:     as it is
    target: of each real target, "standard", "minmax" or "none".
    interval: the median time between steps, 1 without times. lacking: the channels that lack a value somewhere in training.
    scores: those of "quantile", after which `values` changes nothing.

    Missing values have no part in it. Where the spread is 0 the scale is 1; a channel without a value has shift 0 and mean 0.
    """

    method: str
    interval: float
    values: Affine
    targets: Affine | None
    lacking: tuple[str, ...]
    scores: NormalScores | None = None

    @staticmethod
    def fit(sequences: Sequences, method: str = "standard", target: str = "standard") -> SequenceScaling:
        """Measured on these sequences, which are those for training.

        Raises: OptionError for a method that is not allowed; DataError where there is no sequence.
        """
        for name, value, allowed in (("scaling", method, METHODS), ("target_scaling", target, TARGET_METHODS)):
            if value not in allowed:
                raise OptionError(f"{name}: must be one of {', '.join(allowed)}, got {value!r}; choose one of them.")
        if not len(sequences):
            raise DataError("SequenceScaling: there must be a sequence to measure, got none; give the training sequences.")
        found = measure(sequences)
        own = _affine(sequences.names, found, "none" if method in ("instance", "quantile") else method, flags=True)
        scores = None
        if method == "instance":
            own = replace(own, mean=np.zeros(len(own.names)))
        elif method == "quantile":
            scores = NormalScores.fit(_columns(sequences), found.flags.tolist())
            own = replace(own, mean=scores.mean)
        labels, targets = sequences.labels, None
        if labels is not None and labels.kind == "number":
            targets = _affine(labels.names, Moments.of(list(labels.values.T)), target, flags=False)
        steps = int(sequences.lengths.sum())
        lacking = tuple(name for name, count in zip(sequences.names, found.count, strict=True) if count < steps)
        return SequenceScaling(method, _interval(sequences), own, targets, lacking, scores)

    def apply(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], Floats, Floats]:
        """One sequence in scaled units; what 0 is in them, and the mean.

        Shapes: values [T, C]; the others [C].

        Raises: DataError for a value too far from those of training.
        """
        own = self.values
        if self.method == "instance":
            own = _affine(own.names, Moments.of(list(values.T.astype(np.float64))), "standard", flags=False)
        known, zero = values.astype(np.float64), np.zeros(len(own.names))
        if self.scores is not None:
            known, zero = self.scores.apply(known), self.scores.zero
        scaled = affine(own, known)
        large = np.argwhere(np.abs(scaled) > LARGEST)
        if len(large):
            step, channel = large[0].tolist()
            raise DataError(
                f"SequenceScaling: step {step + 1}, channel {own.names[channel]!r}: must be finite in 32 bits when scaled, "
                f"got {scaled[step, channel]:g}; leave the value out, or the channel, which hardly changes in training."
            )
        return scaled.astype(np.float32), affine(own, zero), self.values.mean

    def labels(self, labels: Labels) -> Labels:
        """Real targets in scaled units; other labels are as they were."""
        if self.targets is None or labels.kind != "number":
            return labels
        if labels.names != self.targets.names:
            raise DataError(f"SequenceScaling: targets must be {list(self.targets.names)}, got {list(labels.names)}; give the same.")
        return Labels("number", labels.names, affine(self.targets, labels.values))

    def invert(self, targets: ArrayLike) -> Floats:
        """Real targets [N, K] in their own units."""
        values = np.asarray(targets, np.float64)
        return values if self.targets is None else values * self.targets.scale + self.targets.shift

    def check(self, sequences: Sequences) -> None:
        """Raises: DataError where the channels are not those it was measured on."""
        if sequences.names != self.values.names:
            raise DataError(
                f"SequenceScaling: channels must be {list(self.values.names)}, those of training, got {list(sequences.names)}; give the same."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with exact floats."""
        targets = None if self.targets is None else self.targets.to_dict()
        found = {
            "method": self.method,
            "interval": self.interval,
            "values": self.values.to_dict(),
            "targets": targets,
            "lacking": list(self.lacking),
        }
        return found if self.scores is None else {**found, "scores": self.scores.to_dict()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SequenceScaling:
        """The inverse of ``to_dict``.

        Raises: DataError where a value is missing or damaged.
        """
        wanted = ("interval", "lacking", "method", *(["scores"] if values.get("method") == "quantile" else []), "targets", "values")
        if tuple(sorted(values)) != wanted:
            raise DataError(f"SequenceScaling: keys must be {', '.join(wanted)}, got {', '.join(sorted(values))}; the file is of another kind.")
        method, interval = values["method"], values["interval"]
        if method not in METHODS or not isinstance(interval, float | int) or not 0 < interval < np.inf:
            raise DataError(f"SequenceScaling: method and interval must be known, got {method!r} and {interval!r}; the file is damaged.")
        own = Affine.from_dict(values["values"])
        lacking = tuple(str(name) for name in values["lacking"])
        if not set(lacking) <= set(own.names):
            raise DataError(f"SequenceScaling: lacking must name channels, {list(own.names)}, got {list(lacking)}; the file is damaged.")
        targets = values["targets"]
        measured = None if targets is None else Affine.from_dict(cast("dict[str, Any]", targets))
        scores = NormalScores.from_dict(values["scores"], len(own.names)) if method == "quantile" else None
        return SequenceScaling(method, float(interval), own, measured, lacking, scores)


def measure(sequences: Sequences) -> Moments:
    """What is known of each channel."""
    found, parts, steps = Moments.of([np.zeros(0)] * len(sequences.names)), list[NDArray[np.float32]](), 0
    for values in (*sequences.values, None):
        if values is not None:
            parts.append(values)
            steps += len(values)
        if steps >= PART or (values is None and parts):
            found += Moments.of(list(np.concatenate(parts).T.astype(np.float64)))
            parts, steps = [], 0
    return found


def channel_findings(sequences: Sequences) -> tuple[str, ...]:
    """What is odd in the channels, as sentences for a reader: constant ones, those never measured, and those that 32 bits tell badly."""
    found = measure(sequences)
    empty = [name for name, count in zip(sequences.names, found.count, strict=True) if not count]
    constant = [name for name, low, high, count in zip(sequences.names, found.low, found.high, found.count, strict=True) if count > 1 and low == high]
    size = np.maximum(np.abs(found.low), np.abs(found.high))
    fine = [name for name, known, spread in zip(sequences.names, size, found.deviation, strict=True) if 0 < spread < FINE * known]
    told = (("constant", constant), ("never measured", empty), ("too large beside its changes for 32-bit numbers; subtract its level", fine))
    return tuple(f"channel {', '.join(map(repr, names))} {'is' if len(names) == 1 else 'are'} {what}" for what, names in told if names)


def _columns(sequences: Sequences) -> Iterator[Floats]:
    """All values of one channel after another."""
    return (np.concatenate([values[:, channel] for values in sequences.values]).astype(np.float64) for channel in range(len(sequences.names)))


def _affine(names: tuple[str, ...], found: Moments, method: str, *, flags: bool) -> Affine:
    empty = found.count == 0
    low, high = np.where(empty, 0.0, found.low), np.where(empty, 0.0, found.high)
    shift, scale = {
        "standard": (found.mean, found.deviation),
        "minmax": (low, high - low),
        "none": (np.zeros(len(names)), np.ones(len(names))),
    }[method]
    left = found.flags if flags and method == "standard" else empty
    shift = np.where(left | empty, 0.0, shift)
    scale = np.where(left | (scale == 0), 1.0, scale)
    return Affine(tuple(names), shift, scale, (found.mean - shift) / scale)


def _interval(sequences: Sequences) -> float:
    if sequences.times is None:
        return 1.0
    steps = np.concatenate([np.diff(times) for times in sequences.times])
    return float(np.median(steps)) if steps.size else 1.0
