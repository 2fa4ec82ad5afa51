"""The kernels around a recurrence: packing weights into panels, weight gradients, and sums over rows.

Every function takes one pointer to int64 arguments, named below in order. Sizes are run-time values: one build serves every size.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from math import lcm

from llvmlite import ir

from grus.compiler.native.bfloat import add_products, broadcast_pair, load_pairs, round_pairs
from grus.compiler.native.emitter import I64, POINTER, Emitter, Value
from grus.compiler.native.target import Target

PACK = ("target", "source", "source_ld", "units", "inner", "products", "product")
OUTER = ("target", "target_ld", "left", "left_ld", "left_units", "right", "right_ld", "right_units", "rows", "room")
COLUMN_SUM = ("target", "source", "source_ld", "units", "rows")
ROWS = ("target", "target_ld", "source", "source_ld", "units", "rows")
CHUNK = 160  # rows summed before a weight gradient goes back to memory
LEFT_UNITS = 24  # of the left operand packed at once, or a few more: with a right panel they stay in a 32 KB cache


def outer_room(right_units: int, lanes: int, registers: int) -> int:
    """Elements of work space that ``outer`` needs."""
    _, panels = outer_tile(registers)
    width = panels * lanes
    return CHUNK * (-(-right_units // width) * width + left_block(lanes, registers))


def left_block(lanes: int, registers: int) -> int:
    """Units of the left operand packed at once: whole vectors and whole tiles."""
    whole = lcm(lanes, outer_tile(registers)[0])
    return -(-LEFT_UNITS // whole) * whole


def outer_tile(registers: int) -> tuple[int, int]:
    """Units of the left operand × vectors of the right one whose sums fill the registers."""
    return (12, 2) if registers > 16 else (6, 2)


class _Function:
    """A kernel under construction, its arguments by name."""

    def __init__(self, module: ir.Module, name: str, names: tuple[str, ...], dtype: str, lanes: int) -> None:
        self.e = Emitter(module, name, [POINTER], dtype, lanes)
        self.b = self.e.b
        self.arguments = {key: self.e.load_i64(self.e.function.args[0], index) for index, key in enumerate(names)}

    def __getitem__(self, name: str) -> Value:
        return self.arguments[name]

    def pointer(self, name: str) -> Value:
        return self.b.inttoptr(self.arguments[name], POINTER)

    def minimum(self, a: Value, b: Value) -> Value:
        return self.b.select(self.b.icmp_signed("<", a, b), a, b)

    def ceil(self, value: Value, step: int) -> Value:
        return self.b.sdiv(self.b.add(value, I64(step - 1)), I64(step))

    def floor(self, value: Value, step: int) -> Value:
        """The largest multiple of ``step`` that is not above ``value``."""
        return self.b.mul(self.b.sdiv(value, I64(step)), I64(step))


def emit_products(module: ir.Module, dtype: str, target: Target) -> None:
    """Add every function to ``module``; for float32 also pack_rows_bf16, pack_columns_bf16 and outer_bf16."""
    lanes = target.lanes(dtype)
    for narrow in (False, True) if dtype == "float32" else (False,):
        end = "_bf16" if narrow else ""
        _emit_pack(module, f"pack_rows{end}", dtype, lanes, by_rows=True, narrow=narrow)
        _emit_pack(module, f"pack_columns{end}", dtype, lanes, by_rows=False, narrow=narrow)
        _emit_outer(module, f"outer{end}", dtype, target, narrow=narrow)
    _emit_column_sum(module, dtype, lanes)
    _emit_rows(module, "copy_rows", dtype, lanes, lambda _, new, __: new)
    _emit_rows(module, "add_rows", dtype, lanes, lambda e, new, old: e.b.fadd(old, new))


def _emit_pack(module: ir.Module, name: str, dtype: str, lanes: int, by_rows: bool, narrow: bool) -> None:
    """target[panel][k][product][lane] = source[unit][k] (by rows) or source[k][unit], zero beyond the last unit.

    Where ``narrow``, k counts pairs of bfloat16 and an odd last value is paired with zero.
    """
    f = _Function(module, name, PACK, dtype, lanes)
    e, b = f.e, f.b
    target, source = f.pointer("target"), f.pointer("source")
    ld, inner, units = f["source_ld"], f["inner"], f["units"]
    step = b.mul(f["products"], I64(lanes))
    deep = 2 if narrow else 1  # values of k in one element of the target

    def put(k: Value, out: Value, columns: list[Value]) -> None:
        """Columns k, k + 1, … of a panel."""
        for i in range(0, len(columns), deep):
            value = round_pairs(e, columns[i], columns[i + 1]) if narrow else columns[i]
            b.store(value, b.bitcast(e.at(out, b.mul(b.add(b.sdiv(k, I64(deep)), I64(i // deep)), step)), value.type.as_pointer())).align = e.size

    def at_panel(panel: Value, _: list[Value]) -> None:
        first = b.mul(panel, I64(lanes))
        base = e.at(target, b.add(b.mul(b.mul(panel, f.ceil(inner, deep)), step), b.mul(f["product"], I64(lanes))))
        left = b.sub(units, first)

        def single(k: Value) -> Value:
            """Column k, lane by lane, whatever exists of it."""
            room = e.alloca(lanes)
            for lane in range(lanes):
                unit, at_k = f.minimum(b.add(first, I64(lane)), b.sub(units, I64(1))), f.minimum(k, b.sub(inner, I64(1)))
                at = b.add(b.mul(unit, ld), at_k) if by_rows else b.add(b.mul(at_k, ld), unit)
                exists = b.and_(b.icmp_signed("<", I64(lane), left), b.icmp_signed("<", k, inner))
                e.store(b.select(exists, e.load_scalar(source, at), ir.Constant(e.element, 0.0)), room, lane)
            return e.load(room)

        def whole(k: Value, _: list[Value]) -> None:
            if by_rows:
                put(k, base, _transposed(e, [e.load(source, b.add(b.mul(b.add(first, I64(i)), ld), k)) for i in range(lanes)]))
            else:
                put(k, base, [e.load(source, b.add(b.mul(b.add(k, I64(i)), ld), first)) for i in range(deep)])

        stride = max(lanes, deep) if by_rows else deep
        done: Value = b.select(b.icmp_signed(">=", left, I64(lanes)), f.floor(inner, stride), I64(0))
        if by_rows and lanes < deep:
            done = I64(0)  # a scalar has no second column to pair with
        else:
            e.loop(0, done, stride, whole)
        e.loop(done, inner, deep, lambda k, _: put(k, base, [single(b.add(k, I64(i))) for i in range(deep)]))

    e.loop(0, f.ceil(units, lanes), 1, at_panel)
    b.ret_void()


def _transposed(e: Emitter, rows: list[Value]) -> list[Value]:
    """A square of vectors with rows and columns exchanged, by exchanging ever larger blocks."""
    lanes, rows = e.lanes, list(rows)
    kind = ir.VectorType(ir.IntType(32), lanes)
    distance = 1
    while distance < lanes:
        low = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
        high = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
        for i in range(lanes):
            if not i & distance:
                a, c = rows[i], rows[i + distance]
                rows[i] = e.b.shuffle_vector(a, c, ir.Constant(kind, low))
                rows[i + distance] = e.b.shuffle_vector(a, c, ir.Constant(kind, high))
        distance *= 2
    return rows


def _emit_outer(module: ir.Module, name: str, dtype: str, target: Target, narrow: bool) -> None:
    """target[m][k] += sum over rows n of left[n][m] * right[n][k], chunk after chunk of rows, each chunk in order.

    Where ``narrow``, both sides are rounded to bfloat16 and rows are taken in pairs.
    """
    _Outer(module, name, dtype, target, narrow).emit()


class _Outer:
    """The weight gradient: both operands of a chunk of rows are packed tile by tile, then every tile is summed in registers."""

    def __init__(self, module: ir.Module, name: str, dtype: str, target: Target, narrow: bool) -> None:
        self.f = _Function(module, name, OUTER, dtype, target.lanes(dtype))
        self.e, self.b, self.lanes, self.narrow = self.f.e, self.f.b, target.lanes(dtype), narrow
        self.high, self.panels = outer_tile(target.registers)
        self.width = self.panels * self.lanes
        self.block = left_block(self.lanes, target.registers)
        self.dot_products, self.deep = target.bf16, 2 if narrow else 1
        self.first: Value = I64(0)  # of the chunk: its first row, its rows, and its rows or pairs of rows
        self.count: Value = I64(0)
        self.packed: Value = I64(0)
        right = self.b.mul(self.b.mul(self.f.ceil(self.f["right_units"], self.width), I64(self.width)), I64(CHUNK))
        self.right_room = self.f.pointer("room")
        self.left_room = self.e.at(self.right_room, right)

    def emit(self) -> None:
        f, b, e = self.f, self.b, self.e

        def at_chunk(first: Value, _: list[Value]) -> None:
            self.first, self.count = first, f.minimum(b.sub(f["rows"], first), I64(CHUNK))
            self.packed = f.ceil(self.count, self.deep)
            e.loop(0, f.ceil(f["right_units"], self.width), 1, lambda panel, _: self._pack_right(panel))
            e.loop(0, f["left_units"], self.block, at_block)

        def at_block(unit: Value, _: list[Value]) -> None:
            units = f.minimum(b.sub(f["left_units"], unit), I64(self.block))
            groups = f.ceil(units, self.high)
            self._pack_left(unit, units)

            def at_panel(panel: Value, _: list[Value]) -> None:
                left = b.sub(f["right_units"], b.mul(panel, I64(self.width)))
                with b.if_else(b.icmp_signed(">", left, I64(self.width - self.lanes)), likely=True) as (wide, narrow):
                    with wide:
                        e.loop(0, groups, 1, lambda group, _: self._tile(group, panel, unit, units, self.panels))
                    with narrow:  # what is right of the last unit is no work
                        e.loop(0, groups, 1, lambda group, _: self._tile(group, panel, unit, units, self.panels - 1))

            e.loop(0, f.ceil(f["right_units"], self.width), 1, at_panel)

        e.loop(0, f["rows"], CHUNK, at_chunk)
        b.ret_void()

    def _row(self, side: str, n: Value) -> Value:
        return self.e.at(self.f.pointer(side), self.b.mul(self.b.add(self.first, n), self.f[f"{side}_ld"]))

    def _pack_right(self, panel: Value) -> None:
        e, b, f = self.e, self.b, self.f
        start = b.mul(panel, I64(self.width))
        out = e.at(self.right_room, b.mul(panel, I64(self.width * CHUNK)))

        def copy(n: Value, load: Callable[[Value, Value], Value]) -> None:
            for p in range(self.panels):
                at = b.add(start, I64(p * self.lanes))
                value = self._paired(n, lambda row, at=at: load(self._row("right", row), at), e)
                place = e.at(out, b.add(b.mul(n, I64(self.width)), I64(p * self.lanes)))
                b.store(value, b.bitcast(place, value.type.as_pointer())).align = e.size

        def part_of(row: Value, unit: Value) -> Value:
            return _load_part(e, row, unit, b.sub(f["right_units"], unit))

        with b.if_else(b.icmp_signed("<=", b.add(start, I64(self.width)), f["right_units"]), likely=True) as (whole, part):
            with whole:
                e.loop(0, self.packed, 1, lambda n, _: copy(n, e.load))
            with part:
                e.loop(0, self.packed, 1, lambda n, _: copy(n, part_of))

    def _paired(self, n: Value, load: Callable[[Value], Value], e: Emitter) -> Value:
        """Row n; or rows 2n and 2n + 1 as pairs, where a row beyond the chunk counts as zero."""
        if not self.narrow:
            return load(n)
        low, high = self.b.mul(n, I64(2)), self.b.add(self.b.mul(n, I64(2)), I64(1))
        exists = self.b.icmp_signed("<", high, self.count)
        second = self.b.select(exists, load(self.b.select(exists, high, low)), e.constant(0.0))
        return round_pairs(e, load(low), second)

    def _pack_left(self, unit: Value, units: Value) -> None:
        """A block of units of every row, as it is: [row][block]; units that do not exist are zero and never stored."""
        e, b = self.e, self.b

        def at_vector(at: Value, _: list[Value]) -> None:
            out, first = e.at(self.left_room, at), b.add(unit, at)
            left = b.sub(units, at)

            def copy(n: Value, load: Callable[[Value], Value]) -> None:
                value = self._paired(n, lambda row: load(self._row("left", row)), e)
                b.store(value, b.bitcast(e.at(out, b.mul(n, I64(self.block))), value.type.as_pointer())).align = e.size

            with b.if_else(b.icmp_signed(">=", left, I64(self.lanes)), likely=True) as (whole, part):
                with whole:
                    e.loop(0, self.packed, 1, lambda n, _: copy(n, lambda row: e.load(row, first)))
                with part:
                    e.loop(0, self.packed, 1, lambda n, _: copy(n, lambda row: _load_part(e, row, first, left)))

        e.loop(0, units, self.lanes, at_vector)

    def _tile(self, group: Value, panel: Value, unit: Value, units: Value, panels: int) -> None:
        """The first so many vectors of a panel."""
        e, b, high, lanes = self.e, self.b, self.high, self.lanes
        at_left = e.at(self.left_room, b.mul(group, I64(high)))
        at_right = e.at(self.right_room, b.mul(panel, I64(self.width * CHUNK)))

        ahead = b.add(b.add(unit, I64(self.block)), b.mul(group, I64(high)))

        def at_row(n: Value, sums: list[Value]) -> list[Value]:
            for i in range(self.deep if lanes > 1 else 0):  # the next block's lines, if there is one; each tile of a panel asks for its part
                e.prefetch(self._row("left", b.add(b.mul(n, I64(self.deep)), I64(i))), ahead, write=False)
            places = [b.add(b.mul(n, I64(self.width)), I64(p * lanes)) for p in range(panels)]
            right = [load_pairs(e, at_right, at) if self.narrow else e.load(at_right, at) for at in places]
            out: list[Value] = []
            for i in range(high):
                at = b.add(b.mul(n, I64(self.block)), I64(i))
                if self.narrow:
                    x = broadcast_pair(e, at_left, at)
                    out += [add_products(e, sums[i * panels + p], x, right[p], self.dot_products) for p in range(panels)]
                else:
                    x = e.broadcast(at_left, at)
                    out += [e.fma(x, right[p], sums[i * panels + p]) for p in range(panels)]
            return out

        sums = e.loop(0, self.packed, 1, at_row, [e.constant(0.0)] * (high * panels))
        for i in range(high):
            m = b.add(b.mul(group, I64(high)), I64(i))
            with b.if_then(b.icmp_signed("<", m, units)):
                row = e.at(self.f.pointer("target"), b.mul(b.add(unit, m), self.f["target_ld"]))
                self._add_to_target(row, panel, sums[i * panels : (i + 1) * panels])

    def _add_to_target(self, row: Value, panel: Value, sums: list[Value]) -> None:
        e, b = self.e, self.b
        start = b.mul(panel, I64(self.width))
        places = [b.add(start, I64(p * self.lanes)) for p in range(len(sums))]

        def add_existing() -> None:
            for at, value in zip(places, sums, strict=True):
                left = b.sub(self.f["right_units"], at)
                _store_part(e, b.fadd(_load_part(e, row, at, left), value), row, at, left)

        if len(sums) < self.panels:  # the last vector
            add_existing()
            return
        whole = b.icmp_signed("<=", b.add(start, I64(self.width)), self.f["right_units"])
        with b.if_else(whole, likely=True) as (all_there, some_there):
            with all_there:
                for at, value in zip(places, sums, strict=True):
                    e.store(b.fadd(e.load(row, at), value), row, at)
            with some_there:
                add_existing()


def _emit_column_sum(module: ir.Module, dtype: str, lanes: int) -> None:
    """target[u] += sum over rows n of source[n][u], in order of n; both hold whole vectors."""
    f = _Function(module, "column_sum", COLUMN_SUM, dtype, lanes)
    e, b = f.e, f.b
    source, target = f.pointer("source"), f.pointer("target")

    def at_units(unit: Value, _: list[Value], count: int) -> None:
        def at_row(n: Value, sums: list[Value]) -> list[Value]:
            row = b.add(b.mul(n, f["source_ld"]), unit)
            return [b.fadd(total, e.load(source, b.add(row, I64(i * lanes)))) for i, total in enumerate(sums)]

        totals = e.loop(0, f["rows"], 1, at_row, [e.constant(0.0)] * count)
        for i, total in enumerate(totals):
            at = b.add(unit, I64(i * lanes))
            e.store(b.fadd(e.load(target, at), total), target, at)

    done = f.floor(f["units"], 8 * lanes)
    e.loop(0, done, 8 * lanes, lambda unit, values: at_units(unit, values, 8))
    e.loop(done, f["units"], lanes, lambda unit, values: at_units(unit, values, 1))
    b.ret_void()


def _emit_rows(module: ir.Module, name: str, dtype: str, lanes: int, combine: Callable[[Emitter, Value, Value], Value]) -> None:
    """target[n][u] = combine(source[n][u], target[n][u]) for every row n and unit u; nothing beyond the units is touched."""
    f = _Function(module, name, ROWS, dtype, lanes)
    e, b = f.e, f.b

    def at_row(n: Value, _: list[Value]) -> None:
        source = e.at(f.pointer("source"), b.mul(n, f["source_ld"]))
        target = e.at(f.pointer("target"), b.mul(n, f["target_ld"]))

        def at_unit(unit: Value, _: list[Value], e: Emitter) -> None:
            e.store(combine(e, e.load(source, unit), e.load(target, unit)), target, unit)

        done = f.floor(f["units"], lanes)
        e.loop(0, done, lanes, lambda unit, values: at_unit(unit, values, e))
        e.loop(done, f["units"], 1, lambda unit, values: at_unit(unit, values, e.of_lanes(1)))

    e.loop(0, f["rows"], 1, at_row)
    b.ret_void()


def _load_part(e: Emitter, pointer: Value, offset: Value, left: Value) -> Value:
    """A vector of which only the first ``left`` lanes exist; the others are zero and nothing is read for them."""
    if e.lanes == 1:
        inside = e.b.icmp_signed(">", left, I64(0))
        at = e.b.select(inside, offset, I64(0))
        return e.b.select(inside, e.load(pointer, at), e.constant(0.0))
    return e.load_masked(pointer, offset, e.tail_mask(left))


def _store_part(e: Emitter, value: Value, pointer: Value, offset: Value, left: Value) -> None:
    if e.lanes == 1:
        with e.b.if_then(e.b.icmp_signed(">", left, I64(0))):
            e.store(value, pointer, offset)
        return
    e.store_masked(value, pointer, offset, e.tail_mask(left))
