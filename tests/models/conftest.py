"""Windows of random numbers; one thread, as the sizes are small."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from grus.data.missing import deltas, fill
from grus.models import ForecastShape, TensorBatch
from tests.threads import one_thread as one_thread

MakeBatch = Callable[..., TensorBatch]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """A batch for a shape; ``missing`` is the share of unknown values, carried forward in the first ``measured`` channels and NaN in the target."""

    def make(shape: ForecastShape, rows: int = 5, missing: float = 0.0, dtype: torch.dtype = torch.float32, measured: int = 1) -> TensorBatch:
        mask = (torch.rand(rows, shape.lookback, measured) >= missing).float()
        past, mean = torch.randn(rows, shape.lookback, shape.past), torch.randn(rows, measured)
        columns = mask.transpose(1, 2).numpy()
        filled = fill(past[..., :measured].transpose(1, 2).numpy(), columns, "forward", mean=mean.numpy())
        past[..., :measured] = torch.from_numpy(filled).transpose(1, 2)  # pyright: ignore[reportUnknownMemberType]
        delta = torch.from_numpy(deltas(columns)).transpose(1, 2).float().contiguous()  # pyright: ignore[reportUnknownMemberType]
        target = torch.randn(rows, shape.horizon)
        target[torch.rand(rows, shape.horizon) < missing] = float("nan")
        index = torch.arange(rows)
        future, static = torch.randn(rows, shape.horizon, shape.future), torch.randn(rows, shape.static)
        return TensorBatch(past, mask, delta, mean, future, static, target, index % max(1, shape.series), shape.lookback + index).to(dtype)

    return make
