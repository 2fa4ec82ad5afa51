"""Both back ends for every test that names the fixture ``backend``; one thread, as the sizes are small."""

from __future__ import annotations

import pytest
import torch

from tests.threads import one_thread as one_thread


@pytest.fixture(params=["torch", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _compiles_alone() -> None:  # pyright: ignore[reportUnusedFunction]
    """No test's graphs count in another: PyTorch refuses the ninth graph of one ``forward`` in a process (``recompile_limit``)."""
    torch.compiler.reset()
