"""The nodes of a program as PyTorch operations."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from grus.compiler.program import SCALAR, Node, Program


def softplus(value: Tensor) -> Tensor:
    """log(1 + exp(value)) for every value; PyTorch's own is the identity from 20 on."""
    return torch.logaddexp(value, value.new_zeros(()))


class ClipGradient(torch.autograd.Function):
    """The value itself; its gradient goes on within ±limit."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, limit: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (limit,) = ctx.saved_tensors
        return upstream[0].clamp(-limit, limit), None


UNARY = {
    "neg": torch.neg,
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": softplus,
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "clip_gradient": ClipGradient.apply,
}


# By operand, matrix, and whether the matrix is transposed.
Products = dict[tuple[int, str, bool], Tensor]


class Machine:
    """Evaluates one program, for one step or for all at once; matrices that share an operand multiply it together."""

    def __init__(self, program: Program, parameters: Mapping[str, Tensor], sizes: Mapping[str, int], precision: str, like: Tensor) -> None:
        self.program = program
        self.sizes = sizes
        self.like = like
        self.parameters = parameters
        self.rounded = precision == "bf16"
        self.constants = {index: self._constant(node) for index, node in enumerate(program.nodes) if node.op == "constant"}
        self.shared = self._shared()

    def products(self, variables: Mapping[str, Tensor]) -> Products:
        """The products of these inputs and states, which are values known before a step."""
        found: Products = {}
        for operand in self.shared:
            if (name := self.program.nodes[operand].name) in variables and self.program.nodes[operand].op in ("input", "state"):
                self._multiply(operand, variables[name], found)
        return found

    def values(self, variables: Mapping[str, Tensor], known: Products | None = None) -> list[Tensor]:
        """The value of every node; ``variables`` holds inputs and states by name, ``known`` products that are not to be made again."""
        found: list[Tensor] = []
        products: Products = dict(known or {})
        for index, node in enumerate(self.program.nodes):
            if node.op in ("input", "state"):
                value = variables[node.name]
            elif node.op in ("vector", "scalar"):
                value = self.parameters[node.name]
            elif node.op == "constant":
                value = self.constants[index]
            else:
                value = self._compute(node, found, products)
            found.append(value)
        return found

    def _compute(self, node: Node, found: list[Tensor], products: Products) -> Tensor:
        if node.op == "affine":
            total = found[node.args[0]] if node.args else None
            for term in node.terms:
                key = (term.operand, term.matrix, term.transposed)
                if key not in products:
                    self._multiply(term.operand, found[term.operand], products)
                total = products[key] if total is None else total + products[key]
            assert total is not None
            return total
        args = [found[arg] for arg in node.args]
        if node.op in UNARY:
            return UNARY[node.op](args[0])
        if node.op in BINARY:
            return BINARY[node.op](args[0], args[1])
        if node.op == "greater":
            return (args[0] > args[1]).to(self.like.dtype)
        if node.op == "where":
            return torch.where(args[0] != 0, args[1], args[2])
        return args[0].mean(-1, keepdim=True)

    def _multiply(self, operand: int, value: Tensor, products: Products) -> None:
        keys, weight, rows = self.shared[operand]
        value = value.bfloat16().to(value.dtype) if self.rounded else value
        parts = [linear(value, weight)] if len(keys) == 1 else linear(value, weight).split(rows, -1)
        products.update(zip(keys, parts, strict=True))

    def _shared(self) -> dict[int, tuple[list[tuple[int, str, bool]], Tensor, list[int]]]:
        """For each operand of products: the products, the matrices on top of each other, and each one's rows."""
        keys: dict[int, dict[tuple[int, str, bool], Tensor]] = {}
        for node in self.program.nodes:
            for term in node.terms:
                matrix = self.parameters[term.matrix]
                matrix = matrix.bfloat16().to(matrix.dtype) if self.rounded else matrix
                keys.setdefault(term.operand, {})[term.operand, term.matrix, term.transposed] = matrix.mT if term.transposed else matrix
        return {
            operand: (
                list(found),
                next(iter(found.values())) if len(found) == 1 else torch.cat(list(found.values())),
                [len(m) for m in found.values()],
            )
            for operand, found in keys.items()
        }

    def _constant(self, node: Node) -> Tensor:
        shape = () if node.dim == SCALAR else (self.sizes[node.dim],)
        return torch.full(shape, node.value, dtype=self.like.dtype, device=self.like.device)
