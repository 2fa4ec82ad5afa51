"""From a cell's symbols to its step program.

Sums are brought to one form so that all that depends on the inputs alone can be computed for every step at once, before the time loop:

    W_r x + U_r h + b_r   →   affine(start = affine(start = b_r; W_r x); U_r h)

A nested sum or a product that has a second reader stays whole, so that it is computed once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from grus.cells.symbols import Vector
from grus.cells.trace import Trace
from grus.compiler.program import SCALAR, Builder, Parameter, Program, Term, Variable


@dataclass(frozen=True, slots=True, eq=False)
class _Addend:
    """One term of a flattened sum."""

    value: Vector
    positive: bool = True


def build_program(
    trace: Trace, inputs: tuple[Vector, ...], states: tuple[Vector, ...], next_states: tuple[Vector, ...], outputs: dict[str, Vector]
) -> Program:
    """The step program of a traced cell; its nodes come in the order of the gates, the states, the output."""
    lowering = _Lowering((*outputs.values(), *next_states))
    named = {name: lowering.lower(value) for name, value in outputs.items() if name != "output"}
    following = tuple(lowering.lower(value) for value in next_states)
    shapes = {name: tuple(dimension.name or "H" for dimension in usage.shape) for name, usage in trace.usages.items()}
    return Program(
        inputs=tuple(Variable(value.name, value.dim) for value in inputs),
        states=tuple(Variable(value.name, value.dim) for value in states),
        parameters=tuple(Parameter(name, usage.kind, shapes[name]) for name, usage in trace.usages.items()),
        next_states=following,
        outputs={"output": lowering.lower(outputs["output"]), **named},
        nodes=tuple(lowering.builder.nodes),
    )


def count_readers(roots: tuple[Vector, ...]) -> Counter[Vector]:
    """How often each symbol is read by another one or leaves the step."""
    readers: Counter[Vector] = Counter()
    todo = list(roots)
    while todo:
        value = todo.pop()
        readers[value] += 1
        if readers[value] == 1:
            todo.extend(value.args)
    return readers


class _Lowering:
    def __init__(self, roots: tuple[Vector, ...]) -> None:
        self.builder = Builder()
        self._readers = count_readers(tuple(dict.fromkeys(roots)))
        self._done: dict[Vector, int] = {}

    def lower(self, value: Vector) -> int:
        """The index of the node that holds ``value``."""
        if value not in self._done:
            self._done[value] = self._lower(value)
        return self._done[value]

    def _lower(self, value: Vector) -> int:
        if value.op in ("input", "state", "vector", "scalar"):
            return self.builder.leaf(value.op, value.dim, value.name)
        if value.op == "constant":
            return self.builder.constant(value.value)
        if value.op == "product":
            return self._affine(value.dim, None, [_Addend(value)])
        if value.op == "mean":
            return self.builder.mean(self.lower(value.args[0]))
        if value.op in ("add", "sub"):
            return self._sum(value)
        return self.builder.elementwise(value.op, *[self.lower(arg) for arg in value.args])

    def _flatten(self, value: Vector, top: bool = False) -> list[_Addend]:
        if value.op not in ("add", "sub") or not (top or self._readers[value] == 1):
            return [_Addend(value)]
        left, right = value.args
        return self._flatten(left) + ([_Addend(right, positive=False)] if value.op == "sub" else self._flatten(right))

    def _sum(self, value: Vector) -> int:
        addends = self._flatten(value, top=True)
        early = [addend for addend in addends if not addend.value.varies]
        late = [addend for addend in addends if addend.value.varies]
        if not any(addend.positive for addend in early):
            early, late = [], late + early
        start = self._hoistable(value.dim, early) if early else None
        return self._accumulate(value.dim, late, start)

    def _hoistable(self, dim: str, addends: list[_Addend]) -> int:
        """The part of a sum that depends on inputs and parameters only; its products start from its other vectors."""
        vectors = [addend for addend in addends if addend.positive and addend.value.dim == dim and not self._is_product(addend)]
        start = self._add_up(vectors, None) if vectors else None
        return self._accumulate(dim, [addend for addend in addends if addend not in vectors], start)

    def _accumulate(self, dim: str, addends: list[_Addend], start: int | None) -> int:
        """start + the products in one affine node + everything else one by one."""
        products = [addend for addend in addends if self._is_product(addend)]
        others = [addend for addend in addends if addend not in products]
        if not products:
            return self._add_up(others, start)
        if start is not None and self.builder.nodes[start].dim == SCALAR:
            return self.builder.elementwise("add", self._add_up(others, self._affine(dim, None, products)), start)
        return self._add_up(others, self._affine(dim, start, products))

    def _affine(self, dim: str, start: int | None, products: list[_Addend]) -> int:
        return self.builder.affine(dim, tuple(Term(addend.value.name, self.lower(addend.value.args[0])) for addend in products), start)

    def _add_up(self, addends: list[_Addend], start: int | None) -> int:
        if start is None:
            first = next(addend for addend in addends if addend.positive)
            addends = [addend for addend in addends if addend is not first]
            start = self.lower(first.value)
        for addend in addends:
            start = self.builder.elementwise("add" if addend.positive else "sub", start, self.lower(addend.value))
        return start

    def _is_product(self, addend: _Addend) -> bool:
        return addend.positive and addend.value.op == "product" and self._readers[addend.value] == 1
