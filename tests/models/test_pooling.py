"""Pooling over steps: what it gives and its gradient, against a loop over the sequences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from grus.models.pooling import Pooling

KINDS = ("last", "mean", "max", "mean+max", "attention")


def by_sequence(pooling: Pooling, steps: Tensor) -> Tensor:
    """The equations, of one sequence [T, D]."""
    if pooling.kind == "last":
        return steps[-1]
    if pooling.kind == "attention":
        return pooling.score(torch.tanh(pooling.hidden(steps))).softmax(0).t().squeeze(0) @ steps
    parts = {"mean": steps.mean(0), "max": steps.amax(0)}
    return torch.cat([parts[name] for name in pooling.kind.split("+")])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [3, 3, 3, 3], [2, 5, 1, 5], [5, 4, 4, 1]], ids=["even", "early", "ragged", "sorted"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_values_and_gradients_are_those_of_each_sequence_alone(kind: str, lengths: list[int], packed: bool) -> None:
    torch.manual_seed(0)
    pooling = Pooling(kind, 4).double()
    sequence = torch.randn(5, 4, 4, dtype=torch.float64).round(decimals=0)  # whole numbers tie
    apart, together = (sequence.clone().requires_grad_() for _ in range(2))
    expected = torch.stack([by_sequence(pooling, apart[:count, row]) for row, count in enumerate(lengths)])
    found, weights = pooling(pack_padded_sequence(together, lengths, enforce_sorted=False) if packed else together, torch.tensor(lengths))
    torch.testing.assert_close(found, expected)
    assert (weights is None) == (kind != "attention")
    if weights is not None:
        assert weights.shape == (4, max(lengths))
        torch.testing.assert_close(torch.einsum("bt,tbd->bd", weights, sequence[: max(lengths)]), found)
    upstream = torch.randn_like(found)
    (wanted,) = torch.autograd.grad(expected, apart, upstream)
    (gradient,) = torch.autograd.grad(found, together, upstream)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_gradients(kind: str) -> None:
    sequence = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    pooling = Pooling(kind, 2).double()
    torch.autograd.gradgradcheck(lambda steps: pooling(steps, torch.tensor([3, 2]))[0], (sequence,))


def test_ties_share_the_gradient_of_the_largest() -> None:
    sequence = torch.tensor([[1.0, 3.0], [1.0, 2.0], [0.0, 3.0], [1.0, 3.0]]).unsqueeze(1).requires_grad_()
    pooled, _ = Pooling("max", 2)(sequence, torch.tensor([4]))
    pooled.backward(torch.tensor([[6.0, 9.0]]))
    torch.testing.assert_close(sequence.grad, torch.tensor([[2.0, 3.0], [2.0, 0.0], [0.0, 3.0], [2.0, 3.0]]).unsqueeze(1))
