"""Threads of an OpenMP library that works in this process anyway, such as PyTorch's, for the parts of a run.

After each of its parallel loops such a library's threads look for the next one for some milliseconds before they sleep. Threads of our own
would share the cores with them meanwhile, at about half the speed; these ones are awake already.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grus.compiler.native.kernels import address, call_functions
from grus.compiler.native.target import Target


class Team:
    """GNU's OpenMP library, loaded already.

    Raises: OSError where the library is not loaded, or is another one.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library), os.RTLD_NOW | os.RTLD_NOLOAD)
        try:
            self._parallel = loaded.GOMP_parallel
            asked = (loaded.omp_get_num_threads, loaded.omp_get_thread_num)
        except AttributeError as error:
            raise OSError(f"{library} is not GNU's OpenMP") from error
        self._parallel.argtypes, self._parallel.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
        self._asked = [int(ctypes.cast(function, ctypes.c_void_p).value or 0) for function in asked]

    def run(self, target: Target, starts: Sequence[int]) -> bool:
        """Make the calls that begin at these addresses, each in a thread of its own; False where there are not so many, and nothing was done."""
        given = np.array([*self._asked, len(starts), 0, *starts], np.int64)
        self._parallel(call_functions(target)["share"].address, address(given), len(starts), 0)
        return bool(given[3])


_found: list[Team] = []


def join(library: Path) -> None:
    """Runs take the threads of this library from now on, if it is loaded and GNU's; else their own."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return
    try:
        _found[:] = [Team(library)]
    except OSError:  # another OpenMP, or none: nothing to share the cores with
        _found.clear()


def leave() -> None:
    """Runs take threads of their own from now on."""
    _found.clear()


def team() -> Team | None:
    """The library to run with."""
    return _found[0] if _found else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leave)  # the library's threads do not survive a fork
