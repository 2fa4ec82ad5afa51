"""Step programs made from step programs: facts about a cell's recurrence, and the regularisers that change its equations.

Every function is pure: a program goes in, another one comes out, and any lowering runs it.
"""

from __future__ import annotations

from collections.abc import Callable

from grus.compiler.program import LEAVES, SCALAR, Builder, Node, Parameter, Program, Term, Variable, reachable

Change = Callable[[Builder, Node, int], int]
LAYER_NORM_EPSILON = 1e-5


def state_dependent(program: Program) -> frozenset[int]:
    """The nodes whose value depends on a state at the step before."""
    found: set[int] = set()
    for index, node in enumerate(program.nodes):
        if node.op == "state" or any(operand in found for operand in node.operands()):
            found.add(index)
    return frozenset(found)


def recurrent_matrices(program: Program) -> tuple[str, ...]:
    """The names of the matrices that multiply something that depends on a state."""
    dependent = state_dependent(program)
    names = {term.matrix: None for node in program.nodes for term in node.terms if term.operand in dependent}
    return tuple(names)


def biases(program: Program) -> tuple[str, ...]:
    """The names of the vectors that are only ever added: to a product, or to another value."""
    added: dict[str, bool] = {}
    for consumer in program.nodes:
        for operand in consumer.operands():
            node = program.nodes[operand]
            if node.op == "vector":
                adds = consumer.op == "add" or (consumer.op == "affine" and operand in consumer.args)
                added[node.name] = adds and added.get(node.name, True)
    return tuple(name for name, adds in added.items() if adds)


def gains(program: Program) -> tuple[str, ...]:
    """The names of the vectors that scale a normalised value: one divided by a square root."""
    found: dict[str, None] = {}
    for consumer in program.nodes:
        if consumer.op == "mul":
            for vector, scaled in (consumer.args, consumer.args[::-1]):
                node, other = program.nodes[vector], program.nodes[scaled]
                if node.op == "vector" and other.op == "div" and program.nodes[other.args[1]].op == "sqrt":
                    found.setdefault(node.name)
    return tuple(found)


def without_biases(program: Program) -> Program:
    """The same cell with every bias left out."""
    names = set(biases(program))

    def change(builder: Builder, node: Node, index: int) -> int:
        if node.op == "vector" and node.name in names:
            return builder.constant(0.0)
        if node.op == "affine" and node.args:
            start = builder.nodes[node.args[0]]
            if start.op == "constant" and start.value == 0.0:
                return builder.affine(node.dim, node.terms)
        return rebuild(builder, node)

    kept = tuple(parameter for parameter in program.parameters if parameter.name not in names)
    return transform(program, change, parameters=kept)


def with_recurrent_dropout(program: Program) -> tuple[Program, tuple[Variable, ...]]:
    """Every state-dependent operand of a product is multiplied by an extra input, one per dimension; returns those inputs too.

    Source: Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks" (2016).
    """
    dependent = state_dependent(program)
    recurrent = {term.operand for node in program.nodes for term in node.terms if term.operand in dependent}
    dims = tuple(dict.fromkeys(program.nodes[operand].dim for operand in sorted(recurrent)))
    masks = tuple(Variable(f"dropout_{dim}", dim) for dim in dims)
    masked: dict[int, int] = {}

    def change(builder: Builder, node: Node, index: int) -> int:
        terms = tuple(Term(term.matrix, masked.get(term.operand, term.operand), term.transposed) for term in node.terms)
        new = rebuild(builder, Node(node.op, node.dim, node.args, node.name, node.value, terms))
        if index in recurrent:
            masked[new] = builder.elementwise("mul", new, builder.leaf("input", node.dim, f"dropout_{node.dim}"))
        return new

    return transform(program, change, inputs=(*program.inputs, *masks)), masks


def with_zoneout(program: Program, probability: float | None = None) -> tuple[Program, tuple[Variable, ...]]:
    """Each unit of a new state keeps its old value with some probability: h' = h where m, else new; one extra input m per state.

    Where ``probability`` is given, h' is the expectation p * h + (1 - p) * new, for evaluation.
    An output that is itself a new state is replaced along with it.
    Source: Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations" (2017).
    """
    masks = () if probability is not None else tuple(Variable(f"zoneout_{state.name}", state.dim) for state in program.states)
    builder, mapping = _copy(program, lambda builder, node, _: rebuild(builder, node))
    replaced: dict[int, int] = {}
    next_states: list[int] = []
    for position, (state, node) in enumerate(zip(program.states, program.next_states, strict=True)):
        old = builder.leaf("state", state.dim, state.name)
        if probability is None:  # a condition has no gradient, which a factor would be given one at the price of a stream
            next_states.append(builder.elementwise("where", builder.leaf("input", state.dim, masks[position].name), old, mapping[node]))
        else:
            fresh = builder.elementwise("mul", builder.constant(1.0 - probability), mapping[node])
            next_states.append(builder.elementwise("add", builder.elementwise("mul", builder.constant(probability), old), fresh))
        replaced[node] = next_states[-1]
    outputs = {name: replaced.get(node, mapping[node]) for name, node in program.outputs.items()}
    inputs = (*program.inputs, *masks)
    return Program(inputs, program.states, program.parameters, tuple(builder.nodes), tuple(next_states), outputs), masks


