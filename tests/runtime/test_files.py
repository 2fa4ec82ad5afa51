"""Files of sessions: a round trip keeps everything, and nothing but a whole, true file is taken."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from grus import cells
from grus.compiler.native import target
from grus.errors import BackendError, DataError, GrusError, OptionError
from grus.runtime import Session, files
from tests.runtime.streams import ROWS, faster, leaky, offline, stack, streams, walk

TARGETS = [name for name in target.NAMES if target.get(name).runnable]
Array = np.ndarray[Any, Any]
Parts = tuple[dict[str, Array], dict[str, Any]]
Edit = Callable[[dict[str, Array], dict[str, Any]], None]


def rewrite(path: Path, tensors: dict[str, Array], note: dict[str, Any]) -> None:
    """The file with another content and the checksum of that."""
    save_file(tensors, path, {files.NOTE: json.dumps(note | {"sha256": files.checksum(note, tensors)})})


def parts(path: Path) -> Parts:
    """A file's tensors and its note."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()[files.NOTE])  # noqa: SIM118


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved stack of two layers."""
    path = tmp_path / "session.safetensors"
    Session("gru", stack("gru", 2)[0]).save(path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", cells.names())
def test_round_trip_of_every_cell(name: str, dtype: str, tmp_path: Path) -> None:
    given = streams(name, dtype)
    session = Session(name, given.parameters, dtype=dtype)
    session.save(tmp_path / "it")
    loaded = Session.load(tmp_path / "it")
    assert repr(loaded) == repr(session)
    for mine, theirs in zip(session.parameters, loaded.parameters, strict=True):
        assert mine.keys() == theirs.keys()
        for key, array in mine.items():
            np.testing.assert_array_equal(theirs[key], array)
    np.testing.assert_array_equal(walk(loaded, given.row(0)), offline(given)[0][:, 0])


def test_settings_come_back(tmp_path: Path) -> None:
    parameters, x = stack("lstm", 2)
    session = Session("lstm", parameters, batch=ROWS, gates=True)
    session.block(x)
    session.save(str(tmp_path / "it"))
    loaded = Session.load(str(tmp_path / "it"))
    assert loaded.batch == ROWS
    assert loaded.gates().keys() == session.gates().keys()
    assert not any(value.any() for value in loaded.state.values())


def test_saved_state_goes_on_where_it_was(tmp_path: Path) -> None:
    given = streams("lstm")
    session = Session("lstm", given.parameters, batch=ROWS)
    session.block(given.inputs["x"][:4])
    session.save(tmp_path / "it", state=True)
    np.testing.assert_array_equal(Session.load(tmp_path / "it").block(given.inputs["x"][4:]), offline(given)[0][4:])
    with pytest.raises(OptionError, match="batch must be 3, that of the saved state, got None"):
        Session.load(tmp_path / "it", batch=None)


def test_saving_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    given = streams("gru")
    session = Session("gru", given.parameters)
    first = session.block(given.inputs["x"][:4, 0])
    session.save(tmp_path / "it")
    np.testing.assert_array_equal(np.concatenate([first, session.block(given.inputs["x"][4:, 0])]), offline(given)[0][:, 0])


def test_batch_can_be_another(path: Path) -> None:
    x = stack("gru", 2)[1]
    batch = Session.load(path, batch=ROWS)
    np.testing.assert_array_equal(batch.block(x)[:, 1], Session.load(path).block(x[:, 1]))


def test_own_cell_is_passed(tmp_path: Path) -> None:
    given = streams(leaky)
    Session(leaky, given.parameters).save(tmp_path / "it")
    np.testing.assert_array_equal(Session.load(tmp_path / "it", leaky).block(given.inputs["x"][:, 0]), offline(given)[0][:, 0])
    with pytest.raises(OptionError, match="'leaky' is not in the catalogue, got none; pass cell=leaky"):
        Session.load(tmp_path / "it")
    with pytest.raises(OptionError, match=r"cell must be leaky, as .* says, got faster"):
        Session.load(tmp_path / "it", faster)


def test_another_cell_of_the_same_name_is_refused(tmp_path: Path) -> None:
    given = streams(leaky)
    Session(leaky, given.parameters).save(tmp_path / "it")
    tensors, note = parts(tmp_path / "it")
    rewrite(tmp_path / "it", tensors, note | {"cell": "faster"})
    with pytest.raises(DataError, match=r"must give the outputs that were saved with it, got others; 'faster' is now another cell: pass the one"):
        Session.load(tmp_path / "it", faster)


def test_another_cell_is_told_by_a_small_unit_beside_a_large_one(tmp_path: Path) -> None:
    given = streams(leaky)
    given.parameters["W"][0] *= 1e8
    given.parameters["k"][0] = -30.0
    given.parameters["k"][1:] = 0.0
    Session(leaky, given.parameters).save(tmp_path / "it")
    tensors, note = parts(tmp_path / "it")
    rewrite(tmp_path / "it", tensors, note | {"cell": "faster"})
    with pytest.raises(DataError, match="must give the outputs"):
        Session.load(tmp_path / "it", faster)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", TARGETS)
def test_file_is_read_on_every_target(name: str, precision: str, tmp_path: Path) -> None:
    given = streams("gru", H=40)
    for array in given.parameters.values():
        array[::3] *= 1e3
    Session("gru", given.parameters, precision=precision).save(tmp_path / "it")
    assert Session.load(tmp_path / "it", target=name).precision == precision


def test_weights_that_are_not_numbers_come_back(tmp_path: Path) -> None:
    given = streams("gru")
    broken = {name: array.copy() for name, array in given.parameters.items()}
    broken["U_r"][0, 0], broken["b_z"][3] = np.nan, np.inf
    Session("gru", broken).save(tmp_path / "it")
    np.testing.assert_array_equal(Session.load(tmp_path / "it").parameters[0]["U_r"], broken["U_r"])


def test_wrong_target_is_not_the_files_fault(path: Path) -> None:
    with pytest.raises(OptionError, match="abacus"):
        Session.load(path, target="abacus")
    with pytest.raises(BackendError, match="neon"):
        Session.load(path, target="neon")


# --- what is refused ---------------------------------------------------------------------------------------------------------


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Session.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        Session("gru", streams("gru").parameters).save(tmp_path / "no folder" / "it")


def test_failed_save_keeps_the_older_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no room"):
        Session("gru", streams("gru").parameters).save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_file_is_readable_as_any_other(path: Path) -> None:
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("keep", [0, 4, 7, 8, 60, 500, -1])
def test_truncated_file_is_refused(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"session\.safetensors: must be a session written by Session\.save, got one that safetensors cannot read"):
        Session.load(path)


@pytest.mark.parametrize("content", [b"hello", b"\xff" * 64, b"PK\x03\x04" + bytes(100), (1 << 40).to_bytes(8, "little") + b"{}"])
def test_foreign_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot read"):
        Session.load(path)


@pytest.mark.parametrize("notes", [None, {}, {"format": "pt"}])
def test_other_safetensors_files_are_refused(path: Path, notes: dict[str, str] | None) -> None:
    save_file({"weight": np.zeros(3)}, path, notes)
    with pytest.raises(DataError, match=r"must be a session written by Session\.save, got a file without the note 'grus\.session'"):
        Session.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a note that is not JSON"),
        ("[" * 100_000, "a note that is not JSON"),
        ("[]", "a note that is no JSON object"),
        ("{}", "must be of version 1, got None; load it with the version of grus that wrote it"),
        ('{"version": 2}', "must be of version 1, got 2"),
        ('{"version": 1}', "a note with cell None"),
    ],
)
def test_foreign_note_is_refused(path: Path, text: str, message: str) -> None:
    save_file(parts(path)[0], path, {files.NOTE: text})
    with pytest.raises(DataError, match=message):
        Session.load(path)


def other_dtype(tensors: dict[str, Array], note: dict[str, Any]) -> None:
    tensors["0.W_r"] = tensors["0.W_r"].astype(np.float64)


def wrong_weight(tensors: dict[str, Array], note: dict[str, Any]) -> None:
    tensors["1.U_r"][2, 3] += 0.5


def swapped(tensors: dict[str, Array], note: dict[str, Any]) -> None:
    tensors["0.W_r"], tensors["0.W_z"] = tensors["0.W_z"], tensors["0.W_r"]


EDITS: list[tuple[Edit, type[GrusError], str]] = [
    (lambda t, n: n.update(cell="grru"), OptionError, "'grru' is not in the catalogue"),
    (lambda t, n: n.update(cell=3), DataError, "a note with cell 3"),
    (lambda t, n: n.update(dtype="float16"), DataError, "a note with dtype 'float16'"),
    (lambda t, n: n.update(dtype="float64"), DataError, "of float32"),
    (lambda t, n: n.update(batch="many"), DataError, "a note with batch 'many'"),
    (lambda t, n: n.update(batch=-1), DataError, "batch must be None"),
    (lambda t, n: n.update(layers=True), DataError, "a note with layers True"),
    (lambda t, n: n.update(layers=1), DataError, "1 layers by its note and tensors that do not belong there"),
    (lambda t, n: n.update(layers=3), DataError, "parameters must be"),
    (lambda t, n: n.update(layers=10**12), DataError, "layers by its note"),
    (lambda t, n: n.update(layers=-1), DataError, "layers by its note"),
    (lambda t, n: n.update(cell="lstm"), DataError, "must hold weights that fit its cell, got ones that it refuses .*parameters must be"),
    (lambda t, n: t.pop("1.W_r"), DataError, "got no W_r"),
    (lambda t, n: t.update({"1.W_q": t["1.W_r"]}), DataError, "got 'W_q'"),
    (lambda t, n: t.update({"more": t["1.W_r"]}), DataError, "tensors that do not belong there"),
    (lambda t, n: t.update({"1.W_r": t["1.W_r"][:, :3].copy()}), DataError, r"layer 1: W_z must be \[H = 7, I = 3\], got \[7, 11\]"),
    (lambda t, n: t.update({"0.W_r": t["0.W_r"].astype(np.float64)}), DataError, "0.W_r of float64"),
    (lambda t, n: t.pop("answer"), DataError, "must give the outputs that were saved with it"),
    (lambda t, n: t.pop("probe.x"), DataError, "probe must be x, got no x"),
    (lambda t, n: t.update({"probe.x": t["probe.x"][0]}), DataError, r"x must be \[T, 5\]"),
    (lambda t, n: t.update({"state.h": t["answer"]}), DataError, "state must be h_l0, h_l1, got no h_l0"),
    (lambda t, n: t.update({"state.h_l0": np.zeros(11, "f4"), "state.h_l1": np.zeros(8, "f4")}), DataError, r"h_l1 must be \[7\], got \[8\]"),
    (lambda t, n: n.update(precision="bf8"), DataError, "precision must be 'float32', or 'bf16'"),
    (lambda t, n: n.update(precision=None), DataError, "a note with precision None"),
    (wrong_weight, DataError, "must give the outputs that were saved with it, got others"),
    (swapped, DataError, "must give the outputs that were saved with it"),
]


@pytest.mark.parametrize(("edit", "kind", "message"), EDITS)
def test_changed_file_is_refused(path: Path, edit: Edit, kind: type[GrusError], message: str) -> None:
    tensors, note = parts(path)
    edit(tensors, note)
    rewrite(path, tensors, note)
    with pytest.raises(kind, match=message) as caught:
        Session.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("edit", [edit for edit, kind, _ in EDITS if kind is DataError])
def test_changed_file_with_the_old_checksum_is_refused(path: Path, edit: Edit) -> None:
    tensors, note = parts(path)
    edit(tensors, note)
    save_file(tensors, path, {files.NOTE: json.dumps(note)})
    with pytest.raises(DataError):
        Session.load(path)


def test_weight_that_hardly_shows_does_not_change_unseen(tmp_path: Path) -> None:
    """One unit's outputs are a million times those of the damaged one."""
    given = streams("rnn_relu")
    given.parameters["W"][0] *= 1e6
    path = tmp_path / "it"
    Session("rnn_relu", given.parameters).save(path)
    tensors, note = parts(path)
    tensors["0.W"][5] *= -1
    save_file(tensors, path, {files.NOTE: json.dumps(note)})
    with pytest.raises(DataError, match=r"it: must be as Session\.save wrote it, got content of another checksum; it is damaged, restore it"):
        Session.load(path)


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    """One bit in every third byte of a whole file: length, header, note, weights, state, probe and answer."""
    path = tmp_path / "it"
    session = Session("rnn_tanh", streams("rnn_tanh", I=2, H=2).parameters, batch=2)
    session.save(path, state=True)
    sound = path.read_bytes()
    for at in range(0, len(sound), 3):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            Session.load(path)
