"""Orders a step program into phases: within one, every unit can be computed without waiting for another unit of the same phase.

A product reads its whole operand, so an operand that the step itself computes must be complete first: such products start a new level,
and so does a mean. A phase is one level of one dimension: its products, then the elementwise work that only needs them and earlier
levels. What later phases (or products, or means) read is kept in scratch rows unless it lives in memory anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grus.compiler.program import ELEMENTWISE, LEAVES, SCALAR, Node, Program, Term, reachable


@dataclass(frozen=True)
class Group:
    """The products of a phase that read the same operand: weights are packed [panel][k][product][lane]."""

    operand: int
    inner: str
    products: tuple[tuple[int, Term], ...]  # (affine node, its term)


@dataclass(frozen=True)
class Phase:
    """One level of one dimension. ``means`` are computed before the phase; ``roots`` are the values it must put into memory."""

    level: int
    dim: str
    means: tuple[int, ...]
    groups: tuple[Group, ...]
    affines: tuple[int, ...]
    roots: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """Phases in order; ``scratch`` are the nodes kept in scratch rows, ``phase_of`` tells where a vector value is computed."""

    program: Program
    phases: tuple[Phase, ...]
    phase_of: dict[int, int]
    scratch: tuple[int, ...]
    means: tuple[int, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(group for phase in self.phases for group in phase.groups)


def schedule(program: Program, in_memory: Iterable[int] = ()) -> Schedule:
    """The phases of ``program``; nodes ``in_memory`` (outputs stored in padded rows) need no scratch to be read again."""
    nodes = program.nodes
    roots = (*program.next_states, *program.outputs.values())
    live = sorted(reachable(nodes, roots))
    level = _levels(nodes, live)
    keys = sorted({(level[i], nodes[i].dim) for i in live if _is_computed(nodes[i]) or i in roots})
    index = {key: number for number, key in enumerate(keys)}
    phase_of = {i: index[level[i], nodes[i].dim] for i in live if _is_computed(nodes[i]) or i in roots}
    kept = _kept(nodes, live, phase_of)
    scratch = tuple(i for i in kept if i not in set(in_memory))
    phases = tuple(_phase(program, key, number, live, level, phase_of, kept) for number, key in enumerate(keys))
    return Schedule(program, phases, phase_of, scratch, tuple(i for i in live if nodes[i].op == "mean"))


def _is_computed(node: Node) -> bool:
    return node.dim != SCALAR and (node.op == "affine" or node.op in ELEMENTWISE)


def _levels(nodes: tuple[Node, ...], live: list[int]) -> dict[int, int]:
    level: dict[int, int] = {}
    for i in live:
        node = nodes[i]
        needed = [level[arg] for arg in node.args]
        needed += [level[t.operand] + (nodes[t.operand].op not in LEAVES) for t in node.terms]
        level[i] = max(needed, default=0) + (node.op == "mean")
    return level


def _kept(nodes: tuple[Node, ...], live: list[int], phase_of: dict[int, int]) -> tuple[int, ...]:
    """The computed values that are read outside the registers of their own phase."""
    kept: set[int] = set()

    def reads(reader: int, argument: int, phase: int | None) -> None:
        node = nodes[argument]
        if node.op == "mean" or node.op in LEAVES:
            return
        if node.dim == SCALAR:
            for deeper in node.args:
                reads(reader, deeper, phase)
        elif phase is None or phase_of[argument] != phase:
            kept.add(argument)

    for i in live:
        node = nodes[i]
        for term in node.terms:
            if nodes[term.operand].op not in LEAVES:
                kept.add(term.operand)
        if node.op == "mean":
            reads(i, node.args[0], None)
        elif node.dim != SCALAR:
            for arg in node.args:
                reads(i, arg, phase_of.get(i))
    return tuple(sorted(kept))


def _phase(
    program: Program, key: tuple[int, str], number: int, live: list[int], level: dict[int, int], phase_of: dict[int, int], kept: tuple[int, ...]
) -> Phase:
    nodes = program.nodes
    mine = [i for i in live if phase_of.get(i) == number]
    affines = tuple(i for i in mine if nodes[i].op == "affine")
    stored = {*kept, *program.next_states, *program.outputs.values()}
    before = max((level[i] for i in phase_of if phase_of[i] == number - 1), default=-1)
    means = tuple(i for i in live if nodes[i].op == "mean" and before < level[i] <= key[0])
    groups: dict[int, list[tuple[int, Term]]] = {}
    for i in affines:
        for term in nodes[i].terms:
            groups.setdefault(term.operand, []).append((i, term))
    return Phase(
        key[0],
        key[1],
        means,
        tuple(Group(operand, nodes[operand].dim, tuple(products)) for operand, products in groups.items()),
        affines,
        tuple(i for i in mine if i in stored),
    )
