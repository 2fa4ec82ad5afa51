"""A step program as one machine-code function that runs any number of steps over any number of rows.

The contract, which every buffer handed to a kernel keeps:

- All arrays are row-major. "Padded" rows hold ``padded:<dim>`` elements, a multiple of the vector width; what lies beyond the dimension
  is finite or never read into a unit that exists. "User" rows hold exactly ``size:<dim>`` elements; nothing beyond is touched.
- Row r of step s stands at row ``table[s].row + r`` of every input and output, and at row ``state_in + r`` / ``state_out + r`` of the
  state slots. ``table`` has six int64 a step: rows, row, state_in, state_out, rows_before, rows_after.
- Rows at or above ``rows_before`` start from ``carry``; rows at or above ``rows_after`` leave their new state there.
- ``resets`` (one byte a row, as inputs) restarts a row: forward, its state before the step becomes ``restart``; backward, the state
  adjoint that the step passes on is added to ``restart`` and becomes zero.
- A kernel called for rows [row0, row1) reads and writes no other row, so calls on disjoint rows may run at once. When
  ``unit_count`` > 1, that many calls share the same rows and scratch, split the panels and meet at ``barrier`` (one int64, zero at first).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from grus.compiler.native.bfloat import add_products, broadcast_pair, load_pairs, narrow_row
from grus.compiler.native.emitter import I8, I64, POINTER, Emitter, Value
from grus.compiler.native.target import Target
from grus.compiler.native.vector import VectorMath
from grus.compiler.program import LEAVES, SCALAR, Program, reachable
from grus.compiler.schedule import Group, Phase, Schedule

TABLE_WIDTH = 6
SPINS = 1 << 12  # looks at a barrier between two offers of the core to another thread
SLOW = frozenset(("exp", "log", "sigmoid", "tanh", "softplus"))
_FIXED = ("table", "steps", "row0", "row1", "scratch", "unit_index", "unit_count", "barrier", "resets")


@dataclass(frozen=True, eq=False)
class Spec:
    """What one kernel does: its schedule, the arguments in user rows ("in:x", "out:output"), and whether it runs a gradient.

    ``exact`` promises that every user row is a whole number of vectors, which removes all masks. ``bf16`` takes the operands of products as
    bfloat16: weights are packed as pairs [panel][pair of k][product][lane], and a phase rounds its operands into scratch rows first.
    """

    plan: Schedule
    user: frozenset[str] = frozenset()
    backward: bool = False
    exact: bool = False
    bf16: bool = False

    @property
    def program(self) -> Program:
        return self.plan.program

    def slots(self) -> dict[str, int]:
        """Name of each int64 argument → its index in the argument array."""
        program = self.program
        names = [*_FIXED]
        for dim in program.dims():
            names += [f"size:{dim}", f"padded:{dim}"]
        for variable in program.inputs:
            names += [f"in:{variable.name}", f"in_ld:{variable.name}"]
        for name in program.outputs:
            names += [f"out:{name}", f"out_ld:{name}"]
        for variable in program.states:
            names += [f"{kind}:{variable.name}" for kind in ("slots", "carry", "restart", "ld")]
        names += [f"{p.kind}:{p.name}" for p in program.parameters if p.kind != "matrix"]
        names += [f"weights:{number}" for number in range(len(self.plan.groups))]
        return {name: index for index, name in enumerate(names)}


@dataclass(frozen=True)
class Tile:
    """Rows × panels computed at once, their sums in registers."""

    rows: int
    panels: int


def tiles(products: int, registers: int) -> tuple[Tile, ...]:
    """Row counts from the widest down to one, each with as many panels as the registers hold."""
    room = registers * 3 // 4
    rows = max(1, min(8 if registers > 16 else 6, room // products))
    counts = [rows] + [count for count in (8, 4, 2, 1) if count < rows]
    return tuple(Tile(count, max(1, min(8, room // (products * count)))) for count in counts)


def emit_kernel(module: ir.Module, name: str, spec: Spec, dtype: str, target: Target) -> None:
    """Add the function ``name(int64 *arguments)`` to ``module``."""
    _Kernel(module, name, spec, dtype, target).emit()


class _Kernel:
    def __init__(self, module: ir.Module, name: str, spec: Spec, dtype: str, target: Target) -> None:
        self.spec, self.plan, self.program = spec, spec.plan, spec.program
        self.registers, self.dot_products = target.registers, target.bf16
        lanes = target.lanes(dtype)
        self.e = Emitter(module, name, [POINTER], dtype, lanes)
        self.b = self.e.b
        self.math = VectorMath(self.e)
        self._wide: dict[int, VectorMath] = {}
        slots = spec.slots()
        self.arguments = {key: self.e.load_i64(self.e.function.args[0], index) for key, index in slots.items()}
        most = max((tile.rows * tile.panels * self._kept(p) for p in self.plan.phases if p.groups for tile in self._tiles(p)), default=1)
        self.room = self.e.alloca(most * lanes)
        self.group_index = {id(group): number for number, group in enumerate(self.plan.groups)}
        self.dims = {v.name: v.dim for v in (*self.program.inputs, *self.program.states)}
        self.lookups = {index: name for name, index in self.program.outputs.items() if f"out:{name}" not in spec.user}

    # --- small pieces ------------------------------------------------------------------------------------------------------
    def argument(self, name: str) -> Value:
        return self.arguments[name]

    def pointer(self, name: str) -> Value:
        return self.b.inttoptr(self.arguments[name], POINTER)

    def panels(self, dim: str) -> Value:
        if dim == SCALAR:
            return I64(1)
        return self.b.sdiv(self.argument(f"padded:{dim}"), I64(self.e.lanes))

    def minimum(self, a: Value, b: Value) -> Value:
        return self.b.select(self.b.icmp_signed("<", a, b), a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        return self.b.select(self.b.icmp_signed(">", a, b), a, b)

    def wide_math(self, times: int) -> VectorMath:
        """The functions on vectors of ``times`` as many lanes."""
        if times not in self._wide:
            self._wide[times] = VectorMath(self.e.widened(times)) if times > 1 else self.math
        return self._wide[times]

    # --- the function ------------------------------------------------------------------------------------------------------
    def emit(self) -> None:
        self._scratch_layout()
        self.e.loop(0, self.argument("steps"), 1, self._step)
        self.b.ret_void()

    def _scratch_layout(self) -> None:
        offset: Value = I64(0)
        self.scratch_offset: dict[int, Value] = {}
        for node in self.plan.scratch:
            self.scratch_offset[node] = offset
            offset = self.b.add(offset, self.argument(f"padded:{self.program.nodes[node].dim}"))
        for node in self.plan.means:
            self.scratch_offset[node] = offset
            offset = self.b.add(offset, I64(1))
        self.narrow_offset: dict[int, Value] = {}
        if self.spec.bf16:
            for number, group in enumerate(self.plan.groups):
                self.narrow_offset[number] = offset
                offset = self.b.add(offset, self.b.add(self.b.sdiv(self.argument(f"padded:{group.inner}"), I64(2)), I64(1)))
        self.scratch_ld = self.b.mul(self.b.sdiv(self.b.add(offset, I64(15)), I64(16)), I64(16))

    def _step(self, step: Value, _: list[Value]) -> None:
        record = self.b.mul(step, I64(TABLE_WIDTH))
        table = self.pointer("table")
        fields = [self.e.load_i64(table, self.b.add(record, I64(i))) for i in range(TABLE_WIDTH)]
        self.rows, self.row, self.state_in, self.state_out, self.rows_before, self.rows_after = fields
        self.first = self.argument("row0")
        self.last = self.minimum(self.argument("row1"), self.rows)
        if self.program.states:
            self._when_leader(self._before)
        for phase in self.plan.phases:
            self._phase(phase)
        if self.program.states and self.spec.backward:
            self._when_leader(self._after)

    def _when_leader(self, work: Callable[[], None]) -> None:
        """Run ``work`` in the first of the calls that share these rows, and let the others wait for it."""
        with self.b.if_then(self.b.icmp_signed("==", self.argument("unit_index"), I64(0))):
            work()
        self._barrier()

    def _barrier(self) -> None:
        """Wait until every call that shares these rows is here (a counter that only grows, so that it needs no resetting)."""
        count = self.argument("unit_count")
        with self.b.if_then(self.b.icmp_signed(">", count, I64(1)), likely=False):
            counter = self.b.bitcast(self.pointer("barrier"), I64.as_pointer())
            arrived = self.b.atomic_rmw("add", counter, I64(1), "acq_rel")
            target = self.b.mul(self.b.add(self.b.sdiv(arrived, count), I64(1)), count)
            self._spin(lambda: self.b.icmp_signed("<", self.b.load_atomic(counter, "acquire", 8, typ=I64), target))

    def _spin(self, waiting: Callable[[], Value]) -> None:
        """Look again and again; now and then let another thread have the core, in case there are fewer cores than threads."""
        before = self.b.block
        head, idle, give_way, done = (self.e.function.append_basic_block(name) for name in ("wait", "idle", "give_way", "met"))
        self.b.branch(head)
        self.b.position_at_end(head)
        turns = self.b.phi(I64)
        turns.add_incoming(I64(1), before)
        self.b.cbranch(waiting(), idle, done)
        self.b.position_at_end(idle)
        after = self.b.add(turns, I64(1))
        turns.add_incoming(after, idle)
        self.b.cbranch(self.b.icmp_signed("==", self.b.and_(turns, I64(SPINS - 1)), I64(0)), give_way, head)
        self.b.position_at_end(give_way)
        turns.add_incoming(after, give_way)
        if hasattr(os, "sched_yield"):
            kind = ir.FunctionType(ir.IntType(32), [])
            self.b.call(self.e.module.globals.get("sched_yield") or ir.Function(self.e.module, kind, "sched_yield"), [])
        self.b.branch(head)
        self.b.position_at_end(done)

    # --- what happens to states around a step --------------------------------------------------------------------------------
    def _rows_where_reset(self, body: Callable[[Value], None]) -> None:
        resets = self.argument("resets")

        def each(r: Value, _: list[Value]) -> None:
            flag = self.b.load(self.b.gep(self.pointer("resets"), [self.b.add(self.row, r)]), typ=I8)
            with self.b.if_then(self.b.icmp_signed("!=", flag, I8(0))):
                body(r)

        with self.b.if_then(self.b.icmp_signed("!=", resets, I64(0)), likely=False):
            self.e.loop(self.first, self.last, 1, each)

    def _copy_row(self, name: str, target: Value, source: Value) -> None:
        self._vectors(self.dims[name], lambda unit: self.e.store(self.e.load(source, unit), target, unit))

    def _vectors(self, dim: str, body: Callable[[Value], None]) -> None:
        self.e.loop(0, self.argument(f"padded:{dim}"), self.e.lanes, lambda unit, _: body(unit))

    def _slot(self, kind: str, name: str, row: Value) -> Value:
        return self.e.at(self.pointer(f"{kind}:{name}"), self.b.mul(row, self.argument(f"ld:{name}")))

    def _before(self) -> None:
        for name in (variable.name for variable in self.program.states):

            def start(r: Value, _: list[Value], name: str = name) -> None:
                self._copy_row(name, self._slot("slots", name, self.b.add(self.state_in, r)), self._slot("carry", name, r))

            self.e.loop(self.maximum(self.first, self.rows_before), self.last, 1, start)
            if not self.spec.backward:

                def restart(r: Value, name: str = name) -> None:
                    self._copy_row(name, self._slot("slots", name, self.b.add(self.state_in, r)), self._slot("restart", name, r))

                self._rows_where_reset(restart)

    def _after(self) -> None:
        for name in (variable.name for variable in self.program.states):

            def collect(r: Value, name: str = name) -> None:
                carry, total = self._state_out(name, r), self._slot("restart", name, r)

                def add(unit: Value) -> None:
                    self.e.store(self.b.fadd(self.e.load(total, unit), self.e.load(carry, unit)), total, unit)
                    self.e.store(self.e.constant(0.0), carry, unit)

                self._vectors(self.dims[name], add)

            self._rows_where_reset(collect)

    def _state_out(self, name: str, r: Value) -> Value:
        """Where the new state of row ``r`` goes: the next step's slot, or ``carry`` if the row ends here."""
        inside = self._slot("slots", name, self.b.add(self.state_out, r))
        return self.b.select(self.b.icmp_signed("<", r, self.rows_after), inside, self._slot("carry", name, r))

    # --- phases ----------------------------------------------------------------------------------------------------------------
    def _phase(self, phase: Phase) -> None:
        if phase.means:
            for node in phase.means:
                self._mean(node)
        panels, index, count = self.panels(phase.dim), self.argument("unit_index"), self.argument("unit_count")
        start = self.b.sdiv(self.b.mul(panels, index), count)
        stop = self.b.sdiv(self.b.mul(panels, self.b.add(index, I64(1))), count)
        if phase.groups:
            if self.spec.bf16:
                self._narrow(phase)
            self._product_phase(phase, start, stop)
        else:
            self._elementwise_phase(phase, start, stop)
        self._barrier()

    def _narrow(self, phase: Phase) -> None:
        """Every operand row of the phase as bfloat16; calls that share the rows write the same."""
        for group in phase.groups:
            number, size = self.group_index[id(group)], self.argument(f"size:{group.inner}")

            def at_row(r: Value, _: list[Value], group: Group = group, number: int = number, size: Value = size) -> None:
                body = _TileBody(self, phase, Tile(1, 1), r, I64(0), I64(1))
                narrow_row(self.e, body._row(group.operand, 0), self.narrow_rows(number, r), size)

            self.e.loop(self.first, self.last, 1, at_row)

    def narrow_rows(self, number: int, row: Value) -> Value:
        """Where a group's operand row stands as bfloat16."""
        return self.e.at(self.pointer("scratch"), self.b.add(self.b.mul(row, self.scratch_ld), self.narrow_offset[number]))

    def _product_phase(self, phase: Phase, start: Value, stop: Value) -> None:
        """The widest tile takes as many rows as it can, a narrower one the rest, down to single rows."""
        first = self.first
        for tile in self._tiles(phase):
            count = self.maximum(self.b.sub(self.last, first), I64(0))
            end = self.b.add(first, self.b.mul(self.b.sdiv(count, I64(tile.rows)), I64(tile.rows)))
            with self.b.if_then(self.b.icmp_signed("<", first, end)):
                self._sweep(phase, tile, (first, end), start, stop)
            first = end

    def function_stages(self, phase: Phase) -> list[tuple[int, ...]]:
        """The phase's slow functions by how many of them precede each within the phase."""
        nodes, mine = self.program.nodes, self.plan.phase_of
        number = self.plan.phases.index(phase)
        depth: dict[int, int] = {}
        needed = reachable(nodes, phase.roots)
        for index in sorted(node for node in needed if mine.get(node) == number and nodes[node].op != "affine"):
            depth[index] = max((depth.get(arg, 0) for arg in nodes[index].args), default=0) + (nodes[index].op in SLOW)
        deepest = max(depth.values(), default=0)
        return [tuple(i for i, d in depth.items() if d == level and nodes[i].op in SLOW) for level in range(1, deepest + 1)]

    def _kept(self, phase: Phase) -> int:
        return len(phase.affines) + sum(map(len, self.function_stages(phase)))

    def _tiles(self, phase: Phase) -> tuple[Tile, ...]:
        return tiles(max(len(phase.affines), *(len(group.products) for group in phase.groups)), self.registers)

    def _sweep(self, phase: Phase, tile: Tile, rows: tuple[Value, Value], start: Value, stop: Value) -> None:
        """Every panel over every row tile; the panel is the outer loop, so that it stays in the cache nearest the core.

        The last place of a tile that is wider than what is left overlaps the one before it, which computes the same again.
        """

        def at_panel(p: Value, _: list[Value]) -> None:
            panel = self.maximum(self.minimum(p, self.b.sub(stop, I64(tile.panels))), start)

            self.e.loop(*rows, tile.rows, lambda r, _: _TileBody(self, phase, tile, r, panel, stop).emit())

        self.e.loop(start, stop, tile.panels, at_panel)

    def _elementwise_phase(self, phase: Phase, start: Value, stop: Value) -> None:
        def at_row(r: Value, _: list[Value]) -> None:
            rows = _TileBody(self, phase, Tile(1, 1), r, start, stop)
            rows.find_rows()  # addresses are made once a row, outside the loop over its units

            def at_panel(p: Value, _: list[Value]) -> None:
                body = _TileBody(self, phase, Tile(1, 1), r, p, stop)
                body.pointers = rows.pointers
                body.emit()

            self.e.loop(start, stop, 1, at_panel)

        self.e.loop(self.first, self.last, 1, at_row)

    def _mean(self, node: int) -> None:
        """The mean over a row's units, summed lane by lane from the first panel to the last, then over the lanes in order."""
        argument = self.program.nodes[node].args[0]
        dim = self.program.nodes[argument].dim
        size = self.argument(f"size:{dim}")

        def at_row(r: Value, _: list[Value]) -> None:
            def add(p: Value, sums: list[Value]) -> list[Value]:
                body = _TileBody(self, Phase(0, dim, (), (), (), ()), Tile(1, 1), r, p, self.panels(dim))
                value = body.load_kept(argument)
                left = self.b.sub(size, self.b.mul(p, I64(self.e.lanes)))
                return [self.b.fadd(sums[0], self.b.select(self.e.tail_mask(left), value, self.e.constant(0.0)))]

            total = self.e.loop(0, self.panels(dim), 1, add, [self.e.constant(0.0)])[0]
            if self.e.lanes > 1:
                lanes = [self.b.extract_element(total, ir.Constant(ir.IntType(32), i)) for i in range(self.e.lanes)]
                total = lanes[0]
                for lane in lanes[1:]:
                    total = self.b.fadd(total, lane)
            mean = self.b.fdiv(total, self.b.sitofp(size, self.e.element))
            self.e.store(mean, self.pointer("scratch"), self.b.add(self.b.mul(r, self.scratch_ld), self.scratch_offset[node]))

        self.e.loop(self.first, self.last, 1, at_row)


