"""Both back ends for every test that names the fixture ``backend``."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(params=["torch", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
