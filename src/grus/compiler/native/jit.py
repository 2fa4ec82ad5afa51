"""From LLVM IR to addresses that can be called: compile, keep on disk, load."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import llvmlite
from llvmlite import binding as llvm
from llvmlite import ir

from grus.compiler.native import cache
from grus.compiler.native.target import Target
from grus.errors import BackendError

_lock = threading.RLock()
_count = itertools.count()
_libraries: dict[str, Library] = {}


class Library:
    """Loaded machine code. It stays in memory as long as this object lives; an address of it must not outlive it."""

    def __init__(self, linker: Any, object_code: bytes) -> None:
        self._linker, self._name = linker, f"library{next(_count)}"
        self._trackers = [llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process().link(linker, self._name)]

    def address(self, symbol: str) -> int:
        """Where the function ``symbol`` starts.

        Raises: BackendError where the library has no such function.
        """
        with _lock:
            try:
                tracker = self._linker.lookup(self._name, symbol)
            except RuntimeError as error:
                raise BackendError(f"kernel library: must contain {symbol!r}, got {error}; clear the kernel cache and compile again.") from error
            self._trackers.append(tracker)
            return cast(int, tracker[symbol])


def build(key: tuple[object, ...], make: Callable[[], ir.Module], target: Target) -> Library:
    """The library of ``key``: from this process, or from the disk cache, or compiled from ``make()`` and stored.

    ``repr(key)`` must tell all that ``make`` depends on besides the target and the source of the compiler, which are added here.
    """
    digest = _digest(key, target)
    with _lock:
        if digest not in _libraries:
            folder = cache.default()
            code = folder.load(digest)
            if code is None:
                code = compile_module(make(), target)
                folder.store(digest, code)
            _libraries[digest] = load(code, target)
        return _libraries[digest]


def forget() -> None:
    """Drop this process's memory of the libraries it has built; those still referenced stay loaded."""
    with _lock:
        _libraries.clear()


def compile_module(module: ir.Module, target: Target) -> bytes:
    """The object code of ``module``."""
    optimised, machine = _optimise(module, target)
    return cast(bytes, machine.emit_object(optimised))


def assembly(module: ir.Module, target: Target) -> str:
    """The assembly of ``module``, for a target that need not be runnable here."""
    optimised, machine = _optimise(module, target)
    return cast(str, machine.emit_assembly(optimised))


def load(object_code: bytes, target: Target) -> Library:
    """Link object code into this process.

    Raises: BackendError where the target is not of this processor's architecture.
    """
    if not target.runnable:
        raise BackendError(f"target: must fit this processor to run, got {target.name!r} ({target.triple}); look at its assembly only.")
    with _lock:
        return Library(_linker(), object_code)


@lru_cache(maxsize=1)
def _linker() -> Any:
    """This process's linker. JITLink keeps a library's code and constants close together, which the small code model needs."""
    _initialize(True)
    return llvm.create_lljit_compiler(use_jit_link=True)


def _optimise(module: ir.Module, target: Target) -> tuple[Any, Any]:
    with _lock:
        machine = _machine(target)
        module.triple = target.triple
        module.data_layout = str(machine.target_data)
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        # The tiles are laid out by hand, so LLVM's own vectorisers have nothing to find and stay off (their default here).
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
        passes.getModulePassManager().run(parsed, passes)
        return parsed, machine


def _machine(target: Target) -> Any:
    _initialize(target.runnable)
    found = llvm.Target.from_triple(target.triple)
    return found.create_target_machine(cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="small", jit=target.runnable)


@lru_cache(maxsize=2)
def _initialize(native: bool) -> None:
    if native:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()


def _digest(key: tuple[object, ...], target: Target) -> str:
    versions = (llvmlite.__version__, llvm.llvm_version_info, _source_digest())
    return hashlib.sha256(repr((key, target, versions)).encode()).hexdigest()


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """A digest of the compiler's own source, so that an edit of it makes every cached kernel stale."""
    root = Path(__file__).parent.parent
    content = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        content.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return content.hexdigest()
