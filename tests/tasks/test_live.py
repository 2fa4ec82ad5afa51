"""Signs of life: when there are any, what they say, and how the epochs of a run are followed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import SupportsFloat

import pandas as pd
import pytest

from grus.cli import main
from grus.errors import DataError
from grus.models.settings import ForecastSettings
from grus.tasks import folder as folders
from grus.tasks import forecast_run, live
from grus.tasks.folder import RunFolder
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from grus.tasks.learning import train
from grus.tasks.live import Beat, Pulse, Row, last_beat, progress_facts, row_line, state_of, watch
from grus.training import TrainingSettings
from grus.training.progress import Quiet, json_line


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return folders.create(tmp_path / "run", ForecastConfig(data=ForecastData(horizon=24)))


def row(epoch: int, loss: float = 0.5, **more: float) -> Row:
    return {"epoch": epoch, "loss": loss, "learning_rate": 1e-3, "gradient_norm": 1.5, "clipped": 0.25, "steps": 4, "seconds": 2.0} | more


def write_log(run: RunFolder, rows: list[Row]) -> None:
    run.log.write_text("".join(map(json_line, rows)), encoding="utf-8")


def beat_at(run: RunFolder, age_s: float) -> None:
    run.pulse.write_text(json.dumps({"time": time.time() - age_s}), encoding="utf-8")


def test_state_is_told_by_the_network_and_the_last_sign_of_life(run: RunFolder) -> None:
    assert state_of(run) == "not running"
    beat_at(run, 0.0)
    assert state_of(run) == "running"
    beat_at(run, 60.0)
    assert state_of(run) == "not running"
    beat_at(run, 0.0)
    run.model.mkdir()
    (run.model / "config.json").write_text("{}", encoding="utf-8")
    assert state_of(run) == "trained"


def test_pulse_tells_how_far_the_run_has_come(run: RunFolder) -> None:
    """The third step of epoch 2 of 10 epochs of 4 steps, 14 s after the start: 2 s a step, 33 of 40 to go."""
    now_s = [100.0]
    with Pulse(run.pulse, lambda: now_s[0]) as pulse:
        assert last_beat(run) == Beat(pytest.approx(time.time(), abs=60))
        pulse.start(10, 4)
        for done in range(1, 8):
            now_s[0] = 100.0 + 2 * done
            pulse.step(1 + (done - 1) // 4, 1 + (done - 1) % 4, 32, 0.5)
        pulse.write()
        found = last_beat(run)
        assert found is not None
        assert (found.epochs, found.steps, found.epoch, found.step, found.seconds_per_step) == (10, 4, 2, 3, 2.0)
        assert found.left_s == 33 * 2.0
        assert state_of(run) == "running"
    assert last_beat(run) is None
    assert {entry.name for entry in run.path.iterdir()} == {"run.json", "config.yaml"}


def test_pulse_of_a_resumed_run_counts_its_own_steps(run: RunFolder) -> None:
    now_s = [0.0]
    with Pulse(run.pulse, lambda: now_s[0]) as pulse:
        pulse.start(10, 4)
        for epoch, step, at_s in ((9, 1, 3.0), (9, 2, 6.0), (9, 1, 20.0), (9, 2, 24.0)):  # gone back to the start of epoch 9
            now_s[0] = at_s
            pulse.step(epoch, step, 32, 0.5)
        pulse.write()
        found = last_beat(run)
    assert found is not None
    assert found.seconds_per_step == 4.0


def test_pulse_goes_on_by_itself(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_S", 0.001)
    with Pulse(run.pulse):
        beat_at(run, 60.0)
        until = time.monotonic() + 30
        while state_of(run) != "running" and time.monotonic() < until:
            pass
        assert state_of(run) == "running"


def test_sign_of_life_that_is_none_is_named(run: RunFolder) -> None:
    run.pulse.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"running\.json: must be a sign of life of a run, got other content; remove it\."):
        last_beat(run)


def followed(run: RunFolder, *events: Callable[[], object], now_s: list[float] | None = None) -> tuple[list[int], str]:
    """The epochs that come from a run to which one event happens at each look, and how it stands in the end; its clock is an hour behind."""
    beat_at(run, 3600.0)
    todo, found, now = iter(events), list[int](), now_s or [0.0]
    rows = watch(run, lambda: next(todo)(), lambda: now[0])
    while True:
        try:
            found.append(int(next(rows)["epoch"]))
        except StopIteration as end:
            return found, end.value


def test_epochs_come_as_they_are_written_until_the_run_is_gone(run: RunFolder) -> None:
    first, second, third, now_s = row(1), row(2), row(3), [100.0]
    torn = json_line(first) + json_line(second) + json_line(third)[:9]
    found = followed(
        run,
        lambda: write_log(run, [first]),
        lambda: None,
        lambda: run.log.write_text(torn, encoding="utf-8"),
        lambda: (write_log(run, [first, second, third]), now_s.append(now_s.pop() + 60)),
        now_s=now_s,
    )
    assert found == ([1, 2, 3], "not running")


def test_run_lives_as_long_as_its_sign_of_life_changes(run: RunFolder) -> None:
    """A new one 20 s after the first, by a clock an hour behind; the next look is 29 s after that, the last 31 s."""
    now_s = [0.0]
    found = followed(
        run,
        lambda: (now_s.append(now_s.pop() + 20), beat_at(run, 3580.0)),
        lambda: (now_s.append(now_s.pop() + 29), write_log(run, [row(1)])),
        lambda: now_s.append(now_s.pop() + 2),
        now_s=now_s,
    )
    assert found == ([1], "not running")


def test_epochs_that_are_made_again_come_again(run: RunFolder) -> None:
    """A run that is gone on with behind epoch 1 writes its log anew; the seconds of its epochs are others."""
    first = [row(1), row(2), row(3)]
    again = [row(1), row(2, seconds=2.5), row(3, seconds=2.5), row(4)]
    found = followed(
        run,
        lambda: write_log(run, first),
        lambda: write_log(run, again[:1]),
        lambda: write_log(run, again[:2]),
        lambda: (write_log(run, again), run.model.mkdir(), (run.model / "config.json").write_text("{}", encoding="utf-8")),
    )
    assert found == ([1, 2, 3, 2, 3, 4], "trained")


def test_rotated_log_is_followed_from_its_new_beginning(run: RunFolder) -> None:
    found = followed(
        run,
        lambda: write_log(run, [row(1), row(2)]),
        lambda: run.log.rename(run.path / "log.old"),
        lambda: (write_log(run, [row(3)]), run.pulse.unlink()),
    )
    assert found == ([1, 2, 3], "not running")


def test_epoch_is_a_line() -> None:
    line = row_line(row(3, validation_loss=0.625), 10, best=True)
    assert line == "epoch 3/10  loss 0.5  validation 0.625 (best)  gradient 1.5  clipped 25 %  rate 0.001  2 s"
    assert row_line(row(3), 10, best=False) == "epoch 3/10  loss 0.5  gradient 1.5  clipped 25 %  rate 0.001  2 s"


def test_facts_name_the_last_and_the_best_epoch_and_the_time_left() -> None:
    rows = [row(1, validation_loss=0.5), row(2, 0.25, validation_loss=0.75, seconds=4.0)]
    assert progress_facts(rows, None) == {
        "last epoch": "2: loss 0.25, validation 0.75",
        "best epoch": "1: loss 0.5, validation 0.5",
        "time per epoch": "3 s without validation",
    }
    told = progress_facts([row(1)], Beat(0.0, 10, 4, 2, 3, 7.5))
    assert told["best epoch"] == "1, the last, without validation"
    assert (told["time per epoch"], told["time left"]) == ("30 s with validation", "at most 4:08")
    assert progress_facts([], None) == {}


def test_run_lives_from_the_first_pass_over_its_table_until_its_network_is_there(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dict[str, list[str]]()

    def look(name: str) -> None:
        seen.setdefault(name, []).append(state_of(RunFolder(Path("run"))))

    class Looking(Quiet):
        def start(self, epochs: int, steps: int) -> None:
            look("start")

        def epoch(self, row: Row) -> None:
            look("epoch")

    facts = forecast_run.facts_of
    monkeypatch.setattr(forecast_run, "facts_of", lambda *given: (look("facts"), facts(*given))[1])
    monkeypatch.setattr(forecast_run, "training_reporter", lambda name, title: Looking())
    pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60, freq="h"), "y": range(60)}).to_csv("line.csv", index=False)
    words = "--horizon 3 --epochs 2 --set model.hidden_size=2 --set data.lookback=6 --set logging.csv=true --set logging.tensorboard=true --quiet"
    assert main(["fit", "line.csv", *words.split(), "--out", "run"]) == 0
    assert seen == {"start": ["running"], "epoch": ["running"] * 2, "facts": ["running"]}
    run = RunFolder(Path("run"))
    assert (state_of(run), last_beat(run)) == ("trained", None)
    assert len(run.table.read_text(encoding="utf-8").splitlines()) == 3
    assert len(list(run.tensorboard.iterdir())) == 1


def test_search_for_a_rate_is_of_the_run_it_precedes(elsewhere: Path) -> None:
    """The first loss of the search is that of the network and one of the batches that a training with the same seed begins with."""
    values = pd.Series(range(60)) % 7
    pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60, freq="h"), "y": values}).to_csv("week.csv", index=False)
    data = ForecastData(path=Path("week.csv"), horizon=3, lookback=6)
    config = ForecastConfig.model_validate({"data": data, "model": ForecastSettings(hidden_size=2), "training": TrainingSettings(epochs=1)})
    losses = list[float]()

    class Losses(Quiet):
        def step(self, epoch: int, step: int, samples: int, loss: SupportsFloat) -> None:
            losses.append(float(loss))

    parts = forecast_run.prepare_run(config)
    train(parts, forecast_run.window_settings(config, parts.step), config.model, config.training, reporter=Losses())
    assert forecast_run.search_run(config, parts).losses[0] == losses[0]
