"""The functions that a cell's equations may use."""

from __future__ import annotations

from dataclasses import dataclass

from grus.cells.symbols import Arithmetic, Vector
from grus.cells.trace import Trace
from grus.errors import CellError

Operand = Arithmetic | float


@dataclass(frozen=True)
class Gates:
    """The named values that a cell lets others see."""

    values: dict[str, Vector]


@dataclass(frozen=True)
class Output:
    """What a cell gives at each step, where that is not its first state."""

    value: Vector


Step = Vector | tuple[Gates | Output | Vector, ...]


def sigmoid(v: Operand) -> Vector:
    """1 / (1 + exp(-v))"""
    return _trace("sigmoid", v).apply("sigmoid", v)


def tanh(v: Operand) -> Vector:
    """The hyperbolic tangent."""
    return _trace("tanh", v).apply("tanh", v)


def relu(v: Operand) -> Vector:
    """max(v, 0)"""
    return _trace("relu", v).apply("relu", v)


def softplus(v: Operand) -> Vector:
    """log(1 + exp(v))"""
    return _trace("softplus", v).apply("softplus", v)


def exp(v: Operand) -> Vector:
    """The exponential."""
    return _trace("exp", v).apply("exp", v)


def log(v: Operand) -> Vector:
    """The natural logarithm."""
    return _trace("log", v).apply("log", v)


def sqrt(v: Operand) -> Vector:
    """The square root."""
    return _trace("sqrt", v).apply("sqrt", v)


def absolute(v: Operand) -> Vector:
    """|v|; also written ``abs(v)``."""
    return _trace("absolute", v).apply("abs", v)


def minimum(a: Operand, b: Operand) -> Vector:
    """The smaller of both, unit by unit."""
    return _trace("minimum", a, b).apply("minimum", a, b)


def maximum(a: Operand, b: Operand) -> Vector:
    """The larger of both, unit by unit."""
    return _trace("maximum", a, b).apply("maximum", a, b)


def greater(a: Operand, b: Operand) -> Vector:
    """1 where a > b, otherwise 0; also written ``a > b``."""
    return _trace("greater", a, b).apply("greater", a, b)


def where(condition: Operand, a: Operand, b: Operand) -> Vector:
    """a where the condition is not 0, otherwise b; what is not chosen is not read, so NaN there is harmless."""
    return _trace("where", condition, a, b).apply("where", condition, a, b)


def hard_sigmoid(v: Operand) -> Vector:
    """v / 6 + 1/2 clipped to [0, 1], as in PyTorch and Keras 3 (Keras 2 and ONNX have the slope 0.2)."""
    trace = _trace("hard_sigmoid", v)
    return trace.label(minimum(maximum(trace.operand(v) / 6 + 0.5, 0), 1), "hard_sigmoid", v)


def mean(v: Operand) -> Vector:
    """The mean over the units, a scalar."""
    trace = _trace("mean", v)
    operand = trace.operand(v)
    if operand.dimension is None:
        trace.fail("mean: the argument must be a vector, got a scalar; use it as it is")
    return trace.symbol("mean", None, (operand,))


def layer_norm(v: Operand, gain: Operand, bias: Operand, eps: float = 1e-5) -> Vector:
    """gain ⊙ (v - mean(v)) / sqrt(mean((v - mean(v))²) + eps) + bias"""
    trace = _trace("layer_norm", v, gain, bias)
    centred = trace.operand(v) - mean(v)
    scaled = centred / sqrt(mean(centred * centred) + eps)
    return trace.label(trace.operand(gain) * scaled + bias, "layer_norm", v, gain, bias)


def gates(**values: Operand) -> Gates:
    """Name values so that layers can return them and reports can show them."""
    if not values:
        return Gates({})
    trace = _trace("gates", *values.values())
    for name, value in values.items():
        if not isinstance(value, Arithmetic):
            trace.fail(f"the gate {name} must be a value of the cell, got {value!r}; leave it out")
    return Gates({name: trace.operand(value) for name, value in values.items()})


def output(value: Operand) -> Output:
    """Let ``value`` be the cell's output instead of its first state."""
    return Output(_trace("output", value).operand(value))


def _trace(who: str, *values: object) -> Trace:
    """The trace that one of the values belongs to."""
    for value in values:
        if isinstance(value, Arithmetic):
            return value.trace
    kinds = ", ".join(type(value).__name__ for value in values)
    raise CellError(f"{who}: an argument must be a symbol of the cell, got {kinds}; use it inside a function under @cell, on its vectors.")
