"""The machine a run was made on, and its measured ceilings: the FMA peak of the cores and PyTorch's matrix product."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import threading
import time
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import torch

PACKAGES = ("grus", "torch", "onnxruntime", "openvino", "jax", "jaxlib", "flax", "keras", "tensorflow", "tensorflow-cpu", "numpy", "llvmlite")
FMA_STEPS = 2_000_000


def describe() -> dict[str, Any]:
    """CPU, vector units, cores this process may use, and versions."""
    features = llvm.get_host_cpu_features()
    shown = ("avx2", "fma", "avx512f", "avx512bf16", "avx512vnni", "amx-bf16", "neon", "sve")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    versions: dict[str, str] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu_name(),
        "llvm_cpu": llvm.get_host_cpu_name(),
        "features": [name for name in shown if features.get(name)],
        "cores_used": len(cores),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "versions": versions,
    }


def ceilings(threads: int) -> dict[str, float]:
    """GFLOP/s in float32: ``fma`` from registers alone, ``matmul`` of PyTorch at 2048 x 2048; the best of several runs."""
    return {"fma": FmaPeak().gflops(threads), "matmul": matmul_gflops()}


def matmul_gflops(n: int = 2048, runs: int = 4) -> float:
    a, b = torch.randn(n, n), torch.randn(n, n)
    out = a @ b
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


class FmaPeak:
    """A loop of independent fused multiply-adds on the host's vectors; nothing but the multipliers can hold it back."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        self.lanes, self.chains = (16, 24) if features.get("avx512f") else (8, 12) if features.get("avx2") else (4, 16)
        module = llvm.parse_assembly(self._source())
        machine = llvm.Target.from_default_triple().create_target_machine(cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3, jit=True)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self._peak = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(self._engine.get_function_address("peak"))

    def gflops(self, threads: int, runs: int = 20) -> float:
        """The best of ``runs``, all threads together."""
        return max(self._once(threads) for _ in range(runs))

    def _once(self, threads: int) -> float:
        rooms = [(ctypes.c_float * (self.lanes + 2))(0.999, 1e-3) for _ in range(threads)]
        workers = [threading.Thread(target=self._peak, args=(FMA_STEPS, ctypes.addressof(room))) for room in rooms]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return 2 * self.lanes * self.chains * FMA_STEPS * threads / (time.perf_counter() - start) / 1e9

    def _source(self) -> str:
        """a = a * f + g in each chain; f and g are read from memory so that nothing is folded."""
        kind, chains = f"<{self.lanes} x float>", range(self.chains)
        phis = [f"  %a{i} = phi {kind} [ %f, %entry ], [ %n{i}, %body ]" for i in chains]
        steps = [f"  %n{i} = call {kind} @llvm.fma.v{self.lanes}f32({kind} %a{i}, {kind} %f, {kind} %g)" for i in chains]
        sums = [f"  %s{i} = fadd {kind} {'%n0' if i == 1 else f'%s{i - 1}'}, %n{i}" for i in chains if i]
        splats = [
            f"  %{v}1 = insertelement {kind} poison, float %{v}0, i32 0\n"
            f"  %{v} = shufflevector {kind} %{v}1, {kind} poison, <{self.lanes} x i32> zeroinitializer"
            for v in "fg"
        ]
        return "\n".join(
            [
                f"declare {kind} @llvm.fma.v{self.lanes}f32({kind}, {kind}, {kind})",
                "define void @peak(i64 %count, ptr %room) {",
                "entry:",
                "  %second = getelementptr float, ptr %room, i64 1",
                "  %out = getelementptr float, ptr %room, i64 2",
                "  %f0 = load float, ptr %room",
                "  %g0 = load float, ptr %second",
                *splats,
                "  br label %body",
                "body:",
                "  %i = phi i64 [ 0, %entry ], [ %next, %body ]",
                *phis,
                *steps,
                "  %next = add i64 %i, 1",
                "  %more = icmp slt i64 %next, %count",
                "  br i1 %more, label %body, label %done",
                "done:",
                *sums,
                f"  store {kind} %s{self.chains - 1}, ptr %out, align 4",
                "  ret void",
                "}",
            ]
        )


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
