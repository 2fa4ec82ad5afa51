"""Checkpoints in a folder: safetensors and JSON, each file written whole, and always one generation that can be read.

    state.json            says what the others must be, by size and sha256; written last
    last.safetensors      the weights
    best.safetensors      the weights of the best epoch
    optimiser.safetensors what the optimiser and the other parts of the run remember
    previous/             the generation before, under the same names

A save writes all drafts first, then moves the old files into ``previous``, then the drafts into place. A file is known by its checksum, in
either folder, so whichever move a crash comes after, one of the two ``state.json`` finds all of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from grus.errors import CheckpointError, OptionError

FORMAT = "grus.training"
VERSION = 4
STATE = "state.json"
FILES = {"weights": "last.safetensors", "best": "best.safetensors", "optimiser": "optimiser.safetensors"}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run at one moment; ``note`` is what JSON holds of it: settings, data, history, schedule, how far the epoch had come, and the like."""

    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    note: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """All of it, for another process of the same run."""
        parts = [save_tensors(dict(getattr(self, part))) for part in FILES] + [json.dumps(self.note, allow_nan=False).encode()]
        return json.dumps([len(part) for part in parts]).encode() + b"\n" + b"".join(parts)

    @staticmethod
    def from_bytes(data: bytes) -> Snapshot:
        """What ``to_bytes`` gave."""
        head, _, body = data.partition(b"\n")
        ends = [0, *accumulate(json.loads(head))]
        *tensors, note = (body[start:stop] for start, stop in pairwise(ends))
        weights, best, optimiser = map(load_tensors, tensors)
        return Snapshot(weights, best, optimiser, json.loads(note))


class Checkpoints:
    """The checkpoints of one run in a folder, the last one and the one before it.

    Raises: OptionError where ``resume`` is not asked for and the folder holds a run.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder, self._previous = folder, folder / "previous"
        self._rotate = True
        held = [place for place in (folder, self._previous) if (place / STATE).exists()]
        if held and not resume:
            raise OptionError(f"fit: folder must hold no run yet, got {held[0] / STATE}; pass resume=True to go on with it, or another folder.")

    def save(self, snapshot: Snapshot) -> None:
        """Write a generation; the one before it is kept.

        Raises: CheckpointError where the folder cannot take it; the files of before are then as they were.
        """
        contents = {file: save_tensors(dict(getattr(snapshot, part)), {"format": "pt"}) for part, file in FILES.items()}
        files = {file: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in contents.items()}
        note = {"format": FORMAT, "version": VERSION, "files": files} | dict(snapshot.note)
        contents[STATE] = json.dumps(note | {"sha256": _checksum(note)}, indent=1, allow_nan=False).encode()
        drafts = {file: self.folder / f".{file}.draft" for file in contents}
        try:
            self._previous.mkdir(parents=True, exist_ok=True)
            for file, data in contents.items():
                _write(drafts[file], data)
            self._take_place(drafts)
        except OSError as error:
            size = sum(map(len, contents.values()))
            raise CheckpointError(
                f"fit: {self.folder} must take a checkpoint of {size} bytes, got {error.strerror or error}; the checkpoint of before is kept: "
                "make room or pass another folder."
            ) from error
        finally:
            _remove(drafts.values())

    def _take_place(self, drafts: Mapping[str, Path]) -> None:
        if self._rotate:
            for file in drafts:
                if (self.folder / file).exists():
                    (self.folder / file).replace(self._previous / file)
        self._rotate = False  # until the new generation is whole, what lies here must not take the place of the old one
        for file, draft in drafts.items():
            draft.replace(self.folder / file)
        for place in (self._previous, self.folder):
            _sync(place)
        self._rotate = True

    def load(self) -> Snapshot:
        """The last generation, or with a warning the one before it where the last one is torn.

        Raises: CheckpointError where neither can be read.
        """
        refusals: list[str] = []
        for place in (self.folder, self._previous):
            try:
                snapshot = self._read(place / STATE)
            except CheckpointError as error:
                refusals.append(str(error))
                continue
            if refusals:
                self._rotate = False  # the torn files must not take the place of the good ones
                warnings.warn(f"{refusals[0]} The previous checkpoint is used.", RuntimeWarning, stacklevel=3)
            return snapshot
        raise CheckpointError(" ".join(refusals))

    def _read(self, path: Path) -> Snapshot:
        note = _read_state(path)
        found: dict[str, dict[str, Tensor]] = {}
        for part, file in FILES.items():
            data = self._find(path, file, note["files"][file])
            try:
                found[part] = load_tensors(data)
            except (SafetensorError, ValueError, KeyError) as error:
                raise CheckpointError(f"{path}: {file} must be safetensors, got {error}; restore it, or start anew in another folder.") from error
        return Snapshot(**found, note=note)

    def _find(self, path: Path, file: str, wanted: Mapping[str, Any]) -> bytes:
        got = "none"
        for place in (self.folder / file, self._previous / file):
            if not place.is_file():
                continue
            data = place.read_bytes()
            if len(data) == wanted["bytes"] and hashlib.sha256(data).hexdigest() == wanted["sha256"]:
                return data
            if got == "none":
                got = f"{len(data)} bytes of another checksum"
        raise CheckpointError(
            f"{path}: {file} must be the {wanted['bytes']} bytes that were written, got {got}; restore it, or start anew in another folder."
        )


def ranks_of(folder: Path) -> int:
    """How many ranks the run has whose checkpoints lie there; 1 where none can be read."""
    for place in (folder, folder / "previous"):
        with suppress(CheckpointError):  # said where the run goes on
            return int(_read_state(place / STATE)["ranks"])
    return 1


def _read_state(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: must be there to resume, got no such file; leave resume out to start a run.") from error
    except OSError as error:
        raise CheckpointError(f"{path}: must be readable, got {error.strerror}; check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: must be the JSON that fit wrote, got {error}; restore it, or start anew in another folder.") from error
    if not isinstance(note, dict) or cast(dict[str, Any], note).get("format") != FORMAT:
        raise CheckpointError(f"{path}: must be the state of a training run (format {FORMAT!r}), got another file; pass the folder of the run.")
    state = cast(dict[str, Any], note)
    if state.get("version") != VERSION:
        raise CheckpointError(f"{path}: must be of version {VERSION}, got {state.get('version')!r}; resume with the Grus that wrote it.")
    if state.pop("sha256", None) != _checksum(state):
        raise CheckpointError(f"{path}: must be as fit wrote it, got content of another checksum; restore it, or start anew in another folder.")
    return state


def _checksum(note: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Names outlive a loss of power only once their folder is written."""
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _remove(drafts: Iterable[Path]) -> None:
    for draft in drafts:
        with suppress(OSError):  # a folder that takes no file lets none go either; that error is already on its way
            draft.unlink(missing_ok=True)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which JSON does not have")
