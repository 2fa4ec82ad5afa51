from __future__ import annotations

import dataclasses

import pytest
from llvmlite import binding as llvm
from llvmlite import ir

from grus.compiler.native import jit, target
from grus.compiler.native.emitter import POINTER, Emitter
from grus.errors import BackendError, OptionError


def triple(lanes: int) -> ir.Module:
    """A function that multiplies one vector of floats by 3 and adds 0.25."""
    module = ir.Module("triple")
    e = Emitter(module, "triple", [POINTER], "float32", lanes)
    pointer = e.function.args[0]
    e.store(e.fma(e.load(pointer), e.constant(3.0), e.constant(0.25)), pointer)
    e.b.ret_void()
    return module


def with_features(monkeypatch: pytest.MonkeyPatch, cpu: str, **features: bool) -> None:
    monkeypatch.setattr(target, "_features", lambda: features)
    monkeypatch.setattr(target, "_cpu", lambda: cpu)
    monkeypatch.setattr(target, "_triple", lambda: "x86_64-unknown-linux-gnu")


AVX2 = {"avx": True, "avx2": True, "fma": True}
AVX512 = {**AVX2, "avx512f": True, "avx512vl": True, "avx512bw": True, "avx512dq": True, "avx512bf16": True}


def test_lanes_per_target() -> None:
    lanes = {name: (target.get(name).lanes("float32"), target.get(name).lanes("float64")) for name in target.NAMES}
    assert lanes == {"avx512": (16, 8), "avx2": (8, 4), "neon": (4, 2), "scalar": (1, 1)}


def test_get_unknown_name() -> None:
    with pytest.raises(OptionError, match="target: must be one of avx512, avx2, neon, scalar, got 'avx3'"):
        target.get("avx3")


def test_get_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRUS_TARGET", "scalar")
    assert target.get().name == "scalar"
    assert target.get("avx2").name == "avx2"
    monkeypatch.setenv("GRUS_TARGET", "sse")
    with pytest.raises(OptionError, match="GRUS_TARGET: must be one of"):
        target.get()
    monkeypatch.setenv("GRUS_TARGET", "")
    assert target.get() == target.host()


def test_host_takes_the_widest(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "znver4", **AVX512)
    assert (target.host().name, target.host().bf16, target.host().native) == ("avx512", True, True)
    with_features(monkeypatch, "znver4", **{**AVX512, "avx512bf16": False})
    assert not target.host().bf16
    with_features(monkeypatch, "haswell", **AVX2)
    assert (target.host().name, target.host().bf16) == ("avx2", False)
    with_features(monkeypatch, "nehalem", avx=False)
    assert target.host().name == "scalar"


def test_host_runs_here() -> None:
    assert target.host().native
    assert target.host().runnable


def test_forced_avx512_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "haswell", **AVX2)
    forced = target.get("avx512")
    assert (forced.native, forced.bf16, forced.lanes("float32")) == (False, False, 16)
    text = jit.assembly(triple(16), forced)
    assert text.count("vfmadd") == 2
    assert "zmm" not in text


def test_native_avx512_uses_whole_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "sapphirerapids", **AVX512)
    text = jit.assembly(triple(16), target.get("avx512"))
    assert text.count("vfmadd") == 1
    assert "zmm" in text


def test_forced_avx2_disables_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "znver4", **AVX512)
    forced = target.get("avx2")
    assert (forced.name, forced.native, forced.bf16) == ("avx2", True, False)
    text = jit.assembly(triple(16), forced)
    assert text.count("vfmadd") == 2
    assert "zmm" not in text
    assert "{1to" not in text


def test_scalar_uses_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "znver4", **AVX512)
    text = jit.assembly(triple(1), target.get("scalar"))
    assert "vfmadd" in text
    assert "ss" in text
    assert "ymm" not in text


def test_scalar_without_fma_calls_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "nehalem", avx=False)
    assert "fmaf" in jit.assembly(triple(1), target.get("scalar"))


def test_neon_is_emitted_but_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "znver4", **AVX512)
    neon = target.get("neon")
    assert not neon.native
    assert not neon.runnable
    assert "fmla\tv" in jit.assembly(triple(4), neon)
    with pytest.raises(BackendError, match="must fit this processor to run, got 'neon'"):
        jit.load(b"", neon)


def test_neon_is_native_on_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "neoverse-v1", neon=True)
    monkeypatch.setattr(target, "_triple", lambda: "aarch64-unknown-linux-gnu")
    assert (target.host().name, target.host().native, target.host().runnable) == ("neon", True, True)
    assert target.get("scalar").triple.startswith("aarch64")


def test_target_is_part_of_its_repr() -> None:
    forced = target.get("scalar")
    assert repr(dataclasses.replace(forced, features="+none")) != repr(forced)
    assert llvm.get_process_triple() in repr(forced)
