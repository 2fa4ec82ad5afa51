"""A trained forecaster as a folder of plain files, and back; nothing in it is ever executed.

config.json        what it forecasts and how, the version that wrote it, and the SHA-256 of what is read
scalers.json       the units of every series and covariate, and the intervals' corrections
model.safetensors  the network's weights
README.md          the model card
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as pack_weights

from grus.cells import get as get_cell
from grus.cells import names as cell_names
from grus.data.calendar import Step
from grus.data.panel import Columns, Panel
from grus.data.scaling import Scaling
from grus.errors import DataError, OptionError
from grus.evaluation.conformal import ScaledQuantiles
from grus.models.forecast import ForecastNetwork, ForecastSettings, ForecastShape, build
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.training import seeded

VERSION = 2
KIND = "grus forecaster"
FILES = CONFIG, SCALERS, WEIGHTS, CARD = "config.json", "scalers.json", "model.safetensors", "README.md"


def save(model: ForecastModel, path: str | Path, card: str, *, overwrite: bool = False, training: Mapping[str, Any] | None = None) -> Path:
    """Write the folder whole or not at all: beside its place first, then into it. A kill at any moment leaves the old one or the new one.

    card: the text of README.md. training: how it was trained, as JSON can hold it, for ``load_training``.

    Raises: OptionError if the folder exists and `overwrite` was not asked for, holds anything else, or if the cell is not of the catalogue;
    OSError where nothing can be written, and then what was there is there still.
    """
    folder = Path(os.path.abspath(path))
    _check_cell(model)
    _finish_put(folder)
    _check_place(folder, overwrite)
    scalers = _text(_scalers(model))
    weights = pack_weights({name: value.contiguous() for name, value in model.network.state_dict().items()})
    config = {**_config(model), "training": dict(training or {}), "files": {SCALERS: _digest(scalers), WEIGHTS: _digest(weights)}}
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True)
    try:
        _write(draft / CONFIG, _text({**config, "sha256": _digest(_text(config))}))
        _write(draft / SCALERS, scalers)
        _write(draft / WEIGHTS, weights)
        _write(draft / CARD, (card + "\n").encode())
        _sync(draft)
        _put(draft, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Path(path)


def load(path: str | Path) -> ForecastModel:
    """The model in a folder that `save` wrote.

    Raises: DataError naming the file that is missing, damaged, of another model or of another kind.
    """
    folder = Path(path)
    if not folder.exists() and _previous(folder).is_dir():  # a save was killed between its two renames
        folder = _previous(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: must be a folder that save wrote, got {'a file' if folder.exists() else 'nothing there'}; check the path.")
    config = _parse(folder / CONFIG, _read(folder / CONFIG))
    if config.get("kind") != KIND or config.get("version") != VERSION:
        got = f"{config.get('kind')!r} of version {config.get('version')!r}"
        raise DataError(f"{folder / CONFIG}: must be of a {KIND} of version {VERSION}, got {got}; load it with the version of Grus that wrote it.")
    if config.pop("sha256", None) != _digest(_text(config)):
        raise DataError(f"{folder / CONFIG}: must be as save wrote it, got changed content; save the model again.")
    data = {name: _read(folder / name) for name in (SCALERS, WEIGHTS)}
    _check_digest(folder / SCALERS, data[SCALERS], config)
    scalers = _parse(folder / SCALERS, data[SCALERS])
    try:
        settings = ForecastSettings(**config["model"])
        like = _like(config["panel"])
        windows = WindowSettings(**config["windows"])
        scaling = Scaling.from_dict(scalers["scaling"])
        intervals = {(low, high): ScaledQuantiles(np.array(factor, np.float64), coverage) for low, high, coverage, factor in scalers["intervals"]}
        facts = tuple((str(name), str(value)) for name, value in config["facts"])
        with seeded(0):
            network = build(settings, ForecastShape(**config["shape"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder}: must hold what save wrote, got other content ({type(error).__name__}: {error}); save the model again.") from error
    _load_weights(network, folder / WEIGHTS, data[WEIGHTS])  # tells another size before another content
    _check_digest(folder / WEIGHTS, data[WEIGHTS], config)
    return ForecastModel(network.eval(), windows, scaling, like, intervals, facts)


def load_training(path: str | Path) -> dict[str, Any]:
    """How the model in a folder that ``load`` has read was trained, as it was given to ``save``."""
    folder = Path(path) if Path(path).exists() else _previous(Path(path))
    return dict(_parse(folder / CONFIG, _read(folder / CONFIG)).get("training", {}))


def _check_digest(path: Path, content: bytes, config: Mapping[str, Any]) -> None:
    if _digest(content) != config["files"].get(path.name):
        raise DataError(f"{path}: must be as save wrote it beside {CONFIG}, got a damaged file or that of another model; save it again.")


def _check_cell(model: ForecastModel) -> None:
    cell = model.network.settings.cell
    name = cell if isinstance(cell, str) else cell.name
    if name not in cell_names() or (not isinstance(cell, str) and get_cell(name) is not cell):
        raise OptionError(
            f"save: cell must be one of the catalogue, got your own {name!r}; keep its source, and the weights with network.state_dict()."
        )


def _check_place(folder: Path, overwrite: bool) -> None:
    """Whether the folder may be written: nothing is there, or a saved forecaster alone that may be replaced."""
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise OptionError(f"save: {folder} must not exist yet, got something there; pass overwrite=True or another name.")
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else {""}
    # Other libraries use the same names of files.
    if found and (found - set(FILES) or CONFIG not in found or _parse(folder / CONFIG, _read(folder / CONFIG)).get("kind") != KIND):
        raise OptionError(f"save: {folder} must hold a saved forecaster and nothing else to be replaced, got other files; choose another name.")


def _load_weights(network: ForecastNetwork, path: Path, content: bytes) -> None:
    try:
        weights = load_weights(content)
    except SafetensorError as error:
        raise DataError(f"{path}: must be a whole safetensors file, got {error}; save the model again.") from error
    wanted, got = ({name: (tuple(value.shape), str(value.dtype)) for name, value in state.items()} for state in (network.state_dict(), weights))
    if wanted != got:
        wrong = next(name for name in (*wanted, *got) if wanted.get(name) != got.get(name))
        raise DataError(f"{path}: {wrong} must have the shape {wanted.get(wrong)}, got {got.get(wrong)}; these weights are of another model.")
    network.load_state_dict(weights)


def _config(model: ForecastModel) -> dict[str, Any]:
    like = model.like
    return {
        "kind": KIND,
        "version": VERSION,
        "grus": version("grus"),
        "windows": asdict(model.windows),
        "model": model.network.settings.model_dump(mode="json"),
        "shape": asdict(model.network.shape),
        "panel": {
            "columns": asdict(like.columns),
            "step": asdict(like.step),
            "past_names": list(like.past_names),
            "future_names": list(like.future_names),
            "static_names": list(like.static_names),
            "categories": {name: list(values) for name, values in like.categories.items()},
            "findings": list(like.findings),
        },
        "facts": [list(fact) for fact in model.facts],
    }


def _scalers(model: ForecastModel) -> dict[str, Any]:
    intervals = [[low, high, each.coverage, each.factor.tolist()] for (low, high), each in model.intervals.items()]
    return {"scaling": model.scaling.to_dict(), "intervals": intervals}


def _like(entry: Mapping[str, Any]) -> Panel:
    given: dict[str, Any] = entry["columns"]
    columns = Columns(given["id"], given["time"], given["target"], *(tuple[str, ...](given[role]) for role in ("past", "future", "static")))
    names = (tuple[str, ...](entry[name]) for name in ("past_names", "future_names", "static_names"))
    categories = {name: tuple[str, ...](values) for name, values in entry["categories"].items()}
    return Panel((), columns, Step(**entry["step"]), *names, categories=categories, findings=tuple(entry["findings"]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: must be a file of a saved forecaster, got {error.strerror}; name a folder that save wrote.") from error


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: must be the JSON that save wrote, got {type(error).__name__}; save the model again.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: must hold an object, got a {type(found).__name__}; save the model again.")
    return cast(dict[str, Any], found)


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
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
