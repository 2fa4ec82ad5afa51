"""Several kernel calls as one native call without arguments: what a step costs beyond its kernels is one way into machine code.

A function of no arguments saves the conversion of one, a good 0.1 µs of the 0.2 that ctypes takes. It finds its calls through a variable of
its own library, so every sequence has a linked copy of the code to itself.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache

from llvmlite import ir

from grus.compiler.native import jit
from grus.compiler.native.barrier import emit_barrier
from grus.compiler.native.emitter import I64, POINTER, Emitter, Value
from grus.compiler.native.target import Target

MEET = ("counter", "count")
SHARE = ("threads", "number", "count", "done")  # the first two are functions: how many threads the team has, and which this one is
_CALLEE = ir.FunctionType(ir.VoidType(), [POINTER])


class _Entry:
    """One linked copy of the code: ``bind`` gives it its calls, ``address`` is where it starts."""

    def __init__(self, target: Target) -> None:
        self._library = jit.load(_code(target), target)
        self.bind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._library.address("bind"))
        self.address = self._library.address("run")


_free: dict[Target, list[_Entry]] = {}  # the linker never gives all of a copy's memory back, so copies are used again


class CallSequence:
    """Calls of (function, argument), both addresses, in order. ``run()`` makes them all.

    Where ``release``, other Python threads run meanwhile; getting the interpreter back from a busy thread may take milliseconds, so a
    call of a few microseconds had better keep it. The caller keeps alive what the addresses point to, and this object while it runs.
    """

    def __init__(self, calls: Sequence[tuple[int, int]], target: Target, *, release: bool) -> None:
        pool = _free.setdefault(target, [])
        try:
            entry = pool.pop()
        except IndexError:
            entry = _Entry(target)
        # Not __del__: the collector calls that of a dead cycle's every object, and so would unload the code of the entry we keep.
        weakref.finalize(self, pool.append, entry).atexit = False
        flat = [len(calls), *(value for call in calls for value in call)]
        self._calls = (ctypes.c_int64 * len(flat))(*flat)
        entry.bind(ctypes.addressof(self._calls))
        prototype = ctypes.CFUNCTYPE(None) if release else ctypes.PYFUNCTYPE(None)
        self.run: Callable[[], None] = prototype(entry.address)


@lru_cache(maxsize=16)
def _code(target: Target) -> bytes:
    return jit.compile_module(emit_sequence(), target)


def emit_sequence() -> ir.Module:
    """bind(calls) remembers where the calls are: their count, then function and argument of each; run() makes them."""
    module = ir.Module()
    calls = ir.GlobalVariable(module, POINTER, "calls")
    calls.linkage, calls.initializer = "internal", ir.Constant(POINTER, None)
    bind = Emitter(module, "bind", [POINTER], "float32", 1)
    bind.b.store(bind.function.args[0], calls)
    bind.b.ret_void()
    e = Emitter(module, "run", [], "float32", 1)
    _emit_calls(e, e.b.load(calls, typ=POINTER))
    return module


def emit_calls() -> ir.Module:
    """run_calls(calls) makes calls that lie as in ``emit_sequence``; meet(arguments) waits for the other threads of a run.

    share(arguments) makes the calls of one thread of a team: SHARE, then where the calls of each thread begin.
    """
    module = ir.Module()
    e = Emitter(module, "run_calls", [POINTER], "float32", 1)
    _emit_calls(e, e.function.args[0])
    _emit_share(module, e.function)
    e = Emitter(module, "meet", [POINTER], "float32", 1)
    counter, count = (e.load_i64(e.function.args[0], index) for index in range(len(MEET)))
    emit_barrier(e, e.b.inttoptr(counter, POINTER), count)
    e.b.ret_void()
    return module


def _emit_share(module: ir.Module, run_calls: Value) -> None:
    """Every thread of the team comes here; where they are not as many as the shares, none does anything."""
    e = Emitter(module, "share", [POINTER], "float32", 1)
    given, ask = e.function.args[0], ir.FunctionType(ir.IntType(32), [])

    def asked(index: int) -> Value:
        return e.b.sext(e.b.call(e.b.inttoptr(e.load_i64(given, index), ask.as_pointer()), []), I64)

    with e.b.if_then(e.b.icmp_signed("==", asked(SHARE.index("threads")), e.load_i64(given, SHARE.index("count")))):
        number = asked(SHARE.index("number"))
        with e.b.if_then(e.b.icmp_signed("==", number, I64(0))):
            e.b.store(I64(1), e.b.gep(e.b.bitcast(given, I64.as_pointer()), [I64(SHARE.index("done"))]))
        e.b.call(run_calls, [e.load_pointer(given, e.b.add(number, I64(len(SHARE))))])
    e.b.ret_void()


def _emit_calls(e: Emitter, table: Value) -> None:
    def call(number: Value, _: list[Value]) -> None:
        at = e.b.mul(number, I64(2))
        function = e.b.inttoptr(e.load_i64(table, e.b.add(at, I64(1))), _CALLEE.as_pointer())
        e.b.call(function, [e.load_pointer(table, e.b.add(at, I64(2)))])

    e.loop(0, e.load_i64(table), 1, call)
    e.b.ret_void()
