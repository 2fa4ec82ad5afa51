from __future__ import annotations

import pytest
import torch

from grus.demo.speed import GRU, Reader, step, time_step
from grus.models.tensors import TensorBatch


def batch(target: torch.Tensor) -> TensorBatch:
    rows = len(target)
    generator = torch.Generator().manual_seed(0)
    past, ones, none = torch.randn(rows, 6, 3, generator=generator), torch.ones(rows, 6, 1), torch.zeros(rows, 0)
    index = torch.zeros(rows, dtype=torch.int64)
    return TensorBatch(past, ones, ones, ones[:, 0], torch.zeros(rows, 2, 0), none, target, index, index + 6)


def test_time_step_runs_the_same_training_twice() -> None:
    measured = time_step(batch(torch.randn(5, 2, generator=torch.Generator().manual_seed(1))), hidden_size=8, rounds=3)
    assert measured.ratio == measured.torch_s / measured.grus_s
    assert measured.loss_difference < 1e-5


def test_time_step_leaves_the_callers_random_state_alone() -> None:
    state = torch.random.get_rng_state()
    time_step(batch(torch.zeros(2, 2)), hidden_size=4, rounds=1)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("layer", [GRU, torch.nn.GRU])
def test_step_gives_a_missing_target_no_gradient(layer: type) -> None:
    torch.manual_seed(0)
    reader = Reader(layer, 3, 4, 2)
    torch.nn.init.zeros_(reader.output.weight)
    torch.nn.init.zeros_(reader.output.bias)
    rate = torch.optim.SGD(reader.parameters(), 0.1)
    loss = step(reader, rate, batch(torch.tensor([[1.0, float("nan")], [3.0, float("nan")]])))
    assert loss == 2.0
    # The gradient of the mean absolute error is −1 for the first output, and nothing is known of the second.
    torch.testing.assert_close(reader.output.bias[1].item(), 0.0)
    assert reader.output.bias[0].item() > 0
    assert all(torch.isfinite(part).all() for part in reader.parameters())
