"""The libraries that are compared, one module each; a module whose library is missing is reported, not skipped in silence."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Case

MODULES = ("grus", "pytorch", "onnxruntime", "openvino", "jax", "flax", "keras")
YARDSTICK = "torch nn"  # the peer that every ratio "against PyTorch" is taken to
RESET_AFTER = "torch nn.GRU (reset after)"  # another function: PyTorch has no reset-before GRU
EAGER = "torch eager loop"
FAILURES = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
Result = dict[str, NDArray[Any]]
Step = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Run:
    """``call()`` is what is timed; ``result`` turns its value into {"y": [T, B, H]} and, in training, the gradients by name."""

    call: Callable[[], Any]
    result: Callable[[Any], Result]


@dataclass(frozen=True)
class Peer:
    """One row of a table. ``build(case, threads)`` prepares everything that a repeated call need not do again."""

    name: str
    build: Callable[[Case, int], Run]
    cells: Sequence[str] = ("gru", "lstm", "gru_reset_before")
    directions: Sequence[str] = ("training", "inference")
    step: Callable[[Case], Step] | None = None
    tolerance: float = 1e-4
    same_function: bool = True  # False: timed unchecked, for orientation

    def supports(self, case: Case) -> bool:
        return case.cell in self.cells and ("training" if case.training else "inference") in self.directions

    @property
    def is_grus(self) -> bool:
        return self.name.startswith("grus")


def load(threads: int, modules: Sequence[str] = MODULES) -> tuple[list[Peer], dict[str, str]]:
    """The peers that are there, and why each of the others is not."""
    found: list[Peer] = []
    missing: dict[str, str] = {}
    for module in modules:
        try:
            found += importlib.import_module(f"benchmarks.peers.{module}").peers(threads)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and module != "grus"
            missing[module] = "not installed" if absent else f"not available ({error})"
    return found, missing
