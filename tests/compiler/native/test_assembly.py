"""What the machine code of a layer's loop looks like: the target's fused multiply-adds, no calls, no sums that leave the registers."""

from __future__ import annotations

import re
from functools import cache

import pytest
from llvmlite import ir

import grus.cells
from grus.compiler.native import jit
from grus.compiler.native import target as targets
from grus.compiler.native.kernel import emit_kernel
from grus.compiler.native.products import emit_products
from grus.compiler.native.target import Target
from grus.compiler.programs import CellPrograms, Mode, Stage

X86 = "x86_64-unknown-linux-gnu"
MACHINES = {
    "avx512": Target("avx512", "znver4", "-prefer-256-bit", X86, 64, 32),
    "avx2": Target("avx2", "haswell", "", X86, 32, 16),
    "neon": Target("neon", "generic", "+neon", "aarch64-unknown-linux-gnu", 16, 32, native=False),
}
FMA = re.compile(r"vfn?m(add|sub)\w*p[sd]|fml[as]")
OTHER_ARITHMETIC = re.compile(r"vp(and|sll|add)|v(add|sub|mul|div|min|max|and|or|rndscale|round)p[sd]|f(add|sub|mul|div|min|max)\b")
VECTOR_ON_STACK = re.compile(r"%[xyz]mm\d+.*\(%rsp|\(%rsp.*%[xyz]mm\d+|[qv]\d+.*\[sp")


def stage(name: str, which: str) -> Stage:
    programs = CellPrograms(grus.cells.get(name).program, exact=True)
    return programs.loop(Mode()) if which == "forward" else programs.loop_backward(Mode(save=True))


@cache
def assembly(machine: str, name: str, which: str, dtype: str = "float32") -> str:
    target, module = MACHINES[machine], ir.Module()
    emit_kernel(module, "kernel", stage(name, which).spec, dtype, target)
    return jit.assembly(module, target)


@pytest.mark.parametrize("which", ["forward", "backward"])
def test_next_rows_are_asked_for_by_vectors_alone(which: str) -> None:
    """Decision 0020: once per line of the next rows' inputs and outputs, and in the scalar lowering, of which each element would ask, not at all."""
    asked = [line for line in instructions(assembly("avx2", "gru", which)) if line.startswith("prefetch")]
    assert len(asked) >= len(grus.cells.get("gru").program.inputs) + 1
    module = ir.Module()
    emit_kernel(module, "kernel", stage("gru", which).spec, "float32", targets.get("scalar"))
    assert "prefetch" not in str(module)


def instructions(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if re.match(r"\t[a-z]", line)]


def loops(text: str) -> list[list[str]]:
    """The instructions of every loop that is one straight run: a label, and a jump back to it."""
    found: list[list[str]] = []
    for label, body in re.findall(r"^(\.?L\w+):(.*?)(?=^\.?L\w+:|\Z)", text, re.DOTALL | re.MULTILINE):
        lines = instructions(body)
        if any(re.match(rf"(j\w+|b\.\w+|cbn?z|tbn?z)\b.*{re.escape(label)}\b", line) for line in lines):
            found.append(lines)
    return found


def product_loops(text: str, sums: int) -> list[list[str]]:
    """The loops over k of the tiles with this many sums: fused multiply-adds and no other arithmetic."""
    return [loop for loop in loops(text) if fused(loop) == sums and not any(OTHER_ARITHMETIC.match(line) for line in loop)]


def fused(lines: list[str]) -> int:
    return sum(bool(FMA.match(line)) for line in lines)


@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize(("machine", "sums"), [("avx512", 24), ("avx2", 12)])
def test_product_loops_keep_every_sum_in_a_register(machine: str, sums: int, which: str) -> None:
    text = assembly(machine, "gru", which)
    # A single row takes half as many sums, and a phase with one product at most four.
    several, single = product_loops(text, sums), product_loops(text, sums // 2 if which == "forward" else 4)
    found = several + single
    assert len(several) >= 2
    assert single
    for loop in found:
        assert not [line for line in loop if VECTOR_ON_STACK.search(line)]


@pytest.mark.parametrize(("machine", "sums", "register"), [("avx512", 24, "zmm"), ("avx2", 12, "ymm"), ("neon", 24, r"v\d+\.4s")])
def test_products_use_the_whole_vectors_of_the_target(machine: str, sums: int, register: str) -> None:
    for loop in product_loops(assembly(machine, "gru", "forward"), sums):
        assert all(re.search(register, line) for line in loop if FMA.match(line))


@pytest.mark.parametrize(("dtype", "register"), [("float32", r"v\d+\.4s"), ("float64", r"v\d+\.2d")])
def test_neon_kernel_multiplies_and_adds_in_its_vectors(dtype: str, register: str) -> None:
    lines = instructions(assembly("neon", "gru", "forward", dtype))
    assert sum(bool(re.match(r"fmla\b", line) and re.search(register, line)) for line in lines) >= 100


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["gru", "lstm", "min_gru", "gru_layer_norm"])
def test_kernel_calls_nothing_while_it_computes(machine: str, name: str) -> None:
    for which in ("forward", "backward"):
        calls = [line for line in instructions(assembly(machine, name, which)) if re.match(r"(callq?|blr?)\b", line)]
        assert not [line for line in calls if "sched_yield" not in line], "only a call that waits at a barrier gives way"


@pytest.mark.parametrize(("machine", "sums"), [("avx512", 24), ("avx2", 12)])
def test_outer_product_loop_keeps_every_sum_in_a_register(machine: str, sums: int) -> None:
    module = ir.Module()
    emit_products(module, "float32", MACHINES[machine])
    found = product_loops(jit.assembly(module, MACHINES[machine]), sums)
    assert found
    for loop in found:
        assert not [line for line in loop if VECTOR_ON_STACK.search(line)]


def test_this_machine_is_one_of_the_targets() -> None:
    assert targets.host().name in targets.NAMES
