"""bfloat16 products: both back ends agree, a loss curve stays that of float32, and wider tensors are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from grus.errors import OptionError
from grus.nn import GRU, LSTM, RNN, Recurrent

LAYERS: dict[str, Any] = {"gru": GRU, "lstm": LSTM, "rnn": RNN}


def relative_error(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).norm() / expected.norm()).item()


def run(layer: torch.nn.Module, stream: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of every parameter."""
    leaf = stream.clone().requires_grad_()
    output: Tensor = layer(leaf)[0]
    output.square().sum().backward()
    return [output.detach(), *(value.grad for value in (leaf, *layer.parameters()) if value.grad is not None)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("sizes", [(9, 3, 16, 32), (5, 2, 7, 13)])
def test_bf16_back_ends_agree(name: str, sizes: tuple[int, int, int, int]) -> None:
    steps, rows, width, hidden = sizes
    native = LAYERS[name](width, hidden, precision="bf16", backend="native")
    torch_layer = LAYERS[name](width, hidden, precision="bf16", backend="torch")
    torch_layer.load_state_dict(native.state_dict())
    stream = torch.randn(steps, rows, width)
    output, *gradients = run(native, stream)
    expected, *expected_gradients = run(torch_layer, stream)
    # A sum in another order may round an operand of the next step to the other side, which is rare but costs 2^-9 of it.
    assert relative_error(output, expected) < 2e-4
    assert torch.quantile((output - expected).abs(), 0.5) < 1e-6
    # PyTorch rounds the gradients of rounded operands too, so these agree to the precision of bfloat16.
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert relative_error(got, wanted) < 1e-2


def test_bf16_output_differs_from_float32() -> None:
    rough = GRU(16, 32, precision="bf16")
    exact = GRU(16, 32)
    exact.load_state_dict(rough.state_dict())
    stream = torch.randn(9, 3, 16)
    assert 1e-5 < relative_error(rough(stream)[0], exact(stream)[0]) < 1e-2


def test_bf16_auto_runs_natively() -> None:
    assert GRU(3, 4, precision="bf16").backend_used == "native"


def loss_curve(precision: Any, steps: int) -> list[float]:
    """Training a layer to give the running mean of its first input."""
    torch.manual_seed(1)
    layer, head = GRU(4, 24, precision=precision), torch.nn.Linear(24, 1)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=3e-3)
    losses: list[float] = []
    for _ in range(steps):
        stream = torch.randn(20, 16, 4)
        wanted = stream[:, :, :1].cumsum(0) / torch.arange(1, 21)[:, None, None]
        loss = mse_loss(head(layer(stream)[0]), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_bf16_loss_curve_stays_near_float32() -> None:
    exact, rough = loss_curve("float32", 60), loss_curve("bf16", 60)
    assert exact[-1] < 0.5 * exact[0]
    assert max(abs(a - b) / a for a, b in zip(exact, rough, strict=True)) < 0.01
    assert exact != rough


@pytest.mark.parametrize("backend", ["auto", "native", "torch"])
def test_bf16_with_float64_is_refused(backend: Any) -> None:
    layer = Recurrent("gru", 3, 4, precision="bf16", backend=backend, dtype=torch.float64)
    with pytest.raises(OptionError, match=r"precision='bf16' must have float32 tensors, got torch\.float64"):
        layer(torch.zeros(5, 2, 3, dtype=torch.float64))
