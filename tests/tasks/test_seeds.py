"""Backtests of one network trained with several seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grus.errors import DataError, OptionError
from grus.evaluation import Backtest
from grus.tasks.seeds import check_seeds, over_seeds
from tests.tasks.waves import panel_of, small, wave


def judged(error: float, truth: float = 1.0) -> Backtest:
    """One forecast of one step that is off by `error`, beside a baseline's."""
    point, times = np.array([[truth + error]]), np.array([[5]])
    arrays: dict[str, Any] = {"forecasts": {"gru": point, "naive": np.zeros((1, 1))}, "quantiles": {}, "scale": np.ones(1)}
    return Backtest(1, 1, ("a",), np.array([5]), times, np.full((1, 1), truth), **arrays)


def test_scores_of_every_seed_stand_in_the_order_of_the_seeds() -> None:
    found = over_seeds(judged(0.5), 3, (7, 0), lambda seed, place: judged(float(seed)))
    assert list(found.seeds) == [0, 3, 7]
    assert [row["mae"] for row in found.seeds.values()] == [0.0, 0.5, 7.0]
    np.testing.assert_array_equal(found.forecasts["gru"], judged(0.5).forecasts["gru"])
    assert over_seeds(judged(0.5), 3, (), lambda seed, place: judged(9.0)).seeds == {}


def test_finished_seeds_are_not_run_again(tmp_path: Path) -> None:
    asked: list[tuple[int, Path | None]] = []

    def again(seed: int, place: Path | None) -> Backtest:
        asked.append((seed, place))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return judged(float(seed))

    with pytest.raises(KeyboardInterrupt):
        over_seeds(judged(0.5), 0, (1, 2), again, tmp_path)
    found = over_seeds(judged(0.5), 0, (1, 2), again, tmp_path, resume=True)
    assert asked == [(1, tmp_path / "seed-1"), (2, tmp_path / "seed-2"), (2, tmp_path / "seed-2")]
    assert {seed: row["mae"] for seed, row in found.seeds.items()} == {0: 0.5, 1: 1.0, 2: 2.0}
    over_seeds(judged(0.5), 0, (1,), again, tmp_path)
    assert asked[3:] == [(1, tmp_path / "seed-1")]


def test_seeds_are_tested_on_the_same_windows() -> None:
    with pytest.raises(DataError, match="backtest: seed 1 must be tested on the windows of the others"):
        over_seeds(judged(0.5), 0, (1,), lambda seed, place: judged(0.5, truth=2.0))


def test_own_seed_counts_once() -> None:
    assert check_seeds((0, 1, 2), 1) == (0, 2)
    assert check_seeds([np.int64(4)], 1) == (4,)


@pytest.mark.parametrize(
    ("seeds", "message"), [((0, -1), "got -1"), ((1.5,), r"got 1\.5"), ((True,), "got True"), ((1, 1), "different from each other")]
)
def test_what_is_no_seed_is_refused(seeds: tuple[Any, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_seeds(seeds, 0)


def test_forecaster_is_judged_with_each_seed() -> None:
    panel = panel_of([wave(60)])
    found = small(random_state=1).backtest(panel, 9, seeds=(0, 1, 2))
    assert list(found.seeds) == [0, 1, 2]
    assert found.seeds[1] == found.scores()["gru"]
    alone = small(random_state=2).backtest(panel, 9)
    assert found.seeds[2] == alone.scores()["gru"]
    assert replace(alone, seeds={}).seeds == alone.seeds == {}
    assert found.over_seeds()["mae"].count == 3
    assert list(found.forecasts) == list(alone.forecasts)
