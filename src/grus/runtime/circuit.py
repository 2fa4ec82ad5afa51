"""A chain of recorded kernel calls through all layers, for up to a fixed number of steps, on buffers of its own.

    inputs → prologue of layer 0 → loop of layer 0 → its output → prologue of layer 1 → … → output

The state between runs stands in ``carry``, which several circuits may share: each run reads it at its first step and leaves it anew at its
last. So a circuit of one step and one of many take turns on the same stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.compiler.blocks import Array, places_of
from grus.compiler.execution import States
from grus.compiler.native.kernels import address, aligned
from grus.compiler.native.sequence import CallSequence
from grus.compiler.run import BLOCK_ROWS
from grus.compiler.steps import Steps, block_table
from grus.runtime.weights import Layer, Record

Carry = Sequence[Mapping[str, Array]]


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that start on a cache line."""
    found = aligned(shape, dtype)
    found[:] = 0
    return found


class Circuit:
    """``run()`` takes ``count`` steps (at most ``most``) of ``rows`` streams: it reads ``inputs`` and leaves ``output`` and ``gates``.

    Shapes: inputs and output [most · rows, size], gates the same by layer and name.
    """

    def __init__(self, layers: Sequence[Layer], carry: Carry, rows: int, most: int, *, release: bool) -> None:
        self.rows, self.count, self.most = rows, most, most
        self.gates: list[dict[str, Array]] = []
        self._prologues: list[Record] = []
        self._loops: list[Record] = []
        self._calls: list[tuple[int, int]] = []
        self._alive: list[Mapping[str, Array] | Array] = []  # what the calls point to
        self.inputs = {v.name: self._room(layers[0], v.dim) for v in layers[0].program.inputs}
        arriving = self.inputs
        for layer, states in zip(layers, carry, strict=True):
            self.output = self._add(layer, arriving, states)
            arriving = dict.fromkeys(self.inputs, self.output)
        self._sequence = CallSequence(self._calls, layers[0].target, release=release)
        self.run = self._sequence.run

    def resize(self, count: int) -> None:
        """Let the next runs take ``count`` steps."""
        if count != self.count:
            self.count = count
            for record in self._prologues:
                record.rewrite(self._rows_table())
            for record in self._loops:
                record.rewrite(self._steps_table())

    def _add(self, layer: Layer, arriving: Mapping[str, Array], states: Mapping[str, Array]) -> Array:
        """Append a layer's calls; the array where its output will be."""
        sizes, size, inputs = layer.sizes, layer.dtype.itemsize, places_of(arriving)
        stored = layer.programs.prologue(layer.mode).stored
        streams = zeros((self.most * self.rows, stored.width(sizes.padded)), layer.dtype)
        places = stored.places(address(streams), sizes.padded, size)
        if layer.prologue is not None:
            self._prologues.append(layer.prologue.record(self._rows_table(), inputs, places))
            self._calls.append(self._prologues[-1].addresses())
        loop = layer.loop.stage.program
        results = {name: self._room(layer, loop.nodes[loop.outputs[name]].dim) for name in layer.programs.results(layer.mode)}
        slots = {v.name: zeros((2 * self.rows, sizes.padded[v.dim]), layer.dtype) for v in layer.program.states}
        between = States(places_of(slots), {name: address(rows) for name, rows in states.items()})
        self._loops.append(layer.loop.record(self._steps_table(), inputs | places, places_of(results), between))
        self._calls.append(self._loops[-1].addresses())
        self._alive += [streams, slots, results]
        self.gates.append({name: array for name, array in results.items() if name != "output"})
        return results["output"]

    def _room(self, layer: Layer, dim: str) -> Array:
        return zeros((self.most * self.rows, layer.sizes.units[dim]), layer.dtype)

    def _rows_table(self) -> NDArray[np.int64]:
        return block_table(0, self.count * self.rows, BLOCK_ROWS)

    def _steps_table(self) -> NDArray[np.int64]:
        return Steps(np.full(self.count, self.rows), False).table(slice(0, self.count), "swap")
