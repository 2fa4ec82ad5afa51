"""Saved classifiers and regressors: the same bits in another process, and damage or other folders refused."""

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
from grus.tasks import sequence_stored, stored_folder
from grus.tasks.sequence_learning import train
from grus.tasks.sequence_model import Reading
from tests.tasks.made_sequences import MADE, design, made, quick, taught, waves

SCRIPT = """
import sys
from grus.tasks import sequence_stored
from tests.tasks.made_sequences import made, reviews, waves
model, texts = sequence_stored.load(sys.argv[1]), sequence_stored.load(sys.argv[2])
sys.stdout.buffer.write(model.predict(waves(40, 3)).tobytes() + texts.predict(reviews(40, 3)).tobytes())
"""
FILES = {
    "numbers": ["model.safetensors", "scalers.json"],
    "texts": ["model.safetensors", "tokenizer.json"],
    "ratings": ["model.safetensors", "scalers.json", "tokenizer.json"],
    "ensemble": ["model-1.safetensors", "model-2.safetensors", "scalers.json"],
}


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def saved(case: str, path: Path, **given: Any) -> Path:
    return sequence_stored.save(made(case)[0], path / case, "# A card", **given)


@pytest.mark.parametrize("case", MADE)
def test_loaded_model_gives_the_same_bits(case: str, tmp_path: Path) -> None:
    model, data = made(case)
    found = sequence_stored.load(saved(case, tmp_path))
    for ask in ("logits", "predict"):
        np.testing.assert_array_equal(getattr(found, ask)(data), getattr(model, ask)(data))
    assert (found.kind, found.names, found.temperature, found.findings, found.facts) == (
        model.kind, model.names, model.temperature, model.findings, model.facts
    )  # fmt: skip
    assert found.reader.reading == model.reader.reading
    assert contents(sequence_stored.save(found, tmp_path / "again", "# A card")) == contents(tmp_path / case)


@pytest.mark.parametrize("case", FILES)
def test_folder_holds_plain_files(case: str, tmp_path: Path) -> None:
    found = contents(saved(case, tmp_path))
    assert sorted(found) == sorted(["README.md", "config.json", *FILES[case]])
    assert found["README.md"] == b"# A card\n"


def test_another_process_gives_the_same_bits(tmp_path: Path) -> None:
    places = [saved(case, tmp_path) for case in ("numbers", "texts")]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, places)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"".join(model.predict(data).tobytes() for model, data in (made("numbers"), made("texts")))


def test_balanced_weights_come_back(tmp_path: Path) -> None:
    rows = np.concatenate([np.flatnonzero(waves(40, 1).labels.values == 0)[:3], np.flatnonzero(waves(40, 1).labels.values == 1)[:9]])
    model, _ = train(waves(40, 1).rows(rows), None, Reading(), design(class_weights="balanced"), quick(epochs=1))
    found = sequence_stored.load(sequence_stored.save(model, tmp_path / "model", "card"))
    assert found.network.class_weights.tolist() == [2.0, pytest.approx(2 / 3)]


def test_how_it_was_trained_comes_back(tmp_path: Path) -> None:
    place = saved("numbers", tmp_path, training={"epochs": 2, "seeds": [1, 2]})
    assert sequence_stored.load_training(place) == {"epochs": 2, "seeds": [1, 2]}


