"""PyTorch's own threads for the layers' runs."""

from __future__ import annotations

from pathlib import Path

import torch

from grus.compiler.native import team


def share_threads() -> None:
    """Let runs use the threads of the OpenMP library that PyTorch's packages for Linux bring; where they bring none, runs keep their own."""
    for library in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        team.join(library)
