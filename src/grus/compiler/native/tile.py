"""One tile of one phase: sums over the operands in registers, then the values of every (row, panel) of it."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grus.compiler.native.bfloat import add_products, broadcast_pair, load_pairs
from grus.compiler.native.emitter import I64, Value
from grus.compiler.program import LEAVES, SCALAR, reachable
from grus.compiler.schedule import Group, Phase

if TYPE_CHECKING:
    from grus.compiler.native.kernel import Kernel


@dataclass(frozen=True)
class Tile:
    """Rows × panels computed at once, their sums in registers."""

    rows: int
    panels: int


def tiles(products: int, registers: int) -> tuple[Tile, ...]:
    """Row counts from the widest down to one, each with as many panels as the registers hold.

    A single row takes half as many: its weights come from beyond the nearest cache, and fewer streams of them at once come faster.
    """
    room = registers * 3 // 4
    rows = max(1, min(8 if registers > 16 else 6, room // products))
    counts = [rows] + [count for count in (8, 4, 2, 1) if count < rows]
    panels = {count: min(8, room // (products * count)) for count in counts}
    return tuple(Tile(count, max(1, panels[count] // 2 if count == 1 else panels[count])) for count in counts)


class TileBody:
    """One tile of one phase: sums over the operands, then the values of every (row, panel) of it."""

    def __init__(self, kernel: Kernel, phase: Phase, tile: Tile, row: Value, panel: Value, stop: Value) -> None:
        self.k, self.e, self.b = kernel, kernel.e, kernel.b
        self.phase, self.tile, self.stop = phase, tile, stop
        self.nodes = kernel.program.nodes
        self.rows = [self.b.add(row, I64(i)) for i in range(tile.rows)]
        last = self.b.sub(stop, I64(1))
        self.at_panel = [panel] + [kernel.minimum(self.b.add(panel, I64(i)), last) for i in range(1, tile.panels)]
        self.units = [self.b.mul(p, I64(self.e.lanes)) for p in self.at_panel]
        self.values: dict[tuple[int, int, int], Value] = {}
        self.pointers: dict[tuple[str, str, int], Value] = {}

    def emit(self) -> None:
        cells = [(i, p) for i in range(self.tile.rows) for p in range(self.tile.panels)]
        if not self.phase.affines:
            self.finish({})
        elif len(cells) == 1:
            self.finish(dict(zip(self.phase.affines, self._sum(cells), strict=True)))
        else:
            self._finish_each(self._sum(cells))

    def prefetch(self) -> None:
        """Ask for the cache lines of the tile's inputs and outputs at its first panel.

        They come from beyond the second-level cache, a row lies far from the next, and a tile's sums wait for its inputs.
        """
        if self.e.lanes == 1:
            return  # a line would be asked for once per element
        inputs = self.k.inputs_of(self.phase)
        outputs = [name for name, node in self.k.program.outputs.items() if node in self.phase.roots]
        for i in range(self.tile.rows):
            for node in inputs:
                self.e.prefetch(self.row(node, i), self.units[0], write=False)
            for name in outputs:
                self.e.prefetch(self._array("out", name, i), self.units[0], write=True)

    def find_rows(self) -> None:
        """Make the addresses of everything that the phase's roots are read from or written to."""
        number = self.k.plan.phases.index(self.phase)
        for node in reachable(self.nodes, self.phase.roots):
            found = self.nodes[node]
            computed = self.k.plan.phase_of.get(node) == number and found.op not in LEAVES
            kept = node in self.k.scratch_offset or node in self.k.lookups
            if found.op in ("input", "state") or (kept and found.dim != SCALAR and found.op not in LEAVES and not computed):
                self.row(node, 0)
        for root in self.phase.roots:
            if root in self.k.plan.scratch:
                self.row(root, 0)
            for name, node in self.k.program.outputs.items():
                if node == root:
                    self._array("out", name, 0)
            for variable, node in zip(self.k.program.states, self.k.program.next_states, strict=True):
                if node == root:
                    self._out(variable.name, 0)

    def _out(self, name: str, i: int) -> Value:
        key = ("next", name, i)
        if key not in self.pointers:
            self.pointers[key] = self.k.state_row(name, self.rows[i])
        return self.pointers[key]

    def _finish_each(self, sums: list[Value]) -> None:
        """The elementwise work of the tile, as loops over its (row, panel) pairs.

        A loop keeps the code short, so that it compiles fast. Functions that wait for other functions' results go into a loop of their
        own: their latency is long, and the processor overlaps the independent work of neighbouring pairs only if it is close by.
        """
        stages = self.k.function_stages(self.phase)
        kept = [*self.phase.affines, *(node for stage in stages for node in stage)]
        for index, value in enumerate(sums):
            cell, place = divmod(index, len(self.phase.affines))
            self.e.store(value, self.k.room, (cell * len(kept) + place) * self.e.lanes)
        cells = self.tile.rows * self.tile.panels
        together = next(count for count in (2, 3, 1) if cells % count == 0)
        known = list(self.phase.affines)
        for stage in stages:

            def at_cells(first: Value, _: list[Value], stage: tuple[int, ...] = stage, known: tuple[int, ...] = tuple(known)) -> None:
                bodies = [self._cell(self.b.add(first, I64(i)), kept, known) for i in range(together)]
                self._apply_stage(bodies, stage)

            self.e.loop(0, cells, together, at_cells)
            known += stage
        self.e.loop(0, cells, 1, lambda cell, _: self._cell(cell, kept, known)[0].keep_roots())

    def _cell(self, cell: Value, kept: list[int], known: Iterable[int]) -> tuple[TileBody, dict[int, Value]]:
        """One (row, panel) of the tile with what is known of it so far, and where each kept value of it stands in the room."""
        row = self.b.add(self.rows[0], self.b.sdiv(cell, I64(self.tile.panels)))
        panel = self.k.minimum(self.b.add(self.at_panel[0], self.b.srem(cell, I64(self.tile.panels))), self.b.sub(self.stop, I64(1)))
        here = self.b.mul(cell, I64(len(kept) * self.e.lanes))
        places = {node: self.b.add(here, I64(place * self.e.lanes)) for place, node in enumerate(kept)}
        body = TileBody(self.k, self.phase, Tile(1, 1), row, panel, self.stop)
        body.take({node: self.e.load(self.k.room, places[node]) for node in known})
        return body, places

    def _apply_stage(self, bodies: list[tuple[TileBody, dict[int, Value]]], stage: tuple[int, ...]) -> None:
        """Equal functions side by side in one wide vector: their instructions interleave and share the constants they load."""
        for op in dict.fromkeys(self.nodes[node].op for node in stage):
            alike = [node for node in stage if self.nodes[node].op == op]
            todo = [(body, places[node], body.value(self.nodes[node].args[0], 0, 0)) for body, places in bodies for node in alike]
            while todo:
                count = max(n for n in (1, 2, 4) if n <= len(todo) and (n == 1 or self.e.lanes > 1))
                now, todo = todo[:count], todo[count:]
                result = self.k.wide_math(count).apply(op, self.e.joined([value for _, _, value in now]))
                for (_, place, _), value in zip(now, self.e.parts(result, count) if count > 1 else [result], strict=True):
                    self.e.store(value, self.k.room, place)

    def finish(self, sums: dict[int, Value]) -> None:
        """Everything of the only (row, panel) of this tile that follows its sums."""
        self.take(sums)
        self.keep_roots()

    def take(self, values: dict[int, Value]) -> None:
        for node, value in values.items():
            self.values[node, 0, 0] = value
        for node in values:
            if self.nodes[node].op == "affine" and self._starts_late(node):
                self.values[node, 0, 0] = self.b.fadd(self.values[node, 0, 0], self.value(self.nodes[node].args[0], 0, 0))

    def keep_roots(self) -> None:
        for root in self.phase.roots:
            self._keep(root, 0, 0)

    # --- sums ------------------------------------------------------------------------------------------------------------------
    def _sum(self, cells: list[tuple[int, int]]) -> list[Value]:
        """For every cell and affine node the sum of its start and its products, but for starts that come late."""
        order = {node: index for index, node in enumerate(self.phase.affines)}
        sums = [self.e.constant(0.0)] * (len(order) * len(cells))
        for number, (i, p) in enumerate(cells):
            for node, index in order.items():
                start = self.nodes[node].args
                if start and not self._starts_late(node):
                    sums[number * len(order) + index] = self.value(start[0], i, p)
        for group in self.phase.groups:
            sums = self._accumulate(group, cells, order, sums)
        return sums

    def _starts_late(self, node: int) -> bool:
        """Whether the start depends on a sum of this same phase, so that it can only be added afterwards."""
        todo = list(self.nodes[node].args)
        phase_of = self.k.plan.phase_of
        mine = phase_of[node]
        while todo:
            index = todo.pop()
            if phase_of.get(index) == mine:
                if self.nodes[index].op == "affine":
                    return True
                todo.extend(self.nodes[index].args)
        return False

    def _accumulate(self, group: Group, cells: list[tuple[int, int]], order: dict[int, int], sums: list[Value]) -> list[Value]:
        """Add a group's products, k by k (in bfloat16 pair by pair), to the sums."""
        e, b, width, narrow = self.e, self.b, len(group.products), self.k.spec.bf16
        number = self.k.group_index[id(group)]
        inner = self.k.argument(f"size:{group.inner}")
        if narrow:
            inner = b.sdiv(b.add(inner, I64(1)), I64(2))
            operands = [self.k.narrow_rows(number, row) for row in self.rows]
        else:
            operands = [self.row(group.operand, i) for i in range(self.tile.rows)]
        weights = self.k.pointer(f"weights:{number}")
        stride = b.mul(inner, I64(width * e.lanes))
        panels = [e.at(weights, b.mul(p, stride)) for p in self.at_panel]

        def at_k(k: Value, sums: list[Value]) -> list[Value]:
            sums = list(sums)
            offset = b.mul(k, I64(width * e.lanes))
            places = [b.add(offset, I64(g * e.lanes)) for g in range(width)]

            def operand(i: int) -> Value:
                return broadcast_pair(e, operands[i], k) if narrow else e.broadcast(operands[i], k)

            def weight(p: int, g: int) -> Value:
                return load_pairs(e, panels[p], places[g]) if narrow else e.load(panels[p], places[g])

            def add(i: int, p: int, g: int, x: Value, w: Value) -> None:
                index = cells.index((i, p)) * len(order) + order[group.products[g][0]]
                sums[index] = add_products(e, sums[index], x, w, self.k.dot_products) if narrow else e.fma(x, w, sums[index])

            # The fewer of the two stay in registers and the others are loaded one by one; else LLVM spills sums inside the loop.
            columns = [(p, g) for p in range(self.tile.panels) for g in range(width)]
            if self.tile.rows < len(columns):
                xs = [operand(i) for i in range(self.tile.rows)]
                for p, g in columns:
                    w = weight(p, g)
                    for i, x in enumerate(xs):
                        add(i, p, g, x, w)
            else:
                ws = [weight(p, g) for p, g in columns]
                for i in range(self.tile.rows):
                    x = operand(i)
                    for (p, g), w in zip(columns, ws, strict=True):
                        add(i, p, g, x, w)
            return sums

        return e.loop(0, inner, 1, at_k, sums)

    # --- values ------------------------------------------------------------------------------------------------------------------
    def row(self, node: int, i: int) -> Value:
        """The address of row ``i`` of a value that is in memory."""
        found = self.nodes[node]
        if found.op == "input":
            return self._array("in", found.name, i)
        if found.op == "state":
            key = ("state", found.name, i)
            if key not in self.pointers:
                self.pointers[key] = self.k.slot("slots", found.name, self.b.add(self.k.slot_in, self.rows[i]))
            return self.pointers[key]
        if node in self.k.scratch_offset:
            key = ("scratch", str(node), i)
            if key not in self.pointers:
                row = self.b.mul(self.rows[i], self.k.scratch_ld)
                self.pointers[key] = self.e.at(self.k.pointer("scratch"), self.b.add(row, self.k.scratch_offset[node]))
            return self.pointers[key]
        return self._array("out", self.k.lookups[node], i)

    def _array(self, kind: str, name: str, i: int) -> Value:
        key = (kind, name, i)
        if key not in self.pointers:
            row = self.b.add(self.k.row, self.rows[i])
            self.pointers[key] = self.e.at(self.k.pointer(f"{kind}:{name}"), self.b.mul(row, self.k.argument(f"{kind}_ld:{name}")))
        return self.pointers[key]

    def load_kept(self, node: int) -> Value:
        """A vector value of this tile's only row and panel that is in memory."""
        return self._load(node, 0, 0)

    def _load(self, node: int, i: int, p: int) -> Value:
        found = self.nodes[node]
        if found.dim == SCALAR:  # stored in every lane of one vector
            return self.e.load(self.row(node, i))
        if found.op == "input" and f"in:{found.name}" in self.k.spec.user and not self.k.spec.exact:
            return self.e.load_masked(self.row(node, i), self.units[p], self._tail(found.dim, p))
        return self.e.load(self.row(node, i), self.units[p])

    def _tail(self, dim: str, p: int) -> Value:
        return self.e.tail_mask(self.b.sub(self.k.argument(f"size:{dim}"), self.units[p]))

    def value(self, node: int, i: int, p: int) -> Value:
        """The vector (or splat scalar) of ``node`` at row ``i`` and panel ``p`` of the tile."""
        key = (node, i, p)
        if key not in self.values:
            self.values[key] = self._compute(node, i, p)
        return self.values[key]

    def _compute(self, node: int, i: int, p: int) -> Value:
        found = self.nodes[node]
        if found.op == "constant":
            return self.e.constant(found.value)
        if found.op == "scalar":
            return self.e.broadcast(self.k.pointer(f"scalar:{found.name}"))
        if found.op == "vector":
            return self.e.load(self.k.pointer(f"vector:{found.name}"), self.units[p])
        if found.op == "mean":
            row = self.b.mul(self.rows[i], self.k.scratch_ld)
            return self.e.broadcast(self.k.pointer("scratch"), self.b.add(row, self.k.scratch_offset[node]))
        elsewhere = found.dim != SCALAR and self.k.plan.phase_of.get(node) != self.k.plan.phases.index(self.phase)
        if found.op in LEAVES or elsewhere:
            return self._load(node, i, p)
        return self.k.math.apply(found.op, *(self.value(arg, i, p) for arg in found.args))

    def _keep(self, root: int, i: int, p: int) -> None:
        """Store a root wherever it is wanted: scratch, state slot, outputs."""
        value = self.value(root, i, p)
        if root in self.k.plan.scratch:
            self.e.store(value, self.row(root, i), self.units[p])
        for variable, node in zip(self.k.program.states, self.k.program.next_states, strict=True):
            if node == root:
                self.e.store(value, self._out(variable.name, i), self.units[p])
        for name, node in self.k.program.outputs.items():
            if node == root:
                self._store_output(name, value, i, p)

    def _store_output(self, name: str, value: Value, i: int, p: int) -> None:
        target = self._array("out", name, i)
        if f"out:{name}" not in self.k.spec.user or self.k.spec.exact:
            self.e.store(value, target, self.units[p])
            return
        left = self.b.sub(self.k.argument(f"size:{self.nodes[self.k.program.outputs[name]].dim}"), self.units[p])
        with self.b.if_else(self.b.icmp_signed(">=", left, I64(self.e.lanes)), likely=True) as (whole, part):
            with whole:
                self.e.store(value, target, self.units[p])
            with part:
                self.e.store_masked(value, target, self.units[p], self.e.tail_mask(left))
