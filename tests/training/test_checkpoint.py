from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from grus.errors import CheckpointError, DataError, OptionError
from grus.training import Checkpoints, Quiet, Snapshot, fit, state
from tests.training.conftest import Rows, bits, linear_rows, settings, small_network, squared

FILES = ("best.safetensors", "last.safetensors", "optimiser.safetensors", "state.json")


def snapshot(number: int) -> Snapshot:
    return Snapshot(
        {"w": torch.full((3,), float(number))}, {"w": torch.full((3,), number - 0.5)}, {"0.step": torch.tensor(number)}, {"epoch": number}
    )


def number_of(found: Snapshot) -> int:
    number = int(found.note["epoch"])
    assert found.weights["w"].tolist() == [number] * 3
    assert found.best["w"].tolist() == [number - 0.5] * 3
    assert found.optimiser["0.step"].item() == number
    return number


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with generations 1 and 2."""
    checkpoints = Checkpoints(tmp_path, resume=False)
    for number in (1, 2):
        checkpoints.save(snapshot(number))
    return tmp_path


def test_save_leaves_two_generations_and_no_drafts(two: Path) -> None:
    assert sorted(contents(two)) == sorted([*FILES, *(f"previous/{file}" for file in FILES)])
    assert number_of(Checkpoints(two, resume=True).load()) == 2
    shutil.rmtree(two / "previous")
    assert number_of(Checkpoints(two, resume=True).load()) == 2


def test_state_names_the_files_with_sizes_and_checksums(two: Path) -> None:
    note = json.loads((two / "state.json").read_text())
    assert note["format"] == "grus.training"
    assert {file: entry["bytes"] for file, entry in note["files"].items()} == {file: (two / file).stat().st_size for file in FILES[:3]}
    assert load_file(two / "last.safetensors")["w"].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "empty"])
def test_torn_checkpoint_is_refused_and_the_previous_one_used(file: str, damage: str, two: Path) -> None:
    data = (two / file).read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    (two / file).write_bytes({"cut": data[:-7], "flip": bytes(flipped), "remove": b"", "empty": b""}[damage])
    if damage == "remove":
        (two / file).unlink()
    checkpoints = Checkpoints(two, resume=True)
    with pytest.warns(RuntimeWarning, match=rf"{file}.* must be .* The previous checkpoint is used\."):
        assert number_of(checkpoints.load()) == 1
    checkpoints.save(snapshot(3))
    assert number_of(Checkpoints(two, resume=True).load()) == 3
    (two / "state.json").unlink()
    with pytest.warns(RuntimeWarning, match="previous checkpoint"):
        assert number_of(Checkpoints(two, resume=True).load()) == 1


@pytest.mark.parametrize("moves", range(9))
def test_crash_after_any_move_leaves_a_whole_generation(moves: int, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save moves four old files and four new ones; after the last of these it is done."""
    replace, done = Path.replace, []

    def crash(self: Path, target: Path) -> Path:
        if len(done) == moves:
            raise SystemExit
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    checkpoints = Checkpoints(two, resume=True)
    if moves < 8:
        with pytest.raises(SystemExit):
            checkpoints.save(snapshot(3))
    else:
        checkpoints.save(snapshot(3))
    monkeypatch.undo()
    after = Checkpoints(two, resume=True)
    if 4 <= moves < 8:  # the old state.json has moved away, the new one has not come
        with pytest.warns(RuntimeWarning, match="previous checkpoint"):
            assert number_of(after.load()) == 2
    else:
        assert number_of(after.load()) == (2 if moves < 8 else 3)
    after.save(snapshot(4))
    assert number_of(Checkpoints(two, resume=True).load()) == 4


