"""Taking out of time what does not depend on the state.

``split`` turns a cell's step program into a prologue, which reads inputs and parameters only and so runs over all steps at once, and a
loop, which keeps the recurrence. Values that go from one to the other are streams: one value per step and row.

    gru:  prologue   s0 = W_r x + b_r    s1 = W_z x + b_z    s2 = W_n x + b_n
          loop       r = sigmoid(s0 + U_r h)   z = sigmoid(s1 + U_z h)   n = tanh(s2 + r * (U_n h + c_n))   h' = (1 - z) n + z h

Sums are regrouped on the way: however a cell spells ``W x + b + U h``, the part without state becomes one affine value in the prologue
and the start of one affine node in the loop. A loop's affine node starts from a stream, a parameter, arithmetic of those, or nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from grus.compiler.program import ELEMENTWISE, SCALAR, Builder, Node, Program, Term, Variable, reachable
from grus.errors import CellError

# One instruction each: cheaper to compute again than to write and read per step and row.
CHEAP = frozenset(("neg", "abs", "relu", "add", "sub", "mul", "minimum", "maximum", "greater", "where", "clip_gradient"))


@dataclass(frozen=True)
class Split:
    """A step program in two parts; ``streams`` are the prologue's outputs, which the loop reads as inputs of the same name."""

    prologue: Program
    loop: Program
    streams: tuple[Variable, ...]


def prune(program: Program, outputs: Collection[str] | None = None) -> Program:
    """The program without the outputs not named, and without the nodes, inputs and parameters that then nothing reads."""
    kept = {name: node for name, node in program.outputs.items() if outputs is None or name in outputs}
    order = sorted(reachable(program.nodes, [*program.next_states, *kept.values()]))
    moved = {old: new for new, old in enumerate(order)}
    nodes = tuple(_renumbered(program.nodes[old], moved) for old in order)
    read = {node.name for node in nodes if node.op == "input"}
    used = {node.name for node in nodes if node.op in ("vector", "scalar")} | {term.matrix for node in nodes for term in node.terms}
    return Program(
        inputs=tuple(variable for variable in program.inputs if variable.name in read),
        states=program.states,
        parameters=tuple(parameter for parameter in program.parameters if parameter.name in used),
        nodes=nodes,
        next_states=tuple(moved[node] for node in program.next_states),
        outputs={name: moved[node] for name, node in kept.items()},
    )


def split(program: Program, outputs: Collection[str] | None = None) -> Split:
    """The prologue and the loop of a cell's step program, whose outputs are those named (default: all).

    Streams are named after the gate they are, else "s0", "s1", … in the order of the gates that read them. A raw input that the loop
    reads keeps its name and is no stream; neither is a value that cheap arithmetic makes from parameters, raw inputs or streamed gates.
    The names of the streams do not depend on the outputs that are wanted.

    Raises:
        CellError: a wanted output is not one of the program's.

    Example:
        >>> import grus.cells
        >>> parts = split(grus.cells.gru.program)
        >>> [(stream.name, stream.dim) for stream in parts.streams]
        [('s0', 'H'), ('s1', 'H'), ('s2', 'H')]
    """
    unknown = sorted(set(outputs or ()) - set(program.outputs))
    if unknown:
        raise CellError(f"split: outputs must be among {sorted(program.outputs)}, got {unknown[0]!r}; name an output of the program.")
    whole = _Splitter(prune(program)).split()
    loop = prune(whole.loop, outputs)
    read = {variable.name for variable in loop.inputs}
    streams = tuple(stream for stream in whole.streams if stream.name in read)
    return Split(prune(whole.prologue, [stream.name for stream in streams]), loop, streams)


def broadcast(builder: Builder, node: int, dim: str) -> int:
    """The node as a value of dimension ``dim``: itself, or a scalar added to a zero of that dimension."""
    if builder.nodes[node].dim == dim:
        return node
    zero = builder.add(Node("constant", dim))
    return builder.add(Node("add", dim, (node, zero)))


