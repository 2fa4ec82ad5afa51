"""Saved forecasters: the same bits in another process, damage refused, nothing lost when a disk fails."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grus import cells
from grus.errors import DataError, OptionError
from grus.tasks import stored, stored_folder
from grus.tasks.forecaster import Forecaster
from tests.tasks.waves import panel_of, small, wave

PANEL = panel_of([wave(90, 1), wave(60, 2, 50.0)])
SCRIPT = """
import sys
import pandas as pd
from grus.tasks.forecaster import Forecaster
loaded = Forecaster.load(sys.argv[1])
found = loaded.predict_quantiles(X=pd.read_parquet(sys.argv[2]))
sys.stdout.buffer.write(found[["0.1", "0.5", "0.9"]].to_numpy().tobytes())
"""


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return small(validation_split=15).fit(PANEL)


@pytest.fixture
def place(fitted: Forecaster, tmp_path: Path) -> Path:
    return fitted.save(tmp_path / "model")


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def test_folder_holds_four_plain_files(place: Path) -> None:
    assert sorted(contents(place)) == ["README.md", "config.json", "model.safetensors", "scalers.json"]
    assert sorted(entry.name for entry in place.parent.iterdir()) == ["model"]
    assert b"# Forecaster: gru\n" in contents(place)["README.md"]


def test_loaded_forecaster_gives_the_same_bits(fitted: Forecaster, place: Path) -> None:
    loaded = Forecaster.load(place)
    assert fitted.model_.intervals
    for levels in (None, (0.2, 0.5)):
        expected, found = (each.predict_quantiles(PANEL, levels=levels) for each in (fitted, loaded))
        assert expected.equals(found)
    assert fitted.predict().equals(loaded.predict(PANEL))


def test_another_process_gives_the_same_bits(fitted: Forecaster, place: Path, tmp_path: Path) -> None:
    table = tmp_path / "data.parquet"
    PANEL.to_frame().to_parquet(table)
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(place), str(table)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == fitted.predict_quantiles()[["0.1", "0.5", "0.9"]].to_numpy().tobytes()


def test_saving_again_keeps_what_is_known(fitted: Forecaster, place: Path, tmp_path: Path) -> None:
    again = Forecaster.load(place).save(tmp_path / "again")
    assert contents(again) == contents(place)
    assert Forecaster.load(place).facts() == fitted.facts()


def test_loading_leaves_random_states_and_pickle_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("pickle was used")

    for module, name in ((pickle, "loads"), (pickle, "load"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    before = torch.get_rng_state()
    stored.load(place)
    assert torch.equal(before, torch.get_rng_state())


# --- damage --------------------------------------------------------------------------------------------------------------------------
def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return apply


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "no config": ("config.json", Path.unlink, "config.json: must be a file of a saved forecaster, got No such file"),
    "no weights": ("model.safetensors", Path.unlink, "model.safetensors: must be a file of a saved forecaster, got No such file"),
    "no scalers": ("scalers.json", Path.unlink, "scalers.json: must be a file of a saved forecaster, got No such file"),
    "cut config": ("config.json", lambda path: os.truncate(path, 90), "config.json: must be the JSON that save wrote, got JSONDecodeError"),
    "cut weights": ("model.safetensors", lambda path: os.truncate(path, 90), "model.safetensors: must be a whole safetensors file, got"),
    "flipped weights": ("model.safetensors", flip, "model.safetensors: must be as save wrote it beside config.json, got a damaged file"),
    "flipped scalers": ("scalers.json", flip, "scalers.json: must be as save wrote it"),
    "changed config": ("config.json", edit(lambda found: found["panel"]["step"].update(season=7)), "must be as save wrote it, got changed content"),
    "list": ("config.json", lambda path: path.write_text("[]") and None, "must hold an object, got a list"),
    "deep": ("config.json", lambda path: path.write_text("[" * 200_000) and None, "must be the JSON that save wrote, got RecursionError"),
    "binary": ("config.json", lambda path: path.write_bytes(b"\xff\xfe\xff") and None, "must be the JSON that save wrote, got UnicodeDecodeError"),
    "foreign": (
        "config.json",
        lambda path: path.write_text('{"model_type": "bert"}') and None,
        "must be of a grus forecaster of version 2, got None",
    ),
    "later": ("config.json", edit(lambda found: found.update(version=3)), "got 'grus forecaster' of version 3; load it with the version"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_file_is_refused_in_one_sentence(place: Path, case: str) -> None:
    name, damage, sentence = DAMAGE[case]
    damage(place / name)
    with pytest.raises(DataError) as caught:
        stored.load(place)
    assert sentence in str(caught.value)
    assert str(place / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def resign(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Content that nobody saved, with the right digests."""
    config = json.loads((place / "config.json").read_bytes())
    config.pop("sha256")
    change(config)
    config["files"] = {name: stored_folder.digest((place / name).read_bytes()) for name in ("scalers.json", "model.safetensors")}
    (place / "config.json").write_bytes(stored_folder.text({**config, "sha256": stored_folder.digest(stored_folder.text(config))}))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("windows"),
        lambda found: found["windows"].update(horizon="three"),
        lambda found: found["model"].update(cell="nothing"),
        lambda found: found["model"].update(levels=[0.1]),
        lambda found: found["shape"].update(past=-1),
        lambda found: found["panel"].update(columns=None),
    ],
)
def test_content_of_another_kind_is_refused_in_one_sentence(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    resign(place, change)
    with pytest.raises(DataError, match="model: must hold what save wrote, got other content"):
        stored.load(place)


def test_weights_of_another_size_are_refused(place: Path) -> None:
    resign(place, lambda found: found["model"].update(hidden_size=5))
    with pytest.raises(DataError, match=r"model.safetensors: body.* must have the shape \(.*\), got \(.*\); these weights are of another model"):
        stored.load(place)


@pytest.mark.parametrize("name", ["scalers.json", "model.safetensors"])
def test_file_of_another_model_of_the_same_size_is_refused(place: Path, tmp_path: Path, name: str) -> None:
    other = small(validation_split=15, random_state=1).fit(panel_of([wave(90, 3), wave(60, 4)])).save(tmp_path / "other")
    shutil.copy(other / name, place / name)
    with pytest.raises(DataError, match=f"{name}: must be as save wrote it beside config.json, got a damaged file or that of another model"):
        stored.load(place)


@pytest.mark.parametrize(("name", "got"), [("nothing", "nothing there"), ("file", "a file")])
def test_place_that_is_no_folder_is_refused(tmp_path: Path, name: str, got: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=f"must be a folder that save wrote, got {got}; check the path"):
        stored.load(tmp_path / name)


# --- writing -------------------------------------------------------------------------------------------------------------------------
def test_existing_folder_is_replaced_only_when_asked(fitted: Forecaster, place: Path) -> None:
    before = contents(place)
    with pytest.raises(OptionError, match="must not exist yet, got something there; pass overwrite=True"):
        fitted.save(place, scores={"gru": {"mae": 1.0}})
    assert contents(place) == before
    fitted.save(place, scores={"gru": {"mae": 0.125}}, overwrite=True)
    assert b"| gru | 0.125 |" in contents(place)["README.md"]
    assert [entry.name for entry in place.parent.iterdir()] == ["model"]


def test_folder_of_anything_else_is_never_replaced(fitted: Forecaster, place: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"  # the same names, another library's model
    hub.mkdir()
    for name in ("config.json", "model.safetensors", "README.md"):
        (hub / name).write_text("{}", encoding="utf-8")
    (place / "notes.txt").write_text("mine", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    for folder in (hub, place, place / "notes.txt", link):
        with pytest.raises(OptionError, match="must hold a saved forecaster and nothing else to be replaced, got other files"):
            fitted.save(folder, overwrite=True)
    assert (hub / "config.json").read_text(encoding="utf-8") == "{}"
    assert (place / "notes.txt").read_text(encoding="utf-8") == "mine"


def fail_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name == "model.safetensors":
            path.write_bytes(content[:10])
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(stored_folder, "write", write)


def fail_mkdir(monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def fail_rename(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if (self / "config.json").exists() and target.name == "model" and "sha256" in (self / "README.md").read_text(encoding="utf-8"):
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)


KILLED = """
import os, sys
from pathlib import Path
from grus.tasks.forecaster import Forecaster
model, place, after = Forecaster.load(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rename, count = Path.rename, 0

def killed(self, target):
    global count
    if count == after:
        os._exit(9)
    count += 1
    return rename(self, target)

Path.rename = killed
model.save(place, scores={"gru": {"mae": 0.75}}, overwrite=True)
os._exit(0)
"""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_save_killed_between_any_two_renames_leaves_the_old_or_the_new_folder(fitted: Forecaster, place: Path, tmp_path: Path, renames: int) -> None:
    source = fitted.save(tmp_path / "source")
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(place), str(renames)], check=False)
    assert done.returncode == (9 if renames < 2 else 0)
    np.testing.assert_array_equal(Forecaster.load(place).predict(PANEL)["y"], fitted.predict()["y"])
    fitted.save(place, scores={"gru": {"mae": 0.5}}, overwrite=True)
    assert b"0.5" in contents(place)["README.md"]
    assert not place.with_name(".model.previous").exists()


@pytest.mark.parametrize("case", ["full disk", "read-only", "rename", "interrupted"])
def test_failure_while_saving_loses_nothing(fitted: Forecaster, place: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    before = contents(place)
    failures: dict[str, Callable[[], None]] = {
        "full disk": lambda: fail_write(monkeypatch),
        "read-only": lambda: fail_mkdir(monkeypatch),
        "rename": lambda: fail_rename(monkeypatch, OSError(5, "Input/output error")),
        "interrupted": lambda: fail_rename(monkeypatch, KeyboardInterrupt()),
    }
    failures[case]()
    with pytest.raises(KeyboardInterrupt if case == "interrupted" else OSError):
        fitted.save(place, scores={"sha256": {"mae": 1.0}}, overwrite=True)
    monkeypatch.undo()
    assert contents(place) == before
    assert [entry.name for entry in place.parent.iterdir()] == ["model"]
    assert Forecaster.load(place).predict(PANEL).equals(fitted.predict())


def test_current_folder_is_a_place_like_any_other(fitted: Forecaster, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    fitted.save(".", scores={"gru": {"mae": 0.5}}, overwrite=True)
    assert b"| gru | 0.5 |" in contents(place)["README.md"]


def test_own_cell_is_not_saved_even_under_a_name_of_the_catalogue(tmp_path: Path) -> None:
    @cells.cell(states="h")
    def rnn_tanh(x: Any, h: Any, p: Any) -> Any:
        return cells.tanh(p.W @ x + p.U @ h + p.b) * 0.5

    model = small(cell=rnn_tanh).fit(PANEL)
    with pytest.raises(OptionError, match="save: cell must be one of the catalogue, got your own 'rnn_tanh'; keep its source"):
        model.save(tmp_path / "own")
    assert list(tmp_path.iterdir()) == []


def test_intervals_and_findings_come_back_exactly(fitted: Forecaster, tmp_path: Path) -> None:
    model = replace(fitted.model_, like=replace(fitted.model_.like, findings=("gaps: 1 of 4",)), facts=(("seed", "7"),))
    found = stored.load(stored.save(model, tmp_path / "exact", "card"))
    assert (found.like.findings, found.like.columns, found.like.step) == (("gaps: 1 of 4",), model.like.columns, model.like.step)
    assert found.facts == (("seed", "7"),)
    for pair, correction in model.intervals.items():
        np.testing.assert_array_equal(found.intervals[pair].factor, correction.factor)
        assert found.intervals[pair].coverage == correction.coverage
