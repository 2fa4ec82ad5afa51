"""Runs layers with every buffer against an unreadable page: a kernel that reads or writes one element too far ends the process."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
from dataclasses import replace
from typing import Any

import numpy as np

from grus.compiler import backward, execution
from grus.compiler import run as walking
from tests.compiler.contract import Array, Arrays, Case, assert_same, fresh_layer, make_case, run

_before = False


def guarded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of NaN that ends (or, where ``_before``, begins) at an unreadable page."""
    size = int(np.prod(shape)) * dtype.itemsize
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    room = mmap.mmap(-1, pages + mmap.PAGESIZE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(room))
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(base if _before else base + pages), mmap.PAGESIZE, 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    start = mmap.PAGESIZE if _before else pages - size
    array = np.frombuffer(room, dtype, size // dtype.itemsize, start).reshape(shape)
    array[...] = np.nan
    return array


def copied(arrays: Arrays) -> Arrays:
    return {key: guarded_copy(array) for key, array in arrays.items()}


def guarded_copy(array: Array) -> Array:
    copy = guarded(array.shape, array.dtype)
    copy[...] = array
    return copy


def guarded_case(case: Case) -> Case:
    d_gates, d_output = copied(case.d_gates), guarded_copy(case.d_output)
    return replace(case, inputs=copied(case.inputs), parameters=copied(case.parameters), d_output=d_output, d_gates=d_gates)


def main() -> None:
    global _before
    faulthandler.enable()
    walking.LEAST_WORK = 1
    plain = execution.aligned
    for name in ("gru", "gru_d", "lstm_projected", "gru_layer_norm", "min_gru"):
        for sizes in ((4, 7, 3, 1), (3, 5, 5, 7), (2, 9, 9, 33)):
            for save in ("store", "recompute", "checkpoint"):
                case = make_case(name, "float64", sizes, resets=True)
                wanted = run(case, save=save)
                for _before in (False, True):
                    for module in (backward, execution, walking):
                        module.aligned = guarded
                    assert_same(run(guarded_case(case), save=save, threads=2, layer=fresh_layer(case)), wanted)
                    for module in (backward, execution, walking):
                        module.aligned = plain
    print("guarded")


if __name__ == "__main__":
    main()
