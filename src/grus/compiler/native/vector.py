"""The elementwise operations of a step program as straight-line vector code: no branches, no tables, no calls of a library.

Each function is a fixed sequence of correctly rounded operations, so a value's result is the same bits in any lane, at any width and on any target.

exp, sigmoid, softplus   e^x = 2^n e^f with n = round(x / ln 2), |f| <= ln(2) / 2 and e^f = 1 + f + f² q(f)
tanh                     E / (E + 1) with E = (e^2|x| - 1) / 2 = 2^n p + (2^n - 1) / 2, p = (e^2g - 1) / 2 = g + g² q(g), g = |x| - n ln(2) / 2
log, log1p               log(1 + u) = u - s (u / 2 - s² q(s²)) with s = u / (1 + u / 2), from 2 artanh(s / 2) = s + s³ q(s²)

The polynomials q are minimax fits (Remez), of the lowest degree whose own error stays below half of the last place of the whole.
Numerics: exp, log, sigmoid, tanh and softplus are within 2 ulp in float32 and in float64, subnormal results included.
NaN propagates through all operations but comparisons (NaN is greater than nothing, and differs from 0 as a condition).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from grus.compiler.native.emitter import Emitter, Value
from grus.errors import OptionError

LOG2_E = 1.4426950408889634
TANH_SHIFT = 0.125
INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class _Format:
    """A floating point format, and the numbers that the functions need in it."""

    bits: int
    fraction: int  # bits of the fraction
    bias: int  # of the exponent
    exp_low: float  # e^x rounds to 0 below
    exp_high: float  # and to infinity above
    sigmoid_high: float  # sigmoid rounds to 1 above
    tanh_high: float
    spare: int  # a power of two that holds half of the exponent's range
    ln2: tuple[float, float, float]  # ln 2 rounded; its leading bits, whose product by n is exact; the rest
    root_half: int  # the bits of sqrt(1/2)
    exp_q: tuple[float, ...]
    tanh_q: tuple[float, ...]
    log1p_q: tuple[float, ...]
    log_q: tuple[float, ...]

    @property
    def magic(self) -> float:
        """Adding it rounds to an integer, which then stands in the last bits of the fraction."""
        return 1.5 * 2.0**self.fraction


# fmt: off
_FORMATS = {
    "float32": _Format(
        32, 23, 127, -104.0, 89.0, 18.0, 9.2, 64, (0.6931471824645996, 0.693145751953125, 1.42860676533018e-06), 0x3F3504F3,
        exp_q=(0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.00836874544620514, 0.001381455920636654),
        tanh_q=(0.9999994039535522, 0.6666684150695801, 0.33356401324272156, 0.13061174750328064, 0.05506899580359459),
        log1p_q=(0.08333301544189453, 0.012506792321801186, 0.002187382895499468, 0.0005474193603731692),
        log_q=(0.08333346992731094, 0.012492967769503593, 0.0023338336031883955),
    ),
    "float64": _Format(
        64, 52, 1023, -746.0, 710.0, 38.0, 19.2, 512, (0.6931471805599453, 0.6931471803691238, 1.9082149292705877e-10), 0x3FE6A09E667F3BCD,
        exp_q=(0.5000000000000011, 0.16666666666666413, 0.041666666666529725, 0.008333333333494791, 0.0013888888943759262,
               0.00019841269506194425, 2.4801492950856982e-05, 2.7557586418567503e-06, 2.7630305705270517e-07, 2.5000142936483287e-08),
        tanh_q=(0.9999999999999989, 0.6666666666667103, 0.33333333333471993, 0.13333333328353483, 0.044444444478447954,
                0.012698425022385934, 0.0031744294582991602, 0.0007065793643229874, 0.00013730982072348758, 3.2214393893403924e-05),
        log1p_q=(0.08333333333333287, 0.012500000000049387, 0.002232142855292864, 0.0004340278120423602, 8.877804528409781e-05,
                 1.8782428540238093e-05, 4.059112085965735e-06, 9.236677769537447e-07, 1.5902238718161006e-07, 8.117581013251208e-08),
        log_q=(0.08333333333333419, 0.012499999999815955, 0.002232142870567852, 0.00043402731397600874, 8.87869616919247e-05,
               1.8693729246653832e-05, 4.5158414394681035e-06),
    ),
}
# fmt: on


class _Exp(NamedTuple):
    """power * (1 + remainder * slope)."""

    remainder: Value
    slope: Value
    power: Value


class VectorMath:
    """Elementwise operations on the vectors of ``emitter``."""

    def __init__(self, emitter: Emitter) -> None:
        self.e, self.format = emitter, _FORMATS[emitter.dtype]
        self.b: Any = emitter.b

    def apply(self, op: str, *values: Value) -> Value:
        """The elementwise operation that a step program calls ``op``."""
        direct = {"neg": self.b.fneg, "add": self.b.fadd, "sub": self.b.fsub, "mul": self.b.fmul, "div": self.b.fdiv}
        function = direct.get(op) or _OPERATIONS.get(op)
        if function is None:
            raise OptionError(f"elementwise operation: must be one of {', '.join((*direct, *_OPERATIONS))}, got {op!r}.")
        return function(*values) if op in direct else function(self, *values)

    # --- selection: each is one instruction where the processor has a minimum or maximum that returns its second argument for NaN ---
    def select(self, relation: str, left: Value, right: Value, yes: Value, no: Value) -> Value:
        """``yes`` where ``left relation right`` holds, ``no`` elsewhere and where either is NaN."""
        return self.b.select(self.b.fcmp_ordered(relation, left, right), yes, no)

    def at_least(self, low: float, x: Value) -> Value:
        bound = self.e.constant(low)
        return self.select(">", bound, x, bound, x)

    def at_most(self, high: float, x: Value) -> Value:
        bound = self.e.constant(high)
        return self.select("<", bound, x, bound, x)

    def maximum(self, a: Value, b: Value) -> Value:
        return self._keep_nan(a, self.select(">", a, b, a, b))

    def minimum(self, a: Value, b: Value) -> Value:
        return self._keep_nan(a, self.select("<", a, b, a, b))

    def _keep_nan(self, a: Value, otherwise: Value) -> Value:
        return self.b.select(self.b.fcmp_unordered("uno", a, a), a, otherwise)

    def relu(self, x: Value) -> Value:
        return self.at_least(0.0, x)

    def greater(self, a: Value, b: Value) -> Value:
        return self.select(">", a, b, self.e.constant(1.0), self.e.constant(0.0))

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        """``a`` where ``condition`` is not 0."""
        return self.b.select(self.b.fcmp_unordered("!=", condition, self.e.constant(0.0)), a, b)

    def clip_gradient(self, a: Value, limit: Value) -> Value:
        return a

    def absolute(self, x: Value) -> Value:
        return self.e.intrinsic("fabs", x)

    def sqrt(self, x: Value) -> Value:
        return self.e.intrinsic("sqrt", x)

    # --- exponentials ---
    def exp(self, x: Value) -> Value:
        """e^x. The exponent is moved towards 0 by a power of two that the last product undoes, so that it rounds once at both ends."""
        f = self.format
        x = self.at_most(f.exp_high, self.at_least(f.exp_low, x))
        negative = self.b.icmp_signed("<", self._bits(x), self.e.integer_constant(0, f.bits))
        magic = self.b.select(negative, self.e.constant(f.magic + f.bias + f.spare), self.e.constant(f.magic + f.bias - f.spare))
        undo = self.b.select(negative, self.e.constant(2.0**-f.spare), self.e.constant(2.0**f.spare))
        return self.b.fmul(self._value(self._exp(x, magic)), undo)

    def sigmoid(self, x: Value) -> Value:
        """c / (c + c e^-x) with c = 2^-spare, so that the sum cannot overflow and a tiny quotient rounds once."""
        f, e = self.format, self.e
        x = self.at_most(f.sigmoid_high, self.at_least(f.exp_low, x))
        part = self._exp(x, e.constant(f.magic + f.bias - f.spare), negated=True)
        unit = e.constant(2.0**-f.spare)
        # c + 2^n + 2^n r h, the largest term last, so that the sum is rounded by hardly more than half a place.
        large, small = self.select(">", part.power, unit, part.power, unit), self.select("<", part.power, unit, part.power, unit)
        total = self.b.fadd(large, e.fma(part.slope, self.b.fmul(part.power, part.remainder), small))
        return self.b.fdiv(unit, total)

    def tanh(self, x: Value) -> Value:
        """E / (E + 1), which for n = 0 becomes g + (g² q - g E) / (E + 1): near 0 that is x, corrected by little, and rounded once."""
        f, e, b = self.format, self.e, self.b
        a = self.at_most(f.tanh_high, self.absolute(x))
        magic = e.constant(f.magic + f.bias)
        # Rounding n a little downwards makes n = 0 reach to |x| = 0.298, beyond which the quotient alone is accurate.
        t = e.fma(b.fsub(a, e.constant(TANH_SHIFT)), e.constant(2.0 * LOG2_E), magic)
        power = self._power(t)
        g = e.fma(b.fsub(t, magic), e.constant(-f.ln2[0] / 2.0), a)
        square = b.fmul(b.fmul(g, g), self._polynomial(f.tanh_q, g))
        half = e.fma(power, b.fadd(g, square), e.fma(power, e.constant(0.5), e.constant(-0.5)))
        near = b.fcmp_ordered("==", t, magic)
        over = b.select(near, e.fma(b.fneg(g), half, square), half)
        start = b.select(near, g, e.constant(0.0))
        return e.intrinsic("copysign", b.fadd(start, b.fdiv(over, b.fadd(half, e.constant(1.0)))), x)

    def softplus(self, x: Value) -> Value:
        """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
        f = self.format
        negative = self.at_least(f.exp_low, self.b.fneg(self.absolute(x)))
        part = self._exp(negative, self.e.constant(f.magic + f.bias + f.spare))
        u = self.b.fmul(self._value(part), self.e.constant(2.0**-f.spare))
        return self.b.fadd(self.relu(x), self._log1p(u, f.log1p_q))

    def log(self, x: Value) -> Value:
        """The natural logarithm: -inf at 0, NaN below."""
        f, e, b = self.format, self.e, self.b
        tiny = b.fcmp_ordered("<", x, e.constant(2.0 ** (1 - f.bias)))
        normal = b.select(tiny, b.fmul(x, e.constant(2.0**f.fraction)), x)
        shift = e.integer_constant(f.fraction, f.bits)
        k = b.ashr(b.sub(self._bits(normal), e.integer_constant(f.root_half, f.bits)), shift)
        m = b.bitcast(b.sub(self._bits(normal), b.shl(k, shift)), e.vector)
        exponent = b.fsub(self._float(k), b.select(tiny, e.constant(f.magic + f.fraction), e.constant(f.magic)))
        u = b.fsub(m, e.constant(1.0))
        finite = e.fma(exponent, e.constant(f.ln2[1]), e.fma(exponent, e.constant(f.ln2[2]), self._log1p(u, f.log_q)))
        result = self.select("<", x, e.constant(INF), finite, x)
        special = self.select("==", x, e.constant(0.0), e.constant(-INF), e.constant(NAN))
        return b.select(b.fcmp_unordered(">", x, e.constant(0.0)), result, special)

    # --- parts ---
    def _exp(self, x: Value, magic: Value, negated: bool = False) -> _Exp:
        """e^x (or e^-x), its power of two moved by what ``magic`` adds to the exponent."""
        f, e, sign = self.format, self.e, -1.0 if negated else 1.0
        t = e.fma(x, e.constant(sign * LOG2_E), magic)
        n = self.b.fsub(t, magic)
        # Where negated the remainder is -f: the signs of the polynomial's odd terms make up for it, which costs no instruction.
        r = e.fma(n, e.constant(-sign * f.ln2[2]), e.fma(n, e.constant(-sign * f.ln2[1]), x))
        terms = (1.0, *f.exp_q)
        return _Exp(r, self._polynomial(tuple(c * sign ** (i + 1) for i, c in enumerate(terms)), r), self._power(t))

    def _value(self, part: _Exp) -> Value:
        return self.b.fmul(self.e.fma(part.slope, part.remainder, self.e.constant(1.0)), part.power)

    def _log1p(self, u: Value, q: tuple[float, ...]) -> Value:
        half = self.b.fmul(u, self.e.constant(0.5))
        s = self.b.fdiv(u, self.b.fadd(half, self.e.constant(1.0)))
        z = self.b.fmul(s, s)
        rest = self.e.fma(z, self._polynomial(tuple(-c for c in q), z), half)
        return self.e.fma(self.b.fneg(s), rest, u)

    def _polynomial(self, coefficients: tuple[float, ...], x: Value) -> Value:
        value = self.e.constant(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            value = self.e.fma(value, x, self.e.constant(c))
        return value

    def _power(self, t: Value) -> Value:
        """The power of two whose biased exponent stands in the last bits of ``t``."""
        return self.b.bitcast(self.b.shl(self._bits(t), self.e.integer_constant(self.format.fraction, self.format.bits)), self.e.vector)

    def _float(self, integer: Value) -> Value:
        """A small integer plus ``magic``. (AVX2 has no conversion from 64-bit integers.)"""
        f = self.format
        bits = ((f.bias + f.fraction) << f.fraction) | (1 << (f.fraction - 1))
        return self.b.bitcast(self.b.add(integer, self.e.integer_constant(bits, f.bits)), self.e.vector)

    def _bits(self, x: Value) -> Value:
        return self.b.bitcast(x, self.e.integer_constant(0, self.format.bits).type)


_OPERATIONS = {
    "abs": VectorMath.absolute,
    "exp": VectorMath.exp,
    "log": VectorMath.log,
    "sqrt": VectorMath.sqrt,
    "sigmoid": VectorMath.sigmoid,
    "tanh": VectorMath.tanh,
    "relu": VectorMath.relu,
    "softplus": VectorMath.softplus,
    "minimum": VectorMath.minimum,
    "maximum": VectorMath.maximum,
    "greater": VectorMath.greater,
    "where": VectorMath.where,
    "clip_gradient": VectorMath.clip_gradient,
}
