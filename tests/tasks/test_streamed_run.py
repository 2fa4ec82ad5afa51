"""A run on a table that is read in parts gives what it would give on the table read whole."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from grus.cli import main
from grus.data import Columns, Panel, PanelStream, SplitStream, read_panel, split
from grus.data.streaming import OnePart
from grus.errors import DataError, OptionError
from grus.evaluation.backtest import Backtest
from grus.models.settings import ForecastSettings
from grus.models.tensors import TensorBatch
from grus.tasks import learning, run_data
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.judging import BacktestPlan, judge_parts
from grus.tasks.learning import train
from grus.training import History, Quiet, TrainingSettings

LENGTHS = (60, 40, 30, 22, 50)  # of the tenth that is tested, "d" has no room for three steps
COLUMNS = Columns(id="shop", past=("visitors",), static=("city",))
WINDOWS = WindowSettings(8, 3, transform="log")
NETWORK, TRAINING = ForecastSettings(hidden_size=4), TrainingSettings(epochs=2, batch_size=8)
SMALL = ("--set=model.hidden_size=4", "--set=data.lookback=8", "--set=data.season=48", "--set=training.batch_size=8", "--epochs=2", "--quiet")
FIT = ("fit", "sales", "--id=shop", "--horizon=3", "--past=visitors", "--static=city", *SMALL)
IN_PARTS = "--set=data.ids_per_part=2"
cut = partial(split, validation=8, test=3)


def sales() -> pd.DataFrame:
    """Five shops, "e" first, each a wave of its own size with gaps."""
    rng = np.random.default_rng(0)
    shops = [
        pd.DataFrame(
            {
                "shop": name,
                "ds": pd.date_range("2024-01-01", periods=length, freq="h"),
                "y": size * (10 + np.sin(np.arange(length) * np.pi / 6) + rng.normal(0, 0.1, length)),
                "visitors": rng.normal(5, 2, length),
                "city": "north" if name in "ab" else "south",
            }
        )
        for name, length, size in zip("ebcda", LENGTHS, (1, 10, 100, 1, 1), strict=True)
    ]
    found = pd.concat(shops, ignore_index=True)
    found.loc[found.index % 17 == 5, "y"] = np.nan
    return found


@pytest.fixture
def folder(elsewhere: Path) -> Path:
    """The table as three files, cut within series."""
    place = elsewhere / "sales"
    place.mkdir()
    whole = pa.Table.from_pandas(sales(), preserve_index=False)
    for number in range(3):
        parquet.write_table(whole.slice(number * 70, 70), place / f"{number}.parquet")
    return place


def stream(folder: Path, ids_per_part: int = 2, columns: Columns = COLUMNS) -> SplitStream:
    return SplitStream(PanelStream(folder, columns, ids_per_part=ids_per_part), cut)


def same_weights(one: ForecastModel, other: ForecastModel) -> bool:
    theirs = other.network.state_dict()
    return all(torch.equal(weight, theirs[name]) for name, weight in one.network.state_dict().items())


# --- learning ------------------------------------------------------------------------------------------------------------------------
def test_one_part_is_the_whole_to_the_bit(folder: Path) -> None:
    ours, history = train(stream(folder, 5), WINDOWS, NETWORK, TRAINING)
    theirs, expected = train(cut(read_panel(folder, COLUMNS)), WINDOWS, NETWORK, TRAINING)
    assert same_weights(ours, theirs)
    assert [row["validation_loss"] for row in history.epochs] == [row["validation_loss"] for row in expected.epochs]
    assert (ours.scaling.to_dict(), ours.like.findings, ours.windows) == (theirs.scaling.to_dict(), theirs.like.findings, theirs.windows)
    np.testing.assert_array_equal(ours.intervals[0.1, 0.9].factor, theirs.intervals[0.1, 0.9].factor)


def test_the_same_windows_in_the_same_order_give_the_same_bits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the parts is noted, and forced on the windows of the table read whole. Covariates' units differ in their last bits."""
    columns, noted = Columns(id="shop"), dict[tuple[str, int], list[Any]]()

    class Noting(learning.WindowSource):
        def epoch(self, number: int, seed: int) -> Iterator[TensorBatch]:
            batches = list(super().epoch(number, seed))
            noted[self.windows.kind, number] = [list(zip(batch.series.tolist(), batch.origin.tolist(), strict=True)) for batch in batches]
            return iter(batches)

    class Forced(learning.WindowSource):
        def __len__(self) -> int:
            return len(noted[self.windows.kind, int(self.windows.kind == "train")])

        def epoch(self, number: int, seed: int) -> Iterator[TensorBatch]:
            windows = self.windows.windows(0)
            places = {key: at for at, key in enumerate(zip(windows.series.tolist(), windows.origins.tolist(), strict=True))}
            return (TensorBatch.of(windows.batch([places[key] for key in keys])) for keys in noted[self.windows.kind, number])

    monkeypatch.setattr(learning, "WindowSource", Noting)
    ours, history = train(stream(folder, 2, columns), WINDOWS, NETWORK, TRAINING)
    assert noted["train", 1] != noted["train", 2]
    monkeypatch.setattr(learning, "WindowSource", Forced)
    theirs, expected = train(cut(read_panel(folder, columns)), WINDOWS, NETWORK, TRAINING)
    assert same_weights(ours, theirs)
    assert [row["loss"] for row in history.epochs] == [row["loss"] for row in expected.epochs]
    np.testing.assert_allclose(ours.intervals[0.1, 0.9].factor, theirs.intervals[0.1, 0.9].factor, rtol=1e-5)


