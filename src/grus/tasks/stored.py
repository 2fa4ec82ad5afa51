"""A trained forecaster as a folder of plain files, and back; nothing in it is ever executed.

config.json        what it forecasts and how, with the versions that wrote it
scalers.json       the units of every series and covariate, and the intervals' corrections
model.safetensors  the network's weights
README.md          the model card
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

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
from safetensors.torch import load_file, save_file

from grus.cells import names as cell_names
from grus.data.calendar import Step
from grus.data.panel import Columns, Panel
from grus.data.scaling import Scaling
from grus.errors import DataError, OptionError
from grus.evaluation.conformal import ConformalQuantiles
from grus.models.forecast import ForecastSettings, ForecastShape, build
from grus.tasks.forecast import ForecastModel, WindowSettings

VERSION = 1
KIND = "grus forecaster"
FILES = ("config.json", "scalers.json", "model.safetensors", "README.md")


def save(model: ForecastModel, path: str | Path, card: str, *, overwrite: bool = False) -> Path:
    """Write the folder whole or not at all: beside its place first, then into it.

    card: the text of README.md.

    Raises: OptionError if the folder exists and `overwrite` was not asked for, holds anything else, or if the cell is not of the catalogue;
    OSError where nothing can be written.
    """
    folder, cell = Path(path), model.network.settings.cell
    name = cell if isinstance(cell, str) else cell.name
    if name not in cell_names():
        raise OptionError(
            f"save: cell must be one of the catalogue, got {name!r}; keep your own cell's source, and the weights with network.state_dict()."
        )
    if folder.exists() and not overwrite:
        raise OptionError(f"save: {folder} must not exist yet, got a folder; pass overwrite=True or another name.")
    if folder.exists() and (not folder.is_dir() or {entry.name for entry in folder.iterdir()} - set(FILES)):
        raise OptionError(f"save: {folder} must hold a saved forecaster and nothing else to be replaced, got other files; choose another name.")
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True)
    try:
        _write(draft / "config.json", json.dumps(_config(model), indent=1))
        _write(draft / "scalers.json", json.dumps(_scalers(model), indent=1))
        save_file(model.network.state_dict(), draft / "model.safetensors")
        _write(draft / "README.md", card)
        _put(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def load(path: str | Path) -> ForecastModel:
    """The model in a folder that `save` wrote.

    Raises: DataError naming the file that is missing, damaged or of another kind.
    """
    folder = Path(path)
    config, scalers = (_read(folder / name) for name in FILES[:2])
    if config.get("kind") != KIND or config.get("version") != VERSION:
        got = f"{config.get('kind')!r} of version {config.get('version')!r}"
        raise DataError(f"{folder}: must hold a {KIND} of version {VERSION}, got {got}; load it with the version of Grus that wrote it.")
    try:
        settings = ForecastSettings(**config["model"])
        shape = ForecastShape(**config["shape"])
        like = _like(config["panel"])
        windows = WindowSettings(**config["windows"])
        scaling = Scaling.from_dict(scalers["scaling"])
        intervals = {(low, high): ConformalQuantiles(np.array(margin, np.float64), coverage) for low, high, coverage, margin in scalers["intervals"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder}: must hold what save wrote, got other content ({type(error).__name__}: {error}); save the model again.") from error
    network = build(settings, shape)
    _load_weights(network, folder / "model.safetensors")
    return ForecastModel(network.eval(), windows, scaling, like, intervals)


def _load_weights(network: Any, path: Path) -> None:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: must be a whole safetensors file, got {error}; save the model again.") from error
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in weights.items()}
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
        },
    }


def _scalers(model: ForecastModel) -> dict[str, Any]:
    intervals = [[low, high, each.coverage, each.margin.tolist()] for (low, high), each in model.intervals.items()]
    return {"scaling": model.scaling.to_dict(), "intervals": intervals}


def _like(entry: Mapping[str, Any]) -> Panel:
    given: dict[str, Any] = entry["columns"]
    columns = Columns(given["id"], given["time"], given["target"], *(tuple[str, ...](given[role]) for role in ("past", "future", "static")))
    names = (tuple[str, ...](entry[name]) for name in ("past_names", "future_names", "static_names"))
    categories = {name: tuple[str, ...](values) for name, values in entry["categories"].items()}
    return Panel((), columns, Step(**entry["step"]), *names, categories=categories)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: must be a file of a saved forecaster, got none; name a folder that save wrote.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: must be the JSON that save wrote, got {type(error).__name__}; save the model again.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: must hold an object, got a {type(found).__name__}; save the model again.")
    return cast(dict[str, Any], found)


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _put(draft: Path, folder: Path) -> None:
    """The draft in the folder's place; what was there before stays until it is complete."""
    if not folder.exists():
        draft.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    folder.rename(old)
    try:
        draft.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)
