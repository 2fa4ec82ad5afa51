"""The trace of one cell: it owns the cell's symbols, ties their dimensions together and words every error with the user's line.

Equal expressions are one symbol, so a product that is written twice is computed once.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from grus.cells.symbols import Arithmetic, Dimension, Vector, Weight, describe
from grus.compiler.program import LEAVES, SCALAR
from grus.errors import CellError

_OWN_MODULES = frozenset(f"{__package__}.{name}" for name in ("symbols", "trace", "vocabulary", "language"))
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "greater": "> or <"}


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's file."""

    file: str
    line: int

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.line).strip()
        return f'  File "{self.file}", line {self.line}' + (f"\n    {text}" if text else "")


@dataclass(slots=True)
class Usage:
    """How a parameter was used first: its kind, its (still open) dimensions and where."""

    kind: str
    shape: tuple[Dimension, ...]
    location: Location


class Trace:
    """Records what one cell's function does to its symbols."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.usages: dict[str, Usage] = {}
        self.labels: dict[Vector, tuple[str, tuple[Vector, ...]]] = {}
        self.locals: dict[str, object] = {}
        self._dimensions: dict[str, Dimension] = {}
        self._known: dict[tuple[object, ...], Vector] = {}
        self._frame: FrameType | None = None

    def locate(self) -> Location:
        """The line that is being run, in the innermost function that is neither ours nor NumPy's."""
        frame = inspect.currentframe()
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            if module not in _OWN_MODULES and module.partition(".")[0] != "numpy":
                return Location(frame.f_code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return self.definition()

    def definition(self) -> Location:
        """The line that defines the cell's function."""
        code = self.function.__code__
        return Location(code.co_filename, code.co_firstlineno)

    def fail(self, message: str, location: Location | None = None) -> NoReturn:
        raise CellError(f"{self.name}: {message}\n{location or self.locate()}")

    def dimension(self, name: str) -> Dimension | None:
        """The dimension called ``name``; None stands for a scalar."""
        return None if name == SCALAR else self._dimensions.setdefault(name, Dimension(name))

    def symbol(self, op: str, dimension: Dimension | None, args: tuple[Vector, ...] = (), name: str = "", value: float = 0.0) -> Vector:
        """The symbol of this expression: a new one, or the one that stands for it already."""
        key = (op, tuple(map(id, args)), name, value)
        if key not in self._known:
            made = Vector(self, op, dimension, args, name, value)
            made.order = len(self._known)
            self._known[key] = made
        return self._known[key]

    def operand(self, value: object) -> Vector:
        """``value`` as a symbol: a parameter becomes a vector, a number a constant."""
        if isinstance(value, Arithmetic) and value.trace is not self:
            self.fail("every value must belong to this cell, got one from another cell; pass it in as an input or a parameter")
        if isinstance(value, Vector):
            return value
        if isinstance(value, Weight):
            return self.parameter(value.name, "vector")
        if not isinstance(value, (int, float)):
            self.fail(f"a value must be a vector, a parameter or a Python number, got {describe(value)}; turn a number into one by float(...)")
        return self.symbol("constant", None, value=float(value))

    def apply(self, op: str, *values: object) -> Vector:
        """An elementwise operation; the dimensions of its arguments become one, scalars broadcast."""
        args = tuple(self.operand(value) for value in values)
        dimension: Dimension | None = None
        for arg in args:
            if arg.dimension is not None and dimension is not None and not dimension.tie(arg.dimension, self.locate().line):
                first = next(other for other in args if other.dimension is dimension)
                self.fail(
                    f"the arguments of {_SIGNS.get(op, op)} must have the same dimension, got {self._told(first)} and {self._told(arg)}; "
                    "bring one to the other by a matrix"
                )
            dimension = dimension or arg.dimension
        return self.symbol(op, dimension, args)

    def multiply(self, name: str, value: object) -> Vector:
        """The product of the matrix ``name`` and a vector."""
        if not isinstance(value, Vector):
            self.fail(f"the right side of {name} @ must be a vector, got {describe(value)}; write products from the right: p.{name} @ (p.V @ x)")
        operand = self.operand(value)
        if operand.dimension is None:
            self.fail(f"the right side of {name} @ must be a vector, got a scalar; use * to scale")
        usage = self._use(name, "matrix")
        if not usage.shape[1].tie(operand.dimension, self.locate().line):
            self.fail(
                f"the matrix {name} must multiply vectors of the same dimension, got {usage.shape[1].name} (line {usage.location.line}) "
                f"and {self._told(operand)}; use two matrices"
            )
        return self.symbol("product", usage.shape[0], (operand,), name)

    def parameter(self, name: str, kind: str) -> Vector:
        """The leaf of a vector or scalar parameter."""
        usage = self._use(name, kind)
        return self.symbol(kind, usage.shape[0] if usage.shape else None, name=name)

    def force_rows(self, name: str, rows: str) -> None:
        wanted, usage = self.dimension(rows), self._use(name, "matrix")
        if wanted is None:
            self.fail(f"rows of the matrix {name} must be a dimension's name such as 'O', got '1'; use mean(v * p.w) for a weighted sum")
        if not usage.shape[0].tie(wanted, self.locate().line):
            self.fail(
                f"the matrix {name} must have the same rows at every use, got {usage.shape[0].name} (line {usage.location.line}) and {rows}; "
                "use two matrices"
            )

    def tie(self, value: Vector, dimension: Dimension | None, who: str, location: Location | None = None) -> None:
        """Give ``value`` this dimension, or fail."""
        line = (location or self.locate()).line
        same = dimension is value.dimension if dimension is None or value.dimension is None else value.dimension.tie(dimension, line)
        if not same:
            wanted = SCALAR if dimension is None else dimension.name
            self.fail(f"{who} must have the dimension {wanted}, got {value.dim}{self._since(value)}; bring it there by a matrix", location)

    def label(self, value: Vector, name: str, *args: object) -> Vector:
        """Let the equations show ``value`` as a call of ``name``."""
        self.labels[value] = (name, tuple(self.operand(arg) for arg in args))
        return value

    def _told(self, value: Vector) -> str:
        """What an error says of an argument: its name in the user's function, its dimension and the line that gave it that."""
        frame, names = inspect.currentframe(), list[str]()
        while frame is not None and not names:
            if frame.f_globals.get("__name__") not in _OWN_MODULES:
                names = [name for name, local in frame.f_locals.items() if local is value]
            frame = None if frame.f_code is self.function.__code__ else frame.f_back
        name = names[0] if names else value.name if value.op in LEAVES and value.name else "an expression"
        return f"{name} of dimension {value.dim}{self._since(value)}"

    def _since(self, value: Vector) -> str:
        line = None if value.dimension is None else value.dimension.line
        return "" if line is None else f" (since line {line})"

    def inputs(self) -> list[Vector]:
        """The symbols of the inputs."""
        return [value for value in self._known.values() if value.op == "input"]

    def _remember_frame(self) -> None:
        """Keep the running function's frame: its local names later name the equations."""
        frame = inspect.currentframe()
        while frame is not None and frame.f_code is not self.function.__code__:
            frame = frame.f_back
        self._frame = frame or self._frame

    def close(self) -> None:
        """Read the local names of the function and let its frame go."""
        if self._frame is not None:
            self.locals = dict(self._frame.f_locals)
            self._frame = None

    def _use(self, name: str, kind: str) -> Usage:
        if name not in self.usages:
            shape = {"matrix": (Dimension(), Dimension()), "vector": (Dimension(),), "scalar": ()}[kind]
            self.usages[name] = Usage(kind, shape, self.locate())
            self._remember_frame()
        usage = self.usages[name]
        if usage.kind != kind:
            self.fail(
                f"the parameter {name} must be used in one way, got use as a {usage.kind} (line {usage.location.line}) "
                f"and as a {kind}; give one of them another name"
            )
        return usage
