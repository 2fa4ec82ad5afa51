"""The file of a session: safetensors with a JSON note, written whole or not at all, and proven when it is read.

The note holds a checksum over the settings and every tensor: a file that changed since it was written is refused. The file also holds a few
steps of random input and the output that the saved session gave for them. A reader runs its own session on that input, which tells another
cell of the same name and shapes wherever its output differs by more than rounding may.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from grus.cells import Cell, get, names
from grus.compiler.blocks import Array
from grus.compiler.program import SCALAR
from grus.errors import DataError, DtypeError, OptionError, ShapeError

VERSION = 1
NOTE = "grus.session"
PROBE_STEPS = 4
TOLERANCE = {"float32": 1e-4, "float64": 1e-10, "bf16": 5e-2}  # of a unit's largest output: other processors round otherwise
SETTINGS = ("cell", "dtype", "precision", "batch", "gates")
AnyPath = str | PathLike[str]
T = TypeVar("T")


@dataclass
class Content:
    """What a file holds. ``layers`` are the parameters, ``answer`` the output for ``probe``."""

    cell: str
    dtype: str
    precision: str
    batch: int | None
    gates: bool
    layers: list[dict[str, Array]]
    state: dict[str, Array] = field(default_factory=dict[str, Array])
    probe: dict[str, Array] = field(default_factory=dict[str, Array])
    answer: Array = field(default_factory=lambda: np.zeros(0))


def probe_inputs(cell: Cell, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Standard normal inputs [steps, size], the same for the same sizes."""
    rng = np.random.default_rng(0)
    return {v.name: rng.standard_normal((PROBE_STEPS, sizes[v.dim] if v.dim != SCALAR else 1), np.float32) for v in cell.program.inputs}


def write(path: AnyPath, content: Content) -> None:
    """Write beside the file first, then take its place."""
    tensors = {f"{number}.{name}": array for number, layer in enumerate(content.layers) for name, array in layer.items()}
    tensors |= {f"state.{name}": np.ascontiguousarray(array) for name, array in content.state.items()}
    tensors |= {f"probe.{name}": array for name, array in content.probe.items()} | {"answer": content.answer}
    note = {"version": VERSION} | {key: getattr(content, key) for key in SETTINGS} | {"layers": len(content.layers)}
    data = save(tensors, {NOTE: json.dumps(note | {"sha256": checksum(note, tensors)})})
    target = Path(path)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def checksum(note: Mapping[str, Any], tensors: Mapping[str, Array]) -> str:
    """SHA-256 over the note, but for the checksum in it, and over each tensor's name, type, shape and bytes in the order of the names."""
    found = hashlib.sha256(json.dumps({key: note[key] for key in sorted(note) if key != "sha256"}).encode())
    for name in sorted(tensors):
        array = tensors[name]
        found.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def read(path: AnyPath) -> Content:
    """The content of a file that is as it was written and whose note and tensors' names are in order."""
    with Path(path).open("rb"):
        pass  # what cannot be opened raises the usual OSError
    try:
        with cast(Any, safe_open(path, framework="numpy")) as file:
            notes: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise _refusal(path, f"one that safetensors cannot read ({error})") from error
    note = _note(path, notes.get(NOTE))
    if checksum(note, tensors) != note["sha256"]:
        raise DataError(f"{path}: must be as Session.save wrote it, got content of another checksum; it is damaged, restore it or save it again.")
    return _content(path, note, tensors)


def choose_cell(path: AnyPath, content: Content, cell: Cell | None) -> Cell:
    """The cell of a file: the caller's, or the catalogue's of that name."""
    if cell is not None:
        if cell.name != content.cell:
            raise OptionError(f"Session.load: cell must be {content.cell}, as {path} says, got {cell.name}; pass that cell.")
        return cell
    if content.cell not in names():
        raise OptionError(
            f"Session.load: cell must be given for {path}, as {content.cell!r} is not in the catalogue, got none; pass cell={content.cell}."
        )
    return get(content.cell)


def refuse_as_data(path: AnyPath, make: Callable[[], T]) -> T:
    """What ``make`` gives; its refusal of the file's weights is the file's fault."""
    try:
        return make()
    except (OptionError, ShapeError, DtypeError) as error:
        raise DataError(
            f"{path}: must hold weights that fit its cell, got ones that it refuses ({error}); pass the cell they were saved with."
        ) from error


def compare(path: AnyPath, content: Content, answer: Array) -> None:
    """Whether every unit of the loaded session gives what it gave in the saved one, but for rounding.

    Raises: DataError where one does not.
    """
    wanted = content.answer
    if wanted.shape == answer.shape:
        largest = np.abs(wanted, where=np.isfinite(wanted), out=np.zeros_like(wanted)).max(axis=0, initial=0.0)
        room = TOLERANCE[content.precision] * largest + np.finfo(content.dtype).smallest_normal
        if np.isclose(answer, wanted, rtol=0.0, atol=room, equal_nan=True).all():
            return
    raise DataError(
        f"{path}: must give the outputs that were saved with it, got others; {content.cell!r} is now another cell: pass the one it was saved with."
    )


def _note(path: AnyPath, text: str | None) -> dict[str, Any]:
    """The settings of a file, each of its type."""
    if text is None:
        raise _refusal(path, f"a file without the note {NOTE!r}")
    try:
        note = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, "a note that is not JSON") from error
    if not isinstance(note, dict):
        raise _refusal(path, "a note that is no JSON object")
    found = cast(dict[str, Any], note)
    if found.get("version") != VERSION:
        raise DataError(f"{path}: must be of version {VERSION}, got {found.get('version')!r}; load it with the version of grus that wrote it.")
    kinds: dict[str, tuple[type, ...]] = {"batch": (int, type(None)), "gates": (bool,), "layers": (int,)}
    for key, kind in (dict[str, tuple[type, ...]].fromkeys(("cell", "dtype", "precision", "sha256"), (str,)) | kinds).items():
        if key not in found or type(found[key]) not in kind:
            raise _refusal(path, f"a note with {key} {found.get(key)!r}")
    if found["dtype"] not in ("float32", "float64"):
        raise _refusal(path, f"a note with dtype {found['dtype']!r}")
    return found


def _content(path: AnyPath, note: Mapping[str, Any], tensors: dict[str, Array]) -> Content:
    """Tensors sorted by their names."""
    content = Content(**{key: note[key] for key in SETTINGS}, layers=[])
    groups: dict[str, dict[str, Array]] = {}
    for key, array in tensors.items():
        if array.dtype.name != ("float32" if key.startswith("probe.") else content.dtype):
            raise _refusal(path, f"{key} of {array.dtype}")
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = array
    numbers = [str(number) for number in range(min(note["layers"], len(tensors)))]
    content.layers = [groups.pop(number, {}) for number in numbers]
    content.state, content.probe = groups.pop("state", {}), groups.pop("probe", {})
    content.answer = groups.pop("answer", {}).get("", np.zeros(0))
    if len(numbers) != note["layers"] or groups:
        raise _refusal(path, f"{note['layers']} layers by its note and tensors that do not belong there")
    return content


def _refusal(path: AnyPath, got: str) -> DataError:
    return DataError(f"{path}: must be a session written by Session.save, got {got}; save the session again.")
