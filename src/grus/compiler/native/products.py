"""The kernels around a recurrence: packing weights into panels, weight gradients, and sums over rows.

Every function takes one pointer to int64 arguments, named below in order. Sizes are run-time values: one build serves every size.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from grus.compiler.native.emitter import I64, POINTER, Emitter, Value

PACK = ("target", "source", "source_ld", "units", "inner", "products", "product")
OUTER = ("target", "target_ld", "left", "left_ld", "left_units", "right", "right_ld", "right_units", "rows", "room")
COLUMN_SUM = ("target", "source", "source_ld", "units", "rows")
CHUNK = 192  # rows summed before a weight gradient goes back to memory: two packed chunks stay in a 512 KB second-level cache
BLOCK = 96  # units of the left operand packed at once


def outer_room(left_units: int, right_units: int, lanes: int, registers: int) -> int:
    """Elements of work space that ``outer`` needs."""
    _, panels = outer_tile(registers)
    width = panels * lanes
    return CHUNK * (-(-right_units // width) * width + BLOCK)


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


def emit_products(module: ir.Module, dtype: str, lanes: int, registers: int) -> None:
    """Add pack_rows, pack_columns, outer and column_sum to ``module``."""
    _emit_pack(module, "pack_rows", dtype, lanes, by_rows=True)
    _emit_pack(module, "pack_columns", dtype, lanes, by_rows=False)
    _emit_outer(module, dtype, lanes, registers)
    _emit_column_sum(module, dtype, lanes)


def _emit_pack(module: ir.Module, name: str, dtype: str, lanes: int, by_rows: bool) -> None:
    """target[panel][k][product][lane] = source[unit][k] (by rows) or source[k][unit], zero beyond the last unit."""
    f = _Function(module, name, PACK, dtype, lanes)
    e, b = f.e, f.b
    target, source = f.pointer("target"), f.pointer("source")
    ld, inner, units = f["source_ld"], f["inner"], f["units"]
    step = b.mul(f["products"], I64(lanes))

    def at_panel(panel: Value, _: list[Value]) -> None:
        first = b.mul(panel, I64(lanes))
        base = e.at(target, b.add(b.mul(b.mul(panel, inner), step), b.mul(f["product"], I64(lanes))))
        left = b.sub(units, first)

        def one_by_one(k: Value, _: list[Value]) -> None:
            out = e.at(base, b.mul(k, step))
            for lane in range(lanes):
                unit = f.minimum(b.add(first, I64(lane)), b.sub(units, I64(1)))
                at = b.add(b.mul(unit, ld), k) if by_rows else b.add(b.mul(k, ld), unit)
                exists = b.icmp_signed("<", I64(lane), left)
                value = b.select(exists, e.load_scalar(source, at), ir.Constant(e.element, 0.0))
                e.store(value, out, lane)

        def whole(k: Value, _: list[Value]) -> None:
            if by_rows:
                rows = [e.load(source, b.add(b.mul(b.add(first, I64(i)), ld), k)) for i in range(lanes)]
                for i, column in enumerate(_transposed(e, rows)):
                    e.store(column, base, b.mul(b.add(k, I64(i)), step))
            else:
                e.store(e.load(source, b.add(b.mul(k, ld), first)), base, b.mul(k, step))

        stride = lanes if by_rows else 1
        done = b.select(b.icmp_signed(">=", left, I64(lanes)), f.floor(inner, stride), I64(0))
        e.loop(0, done, stride, whole)
        e.loop(done, inner, 1, one_by_one)

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


def _emit_outer(module: ir.Module, dtype: str, lanes: int, registers: int) -> None:
    """target[m][k] += sum over rows n of left[n][m] * right[n][k], chunk after chunk of rows, each chunk in order."""
    f = _Function(module, "outer", OUTER, dtype, lanes)
    e, b = f.e, f.b
    high, panels = outer_tile(registers)
    width = panels * lanes
    right_room = f.pointer("room")
    left_room = e.at(right_room, b.mul(b.mul(f.ceil(f["right_units"], width), I64(width)), I64(CHUNK)))

    def pack_right(first: Value, count: Value) -> None:
        def at_panel(panel: Value, _: list[Value]) -> None:
            start = b.mul(panel, I64(width))
            out = e.at(right_room, b.mul(panel, I64(width * CHUNK)))

            def copy(n: Value, load: Callable[[Value, Value], Value]) -> None:
                row = e.at(f.pointer("right"), b.mul(b.add(first, n), f["right_ld"]))
                for p in range(panels):
                    e.store(load(row, b.add(start, I64(p * lanes))), out, b.add(b.mul(n, I64(width)), I64(p * lanes)))

            def part_of(row: Value, unit: Value) -> Value:
                return _load_part(e, row, unit, b.sub(f["right_units"], unit))

            with b.if_else(b.icmp_signed("<=", b.add(start, I64(width)), f["right_units"]), likely=True) as (whole, part):
                with whole:
                    e.loop(0, count, 1, lambda n, _: copy(n, e.load))
                with part:
                    e.loop(0, count, 1, lambda n, _: copy(n, part_of))

        e.loop(0, f.ceil(f["right_units"], width), 1, at_panel)

    def pack_left(first: Value, count: Value, unit: Value, units: Value) -> None:
        """Groups of ``high`` units side by side; units that do not exist repeat the last one and are never stored."""

        def at_group(group: Value, _: list[Value]) -> None:
            out = e.at(left_room, b.mul(group, I64(high * CHUNK)))

            start = b.mul(group, I64(high))
            quad = ir.VectorType(e.element, high).as_pointer()

            def row_at(n: Value) -> Value:
                return e.at(f.pointer("left"), b.add(b.mul(b.add(first, n), f["left_ld"]), unit))

            def at_once(n: Value, _: list[Value]) -> None:
                values = b.load(b.bitcast(e.at(row_at(n), start), quad), typ=quad.pointee)
                values.align = e.size
                b.store(values, b.bitcast(e.at(out, b.mul(n, I64(high))), quad)).align = e.size

            def one_by_one(n: Value, _: list[Value]) -> None:
                for i in range(high):
                    m = f.minimum(b.add(start, I64(i)), b.sub(units, I64(1)))
                    e.store(e.load_scalar(row_at(n), m), out, b.add(b.mul(n, I64(high)), I64(i)))

            with b.if_else(b.icmp_signed("<=", b.add(start, I64(high)), units), likely=True) as (whole, part):
                with whole:
                    e.loop(0, count, 1, at_once)
                with part:
                    e.loop(0, count, 1, one_by_one)

        e.loop(0, f.ceil(units, high), 1, at_group)

    def tile(group: Value, panel: Value, count: Value, unit: Value, units: Value) -> None:
        at_left = e.at(left_room, b.mul(group, I64(high * CHUNK)))
        at_right = e.at(right_room, b.mul(panel, I64(width * CHUNK)))

        def at_row(n: Value, sums: list[Value]) -> list[Value]:
            right = [e.load(at_right, b.add(b.mul(n, I64(width)), I64(p * lanes))) for p in range(panels)]
            out: list[Value] = []
            for i in range(high):
                x = e.broadcast(at_left, b.add(b.mul(n, I64(high)), I64(i)))
                out += [e.fma(x, right[p], sums[i * panels + p]) for p in range(panels)]
            return out

        sums = e.loop(0, count, 1, at_row, [e.constant(0.0)] * (high * panels))
        start = b.mul(panel, I64(width))
        for i in range(high):
            m = b.add(b.mul(group, I64(high)), I64(i))
            with b.if_then(b.icmp_signed("<", m, units)):
                row = e.at(f.pointer("target"), b.mul(b.add(unit, m), f["target_ld"]))
                whole = b.icmp_signed("<=", b.add(start, I64(width)), f["right_units"])
                with b.if_else(whole, likely=True) as (all_there, some_there):
                    with all_there:
                        for p in range(panels):
                            at = b.add(start, I64(p * lanes))
                            e.store(b.fadd(e.load(row, at), sums[i * panels + p]), row, at)
                    with some_there:
                        for p in range(panels):
                            at = b.add(start, I64(p * lanes))
                            left = b.sub(f["right_units"], at)
                            _store_part(e, b.fadd(_load_part(e, row, at, left), sums[i * panels + p]), row, at, left)

    def at_chunk(first: Value, _: list[Value]) -> None:
        count = f.minimum(b.sub(f["rows"], first), I64(CHUNK))
        pack_right(first, count)

        def at_block(unit: Value, _: list[Value]) -> None:
            units = f.minimum(b.sub(f["left_units"], unit), I64(BLOCK))
            pack_left(first, count, unit, units)

            def at_panel(panel: Value, _: list[Value]) -> None:
                e.loop(0, f.ceil(units, high), 1, lambda group, _: tile(group, panel, count, unit, units))

            e.loop(0, f.ceil(f["right_units"], width), 1, at_panel)

        e.loop(0, f["left_units"], BLOCK, at_block)

    e.loop(0, f["rows"], CHUNK, at_chunk)
    b.ret_void()


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
