"""Cells: a Python function over symbolic vectors, read once, becomes a step program.

    @cell(states="h")
    def gru(x, h, p):
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
        z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
        n = tanh(p.W_n @ x + p.b_n + r * (p.U_n @ h + p.c_n))
        return gates(r=r, z=z, n=n), (1 - z) * n + z * h

The function's arguments are the inputs, then the states as the decorator names them, then the parameters. It returns ``gates(...)`` where it
has any, each state's new value in the same order, and ``output(...)`` where its output is not the first state.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from grus.cells.latex import write_equations
from grus.cells.lowering import build_program
from grus.cells.symbols import Arithmetic, Parameters, Vector
from grus.cells.trace import Location, Trace
from grus.cells.vocabulary import Gates, Output
from grus.compiler.program import Parameter, Program
from grus.errors import CellError

_RESERVED = "output"


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent cell: its equations, and the step program that they mean."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    program: Program = field(repr=False)
    source: str = field(repr=False)
    _equations: tuple[str, ...] = field(repr=False)

    @classmethod
    def define(cls, function: Callable[..., Any], states: str, dims: Mapping[str, str] | None = None, source: str = "") -> Cell:
        """Read the function's equations.

        Raises: CellError that points to the line of the function that breaks a rule.
        """
        if not isinstance(function, FunctionType):
            raise CellError(f"cell: a cell must be a Python function, got {function!r}; write @cell(states='h') above a def.")
        return _Definition(function, tuple(states.split()), dict(dims or {})).read(source)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what the cell reads at each step."""
        return tuple(variable.name for variable in self.program.inputs)

    @property
    def states(self) -> tuple[str, ...]:
        """The names of what the cell keeps from step to step."""
        return tuple(variable.name for variable in self.program.states)

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of the values that the cell lets others see."""
        return tuple(name for name in self.program.outputs if name != _RESERVED)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The cell's parameters in the order of their first use."""
        return self.program.parameters

    @property
    def doc(self) -> str:
        """The docstring of the cell's function."""
        return self.function.__doc__ or ""

    def equations(self) -> list[str]:
        """The equations in LaTeX, one per gate, named intermediate value, state and output."""
        return list(self._equations)

    def __copy__(self) -> Cell:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        return self

    def __reduce__(self) -> tuple[Callable[[str, str], Cell], tuple[str, str]]:
        """A cell is pickled by where it is defined, as a function is."""
        return _find_cell, (self.function.__module__, self.function.__qualname__)


