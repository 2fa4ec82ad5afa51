"""Reverse-mode differentiation of a step program into another step program, which runs in reverse time.

The backward program reads upstream adjoints (``d_<output>``), values that the forward program had (its inputs, its states before the
step, and what had to be saved) and the parameters. Its states ``d_<state>`` carry the adjoint of a state: coming in, of the state after
the step; going out (``next_states``), of the state before it. Its outputs are what the gradients are summed from:

    y = start + M v     ->  dM += y' v^T over all steps and rows (v y'^T where the term was transposed),    v' += M^T y'
    parameter b         ->  db  = sum of its adjoint over all steps and rows
    input x             ->  dx  = its adjoint at each step and row

A scalar (dimension "1") that reaches vectors of dimension D has no adjoint of its own: it is kept as the contributions of the D units,
whose sum is the adjoint. ``mean`` needs their mean only, and a scalar parameter's gradient is summed over units once, after the loop.
At ties, minimum and maximum give half to each side, abs gives 0 and relu gives 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grus.compiler.hoist import CHEAP, broadcast, prune
from grus.compiler.program import ELEMENTWISE, SCALAR, Builder, Node, Program, Term, Variable
from grus.errors import CellError

_Partial = tuple[int, bool, Callable[[], int]]


@dataclass(frozen=True, slots=True)
class MatrixGradient:
    """One product of the weight gradients: ``d matrix += adjoint operand^T``, or ``operand adjoint^T`` where ``transposed``.

    ``adjoint`` names an output of the backward program; ``operand`` a saved value, input or state before the step.
    """

    matrix: str
    adjoint: str
    operand: str
    transposed: bool = False


@dataclass(frozen=True)
class Gradient:
    """A backward program and what its outputs mean; a parameter or input that is not named has the gradient zero.

    ``upstream`` maps a forward output to the input that takes its adjoint; ``saved`` names the forward nodes that must be stored. A
    gradient is an output summed over steps and rows (vectors), over units too (scalars), or not summed (inputs); the output for an
    input of dimension "1" is summed over units. Several gradients may share one output, and an output may be an input of the program.
    """

    program: Program
    upstream: Mapping[str, str]
    saved: tuple[tuple[str, int], ...]
    matrix_gradients: tuple[MatrixGradient, ...]
    vector_gradients: Mapping[str, str]
    scalar_gradients: Mapping[str, str]
    input_gradients: Mapping[str, str]


def differentiate(program: Program, *, outputs: Sequence[str] = ("output",), inputs: Collection[str] | None = None) -> Gradient:
    """The gradient of a step program: of a loop, whose states carry adjoints back in time, or of a prologue, which has none.

    ``outputs`` are those with an adjoint from outside; ``inputs`` are those whose gradient is wanted (default: all). Saved are the values
    that the backward program reads and cannot make at no cost: cheap arithmetic is done again where all that it reads is there anyway.

    Raises:
        CellError: a state or an output with an adjoint is a scalar, or a scalar reaches vectors of two dimensions.

    Example:
        >>> import grus.cells
        >>> from grus.compiler.hoist import split
        >>> [name for name, _ in differentiate(split(grus.cells.gru.program).loop).saved]
        ['r', 'z', 'v8', 'n']
    """
    unknown = [name for name in outputs if name not in program.outputs]
    if unknown:
        raise CellError(f"differentiate: outputs must be among {sorted(program.outputs)}, got {unknown[0]!r}; name an output of the program.")
    wanted = frozenset(variable.name for variable in program.inputs) if inputs is None else frozenset(inputs)
    draft = _Reverse(program, tuple(outputs), wanted, _elementwise_of_parameters(program))
    needed = draft.gradient().saved
    again = _recomputed(program, frozenset(node for _, node in needed), draft.operands)
    return _Reverse(program, tuple(outputs), wanted, again).gradient()


def _elementwise_of_parameters(program: Program) -> frozenset[int]:
    found: set[int] = set()
    for index, node in enumerate(program.nodes):
        of_parameters = node.op in ELEMENTWISE and all(arg in found for arg in node.args)
        if of_parameters or node.op in ("vector", "scalar", "constant"):
            found.add(index)
    return frozenset(found)


def _recomputed(program: Program, needed: frozenset[int], operands: frozenset[int]) -> frozenset[int]:
    """The nodes that the backward program computes again: cheap ones that read only what is free, stored anyway or computed again."""
    free = _elementwise_of_parameters(program)
    at_hand = {index for index, node in enumerate(program.nodes) if node.op in ("input", "state")} | free
    at_hand |= {index for index in needed if program.nodes[index].op not in CHEAP or index in operands}
    again = set(free)
    for index, node in enumerate(program.nodes):
        if index not in at_hand and node.op in CHEAP and all(arg in at_hand for arg in node.args):
            again.add(index)
        if index in needed or index in again:
            at_hand.add(index)
    return frozenset(again - operands)


class _Reverse:
    """One pass over a step program from its results to its leaves, building the backward program."""

    def __init__(self, program: Program, outputs: tuple[str, ...], wanted: frozenset[str], again: frozenset[int]) -> None:
        self.program = program
        self.nodes = program.nodes
        self.again = again
        self.builder = Builder()
        self.active = self._active(wanted)
        self.sums: dict[int, list[tuple[bool, int]]] = {}
        self.products: dict[int, list[Term]] = {}
        self.carriers: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.results: dict[str, int] = {}
        self.saved: dict[int, str] = {}
        self.matrices: list[tuple[Term, int, str]] = []
        self.operands: frozenset[int] = frozenset()
        self.leaves: dict[tuple[str, str], int] = {}
        self.labels = self._labels()
        self.upstream = {name: self._upstream(name) for name in outputs}

    def gradient(self) -> Gradient:
        self._seed()
        for index in range(len(self.nodes) - 1, -1, -1):
            adjoint = self._adjoint(index)
            if adjoint is not None:
                self._pass_on(index, adjoint)
        inputs, vectors, scalars = (self._named(op) for op in ("input", "vector", "scalar"))
        matrices = tuple(
            MatrixGradient(term.matrix, self._name(node, f"d_{term.matrix}_product"), label, term.transposed)
            for term, node, label in reversed(self.matrices)
        )
        states = tuple(Variable(f"d_{state.name}", state.dim) for state in self.program.states)
        carried = tuple(self._carried(state) for state in self.program.states)
        nodes = tuple(self.builder.nodes)
        backward = prune(Program(self._variables(), states, self.program.parameters, nodes, carried, self.results))
        read = {variable.name for variable in backward.inputs} | {gradient.operand for gradient in matrices}
        saved = tuple((name, index) for index, name in sorted(self.saved.items()) if name in read)
        upstream = {output: name for output, name in self.upstream.items() if name in read}
        return Gradient(backward, upstream, saved, matrices, vectors, scalars, inputs)

    def _active(self, wanted: frozenset[str]) -> frozenset[int]:
        """The nodes that depend on a state, a parameter or a wanted input."""
        found: set[int] = set()
        for index, node in enumerate(self.nodes):
            leaf = node.op in ("state", "vector", "scalar") or (node.op == "input" and node.name in wanted)
            if leaf or node.op == "affine" or any(operand in found for operand in node.operands()):
                found.add(index)
        return frozenset(found)

    def _labels(self) -> dict[int, str]:
        """The names of saved values: the output that a node is, else "v<node>"."""
        taken = {variable.name for variable in (*self.program.inputs, *self.program.states)}
        labels: dict[int, str] = {}
        for name, index in self.program.outputs.items():
            if name not in taken:
                labels.setdefault(index, name)
        taken |= set(self.program.outputs)
        return {index: _fresh(f"v{index}", taken) for index in range(len(self.nodes))} | labels

    def _upstream(self, output: str) -> str:
        states = {state.name for state in self.program.states}
        return f"d_{output}" if output not in states else f"d_{output}_output"

    def _variables(self) -> tuple[Variable, ...]:
        saved = [Variable(name, self.nodes[index].dim) for index, name in sorted(self.saved.items())]
        upstream = [Variable(name, self.nodes[self.program.outputs[output]].dim) for output, name in self.upstream.items()]
        return (*saved, *self.program.states, *self.program.inputs, *upstream)

    def _seed(self) -> None:
        for state, index in zip(self.program.states, self.program.next_states, strict=True):
            if state.dim == SCALAR:
                raise CellError(f"differentiate: state {state.name!r} must be a vector, got a scalar; give it a dimension of units.")
            self._give(index, self.builder.leaf("state", state.dim, f"d_{state.name}"))
        for output, name in self.upstream.items():
            index = self.program.outputs[output]
            if self.nodes[index].dim == SCALAR:
                raise CellError(f"differentiate: output {output!r} must be a vector, got a scalar; give no adjoint for it.")
            self._give(index, self.builder.leaf("input", self.nodes[index].dim, name))

    def _value(self, index: int) -> int:
        """The backward program's node for a value of the forward program."""
        node = self.nodes[index]
        if node.op in ("input", "state"):
            return self.builder.leaf("input", node.dim, node.name)
        if node.op in ("vector", "scalar", "constant"):
            return self.builder.add(node)
        if index in self.again:
            return self.builder.elementwise(node.op, *(self._value(arg) for arg in node.args))
        return self.builder.leaf("input", node.dim, self._save(index))

    def _save(self, index: int) -> str:
        return self.saved.setdefault(index, self.labels[index])

    def _give(self, index: int, adjoint: int, *, positive: bool = True, carrier: str | None = None) -> None:
        """Adds a value to the adjoint of a node; a scalar's is summed over the units of ``carrier``."""
        node = self.builder.nodes[adjoint]
        if index not in self.active or (node.op == "constant" and node.value == 0.0):
            return
        self._carry(index, carrier)
        self.sums.setdefault(index, []).append((positive, adjoint))

    def _carry(self, index: int, carrier: str | None) -> None:
        if self.nodes[index].dim != SCALAR or carrier is None:
            return
        known = self.carriers.setdefault(index, carrier)
        if known != carrier:
            raise CellError(
                f"differentiate: a scalar must reach vectors of one dimension, got {known!r} and {carrier!r}; use one scalar for each dimension."
            )

    def _adjoint(self, index: int) -> int | None:
        """The whole adjoint of a node, or None for zero: one affine node where products flow into it."""
        build = self.builder
        parts, terms = self.sums.get(index, []), self.products.get(index, [])
        total: int | None = None
        for positive, part in sorted(parts, key=lambda item: not item[0]):
            if total is None:
                total = part if positive else build.elementwise("neg", part)
            else:
                total = build.elementwise("add" if positive else "sub", total, part)
        if terms:
            dim = self.nodes[index].dim
            return build.affine(dim, tuple(reversed(terms)), None if total is None else broadcast(build, total, dim))
        return total

    def _pass_on(self, index: int, adjoint: int) -> None:
        node = self.nodes[index]
        carrier = node.dim if node.dim != SCALAR else self.carriers[index]
        if node.op in ("input", "state", "vector", "scalar"):
            self.leaves[node.op, node.name] = broadcast(self.builder, adjoint, carrier)
        elif node.op == "affine":
            self._pass_affine(node, adjoint, carrier)
        elif node.op == "mean":
            self._pass_mean(node, adjoint, carrier)
        elif node.op in ELEMENTWISE:
            for arg, positive, partial in self._partials(index, node, adjoint):
                if arg in self.active:
                    self._give(arg, partial(), positive=positive, carrier=carrier)

    def _pass_affine(self, node: Node, adjoint: int, carrier: str) -> None:
        if carrier != node.dim:
            raise CellError(
                f"differentiate: a product with one row must not be broadcast, got one that reaches {carrier!r}; give its matrix rows {carrier!r}."
            )
        adjoint = broadcast(self.builder, adjoint, node.dim)
        for start in node.args:
            self._give(start, adjoint, carrier=node.dim)
        for term in node.terms:
            operand = self.nodes[term.operand]
            label = operand.name if operand.op in ("input", "state") else self._operand(term.operand)
            self.matrices.append((term, adjoint, label))
            if term.operand in self.active:
                self._carry(term.operand, SCALAR)
                self.products.setdefault(term.operand, []).append(Term(term.matrix, adjoint, not term.transposed))

    def _operand(self, index: int) -> str:
        self.operands |= {index}
        return self._save(index)

    def _pass_mean(self, node: Node, adjoint: int, carrier: str) -> None:
        source = self.nodes[node.args[0]]
        if source.dim == SCALAR:
            self._give(node.args[0], adjoint, carrier=carrier)
            return
        if source.dim != carrier:
            raise CellError(
                f"differentiate: a mean over {source.dim!r} must reach vectors of {source.dim!r}, got {carrier!r}; take a mean over {carrier!r}."
            )
        scaled = adjoint if self.builder.nodes[adjoint].dim == SCALAR else self.builder.mean(adjoint)
        self._give(node.args[0], scaled)

    def _carried(self, state: Variable) -> int:
        found = self.leaves.get(("state", state.name))
        return self.builder.add(Node("constant", state.dim)) if found is None else found

    def _name(self, node: int, name: str) -> str:
        """The output that a node of the backward program is; a new one is called ``name``, or like the input that the node is."""
        if node not in self.names:
            leaf = self.builder.nodes[node]
            self.names[node] = _fresh(leaf.name if leaf.op == "input" else name, self.results)
            self.results[self.names[node]] = node
        return self.names[node]

    def _named(self, op: str) -> dict[str, str]:
        leaves = {node.name: self.leaves[op, node.name] for node in self.nodes if (op, node.name) in self.leaves and node.op == op}
        return {name: self._name(node, f"d_{name}") for name, node in leaves.items()}

    def _partials(self, index: int, node: Node, dy: int) -> Iterator[_Partial]:
        """What each argument's adjoint gets from an elementwise node: (argument, added or subtracted, value)."""
        build, value = self.builder.elementwise, self._value
        first, *others = node.args
        second = others[0] if others else first

        def result() -> int:
            return value(index)

        def constant(number: float) -> int:
            return self.builder.constant(number)

        def times(factor: int) -> int:
            return build("mul", dy, factor)

        def chosen(high: int, low: int) -> int:
            """1 where ``high`` is the larger, 0 where ``low`` is, a half where they are equal."""
            sign = build("sub", build("greater", value(high), value(low)), build("greater", value(low), value(high)))
            return build("add", constant(0.5), build("mul", constant(0.5), sign))

        match node.op:
            case "neg":
                yield first, False, lambda: dy
            case "abs":
                x, zero = value(first), constant(0.0)
                yield first, True, lambda: times(build("sub", build("greater", x, zero), build("greater", zero, x)))
            case "exp":
                yield first, True, lambda: times(result())
            case "log":
                yield first, True, lambda: build("div", dy, value(first))
            case "sqrt":
                yield first, True, lambda: build("div", build("mul", constant(0.5), dy), result())
            case "sigmoid":
                yield first, True, lambda: times(build("mul", result(), build("sub", constant(1.0), result())))
            case "tanh":
                yield first, True, lambda: times(build("sub", constant(1.0), build("mul", result(), result())))
            case "relu":
                yield first, True, lambda: times(build("greater", result(), constant(0.0)))
            case "softplus":
                yield first, True, lambda: times(build("sigmoid", value(first)))
            case "add" | "sub":
                yield first, True, lambda: dy
                yield second, node.op == "add", lambda: dy
            case "mul":
                yield first, True, lambda: times(value(second))
                yield second, True, lambda: times(value(first))
            case "div":
                yield first, True, lambda: build("div", dy, value(second))
                yield second, False, lambda: build("mul", build("div", dy, value(second)), result())
            case "maximum" | "minimum":
                low_wins = node.op == "minimum"
                yield first, True, lambda: times(chosen(second, first) if low_wins else chosen(first, second))
                yield second, True, lambda: times(chosen(first, second) if low_wins else chosen(second, first))
            case "where":
                zero = constant(0.0)
                yield node.args[1], True, lambda: build("where", value(first), dy, zero)
                yield node.args[2], True, lambda: build("where", value(first), zero, dy)
            case "clip_gradient":
                limit = value(second)
                yield first, True, lambda: build("minimum", build("maximum", dy, build("neg", limit)), limit)
            case _:
                return


def _fresh(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name
