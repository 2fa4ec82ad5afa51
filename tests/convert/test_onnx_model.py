"""Recurrent nodes read from models: the ONNX operator test cases, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case import node as onnx_cases
from onnx.backend.test.case.node import gru, lstm, rnn  # noqa: F401  importing a file registers its cases

from grus.convert import from_onnx, to_onnx_weights
from grus.errors import DataError, GrusError, MissingDependencyError, OptionError, ShapeError
from tests.convert.onnx_models import one_node_model
from tests.convert.sequences import random_parameters, run_layer

CASES = {case.name: case for case in onnx_cases._NodeTestCases if case.model.graph.node[0].op_type in ("GRU", "LSTM", "RNN")}


def test_every_operator_case_is_there() -> None:
    assert len(CASES) >= 18


@pytest.mark.parametrize("name", CASES)
def test_onnx_operator_case(name: str) -> None:
    case = CASES[name]
    graph = case.model.graph
    fed, expected = case.data_sets[0]
    inputs = dict(zip((name for name in graph.node[0].input if name), fed, strict=True))
    stored = [numpy_helper.from_array(array, name) for name, array in inputs.items() if name in ("W", "R", "B", "P", "initial_h", "initial_c")]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.graph.initializer.extend(stored)
    (layer,) = from_onnx(model)
    x = np.swapaxes(inputs["X"], 0, 1) if layer.batch_first else inputs["X"]
    initial = [
        {state: layer.initial[f"initial_{state}"][place] for state in ("h", "c") if f"initial_{state}" in layer.initial}
        for place in range(len(layer.parameters))
    ]
    lengths = inputs["sequence_lens"].tolist() if "sequence_lens" in inputs else None
    output, finals = run_layer(layer.cell, layer.parameters, x, initial, lengths, reverse=layer.direction == "reverse")
    by_name = {
        "Y": np.stack(np.split(output, len(layer.parameters), axis=-1), axis=1),
        **{f"Y_{state}": np.stack([final[state] for final in finals]) for state in finals[0]},
    }
    if layer.batch_first:
        by_name = {"Y": by_name["Y"].transpose(2, 0, 1, 3), "Y_h": by_name["Y_h"].swapaxes(0, 1)}
    for output_name, array in zip((name for name in graph.node[0].output if name), expected, strict=True):
        np.testing.assert_allclose(by_name[output_name], array, rtol=1e-5, atol=1e-7)


def make(cell: str = "gru", direction: str = "forward", **attributes: Any) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    parameters = [random_parameters(cell, rng, I=4, H=3) for _ in range(2 if direction == "bidirectional" else 1)]
    return one_node_model(cell, to_onnx_weights(parameters, cell), direction, **attributes)


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "gru_reset_before", "lstm", "lstm_peephole"])
def test_cell_is_told_by_operator_and_attributes(cell: str) -> None:
    (layer,) = from_onnx(make(cell, "bidirectional"))
    assert (layer.name, layer.cell, layer.direction, len(layer.parameters)) == ("layer", cell, "bidirectional", 2)


def test_file_bytes_and_loaded_model_are_read_alike(tmp_path: Path) -> None:
    model = make()
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    layers = [from_onnx(source)[0] for source in (model, model.SerializeToString(), path, str(path))]
    for layer in layers:
        np.testing.assert_array_equal(layer.parameters[0]["U_n"], layers[0].parameters[0]["U_n"])


def test_weights_in_constant_nodes_are_read() -> None:
    model = make()
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    nodes = [*constants, *model.graph.node]
    graph = helper.make_graph(nodes, "constants", model.graph.input, model.graph.output)
    np.testing.assert_array_equal(from_onnx(helper.make_model(graph))[0].parameters[0]["W_r"], from_onnx(model)[0].parameters[0]["W_r"])


def without_weights() -> onnx.ModelProto:
    model = make()
    del model.graph.initializer[:]
    return model


def inside_a_branch() -> onnx.ModelProto:
    inner = make().graph
    branch = helper.make_node("If", ["condition"], ["Y"], name="choice", then_branch=inner, else_branch=inner)
    return helper.make_model(helper.make_graph([branch], "outer", [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])], []))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (make(clip=1.0), r"node 'layer': clip must be absent, .*, got 1.0"),
        (make("lstm", input_forget=1), r"input_forget must be absent"),
        (make(activations=["HardSigmoid", "Tanh"]), r"activations must be sigmoid, tanh, got hardsigmoid, tanh"),
        (make("rnn_tanh", activations=["Affine"]), r"activations must be tanh or relu, got affine"),
        (make("rnn_tanh", "bidirectional", activations=["Tanh", "Relu"]), r"activations must be tanh or relu, got tanh, relu"),
        (without_weights(), r"node 'layer': W must be stored in the model, got the computed tensor 'W'; fold"),
        (inside_a_branch(), r"recurrent nodes must stand in the main graph, got one inside If 'choice'"),
        (helper.make_model(helper.make_graph([], "empty", [], [])), r"the model must have an RNN, GRU or LSTM node, got none"),
    ],
)
def test_model_that_no_cell_computes_is_refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        from_onnx(model)


def test_attributes_must_fit_the_weights() -> None:
    model = make()
    attributes = {attribute.name: attribute for attribute in model.graph.node[0].attribute}
    attributes["direction"].s = b"bidirectional"
    with pytest.raises(OptionError, match="as many directions as the attribute direction='bidirectional' says, got 1"):
        from_onnx(model)
    attributes["direction"].s = b"forward"
    attributes["hidden_size"].i = 5
    with pytest.raises(OptionError, match="hidden_size must be the width of R = 3, got 5"):
        from_onnx(model)


def test_weights_that_do_not_fit_name_their_node() -> None:
    model = make()
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "B")
    bias.CopyFrom(numpy_helper.from_array(np.zeros((1, 17), np.float32), "B"))
    with pytest.raises(ShapeError, match=r"from_onnx, node 'layer': B must be \[D, 6H\] = \[1, 18\], got \[1, 17\]"):
        from_onnx(model)


@pytest.mark.parametrize("content", [b"not a model", b"\xff" * 40, make().SerializeToString()[:-3]])
def test_bytes_that_are_no_model_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"from_onnx: the bytes must be an ONNX model, got what onnx cannot read .*; export the model again"):
        from_onnx(content)
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for source in (path, str(path)):
        with pytest.raises(DataError, match=r"from_onnx: .*model\.onnx must be an ONNX model"):
            from_onnx(source)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")


def test_model_without_its_external_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(make(), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(DataError, match=r"model\.onnx must be an ONNX model"):
        from_onnx(path)


def test_stored_tensor_without_its_bytes_is_refused() -> None:
    model = make()
    (weights,) = (tensor for tensor in model.graph.initializer if tensor.name == "W")
    weights.raw_data = weights.raw_data[:-4]
    with pytest.raises(DataError, match=r"node 'layer': W must be a tensor whose bytes fit its type and shape"):
        from_onnx(model)


@pytest.mark.parametrize(("direction", "error"), [(3, DataError), (b"sideways", OptionError)])
def test_attributes_must_be_of_their_type(direction: object, error: type[GrusError]) -> None:
    model = make()
    (at,) = (place for place, attribute in enumerate(model.graph.node[0].attribute) if attribute.name == "direction")
    model.graph.node[0].attribute[at].CopyFrom(helper.make_attribute("direction", direction))
    with pytest.raises(error, match="node 'layer': direction must be"):
        from_onnx(model)


def test_damaged_models_raise_no_foreign_error() -> None:
    """Flipped bits either leave a model that can be read or are refused by one of Grus's own errors."""
    sound, rng, refused = make("lstm_peephole").SerializeToString(), np.random.default_rng(0), 0
    for at in range(0, len(sound), 2):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << int(rng.integers(8))
        try:
            from_onnx(bytes(damaged))
        except GrusError:
            refused += 1
    assert refused > 50


def test_without_onnx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"onnx must be installed, got none; install grus\[export\]"):
        from_onnx("model.onnx")
