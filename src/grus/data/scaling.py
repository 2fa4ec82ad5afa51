"""Shifts and scales that are fitted on the training ranges and bring every column to the size of 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.moments import Moments
from grus.data.panel import Panel
from grus.errors import DataError, OptionError

METHODS = ("standard", "robust", "minmax", "global", "none")
COVARIATE_METHODS = ("standard", "none")
FINE = 2.0**-18  # of its size: what a 32-bit number shows of a change this small has fewer than 6 bits

Values = NDArray[np.float64]
Ranges = Sequence[tuple[int, int]]  # per series the half-open range of its steps
Pair = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Affine:
    """One shift and scale per name: scaled = (value − shift) / scale; ``mean`` is the training data's, in scaled units.

    Shapes:
        shift, scale and mean [names]
    """

    names: tuple[str, ...]
    shift: Values
    scale: Values
    mean: Values

    def take(self, names: tuple[str, ...]) -> Affine:
        """The same for some of the names, in their order."""
        places = {name: place for place, name in enumerate(self.names)}
        order = [places[name] for name in names]
        return Affine(names, self.shift[order], self.scale[order], self.mean[order])

    def to_dict(self) -> dict[str, list[Any]]:
        """Lists of names and of exact floats."""
        return {"names": list(self.names), "shift": self.shift.tolist(), "scale": self.scale.tolist(), "mean": self.mean.tolist()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Affine:
        """The inverse of ``to_dict``."""
        numbers = [np.asarray(values[key], np.float64) for key in ("shift", "scale", "mean")]
        names = tuple(str(name) for name in values["names"])
        for key, array in zip(("shift", "scale", "mean"), numbers, strict=True):
            if array.shape != (len(names),) or not np.isfinite(array).all():
                raise DataError(f"Scaling: {key} must be {len(names)} finite numbers, got {values[key]!r}; the file is damaged.")
        return Affine(names, *numbers)


@dataclass(frozen=True, eq=False)
class Scaling:
    """How a panel's values become the network's, and back.

    method, for the target:
        standard: each series by its mean and standard deviation (of the population)
        robust:   each series by its median and interquartile range
        minmax:   each series from its smallest value, 0, to its largest, 1
        global:   all series by one mean and standard deviation
        none:     as it is
    covariates: "standard" (each column over all series, flags of only 0 and 1 left alone) or "none".
    interval: the median time between rows of an irregular panel, nanoseconds or units of the time column; 1 on a calendar.
    lacking: the past covariates that lack a value somewhere in training.

    Missing values have no part in it. Where the spread is 0 the scale is 1.
    """

    method: str
    covariates: str
    interval: float
    target: Affine
    past: Affine
    future: Affine
    static: Affine
    lacking: tuple[str, ...] = ()

    @staticmethod
    def fit(panel: Panel, ranges: Ranges, method: str = "standard", covariates: str = "standard") -> Scaling:
        """Measured on the steps of ``ranges`` only.

        Raises:
            OptionError: an option or a range is not allowed
            DataError: a series or a column has no value in its range
        """
        fit = ScalingFit(method, covariates)
        fit.add(panel, ranges)
        return fit.finish()

    def refit(self, panel: Panel, ranges: Ranges) -> Scaling:
        """For series it has not seen: each measured anew under a method that goes by series, all else as it was."""
        check_ranges("Scaling", panel, ranges)
        if self.method == "global":
            raw = _fit_target(panel, ranges, "none")
            shift, scale = (np.repeat(value[:1], len(raw.names)) for value in (self.target.shift, self.target.scale))
            return replace(self, target=Affine(raw.names, shift, scale, (raw.mean - shift) / scale))
        return replace(self, target=_fit_target(panel, ranges, self.method))

    def align(self, panel: Panel) -> Scaling:
        """The same with the target's shifts and scales in the order of the panel's series.

        Raises:
            DataError: the panel has a series or columns that this was not fitted on
        """
        pairs = ((self.past, panel.past_names), (self.future, panel.future_names), (self.static, panel.static_names))
        for fitted, names in pairs:
            if fitted.names != tuple(names):
                raise DataError(
                    f"Scaling: covariates must be {list(fitted.names)}, those of the training data, got {list(names)}; give the same columns."
                )
        ids = _ids(panel)
        if ids == self.target.names:
            return self
        unseen = sorted(set(ids) - set(self.target.names))
        if unseen:
            raise DataError(
                f"Scaling: series must be among the {len(self.target.names)} that it was fitted on, got {unseen[0]!r} ({len(unseen)} unseen); "
                "call refit on the new panel first."
            )
        return replace(self, target=self.target.take(ids))

    def findings(self, panel: Panel, ranges: Ranges) -> tuple[str, ...]:
        """What 32-bit numbers would lose of the scaled targets, as sentences for a reader; the panel is aligned.

        Numerics: a series is told of where its scaled standard deviation is below 2^-18 of its largest scaled size, and it is no constant: of
        the 24 bits of a number fewer than 6 are left for what changes.
        """
        lost: list[str] = []
        for index, (series, (low, high)) in enumerate(zip(panel.series, ranges, strict=True)):
            known = series.target[low:high][~np.isnan(series.target[low:high])]
            if known.size and known.min() < known.max() and _spread(known) < FINE * self.target.scale[index] * np.abs(self.apply(index, known)).max():
                lost.append(series.id)
        if not lost:
            return ()
        remedy = "take a scaling that goes by series, such as 'standard'" if self.method in ("none", "global") else "subtract its level first"
        return (
            f"{len(lost)} of {len(panel.series)} series change too little beside their size for 32-bit numbers under the scaling {self.method!r}: "
            f"{', '.join(map(repr, lost[:5]))}{f' and {len(lost) - 5} more' if len(lost) > 5 else ''}; {remedy}",
        )

    def apply(self, index: ArrayLike, values: ArrayLike) -> Values:
        """Target values in scaled units.

        Shapes:
            index, the number of the series: one, or [B] with values [B, ...]
        """
        array = np.asarray(values, np.float64)
        return (array - _along(self.target.shift, index, array)) / _along(self.target.scale, index, array)

    def invert(self, index: ArrayLike, values: ArrayLike) -> Values:
        """Scaled values in the target's own units; shapes as in ``apply``."""
        array = np.asarray(values, np.float64)
        return array * _along(self.target.scale, index, array) + _along(self.target.shift, index, array)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, exact when written as JSON and read again."""
        columns = {name: getattr(self, name).to_dict() for name in ("target", "past", "future", "static")}
        return {"method": self.method, "covariates": self.covariates, "interval": self.interval, "lacking": list(self.lacking), **columns}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Scaling:
        """The inverse of ``to_dict``.

        Raises:
            DataError: a value is missing or damaged
        """
        wanted = ("method", "covariates", "interval", "lacking", "target", "past", "future", "static")
        if sorted(values) != sorted(wanted):
            raise DataError(f"Scaling: keys must be {', '.join(wanted)}, got {', '.join(sorted(values))}; the file is damaged or of another kind.")
        columns = [Affine.from_dict(values[name]) for name in wanted[4:]]
        lacking = tuple(str(name) for name in values["lacking"])
        if not set(lacking) <= set(columns[1].names):
            raise DataError(f"Scaling: lacking must name past covariates, {list(columns[1].names)}, got {list(lacking)}; the file is damaged.")
        return Scaling(str(values["method"]), str(values["covariates"]), float(values["interval"]), *columns, lacking=lacking)


class ScalingFit:
    """A scaling measured on one panel after another: what it holds grows with the number of series, not with their steps.

    Panels that come in parts have the shifts and scales of the whole, but for rounding.

    Raises: OptionError for a method that is not allowed.
    """

    def __init__(self, method: str = "standard", covariates: str = "standard") -> None:
        check_methods(method, covariates)
        self.method, self.covariates = method, covariates
        self._targets: list[Affine] = []
        self._pooled = Moments.of([np.zeros(0)])
        self._columns: dict[str, Moments] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._lacking: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._interval = 1.0

    def add(self, panel: Panel, ranges: Ranges) -> None:
        """Measure the steps of ``ranges``.

        Raises: OptionError for a range that is not one; DataError where a series has no value in its range, or a second panel is irregular.
        """
        check_ranges("Scaling", panel, ranges)
        if self._targets and not panel.step.is_regular:
            raise DataError("Scaling: panels that come in parts must have a regular calendar, got an irregular one; read the data as one panel.")
        parts = list(zip(panel.series, ranges, strict=True))
        self._interval = _interval(panel, ranges)
        self._targets.append(_fit_target(panel, ranges, "none" if self.method == "global" else self.method))
        if self.method == "global":
            self._pooled += Moments.of([np.concatenate([series.target[low:high] for series, (low, high) in parts])])
        self._names = {"past": panel.past_names, "future": panel.future_names, "static": panel.static_names}
        for role, names in self._names.items():
            rows = [series.static[None] if role == "static" else getattr(series, role)[low:high] for series, (low, high) in parts]
            table = np.concatenate(rows)
            found = Moments.of([table[:, column] for column in range(len(names))])
            self._columns[role] = self._columns[role] + found if role in self._columns else found
            if role == "past":
                lacks = found.count < len(table)
                self._lacking = self._lacking | lacks if self._lacking.size else lacks

    def finish(self) -> Scaling:
        """The scaling of all that was added.

        Raises: DataError where a column has no value.
        """
        roles = (_fit_columns(role, names, self._columns[role], self.covariates) for role, names in self._names.items())
        lacking = tuple(name for name, lacks in zip(self._names["past"], self._lacking, strict=True) if lacks)
        return Scaling(self.method, self.covariates, self._interval, self._target(), *roles, lacking=lacking)

    def _target(self) -> Affine:
        names = tuple(name for part in self._targets for name in part.names)
        shift, scale, mean = (np.concatenate([getattr(part, name) for part in self._targets]) for name in ("shift", "scale", "mean"))
        if self.method == "global":
            shift = np.full(len(names), self._pooled.mean[0])
            scale = np.full(len(names), self._pooled.deviation[0] or 1.0)
            mean = (mean - shift) / scale
        return Affine(names, shift, scale, mean)


def check_methods(scaling: str, covariate_scaling: str) -> None:
    """Raises: OptionError unless both are names of ``METHODS`` and ``COVARIATE_METHODS``."""
    for name, value, allowed in (("scaling", scaling, METHODS), ("covariate_scaling", covariate_scaling, COVARIATE_METHODS)):
        if value not in allowed:
            raise OptionError(f"{name}: must be one of {', '.join(allowed)}, got {value!r}; choose one of them.")


def affine(scaling: Affine, values: Values) -> Values:
    """Columns [..., names] in scaled units."""
    return (values - scaling.shift) / scaling.scale


def check_ranges(who: str, panel: Panel, ranges: Ranges) -> None:
    """Whether there is one half-open range within each series."""
    if len(ranges) != len(panel.series):
        raise OptionError(f"{who}: ranges must be one per series, {len(panel.series)}, got {len(ranges)}; take them from a split of this panel.")
    for series, (low, high) in zip(panel.series, ranges, strict=True):
        if not 0 <= low <= high <= len(series.target):
            raise OptionError(
                f"{who}: range of series {series.id!r} must lie within its {len(series.target)} steps, got [{low}, {high}); "
                "take it from a split of this panel."
            )


def _ids(panel: Panel) -> tuple[str, ...]:
    return tuple(series.id for series in panel.series)


def _along(numbers: Values, index: ArrayLike, values: Values) -> Values:
    chosen = numbers[np.asarray(index)]
    return chosen.reshape(chosen.shape + (1,) * (values.ndim - chosen.ndim))


def _spread(known: Values) -> float:
    """The standard deviation about the first value, which loses fewer digits than about 0."""
    return float((known - known[0]).std())


def _standard(known: Values) -> Pair:
    return float(known.mean()), float(known.std())


def _robust(known: Values) -> Pair:
    low, middle, high = np.percentile(known, (25, 50, 75)).tolist()
    return middle, high - low


def _minmax(known: Values) -> Pair:
    return float(known.min()), float(known.max() - known.min())


def _none(known: Values) -> Pair:
    return 0.0, 1.0


MEASURES: dict[str, Callable[[Values], Pair]] = {"standard": _standard, "robust": _robust, "minmax": _minmax, "none": _none}


def _measure(known: Values, method: str) -> Pair:
    """Shift and scale; a constant's deviation may round to something other than 0, so it is told by its ends."""
    shift, scale = MEASURES[method](known)
    return shift, 1.0 if scale == 0 or known.min() == known.max() else scale


