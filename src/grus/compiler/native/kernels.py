"""Compiled kernels as Python callables, and the aligned buffers they work on."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from grus.compiler.native import jit, memory, products
from grus.compiler.native.kernel import emit_kernel
from grus.compiler.native.spec import Spec
from grus.compiler.native.target import Target

Array = NDArray[Any]
_ALIGNMENT = 64
MOST_THREADS = 512  # calls that meet at a barrier must all be running, so the pool must never be what they wait for


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array that starts on a cache line (a vector load that straddles two costs twice)."""
    size = prod(shape) * dtype.itemsize
    raw = memory.take(size + _ALIGNMENT) if size >= memory.LARGE else np.empty(size + _ALIGNMENT, np.uint8)
    offset = -address(raw) % _ALIGNMENT
    return raw[offset : offset + size].view(dtype).reshape(shape)


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
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address(symbol))
        self.index = {name: place for place, name in enumerate(names)}
        self._type = ctypes.c_int64 * len(self.index)

    def empty(self) -> ctypes.Array[ctypes.c_int64]:
        """Arguments that are all zero."""
        return self._type()

    def filled(self, values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
        """Arguments in order."""
        return self._type(*values)

    def run(self, arguments: ctypes.Array[ctypes.c_int64]) -> None:
        """Call the function; other Python threads run meanwhile."""
        self._call(ctypes.addressof(arguments))


@lru_cache(maxsize=16)
def product_functions(dtype: str, target: Target) -> dict[str, Function]:
    """pack_rows, pack_columns, outer and column_sum for a dtype and target."""

    def make() -> ir.Module:
        module = ir.Module()
        products.emit_products(module, dtype, target)
        return module

    library = jit.build(("products", dtype), make, target)
    names: dict[str, tuple[str, ...]] = {"pack_rows": products.PACK, "pack_columns": products.PACK, "outer": products.OUTER}
    names |= {f"{name}_bf16": arguments for name, arguments in names.items()} if dtype == "float32" else {}
    names["column_sum"] = products.COLUMN_SUM
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


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="grus")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def run_parallel(calls: Sequence[tuple[Function, ctypes.Array[ctypes.c_int64]]], barrier: Array | None = None) -> None:
    """Run every call at once and wait for all of them; the last one runs in this thread.

    Whatever happens, an interrupt included, no call is running any more when this returns: they work on the caller's memory. ``barrier`` is
    where the calls meet; made negative, it lets all of them pass.
    """
    waiting: list[Future[None]] = []
    try:
        waiting.extend(_pool().submit(function.run, arguments) for function, arguments in calls[:-1])
        function, arguments = calls[-1]
        function.run(arguments)
    except BaseException:
        if barrier is not None:
            barrier[0] = -(1 << 62)
        raise
    finally:
        _join(waiting)
    for future in waiting:
        future.result()


def _join(waiting: Sequence[Future[None]]) -> None:
    """Wait until all are done; an interrupt is raised afterwards."""
    interrupt: KeyboardInterrupt | None = None
    while any(not future.done() for future in waiting):
        try:
            wait(waiting)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
