"""The kernels as operators: PyTorch's own checks of them, and whole graphs under ``torch.compile``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grus.nn import GRU, LSTM, GRUCell, operators
from grus.nn.plan import Plan


def _arguments(plan: Plan, lengths: torch.Tensor | None, *, gates: bool, sequence: bool, requires_grad: bool = True) -> tuple[Any, ...]:
    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=requires_grad)

    tensors = [tensor(*shape) for shape in plan.layout.shapes({"I": 2, "H": 3})]
    states = [tensor(4, 3) for _ in plan.states]
    restart = [tensor(3) for _ in plan.states]
    resets = torch.rand(5, 4) < 0.3
    return plan.key, [tensor(5, 4, 2)], tensors, states, restart, None, lengths, resets, "store", [False, gates, sequence]


@pytest.mark.parametrize(("gates", "sequence"), [(False, True), (True, False)])
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 1, 4, 2])], ids=["whole", "lengths"])
def test_operators_pass_the_checks_of_pytorch(gates: bool, sequence: bool, lengths: torch.Tensor | None) -> None:
    plan = LSTM(2, 3)._evaluation
    arguments = _arguments(plan, lengths, gates=gates, sequence=sequence)
    torch.library.opcheck(operators.recurrent_forward, arguments)
    plain = _arguments(plan, lengths, gates=gates, sequence=sequence, requires_grad=False)
    upstream = [torch.randn_like(value) for value in operators.recurrent_forward(*plain)]
    torch.library.opcheck(operators.recurrent_backward, (upstream, *plain))


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_compiled_layer_is_one_graph_with_the_same_gradients(kind: type[GRU] | type[LSTM], backend: str) -> None:
    layer = kind(3, 4, bidirectional=True, dtype=torch.float64, backend=backend)  # pyright: ignore
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    found: list[tuple[torch.Tensor, ...]] = []
    for each in (layer, compiled):
        output, _ = each(x)
        found.append((output, *torch.autograd.grad(output.square().sum(), [x, *layer.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_compiled_model_around_a_cell_is_one_graph() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = GRUCell(3, 4)
            self.head = torch.nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.cell(x[0])
            return self.head(self.cell(x[1], h).relu())

    model = Model()
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x), model(x))


def test_compiled_layer_follows_changing_sizes() -> None:
    layer = GRU(3, 4)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for steps, rows in ((5, 4), (6, 4), (7, 2), (3, 9)):
        x = torch.randn(steps, rows, 3)
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])


def test_compiled_layer_takes_lengths_and_resets_in_one_graph() -> None:
    layer = GRU(3, 4, bidirectional=True, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    resets = torch.rand(5, 4) < 0.3
    lengths = torch.tensor([2, 4, 1, 3])
    for options in ({"resets": resets}, {"lengths": lengths}, {"lengths": lengths, "resets": resets}):
        found: list[tuple[torch.Tensor, ...]] = []
        for each in (layer, compiled):
            output, state = each(x, **options)
            found.append((output, state, *torch.autograd.grad(output.square().sum() + state.sum(), list(layer.parameters()))))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)
