"""Compiled kernels as Python callables, and the aligned buffers they work on."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from grus.compiler.native import jit, memory, products, sequence
from grus.compiler.native.kernel import emit_kernel
from grus.compiler.native.spec import Spec
from grus.compiler.native.target import Target

Array = NDArray[Any]
Arguments: TypeAlias = ctypes.Array[ctypes.c_int64]
_ALIGNMENT = 64
MOST_THREADS = 512  # calls that meet at a barrier must all be running, so the pool must never be what they wait for


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array that starts on a cache line (a vector load that straddles two costs twice)."""
    size = prod(shape) * dtype.itemsize
    if size >= memory.LARGE:
        return memory.take(size)[:size].view(dtype).reshape(shape)
    raw = np.empty(size // dtype.itemsize + _ALIGNMENT // dtype.itemsize, dtype)
    offset = -address(raw) % _ALIGNMENT // dtype.itemsize
    return raw[offset : offset + size // dtype.itemsize].reshape(shape)


def address(array: Array) -> int:
    """Where the array's first element is."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))  # four times as fast, where it is allowed
    except (TypeError, ValueError, BufferError):
        return array.__array_interface__["data"][0]


class Function:
    """A native function of one pointer to int64 arguments; ``index`` tells each argument's place by name."""

    def __init__(self, library: jit.Library, symbol: str, names: Sequence[str]) -> None:
        self._library = library  # keeps the code in memory
        self.address = library.address(symbol)
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)
        self.index = {name: place for place, name in enumerate(names)}
        self._type = ctypes.c_int64 * len(self.index)

    def empty(self) -> Arguments:
        """Arguments that are all zero."""
        return self._type()

    def call(self, *values: int) -> NativeCall:
        """A call with these arguments, in order."""
        return NativeCall(self, self._type(*values))

    def run(self, arguments: Arguments) -> None:
        """Call the function; other Python threads run meanwhile."""
        self._call(ctypes.addressof(arguments))

    def run_at(self, place: int) -> None:
        """Call the function with the arguments at this address."""
        self._call(place)


class NativeCall(NamedTuple):
    """A function and its arguments."""

    function: Function
    arguments: Arguments

    def run(self) -> None:
        """Make the call."""
        self.function.run(self.arguments)


@lru_cache(maxsize=16)
def product_functions(dtype: str, target: Target) -> dict[str, Function]:
    """The functions of ``products`` for a dtype and target, by name."""

    def make() -> ir.Module:
        module = ir.Module()
        products.emit_products(module, dtype, target)
        return module

    library = jit.build(("products", dtype), make, target)
    names: dict[str, tuple[str, ...]] = {"pack_rows": products.PACK, "pack_columns": products.PACK, "outer": products.OUTER}
    names |= {f"{name}_bf16": arguments for name, arguments in names.items()} if dtype == "float32" else {}
    names |= {"column_sum": products.COLUMN_SUM, "copy_rows": products.ROWS, "add_rows": products.ROWS}
    return {name: Function(library, name, arguments) for name, arguments in names.items()}


@lru_cache(maxsize=4096)
def kernel_function(spec: Spec, dtype: str, target: Target) -> Function:
    """The compiled form of one kernel."""

    def make() -> ir.Module:
        module = ir.Module()
        emit_kernel(module, "kernel", spec, dtype, target)
        return module

    key = ("kernel", spec.program, spec.plan.scratch, sorted(spec.user), spec.backward, spec.exact, spec.bf16, dtype)
    return Function(jit.build(key, make, target), "kernel", list(spec.slots()))


@lru_cache(maxsize=16)
def call_functions(target: Target) -> dict[str, Function]:
    """run_calls, share and meet (see ``sequence``)."""

    library = jit.build(("calls",), sequence.emit_calls, target)
    shared = {name: Function(library, name, ()) for name in ("run_calls", "share")}
    return shared | {"meet": Function(library, "meet", sequence.MEET)}


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="grus")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: (_pool.cache_clear(), _places.cache_clear()))  # threads do not survive a fork


class _Piece:
    """Work for a thread of the pool, which is done once or, before a thread has begun it, given up."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._begun, self.over = work, threading.Lock(), threading.Event()
        self.error: BaseException | None = None

    def claim(self) -> bool:
        """Whether nobody has begun it, or given it up, so far."""
        return self._begun.acquire(blocking=False)

    def run(self) -> None:
        if self.claim():
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                self.error = error
            finally:
                self.over.set()


class _Places:
    """Threads of the pool that are not taken. Work that meets at a barrier takes all of its threads or waits."""

    def __init__(self) -> None:
        self._free, self._change = MOST_THREADS, threading.Condition()

    def take(self, count: int) -> None:
        with self._change:
            self._change.wait_for(lambda: self._free >= count)
            self._free -= count

    def give_back(self, count: int) -> None:
        with self._change:
            self._free += count
            self._change.notify_all()


@lru_cache(maxsize=1)
def _places() -> _Places:
    return _Places()


def run_parallel(work: Sequence[Callable[[], None]], counter: Array) -> None:
    """Run all of this native work at once, at most MOST_THREADS + 1 pieces, and wait for all of it; the last piece runs in this thread.

    Whatever happens, an interrupt or a thread that cannot be started included, none of it is running any more, nor will be, when this
    returns: it uses the caller's memory. ``counter`` is where the threads meet; made negative, it lets all of them pass.
    """
    pieces, places = [_Piece(each) for each in work[:-1]], _places()
    places.take(len(pieces))
    try:
        try:
            for piece in pieces:
                _pool().submit(piece.run)
            work[-1]()
        except BaseException:
            counter[0] = -(1 << 62)
            for piece in pieces:
                if piece.claim():
                    piece.over.set()
            raise
        finally:
            _join(pieces)
    finally:
        places.give_back(len(pieces))
    for piece in pieces:
        if piece.error is not None:
            raise piece.error


def _join(pieces: Sequence[_Piece]) -> None:
    """Wait until all are over; an interrupt is raised afterwards."""
    interrupt: KeyboardInterrupt | None = None
    while not all(piece.over.is_set() for piece in pieces):
        try:
            for piece in pieces:
                piece.over.wait()
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
