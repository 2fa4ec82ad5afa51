from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from llvmlite import ir

from grus.compiler import program
from grus.compiler.native import jit, target
from grus.compiler.native.emitter import I64, POINTER, Emitter
from grus.compiler.native.vector import VectorMath
from grus.errors import OptionError

Array = np.ndarray[Any, Any]
NAN, INF = float("nan"), float("inf")
ARITY = {**dict.fromkeys(program.UNARY, 1), **dict.fromkeys(program.BINARY, 2), "where": 3}
SMOOTH = ("exp", "log", "sigmoid", "tanh", "softplus")


@cache
def library(dtype: str, lanes: int, name: str | None) -> jit.Library:
    """Every operation as a function op(arguments..., out, count)."""
    module = ir.Module(dtype)
    for op in program.ELEMENTWISE:
        e = Emitter(module, op, [POINTER] * (ARITY[op] + 1) + [I64], dtype, lanes)
        *arguments, out, count = e.function.args
        math = VectorMath(e)
        e.loop(0, count, lanes, lambda i, _, e=e, op=op, a=arguments, o=out, m=math: e.store(m.apply(op, *[e.load(p, i) for p in a]), o, i))
        e.b.ret_void()
    machine = target.get(name)
    return jit.load(jit.compile_module(module, machine), machine)


def compute(op: str, *values: Any, dtype: str = "float32", lanes: int = 8, name: str | None = None) -> Array:
    count = len(values[0])
    padded = [np.concatenate([np.asarray(value, dtype), np.ones(-count % 16, dtype)]) for value in values]
    out = np.full(len(padded[0]), NAN, dtype)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(values) + 1), ctypes.c_int64)(library(dtype, lanes, name).address(op))
    function(*[value.ctypes.data for value in padded], out.ctypes.data, len(out))
    return out[:count]


def everywhere(dtype: str) -> Array:
    """Numbers of every size and sign, zeros, infinities and a NaN, by their bits."""
    unsigned, bits = ("<u4", 32) if dtype == "float32" else ("<u8", 64)
    step = (1 << bits) // 400_000 | 1
    every = (np.arange(400_000, dtype="u8") * np.uint64(step)).astype(unsigned).view(dtype)
    return np.concatenate([every[~np.isnan(every)], np.array([0.0, -0.0, INF, -INF, NAN], dtype)])


def samples(op: str) -> Array:
    rng = np.random.default_rng(5)
    if op == "log":
        return np.abs(np.concatenate([rng.uniform(0.3, 3, 300_000), 1 + rng.uniform(-0.02, 0.02, 300_000), everywhere("float32")[:-5]])).astype("f4")
    parts = [rng.uniform(-limit, limit, 150_000) for limit in (0.001, 0.1, 0.4, 1.5, 20, 110)]
    with np.errstate(over="ignore"):
        return np.concatenate([*parts, rng.uniform(-104.5, -86, 50_000), rng.uniform(87, 89, 20_000), everywhere("float32")[:-3]]).astype("f4")


def in_float64(op: str, x: Array) -> Array:
    x = x.astype("f8")
    with np.errstate(all="ignore"):
        small = np.exp(-np.abs(x))
        if op == "sigmoid":
            return np.where(x < 0, small, 1) / (1 + small)
        if op == "softplus":
            return np.maximum(x, 0) + np.log1p(small)
        return {"exp": np.exp, "log": np.log, "tanh": np.tanh}[op](x)


@pytest.mark.parametrize("op", SMOOTH)
def test_accuracy_float32(op: str) -> None:
    x = samples(op)
    exact = in_float64(op, x)
    result = compute(op, x)
    with np.errstate(over="ignore"):
        rounded = exact.astype("f4")
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(result[~finite], rounded[~finite])
    place = np.ldexp(1.0, np.maximum(np.frexp(exact[finite])[1] - 24, -149))
    error = np.abs(result[finite] - exact[finite]) / place
    assert error.max() <= 2.0, (op, x[finite][error.argmax()])


PRECISE = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
}


def samples64(op: str) -> Array:
    rng = np.random.default_rng(6)
    if op == "log":
        return np.concatenate([rng.uniform(0.3, 3, 800), 1 + rng.uniform(-0.01, 0.01, 400), 10 ** rng.uniform(-323, 308, 400)])
    parts = [rng.uniform(-limit, limit, 300) for limit in (0.01, 0.4, 1.5, 40, 709)]
    return np.concatenate([*parts, rng.uniform(-746, -700, 300), rng.uniform(700, 709.7, 100), 10 ** rng.uniform(-320, -1, 200), [0.0, 1.0, -1.0]])


