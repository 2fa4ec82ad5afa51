"""The baselines by name; each is imported when it is asked for, as some build on libraries that take seconds to load."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from grus.errors import OptionError
from grus.evaluation.baselines import Baseline, standard

BASELINES: dict[str, str] = {
    "last value": "grus.evaluation.baselines:LastValue",
    "mean": "grus.evaluation.baselines:Mean",
    "drift": "grus.evaluation.baselines:Drift",
    "seasonal naive": "grus.evaluation.baselines:SeasonalNaive",
    "seasonal drift": "grus.evaluation.baselines:SeasonalDrift",
    "naive 2": "grus.evaluation.naive2:Naive2",
    "ETS": "grus.evaluation.fitted:Ets",
    "ARIMA": "grus.evaluation.fitted:AutoArima",
}


def check_baselines(names: Sequence[str]) -> None:
    """Raises: OptionError for a name that is none."""
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise OptionError(f"backtest: baselines must be among {', '.join(BASELINES)}, got {unknown[0]!r}; choose one of them.")


def choose_baselines(names: Sequence[str] | None, season: int) -> tuple[Baseline, ...]:
    """The baselines of these names; None: those that cost nothing.

    Raises: OptionError for a name that is none.
    """
    if names is None:
        return standard(season)
    check_baselines(names)
    return tuple(_make(BASELINES[name]) for name in names)


def _make(place: str) -> Baseline:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)()
