"""The weekly series the demonstration runs on, and what the network sees of it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grus.errors import DataError, MissingDependencyError

Array = NDArray[np.float64]

WEEKS_PER_YEAR = 52


@dataclass(frozen=True)
class Series:
    """A weekly series: `dates` [T] (datetime64[D]) and `values` [T] in ppm, NaN where a week was not measured."""

    dates: NDArray[np.datetime64]
    values: Array

    def __len__(self) -> int:
        return len(self.values)

    def before(self, week: int) -> Series:
        """The first `week` weeks: all that is known at a forecast origin."""
        return Series(self.dates[:week], self.values[:week])

    @property
    def years(self) -> Array:
        """The dates as decimal years, so that 1958.5 is the middle of 1958."""
        return decimal_years(self.dates)


def read_co2() -> Series:
    """Weekly CO₂ in air at Mauna Loa, 1958–2001, with its gaps.

    Units: ppm.
    Raises: MissingDependencyError without statsmodels; DataError if the weeks are not seven days apart.
    Source: Keeling and Whorf (2004), carried by statsmodels as `statsmodels.datasets.co2`.
    """
    try:
        from statsmodels.datasets import co2
    except ImportError as error:
        raise MissingDependencyError("grus demo: statsmodels must be installed, because it carries the series; pip install statsmodels.") from error
    frame = co2.load_pandas().data
    dates = np.asarray(frame.index.values, "datetime64[D]")
    if (np.diff(dates) != np.timedelta64(7, "D")).any():
        raise DataError("grus demo: the weeks of statsmodels.datasets.co2 must be 7 days apart, got another spacing; use statsmodels 0.14 or newer.")
    return Series(dates, frame["co2"].to_numpy(np.float64, copy=True))


def decimal_years(dates: NDArray[np.datetime64]) -> Array:
    """Calendar dates as decimal years."""
    start = dates.astype("datetime64[Y]")
    first, following = start.astype("datetime64[D]"), (start + 1).astype("datetime64[D]")
    return start.astype(np.int64) + 1970.0 + (dates - first).astype(np.float64) / (following - first).astype(np.float64)


def fill_forward(values: Array) -> Array:
    """Each NaN replaced by the last value before it.

    Raises: DataError if the first value is missing, since nothing comes before it.
    """
    if np.isnan(values[0]):
        raise DataError("fill_forward: the first value must be a number, got NaN; start the series at its first measured week.")
    known = np.where(np.isnan(values), 0, np.arange(len(values)))
    return values[np.maximum.accumulate(known)]


def inputs(series: Series) -> Array:
    """What the network reads each week [T, 6]; row t depends on weeks 0…t alone.

    With f the forward-filled value and m = 1 where it was measured:
    f_t − f_{t−1};  m_t m_{t−52} (f_t − f_{t−52});  m_t;  m_t m_{t−52};  sin and cos of the season.
    """
    filled, measured = fill_forward(series.values), (~np.isnan(series.values)).astype(np.float64)
    season = 2 * np.pi * series.years
    rows = np.zeros((len(series), 6))
    rows[1:, 0] = np.diff(filled)
    rows[:, 2] = measured
    rows[WEEKS_PER_YEAR:, 3] = measured[WEEKS_PER_YEAR:] * measured[:-WEEKS_PER_YEAR]
    rows[WEEKS_PER_YEAR:, 1] = rows[WEEKS_PER_YEAR:, 3] * (filled[WEEKS_PER_YEAR:] - filled[:-WEEKS_PER_YEAR])
    rows[:, 4], rows[:, 5] = np.sin(season), np.cos(season)
    return rows


def targets(series: Series, horizon: int) -> Array:
    """The change from week t to each of the next weeks [T, horizon], y_{t+h} − f_t; NaN where it is not known."""
    weeks = len(series)
    padded = np.concatenate([series.values, np.full(horizon, np.nan)])
    ahead = np.arange(weeks)[:, None] + np.arange(1, horizon + 1)
    return padded[ahead] - fill_forward(series.values)[:, None]