class UntilEpoch2(Quiet):
    """Interrupts within the second epoch."""

    def step(self, epoch: int, *_: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_interrupted_training_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    def learn(place: str, **more: Any) -> tuple[ForecastModel, History]:
        return train(stream(folder), WINDOWS, NETWORK, TRAINING, folder=tmp_path / place, **more)

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    whole, _ = learn("one")
    assert learn("two", reporter=UntilEpoch2())[1].interrupted
    assert same_weights(learn("two", resume=True)[0], whole)
    changed = sales()
    changed.loc[changed.index[-20], "y"] += 1e-9  # what the last shop, in the last part, learns from
    changed.to_parquet(folder / "2.parquet")
    for number in range(2):
        (folder / f"{number}.parquet").unlink()
    with pytest.raises(DataError, match="fit: train must be that of the run to resume"):
        learn("two", resume=True)


def test_part_without_a_series_that_is_long_enough_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = "--set=data.validation=20", "--set=data.test=15", "--set=data.ids_per_part=1"  # 4 more are needed to learn from: b has 40, c 30
    assert main([*FIT, *short, "--out=run"]) == 1
    assert "series 'c' must have 39 steps, got 30" in capsys.readouterr().err
    assert not Path("run").exists()
    assert main([*FIT, *short, "--set=data.short=drop", "--out=run"]) == 0
    card = Path("run/model/README.md").read_text()
    assert "part 3 of 5: dropped: all 1 series, which are too short" in card
    assert "3, 150 steps, " in card
    assert "read in 5 parts" in card
    assert sorted(json.loads(Path("run/run.json").read_text())["learnt_until"]) == ["a", "b", "e"]


# --- a run ---------------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in parts, at work on which no table is read whole and no part has more than two series."""

    def refuse(*_: Any, **__: Any) -> Panel:
        raise AssertionError("the table was read whole")

    part = PanelStream.part

    def counted(self: PanelStream, number: int) -> Panel:
        found = part(self, number)
        assert 1 <= len(found) <= 2
        return found

    monkeypatch.setattr(PanelStream, "part", counted)
    with monkeypatch.context() as patch:
        patch.setattr(run_data, "read_panel", refuse)
        assert main([*FIT, IN_PARTS, "--out=run"]) == 0
        assert main(["evaluate", "run", "--quiet"]) == 0
    return Path("run")


def as_whole(run: Path) -> Path:
    """The same network, on the table read whole."""
    place = run.with_name("whole")
    shutil.copytree(run, place)
    config = (place / "config.yaml").read_text()
    assert "ids_per_part: 2" in config
    (place / "config.yaml").write_text(config.replace("ids_per_part: 2", "ids_per_part: null"))
    return place


def test_loss_falls_and_units_are_those_of_the_whole(run: Path) -> None:
    losses = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert losses[1] < losses[0]
    assert main([*FIT, "--out=other"]) == 0
    ours, theirs = (json.loads((place / "model" / "scalers.json").read_text())["scaling"] for place in (run, Path("other")))
    assert ours["target"] == theirs["target"]
    assert ours["lacking"] == theirs["lacking"]
    for role in ("past", "static"):
        assert ours[role]["names"] == theirs[role]["names"]
        np.testing.assert_allclose(ours[role]["shift"] + ours[role]["scale"], theirs[role]["shift"] + theirs[role]["scale"], rtol=1e-12)
    assert json.loads((run / "run.json").read_text()) == json.loads(Path("other/run.json").read_text())


def test_evaluation_in_parts_is_that_of_the_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = as_whole(run)
    capsys.readouterr()
    assert main(["evaluate", str(place), "--quiet"]) == 0
    assert "not tested: 1 of 5 series, in whose test part no window has room, or none with known values: 'd'" in capsys.readouterr().err
    assert "not tested: 1 of 5 series" in (run / "model" / "README.md").read_text()
    ours, theirs = (Backtest.from_json((each / "backtest.json").read_text()) for each in (run, place))
    assert (ours.series, ours.season, ours.failures, list(ours.forecasts)) == (theirs.series, 48, theirs.failures, list(theirs.forecasts))
    assert {name: len(found) for name, found in ours.failures.items()} == {"seasonal naive": 3, "seasonal drift": 5}
    for name in ("origins", "times", "truth", "scale"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in theirs.forecasts:
        np.testing.assert_allclose(ours.forecasts[name], theirs.forecasts[name], rtol=1e-6)
    for level in theirs.quantiles:
        np.testing.assert_allclose(ours.quantiles[level], theirs.quantiles[level], rtol=1e-6)
    assert not (run / "checkpoints" / "backtest").exists()


@pytest.fixture
def moved(elsewhere: Path) -> Path:
    """Three hours earlier as Parquet and CSV; the last shop is one that the network has not learnt from."""
    found = sales()
    found["ds"] -= pd.Timedelta("3h")
    found = found.replace("a", "z")
    found.to_csv("moved.csv", index=False)
    found.to_parquet("moved.parquet")
    return elsewhere / "moved.parquet"


@pytest.mark.usefixtures("moved")
def test_prediction_in_parts_is_that_of_the_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = as_whole(run)
    found: list[pd.DataFrame] = []
    for command in ([str(run)], [str(place)], *([str(each), "--data", f"moved.{kind}"] for each in (run, place) for kind in ("parquet", "csv"))):
        capsys.readouterr()
        assert main(["predict", *command]) == 0
        found.append(pd.read_csv(io.StringIO(capsys.readouterr().out)))
    assert found[0].shape == (15, 6)
    for ours, theirs in ((0, 1), (2, 4), (3, 4), (5, 4)):
        pd.testing.assert_frame_equal(found[ours], found[theirs], rtol=1e-6)
    assert found[2]["shop"].unique().tolist() == list("ebcdz")


def test_another_table_is_judged_in_parts(run: Path, moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, found, told = (run / "backtest.json").read_bytes(), list[Backtest](), list[str]()
    for place in (run, as_whole(run)):
        capsys.readouterr()
        assert main(["evaluate", str(place), "--data", str(moved), "--out", "moved.json", "--quiet"]) == 0
        told.append(capsys.readouterr().err)
        found.append(Backtest.from_json(Path("moved.json").read_text()))
    assert "part 1 of 3: of 'e', 'b' the network has learnt a part of what was to be tested, which is left out" in told[0]
    assert "part 2 of 3: of 'c', 'd' the network has learnt a part" in told[0]  # all that there is
    assert "of 'e', 'b', 'c', 'd' the network has learnt a part" in told[1]
    for text in told:
        assert "'z', which the network has not learnt from, are tested at times until which it has learnt from others" in text
        assert "not tested: 3 of 5 series, in whose test part no window has room, or none with known values: 'b', 'c', 'd'" in text
    assert set(found[0].series) == {"e", "z"}
    assert (found[0].series, found[0].failures) == (found[1].series, found[1].failures)
    np.testing.assert_allclose(found[0].forecasts["gru"], found[1].forecasts["gru"], rtol=1e-6)
    assert (run / "backtest.json").read_bytes() == record


def test_networks_trained_anew_read_parts_too(run: Path) -> None:
    assert main(["evaluate", str(run), "--seeds=0,1", "--out=seeds.json", "--quiet"]) == 0
    assert list(Backtest.from_json(Path("seeds.json").read_text()).seeds) == [0, 1]


def test_refits_are_refused(run: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--set=backtest.refit=2"]) == 2
    assert "backtest.refit must be never where data.ids_per_part is given, got 2" in capsys.readouterr().err
    model, _ = train(stream(folder), WINDOWS, NETWORK, TRAINING)
    with pytest.raises(OptionError, match="refit must be 'never' for a table that is read in parts, got 1; leave it out, or read it whole"):
        judge_parts(model, stream(folder), BacktestPlan(refit=1))
    with pytest.raises(DataError, match="got none in 5 series; ask for a larger test part or a shorter horizon"):
        judge_parts(model, stream(folder).changed(lambda part: replace(part, test=part.test and ((0, 0),) * len(part.test))), BacktestPlan())


def test_interrupted_judgement_keeps_the_parts_that_were_judged(folder: Path, tmp_path: Path) -> None:
    model, _ = train(stream(folder), WINDOWS, NETWORK, TRAINING)

    def stop(done: int, total: int, fitting: str) -> None:
        assert total == 5
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_parts(model, stream(folder), BacktestPlan(), folder=tmp_path / "kept", on_progress=stop)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["part-0", "part-1"]
    found = judge_parts(model, stream(folder), BacktestPlan(), folder=tmp_path / "kept", resume=True)
    again = judge_parts(model, stream(folder), BacktestPlan())
    whole = judge_parts(model, OnePart(cut(read_panel(folder, COLUMNS))), BacktestPlan())
    for other in (again, whole):
        assert (found.series, found.failures) == (other.series, other.failures)
        np.testing.assert_allclose(found.forecasts["gru"], other.forecasts["gru"], rtol=1e-6)
