"""Windows of random numbers; one thread, as the sizes are small."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from grus.models import ForecastShape, TensorBatch
from tests.threads import one_thread as one_thread

MakeBatch = Callable[..., TensorBatch]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """A batch for a shape; ``missing`` is the share of unknown values, zero in the past and NaN in the target."""

    def make(shape: ForecastShape, rows: int = 5, missing: float = 0.0, dtype: torch.dtype = torch.float32) -> TensorBatch:
        known = (torch.rand(rows, shape.lookback) >= missing).float()
        past = torch.randn(rows, shape.lookback, shape.past)
        past[..., 0] *= known
        target = torch.randn(rows, shape.horizon)
        target[torch.rand(rows, shape.horizon) < missing] = float("nan")
        gap = torch.zeros(rows, shape.lookback)
        for step in range(1, shape.lookback):
            gap[:, step] = 1 + gap[:, step - 1] * (1 - known[:, step - 1])
        index = torch.arange(rows)
        future, static = torch.randn(rows, shape.horizon, shape.future), torch.randn(rows, shape.static)
        return TensorBatch(past, known, gap, future, static, target, index % max(1, shape.series), index).to(dtype)

    return make