@pytest.mark.parametrize("op", SMOOTH)
def test_accuracy_float64(op: str) -> None:
    x = samples64(op)
    with mpmath.workprec(1200):  # enough that 1 + e^-700 keeps e^-700
        for at, got in zip(x.tolist(), compute(op, x, dtype="float64").tolist(), strict=True):
            exact = PRECISE[op](mpmath.mpf(at))
            place = mpmath.mpf(2) ** (max(mpmath.frexp(exact)[1], -1021) - 53)
            assert abs(got - exact) <= 2 * place, (op, at, got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", program.ELEMENTWISE)
def test_bits_equal_for_all_lanes_and_targets(op: str, dtype: str) -> None:
    x = everywhere(dtype)
    arguments = [x, x[::-1].copy(), np.roll(x, 7)][: ARITY[op]]
    bits = "u4" if dtype == "float32" else "u8"
    wide = compute(op, *arguments, dtype=dtype, lanes=16)
    is_nan = np.isnan(wide)
    for lanes, name in ((1, "scalar"), (1, None), (4, "avx2"), (8, "avx2"), (16, "avx512")):
        other = compute(op, *arguments, dtype=dtype, lanes=lanes, name=name)
        np.testing.assert_array_equal(np.isnan(other), is_nan)
        np.testing.assert_array_equal(other[~is_nan].view(bits), wide[~is_nan].view(bits))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [1, 8])
def test_special_values(dtype: str, lanes: int) -> None:
    x = [0.0, -0.0, INF, -INF, NAN]
    ln2 = float(np.log(np.array(2.0, dtype)))
    expected = {
        "exp": [1, 1, INF, 0, NAN],
        "log": [-INF, -INF, INF, NAN, NAN],
        "sqrt": [0.0, -0.0, INF, NAN, NAN],
        "sigmoid": [0.5, 0.5, 1, 0, NAN],
        "tanh": [0.0, -0.0, 1, -1, NAN],
        "softplus": [ln2, ln2, INF, 0, NAN],
        "relu": [0, 0, INF, 0, NAN],
        "neg": [-0.0, 0.0, -INF, INF, NAN],
        "abs": [0.0, 0.0, INF, INF, NAN],
    }
    for op, values in expected.items():
        result = compute(op, x, dtype=dtype, lanes=lanes)
        np.testing.assert_array_equal(result, np.array(values, dtype), err_msg=op)
        if op in ("tanh", "neg", "abs", "sqrt"):
            np.testing.assert_array_equal(np.signbit(result[:2]), np.signbit(values[:2]), err_msg=op)


def test_log_of_negative_numbers_is_nan() -> None:
    assert np.isnan(compute("log", [-1e-45, -1.0, -3e38])).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturated_ends(dtype: str) -> None:
    x = np.array([20.0, 50.0, 1e3, 1e30, np.finfo(dtype).max], dtype)
    for op in ("tanh", "sigmoid"):
        np.testing.assert_array_equal(compute(op, x, dtype=dtype)[1:], np.ones(4, dtype))
    np.testing.assert_array_equal(compute("tanh", -x, dtype=dtype), -np.ones(5, dtype))
    np.testing.assert_array_equal(compute("sigmoid", -x, dtype=dtype)[2:], np.zeros(3, dtype))
    np.testing.assert_array_equal(compute("softplus", x, dtype=dtype)[1:], x[1:])


def test_monotonic_across_the_joints_of_tanh() -> None:
    for joint in (0.298, 0.6448, 0.9914):
        start = np.array(joint, "f4").view("u4") - 20_000
        x = (start + np.arange(40_000, dtype="u4")).view("f4")
        # A value that is within 1.5 places may step back by two at most.
        result = compute("tanh", x)
        assert (np.diff(result) >= -2 * np.spacing(result[1:])).all()


A, B = [1.0, -2.0, NAN, 3.0, NAN, 0.0, INF], [2.0, -3.0, 1.0, NAN, NAN, 5.0, -INF]


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("maximum", [2, -2, NAN, NAN, NAN, 5, INF]),
        ("minimum", [1, -3, NAN, NAN, NAN, 0, -INF]),
        ("greater", [0, 1, 0, 0, 0, 0, 1]),
        ("add", [3, -5, NAN, NAN, NAN, 5, NAN]),
        ("sub", [-1, 1, NAN, NAN, NAN, -5, INF]),
        ("mul", [2, 6, NAN, NAN, NAN, 0, -INF]),
        ("div", [0.5, np.nan, NAN, NAN, NAN, 0, NAN]),
    ],
)
def test_two_arguments(op: str, expected: list[float], dtype: str, lanes: int) -> None:
    wanted = np.array(expected, dtype)
    if op == "div":
        wanted[1] = np.array(-2, dtype) / np.array(-3, dtype)
    np.testing.assert_array_equal(compute(op, A, B, dtype=dtype, lanes=lanes), wanted)


def test_where_takes_every_condition_but_zero() -> None:
    result = compute("where", [1.0, 0.0, -0.0, NAN, -3.0], [1.0] * 5, [2.0, 2.0, NAN, 2.0, NAN])
    np.testing.assert_array_equal(result, np.array([1, 2, NAN, 1, 1], "f4"))


def test_apply_unknown_operation() -> None:
    math = VectorMath(Emitter(ir.Module("m"), "f", [], "float32", 4))
    with pytest.raises(OptionError, match=r"elementwise operation: must be one of neg, .*, got 'cosh'"):
        math.apply("cosh")