def _renumbered(node: Node, moved: dict[int, int]) -> Node:
    terms = tuple(Term(term.matrix, moved[term.operand], term.transposed) for term in node.terms)
    return Node(node.op, node.dim, tuple(moved[arg] for arg in node.args), node.name, node.value, terms)


class _Splitter:
    """One run of ``split``: each node of the program is either state-dependent, streamed, or available to the loop at no cost."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes = program.nodes
        self.before, self.within = Builder(), Builder()
        self.streams: dict[str, int] = {}
        self._before: dict[int, int] = {}
        self._within: dict[int, int] = {}
        self._stream_of: dict[int, str] = {}
        roots = (*program.next_states, *program.outputs.values())
        self.uses = Counter(operand for node in self.nodes for operand in node.operands()) + Counter(roots)
        self.on_state = self._dependent("state")
        self.on_input = self._dependent("input")
        self.gates: dict[int, str] = {}
        for name, node in program.outputs.items():
            if name != "output":
                self.gates.setdefault(node, name)
        self.free = self._free()

    def split(self) -> Split:
        program = self.program
        gates = {name: self.loop(node) for name, node in program.outputs.items() if name != "output"}
        outputs = {name: gates[name] if name in gates else self.loop(node) for name, node in program.outputs.items()}
        next_states = tuple(self.loop(node) for node in program.next_states)
        streams = tuple(Variable(name, self.before.nodes[node].dim) for name, node in self.streams.items())
        prologue = Program(program.inputs, (), program.parameters, tuple(self.before.nodes), (), dict(self.streams))
        inputs = (*streams, *program.inputs)
        loop = Program(inputs, program.states, program.parameters, tuple(self.within.nodes), next_states, outputs)
        return Split(prune(prologue), prune(loop), streams)

    def loop(self, index: int) -> int:
        """The loop's node for a node of the program."""
        if index not in self._within:
            self._within[index] = self._make_loop(index)
        return self._within[index]

    def prologue(self, index: int) -> int:
        """The prologue's node for a node that does not depend on the state."""
        if index not in self._before:
            node = self.nodes[index]
            if node.op in ("add", "affine"):
                self._before[index] = self._sum_before(*self._summands(index))
            else:
                self._before[index] = _copy(self.before, node, [self.prologue(arg) for arg in node.args])
        return self._before[index]

    def _make_loop(self, index: int) -> int:
        node = self.nodes[index]
        if index not in self.on_state and index not in self.free:
            return self._stream(self.prologue(index), self.gates.get(index, ""), self._scalar_target(index))
        if node.op in ("add", "affine"):
            return self._sum_within(node.dim, *self._summands(index))
        return _copy(self.within, node, [self.loop(arg) for arg in node.args])

    def _sum_within(self, dim: str, terms: list[Term], addends: list[int]) -> int:
        """One sum of the loop: what has no state is summed in the prologue, the rest is one affine node plus elementwise values."""
        early_terms = [term for term in terms if term.operand not in self.on_state]
        late_terms = [term for term in terms if term.operand in self.on_state]
        early = [addend for addend in addends if addend not in self.on_state]
        late = [self.loop(addend) for addend in addends if addend in self.on_state]
        start = self._early(dim, early_terms, early)
        if late_terms:
            rows = self._dim_of(late_terms[0])
            moved = tuple(Term(term.matrix, self.loop(term.operand), term.transposed) for term in late_terms)
            inside = start is not None and self.within.nodes[start].dim == rows
            product = self.within.affine(rows, moved, start if inside else None)
            late = [product, *late] if inside or start is None else [product, start, *late]
        elif start is not None:
            late = [start, *late]
        return _total(self.within, late)

    def _early(self, dim: str, terms: list[Term], addends: list[int]) -> int | None:
        """The loop's node for the part of a sum that does not depend on the state."""
        if not terms and not addends:
            return None
        if not terms and (len(addends) == 1 or all(addend in self.free or addend in self.gates for addend in addends)):
            return _total(self.within, [self.loop(addend) for addend in addends])
        return self._stream(self._sum_before(terms, addends), "", dim)

    def _sum_before(self, terms: list[Term], addends: list[int]) -> int:
        rest = [self.prologue(addend) for addend in addends]
        if not terms:
            return _total(self.before, rest)
        dim = self._dim_of(terms[0])
        start = _total(self.before, rest) if rest else None
        moved = tuple(Term(term.matrix, self.prologue(term.operand), term.transposed) for term in terms)
        if start is not None and self.before.nodes[start].dim != dim:
            return self.before.elementwise("add", self.before.affine(dim, moved), start)
        return self.before.affine(dim, moved, start)

    def _stream(self, node: int, gate: str, target: str) -> int:
        """The loop's input for a value of the prologue, which becomes a stream; a scalar is stored in its readers' dimension."""
        node = broadcast(self.before, node, target) if self.before.nodes[node].dim == SCALAR else node
        if node not in self._stream_of:
            name = gate or self._fresh()
            self._stream_of[node] = name
            self.streams[name] = node
        return self.within.leaf("input", self.before.nodes[node].dim, self._stream_of[node])

    def _fresh(self) -> str:
        program = self.program
        variables = {variable.name for variable in (*program.inputs, *program.states)}
        taken = variables | set(program.outputs) | set(self.streams) | {parameter.name for parameter in program.parameters}
        return next(name for number in range(len(taken) + 1) if (name := f"s{number}") not in taken)

    def _summands(self, index: int) -> tuple[list[Term], list[int]]:
        """The products and the other values that a sum adds, through every inner sum that nothing else reads."""
        terms: list[Term] = []
        addends: list[int] = []

        def visit(at: int, root: bool) -> None:
            node = self.nodes[at]
            if node.op not in ("add", "affine") or not (root or self.uses[at] == 1):
                addends.append(at)
                return
            for arg in node.args:
                visit(arg, False)
            terms.extend(node.terms)

        visit(index, True)
        return terms, addends

    def _dim_of(self, term: Term) -> str:
        rows, columns = self.program.parameter(term.matrix).shape
        return columns if term.transposed else rows

    def _dependent(self, op: str) -> frozenset[int]:
        found: set[int] = set()
        for index, node in enumerate(self.nodes):
            if node.op == op or any(operand in found for operand in node.operands()):
                found.add(index)
        return frozenset(found)

    def _free(self) -> frozenset[int]:
        """Values without state that the loop makes itself: leaves, elementwise parameters, and cheap arithmetic of what it has anyway."""
        gates = {index for index in self.gates if index not in self.on_state and index in self.on_input}
        free: set[int] = set()
        for index, node in enumerate(self.nodes):
            if index in self.on_state or (index in gates and node.op != "input"):
                continue
            of_parameters = node.op in ELEMENTWISE and index not in self.on_input
            made = of_parameters or node.op in CHEAP
            if node.op in ("input", "vector", "scalar", "constant") or (made and all(arg in free or arg in gates for arg in node.args)):
                free.add(index)
        return frozenset(free)

    def _scalar_target(self, index: int) -> str:
        """The dimension of the vectors that a scalar reaches in the loop, through other scalars; the first one found."""
        if self.nodes[index].dim != SCALAR:
            return self.nodes[index].dim
        reached = {index}
        for at, node in enumerate(self.nodes):
            if any(arg in reached for arg in node.args):
                if node.dim != SCALAR:
                    return node.dim
                reached.add(at)
        return SCALAR


def _copy(builder: Builder, node: Node, args: list[int]) -> int:
    if node.op in ELEMENTWISE:
        return builder.elementwise(node.op, *args)
    if node.op == "mean":
        return builder.mean(args[0])
    return builder.add(node)


def _total(builder: Builder, addends: Iterable[int]) -> int:
    """The sum of at least one value, from left to right."""
    first, *rest = addends
    for addend in rest:
        first = builder.elementwise("add", first, addend)
    return first
