"""PyTorch's own recurrent kernels (cuDNN on a GPU) for the passes whose cell is one of theirs.

A backward pass is a forward pass over each row turned round.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import _VF, Tensor
from torch.backends import cudnn

from grus.cells import get
from grus.compiler.program import Program
from grus.nn.layout import Fused
from grus.nn.passes import Pass, Result, offsets
from grus.nn.plan import Plan
from grus.nn.rewrite import without_biases

KERNELS: Mapping[str, Callable[..., Any]] = {
    "gru": _VF.gru,
    "lstm": _VF.lstm,
    "lstm_projected": _VF.lstm,
    "rnn_tanh": _VF.rnn_tanh,
    "rnn_relu": _VF.rnn_relu,
}


MODES: Mapping[str, Callable[..., Any]] = {"GRU": _VF.gru, "LSTM": _VF.lstm, "RNN_TANH": _VF.rnn_tanh, "RNN_RELU": _VF.rnn_relu}


@cache
def kernel_for(plan: Plan) -> Callable[..., Any] | None:
    """PyTorch's kernel for the plan's cell, where there is one and the tensors are laid out for it."""
    if not isinstance(plan.layout, Fused) or plan.layout.others or plan.precision != "float32":
        return None
    return next((kernel for name, kernel in KERNELS.items() if _same(plan.program, get(name).program, plan.layout.bias)), None)


def run(request: Pass, kernel: Callable[..., Any]) -> Result:
    """Run a pass that asks for neither gates nor restarts, dense without lengths or packed."""
    stream, timeline, layout = request.inputs[0], request.timeline, request.plan.layout
    assert isinstance(layout, Fused)
    turn = _turned(stream, timeline.batch_sizes) if request.reverse else None
    stream = stream if turn is None else turn(stream)
    widths = {"h": request.tensors[1].shape[1], "c": request.tensors[1].shape[0] // len(layout.gates)}
    states = [
        (stream.new_zeros(timeline.rows, widths[name]) if state is None else state).unsqueeze(0)
        for name, state in zip(request.plan.states, request.states, strict=True)
    ]
    hx = states if len(states) > 1 else states[0]
    # A trace runs again without gradients to check itself, and must find the same graph.
    train = torch.is_grad_enabled() or torch.jit.is_tracing()
    options = (list(request.tensors), layout.bias, 1, 0.0, train, False)
    if timeline.batch_sizes is None:
        output, *last = kernel(stream, hx, *options, False)
    else:
        output, *last = kernel(stream, torch.from_numpy(timeline.batch_sizes), hx, *options)
    output = output if turn is None else turn(output)
    return Result(output if request.sequence else None, tuple(state.squeeze(0) for state in last))


def flatten_weights(plan: Plan, tensors: Sequence[Tensor]) -> None:
    """Lay one direction's weights side by side in memory, as cuDNN wants them; nothing to do where it does not run."""
    kernel = kernel_for(plan)
    if kernel is None or tensors[0].device.type != "cuda" or not all(cudnn.is_acceptable(tensor) for tensor in tensors):
        return
    assert isinstance(plan.layout, Fused)
    mode = cudnn.rnn.get_cudnn_mode(next(mode for mode, known in MODES.items() if known is kernel))
    width = tensors[1].shape[1] if plan.layout.projection else 0
    hidden = tensors[0].shape[0] // len(plan.layout.gates)
    with torch.cuda.device_of(tensors[0]), torch.no_grad():
        torch._cudnn_rnn_flatten_weight(list(tensors), len(tensors), tensors[0].shape[1], mode, hidden, width, 1, False, False)


def _same(program: Program, known: Program, bias: bool) -> bool:
    return program == (known if bias else without_biases(known))


def _turned(stream: Tensor, batch_sizes: NDArray[np.int64] | None) -> Callable[[Tensor], Tensor]:
    """The function that turns every row of a stream round in time; it is its own inverse."""
    if batch_sizes is None:
        return lambda values: values.flip(0)
    starts = offsets(batch_sizes)
    rows = np.concatenate([np.arange(int(size)) for size in batch_sizes])
    steps = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    lengths = (np.arange(int(batch_sizes[0]))[:, None] < batch_sizes).sum(1)
    index = torch.from_numpy(starts[lengths[rows] - 1 - steps] + rows).to(stream.device)
    return lambda values: values.index_select(0, index)