def test_loading_leaves_random_states_and_pickle_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("pickle was used")

    place = saved("ensemble", tmp_path)
    for module, name in ((pickle, "loads"), (pickle, "load"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    before = torch.get_rng_state()
    sequence_stored.load(place)
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
    "no config": ("config.json", Path.unlink, "must be a file of a saved sequence model, got No such file"),
    "no weights": ("model.safetensors", Path.unlink, "must be a file of a saved sequence model, got No such file"),
    "no tokenizer": ("tokenizer.json", Path.unlink, "must be a file of a saved sequence model, got No such file"),
    "cut config": ("config.json", lambda path: os.truncate(path, 90), "must be the JSON that save wrote, got JSONDecodeError"),
    "cut weights": ("model.safetensors", lambda path: os.truncate(path, 90), "must be a whole safetensors file, got"),
    "flipped weights": ("model.safetensors", flip, "must be as save wrote it beside config.json, got a damaged file or that of another model"),
    "flipped tokenizer": ("tokenizer.json", flip, "must be as save wrote it beside config.json, got a damaged file or that of another model"),
    "changed config": ("config.json", edit(lambda found: found["answers"].update(names=["pos", "neg"])), "got changed content; save the model again"),
    "forecaster": ("config.json", edit(lambda found: found.update(kind="grus forecaster")), "must be of a grus sequence model of version 1, got"),
    "later": ("config.json", edit(lambda found: found.update(version=2)), "of version 2; load it with the version of Grus that wrote it"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_file_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    place = saved("texts", tmp_path)
    name, damage, sentence = DAMAGE[case]
    damage(place / name)
    with pytest.raises(DataError) as caught:
        sequence_stored.load(place)
    assert str(caught.value).startswith(str(place / name))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def resign(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Content that nobody saved, with the right digests."""
    config = json.loads((place / "config.json").read_bytes())
    config.pop("sha256")
    change(config)
    (place / "config.json").write_bytes(stored_folder.text({**config, "sha256": stored_folder.digest(stored_folder.text(config))}))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("reading"),
        lambda found: found["reading"].update(colour="red"),
        lambda found: found["networks"].clear(),
        lambda found: found["networks"][0]["model"].update(cell="nothing"),
        lambda found: found["networks"][0]["shape"].update(outputs=3),
        lambda found: found["answers"].update(kind="number"),
        lambda found: found["answers"].update(names=["a", "b", "c"]),
        lambda found: found.update(temperature={"values": ["hot"], "findings": []}),
        lambda found: found.update(files=["model.safetensors"]),
        lambda found: found["files"].update({"../secret": "0"}),
        lambda found: found["files"].update({"model-1/../../secret.safetensors": "0"}),
        lambda found: found["files"].pop("tokenizer.json"),
    ],
)
def test_content_of_another_kind_is_refused_in_one_sentence(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    place = saved("texts", tmp_path)
    resign(place, change)
    with pytest.raises(DataError, match="texts: must hold what save wrote, got other content"):
        sequence_stored.load(place)


def test_weights_that_config_does_not_name_are_refused(tmp_path: Path) -> None:
    place = saved("texts", tmp_path)
    resign(place, lambda found: found["files"].pop("model.safetensors"))
    with pytest.raises(DataError, match=r"model.safetensors: must be among the files of config.json"):
        sequence_stored.load(place)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    place = saved("numbers", tmp_path)
    resign(place, lambda found: found["networks"][0]["model"].update(hidden_size=5))
    with pytest.raises(DataError, match=r"model.safetensors: .* must have the shape \(.*\), got \(.*\); these weights are of another model"):
        sequence_stored.load(place)


def test_weights_of_another_model_of_the_same_size_are_refused(tmp_path: Path) -> None:
    place = saved("numbers", tmp_path)
    other = sequence_stored.save(taught(waves(40, 1), seed=5), tmp_path / "other", "card")
    shutil.copy(other / "model.safetensors", place)
    with pytest.raises(DataError, match="got a damaged file or that of another model"):
        sequence_stored.load(place)


# --- writing -------------------------------------------------------------------------------------------------------------------------
def test_saved_model_is_replaced_only_when_asked_and_whole(tmp_path: Path) -> None:
    place = saved("ensemble", tmp_path)
    with pytest.raises(OptionError, match="must not exist yet, got something there; pass overwrite=True"):
        sequence_stored.save(made("texts")[0], place, "card")
    sequence_stored.save(made("texts")[0], place, "card", overwrite=True)
    assert sorted(contents(place)) == sorted(["README.md", "config.json", *FILES["texts"]])


@pytest.mark.parametrize("other", ["notes.txt", "model-best.safetensors", "forecaster"])
def test_folder_of_anything_else_is_never_replaced(tmp_path: Path, other: str) -> None:
    place = saved("numbers", tmp_path)
    if other == "forecaster":
        edit(lambda found: found.update(kind="grus forecaster"))(place / "config.json")
    else:
        (place / other).write_text("mine", encoding="utf-8")
    before = contents(place)
    with pytest.raises(OptionError, match="must hold a saved sequence model and nothing else to be replaced, got other files"):
        saved("numbers", tmp_path, overwrite=True)
    assert contents(place) == before


def test_failure_while_saving_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = saved("ensemble", tmp_path)
    before, write = contents(place), stored_folder.write

    def full(path: Path, content: bytes) -> None:
        if path.name == "model-2.safetensors":
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(stored_folder, "write", full)
    with pytest.raises(OSError, match="No space left"):
        saved("ensemble", tmp_path, overwrite=True)
    assert contents(place) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["ensemble"]


def test_own_cell_is_not_saved(tmp_path: Path) -> None:
    @cells.cell(states="h")
    def halved(x: Any, h: Any, p: Any) -> Any:
        return cells.tanh(p.W @ x + p.U @ h + p.b) * 0.5

    model, _ = train(waves(20, 1), None, Reading(), design(cell=halved), quick(epochs=1))
    with pytest.raises(OptionError, match="save: cell must be one of the catalogue, got your own 'halved'"):
        sequence_stored.save(replace(made("numbers")[0], networks=(model.network,)), tmp_path / "own", "card")
    assert list(tmp_path.iterdir()) == []