class _TileBody:
    """One tile of one phase: sums over the operands, then the values of every (row, panel) of it."""

    def __init__(self, kernel: _Kernel, phase: Phase, tile: Tile, row: Value, panel: Value, stop: Value) -> None:
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
            self._finish({})
        elif len(cells) == 1:
            self._finish(dict(zip(self.phase.affines, self._sum(cells), strict=True)))
        else:
            self._finish_each(self._sum(cells))

    def find_rows(self) -> None:
        """Make the addresses of everything that the phase's roots are read from or written to."""
        number = self.k.plan.phases.index(self.phase)
        for node in reachable(self.nodes, self.phase.roots):
            found = self.nodes[node]
            computed = self.k.plan.phase_of.get(node) == number and found.op not in LEAVES
            if found.op in ("input", "state") or (found.dim != SCALAR and found.op not in LEAVES and not computed):
                if found.op in ("input", "state") or node in self.k.scratch_offset or node in self.k.lookups:
                    self._row(node, 0)
        for root in self.phase.roots:
            if root in self.k.plan.scratch:
                self._row(root, 0)
            for name, node in self.k.program.outputs.items():
                if node == root:
                    self._array("out", name, 0)
            for variable, node in zip(self.k.program.states, self.k.program.next_states, strict=True):
                if node == root:
                    self._out(variable.name, 0)

    def _out(self, name: str, i: int) -> Value:
        key = ("next", name, i)
        if key not in self.pointers:
            self.pointers[key] = self.k._state_out(name, self.rows[i])
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
        together = 2 if cells % 2 == 0 else 1
        known = list(self.phase.affines)
        for stage in stages:

            def at_cells(first: Value, _: list[Value], stage: tuple[int, ...] = stage) -> None:
                bodies = [self._cell(self.b.add(first, I64(i)), kept, known) for i in range(together)]
                self._apply_stage(bodies, stage)

            self.e.loop(0, cells, together, at_cells)
            known += stage
        self.e.loop(0, cells, 1, lambda cell, _: self._cell(cell, kept, known)[0]._keep_roots())

    def _cell(self, cell: Value, kept: list[int], known: list[int]) -> tuple[_TileBody, dict[int, Value]]:
        """One (row, panel) of the tile with what is known of it so far, and where each kept value of it stands in the room."""
        row = self.b.add(self.rows[0], self.b.sdiv(cell, I64(self.tile.panels)))
        panel = self.k.minimum(self.b.add(self.at_panel[0], self.b.srem(cell, I64(self.tile.panels))), self.b.sub(self.stop, I64(1)))
        here = self.b.mul(cell, I64(len(kept) * self.e.lanes))
        places = {node: self.b.add(here, I64(place * self.e.lanes)) for place, node in enumerate(kept)}
        body = _TileBody(self.k, self.phase, Tile(1, 1), row, panel, self.stop)
        body._take({node: self.e.load(self.k.room, places[node]) for node in known})
        return body, places

    def _apply_stage(self, bodies: list[tuple[_TileBody, dict[int, Value]]], stage: tuple[int, ...]) -> None:
        """Equal functions side by side in one wide vector: their instructions interleave and share the constants they load."""
        for op in dict.fromkeys(self.nodes[node].op for node in stage):
            todo = [(body, places[node], body.value(self.nodes[node].args[0], 0, 0)) for body, places in bodies for node in stage if self.nodes[node].op == op]
            while todo:
                count = max(n for n in (1, 2, 4) if n <= len(todo) and (n == 1 or self.e.lanes > 1))
                now, todo = todo[:count], todo[count:]
                result = self.k.wide_math(count).apply(op, self.e.joined([value for _, _, value in now]))
                for (_, place, _), value in zip(now, self.e.parts(result, count) if count > 1 else [result], strict=True):
                    self.e.store(value, self.k.room, place)

    def _finish(self, sums: dict[int, Value]) -> None:
        """Everything of the only (row, panel) of this tile that follows its sums."""
        self._take(sums)
        self._keep_roots()

    def _take(self, values: dict[int, Value]) -> None:
        for node, value in values.items():
            self.values[node, 0, 0] = value
        for node in values:
            if self.nodes[node].op == "affine" and self._starts_late(node):
                self.values[node, 0, 0] = self.b.fadd(self.values[node, 0, 0], self.value(self.nodes[node].args[0], 0, 0))

    def _keep_roots(self) -> None:
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
            operands = [self._row(group.operand, i) for i in range(self.tile.rows)]
        weights = self.k.pointer(f"weights:{number}")
        stride = b.mul(inner, I64(width * e.lanes))
        panels = [e.at(weights, b.mul(p, stride)) for p in self.at_panel]

        def at_k(k: Value, sums: list[Value]) -> list[Value]:
            sums = list(sums)
            offset = b.mul(k, I64(width * e.lanes))
            places = [b.add(offset, I64(g * e.lanes)) for g in range(width)]
            w = [[load_pairs(e, panel, at) if narrow else e.load(panel, at) for at in places] for panel in panels]
            for i in range(self.tile.rows):
                x = broadcast_pair(e, operands[i], k) if narrow else e.broadcast(operands[i], k)
                for p in range(self.tile.panels):
                    for g, (node, _) in enumerate(group.products):
                        index = cells.index((i, p)) * len(order) + order[node]
                        sums[index] = add_products(e, sums[index], x, w[p][g], self.k.dot_products) if narrow else e.fma(x, w[p][g], sums[index])
            return sums

        return e.loop(0, inner, 1, at_k, sums)

    # --- values ------------------------------------------------------------------------------------------------------------------
    def _row(self, node: int, i: int) -> Value:
        """The address of row ``i`` of a value that is in memory."""
        found = self.nodes[node]
        if found.op == "input":
            return self._array("in", found.name, i)
        if found.op == "state":
            key = ("state", found.name, i)
            if key not in self.pointers:
                self.pointers[key] = self.k._slot("slots", found.name, self.b.add(self.k.state_in, self.rows[i]))
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
            return self.e.load(self._row(node, i))
        if found.op == "input" and f"in:{found.name}" in self.k.spec.user and not self.k.spec.exact:
            return self.e.load_masked(self._row(node, i), self.units[p], self._tail(found.dim, p))
        return self.e.load(self._row(node, i), self.units[p])

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
            self.e.store(value, self._row(root, i), self.units[p])
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
