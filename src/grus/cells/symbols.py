"""The symbols that a cell's function computes with: running the function on them records its equations.

Dimensions are variables that uses tie together: an elementwise operation makes its arguments' dimensions one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from grus.compiler.program import SCALAR

if TYPE_CHECKING:
    from grus.cells.trace import Trace


class Dimension:
    """A dimension that may still be unknown; dimensions that were tied together share one root."""

    __slots__ = ("_line", "_name", "_parent")

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._parent: Dimension | None = None
        self._line: int | None = None

    def root(self) -> Dimension:
        found = self
        while found._parent is not None:
            found = found._parent
        return found

    @property
    def name(self) -> str | None:
        """The dimension's name, or None while nothing fixes it."""
        return self.root()._name

    @property
    def line(self) -> int | None:
        """The line that gave an open dimension its name; None where it had one from the start."""
        found, line = self, None
        while found._parent is not None:
            line, found = found._line, found._parent
        return line

    def tie(self, other: Dimension, line: int | None = None) -> bool:
        """Make both one dimension, since ``line``; False where both have names and these differ."""
        a, b = self.root(), other.root()
        if a is b:
            return True
        if a._name is not None and b._name is not None:
            return a._name == b._name
        kept, dropped = (a, b) if a._name is not None else (b, a)
        dropped._parent, dropped._line = kept, line
        return True


class Arithmetic:
    """The operators of symbols and of parameters used elementwise, and a clear refusal of everything else."""

    __slots__ = ("trace",)
    __hash__ = object.__hash__
    __array_ufunc__ = None  # NumPy then hands its operators over instead of building object arrays

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __add__(self, other: object) -> Vector:
        return self.trace.apply("add", self, other)

    def __radd__(self, other: object) -> Vector:
        return self.trace.apply("add", other, self)

    def __sub__(self, other: object) -> Vector:
        return self.trace.apply("sub", self, other)

    def __rsub__(self, other: object) -> Vector:
        return self.trace.apply("sub", other, self)

    def __mul__(self, other: object) -> Vector:
        return self.trace.apply("mul", self, other)

    def __rmul__(self, other: object) -> Vector:
        return self.trace.apply("mul", other, self)

    def __truediv__(self, other: object) -> Vector:
        return self.trace.apply("div", self, other)

    def __rtruediv__(self, other: object) -> Vector:
        return self.trace.apply("div", other, self)

    def __neg__(self) -> Vector:
        return self.trace.apply("neg", self)

    def __abs__(self) -> Vector:
        return self.trace.apply("abs", self)

    def __gt__(self, other: object) -> Vector:
        return self.trace.apply("greater", self, other)

    def __lt__(self, other: object) -> Vector:
        return self.trace.apply("greater", other, self)

    def _refuse(self, *_: object) -> NoReturn:
        self.trace.fail("a comparison must be > or <, got another one; write one of these, which give 1 or 0 for every unit")

    __ge__ = __le__ = __eq__ = __ne__ = _refuse

    def __pow__(self, exponent: object) -> NoReturn:
        self.trace.fail(f"a power must be written as products, got ** {exponent}; write v * v for a square, sqrt(v) for a root")

    __rpow__ = __pow__

    def __matmul__(self, other: object) -> Vector:
        self.trace.fail("the left side of @ must be a matrix parameter, got a vector; write p.W @ v")

    def __rmatmul__(self, other: object) -> NoReturn:
        self.trace.fail(f"the left side of @ must be a matrix parameter, got {describe(other)}; write p.W @ v")

    def __bool__(self) -> NoReturn:
        self.trace.fail("a condition must be known before the cell runs, got a symbol; write where(condition, a, b) instead of if, and, or, not")

    def __float__(self) -> NoReturn:
        self.trace.fail("a function must come from grus.cells, got one that wants a plain number; use grus.cells.tanh and the like")

    __int__ = __index__ = __float__

    def __array__(self, *_: object, **__: object) -> NoReturn:
        self.trace.fail("a function must come from grus.cells, got a NumPy function; use grus.cells.tanh and the like")

    def __iter__(self) -> NoReturn:
        self.trace.fail("a vector must be used as a whole, got an attempt to iterate over its units; name each part as a state or gate of its own")

    def __len__(self) -> NoReturn:
        self.trace.fail(
            "a vector's length must stay open while the equations are read, got len(); use mean(v) for a mean, or pass the length as a parameter"
        )

    def __getitem__(self, key: object) -> NoReturn:
        self.trace.fail("a vector must be used as a whole, got an index; name each part as a state or gate of its own")


class Vector(Arithmetic):
    """A symbolic vector with one entry per unit of its dimension, or a symbolic scalar (``dimension`` None)."""

    __slots__ = ("args", "dimension", "name", "op", "order", "value", "varies")

    def __init__(self, trace: Trace, op: str, dimension: Dimension | None, args: tuple[Vector, ...], name: str, value: float) -> None:
        super().__init__(trace)
        self.op = op
        self.dimension = dimension
        self.args = args
        self.name = name
        self.value = value
        self.order = 0
        self.varies = op == "state" or any(arg.varies for arg in args)

    @property
    def dim(self) -> str:
        """The dimension's name; what nothing fixes has one entry per hidden unit."""
        return SCALAR if self.dimension is None else self.dimension.name or "H"

    def __repr__(self) -> str:
        return f"<symbolic {self.op} {self.name}[{self.dim}]>"


class Weight(Arithmetic):
    """A parameter whose kind follows from use: ``p.W @ v`` makes it a matrix, elementwise use makes it a vector."""

    __slots__ = ("name",)

    def __init__(self, trace: Trace, name: str) -> None:
        super().__init__(trace)
        self.name = name

    def __matmul__(self, other: object) -> Vector:
        return self.trace.multiply(self.name, other)

    def __repr__(self) -> str:
        return f"<parameter {self.name}>"


class Parameters:
    """The last argument of a cell's function: ``p.W`` is the parameter called W; see also ``scalar``, ``vector`` and ``matrix``."""

    __slots__ = ("_trace",)
    _trace: Trace

    def __init__(self, trace: Trace) -> None:
        object.__setattr__(self, "_trace", trace)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self._trace.fail(f"a parameter must be read only, got a value for {name}; keep it in a local name")

    def __getattr__(self, name: str) -> Weight:
        if name.startswith("_"):
            raise AttributeError(name)
        return Weight(self._trace, name)

    def scalar(self, name: str) -> Vector:
        """The parameter ``name``, one number."""
        return self._trace.parameter(name, "scalar")

    def vector(self, name: str, dim: str) -> Vector:
        """The vector parameter ``name`` with a given dimension."""
        found = self._trace.parameter(name, "vector")
        self._trace.tie(found, self._trace.dimension(dim), f"the vector {name}")
        return found

    def matrix(self, name: str, rows: str) -> Weight:
        """The matrix parameter ``name`` whose products have the dimension ``rows``."""
        self._trace.force_rows(name, rows)
        return Weight(self._trace, name)


def describe(value: object) -> str:
    """What an error calls ``value``."""
    if isinstance(value, Weight):
        return f"the parameter {value.name}"
    return "nothing (None)" if value is None else f"a {type(value).__name__}"
