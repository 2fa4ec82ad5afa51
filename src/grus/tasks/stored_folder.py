"""A trained model as a folder of plain files, and back; nothing in it is ever executed. What is in the files is each task's own.

config.json        what it does and how, the version that wrote it, and the SHA-256 of what is read
README.md          the model card
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as pack_weights
from torch import nn

from grus.cells import get as get_cell
from grus.cells import names as cell_names
from grus.errors import DataError, OptionError
from grus.models.settings import LayerSettings

CONFIG, SCALERS, WEIGHTS, CARD = "config.json", "scalers.json", "model.safetensors", "README.md"


@dataclass(frozen=True)
class Store:
    """Folders of one kind of model.

    kind, version: what config.json says. noun: how a message calls the model. files: patterns of the names beside config.json and README.md.
    """

    kind: str
    version: int
    noun: str
    files: tuple[str, ...]

    def write(
        self, path: str | Path, content: Mapping[str, Any], files: Mapping[str, bytes], card: str, overwrite: bool, training: Mapping[str, Any] | None
    ) -> Path:
        """Write the folder whole or not at all: beside its place first, then into it. A kill at any moment leaves the old one or the new one.

        Raises: OptionError if the folder exists and `overwrite` was not asked for, or holds anything else; OSError where nothing can be written,
        and then what was there is there still.
        """
        folder = Path(os.path.abspath(path))
        _finish_put(folder)
        self._check_place(folder, overwrite)
        digests = {name: digest(own) for name, own in files.items()}
        head = {"kind": self.kind, "version": self.version, "grus": version("grus")}
        config = {**head, **content, "training": dict(training or {}), "files": digests}
        draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        draft.mkdir(parents=True)
        try:
            write(draft / CONFIG, text({**config, "sha256": digest(text(config))}))
            for name, own in files.items():
                write(draft / name, own)
            write(draft / CARD, (card + "\n").encode())
            _sync(draft)
            _put(draft, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return Path(path)

    def read(self, path: str | Path) -> Saved:
        """A folder that `write` wrote, its files read.

        Raises: DataError naming the file that is missing, damaged or of another kind.
        """
        folder = Path(path)
        if not folder.exists() and _previous(folder).is_dir():  # a save was killed between its two renames
            folder = _previous(folder)
        if not folder.is_dir():
            raise DataError(f"{folder}: must be a folder that save wrote, got {'a file' if folder.exists() else 'nothing there'}; check the path.")
        config = parse(folder / CONFIG, self._read(folder / CONFIG))
        if config.get("kind") != self.kind or config.get("version") != self.version:
            got = f"{config.get('kind')!r} of version {config.get('version')!r}"
            must = f"a {self.kind} of version {self.version}"
            raise DataError(f"{folder / CONFIG}: must be of {must}, got {got}; load it with the version of Grus that wrote it.")
        if config.pop("sha256", None) != digest(text(config)):
            raise DataError(f"{folder / CONFIG}: must be as save wrote it, got changed content; save the model again.")
        with content_of(folder):
            names = list(dict[str, str](config["files"]))
            if not all(map(self._is_known, names)):
                raise DataError(f"files must be of a saved {self.noun}")
        return Saved(folder, config, {name: self._read(folder / name) for name in names})

    def _check_place(self, folder: Path, overwrite: bool) -> None:
        """Whether the folder may be written: nothing is there, or a saved model alone that may be replaced."""
        if not os.path.lexists(folder):
            return
        if not overwrite:
            raise OptionError(f"save: {folder} must not exist yet, got something there; pass overwrite=True or another name.")
        found = {entry.name for entry in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else {""}
        known = {name for name in found if name in (CONFIG, CARD) or self._is_known(name)}
        # Other libraries use the same names of files.
        if found and (found - known or CONFIG not in found or parse(folder / CONFIG, self._read(folder / CONFIG)).get("kind") != self.kind):
            raise OptionError(f"save: {folder} must hold a saved {self.noun} and nothing else to be replaced, got other files; choose another name.")

    def _is_known(self, name: str) -> bool:
        return Path(name).name == name and any(fnmatchcase(name, pattern) for pattern in self.files)  # * would match a path elsewhere

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: must be a file of a saved {self.noun}, got {error.strerror}; name a folder that save wrote.") from error


@dataclass(frozen=True)
class Saved:
    """What a folder holds: config.json, and the other files as they are, which `file` and `fill` hold against their digests."""

    folder: Path
    config: dict[str, Any]
    files: Mapping[str, bytes]

    def file(self, name: str) -> bytes:
        """A file as save wrote it.

        Raises: DataError for a damaged one, or that of another model.
        """
        path = self.folder / name
        if name not in self.files:
            raise DataError(f"{path}: must be among the files of {CONFIG}, got no word of it there; save the model again.")
        if digest(self.files[name]) != self.config["files"][name]:
            raise DataError(f"{path}: must be as save wrote it beside {CONFIG}, got a damaged file or that of another model; save it again.")
        return self.files[name]

    def object(self, name: str) -> dict[str, Any]:
        """What a JSON file holds."""
        return parse(self.folder / name, self.file(name))

    def fill(self, network: nn.Module, name: str) -> None:
        """Put the weights of a file into a network.

        Raises: DataError; for another size before another content.
        """
        path = self.folder / name
        try:
            weights = load_weights(self.files[name] if name in self.files else self.file(name))
        except SafetensorError as error:
            raise DataError(f"{path}: must be a whole safetensors file, got {error}; save the model again.") from error
        wanted, got = ({name: (tuple(value.shape), str(value.dtype)) for name, value in state.items()} for state in (network.state_dict(), weights))
        if wanted != got:
            wrong = next(name for name in (*wanted, *got) if wanted.get(name) != got.get(name))
            raise DataError(f"{path}: {wrong} must have the shape {wanted.get(wrong)}, got {got.get(wrong)}; these weights are of another model.")
        network.load_state_dict(weights)
        self.file(name)


@contextmanager
def content_of(folder: Path) -> Generator[None]:
    """What a folder holds is made into a model inside.

    Raises: DataError for content of another kind.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder}: must hold what save wrote, got other content ({type(error).__name__}: {error}); save the model again.") from error


