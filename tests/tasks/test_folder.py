"""Run folders: nothing is overwritten unasked, and a folder that is no run is described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grus.errors import DataError, OptionError
from grus.tasks import folder
from grus.tasks.forecast_config import ForecastConfig, ForecastData

CONFIG = ForecastConfig(data=ForecastData(horizon=24))


def contents(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


def test_new_run_holds_its_configuration(place: Path) -> None:
    run = folder.create(place, CONFIG)
    assert contents(place) == {"run.json", "config.yaml"}
    assert folder.open(place) == run
    assert folder.open(place).config == CONFIG
    assert json.loads(run.marker.read_text()) == {"kind": "grus forecast run", "version": 1}


def test_paths_are_the_documented_names(place: Path) -> None:
    run = folder.RunFolder(place)
    paths = [run.marker, run.config_file, run.pulse, run.log, run.table, run.tensorboard, run.checkpoints]
    paths += [run.model, run.metrics, run.backtest, run.evaluation, run.report]
    assert [path.name for path in paths] == list(folder.ENTRIES)
    listed = [line.split()[0].rstrip("/") for line in (folder.__doc__ or "").strip().splitlines()[2:]]
    assert listed == list(folder.ENTRIES)


def test_run_is_not_overwritten_unasked(place: Path) -> None:
    run = folder.create(place, CONFIG)
    run.log.write_text("{}\n", encoding="utf-8")
    with pytest.raises(OptionError, match="got one that holds a run; give --overwrite to replace it, or another --out"):
        folder.create(place, CONFIG)
    assert run.log.read_text(encoding="utf-8") == "{}\n"


def test_overwrite_removes_the_run_and_nothing_else(place: Path, tmp_path: Path) -> None:
    run = folder.create(place, CONFIG)
    for name in folder.ENTRIES[2:]:
        (place / name).mkdir() if "." not in name else (place / name).write_text("old", encoding="utf-8")
    (run.model / "weights").write_text("old", encoding="utf-8")
    (place / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine", encoding="utf-8")
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to(tmp_path / "precious")
    folder.create(place, ForecastConfig(data=ForecastData(horizon=3)), overwrite=True)
    assert contents(place) == {"run.json", "config.yaml", "notes.txt", ".previous"}
    assert contents(run.previous) == set(folder.ENTRIES)
    assert run.config.data.horizon == 3
    run.drop_previous()
    assert contents(place) == {"run.json", "config.yaml", "notes.txt"}
    assert (tmp_path / "precious" / "file").exists()


def trained(place: Path, horizon: int) -> folder.RunFolder:
    """A run with what stands for a network."""
    run = folder.create(place, ForecastConfig(data=ForecastData(horizon=horizon)), overwrite=True)
    run.model.mkdir()
    (run.model / "config.json").write_text(str(horizon), encoding="utf-8")
    run.log.write_text("{}\n", encoding="utf-8")
    return run


def test_run_that_was_to_be_replaced_comes_back_when_nothing_replaces_it(place: Path) -> None:
    run = trained(place, 24)
    before = contents(place)
    folder.create(place, ForecastConfig(data=ForecastData(horizon=3)), overwrite=True).withdraw()
    assert contents(place) == before
    assert run.config.data.horizon == 24
    assert run.trained


def test_run_that_came_to_no_network_makes_way_for_the_one_before_it(place: Path) -> None:
    trained(place, 24)
    begun = folder.create(place, ForecastConfig(data=ForecastData(horizon=3)), overwrite=True)
    begun.log.write_text("{}\n", encoding="utf-8")
    begun.withdraw()
    assert begun.config.data.horizon == 3  # an epoch is done: it can be resumed
    folder.create(place, ForecastConfig(data=ForecastData(horizon=5)), overwrite=True).withdraw()
    assert begun.config.data.horizon == 24
    assert begun.trained


def test_run_that_was_replaced_and_not_removed_is_not_kept_twice(place: Path) -> None:
    trained(place, 24)
    trained(place, 3)  # killed before the old one was removed
    run = folder.create(place, ForecastConfig(data=ForecastData(horizon=5)), overwrite=True)
    assert folder.RunFolder(run.previous).config.data.horizon == 3


def test_setting_aside_that_was_cut_short_is_taken_up_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, rename = trained(place, 24), Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "log.jsonl":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        folder.create(place, ForecastConfig(data=ForecastData(horizon=3)), overwrite=True)
    monkeypatch.undo()
    assert contents(place) == {"run.json", "config.yaml", "log.jsonl", ".previous"}
    folder.create(place, ForecastConfig(data=ForecastData(horizon=3)), overwrite=True).withdraw()
    assert contents(place) == {"run.json", "config.yaml", "log.jsonl", "model"}
    assert run.config.data.horizon == 24


def test_run_that_was_set_aside_is_found_when_the_new_one_never_began(place: Path) -> None:
    run = trained(place, 24)
    folder.create(place, CONFIG, overwrite=True)
    run.config_file.unlink()
    run.marker.unlink()  # as a kill at that moment leaves it
    with pytest.raises(DataError, match=r"got a folder whose run is in .*\.previous, as the one that was to replace it never began"):
        folder.open(place)
    with pytest.raises(OptionError, match="got one that holds a run; give --overwrite"):
        folder.create(place, CONFIG)
    folder.create(place, CONFIG, overwrite=True).withdraw()
    assert run.trained


def test_what_was_learnt_until_when_is_noted(place: Path) -> None:
    run = folder.create(place, CONFIG)
    assert run.learnt_until == {}
    run.note_learnt({"a": "2024-01-31", "ü": 7})
    assert folder.open(place).learnt_until == {"a": "2024-01-31T00:00:00.000000000", "ü": 7}
    run.marker.write_text('{"kind": "grus forecast run", "version": 1, "learnt_until": {"a": "soon"}}', encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json: learnt_until must have a time for each series, got other content"):
        folder.open(place).learnt_until  # noqa: B018


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_of_others_is_never_taken(place: Path, overwrite: bool) -> None:
    place.mkdir(parents=True)
    for name in "abcde":
        (place / name).touch()
    with pytest.raises(OptionError, match=r"got a folder of other files \(a, b, c and 2 more\); name another --out"):
        folder.create(place, CONFIG, overwrite=overwrite)
    (place / "config.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(OptionError, match=r"got a folder with config.yaml but without run.json"):
        folder.create(place, CONFIG, overwrite=overwrite)
    assert contents(place) == {*"abcde", "config.yaml"}


def test_file_and_foreign_kind_are_refused(place: Path) -> None:
    place.mkdir(parents=True)
    (place / "file").touch()
    with pytest.raises(OptionError, match="must be a folder, got a file"):
        folder.create(place / "file", CONFIG)
    (place / "run.json").write_text('{"kind": "grus speech run", "version": 1}', encoding="utf-8")
    with pytest.raises(
        DataError, match=r"must be a run of a task that is known .grus forecast run, grus classify run, grus regress run., got a grus speech run"
    ):
        folder.create(place, CONFIG, overwrite=True)
    (place / "run.json").write_text('{"kind": "grus forecast run", "version": 2}', encoding="utf-8")
    with pytest.raises(DataError, match="must be a run of version 1, got 2"):
        folder.open(place)
    (place / "run.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json: must say what kind of run this is"):
        folder.open(place)


def test_open_says_what_a_folder_is(place: Path) -> None:
    with pytest.raises(DataError, match="must be the folder of a run, got nothing"):
        folder.open(place)
    place.mkdir(parents=True)
    with pytest.raises(DataError, match="must be the folder of a run, got an empty folder; name a folder that grus fit made"):
        folder.open(place)
    run = folder.create(place, CONFIG)
    run.model.mkdir()
    with pytest.raises(DataError, match="must be the folder of a run, got the part model of the run above it"):
        folder.open(run.model)
    with pytest.raises(DataError, match="must be the folder of a run, got a file"):
        folder.open(run.config_file)


def test_open_lists_the_missing_parts(place: Path) -> None:
    run = folder.create(place, CONFIG)
    with pytest.raises(DataError) as error:
        folder.open(place, needs=["model", "backtest.json"])
    assert str(error.value) == (
        f"{place}: must hold model and backtest.json, got a run with run.json, config.yaml only; run grus fit --resume --out {place} first."
    )
    run.model.mkdir()
    with pytest.raises(DataError, match=r"must hold backtest\.json, .* run grus evaluate .* first"):
        folder.open(place, needs=["model", "backtest.json"])
    run.config_file.unlink()
    with pytest.raises(DataError, match=r"must hold config\.yaml"):
        folder.open(place)


def test_run_that_made_nothing_is_withdrawn_with_its_folders(place: Path, tmp_path: Path) -> None:
    run = folder.create(place, CONFIG)
    run.log.touch()
    run.checkpoints.mkdir()
    (run.checkpoints / "state.json").write_text('{"tally": null}')
    run.withdraw()
    assert contents(tmp_path) == set()
    place.mkdir(parents=True)
    folder.create(place, CONFIG).withdraw()
    assert contents(place) == set()


@pytest.mark.parametrize("part", ["log.jsonl", "model/config.json", "notes.txt"])
def test_run_that_made_something_is_not_withdrawn(place: Path, part: str) -> None:
    run = folder.create(place, CONFIG)
    (place / part).parent.mkdir(exist_ok=True)
    (place / part).write_text("{}", encoding="utf-8")
    run.withdraw()
    assert contents(place) == {"run.json", "config.yaml", part.partition("/")[0]}
    assert run.config == CONFIG


def test_run_that_is_trained_is_neither_replaced_nor_trained_by_another(tmp_path: Path) -> None:
    run = folder.create(tmp_path / "run", CONFIG)
    with run.held():
        run.note_learnt({"a": 7})  # a new file in place of the marker
        for refused in (lambda: folder.check_place(run.path, overwrite=True), lambda: run.held().__enter__(), run.withdraw):
            with pytest.raises(OptionError, match="must be a run that no process trains, got one that is"):
                refused()
    with run.held():
        pass
    folder.check_place(run.path, overwrite=True)


def test_lock_is_no_part_of_a_run(place: Path, tmp_path: Path) -> None:
    run = folder.create(place, CONFIG)
    with run.held():
        pass
    assert contents(place) == {"run.json", "config.yaml", ".lock"}
    run.withdraw()
    assert contents(tmp_path) == set()
    place.mkdir(parents=True)
    (place / ".lock").touch()
    with pytest.raises(DataError, match="got an empty folder"):
        folder.open(place)
    assert folder.create(place, CONFIG).config == CONFIG


@pytest.mark.parametrize(("file", "text"), [("diverged/note.json", "{}"), ("state.json", '{"tally": {"steps": 3}}'), ("state.json", "torn")])
def test_run_that_has_begun_its_first_epoch_is_not_taken_back(file: str, text: str, tmp_path: Path) -> None:
    run = folder.create(tmp_path / "run", CONFIG)
    (run.checkpoints / file).parent.mkdir(parents=True)
    (run.checkpoints / file).write_text(text)
    run.withdraw()
    assert (run.checkpoints / file).read_text() == text


def test_run_with_a_first_checkpoint_alone_is_taken_back(tmp_path: Path) -> None:
    run = folder.create(tmp_path / "run", CONFIG)
    run.checkpoints.mkdir()
    (run.checkpoints / "state.json").write_text('{"tally": null}')
    run.withdraw()
    assert not run.path.exists()
