"""What a caller writes to after the forward pass does not reach the gradient, or is refused by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from grus.nn import GRU

Memory = pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])


def _layer(backend: str, memory: str) -> GRU:
    return GRU(3, 4, dtype=torch.float64, bidirectional=True, backend=backend, memory=memory)  # pyright: ignore


def _gradients(layer: GRU, x: torch.Tensor, run: Callable[[], torch.Tensor], change: Callable[[], object]) -> list[tuple[torch.Tensor, ...]]:
    """The gradients without and with a change between the passes."""
    found: list[tuple[torch.Tensor, ...]] = []
    for between in (lambda: None, change):
        output = run()
        between()
        found.append(torch.autograd.grad(output.square().sum(), [x, *layer.parameters()]))
    return found


@Memory
def test_resets_may_be_written_to_before_the_gradient(memory: str, backend: str) -> None:
    layer, x = _layer(backend, memory), torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[3] = True
    one, other = _gradients(layer, x, lambda: layer(x, resets=resets)[0], resets.zero_)
    assert all(map(torch.equal, one, other))


@Memory
def test_batch_sizes_may_be_written_to_before_the_gradient(memory: str, backend: str) -> None:
    layer, x = _layer(backend, memory), torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    packed = pack_padded_sequence(x, [6, 3])
    one, other = _gradients(
        layer,
        packed.data,
        lambda: layer(PackedSequence(packed.data, packed.batch_sizes))[0].data,
        lambda: packed.batch_sizes.copy_(torch.tensor([1, 1, 1, 1, 1, 4])),
    )
    assert all(map(torch.equal, one, other))


def test_lengths_may_be_written_to_before_the_gradient(backend: str) -> None:
    layer, x = _layer(backend, "store"), torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([2, 6])
    one, other = _gradients(layer, x, lambda: layer(x, lengths=lengths)[0], lambda: lengths.fill_(1))
    assert all(map(torch.equal, one, other))


def test_output_may_be_written_to_before_the_gradient(backend: str) -> None:
    layer, x = _layer(backend, "store"), torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    plain, _ = layer(x)
    wanted = torch.autograd.grad(plain.relu().sum(), [x, *layer.parameters()])
    output, _ = layer(x)
    output.relu_()
    assert torch.equal(output, plain.relu())
    assert all(map(torch.equal, torch.autograd.grad(output.sum(), [x, *layer.parameters()]), wanted))
