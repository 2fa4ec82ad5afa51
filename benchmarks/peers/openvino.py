"""OpenVINO: its GRUSequence and LSTMSequence in float32, in its own batch-first layout (inference only)."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import openvino.opset13 as ops
from numpy.typing import NDArray

from benchmarks.peers import Peer, Run, Step
from benchmarks.workload import Array, Case, reorder

ORDER = {"gru": (1, 0, 2), "gru_reset_before": (1, 0, 2), "lstm": (1, 0, 2, 3)}  # PyTorch's places of z r h and f i c o


def peers(threads: int) -> list[Peer]:
    return [Peer("openvino", _build, directions=("inference",), step=_step)]


def _bias(case: Case, b_ih: Array, b_hh: Array) -> Array:
    if case.cell != "gru":
        return b_ih + b_hh
    hidden = case.size.hidden
    return np.concatenate([(b_ih + b_hh)[: 2 * hidden], b_ih[2 * hidden :], b_hh[2 * hidden :]])


def _request(case: Case, time: int, threads: int) -> Any:
    """A compiled sequence with inputs x [B, T, I] and h [B, 1, H], outputs y [B, 1, T, H] and h."""
    size = case.size
    w, r, b_ih, b_hh = (reorder(array, ORDER[case.cell]) for array in case.weights.values())
    x = ops.parameter([size.batch, time, size.input], np.float32, name="x")
    h = ops.parameter([size.batch, 1, size.hidden], np.float32, name="h")
    lengths = ops.constant(np.full(size.batch, time, np.int32))
    stored = [ops.constant(array[None]) for array in (w, r, _bias(case, b_ih, b_hh))]
    if case.cell == "lstm":
        c = ops.constant(np.zeros((size.batch, 1, size.hidden), np.float32))
        node = ops.lstm_sequence(x, h, c, lengths, *stored, size.hidden, "forward")
    else:
        node = ops.gru_sequence(x, h, lengths, *stored, size.hidden, "forward", linear_before_reset=case.cell == "gru")
    model = openvino.Model([node.output(0), node.output(1)], [x, h], "cell")
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


def _build(case: Case, threads: int) -> Run:
    request = _request(case, case.size.time, threads)
    x = np.ascontiguousarray(case.x.transpose(1, 0, 2))
    h = np.zeros((case.size.batch, 1, case.size.hidden), np.float32)
    request.set_input_tensor(0, openvino.Tensor(x, shared_memory=True))
    request.set_input_tensor(1, openvino.Tensor(h, shared_memory=True))

    def call() -> Any:
        request.infer(share_outputs=True)
        return x, h  # the tensors only borrow these arrays

    return Run(call, lambda _: {"y": np.array(request.get_output_tensor(0).data[:, 0].transpose(1, 0, 2))})


def _step(case: Case) -> Step:
    request = _request(case, 1, 1)
    x = np.zeros((1, 1, case.size.input), np.float32)
    h = np.zeros((1, 1, case.size.hidden), np.float32)
    request.set_input_tensor(0, openvino.Tensor(x, shared_memory=True))
    request.set_input_tensor(1, openvino.Tensor(h, shared_memory=True))
    output = request.get_output_tensor(1).data

    def step(value: NDArray[np.float32]) -> NDArray[np.float32]:
        x[0, 0] = value
        request.infer(share_outputs=True)
        h[...] = output
        return h[0, 0]

    return step
