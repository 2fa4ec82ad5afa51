"""bfloat16 products: pairs of bfloat16 values in 32-bit lanes, summed in float32.

One step of a product adds two terms to a float32 sum: first the pair's second (high) values, then its first (low) ones, each product exact
and each sum rounded to nearest. VDPBF16PS does that in one instruction; elsewhere two fused multiply-adds give the same bits, but
for subnormal numbers, which the instruction takes as zero.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from llvmlite import ir

from grus.compiler.native.emitter import I32, Emitter, Value


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def round_pairs(e: Emitter, low: Value, high: Value) -> Value:
    """Two float32 vectors as one vector of pairs, rounded to nearest even; NaN stays NaN."""
    b = e.b
    first = b.lshr(_rounded(e, low), e.integer_constant(16, 32))
    return b.or_(first, b.and_(_rounded(e, high), e.integer_constant(0xFFFF0000, 32)))


def _rounded(e: Emitter, value: Value) -> Value:
    """The float32 bits with the rounded bfloat16 value in the upper half (the lower half is left over)."""
    b = e.b
    bits = b.bitcast(value, e.vector_of(I32))
    odd = b.and_(b.lshr(bits, e.integer_constant(16, 32)), e.integer_constant(1, 32))
    up = b.add(bits, b.add(odd, e.integer_constant(0x7FFF, 32)))
    quiet = b.or_(bits, e.integer_constant(0x400000, 32))
    return b.select(b.fcmp_unordered("uno", value, value), quiet, up)


def add_products(e: Emitter, total: Value, a: Value, c: Value, native: bool) -> Value:
    """total + a.high * c.high + a.low * c.low, lane by lane."""
    if native:
        return _instruction(e, total, a, c)
    total = e.fma(_high(e, a), _high(e, c), total)
    return e.fma(_low(e, a), _low(e, c), total)


def _high(e: Emitter, pairs: Value) -> Value:
    return e.b.bitcast(e.b.and_(pairs, e.integer_constant(0xFFFF0000, 32)), e.vector)


def _low(e: Emitter, pairs: Value) -> Value:
    return e.b.bitcast(e.b.shl(pairs, e.integer_constant(16, 32)), e.vector)


def _instruction(e: Emitter, total: Value, a: Value, c: Value) -> Value:
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * e.lanes}"
    kind = ir.VectorType(_BFloat(), 2 * e.lanes)
    function = e.module.globals.get(name) or ir.Function(e.module, ir.FunctionType(e.vector, [e.vector, kind, kind]), name)
    return e.b.call(function, [total, e.b.bitcast(a, kind), e.b.bitcast(c, kind)])


def load_pairs(e: Emitter, pointer: Value, offset: Value | int) -> Value:
    """A vector of pairs; ``offset`` counts pairs."""
    value = e.b.load(e.b.bitcast(e.at(pointer, offset, 4), e.vector_of(I32).as_pointer()), typ=e.vector_of(I32))
    value.align = 4
    return value


def broadcast_pair(e: Emitter, pointer: Value, offset: Value | int) -> Value:
    """One pair in every lane."""
    value = e.b.load(e.b.bitcast(e.at(pointer, offset, 4), I32.as_pointer()), typ=I32)
    value.align = 4
    return e.splat(value)


def narrow_row(e: Emitter, source: Value, target: Value, size: Value) -> None:
    """The first ``size`` float32 values of a row as bfloat16, then zeros up to a whole pair; up to a whole vector is written."""
    b = e.b

    def at(k: Value, _: list[Value]) -> None:
        left = b.sub(size, k)
        mask = e.tail_mask(left)
        value = e.load_masked(source, k, mask)
        half = b.trunc(b.lshr(_rounded(e, value), e.integer_constant(16, 32)), e.vector_of(ir.IntType(16)))
        b.store(half, b.bitcast(e.at(target, k, 2), half.type.as_pointer())).align = 2

    e.loop(0, size, e.lanes, at)
    if e.lanes == 1:
        zero = ir.Constant(ir.IntType(16), 0)
        b.store(zero, b.bitcast(e.at(target, size, 2), ir.IntType(16).as_pointer())).align = 2
