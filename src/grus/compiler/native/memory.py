"""Large buffers: huge pages where the system has them, and used again, since touching fresh pages costs more than many a kernel."""

from __future__ import annotations

import mmap
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 1 << 18
KEPT = 1 << 28  # bytes of free buffers kept for the next call
_HUGE = 1 << 21

_lock = threading.RLock()  # a finaliser may run while this thread holds it
_free: list[mmap.mmap] = []


def take(size: int) -> NDArray[np.uint8]:
    """An uninitialised buffer of ``size`` bytes, whose memory is used again once nothing refers to the array or a view of it."""
    block = _reuse(size) or _fresh(size)
    array = np.frombuffer(block, np.uint8)
    weakref.finalize(array, _give_back, block).atexit = False
    return array[:size]


def _reuse(size: int) -> mmap.mmap | None:
    """The smallest free block that fits without wasting more than half of it."""
    with _lock:
        fitting = [block for block in _free if size <= len(block) <= 2 * size]
        if not fitting:
            return None
        found = min(fitting, key=len)
        _free.remove(found)
        return found


def _fresh(size: int) -> mmap.mmap:
    block = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
    advice: Any = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None and size >= _HUGE:
        block.madvise(advice)
    return block


def _give_back(block: mmap.mmap) -> None:
    with _lock:
        _free.append(block)
        while sum(map(len, _free)) > KEPT:
            _free.pop(0)
