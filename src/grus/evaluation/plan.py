"""What a backtest does in which order: its windows by origin, whole origins together, and whose turn it is at each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from grus.data.panel import Panel
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Array
from grus.evaluation.baselines import Baseline


@dataclass(frozen=True, eq=False)
class Prediction:
    """Forecasts of N windows. Shapes: point and each quantile [N, H]."""

    point: Array
    quantiles: Mapping[float, Array] = field(default_factory=dict[float, Array])


class Predict(Protocol):
    """Forecasts the steps from each origin on; it may read the panel's targets only before the origin."""

    def __call__(self, panel: Panel, series: NDArray[np.int64], origins: NDArray[np.int64], /) -> Prediction: ...


@dataclass(frozen=True)
class Model:
    """What is tested. With `refit`, every `every` origins a model fitted on what precedes that origin takes over: predict = refit(panel, origin).

    `refit` must depend on its arguments alone, so that a run that was interrupted gives what an uninterrupted one would.
    key: a text that is another one for other weights or settings, such as a digest of them; a run that is kept in a folder must have one.
    """

    name: str
    predict: Predict
    refit: Callable[[Panel, int], Predict] | None = None
    every: int = 1
    key: str = ""


class Task(NamedTuple):
    """What one forecaster does at once: the model some windows, a baseline one."""

    baseline: Baseline | None  # None: the model
    first: int
    windows: NDArray[np.int64]  # [n, 2]: series, origin
    refits: int  # before it
    is_last: bool  # of its windows


@dataclass(frozen=True, eq=False)
class Plan:
    """The windows in order, cut into parts that the model forecasts together; `refits` [parts] counts the refits before each."""

    panel: Panel
    horizon: int
    model: Model
    baselines: tuple[Baseline, ...]
    parts: tuple[NDArray[np.int64], ...]
    refits: tuple[int, ...]

    @property
    def windows(self) -> NDArray[np.int64]:
        return np.concatenate(self.parts)

    @property
    def season(self) -> int:
        return self.panel.step.season

    def refit_origin(self, refits: int) -> int:
        """The first origin after so many refits."""
        return int(self.parts[self.refits.index(refits)][0, 1])

    def tasks(self) -> Iterator[Task]:
        first = 0
        for part, refits in zip(self.parts, self.refits, strict=True):
            yield Task(None, first, part, refits, not self.baselines)
            for number, window in enumerate(part, first):
                for baseline in self.baselines:
                    yield Task(baseline, number, window[None], refits, baseline is self.baselines[-1])
            first += len(part)

    def run(self) -> dict[str, str]:
        """What makes it this run and no other, each as a SHA-256."""
        baselines = [repr(rule) if is_dataclass(rule) else rule.name for rule in self.baselines]
        windows = [self.horizon, self.season, self.refits, [part.tolist() for part in self.parts]]
        found = {"model": [self.model.name, self.model.key], "baselines": baselines, "windows": windows}
        return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest() for name, value in found.items()} | {"data": _digest(self.panel)}


def _digest(panel: Panel) -> str:
    """All series, those that are not tested too: a refit learns from them."""
    found = hashlib.sha256(json.dumps([panel.step.name, panel.past_names, panel.future_names, panel.static_names]).encode())
    for series in panel.series:
        found.update(json.dumps([series.id, len(series), str(series.times.dtype)]).encode())
        found.update(np.ascontiguousarray(series.times.astype(np.int64), "<i8").tobytes())
        for values in (series.target, series.past, series.future, series.static):
            found.update(np.ascontiguousarray(values, "<f8").tobytes())
    return found.hexdigest()


def origins(length: int, first: int, stride: int, horizon: int) -> NDArray[np.int64]:
    """first, first + stride, … as long as `horizon` steps remain in a series of `length` steps. An origin is the first step forecast.

    Raises: OptionError; DataError where there is none.
    """
    for name, value in (("first", first), ("stride", stride), ("horizon", horizon)):
        if value < 1:
            raise OptionError(f"origins: {name} must be at least 1, got {value}; it counts steps.")
    if first + horizon > length:
        raise DataError(f"origins: the series must have {first + horizon} steps for one forecast, got {length}; start earlier or forecast less far.")
    return np.arange(first, length - horizon + 1, stride, dtype=np.int64)


def make_plan(panel: Panel, windows: Sequence[tuple[int, int]], horizon: int, model: Model, baselines: Sequence[Baseline], batch: int) -> Plan:
    """The windows, of which the model forecasts up to `batch` together, or those of one origin.

    Raises: OptionError.
    """
    names = [model.name, *(baseline.name for baseline in baselines)]
    if len(set(names)) < len(names):
        raise OptionError(f"run_backtest: every forecaster must have a name of its own, got {', '.join(names)}; rename one.")
    if horizon < 1 or model.every < 1:
        raise OptionError(f"run_backtest: horizon and every must be at least 1, got {horizon} and {model.every}; they count steps and origins.")
    if not windows or len(set(windows)) < len(windows):
        raise OptionError(f"run_backtest: windows must be different from each other and at least one, got {len(windows)}; see origins().")
    for index, origin in windows:
        if not 0 <= index < len(panel.series):
            raise OptionError(f"run_backtest: a window's series must be below {len(panel.series)}, got {index}; it is an index into the panel.")
        last = len(panel.series[index].target) - horizon
        if not 1 <= origin <= last:
            raise OptionError(
                f"run_backtest: an origin of series {panel.series[index].id!r} must be between 1 and {last}, got {origin}; see origins()."
            )
    rows = np.array(sorted(windows, key=lambda window: (window[1], window[0])), np.int64)
    cut = list(_cut(rows, model, batch))
    return Plan(panel, horizon, model, tuple(baselines), tuple(part for part, _ in cut), tuple(refits for _, refits in cut))


def _cut(rows: NDArray[np.int64], model: Model, batch: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Whole origins, up to `batch` windows and never across a refit."""
    of_origin = np.split(rows, np.flatnonzero(np.diff(rows[:, 1])) + 1)
    pending: list[NDArray[np.int64]] = []
    refits = 0
    for number, group in enumerate(of_origin):
        due = number // model.every if model.refit is not None else 0
        if pending and (due != refits or sum(map(len, pending)) + len(group) > batch):
            yield np.concatenate(pending), refits
            pending = []
        refits = due
        pending.append(group)
    yield np.concatenate(pending), refits
