"""A trained classifier or regressor of sequences as a folder of plain files, and back; nothing in it is ever executed.

config.json        what it says of what and how, the version that wrote it, and the SHA-256 of what is read
scalers.json       the units of every channel, and of real targets; of texts those of real targets, where there are some
tokenizer.json     how texts become tokens
model.safetensors  the network's weights; of several networks model-1.safetensors, model-2.safetensors, …
README.md          the model card
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from grus.data.scaling import Affine
from grus.data.sequence_scaling import SequenceScaling
from grus.data.tokens import Tokenizer
from grus.errors import DataError
from grus.evaluation.calibration import Temperature
from grus.models import SequenceNetwork, SequenceSettings, SequenceShape
from grus.models.sequence import build
from grus.tasks.sequence_model import SequenceModel
from grus.tasks.sequence_reading import NumberReader, Reader, Reading, TextReader
from grus.tasks.stored_folder import CARD, CONFIG, SCALERS, WEIGHTS, Store, check_cell, content_of, load_training, weights_of
from grus.training import seeded

__all__ = ["CARD", "CONFIG", "STORE", "load", "load_training", "save"]

TOKENIZER = "tokenizer.json"
STORE = Store("grus sequence model", 1, "sequence model", (SCALERS, TOKENIZER, WEIGHTS, "model-[0-9]*.safetensors"))


def save(model: SequenceModel, path: str | Path, card: str, *, overwrite: bool = False, training: Mapping[str, Any] | None = None) -> Path:
    """Write the folder whole or not at all: beside its place first, then into it. A kill at any moment leaves the old one or the new one.

    card: the text of README.md. training: how it was trained, as JSON can hold it, for ``load_training``.

    Raises: OptionError if the folder exists and `overwrite` was not asked for, holds anything else, or if a cell is not of the catalogue;
    OSError where nothing can be written, and then what was there is there still.
    """
    for network in model.networks:
        check_cell(network.settings)
    files = {name: (text + "\n").encode() for name, text in model.reader.files().items()}
    files |= {name: weights_of(network) for name, network in zip(_names(len(model.networks)), model.networks, strict=True)}
    config = {
        "answers": {"kind": model.kind, "names": list(model.names)},
        "reading": asdict(model.reader.reading),
        "networks": [{"model": each.settings.model_dump(mode="json"), "shape": asdict(each.shape)} for each in model.networks],
        "temperature": None if model.temperature is None else asdict(model.temperature),
        "findings": list(model.findings),
        "facts": [list(fact) for fact in model.facts],
    }
    return STORE.write(path, config, files, card, overwrite, training)


def load(path: str | Path) -> SequenceModel:
    """The model in a folder that `save` wrote.

    Raises: DataError naming the file that is missing, damaged, of another model or of another kind.
    """
    saved = STORE.read(path)
    config, fitted = saved.config, {name: saved.object(name) for name in (SCALERS, TOKENIZER) if name in saved.files}
    with content_of(saved.folder):
        reader = _reader(fitted, Reading(**config["reading"]))
        networks = [_network(each["model"], each["shape"]) for each in config["networks"]]
        kind, names = config["answers"]["kind"], tuple[str, ...](config["answers"]["names"])
        if not networks or any((each.shape.kind, each.shape.outputs) != (kind, len(names)) for each in networks):
            raise DataError(f"networks must answer {kind!r} of {len(names)}, got others")
        held = config["temperature"]
        temperature = None if held is None else Temperature(tuple(map(float, held["values"])), tuple(held["findings"]))
        findings, facts = tuple[str, ...](config["findings"]), tuple((str(name), str(value)) for name, value in config["facts"])
    for name, network in zip(_names(len(networks)), networks, strict=True):
        saved.fill(network, name)
    return SequenceModel(tuple(networks), reader, kind, names, temperature, findings, facts)


def _names(count: int) -> list[str]:
    """The files of so many networks' weights."""
    stem, _, suffix = WEIGHTS.partition(".")
    return [WEIGHTS] if count == 1 else [f"{stem}-{number}.{suffix}" for number in range(1, count + 1)]


def _network(settings: dict[str, Any], shape: dict[str, Any]) -> SequenceNetwork:
    design, size = SequenceSettings(**settings), SequenceShape(**shape)
    balance = torch.ones(size.outputs) if design.class_weights == "balanced" else None  # those of training are among the weights
    with seeded(0):
        return build(design, size, balance).eval()


def _reader(fitted: Mapping[str, dict[str, Any]], reading: Reading) -> Reader:
    if TOKENIZER not in fitted:
        return NumberReader(SequenceScaling.from_dict(fitted[SCALERS]), reading)
    targets = Affine.from_dict(fitted[SCALERS]) if SCALERS in fitted else None
    return TextReader(Tokenizer.from_json(json.dumps(fitted[TOKENIZER])), reading, targets)