@pytest.mark.parametrize("moves", [5, 6, 7])
def test_crash_in_the_save_after_an_interrupted_one_leaves_a_whole_generation(moves: int, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, left = Path.replace, [moves]

    def interrupt(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupt)
    checkpoints = Checkpoints(two, resume=True)
    for count in (moves, 1):
        left[0] = count
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(snapshot(3))
    with pytest.warns(RuntimeWarning, match="previous checkpoint"):
        assert number_of(Checkpoints(two, resume=True).load()) == 2


def test_both_generations_torn_is_refused_with_both_reasons(two: Path) -> None:
    (two / "last.safetensors").write_bytes(b"x")
    (two / "previous/state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"last\.safetensors must be .* 1 bytes of another checksum.*previous/state\.json: must be the JSON"):
        Checkpoints(two, resume=True).load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "must be the state of a training run"),
        ('{"format": "other"}', "must be the state of a training run"),
        ('{"format": "grus.training", "version": 1}', "must be of version 4, got 1"),
        ('{"format": "grus.training", "version": 4, "files": {}}', "another checksum"),
        ('{"format": "grus.training", "version": NaN}', "NaN, which JSON does not have"),
        ("[" * 100_000, "must be the JSON that fit wrote"),
        ("\udcff", "must be the JSON that fit wrote"),
    ],
)
def test_foreign_state_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=said):
        Checkpoints(tmp_path, resume=True).load()


def test_a_pickle_in_place_of_weights_is_refused(two: Path) -> None:
    torch.save({"w": torch.zeros(3)}, two / "last.safetensors")
    with pytest.warns(RuntimeWarning, match="another checksum"):
        assert number_of(Checkpoints(two, resume=True).load()) == 1


def test_nothing_to_resume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state\.json: must be there to resume, got no such file"):
        Checkpoints(tmp_path, resume=True).load()


def test_folder_of_another_run_is_refused(two: Path) -> None:
    with pytest.raises(OptionError, match="must hold no run yet"):
        Checkpoints(two, resume=False)


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system refuses files of more than 100 bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_leaves_the_files_of_before(two: Path, small_files: None) -> None:
    before = contents(two)
    with pytest.raises(CheckpointError, match=r"must take a checkpoint of \d+ bytes, got File too large; the checkpoint of before is kept"):
        Checkpoints(two, resume=True).save(snapshot(3))
    assert contents(two) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes anywhere")
def test_read_only_folder_leaves_the_files_of_before(two: Path) -> None:
    before = contents(two)
    two.chmod(0o555)
    with pytest.raises(CheckpointError, match="got Permission denied"):
        Checkpoints(two, resume=True).save(snapshot(3))
    two.chmod(0o755)
    assert contents(two) == before


def test_read_only_file_system_leaves_the_files_of_before(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(two)

    def refuse(*_: object, **__: object) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match="got Read-only file system"):
        Checkpoints(two, resume=True).save(snapshot(3))
    monkeypatch.undo()
    assert contents(two) == before


def test_fit_into_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    network = small_network()
    with pytest.raises(CheckpointError, match="must take a checkpoint"):
        fit(network, squared, linear_rows(8, 0), None, settings(), folder=tmp_path / "file")
    assert bits(network) == bits(small_network())


def test_fit_with_a_disk_that_fills_gives_the_best_weights_and_the_checkpoint_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FillAfterTwo(Quiet):
        def epoch(self, row: dict[str, float]) -> None:
            if row["epoch"] == 2:
                monkeypatch.setattr("grus.training.checkpoint._write", fill)

    network = small_network()
    with pytest.raises(CheckpointError, match="No space left on device"):
        fit(network, squared, linear_rows(24, 0), None, settings(), folder=tmp_path, reporter=FillAfterTwo())
    monkeypatch.undo()
    assert len(Checkpoints(tmp_path / "checkpoints", resume=True).load().note["history"]) == 2
    history = fit(small_network(), squared, linear_rows(24, 0), None, settings(), folder=tmp_path, resume=True)
    assert len(history.epochs) == 6


def test_fit_resumes_from_the_previous_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    straight, resumed = small_network(), small_network(9)
    fit(straight, squared, linear_rows(24, 0), None, settings(), folder=tmp_path)
    last = tmp_path / "checkpoints/last.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="previous checkpoint"):
        history = fit(resumed, squared, linear_rows(24, 0), None, settings(), folder=tmp_path, resume=True)
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3, 4, 5, 6]
    assert bits(resumed) == bits(straight)


def test_fit_resumed_with_another_network_is_refused(tmp_path: Path) -> None:
    fit(small_network(), squared, linear_rows(8, 0), None, settings(), folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"the checkpoint's 0\.bias must be none as in the network, got torch\.float32 \[4\]"):
        fit(nn.Linear(2, 1), squared, linear_rows(8, 0), None, settings(), folder=tmp_path, resume=True)


