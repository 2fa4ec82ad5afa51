"""PyTorch: ``nn.GRU`` and ``nn.LSTM`` (the yardstick), an eager loop for the cell it lacks, and the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers import EAGER, RESET_AFTER, YARDSTICK, Peer, Result, Run, Step
from benchmarks.workload import Case


class ResetBeforeLoop(torch.nn.Module):
    """The reset-before GRU as an eager loop over time: n = tanh(W_n x + b_n + U_n (r * h) + c_n)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.weight_ih_l0 = torch.nn.Parameter(torch.empty(3 * hidden, inputs))
        self.weight_hh_l0 = torch.nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias_ih_l0 = torch.nn.Parameter(torch.empty(3 * hidden))
        self.bias_hh_l0 = torch.nn.Parameter(torch.empty(3 * hidden))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.weight_hh_l0.shape[1]
        u_rz, u_n = self.weight_hh_l0.split([2 * hidden, hidden])
        p_rz, p_n = torch.nn.functional.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0).split([2 * hidden, hidden], -1)
        h = x.new_zeros(x.shape[1], hidden)
        outputs = []
        for a_rz, a_n in zip(p_rz, p_n, strict=True):
            r, z = torch.sigmoid(torch.addmm(a_rz, h, u_rz.t())).chunk(2, -1)
            n = torch.tanh(torch.addmm(a_n, r * h, u_n.t()))
            h = n + z * (h - n)
            outputs.append(h)
        return torch.stack(outputs), h


def run_module(module: torch.nn.Module, case: Case, dtype: torch.dtype = torch.float32) -> Run:
    """Forward, and in training backward to every weight and to x, of a module called as ``nn.GRU`` is."""
    x = torch.from_numpy(case.x).to(dtype)
    if not case.training:

        def infer() -> torch.Tensor:
            with torch.inference_mode():
                return module(x)[0]

        return Run(infer, lambda y: {"y": y.numpy()})
    x.requires_grad_()
    cotangent = torch.from_numpy(case.cotangent).to(dtype)

    def train() -> torch.Tensor:
        module.zero_grad(set_to_none=True)
        x.grad = None
        y: torch.Tensor = module(x)[0]
        y.backward(cotangent)
        return y

    def result(y: torch.Tensor) -> Result:
        gradients = {name: _numpy(parameter.grad) for name, parameter in module.named_parameters()}
        return {"y": _numpy(y), "x": _numpy(x.grad)} | gradients

    return Run(train, result)


def reference(case: Case) -> Result:
    """Outputs and gradients in float64."""
    run = run_module(_module(case).double(), case, torch.float64)
    return run.result(run.call())


def peers(threads: int) -> list[Peer]:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    return [
        Peer(YARDSTICK, _build, cells=("gru", "lstm"), step=_layer_step),
        Peer(EAGER, _build, cells=("gru_reset_before",)),
        Peer(RESET_AFTER, lambda case, threads: _build(replace(case, cell="gru"), threads), cells=("gru_reset_before",), same_function=False),
        Peer("torch GRUCell", _build, cells=(), step=_cell_step),
    ]


def _module(case: Case) -> torch.nn.Module:
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "gru_reset_before": ResetBeforeLoop}[case.cell]
    module = kind(case.size.input, case.size.hidden)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in case.weights.items()})
    return module


def _build(case: Case, threads: int) -> Run:
    return run_module(_module(case), case)


def _layer_step(case: Case) -> Step:
    module, h = _module(case), torch.zeros(1, 1, case.size.hidden)

    def step(x: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal h
        with torch.inference_mode():
            h = module(torch.from_numpy(x).view(1, 1, -1), h)[1]
            return h.view(-1).numpy()

    return step


def _cell_step(case: Case) -> Step:
    module, h = torch.nn.GRUCell(case.size.input, case.size.hidden), torch.zeros(case.size.hidden)
    module.load_state_dict({name.removesuffix("_l0"): torch.from_numpy(array) for name, array in case.weights.items()})

    def step(x: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal h
        with torch.inference_mode():
            h = module(torch.from_numpy(x), h)
            return h.numpy()

    return step


def _numpy(tensor: torch.Tensor | None) -> NDArray[Any]:
    assert tensor is not None
    return tensor.detach().numpy()


def last_state_step(case: Case) -> Callable[[], dict[str, float]]:
    """A training step whose loss is the sum of the last state; gives the norms of the gradients."""
    module = _module(case)
    return train_on_last(module, case, lambda x: module(x)[1])


def train_on_last(module: torch.nn.Module, case: Case, last: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], dict[str, float]]:
    """The same for any module, warmed up on eight time steps; ``last(x)`` is the last state."""

    def train(x: torch.Tensor) -> dict[str, float]:
        module.zero_grad(set_to_none=True)
        x.grad = None
        last(x).sum().backward()
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()} | {"x": x.grad}
        return {name: float(torch.linalg.vector_norm(gradient)) for name, gradient in gradients.items() if gradient is not None}

    train(torch.from_numpy(case.x[:8].copy()).requires_grad_())
    module.zero_grad(set_to_none=True)
    x = torch.from_numpy(case.x).requires_grad_()
    return lambda: train(x)
