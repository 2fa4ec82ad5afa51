"""An LLVM IR builder for vectors of one element type and width: loads, stores, broadcasts, loops that carry values."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from llvmlite import ir

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = I8.as_pointer()
ELEMENTS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
SIZES = {"float32": 4, "float64": 8}
Value = Any  # llvmlite values are untyped


class Emitter:
    """One function under construction, in vectors of ``lanes`` elements of ``dtype`` ("float32" or "float64").

    With ``lanes=1`` every "vector" is an LLVM scalar, so that one piece of code serves the scalar lowering as well.
    """

    def __init__(self, module: ir.Module, name: str, arguments: Sequence[ir.Type], dtype: str, lanes: int, returns: ir.Type | None = None) -> None:
        self.module, self.dtype, self.lanes = module, dtype, lanes
        self.element = ELEMENTS[dtype]
        self.size = SIZES[dtype]
        self.vector: ir.Type = self.element if lanes == 1 else ir.VectorType(self.element, lanes)
        self.function = ir.Function(module, ir.FunctionType(returns or ir.VoidType(), arguments), name)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self._entry = self.b.block

    def widened(self, times: int) -> Emitter:
        """The same function under construction, in vectors of ``times`` as many lanes."""
        return self.of_lanes(self.lanes * times)

    def of_lanes(self, lanes: int) -> Emitter:
        """The same function under construction, in vectors of ``lanes``."""
        other = copy(self)
        other.lanes = lanes
        other.vector = self.element if lanes == 1 else ir.VectorType(self.element, lanes)
        return other

    def joined(self, vectors: Sequence[Value]) -> Value:
        """Vectors side by side as one; their number is a power of two."""
        if len(vectors) == 1:
            return vectors[0]
        low, high = self.joined(vectors[: len(vectors) // 2]), self.joined(vectors[len(vectors) // 2 :])
        return self.b.shuffle_vector(low, high, ir.Constant(ir.VectorType(I32, 2 * low.type.count), list(range(2 * low.type.count))))

    def parts(self, wide: Value, count: int) -> list[Value]:
        """The inverse of ``joined``."""
        undefined = ir.Constant(wide.type, ir.Undefined)
        kind = ir.VectorType(I32, self.lanes)
        masks = [ir.Constant(kind, list(range(i * self.lanes, (i + 1) * self.lanes))) for i in range(count)]
        return [self.b.shuffle_vector(wide, undefined, mask) for mask in masks]

    # --- types -------------------------------------------------------------------------------------------------------
    def vector_of(self, element: ir.Type) -> ir.Type:
        """The vector type with this emitter's lanes and another element type."""
        return element if self.lanes == 1 else ir.VectorType(element, self.lanes)

    def constant(self, value: float) -> Value:
        """``value`` in every lane."""
        element = ir.Constant(self.element, float(value))
        return element if self.lanes == 1 else ir.Constant(self.vector, [element] * self.lanes)

    def integer_constant(self, value: int, bits: int) -> Value:
        """An integer in every lane."""
        kind = ir.IntType(bits)
        return ir.Constant(kind, value) if self.lanes == 1 else ir.Constant(ir.VectorType(kind, self.lanes), [ir.Constant(kind, value)] * self.lanes)

    def intrinsic(self, name: str, *args: Value, result: ir.Type | None = None) -> Value:
        """Call ``llvm.<name>``, overloaded on the type of its result (by default the first argument's)."""
        kind = result or args[0].type
        full = f"llvm.{name}.{_mangle(kind)}"
        function = self.module.globals.get(full)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(kind, [arg.type for arg in args]), full)
        return self.b.call(function, args)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c with one rounding."""
        return self.intrinsic("fma", a, b, c)

    # --- memory: pointers are bytes, offsets are elements ------------------------------------------------------------------
    def at(self, pointer: Value, offset: Value | int, size: int | None = None) -> Value:
        """``pointer`` moved by ``offset`` elements of ``size`` bytes (this emitter's element by default)."""
        size = self.size if size is None else size
        if isinstance(offset, int):
            return pointer if offset == 0 else self.b.gep(pointer, [I64(offset * size)])
        return self.b.gep(pointer, [self.b.mul(offset, I64(size))])

    def load_scalar(self, pointer: Value, offset: Value | int = 0) -> Value:
        value = self.b.load(self.b.bitcast(self.at(pointer, offset), self.element.as_pointer()), typ=self.element)
        value.align = self.size
        return value

    def load_i64(self, pointer: Value, index: int | Value = 0) -> Value:
        return self.b.load(self.b.bitcast(self.at(pointer, index, 8), I64.as_pointer()), typ=I64)

    def load_pointer(self, pointer: Value, index: int | Value = 0) -> Value:
        return self.b.inttoptr(self.load_i64(pointer, index), POINTER)

    def load(self, pointer: Value, offset: Value | int = 0) -> Value:
        value = self.b.load(self.b.bitcast(self.at(pointer, offset), self.vector.as_pointer()), typ=self.vector)
        value.align = self.size
        return value

    def store(self, value: Value, pointer: Value, offset: Value | int = 0) -> None:
        self.b.store(value, self.b.bitcast(self.at(pointer, offset), value.type.as_pointer())).align = self.size

    def prefetch(self, pointer: Value, offset: Value | int, write: bool) -> None:
        """Ask for the cache line there, to read it or to write it; any address is allowed."""
        name = "llvm.prefetch.p0i8"
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32]), name)
        self.b.call(function, [self.at(pointer, offset), I32(int(write)), I32(3), I32(1)])  # into all caches, as data

    def splat(self, scalar: Value) -> Value:
        """``scalar`` in every lane."""
        if self.lanes == 1:
            return scalar
        kind = ir.VectorType(scalar.type, self.lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.b.insert_element(undefined, scalar, I32(0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, self.lanes), [I32(0)] * self.lanes))

    def broadcast(self, pointer: Value, offset: Value | int = 0) -> Value:
        """The element at ``offset`` in every lane."""
        return self.splat(self.load_scalar(pointer, offset))

    def tail_mask(self, count: Value) -> Value:
        """A mask of i1 lanes, true for lanes below ``count`` (i64)."""
        if self.lanes == 1:
            return self.b.icmp_signed("<", I64(0), count)
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), [I32(i) for i in range(self.lanes)])
        return self.b.icmp_signed("<", lanes, self.splat(self.b.trunc(count, I32)))

    def load_masked(self, pointer: Value, offset: Value, mask: Value) -> Value:
        """Lanes where ``mask`` holds; zero elsewhere, and nothing is read there."""
        address = self.b.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        if self.lanes == 1:
            return self.load(pointer, offset)
        kind = _mangle(self.vector)
        name = f"llvm.masked.load.{kind}.p0"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(self.vector, [self.vector.as_pointer(), I32, mask.type, self.vector]), name
        )
        return self.b.call(function, [address, I32(self.size), mask, self.constant(0.0)])

    def store_masked(self, value: Value, pointer: Value, offset: Value, mask: Value) -> None:
        """Write the lanes where ``mask`` holds and nothing else."""
        if self.lanes == 1:
            self.store(value, pointer, offset)
            return
        address = self.b.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        name = f"llvm.masked.store.{_mangle(self.vector)}.p0"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), [self.vector, self.vector.as_pointer(), I32, mask.type]), name
        )
        self.b.call(function, [value, address, I32(self.size), mask])

    # --- control -------------------------------------------------------------------------------------------------------
    def loop(
        self,
        start: Value | int,
        stop: Value | int,
        step: Value | int,
        body: Callable[[Value, list[Value]], Sequence[Value] | None],
        carried: Sequence[Value] = (),
    ) -> list[Value]:
        """``for i in range(start, stop, step)``: ``body(i, values)`` returns the carried values' next ones; gives the last."""
        start, stop, step = (I64(v) if isinstance(v, int) else v for v in (start, stop, step))
        before = self.b.block
        head, inside, after = (self.function.append_basic_block(name) for name in ("head", "body", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        index = self.b.phi(I64)
        index.add_incoming(start, before)
        phis = [self.b.phi(value.type) for value in carried]
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, before)
        self.b.cbranch(self.b.icmp_signed("<", index, stop), inside, after)
        self.b.position_at_end(inside)
        new = list(body(index, phis) or ())
        index.add_incoming(self.b.add(index, step), self.b.block)
        for phi, value in zip(phis, new, strict=True):
            phi.add_incoming(value, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
        return phis

    def alloca(self, count: int, align: int = 64) -> Value:
        """Stack room for ``count`` elements, as a byte pointer."""
        with self.b.goto_block(self._entry):
            room = self.b.alloca(ir.ArrayType(self.element, count))
            room.align = align
            return self.b.bitcast(room, POINTER)


def _mangle(kind: ir.Type) -> str:
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_mangle(kind.element)}"
    if isinstance(kind, ir.FloatType):
        return "f32"
    if isinstance(kind, ir.DoubleType):
        return "f64"
    return f"i{kind.width}"
