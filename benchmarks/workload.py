"""What is timed: a cell, a direction (training or inference), a size, and the numbers that every peer is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
GATES = {"gru": 3, "gru_reset_before": 3, "lstm": 4}


@dataclass(frozen=True)
class Size:
    """B sequences of T steps, I inputs, H hidden units."""

    batch: int
    time: int
    input: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.time} {self.input}->{self.hidden}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """``"32x100x64x128"`` is B x T x I x H."""
        parts = text.split("x")
        if len(parts) != 4 or not all(part.isdigit() and int(part) > 0 for part in parts):
            raise SystemExit(f"benchmarks: --sizes must be BxTxIxH joined by commas, got {text!r}; an example is 32x100x64x128.")
        return cls(*map(int, parts))


SIZES = (Size(1, 100, 64, 128), Size(32, 100, 64, 128), Size(64, 50, 256, 256), Size(128, 100, 512, 512))


@dataclass(frozen=True)
class Case:
    """One cell at one size: x [T, B, I], the outputs' cotangent [T, B, H], weights under PyTorch's names."""

    cell: str
    training: bool
    size: Size
    x: Array
    cotangent: Array
    weights: dict[str, Array]

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products alone."""
        size = self.size
        forward = 2 * GATES[self.cell] * (size.input + size.hidden) * size.hidden * size.batch * size.time
        return 3 * forward if self.training else forward


def make_case(cell: str, training: bool, size: Size, seed: int = 0) -> Case:
    """Weights uniform in ±1/√H as PyTorch draws them, x and the cotangent standard normal."""
    rng = np.random.default_rng(seed)
    rows, bound = GATES[cell] * size.hidden, size.hidden**-0.5

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    weights = {
        "weight_ih_l0": uniform(rows, size.input),
        "weight_hh_l0": uniform(rows, size.hidden),
        "bias_ih_l0": uniform(rows),
        "bias_hh_l0": uniform(rows),
    }
    x = rng.standard_normal((size.time, size.batch, size.input), dtype=np.float32)
    cotangent = rng.standard_normal((size.time, size.batch, size.hidden), dtype=np.float32)
    return Case(cell, training, size, x, cotangent, weights)


def reorder(array: Array, order: tuple[int, ...], axis: int = 0) -> Array:
    """The gates of ``array`` (equal blocks along ``axis``) in another order; ``order[i]`` is the old place of block i."""
    blocks = np.split(array, len(order), axis)
    return np.ascontiguousarray(np.concatenate([blocks[i] for i in order], axis))
