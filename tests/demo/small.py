"""A study so small that it takes a second."""

from __future__ import annotations

from grus.data.panel import Panel
from grus.demo import Settings, Study
from grus.demo.study import run_study
from grus.evaluation import Drift, LastValue
from grus.training import quiet

SMALL = Settings(lookback=52, hidden_size=4, epochs=1, stride=52, baselines=(LastValue(), Drift()))


def small_study(panel: Panel, seed: int = 0, said: list[str] | None = None) -> Study:
    said = [] if said is None else said
    return run_study(panel, SMALL, seed, quiet, said.append, lambda done, total, fitting: None if fitting else said.append(f"{done} of {total}"))
