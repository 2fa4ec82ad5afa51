"""Grus: write a recurrent cell's equations once; get its gradient, fused CPU kernels, a streaming step and PyTorch layers.

Importing ``grus`` imports neither PyTorch nor the compiler; its packages and estimators are loaded when first used.

Example:
    >>> import grus
    >>> "gru" in grus.cells.names()
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grus.errors import GrusError

if TYPE_CHECKING:
    from grus import cells, convert, data, evaluation, models, nn, runtime, training
    from grus.tasks.classifier import SequenceClassifier
    from grus.tasks.forecaster import Forecaster
    from grus.tasks.regressor import SequenceRegressor

__all__ = [
    "Forecaster",
    "GrusError",
    "SequenceClassifier",
    "SequenceRegressor",
    "__version__",
    "cells",
    "convert",
    "data",
    "evaluation",
    "models",
    "nn",
    "runtime",
    "training",
]
__version__ = "0.1.0"

_SUBMODULES = ("cells", "convert", "data", "evaluation", "models", "nn", "runtime", "training")
_CLASSES = {
    "Forecaster": "grus.tasks.forecaster",
    "SequenceClassifier": "grus.tasks.classifier",
    "SequenceRegressor": "grus.tasks.regressor",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"grus.{name}")
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    raise AttributeError(f"module 'grus' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
