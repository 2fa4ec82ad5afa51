"""This machine, as `grus info` prints it."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import platform

import llvmlite
import numpy as np

from grus import __version__
from grus.compiler.native import cache, target


def describe_machine() -> dict[str, str]:
    """Versions, the processor, the target that kernels are compiled for and where they are kept, by label."""
    chosen = target.get()
    return {
        "grus": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "llvmlite": llvmlite.__version__,
        "processor": target.host().cpu,
        "target": f"{chosen.name}, {chosen.lanes('float32')} float32 per vector, {chosen.registers} registers",
        "kernels": str(cache.default().folder),
    }