def resumed_on(folder: Path, network: nn.Module, train: Rows, validation: Rows | None) -> None:
    fit(network, squared, train, validation, settings(), folder=folder, resume=True)


def test_fit_resumed_on_other_data_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """Fewer batches, no validation, and as many batches of other values."""
    train, validation = linear_rows(24, 0, digest="a" * 64), linear_rows(8, 1, digest="v")
    fit(small_network(), squared, train, validation, settings(), folder=tmp_path)
    before, network = contents(tmp_path), small_network(9)
    others: list[tuple[Rows, Rows | None, str]] = [
        (
            linear_rows(9, 0, digest="a" * 64),
            validation,
            "train must be that of the run to resume, .*, 3 batches of digest a{12}…, got 2",
        ),
        (linear_rows(24, 0, digest="b"), validation, "train must be .* digest a{12}…, got 3 batches of digest b…; pass the same data, or"),
        (linear_rows(24, 0), validation, "train must be .*, got 3 batches; pass"),
        (train, None, "validation must be that of the run to resume, .*, 1 batch of digest v…, got None"),
        (train, linear_rows(8, 1, digest="w"), "validation must be .*, got 1 batch of digest w…"),
        (train, linear_rows(9, 1, digest="v"), "validation must be .*, got 2 batches of digest v…"),
    ]
    for train_of_another, validation_of_another, said in others:
        with pytest.raises(DataError, match=f"fit: {said}"):
            resumed_on(tmp_path, network, train_of_another, validation_of_another)
    assert bits(network) == bits(small_network(9))
    assert contents(tmp_path) == before
    resumed_on(tmp_path, network, train, validation)


def test_fit_resumed_with_validation_that_the_run_had_not_is_refused(tmp_path: Path) -> None:
    fit(small_network(), squared, linear_rows(24, 0), None, settings(), folder=tmp_path)
    with pytest.raises(DataError, match=r"validation must be that of the run to resume, .*, None, got 1 batch; pass the same data"):
        resumed_on(tmp_path, small_network(), linear_rows(24, 0), linear_rows(8, 1))


class Growing:
    """Its validation loss grows with each validation."""

    def __init__(self) -> None:
        self.rounds = 0

    def __call__(self, network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        total, weight = squared(network, batch)
        if network.training:
            return total, weight
        self.rounds += 1
        return total * 0 + self.rounds, torch.tensor(1.0)


def test_best_file_is_what_the_network_gets(tmp_path: Path) -> None:
    network = small_network()
    history = fit(network, Growing(), linear_rows(24, 0), linear_rows(8, 1), settings(), folder=tmp_path)
    assert history.best_epoch == 1
    best, last = (load_file(tmp_path / f"checkpoints/{name}.safetensors") for name in ("best", "last"))
    assert all(torch.equal(value, best[name]) and not torch.equal(value, last[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("interval_s", "expected"), [(1e9, [0, 1, 6]), (0.0, [0, 1, 2, 3, 4, 5, 6])])
def test_worse_epochs_are_written_only_when_the_last_file_is_old(
    interval_s: float, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start, the best epoch and the end are always written."""
    saved: list[int] = []
    save = Checkpoints.save

    def count(self: Checkpoints, snapshot: Snapshot) -> None:
        saved.append(len(snapshot.note["history"]))
        save(self, snapshot)

    monkeypatch.setattr(Checkpoints, "save", count)
    monkeypatch.setattr(state, "LEAST_INTERVAL_S", interval_s)
    history = fit(nn.Linear(2, 1), Growing(), linear_rows(8, 0), linear_rows(8, 1), settings(), folder=tmp_path)
    assert history.best_epoch == 1
    assert saved == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_fit_that_ends_early_writes_the_last_whole_epoch(error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(epoch: int, step: int) -> None:
        if (epoch, step) == (4, 2):
            raise error

    monkeypatch.setattr(state, "LEAST_INTERVAL_S", 1e9)
    expected = nullcontext() if error is KeyboardInterrupt else pytest.raises(error)
    with expected:
        fit(small_network(), Growing(), linear_rows(24, 0, before=stop), linear_rows(8, 1), settings(), folder=tmp_path)
    assert len(Checkpoints(tmp_path / "checkpoints", resume=True).load().note["history"]) == 3
