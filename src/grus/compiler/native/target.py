"""What the machine code is made for: the vector width, the registers and the instructions that a kernel may use."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from llvmlite import binding as llvm

from grus.compiler.native.emitter import SIZES
from grus.errors import OptionError

NAMES = ("avx512", "avx2", "neon", "scalar")
ENVIRONMENT = "GRUS_TARGET"
_NEEDS = {"avx512": ("avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"), "avx2": ("avx2", "fma")}
_BEYOND_AVX2 = ("avx512", "avx10", "amx", "evex512")


@dataclass(frozen=True)
class Target:
    """A processor as the compiler sees it. Every field is part of the cache key of a kernel.

    ``vector_bytes`` is 0 where a vector is one element; ``registers`` is how many vectors a tile may keep. A target that was forced on a
    processor without its instructions has ``native=False``: its tiles are the same, and LLVM splits each vector into the ones there are.
    """

    name: str
    cpu: str
    features: str
    triple: str
    vector_bytes: int
    registers: int
    bf16: bool = False
    native: bool = True

    def lanes(self, dtype: str) -> int:
        """How many elements of ``dtype`` one vector holds."""
        return self.vector_bytes // SIZES[dtype] or 1

    @property
    def runnable(self) -> bool:
        """Whether this process can run the code; otherwise it can only be looked at as assembly."""
        return self.triple.split("-")[0] == _triple().split("-")[0]


def host() -> Target:
    """The widest target that this processor has."""
    if _is_arm():
        return _make("neon")
    return _make(next((name for name in ("avx512", "avx2") if _has(name)), "scalar"))


def get(name: str | None = None) -> Target:
    """The target called ``name``; None takes the environment variable GRUS_TARGET, or else the host.

    The results of one program are the same bits on every target, so a forced target changes the speed only.

    Raises: OptionError for an unknown name.

    Example:
        >>> get("scalar").lanes("float32")
        1
    """
    who = "target"
    if name is None:
        name, who = os.environ.get(ENVIRONMENT) or None, ENVIRONMENT
    if name is None:
        return host()
    if name not in NAMES:
        raise OptionError(f"{who}: must be one of {', '.join(NAMES)}, got {name!r}; leave it out to use what the processor has.")
    return _make(name)


@lru_cache(maxsize=1)
def _features() -> Mapping[str, bool]:
    return cast("Mapping[str, bool]", dict(llvm.get_host_cpu_features()))


@lru_cache(maxsize=1)
def _cpu() -> str:
    return llvm.get_host_cpu_name()


@lru_cache(maxsize=1)
def _triple() -> str:
    return llvm.get_process_triple()


def _is_arm() -> bool:
    return _triple().split("-")[0] in ("aarch64", "arm64")


def _has(name: str) -> bool:
    return all(_features().get(feature, False) for feature in _NEEDS[name])


def _flat(features: Mapping[str, bool], extra: str = "") -> str:
    flags = [("+" if on else "-") + feature for feature, on in sorted(features.items())]
    return ",".join([*flags, extra] if extra else flags)


def _make(name: str) -> Target:
    if name == "neon":
        return _neon()
    if name == "scalar":
        return _scalar()
    native = _has(name)
    if name == "avx512":
        # Many processors are tuned to split 512-bit vectors, which halves the tile that fits the registers.
        features = _flat(_features(), "-prefer-256-bit" if native else "")
        return Target(name, _cpu(), features, _triple(), 64, 32, native and _features().get("avx512bf16", False), native)
    features = {feature: on and not feature.startswith(_BEYOND_AVX2) for feature, on in _features().items()}
    return Target(name, _cpu(), _flat(features), _triple(), 32, 16, native=native)


def _neon() -> Target:
    if _is_arm():
        return Target("neon", _cpu(), _flat(_features()), _triple(), 16, 32)
    return Target("neon", "generic", "+neon", "aarch64-unknown-linux-gnu", 16, 32, native=False)


def _scalar() -> Target:
    if _is_arm():
        return Target("scalar", "generic", "", _triple(), 0, 32)
    # Without the fma instruction LLVM calls the C library's fma: slow, but the same bits.
    on_x86 = _triple().startswith("x86_64")
    features = "+fma" if on_x86 and _features().get("fma", False) else ""
    return Target("scalar", "x86-64" if on_x86 else "generic", features, _triple(), 0, 16)
