"""A cell's equations in LaTeX, from the same symbols that its program is built from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from grus.cells.symbols import Vector
from grus.cells.trace import Trace

_GREEK = re.compile("alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega")
_ACCENTS = {"hat": r"\hat", "tilde": r"\tilde", "bar": r"\bar"}
_FUNCTIONS = {
    "sigmoid": r"\sigma",
    "tanh": r"\tanh",
    "relu": r"\mathrm{relu}",
    "softplus": r"\mathrm{softplus}",
    "exp": r"\exp",
    "log": r"\log",
    "mean": r"\mathrm{mean}",
    "minimum": r"\min",
    "maximum": r"\max",
    "hard_sigmoid": r"\mathrm{hard\_sigmoid}",
}
_SUM, _NEGATIVE, _PRODUCT, _ATOM = range(4)
_LEAVES = ("input", "state", "vector", "scalar", "constant")


def write_equations(trace: Trace, states: Mapping[str, Vector], gates: Mapping[str, Vector], output: Vector | None) -> tuple[str, ...]:
    """One equation per gate, state, output and named local value, in the order of computation."""
    named = [*gates.items(), *states.items()]
    taken = {*gates, *states, *(value.name for value in trace.inputs())}
    if output is not None:
        named.append(("output" if "y" in taken else "y", output))
    known = {value for _, value in named}
    for name, value in trace.locals.items():
        if isinstance(value, Vector) and value.op not in _LEAVES and value not in known and name not in taken:
            named.append((name, value))
    shown: dict[Vector, str] = {}
    for name, value in named:
        if value.op not in _LEAVES:
            shown.setdefault(value, write_name(name, "t"))
    ordered = sorted(named, key=lambda pair: (pair[1].order, write_name(pair[0], "t") != shown.get(pair[1])))
    writer = _Writer(trace, shown)
    return tuple(writer.equation(write_name(name, "t"), value) for name, value in ordered)


def write_name(name: str, time: str = "") -> str:
    """An identifier in LaTeX: ``U_r`` → U_r, ``gamma_x`` at t → \\gamma_{x,t}, ``x_hat`` → \\hat{x}."""
    parts = name.strip("_").split("_")
    accent = _ACCENTS.get(parts[-1]) if len(parts) > 1 else None
    if accent:
        parts.pop()
    stem = _write_part(parts[0], 1)
    indices = " ".join(_write_part(part, 2) for part in parts[1:])
    below = ",".join(part for part in (indices, time) if part)
    return (f"{accent}{{{stem}}}" if accent else stem) + ("" if not below else f"_{below}" if len(below) == 1 else f"_{{{below}}}")


def _write_part(part: str, longest: int) -> str:
    if _GREEK.fullmatch(part):
        return f"\\{part}"
    return part if len(part) <= longest else f"\\mathrm{{{part}}}"


class _Writer:
    """Writes expressions; what has a name is written by its name."""

    def __init__(self, trace: Trace, shown: dict[Vector, str]) -> None:
        self._trace = trace
        self._shown = shown

    def equation(self, name: str, value: Vector) -> str:
        defines = self._shown.get(value) == name
        return f"{name} = {self._expand(value)[0] if defines else self._write(value)}"

    def _write(self, value: Vector, strength: int = _SUM) -> str:
        if value in self._shown:
            return self._shown[value]
        text, own = self._expand(value)
        return text if own >= strength else f"({text})"

    def _expand(self, value: Vector) -> tuple[str, int]:
        """The expression and how strongly its outermost operation binds."""
        if value in self._trace.labels:
            return self._call(*self._trace.labels[value]), _ATOM
        match value.op:
            case "add" | "sub":
                return self._sum(value), _SUM
            case "neg":
                return f"-{self._write(value.args[0], _PRODUCT)}", _NEGATIVE
            case "mul":
                return self._product(*value.args), _PRODUCT
            case "product":
                return f"{write_name(value.name)} {self._write(value.args[0], _ATOM)}", _PRODUCT
            case _ if value.op in _LEAVES:
                return self._leaf(value), _ATOM if value.value >= 0 else _NEGATIVE
            case _:
                return self._call(value.op, value.args), _ATOM

    def _leaf(self, value: Vector) -> str:
        if value.op == "constant":
            return f"{value.value:g}"
        return write_name(value.name, {"input": "t", "state": "t-1"}.get(value.op, ""))

    def _sum(self, value: Vector) -> str:
        left, right = value.args
        flat = value.op == "add" and right.op in ("add", "sub")
        return f"{self._write(left)} {'+' if value.op == 'add' else '-'} {self._write(right, _SUM if flat else _PRODUCT)}"

    def _product(self, left: Vector, right: Vector) -> str:
        sign = r"\," if left.dimension is None or right.dimension is None else r"\odot"
        return f"{self._write(left, _PRODUCT if left.op == 'mul' else _ATOM)} {sign} {self._write(right, _ATOM)}"

    def _call(self, op: str, args: tuple[Vector, ...]) -> str:
        texts = [self._write(arg) for arg in args]
        if op == "div":
            return rf"\frac{{{texts[0]}}}{{{texts[1]}}}"
        if op == "sqrt":
            return rf"\sqrt{{{texts[0]}}}"
        if op == "abs":
            return rf"\left|{texts[0]}\right|"
        if op == "greater":
            return rf"[{texts[0]} > {texts[1]}]"
        if op == "where":
            return rf"\begin{{cases}} {texts[1]} & \text{{where }} {texts[0]} \neq 0 \\ {texts[2]} & \text{{otherwise}} \end{{cases}}"
        if op == "layer_norm":
            return rf"\mathrm{{LN}}({texts[0]}; {texts[1]}, {texts[2]})"
        return f"{_FUNCTIONS[op]}({', '.join(texts)})"
