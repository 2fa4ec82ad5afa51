"""Grus: write a recurrent cell's equations once; get its gradient, fused CPU kernels, a streaming step and PyTorch layers.

Importing ``grus`` imports neither PyTorch nor the compiler; ``grus.cells``, ``grus.convert``, ``grus.nn`` and ``grus.runtime`` are
loaded when first used.

Example:
    >>> import grus
    >>> "gru" in grus.cells.names()
    True
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from grus.errors import GrusError

if TYPE_CHECKING:
    from grus import cells, convert, nn, runtime

__all__ = ["GrusError", "__version__", "cells", "convert", "nn", "runtime"]
__version__ = "0.1.0"

_SUBMODULES = ("cells", "convert", "nn", "runtime")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return import_module(f"grus.{name}")
    raise AttributeError(f"module 'grus' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
