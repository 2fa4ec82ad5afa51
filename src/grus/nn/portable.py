"""A plan's program and layout as text, and back: what an operator of a saved graph carries to another process."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from grus.compiler.program import OPERATIONS, Node, Parameter, Program, Term, Variable
from grus.errors import BackendError
from grus.nn.layout import Fused, Layout, Plain

VERSION = 1


def write(program: Program, layout: Layout, precision: str) -> str:
    """One line of JSON; equal plans give equal text."""
    entry = {
        "version": VERSION,
        "program": {**asdict(program), "outputs": list(program.outputs.items())},
        "fused": asdict(layout) if isinstance(layout, Fused) else None,
        "precision": precision,
    }
    return json.dumps(entry, separators=(",", ":"))


def read(text: str) -> tuple[Program, Layout, str]:
    """The inverse of ``write``.

    Raises: BackendError where the text is no plan of this version of the format.
    """
    try:
        entry = json.loads(text)
        if entry["version"] != VERSION:
            raise ValueError(f"version {entry['version']}")
        program = _program(entry["program"])
        fused, precision = entry["fused"], entry["precision"]
        if precision not in ("float32", "bf16"):
            raise ValueError(f"precision {precision!r}")
        return program, Plain(program) if fused is None else _fused(fused, program), precision
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise BackendError(
            f"grus.nn: the plan of an operator must be text that this version of grus writes, got {text[:40]!r} ({error}); "
            "export the model again with this version"
        ) from error


def _program(entry: dict[str, Any]) -> Program:
    nodes = tuple(_node(node, index) for index, node in enumerate(entry["nodes"]))
    program = Program(
        tuple(Variable(str(each["name"]), str(each["dim"])) for each in entry["inputs"]),
        tuple(Variable(str(each["name"]), str(each["dim"])) for each in entry["states"]),
        tuple(Parameter(str(each["name"]), str(each["kind"]), _names(each["shape"])) for each in entry["parameters"]),
        nodes,
        tuple(_index(node, len(nodes)) for node in entry["next_states"]),
        {str(name): _index(node, len(nodes)) for name, node in entry["outputs"]},
    )
    _check_names(program)
    return program


def _node(entry: dict[str, Any], index: int) -> Node:
    if entry["op"] not in OPERATIONS:
        raise ValueError(f"operation {entry['op']!r}")
    terms = tuple(Term(str(term["matrix"]), _index(term["operand"], index), bool(term["transposed"])) for term in entry["terms"])
    args = tuple(_index(arg, index) for arg in entry["args"])
    return Node(entry["op"], str(entry["dim"]), args, str(entry["name"]), float(entry["value"]), terms)


def _index(value: object, end: int) -> int:
    if not isinstance(value, int) or not 0 <= value < end:
        raise ValueError(f"node {value!r}")
    return value


def _names(values: list[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _check_names(program: Program) -> None:
    """Raises ValueError where a node reads what the program does not have."""
    known = {
        "input": {variable.name for variable in program.inputs},
        "state": {variable.name for variable in program.states},
        **{kind: {parameter.name for parameter in program.parameters if parameter.kind == kind} for kind in ("vector", "scalar", "matrix")},
    }
    read = {(node.op, node.name) for node in program.nodes} | {("matrix", term.matrix) for node in program.nodes for term in node.terms}
    unknown = [name for kind, name in sorted(read) if kind in known and name not in known[kind]]
    if unknown or len(program.next_states) != len(program.states) or "output" not in program.outputs:
        raise ValueError(f"names {unknown}")


def _fused(entry: dict[str, Any], program: Program) -> Fused:
    others = tuple(Parameter(str(each["name"]), str(each["kind"]), _names(each["shape"])) for each in entry["others"])
    inner = tuple((str(gate), str(name)) for gate, name in entry["inner"])
    layout = Fused(_names(entry["gates"]), bool(entry["bias"]), inner, entry["projection"], others)
    if {part.name for part in layout.parts} != {parameter.name for parameter in program.parameters}:
        raise ValueError("layout")
    return layout
