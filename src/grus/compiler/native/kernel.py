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

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from grus.compiler.native.barrier import emit_barrier
from grus.compiler.native.bfloat import narrow_row
from grus.compiler.native.emitter import I8, I64, POINTER, Emitter, Value
from grus.compiler.native.spec import MEAN_SUMS, SLOW, TABLE_WIDTH, Spec
from grus.compiler.native.target import Target
from grus.compiler.native.tile import Tile, TileBody, tiles
from grus.compiler.native.vector import VectorMath
from grus.compiler.program import SCALAR, reachable
from grus.compiler.schedule import Group, Phase

CACHE_LINE = 64
LEAST_SUMS = 6  # of a tile of one panel: fewer would wait for one another longer than twice as many take


def emit_kernel(module: ir.Module, name: str, spec: Spec, dtype: str, target: Target) -> None:
    """Add the function ``name(int64 *arguments)`` to ``module``."""
    Kernel(module, name, spec, dtype, target).emit()


class Kernel:
    def __init__(self, module: ir.Module, name: str, spec: Spec, dtype: str, target: Target) -> None:
        self.spec, self.plan, self.program = spec, spec.plan, spec.program
        self.registers, self.dot_products = target.registers, target.bf16
        lanes = target.lanes(dtype)
        self.e = Emitter(module, name, [POINTER], dtype, lanes)
        self.b = self.e.b
        self.math = VectorMath(self.e)
        self._wide: dict[int, VectorMath] = {}
        self.rows = self.row = self.slot_in = self.slot_out = self.rows_before = self.rows_after = self.first = self.last = I64(0)  # by step
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
        self.rows, self.row, self.slot_in, self.slot_out, self.rows_before, self.rows_after = fields
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
        """Wait until every call that shares these rows is here."""
        emit_barrier(self.e, self.pointer("barrier"), self.argument("unit_count"))

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

    def slot(self, kind: str, name: str, row: Value) -> Value:
        return self.e.at(self.pointer(f"{kind}:{name}"), self.b.mul(row, self.argument(f"ld:{name}")))

    def _before(self) -> None:
        for name in (variable.name for variable in self.program.states):

            def start(r: Value, _: list[Value], name: str = name) -> None:
                self._copy_row(name, self.slot("slots", name, self.b.add(self.slot_in, r)), self.slot("carry", name, r))

            self.e.loop(self.maximum(self.first, self.rows_before), self.last, 1, start)
            if not self.spec.backward:

                def restart(r: Value, name: str = name) -> None:
                    self._copy_row(name, self.slot("slots", name, self.b.add(self.slot_in, r)), self.slot("restart", name, r))

                self._rows_where_reset(restart)

    def _after(self) -> None:
        for name in (variable.name for variable in self.program.states):

            def collect(r: Value, name: str = name) -> None:
                carry, total = self.state_row(name, r), self.slot("restart", name, r)

                def add(unit: Value) -> None:
                    self.e.store(self.b.fadd(self.e.load(total, unit), self.e.load(carry, unit)), total, unit)
                    self.e.store(self.e.constant(0.0), carry, unit)

                self._vectors(self.dims[name], add)

            self._rows_where_reset(collect)

    def state_row(self, name: str, r: Value) -> Value:
        """Where the new state of row ``r`` goes: the next step's slot, or ``carry`` if the row ends here."""
        inside = self.slot("slots", name, self.b.add(self.slot_out, r))
        return self.b.select(self.b.icmp_signed("<", r, self.rows_after), inside, self.slot("carry", name, r))

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
                body = TileBody(self, phase, Tile(1, 1), r, I64(0), I64(1))
                narrow_row(self.e, body.row(group.operand, 0), self.narrow_rows(number, r), size)

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

    def inputs_of(self, phase: Phase) -> list[int]:
        """The inputs that the phase's elementwise work reads."""
        number, seen, todo = self.plan.phases.index(phase), set[int](), list(phase.roots)
        while todo:
            index = todo.pop()
            if index not in seen and self.plan.phase_of.get(index, number) == number:
                seen.add(index)
                todo += self.program.nodes[index].args
        return [index for index in sorted(seen) if self.program.nodes[index].op == "input"]

    def _kept(self, phase: Phase) -> int:
        return len(phase.affines) + sum(map(len, self.function_stages(phase)))

    def _tiles(self, phase: Phase) -> tuple[Tile, ...]:
        return tiles(max(len(phase.affines), *(len(group.products) for group in phase.groups)), self.registers)

    def _sweep(self, phase: Phase, tile: Tile, rows: tuple[Value, Value], start: Value, stop: Value) -> None:
        """Every panel over every row tile; the panel is the outer loop, so that it stays in the cache nearest the core.

        Where a tile is wider than what is left, that is done panel by panel; tiles of few rows, whose sums would wait for one another, overlap
        the place before instead, and compute the same again.
        """
        if tile.panels > 1 and tile.rows >= LEAST_SUMS:
            whole = self.b.add(start, self.b.mul(self.b.sdiv(self.b.sub(stop, start), I64(tile.panels)), I64(tile.panels)))
            self._sweep_panels(phase, tile, rows, start, whole)
            self._sweep_panels(phase, Tile(tile.rows, 1), rows, whole, stop)
        else:
            self._sweep_panels(phase, tile, rows, start, stop)

    def _sweep_panels(self, phase: Phase, tile: Tile, rows: tuple[Value, Value], start: Value, stop: Value) -> None:
        last = self.b.sub(stop, I64(tile.panels))
        together = max(1, CACHE_LINE // (self.e.lanes * self.e.size * tile.panels)) * tile.panels  # a line is read and written at once

        def at_panels(first: Value, _: list[Value]) -> None:
            end = self.minimum(self.b.add(first, I64(together)), stop)

            def at_row(r: Value, _: list[Value]) -> None:
                TileBody(self, phase, tile, self.b.add(r, I64(tile.rows)), first, stop).prefetch()

                def at_panel(p: Value, _: list[Value]) -> None:
                    TileBody(self, phase, tile, r, self.maximum(self.minimum(p, last), start), stop).emit()

                self.e.loop(first, end, tile.panels, at_panel)

            self.e.loop(*rows, tile.rows, at_row)

        self.e.loop(start, stop, together, at_panels)

    def _elementwise_phase(self, phase: Phase, start: Value, stop: Value) -> None:
        def at_row(r: Value, _: list[Value]) -> None:
            rows, next_rows = (TileBody(self, phase, Tile(1, 1), row, start, stop) for row in (r, self.b.add(r, I64(1))))
            for each in (rows, next_rows):
                each.find_rows()  # addresses are made once a row, outside the loop over its units

            def at_panel(p: Value, _: list[Value]) -> None:
                for each in (next_rows, rows):
                    body = TileBody(self, phase, Tile(1, 1), r, p, stop)
                    body.pointers = each.pointers
                    body.prefetch() if each is next_rows else body.emit()

            self.e.loop(start, stop, 1, at_panel)

        self.e.loop(self.first, self.last, 1, at_row)

    def _mean(self, node: int) -> None:
        """The mean over a row's units, in MEAN_SUMS sums that take units in turn, whatever the vectors are, then over these in order."""
        argument = self.program.nodes[node].args[0]
        dim = self.program.nodes[argument].dim
        size = self.argument(f"size:{dim}")

        def at_row(r: Value, _: list[Value]) -> None:
            def add(first: Value, sums: list[Value]) -> list[Value]:
                out: list[Value] = []
                for i, total in enumerate(sums):
                    p = self.b.add(first, I64(i))
                    left = self.b.sub(size, self.b.mul(p, I64(self.e.lanes)))
                    last = self.b.sub(self.panels(dim), I64(1))  # a panel that does not exist adds zeros
                    value = TileBody(self, Phase(0, dim, (), (), (), ()), Tile(1, 1), r, self.minimum(p, last), self.panels(dim)).load_kept(argument)
                    out.append(self.b.fadd(total, self.b.select(self.e.tail_mask(left), value, self.e.constant(0.0))))
                return out

            count = max(1, MEAN_SUMS // self.e.lanes)
            sums = self.e.loop(0, self.panels(dim), count, add, [self.e.constant(0.0)] * count)
            lanes = [s if self.e.lanes == 1 else self.b.extract_element(s, ir.Constant(ir.IntType(32), i)) for s in sums for i in range(self.e.lanes)]
            total = lanes[0]
            for lane in lanes[1:]:
                total = self.b.fadd(total, lane)
            mean = self.b.fdiv(total, self.b.sitofp(size, self.e.element))
            self.e.store(mean, self.pointer("scratch"), self.b.add(self.b.mul(r, self.scratch_ld), self.scratch_offset[node]))

        self.e.loop(self.first, self.last, 1, at_row)
