"""One trial: what it is judged by, and what it never sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from grus.data.splitting import split
from grus.data.streaming import OnePart
from grus.errors import OptionError
from grus.models.settings import ForecastSettings
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from grus.tasks.forecast_run import window_settings
from grus.tasks.learning import train
from grus.tasks.run_data import parts_of_run
from grus.tasks.tuning.forecast_trial import run_trial, without_test
from grus.tasks.tuning.loop import _Worker  # pyright: ignore[reportPrivateUsage]
from grus.tasks.tuning.outcome import Pruned, Row
from grus.training import TrainingSettings
from tests.tasks.searches import plan_of, write_table
from tests.tasks.waves import HORIZON, LOOKBACK, changed, panel_of, wave

PANEL = panel_of([wave(60), wave(50, 1, 5.0)])
LAST, TESTED = HORIZON, 7


def config_of(head: str = "quantile", **training: Any) -> ForecastConfig:
    data = ForecastData(horizon=HORIZON, lookback=LOOKBACK)
    model = ForecastSettings(hidden_size=4, head=head)  # type: ignore[arg-type]
    return ForecastConfig(data=data, model=model, training=TrainingSettings(**{"epochs": 2, "threads": 1, **training}))


def parts_of(panel: Any) -> OnePart:
    return OnePart(split(panel, LAST, TESTED))


def every_epoch(row: Row) -> bool:
    return True


def test_loss_is_that_of_the_best_epoch_of_the_same_training() -> None:
    config, rows = config_of(epochs=3), list[Row]()
    found = run_trial(config, parts_of(PANEL), "validation_loss", lambda row: rows.append(row) or True)
    _, history = train(parts_of(PANEL), window_settings(config, PANEL.step), config.model, config.training)
    assert [row["validation_loss"] for row in rows] == [row["validation_loss"] for row in history.epochs]
    assert (found.value, found.best_epoch, found.epochs) == (min(row["validation_loss"] for row in rows), history.best_epoch, 3)


def test_test_part_is_never_seen() -> None:
    other = changed(PANEL, [len(series) - TESTED for series in PANEL])
    assert not np.array_equal(other.series[0].target, PANEL.series[0].target)
    for metric in ("validation_loss", "mae"):
        first, second = (run_trial(config_of(), parts_of(panel), metric, every_epoch) for panel in (PANEL, other))
        assert first == second
    cut = without_test(parts_of(PANEL).split)
    assert [len(series) for series in cut.panel] == [60 - TESTED, 50 - TESTED]
    assert all(low == high == len(series) for (low, high), series in zip(cut.test, cut.panel, strict=True))


def test_metric_is_over_forecasts_of_the_validation_part() -> None:
    config = config_of()
    parts = parts_of(PANEL)
    found = run_trial(config, parts, "mae", every_epoch)
    model, _ = train(parts, window_settings(config, PANEL.step), config.model, config.training)
    known = without_test(parts.split).panel
    shorter = type(known)(
        tuple(type(each)(each.id, *(values[:-LAST] for values in (each.times, each.target, each.past, each.future)), each.static) for each in known),
        known.columns,
        known.step,
    )
    errors = model.predict(shorter).point - np.stack([each.target[-LAST:] for each in known])
    assert found.value == pytest.approx(np.abs(errors).mean(), rel=1e-6)


def test_metric_that_the_network_lacks_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--metric must be one of .*, mase for model.head=point, got crps; leave it out"):
        run_trial(config_of("point"), parts_of(PANEL), "crps", lambda row: pytest.fail("is trained"))


def test_trial_ends_when_it_is_told_so() -> None:
    rows: list[Row] = []
    with pytest.raises(Pruned):
        run_trial(config_of(epochs=9), parts_of(PANEL), "validation_loss", lambda row: rows.append(row) or len(rows) < 2)
    assert len(rows) == 2


@pytest.fixture
def worker() -> Iterator[_Worker]:
    made = _Worker(1)
    yield made
    made.end()


@pytest.mark.usefixtures("elsewhere")
def test_process_makes_one_trial_after_the_other_and_ends_with_its_leader(worker: _Worker) -> None:
    write_table(steps=80)
    config = plan_of(threads=1, epochs=2).config({})
    orders = [{"config": config.model_dump(mode="json"), "metric": "validation_loss"} for _ in range(3)]
    orders[0]["config"]["data"] |= {"path": "gone.csv"}

    def answers(order: dict[str, Any], *replies: bool) -> list[Any]:
        worker.send(order)
        found = [worker.read()]
        for go_on in replies:
            worker.send({"go_on": go_on})
            found += [worker.read()] if go_on else []
        return found

    (wrong,) = answers(orders[0])
    assert "gone.csv" in wrong["failed"]
    assert not wrong["diverged"]
    (first,) = answers(orders[1], False)
    again, second, found = answers(orders[2], True, True)
    assert first["row"]["validation_loss"] == again["row"]["validation_loss"]
    assert found == {"found": vars(run_trial(config, parts_of_run(config), "validation_loss", every_epoch))}
    assert found["found"]["value"] == min(row["row"]["validation_loss"] for row in (again, second))
    assert worker.end() == "exit code 1"
