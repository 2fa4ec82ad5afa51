# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The recurrent layers of an ONNX model file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grus.convert.onnx import read_weights
from grus.convert.parameters import Array, Directions, as_array
from grus.errors import DataError, MissingDependencyError, OptionError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_ACTIVATIONS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
_KINDS: dict[str, type] = {"direction": bytes, "activations": list, "clip": float} | dict.fromkeys(
    ("hidden_size", "layout", "linear_before_reset", "input_forget"), int
)
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


@dataclass(frozen=True)
class OnnxLayer:
    """One RNN, GRU or LSTM node.

    ``initial`` holds the initial states that the model stores ([D, B, H], or [B, D, H] if ``batch_first``), not those it is fed.
    """

    name: str
    cell: str
    direction: str
    parameters: Directions
    batch_first: bool
    initial: Mapping[str, Array]


def from_onnx(model: str | Path | bytes | ModelProto) -> list[OnnxLayer]:
    """The RNN, GRU and LSTM nodes of a model (a protobuf file, its bytes, or a loaded ``ModelProto``), in the graph's order.

    A node whose equations are not those of a catalogue cell (other activations, clip, input_forget) is refused, as is one whose weights
    the model computes rather than stores.

    Raises: MissingDependencyError without the onnx package; OptionError, ShapeError or DtypeError naming the node; DataError where a file or
    its bytes are no ONNX model; OSError where a file cannot be read.
    """
    graph = _load(model).graph
    constants = _constants(graph)
    found = list(_nodes(graph))
    if not found:
        raise OptionError("from_onnx: the model must have an RNN, GRU or LSTM node, got none; export the model with its recurrent layers whole.")
    return [_layer(node, constants, node.name or f"{node.op_type} {place}") for place, node in enumerate(found)]


def _load(model: str | Path | bytes | ModelProto) -> ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingDependencyError("from_onnx: the package onnx must be installed, got none; install grus[export].") from error
    if not isinstance(model, bytes | str | Path):
        return model
    try:
        return onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load_model(str(model), format="protobuf")
    except (DecodeError, onnx.checker.ValidationError) as error:
        what = "the bytes" if isinstance(model, bytes) else str(model)
        raise DataError(f"from_onnx: {what} must be an ONNX model, got what onnx cannot read ({error}); export the model again.") from error


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        if node.op_type in _ACTIVATIONS and node.domain in ("", "ai.onnx"):
            yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if any(True for _ in _nodes(inner)):
                    raise OptionError(
                        f"from_onnx: recurrent nodes must stand in the main graph, got one inside {node.op_type} {node.name!r}; move it out."
                    )


def _constants(graph: GraphProto) -> dict[str, Any]:
    """Every stored tensor by name."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors.update((node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value")
    return tensors


def _layer(node: NodeProto, constants: Mapping[str, Any], name: str) -> OnnxLayer:
    who = f"from_onnx, node {name!r}"
    attributes = _attributes(who, node)
    inputs = {role: source for role, source in zip(_INPUTS, node.input, strict=False) if source}
    cell = _cell(who, node.op_type, attributes, "P" in inputs)
    weights = {role: _stored(who, role, inputs[role], constants) for role in ("W", "R", "B", "P") if role in inputs}
    parameters = read_weights(who, {"W": None, "R": None} | weights, cell)
    direction = _text(attributes.get("direction", b"forward"))
    if direction not in ("forward", "reverse", "bidirectional"):
        raise OptionError(f"{who}: direction must be forward, reverse or bidirectional, got {direction!r}; export the model again.")
    if len(parameters) != (2 if direction == "bidirectional" else 1):
        raise OptionError(
            f"{who}: W must hold as many directions as the attribute direction={direction!r} says, got {len(parameters)}; export the model again."
        )
    hidden = weights["R"].shape[-1]
    if attributes.get("hidden_size", hidden) != hidden:
        raise OptionError(f"{who}: hidden_size must be the width of R = {hidden}, got {attributes['hidden_size']}; export the model again.")
    initial = {role: _stored(who, role, inputs[role], constants) for role in ("initial_h", "initial_c") if inputs.get(role) in constants}
    return OnnxLayer(name, cell, direction, parameters, bool(attributes.get("layout", 0)), initial)


def _attributes(who: str, node: NodeProto) -> dict[str, Any]:
    """The node's attributes, those that are read here each of its type."""
    from onnx.helper import get_attribute_value

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        try:
            found[attribute.name] = get_attribute_value(attribute)
        except (ValueError, TypeError) as error:
            raise DataError(f"{who}: {attribute.name} must be an attribute with a value, got {error}; export the model again.") from error
        kind = _KINDS.get(attribute.name, object)
        if not isinstance(found[attribute.name], kind):
            got = type(found[attribute.name]).__name__
            raise DataError(f"{who}: {attribute.name} must be of type {kind.__name__}, got {got}; export the model again.")
    return found


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else repr(value)


def _stored(who: str, role: str, source: str, constants: Mapping[str, Any]) -> Array:
    from onnx.numpy_helper import to_array

    if source not in constants:
        raise OptionError(f"{who}: {role} must be stored in the model, got the computed tensor {source!r}; fold the model's constants first.")
    try:
        array = to_array(constants[source])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{who}: {role} must be a tensor whose bytes fit its type and shape, got {error}; export the model again.") from error
    return as_array(who, role, array)


def _cell(who: str, op: str, attributes: Mapping[str, Any], peepholes: bool) -> str:
    """The catalogue cell that the operator computes under these attributes."""
    for name in ("clip", "input_forget"):
        if attributes.get(name, 0) or (name == "clip" and name in attributes):
            raise OptionError(f"{who}: {name} must be absent, as none of the cells it could be has it, got {attributes[name]}; remove it.")
    default = _ACTIVATIONS[op]
    given = tuple(_text(name).lower() for name in attributes.get("activations", ())) or default
    once = given[: len(default)]
    if given not in (once, once * 2) or (once != default and (op, once) != ("RNN", ("relu",))):
        allowed = ", ".join(default) + (" or relu" if op == "RNN" else "")
        raise OptionError(f"{who}: activations must be {allowed}, got {', '.join(given)}; write a cell of your own with those.")
    if op == "GRU":
        return "gru" if attributes.get("linear_before_reset", 0) else "gru_reset_before"
    if op == "LSTM":
        return "lstm_peephole" if peepholes else "lstm"
    return f"rnn_{once[0]}"