def with_clipped_gradient(program: Program, limit: float) -> Program:
    """The gradient with respect to each new state, from the outputs and from the steps after it, goes on within [-limit, limit].

    Whatever else in the step reads a new state, as the output does, reads the clipped one.
    """
    states = set(program.next_states)

    def clip(builder: Builder, node: int) -> int:
        return builder.elementwise("clip_gradient", node, builder.constant(limit))

    def change(builder: Builder, node: Node, index: int) -> int:
        new = rebuild(builder, node)
        return clip(builder, new) if index in states and node.op not in LEAVES else new

    builder, mapping = _copy(program, change)
    kept = {index for index in states if program.nodes[index].op in ("input", "state", "vector")}  # others may read these as what they are
    following = tuple(clip(builder, mapping[index]) if index in kept else mapping[index] for index in program.next_states)
    outputs = {name: mapping[index] for name, index in program.outputs.items()}
    return Program(program.inputs, program.states, program.parameters, tuple(builder.nodes), following, outputs)


def with_layer_norm(program: Program) -> Program:
    """The sum of products of every affine value is normalised over its units and scaled by a new vector ``gain_<matrix>``.

    start + sum(M @ v) becomes start + gain * (s - mean(s)) / sqrt(mean((s - mean(s))²) + 1e-5) with s = sum(M @ v).
    Source: Ba, Kiros and Hinton, "Layer normalization" (2016).
    """
    gains: list[Parameter] = []

    def change(builder: Builder, node: Node, index: int) -> int:
        if node.op != "affine" or node.dim == SCALAR:
            return rebuild(builder, node)
        gain = Parameter(f"gain_{node.terms[0].matrix}", "vector", (node.dim,))
        gains.append(gain)
        total = builder.affine(node.dim, node.terms)
        centred = builder.elementwise("sub", total, builder.mean(total))
        variance = builder.mean(builder.elementwise("mul", centred, centred))
        deviation = builder.elementwise("sqrt", builder.elementwise("add", variance, builder.constant(LAYER_NORM_EPSILON)))
        normal = builder.elementwise("div", centred, deviation)
        scaled = builder.elementwise("mul", builder.leaf("vector", node.dim, gain.name), normal)
        return builder.elementwise("add", node.args[0], scaled) if node.args else scaled

    changed = transform(program, change)
    parameters = (*program.parameters, *dict.fromkeys(gains))
    return Program(changed.inputs, changed.states, parameters, changed.nodes, changed.next_states, changed.outputs)


def transform(
    program: Program,
    change: Change,
    *,
    inputs: tuple[Variable, ...] | None = None,
    parameters: tuple[Parameter, ...] | None = None,
) -> Program:
    """The program with ``change(builder, node, old index)`` in place of every node; the node's operands are already the new ones."""
    builder, mapping = _copy(program, change)
    return Program(
        inputs=program.inputs if inputs is None else inputs,
        states=program.states,
        parameters=program.parameters if parameters is None else parameters,
        nodes=tuple(builder.nodes),
        next_states=tuple(mapping[index] for index in program.next_states),
        outputs={name: mapping[index] for name, index in program.outputs.items()},
    )


def rebuild(builder: Builder, node: Node) -> int:
    """``node`` in ``builder``, folded and with its dimension inferred anew where it is elementwise."""
    if node.op == "affine" or not node.args:
        return builder.add(node)
    if node.op == "mean":
        return builder.mean(node.args[0])
    return builder.elementwise(node.op, *node.args)


def _copy(program: Program, change: Change) -> tuple[Builder, dict[int, int]]:
    builder = Builder()
    mapping: dict[int, int] = {}
    kept = reachable(program.nodes, (*program.next_states, *program.outputs.values()))
    for index, node in enumerate(program.nodes):
        if index in kept:
            terms = tuple(Term(term.matrix, mapping[term.operand], term.transposed) for term in node.terms)
            args = tuple(mapping[arg] for arg in node.args)
            mapping[index] = change(builder, Node(node.op, node.dim, args, node.name, node.value, terms), index)
    return builder, mapping
