"""What a layer runs: one step program, its names in order, and where its parameters live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from grus.compiler.hoist import Split, split
from grus.compiler.layer import CompiledCell, compile_cell
from grus.compiler.program import SCALAR, Program
from grus.nn import portable
from grus.nn.layout import Fused, Layout, Plain

OUTPUT = "output"
NATIVE_DTYPES: Mapping[torch.dtype, str] = {torch.float32: "float32", torch.float64: "float64"}
NATIVE_PRECISIONS = ("float32", "bf16")
_interned: dict[tuple[Any, ...], Plan] = {}
_written: dict[str, Plan] = {}


def make_plan(program: Program, layout: Layout, precision: str = "float32") -> Plan:
    """The plan of this program; equal programs share one, and so its machine code."""
    identity = (program.inputs, program.states, program.parameters, program.nodes, program.next_states, tuple(program.outputs.items()))
    layout_identity = layout if isinstance(layout, Fused) else None
    key = (identity, layout_identity, precision)
    if key not in _interned:
        _interned[key] = Plan(program, layout, precision)
    return _interned[key]


@dataclass(eq=False)
class Plan:
    """One cell made ready to run; every layer and direction with the same program shares it."""

    program: Program
    layout: Layout
    precision: str = "float32"
    inputs: tuple[str, ...] = field(init=False)
    states: tuple[str, ...] = field(init=False)
    gates: tuple[str, ...] = field(init=False)
    cuts: tuple[int, int, int] = field(init=False)  # where layout tensors, states and restart begin among a pass's tensors
    output_state: int | None = field(init=False)
    key: str = field(init=False)  # the plan as text, the same in every process
    _split: Split | None = field(init=False, default=None)
    _compiled: dict[torch.dtype, CompiledCell] = field(init=False, default_factory=dict[Any, Any])

    def __post_init__(self) -> None:
        program = self.program
        self.inputs = tuple(variable.name for variable in program.inputs)
        self.states = tuple(variable.name for variable in program.states)
        self.gates = tuple(name for name in program.outputs if name != OUTPUT)
        after = len(self.inputs) + len(self.layout.names)
        self.cuts = len(self.inputs), after, after + len(self.states)
        output = program.outputs[OUTPUT]
        self.output_state = program.next_states.index(output) if output in program.next_states else None
        self.key = portable.write(program, self.layout, self.precision)
        _written[self.key] = self

    @staticmethod
    def of(key: str) -> Plan:
        """The plan that an operator's argument stands for, whichever process wrote it.

        Raises: BackendError where it is no plan.
        """
        plan = _written.get(key)
        if plan is None:
            plan = _written[key] = make_plan(*portable.read(key))
        return plan

    @property
    def output_dim(self) -> str:
        """The dimension of what the cell puts out."""
        return self.program.nodes[self.program.outputs[OUTPUT]].dim

    def split(self) -> Split:
        """The program in two parts: what runs over all steps at once, and the recurrence."""
        if self._split is None:
            self._split = split(self.program)
        return self._split

    @cached_property
    def recurrence(self) -> Plan:
        """The plan of the recurrence alone: its inputs are what the other part makes, and inputs that the recurrence reads itself."""
        loop = self.split().loop
        return make_plan(loop, Plain(loop), self.precision)

    def compiled(self, dtype: torch.dtype) -> CompiledCell:
        """The machine code for ``dtype``."""
        cell = self._compiled.get(dtype)
        if cell is None:
            cell = self._compiled[dtype] = compile_cell(self.program, NATIVE_DTYPES[dtype], precision="bf16" if self.precision == "bf16" else None)
        return cell

    def sizes(self, inputs: tuple[Tensor, ...], parameters: Mapping[str, Tensor], states: tuple[Tensor | None, ...]) -> dict[str, int]:
        """Every dimension's size, read off the arguments."""
        found: dict[str, int] = {SCALAR: 1}
        for variable, tensor in zip(self.program.inputs, inputs, strict=True):
            found[variable.dim] = tensor.shape[-1]
        for parameter in self.program.parameters:
            for dim, size in zip(parameter.shape, parameters[parameter.name].shape, strict=True):
                found[dim] = size
        for variable, state in zip(self.program.states, states, strict=True):
            if state is not None:
                found[variable.dim] = state.shape[-1]
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Plan:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return make_plan, (self.program, self.layout, self.precision)