def _fit_target(panel: Panel, ranges: Ranges, method: str) -> Affine:
    known: list[Values] = []
    for series, (low, high) in zip(panel.series, ranges, strict=True):
        part = series.target[low:high]
        known.append(part[~np.isnan(part)])
        if not known[-1].size:
            raise DataError(
                f"Scaling: series {series.id!r} must have a measured target in its training range [{low}, {high}), got none; "
                "leave the series out or widen the range."
            )
    shift, scale = np.array([_measure(part, method) for part in known], np.float64).T
    return Affine(_ids(panel), shift, scale, (np.array([part.mean() for part in known]) - shift) / scale)


def _fit_columns(role: str, names: tuple[str, ...], found: Moments, method: str) -> Affine:
    empty = np.flatnonzero(found.count == 0)
    if empty.size:
        raise DataError(f"Scaling: {role} column {names[empty[0]]!r} must have a value in the training ranges, got none; leave the column out.")
    left = found.flags if method == "standard" else np.ones(len(names), np.bool_)
    shift = np.where(left, 0.0, found.mean)
    scale = np.where(left | (found.deviation == 0), 1.0, found.deviation)
    return Affine(tuple(names), shift, scale, (found.mean - shift) / scale)


def _interval(panel: Panel, ranges: Ranges) -> float:
    if panel.step.name != "irregular":
        return 1.0
    steps = np.concatenate([np.diff(series.times[low:high]).astype(np.int64) for series, (low, high) in zip(panel.series, ranges, strict=True)])
    return float(np.median(steps)) if steps.size else 1.0
