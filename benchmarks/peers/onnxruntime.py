"""ONNX Runtime: one recurrent node, bound to memory that is allocated once (inference only)."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers import Peer, Run, Step
from benchmarks.workload import Array, Case, reorder

ORDER = {"gru": (1, 0, 2), "gru_reset_before": (1, 0, 2), "lstm": (0, 3, 1, 2)}  # PyTorch's places of ONNX's z r h and i o f c


def peers(threads: int) -> list[Peer]:
    return [Peer("onnxruntime", _build, directions=("inference",), step=_step)]


def _session(case: Case, time: int, threads: int, stateful: bool) -> onnxruntime.InferenceSession:
    size, order = case.size, ORDER[case.cell]
    weights = {name: reorder(array, order) for name, array in case.weights.items()}
    stored = {
        "W": weights["weight_ih_l0"][None],
        "R": weights["weight_hh_l0"][None],
        "B": np.concatenate([weights["bias_ih_l0"], weights["bias_hh_l0"]])[None],
    }
    kind = "LSTM" if case.cell == "lstm" else "GRU"
    attributes = {} if kind == "LSTM" else {"linear_before_reset": int(case.cell == "gru")}
    inputs = ["x", "W", "R", "B"] + (["", "h"] if stateful else [])
    node = helper.make_node(kind, inputs, ["", "y"] if stateful else ["y"], hidden_size=size.hidden, **attributes)
    state = [1, size.batch, size.hidden]
    entries = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [time, size.batch, size.input])]
    entries += [helper.make_tensor_value_info("h", TensorProto.FLOAT, state)] if stateful else []
    exits = [helper.make_tensor_value_info("y", TensorProto.FLOAT, state if stateful else [time, *state])]
    graph = helper.make_graph([node], "cell", entries, exits, [numpy_helper.from_array(array, name) for name, array in stored.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def _value(array: Array) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)  # shares the array's memory on a CPU


def _build(case: Case, threads: int) -> Run:
    session = _session(case, case.size.time, threads, stateful=False)
    y = np.empty((case.size.time, 1, case.size.batch, case.size.hidden), np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", _value(case.x))
    binding.bind_ortvalue_output("y", _value(y))
    return Run(lambda: session.run_with_iobinding(binding), lambda _: {"y": y[:, 0]})


def _step(case: Case) -> Step:
    """Two bindings that take turns, so that the state is never copied."""
    session = _session(case, 1, 1, stateful=True)
    x = np.zeros((1, 1, case.size.input), np.float32)
    states = [np.zeros((1, 1, case.size.hidden), np.float32) for _ in range(2)]
    bindings = []
    for old, new in (states, states[::-1]):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", _value(x))
        binding.bind_ortvalue_input("h", _value(old))
        binding.bind_ortvalue_output("y", _value(new))
        bindings.append(binding)
    turn = 0

    def step(value: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal turn
        x[0, 0] = value
        session.run_with_iobinding(bindings[turn])
        turn = 1 - turn
        return states[turn][0, 0]

    return step