def cell(states: str, dims: Mapping[str, str] | None = None, source: str = "") -> Callable[[Callable[..., Any]], Cell]:
    """Turn a function into a ``Cell``.

    ``states`` names the state arguments ("h", "h c"). ``dims`` gives a dimension to an input (otherwise "I") or a state (otherwise "H");
    "1" is a scalar.

    Example:
        >>> @cell(states="h")
        ... def leaky(x, h, p):
        ...     return h + p.scalar("rate") * (p.W @ x - h)
        >>> [(parameter.name, parameter.kind, parameter.shape) for parameter in leaky.parameters]
        [('rate', 'scalar', ()), ('W', 'matrix', ('H', 'I'))]
    """
    if not isinstance(states, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise CellError(f"cell: states must be a string of names, got {states!r}; write @cell(states='h') above the function.")
    return lambda function: Cell.define(function, states, dims, source)


class _Definition:
    """One reading of a cell's function."""

    def __init__(self, function: Callable[..., Any], states: tuple[str, ...], dims: dict[str, str]) -> None:
        self.function, self.states, self.dims = function, states, dims
        self.trace = Trace(function.__name__, function)

    def read(self, source: str) -> Cell:
        names = self._input_names()
        inputs = tuple(self._variable("input", name, "I") for name in names)
        states = tuple(self._variable("state", name, "H") for name in self.states)
        found, following, given = self._split(self._run(inputs, states))
        last = self._return_line()
        for state, new in zip(states, following, strict=True):
            self.trace.tie(new, state.dimension, f"the new state {state.name}", last)
        outputs = {_RESERVED: following[0] if given is None else given.value, **found.values}
        self._check_names(found, names, last)
        program = build_program(self.trace, inputs, states, following, outputs)
        self._check_use(program)
        return Cell(
            name=self.trace.name,
            function=self.function,
            program=program,
            source=source,
            _equations=write_equations(self.trace, dict(zip(self.states, following, strict=True)), found.values, given and given.value),
        )

    def _input_names(self) -> tuple[str, ...]:
        code = self.function.__code__
        names = code.co_varnames[: code.co_argcount]
        here = self.trace.definition()
        if not self.states:
            self.trace.fail("states must name at least one state, got none; write @cell(states='h')", here)
        if code.co_kwonlyargcount or code.co_flags & 0x0C or names[-1 - len(self.states) : -1] != self.states:
            self.trace.fail(
                f"the arguments must be the inputs, then the states {', '.join(self.states)}, then the parameters, got ({', '.join(names)}); "
                "reorder them or change states=",
                here,
            )
        inputs = names[: -1 - len(self.states)]
        if not inputs:
            self.trace.fail(f"the arguments must begin with an input, got ({', '.join(names)}); write for example (x, {', '.join(names)})", here)
        unknown = [name for name in self.dims if name not in names[:-1]]
        if unknown:
            self.trace.fail(f"dims must name inputs or states, got {unknown[0]!r}; choose from {', '.join(names[:-1])}", here)
        return inputs

    def _variable(self, op: str, name: str, default: str) -> Vector:
        return self.trace.symbol(op, self.trace.dimension(self.dims.get(name, default)), name=name)

    def _run(self, inputs: tuple[Vector, ...], states: tuple[Vector, ...]) -> object:
        try:
            return self.function(*inputs, *states, Parameters(self.trace))
        except CellError:
            raise
        except (TypeError, AttributeError) as error:
            if isinstance(error, AttributeError) and not isinstance(error.obj, (Arithmetic, Parameters)):
                raise
            self.trace.fail(
                f"the equations must use the operators and functions of grus.cells, got an error: {error}; rewrite this line", self._raised_at(error)
            )
        finally:
            self.trace.close()

    def _raised_at(self, error: BaseException) -> Location:
        found, step = self.trace.definition(), error.__traceback__
        while step is not None:
            if step.tb_frame.f_code is self.function.__code__:
                found = Location(step.tb_frame.f_code.co_filename, step.tb_lineno)
            step = step.tb_next
        return found

    def _split(self, returned: object) -> tuple[Gates, tuple[Vector, ...], Output | None]:
        """The parts of what the function returned: gates, new states, output."""
        here = self._return_line()
        parts: list[object] = list(returned) if isinstance(returned, tuple) else [] if returned is None else [returned]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        found = parts.pop(0) if parts and isinstance(parts[0], Gates) else Gates({})
        given = parts.pop() if parts and isinstance(parts[-1], Output) else None
        wanted = f"the new {', '.join(self.states)}, with gates(...) before and output(...) after where it has them"
        for part in parts:
            if isinstance(part, (Gates, Output)):
                self.trace.fail(f"the cell must return {wanted}, got another order; reorder them", here)
        if len(parts) != len(self.states):
            self.trace.fail(f"the cell must return {wanted}, got {len(parts)} new states for {len(self.states)}; return one for each state", here)
        for name, part in zip(self.states, parts, strict=True):
            if not isinstance(part, Vector):
                self.trace.fail(f"the new state {name} must be a vector, got {type(part).__name__}; return an expression of the cell's vectors", here)
        assert isinstance(found, Gates)
        return found, tuple(part for part in parts if isinstance(part, Vector)), given if isinstance(given, Output) else None

    def _check_names(self, found: Gates, inputs: tuple[str, ...], here: Location) -> None:
        for name in found.values:
            if name == _RESERVED or name in self.states or name in inputs:
                self.trace.fail(f"a gate must have a name of its own, got {name!r}, which is taken; rename the gate", here)

    def _check_use(self, program: Program) -> None:
        read = {node.name for node in program.nodes} | {term.matrix for node in program.nodes for term in node.terms}
        for variable in program.inputs:
            if not any(node.op == "input" and node.name == variable.name for node in program.nodes):
                self.trace.fail(
                    f"the input {variable.name} must reach a gate, a state or the output, got an argument that nothing reads; use it or drop it",
                    self.trace.definition(),
                )
        for name, usage in self.trace.usages.items():
            if name not in read:
                self.trace.fail(
                    f"the parameter {name} must reach a gate, a state or the output, got a value that nothing reads; return it as a gate or drop it",
                    usage.location,
                )

    def _return_line(self) -> Location:
        """The line of the function's last return statement."""
        here, line = self.trace.definition(), None
        for instruction in dis.get_instructions(self.function):
            if instruction.opname.startswith("RETURN_") and instruction.positions is not None and instruction.positions.lineno is not None:
                line = instruction.positions.lineno
        return Location(here.file, line or here.line)


def _find_cell(module: str, name: str) -> Cell:
    """The cell that is defined under this name; its module must have been imported."""
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Cell):
        raise CellError(f"{name}: a pickled cell must be defined in the module {module}, got none; import that module before loading.")
    return found
