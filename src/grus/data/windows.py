"""Windows of a panel: what a network sees of the past, what is known ahead, and what it is to forecast.

Nothing is put in buckets by length, since nothing differs in length: every window has L steps behind and H ahead, whatever its series has.
A window that reaches back beyond the start of its series marks those steps as missing, so each batch is one array without further padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.ahead import known_ahead
from grus.data.cycles import TimeChannels, cycles_of
from grus.data.missing import deltas, fill, parse
from grus.data.panel import Panel
from grus.data.scaling import Affine, Ranges, Scaling, check_ranges
from grus.data.table import Channels, Table, runs, tabulate
from grus.errors import DataError, OptionError

__all__ = ["Batch", "Channels", "Windows"]


@dataclass(frozen=True, eq=False)
class Batch:
    """B windows side by side, in scaled units.

    Shapes:
        past [B, L, C], channels as ``Channels.past`` names them, the target first
        mask [B, L, M], 1 where a value was measured: of the target, M = 1; under "gru_d" of every channel, M = C
        delta [B, L, M], steps since it was last measured before each step
        mean [B, M], the training mean; 0 for what is known ahead
        future [B, H, F], known ahead; static [B, S]
        target [B, H], NaN where missing or unknown
        series, origin [B], the number of the series in the panel, and of the first step to forecast
    """

    past: NDArray[np.float32]
    mask: NDArray[np.float32]
    delta: NDArray[np.float32]
    mean: NDArray[np.float32]
    future: NDArray[np.float32]
    static: NDArray[np.float32]
    target: NDArray[np.float32]
    series: NDArray[np.int64]
    origin: NDArray[np.int64]


class Windows:
    """Every window of a panel whose forecast lies in the given ranges; the past may reach back before them.

    ranges: per series the half-open range of steps that may be targets.
    missing: one of ``grus.data.missing.STRATEGIES``; past covariates are filled in the same way. "zero" is 0 in the units of each column, of the
    target as the panel has it.
    stride: steps between the origins of a series, from the start of its range.
    keep_partial: also windows whose horizon passes the end of the range; their targets from there on are NaN, and covariates after
    the last step of the series are 0.
    min_known: targets that must have been measured.
    may_be_empty: no window at all is no error.

    A window has at least one measured value in its past. Where the series starts later than the window, the steps before count as missing, with
    future covariates and calendar 0. The calendar gives sines and cosines of the place in the day, week and year, as far as the step has them;
    where steps are irregular one more channel tells how long each comes after the step before it.

    Raises:
        OptionError: an option is not allowed
        DataError: no window is left, or the scaling was fitted on other series or columns
    """

    def __init__(
        self,
        panel: Panel,
        ranges: Ranges,
        lookback: int,
        horizon: int,
        *,
        missing: str,
        scaling: Scaling,
        calendar_features: bool = True,
        stride: int = 1,
        keep_partial: bool = False,
        min_known: int = 1,
        may_be_empty: bool = False,
    ) -> None:
        for name, value, least in (("lookback", lookback, 1), ("horizon", horizon, 1), ("stride", stride, 1), ("min_known", min_known, 0)):
            if value < least:
                raise OptionError(f"Windows: {name} must be at least {least}, got {value}; give a number of steps.")
        if not isinstance(calendar_features, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OptionError(f"Windows: calendar_features must be True or False, got {calendar_features!r}; choose one of them.")
        check_ranges("Windows", panel, ranges)
        self.panel, self.lookback, self.horizon, self.scaling = panel, lookback, horizon, scaling.align(panel)
        self._fill, masked = parse(missing)
        self._stamped = TimeChannels(cycles_of(panel) if calendar_features else (), None if panel.step.is_regular else scaling.interval)
        by_time = self._fill == "time"
        self._table = tabulate(panel, self.scaling, lookback, horizon, masked=masked, stamped=self._stamped, by_time=by_time)
        self._means = self.scaling.target.mean, self.scaling.past.mean
        self._levels = (_zeros(self.scaling.target), _zeros(self.scaling.past)) if self._fill == "zero" else self._means
        self._stops = np.array([high for _, high in ranges], np.int64)
        self._cut_targets = keep_partial
        self.channels = self._table.channels
        self.series, self.origins = _select(self._table, ranges, lookback, horizon, stride, keep_partial, min_known)
        if not (len(self) or may_be_empty):
            raise _no_window(ranges, horizon, min_known)
        self._views = _Views.of(self._table, lookback, horizon)

    def __len__(self) -> int:
        return len(self.origins)

    def batches(self, batch_size: int) -> int:
        """How many batches an epoch has."""
        return -(-len(self) // batch_size)

    def batch(self, indices: ArrayLike) -> Batch:
        """The windows of these numbers, 0 to len − 1, in this order."""
        chosen = np.asarray(indices, np.int64)
        series, origin = self.series[chosen], self.origins[chosen]
        target = self._views.target[self._table.bases[series] + origin + self.lookback]
        if self._cut_targets:
            target[np.arange(self.horizon) >= (self._stops[series] - origin)[:, None]] = np.nan
        return self._gather(series, origin, target)

    def epoch(self, number: int, seed: int, batch_size: int, shuffle: bool = True) -> Iterator[Batch]:
        """Each window once, in an order that follows from number and seed alone; the last batch may be smaller."""
        if batch_size < 1:
            raise OptionError(f"Windows: batch_size must be at least 1, got {batch_size}; give the number of windows of a batch.")
        order = np.random.default_rng((seed, number)).permutation(len(self)) if shuffle else np.arange(len(self))
        return (self.batch(order[start : start + batch_size]) for start in range(0, len(self), batch_size))

    def last(self, future: Panel | None = None) -> Batch:
        """One window per series that ends with its last step: what to forecast from. All targets are NaN.

        future: a panel with the future covariates of the steps to come; its targets are not read.

        Raises:
            DataError: a series has no measured value to forecast from, or a future covariate or time to come is not known
        """
        series = np.arange(len(self.panel.series))
        origin = self._table.lengths
        batch = self._gather(series, origin, np.full((len(series), self.horizon), np.nan, np.float32))
        empty = np.flatnonzero(~(batch.mask[..., 0] > 0).any(axis=1))
        if empty.size:
            series_id = self.panel.series[int(empty[0])].id
            raise DataError(
                f"predict: series {series_id!r} must have a measured value in its last {self.lookback} steps, got none "
                f"({empty.size} of {len(series)} series have none); leave it out or look back further."
            )
        if self.channels.future:
            batch.future[:] = known_ahead(self.panel, future, self.scaling.future, self._stamped, self.horizon)
        return batch

    def _gather(self, series: NDArray[np.int64], origin: NDArray[np.int64], target: NDArray[np.float32]) -> Batch:
        table, views = self._table, self._views
        starts = table.bases[series] + origin
        past = views.values[starts].reshape(len(starts), self.lookback, len(self.channels.past))
        masks = [view[starts] for view in views.masks]
        first = len(self.channels.past) - len(self.channels.future) - len(self.panel.past_names)
        for column, (place, mask) in enumerate(zip((0, *range(first, first + len(masks) - 1)), masks, strict=True)):
            level = self._levels[1][column - 1].repeat(len(starts)) if column else self._levels[0][series]
            self._refill(past[:, :, place], mask, level, starts)
        ahead = views.ahead[starts + self.lookback].reshape(len(starts), self.horizon, len(self.channels.past))
        future = np.ascontiguousarray(ahead[:, :, len(self.channels.past) - len(self.channels.future) :])
        shown = masks if self._fill == "none" else masks[:1]
        return Batch(past, *self._measured(shown, series, origin, starts), future, table.static[series], target, series, origin)

    def _refill(self, channel: NDArray[np.float32], mask: NDArray[np.bool_], level: NDArray[np.float64], starts: NDArray[np.int64]) -> None:
        """Fill one channel in place; most windows lack nothing and are left alone."""
        rows = np.flatnonzero(~mask.all(axis=1))
        if rows.size:
            times = None if self._views.times is None else self._views.times[starts[rows]]
            strategy = "gru_d" if self._fill == "none" else self._fill
            channel[rows] = fill(channel[rows], mask[rows], strategy, times, level[rows], level[rows])

    def _measured(
        self, masks: list[NDArray[np.bool_]], series: NDArray[np.int64], origin: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mask, delta and mean of the target, and with them those of every other channel for a cell that reads them."""
        ahead = len(self.channels.future) if self._fill == "none" else 0
        shape = (len(starts), self.lookback, len(masks) + ahead)
        mask, delta, mean = np.empty(shape, np.float32), np.empty(shape, np.float32), np.zeros((shape[0], shape[2]), np.float32)
        for column, measured in enumerate(masks):
            mask[..., column], delta[..., column] = measured, self._delta(measured, starts)
            mean[:, column] = self._means[1][column - 1] if column else self._means[0][series]
        if ahead:
            inside = np.arange(self.lookback) >= self.lookback - origin[:, None]
            mask[..., len(masks) :], delta[..., len(masks) :] = inside[..., None], self._delta(inside, starts)[..., None]
        return mask, delta, mean

    def _delta(self, mask: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._views.clock is not None:
            return deltas(mask, self._views.clock[starts]).astype(np.float32)
        delta = np.ones(mask.shape, np.float32)
        delta[:, 0] = 0
        rows = np.flatnonzero(~mask.all(axis=1))
        if rows.size:
            delta[rows] = deltas(mask[rows])
        return delta


@dataclass(frozen=True, eq=False)
class _Views:
    """The table's rows as overlapping runs, so that a batch is one copy per array."""

    values: NDArray[np.float32]
    ahead: NDArray[np.float32]
    target: NDArray[np.float32]
    masks: list[NDArray[np.bool_]]
    clock: NDArray[np.float64] | None
    times: NDArray[np.float64] | None

    @staticmethod
    def of(table: Table, lookback: int, horizon: int) -> _Views:
        stamps = [None if array is None else runs(array, lookback) for array in (table.clock, table.times)]
        masks = [runs(row, lookback) for row in table.masks]
        return _Views(runs(table.values, lookback), runs(table.values, horizon), runs(table.target, horizon), masks, *stamps)


def _zeros(columns: Affine) -> NDArray[np.float64]:
    """0 in scaled units."""
    return (0 - columns.shift) / columns.scale


def _select(
    table: Table, ranges: Ranges, lookback: int, horizon: int, stride: int, keep_partial: bool, min_known: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Series and origin of every window that has enough measured values on both sides."""
    count = np.concatenate([[0], np.cumsum(table.masks[0])])
    series: list[NDArray[np.int64]] = []
    origins: list[NDArray[np.int64]] = []
    for number, (low, high) in enumerate(ranges):
        origin = np.arange(low, high if keep_partial else high - horizon + 1, stride, dtype=np.int64)
        start = table.bases[number] + origin
        middle = start + lookback
        end = np.minimum(middle + horizon, table.bases[number] + lookback + high)
        kept = origin[(count[middle] > count[start]) & (count[end] - count[middle] >= min_known)]
        series.append(np.full(len(kept), number, np.int64))
        origins.append(kept)
    return np.concatenate(series), np.concatenate(origins)


def _no_window(ranges: Ranges, horizon: int, min_known: int) -> DataError:
    longest = max((high - low for low, high in ranges), default=0)
    return DataError(
        f"Windows: a series must have a measured value before {horizon} steps of which {min_known} are measured, got none such in "
        f"{len(ranges)} series, of which at most {longest} steps are used here; shorten the horizon, look back further or give more data."
    )
