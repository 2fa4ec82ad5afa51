"""A trained forecaster as a folder of plain files, and back; nothing in it is ever executed.

config.json        what it forecasts and how, the version that wrote it, and the SHA-256 of what is read
scalers.json       the units of every series and covariate, and the intervals' corrections
model.safetensors  the network's weights
README.md          the model card
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from grus.data.calendar import Step
from grus.data.panel import Columns, Panel
from grus.data.scaling import Scaling
from grus.evaluation.conformal import ScaledQuantiles
from grus.models.forecast import ForecastSettings, ForecastShape, build
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.stored_folder import CARD, CONFIG, SCALERS, WEIGHTS, Store, check_cell, content_of, load_training, text, weights_of
from grus.training import seeded

__all__ = ["CARD", "CONFIG", "STORE", "load", "load_training", "save"]

STORE = Store("grus forecaster", 2, "forecaster", (SCALERS, WEIGHTS))


def save(model: ForecastModel, path: str | Path, card: str, *, overwrite: bool = False, training: Mapping[str, Any] | None = None) -> Path:
    """Write the folder whole or not at all: beside its place first, then into it. A kill at any moment leaves the old one or the new one.

    card: the text of README.md. training: how it was trained, as JSON can hold it, for ``load_training``.

    Raises: OptionError if the folder exists and `overwrite` was not asked for, holds anything else, or if the cell is not of the catalogue;
    OSError where nothing can be written, and then what was there is there still.
    """
    check_cell(model.network.settings)
    files = {SCALERS: text(_scalers(model)), WEIGHTS: weights_of(model.network)}
    return STORE.write(path, _config(model), files, card, overwrite, training)


def load(path: str | Path) -> ForecastModel:
    """The model in a folder that `save` wrote.

    Raises: DataError naming the file that is missing, damaged, of another model or of another kind.
    """
    saved = STORE.read(path)
    config, scalers = saved.config, saved.object(SCALERS)
    with content_of(saved.folder):
        settings = ForecastSettings(**config["model"])
        like = _like(config["panel"])
        windows = WindowSettings(**config["windows"])
        scaling = Scaling.from_dict(scalers["scaling"])
        intervals = {(low, high): ScaledQuantiles(np.array(factor, np.float64), coverage) for low, high, coverage, factor in scalers["intervals"]}
        facts = tuple((str(name), str(value)) for name, value in config["facts"])
        with seeded(0):
            network = build(settings, ForecastShape(**config["shape"]))
    saved.fill(network, WEIGHTS)
    return ForecastModel(network.eval(), windows, scaling, like, intervals, facts)


def _config(model: ForecastModel) -> dict[str, Any]:
    like = model.like
    return {
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