def load_training(path: str | Path) -> dict[str, Any]:
    """How the model in a folder that ``read`` has read was trained, as it was given to ``write``."""
    folder = Path(path) if Path(path).exists() else _previous(Path(path))
    return dict(parse(folder / CONFIG, (folder / CONFIG).read_bytes()).get("training", {}))


def check_cell(settings: LayerSettings) -> None:
    """Raises: OptionError for a cell that is not of the catalogue."""
    cell = settings.cell
    name = cell if isinstance(cell, str) else cell.name
    if name not in cell_names() or (not isinstance(cell, str) and get_cell(name) is not cell):
        raise OptionError(
            f"save: cell must be one of the catalogue, got your own {name!r}; keep its source, and the weights with network.state_dict()."
        )


def weights_of(network: nn.Module) -> bytes:
    return pack_weights({name: value.contiguous() for name, value in network.state_dict().items()})


def parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: must be the JSON that save wrote, got {type(error).__name__}; save the model again.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: must hold an object, got a {type(found).__name__}; save the model again.")
    return cast(dict[str, Any], found)


def text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """The names in a folder onto the disk, where the system can be told to."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _put(draft: Path, folder: Path) -> None:
    """The draft in the folder's place; what was there before stays until it is complete."""
    if not os.path.lexists(folder):
        draft.rename(folder)
        return
    folder.rename(_previous(folder))
    try:
        draft.rename(folder)
    except BaseException:
        _previous(folder).rename(folder)
        raise
    _finish_put(folder)


def _previous(folder: Path) -> Path:
    """Where the old folder is while the new one takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def _finish_put(folder: Path) -> None:
    """What a save that was killed left to do: the old folder back, if the new one did not come, else away."""
    old = _previous(folder)
    if old.is_dir() and not os.path.lexists(folder):
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)  # the new one is in place: what cannot be removed of the old is no failure to save
