from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from llvmlite import ir

from grus.compiler.native import cache, jit, target
from grus.compiler.native.emitter import I64, Emitter
from grus.errors import BackendError, CacheError

DIGEST = hashlib.sha256(b"key").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
PAYLOAD = b"machine code" * 50


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, chosen by the user; this process remembers no library and no warning."""
    chosen = tmp_path / "kernels"
    monkeypatch.setenv("GRUS_CACHE", str(chosen))
    monkeypatch.setattr(jit, "_libraries", {})
    monkeypatch.setattr(cache, "_warned", set())
    return chosen


def number(value: int) -> ir.Module:
    """A function without arguments that returns ``value``."""
    module = ir.Module("number")
    e = Emitter(module, "number", [], "float32", 1, returns=I64)
    e.b.ret(I64(value))
    return module


def call(value: int, key: str = "number", made: list[int] | None = None) -> int:
    """Build (the key, not the value, decides what is found in the cache) and call."""

    def make() -> ir.Module:
        if made is not None:
            made.append(value)
        return number(value)

    return ctypes.CFUNCTYPE(ctypes.c_int64)(jit.build((key,), make, target.get()).address("number"))()


def entry(folder: Path) -> Path:
    (found,) = folder.glob("*.kernel")
    return found


def test_store_and_load(folder: Path) -> None:
    store = cache.default()
    assert store.load(DIGEST) is None
    store.store(DIGEST, PAYLOAD)
    assert store.load(DIGEST) == PAYLOAD
    assert store.load(OTHER) is None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path(DIGEST).stat().st_mode) == 0o600
    store.store(DIGEST, b"new")
    assert store.load(DIGEST) == b"new"
    assert [path.name for path in folder.iterdir()] == [store.path(DIGEST).name]


def test_clear(folder: Path) -> None:
    store = cache.default()
    store.store(DIGEST, PAYLOAD)
    (folder / ".left.over").write_bytes(b"x")
    store.clear()
    assert store.load(DIGEST) is None
    assert not list(folder.iterdir())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def rename_from_other_key(path: Path) -> None:
    cache.default().store(OTHER, PAYLOAD)
    os.replace(cache.default().path(OTHER), path)


def link(path: Path) -> None:
    os.rename(path, path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "truncated in the header": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "other magic": lambda path: path.write_bytes(b"GRUSKRN\x02" + path.read_bytes()[8:]),
    "key of another": rename_from_other_key,
    "symbolic link": link,
    "world-writable": lambda path: path.chmod(0o602),
    "group-writable": lambda path: path.chmod(0o620),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_entry_is_absent(folder: Path, damage: str) -> None:
    store = cache.default()
    store.store(DIGEST, PAYLOAD)
    DAMAGE[damage](store.path(DIGEST))
    assert store.load(DIGEST) is None


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "a folder"])
def test_damaged_entry_is_never_run_but_rebuilt(folder: Path, damage: str) -> None:
    assert call(1) == 1
    DAMAGE[damage](entry(folder))
    jit.forget()
    made: list[int] = []
    assert call(2, made=made) == 2
    assert made == [2]
    jit.forget()
    assert call(3, made=made) == 2
    assert made == [2]


def test_entry_of_another_owner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = cache.default()
    store.store(DIGEST, PAYLOAD)
    real = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        return status if stat.S_ISDIR(status.st_mode) else os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))

    monkeypatch.setattr(os, "fstat", foreign)
    assert store.load(DIGEST) is None


def test_folder_of_another_owner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(1)
    jit.forget()
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(CacheError, match=rf"kernel cache: {folder} must be a folder that you own .* got owner {owner} and mode 700; choose another"):
        call(2)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_folder_that_others_can_write(folder: Path, mode: int) -> None:
    call(1)
    jit.forget()
    folder.chmod(mode)
    with pytest.raises(CacheError, match=f"got owner {os.getuid()} and mode {mode:o}; .* chmod 700"):
        call(2)
    with pytest.raises(CacheError):
        cache.default().clear()


def test_folder_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="got a symbolic link"):
        call(1)


def test_folder_that_is_a_file(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(CacheError, match="got Not a directory"):
        call(1)


def test_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRUS_CACHE", str(tmp_path / "file" / "kernels"))
    with pytest.raises(CacheError, match="must be a folder that you own"):
        cache.default().load(DIGEST)


def test_default_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRUS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default().folder == tmp_path / "grus" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default().folder == tmp_path / ".cache" / "grus" / "kernels"


def test_unsafe_default_folder_is_left_alone_with_one_warning(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRUS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    call(1)
    jit.forget()
    kernels = tmp_path / "grus" / "kernels"
    kernels.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="it is not used, and kernels are compiled anew") as warned:
        results = [call(2), call(3, key="another")]
    assert results == [2, 3]
    assert len(warned) == 1
    assert len(list(kernels.iterdir())) == 1


def test_full_disk_warns_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert call(1) == 1
    assert not list(folder.iterdir())


def test_build_makes_once_per_process_and_once_per_disk(folder: Path) -> None:
    made: list[int] = []
    first = jit.build(("k",), lambda: made.append(1) or number(4), target.get())
    assert jit.build(("k",), lambda: made.append(2) or number(5), target.get()) is first
    jit.forget()
    jit.build(("k",), lambda: made.append(3) or number(6), target.get())
    assert made == [1]


def test_key_includes_target_and_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jit.build(("k",), lambda: number(1), target.get())
    jit.build(("k",), lambda: number(1), target.get("scalar"))
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(jit, "_source_digest", lambda: "edited")
    jit.build(("k",), lambda: number(1), target.get())
    assert len(list(folder.iterdir())) == 3


def test_address_of_an_unknown_symbol(folder: Path) -> None:
    library = jit.build(("k",), lambda: number(1), target.get())
    with pytest.raises(BackendError, match="kernel library: must contain 'absent'"):
        library.address("absent")


def test_loaded_code_may_call_the_c_library(folder: Path) -> None:
    for _ in range(2):  # compiled, then from the disk
        module = ir.Module("calls")
        e = Emitter(module, "root", [ir.DoubleType()], "float64", 1, returns=ir.DoubleType())
        cosine = ir.Function(module, ir.FunctionType(ir.DoubleType(), [ir.DoubleType()]), "cos")
        e.b.ret(e.b.fadd(e.b.call(cosine, e.function.args), e.constant(0.1)))
        library = jit.build(("calls",), lambda module=module: module, target.get())
        assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("root"))(0.0) == 1.1
        jit.forget()


WRITER = """
import sys
from grus.compiler.native import cache
for i in range(200):
    cache.default().store(sys.argv[1], sys.argv[2].encode() * (1000 + i))
"""


def test_concurrent_writers_leave_a_whole_entry(folder: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, DIGEST, letter]) for letter in "ab"]
    seen = set[bytes]()
    while any(writer.poll() is None for writer in writers):
        content = cache.default().load(DIGEST)
        if content is not None:
            seen.add(content[:1])
            assert content == content[:1] * len(content)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert cache.default().load(DIGEST) in (b"a" * 1199, b"b" * 1199)
    assert seen
    assert len(list(folder.iterdir())) == 1
