"""PyTorch's own kernels run the passes that they can; on the CPU they are compared with the step program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grus.nn import GRU, LSTM, RNN, Recurrent, library, torch_backend
from grus.nn.native import flatten
from grus.nn.passes import Pass, Timeline

DOUBLE = torch.float64
BUILDS: dict[str, Any] = {
    "gru": lambda: GRU(3, 4, dtype=DOUBLE),
    "gru without bias": lambda: GRU(3, 4, bias=False, dtype=DOUBLE),
    "lstm": lambda: LSTM(3, 4, dtype=DOUBLE),
    "projected": lambda: LSTM(3, 4, proj_size=2, dtype=DOUBLE),
    "relu": lambda: RNN(3, 4, nonlinearity="relu", dtype=DOUBLE),
}


@pytest.mark.parametrize("kind", BUILDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch_sizes", [None, [3, 3, 2, 1]])
def test_kernel_of_pytorch_gives_what_the_step_program_gives(kind: str, reverse: bool, batch_sizes: list[int] | None) -> None:
    layer = BUILDS[kind]()
    plan = layer._evaluation
    kernel = library.kernel_for(plan)
    assert kernel is not None
    counts = None if batch_sizes is None else np.array(batch_sizes)
    x = torch.randn(4, 3, 3, dtype=DOUBLE) if counts is None else torch.randn(9, 3, dtype=DOUBLE)
    states = (None,) * len(plan.states) if kind == "lstm" else tuple(torch.randn(3, state.shape[-1], dtype=DOUBLE) for state in _states(layer))
    request = Pass(plan, Timeline(4, 3, counts), (x,), tuple(layer.parameters()), states, (None,) * len(plan.states), reverse)
    for one, other in zip(flatten(torch_backend.run(request, kernels=False)), flatten(library.run(request, kernel)), strict=True):
        torch.testing.assert_close(one, other)


def test_other_cells_have_no_kernel() -> None:
    for layer in (Recurrent("mgu", 3, 4), GRU(3, 4, layer_norm=True), GRU(3, 4, precision="bf16")):
        assert library.kernel_for(layer._evaluation) is None


def _states(layer: Recurrent) -> list[torch.Tensor]:
    state = layer(torch.zeros(1, 3, 3, dtype=DOUBLE))[1]
    return [state] if isinstance(state, torch.Tensor) else list(state)
