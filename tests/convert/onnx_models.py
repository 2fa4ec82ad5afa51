"""One-node ONNX models around weights in the neutral form, run by ONNX Runtime as the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
NODES: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"activations": ["Relu"]}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "gru_reset_before": ("GRU", {}),
    "lstm": ("LSTM", {}),
    "lstm_peephole": ("LSTM", {}),
}


def one_node_model(
    cell: str, weights: Mapping[str, Array], direction: str = "forward", inputs: Sequence[str] = (), **attributes: Any
) -> onnx.ModelProto:
    """The operator that computes ``cell``, its weights stored; ``inputs`` names what is fed beside X (sequence_lens, initial_h, initial_c)."""
    op, own = NODES[cell]
    own = own | ({"activations": own["activations"] * 2} if "activations" in own and direction == "bidirectional" else {})
    slots = ["W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    given = ["X", *(name if name in weights or name in inputs else "" for name in slots)]
    while not given[-1]:
        given.pop()
    outputs = ["Y", "Y_h", *(["Y_c"] if op == "LSTM" else [])]
    node = helper.make_node(op, given, outputs, name="layer", direction=direction, hidden_size=weights["R"].shape[2], **(own | attributes))
    fed = {"X": TensorProto.FLOAT, "sequence_lens": TensorProto.INT32, "initial_h": TensorProto.FLOAT, "initial_c": TensorProto.FLOAT}
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info(name, fed[name], None) for name in ("X", *inputs)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def run_onnxruntime(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every output of ``model`` by name."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))
