"""How much memory a training step of a layer needs, counted before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from grus.compiler.native.spec import TABLE_WIDTH
from grus.compiler.program import Variable
from grus.nn.direction import Direction
from grus.nn.lookup import width_read
from grus.nn.options import Memory, Options
from grus.nn.plan import Plan


@dataclass(frozen=True)
class Account:
    """The memory of a layer that runs on the compiled kernels, in bytes; weights are not counted.

    ``plan`` is that of training, ``masks`` the inputs that it has beside the cell's own, ``layers`` the directions of each layer, ``dropout`` that
    between them.
    """

    plan: Plan
    masks: Sequence[Variable]
    layers: Sequence[Sequence[Direction]]
    options: Options
    dropout: float
    dtype: torch.dtype

    def kept(self, steps: int, rows: int, memory: Memory, table: bool = False) -> int:
        """What a call in training keeps for its gradient, for T steps of B rows: values of the steps, what layers hand on, masks.

        table: whether the steps read rows of one; what they read is kept, and counted.
        """
        plan, options, values, kept = self.plan, self.options, 0, 0
        dims, ends, top = plan.program.dims(), options.output == "last" and plan.output_state is not None, len(self.layers) - 1
        for layer, directions in enumerate(self.layers):
            for direction in directions:
                sizes = {dim: direction.sizes[dim] for dim in dims}
                kept += plan.compiled(self.dtype).saved_bytes(sizes, steps, rows, memory, not (ends and layer == top))
                values += sum(sizes[mask.dim] for mask in self.masks if not mask.name.startswith("dropout_"))
            # The layer's input, unless that is the caller's; and what dropout multiplied it with.
            between = layer > 0
            values += directions[0].sizes["I"] * ((between or options.input_dropout > 0) + (between and self.dropout > 0))
        if table and not options.input_dropout:  # which keeps its mask and not what it multiplies
            values += self._read_of_table if memory == "store" else self._inputs
        return kept + values * steps * rows * self.dtype.itemsize

    def flow(self, steps: int, rows: int, table: bool = False) -> int:
        """The most that a training step has beside that, whatever its memory: the output, a layer's two gradients over time, tables of steps."""
        sizes = [(ways[0].sizes["I"], len(ways) * ways[0].sizes[self.plan.output_dim]) for ways in self.layers]
        if table:
            sizes[0] = self._read_of_table, sizes[0][1]
        tables = 5 * TABLE_WIDTH * 8 * steps * sum(map(len, self.layers))  # two for each run forward and backward, and one to run again
        return (sizes[-1][1] + max(map(sum, sizes))) * steps * rows * self.dtype.itemsize + tables

    @property
    def _inputs(self) -> int:
        return self.layers[0][0].sizes["I"]

    @property
    def _read_of_table(self) -> int:
        """The most units that the first layer reads of a table for a step."""
        apart = sum(width_read(self.plan, direction.sizes) for direction in self.layers[0])
        several = len(self.plan.inputs) - len(self.masks) > 1
        return self._inputs if self.options.input_dropout or several else max(self._inputs, apart)
