"""Baselines that see a few figures of each channel instead of the sequence: gradient boosting and ridge regression."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grus.data.sequences import Sequences
from grus.errors import DataError, OptionError
from grus.evaluation.sequence_baselines import Array, Data, Effort, Fitted, fit_columns, labels_of

SUMMARIES = ("mean", "deviation", "least", "greatest", "first", "last", "slope", "missing")
TOGETHER = 1024  # sequences of one length that are summarised at once
ROUNDS = 10  # of boosting between two looks at the clock
ALPHAS = tuple(10.0**power for power in range(-3, 4))


@dataclass(frozen=True)
class GradientBoosting:
    """Boosted trees on `summary_features`, which take missing ones as they are; a leaf has N/20 sequences, between 1 and 20.

    When the time is over it keeps the rounds that are done.

    Source: Ke et al. 2017, "LightGBM", as in scikit-learn's HistGradientBoosting.
    """

    rounds: int = 100
    rate: float = 0.1
    name: str = "gradient boosting on summary features"

    def fit(self, data: Data, effort: Effort) -> Fitted:
        if self.rounds < 1 or not self.rate > 0:
            raise OptionError(
                f"{self.name}: rounds must be at least 1 and rate above 0, got {self.rounds} and {self.rate}; 100 and 0.1 are customary."
            )
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor  # here, as it takes a second to import

        labels, findings = labels_of(self.name, data), list[str]()
        options: dict[str, Any] = {"learning_rate": self.rate, "min_samples_leaf": min(20, max(1, len(data) // 20)), "random_state": effort.seed}
        options |= {"early_stopping": False, "warm_start": True}
        kind = HistGradientBoostingRegressor if labels.kind == "number" else HistGradientBoostingClassifier

        def learn(features: Array, column: NDArray[Any]) -> Any:
            estimator, done = kind(max_iter=0, **options), 0
            while done < self.rounds and not (done and effort.is_over):
                done = min(done + ROUNDS, self.rounds)
                estimator.set_params(max_iter=done).fit(features, column)
                effort.tell(done, self.rounds, self.name)
            if done < self.rounds:
                findings.append(f"boosting stopped after {done} of {self.rounds} rounds: its {effort.limit_s:g} s were over")
            return estimator

        found = _features(self.name, data)[0]
        known = ~np.isnan(found).all(0)  # scikit-learn refuses a figure that no sequence has, such as the slope of what is measured once
        predict = fit_columns(labels, found[:, known], learn)
        return Fitted(lambda other: predict(_features(self.name, other)[0][:, known]), tuple(findings))


@dataclass(frozen=True)
class Ridge:
    """Linear regression on `summary_features`, or on each channel's last known value alone, the penalty chosen by leave-one-out.

    A figure that is missing has the mean of training.
    """

    features: Literal["summary", "last"] = "summary"
    name: str = "ridge on summary features"

    def fit(self, data: Data, effort: Effort) -> Fitted:
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        labels = labels_of(self.name, data)
        if self.features not in ("summary", "last"):
            raise OptionError(f"{self.name}: features must be one of summary, last, got {self.features!r}; choose one of them.")
        if labels.kind != "number" or len(data) < 2:
            raise DataError(f"{self.name}: labels must be numbers of at least two sequences, got {len(data)} of kind {labels.kind!r}.")

        def learn(features: Array, column: NDArray[Any]) -> Any:
            return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), RidgeCV(ALPHAS)).fit(features, column)

        predict = fit_columns(labels, self._of(data), learn)
        return Fitted(lambda other: predict(self._of(other)))

    def _of(self, data: Data) -> Array:
        found, names = _features(self.name, data)
        return found if self.features == "summary" else found[:, [name.endswith(" last") for name in names]]


def summary_features(data: Sequences) -> tuple[Array, tuple[str, ...]]:
    """Of each channel the mean, standard deviation, least, greatest, first and last known value, the slope of the least-squares line by time
    (by step where there are no times) and the share that is missing; and the sequence's length. NaN where too little is known: a channel
    without a value has none but that share, and a slope needs two values.

    Shapes: [N, 8 C + 1] and as many names, such as "x mean".
    """
    found = np.empty((len(data), len(SUMMARIES) * len(data.names) + 1))
    found[:, -1] = data.lengths
    for length in np.unique(data.lengths):
        members = np.flatnonzero(data.lengths == length)
        for chosen in np.split(members, range(TOGETHER, len(members), TOGETHER)):
            values = np.stack([data.values[row] for row in chosen]).astype(np.float64)
            times = np.arange(length, dtype=np.float64)[None] if data.times is None else np.stack([data.times[row] for row in chosen])
            found[chosen, :-1] = _summaries(values, times).reshape(len(chosen), -1)
    return found, (*(f"{channel} {what}" for what in SUMMARIES for channel in data.names), "length")


def _summaries(values: Array, times: Array) -> Array:
    """Shapes: values [n, T, C], times [n, T] or [1, T]; result [n, 8, C]."""
    known = ~np.isnan(values)
    count = known.sum(1)
    some = np.where(count > 0, count, np.nan)
    clock = np.where(known, times[:, :, None], 0)
    filled = np.where(known, values, 0)
    mean = filled.sum(1) / some
    away = np.where(known, values - mean[:, None], 0)
    late = np.where(known, clock - (clock.sum(1) / some)[:, None], 0)
    squares = np.square(late).sum(1)
    slope = (late * away).sum(1) / np.where(squares > 0, squares, np.nan)
    least, greatest = (np.where(known, values, end).min(1) if end > 0 else np.where(known, values, end).max(1) for end in (np.inf, -np.inf))
    first = np.take_along_axis(values, known.argmax(1)[:, None], 1)[:, 0]
    last = np.take_along_axis(values, values.shape[1] - 1 - known[:, ::-1].argmax(1)[:, None], 1)[:, 0]
    empty = count == 0
    ends = (np.where(empty, np.nan, least), np.where(empty, np.nan, greatest))
    return np.stack([mean, np.sqrt(np.square(away).sum(1) / some), *ends, first, last, slope, 1 - count / values.shape[1]], 1)


def _features(who: str, data: Data) -> tuple[Array, tuple[str, ...]]:
    if not isinstance(data, Sequences):
        raise DataError(f"{who}: the data must be sequences of numbers, got texts; choose a baseline of texts.")
    return summary_features(data)
