"""The target as a network is to see it: logarithms, what changed over one season, and the way back to the target itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grus.data.panel import Panel, Series
from grus.errors import DataError, OptionError

TRANSFORMS = ("none", "log", "seasonal_difference", "log_seasonal_difference")

Values = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Transform:
    """z of a target y, with seasons of m steps.

    none:                     z_t = y_t
    log:                      z_t = ln y_t
    seasonal_difference:      z_t = y_t − y_{t−m}
    log_seasonal_difference:  z_t = ln y_t − ln y_{t−m}, the growth over one season

    z is missing where y_t or y_{t−m} is, and in the first season.

    Raises: OptionError for another name, or a difference where the calendar has no season.
    """

    name: str
    season: int

    def __post_init__(self) -> None:
        if self.name not in TRANSFORMS:
            raise OptionError(f"transform: must be one of {', '.join(TRANSFORMS)}, got {self.name!r}; choose one of them.")
        if self.differs and self.season < 2:
            raise OptionError(f"transform: must be none or log on a calendar without a season, got {self.name!r}; choose one of these.")

    @property
    def differs(self) -> bool:
        return self.name.endswith("seasonal_difference")

    def apply(self, panel: Panel) -> Panel:
        """The panel with every target transformed.

        Raises: DataError where a logarithm is asked of a value that is not above 0.
        """
        return panel if self.name == "none" else replace(panel, series=tuple(replace(series, target=self._forward(series)) for series in panel))

    def invert(self, panel: Panel, series: Places, origins: Places, forecasts: Values) -> Values:
        """Forecasts of the target from forecasts of z for the steps from each origin on, by what precedes it.

        Beyond one season a step stands on the forecast of the season before, quantiles on the middle one. A value that is missing one season
        before is taken from the line between its known neighbours, after the last one as that one.

        Shapes: series, origins [N]; forecasts and the result [N, H, Q], quantiles and the point, which is the last of Q.
        Raises: DataError where a difference has no known value to stand on.
        """
        found = forecasts.copy()
        if self.differs:
            base = np.stack([self._before(panel.series[at], origin, min(found.shape[1], self.season)) for at, origin in _pairs(series, origins)])
            for start in range(0, found.shape[1], self.season):
                part = found[:, start : start + self.season]
                part += base[:, : part.shape[1], None]
                base = part[..., -1]
        return self.unlevel(found)

    def level(self, values: Values) -> Values:
        """The target on the scale that is forecast or differenced: its logarithm, or itself."""
        return np.log(values) if self.name.startswith("log") else values

    def unlevel(self, values: Values) -> Values:
        """The inverse of ``level``."""
        return np.exp(values) if self.name.startswith("log") else values

    def _forward(self, series: Series) -> Values:
        values = self._levels(series)
        return (
            np.concatenate([np.full(min(self.season, len(values)), np.nan), values[self.season :] - values[: -self.season]])
            if self.differs
            else values
        )

    def _before(self, series: Series, origin: int, count: int) -> Values:
        """The values from one season before the origin on."""
        start = origin - self.season
        history = self._levels(series, origin)
        known = np.flatnonzero(~np.isnan(history))
        if not known.size:
            raise DataError(
                f"transform: series {series.id!r} must have a measured value before step {origin} for {self.name!r}, got none; forecast later."
            )
        return np.interp(np.arange(start, start + count), known, history[known])

    def _levels(self, series: Series, until: int | None = None) -> Values:
        values = series.target[:until]
        wrong = np.flatnonzero(values <= 0)
        if wrong.size and self.name.startswith("log"):
            at = int(wrong[0])
            raise DataError(
                f"transform: every target must be above 0 for {self.name!r}, got {values[at]:g} in series {series.id!r} at {series.times[at]}; "
                f"take {'seasonal_difference' if self.differs else 'none'}."
            )
        return self.level(values)


def _pairs(series: Places, origins: Places) -> zip[tuple[int, int]]:
    return zip(series.tolist(), origins.tolist(), strict=True)
