"""Layers in the neutral form, run by the float64 reference: what every conversion is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus import cells
from grus.compiler import reference

Array = NDArray[Any]


def random_parameters(cell: str, rng: np.random.Generator, **sizes: int) -> dict[str, Array]:
    """Parameters of ``cell`` from N(0, 1/2), large enough that gates move."""
    return {parameter.name: rng.normal(scale=0.5, size=[sizes[dim] for dim in parameter.shape]) for parameter in cells.get(cell).parameters}


def in_reverse(x: Array, lengths: Sequence[int] | None) -> Array:
    """``x`` [T, B, …] with each row's own steps in reverse order."""
    turned = np.array(x)
    for row, length in enumerate(lengths if lengths is not None else [len(x)] * x.shape[1]):
        turned[:length, row] = x[:length, row][::-1]
    return turned


def run_layer(
    cell: str,
    directions: Sequence[Mapping[str, Array]],
    x: Array,
    initial: Sequence[Mapping[str, Array]] | None = None,
    lengths: Sequence[int] | None = None,
    *,
    reverse: bool = False,
) -> tuple[Array, list[dict[str, Array]]]:
    """The output [T, B, directions·H] of a layer and each direction's final states; ``reverse`` makes the only direction the reverse one."""
    outputs: list[Array] = []
    finals: list[dict[str, Array]] = []
    for place, parameters in enumerate(directions):
        turn = reverse or place == 1
        steps = in_reverse(x, lengths) if turn else x
        result = reference.forward(cells.get(cell).program, {"x": steps}, parameters, initial[place] if initial else None, lengths)
        outputs.append(in_reverse(result.output, lengths) if turn else result.output)
        finals.append(result.states)
    return np.concatenate(outputs, axis=-1), finals


def run_layers(cell: str, layers: Sequence[Sequence[Mapping[str, Array]]], x: Array) -> tuple[Array, dict[str, Array]]:
    """The output of stacked layers and their final states [layers·directions, B, H]."""
    finals: list[dict[str, Array]] = []
    for directions in layers:
        x, states = run_layer(cell, directions, x)
        finals += states
    return x, {name: np.stack([states[name] for states in finals]) for name in finals[0]}
