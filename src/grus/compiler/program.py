"""The step program: what a recurrent cell computes in one time step, as a small typed graph.

A program maps inputs at step t and states at step t-1 to outputs at step t and states at step t. Tracing a cell gives one; hoisting
splits it; differentiation gives another one that runs in reverse time; every lowering (NumPy, PyTorch, machine code) reads it.

A node's value is a vector with one entry per unit of its dimension ("H", "I", or any name a cell uses), or a scalar (dimension "1")
that broadcasts. Operations:

    input, state            the named variable
    vector, scalar          the named parameter (bias or diagonal; one number)
    constant                ``value``
    affine                  start + sum over terms of M @ operand (M transposed where the term says so); ``args`` is (start,) or ()
    neg abs exp log sqrt sigmoid tanh relu softplus               elementwise, one argument
    add sub mul div minimum maximum greater                       elementwise, two arguments (greater gives 1 or 0)
    where                   elementwise: where(condition != 0, a, b)
    clip_gradient           elementwise, of a value and a limit c: the value, whose adjoint goes on within [-c, c]
    mean                    mean over the units of its argument; dimension "1"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

UNARY = ("neg", "abs", "exp", "log", "sqrt", "sigmoid", "tanh", "relu", "softplus")
BINARY = ("add", "sub", "mul", "div", "minimum", "maximum", "greater", "clip_gradient")
ELEMENTWISE = (*UNARY, *BINARY, "where")
LEAVES = ("input", "state", "vector", "scalar", "constant")
OPERATIONS = (*LEAVES, "affine", *ELEMENTWISE, "mean")
SCALAR = "1"


@dataclass(frozen=True, slots=True)
class Term:
    """One product of an affine node: ``matrix @ operand``, or ``matrix.T @ operand`` where ``transposed``."""

    matrix: str
    operand: int
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the program; ``args`` and the terms' operands are indices of earlier nodes."""

    op: str
    dim: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float = 0.0
    terms: tuple[Term, ...] = ()

    def operands(self) -> tuple[int, ...]:
        """Every node this one reads."""
        return self.args + tuple(term.operand for term in self.terms)


@dataclass(frozen=True, slots=True)
class Variable:
    """A named input or state and its dimension."""

    name: str
    dim: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named parameter: kind "matrix" (shape = (rows, columns)), "vector" (shape = (dim,)) or "scalar" (shape = ())."""

    name: str
    kind: str
    shape: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A step program. ``next_states`` follows ``states``; ``outputs`` names the values that leave the step."""

    inputs: tuple[Variable, ...]
    states: tuple[Variable, ...]
    parameters: tuple[Parameter, ...]
    nodes: tuple[Node, ...]
    next_states: tuple[int, ...]
    outputs: Mapping[str, int] = field(default_factory=dict[str, int])

    def parameter(self, name: str) -> Parameter:
        """The parameter called ``name``."""
        return next(parameter for parameter in self.parameters if parameter.name == name)

    def dims(self) -> tuple[str, ...]:
        """Every dimension in use but the scalar one, in order of first use."""
        seen: dict[str, None] = {}
        for variable in (*self.inputs, *self.states):
            seen.setdefault(variable.dim)
        for parameter in self.parameters:
            for dim in parameter.shape:
                seen.setdefault(dim)
        return tuple(dim for dim in seen if dim != SCALAR)


class Builder:
    """Builds a program node by node, sharing equal nodes and folding what is trivial (x + 0, x * 1, x * 0)."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._index: dict[Node, int] = {}

    def add(self, node: Node) -> int:
        """The index of ``node``, which is appended unless an equal one exists."""
        if node not in self._index:
            self._index[node] = len(self.nodes)
            self.nodes.append(node)
        return self._index[node]

    def leaf(self, op: str, dim: str, name: str) -> int:
        return self.add(Node(op, dim, name=name))

    def constant(self, value: float) -> int:
        return self.add(Node("constant", SCALAR, value=float(value)))

    def affine(self, dim: str, terms: tuple[Term, ...], start: int | None = None) -> int:
        return self.add(Node("affine", dim, () if start is None else (start,), terms=terms))

    def mean(self, argument: int) -> int:
        return self.add(Node("mean", SCALAR, (argument,)))

    def elementwise(self, op: str, *args: int) -> int:
        """An elementwise node whose dimension follows from its arguments (all equal, or scalar)."""
        folded = self._fold(op, args)
        if folded is not None:
            return folded
        dims = {self.nodes[arg].dim for arg in args} - {SCALAR}
        if len(dims) > 1:
            raise ValueError(f"{op}: arguments must have one dimension, got {sorted(dims)}")
        return self.add(Node(op, dims.pop() if dims else SCALAR, args))

    def _fold(self, op: str, args: tuple[int, ...]) -> int | None:
        def is_constant(index: int, value: float) -> bool:
            node = self.nodes[args[index]]
            return node.op == "constant" and node.value == value

        if op == "add" and is_constant(0, 0.0):
            return args[1]
        if op in ("add", "sub") and is_constant(1, 0.0):
            return args[0]
        if op == "mul" and is_constant(0, 1.0):
            return args[1]
        if op in ("mul", "div") and is_constant(1, 1.0):
            return args[0]
        return None


def reachable(nodes: tuple[Node, ...] | list[Node], roots: Iterator[int] | tuple[int, ...] | list[int]) -> set[int]:
    """The indices of every node that the roots depend on, roots included."""
    found: set[int] = set()
    todo = list(roots)
    while todo:
        index = todo.pop()
        if index not in found:
            found.add(index)
            todo.extend(nodes[index].operands())
    return found
