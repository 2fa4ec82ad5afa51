"""The disk cache of machine code: a folder that only its owner can write, entries that are checked before they are run.

What it protects: code is loaded from a file only if this user owns the file and its folder and nobody else can write to either, and only
if the content is the whole entry that was stored under this key. So another user of the machine cannot plant code, and a truncated, damaged
or renamed entry is built again. What it does not: the checksum is no signature, so a process that runs as the same user (or as root)
can replace an entry, as it can replace this package's own source.

An entry is ``MAGIC | sha256(payload) | sha256 of the key | payload``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from grus.errors import CacheError

ENVIRONMENT = "GRUS_CACHE"
MAGIC = b"GRUSKRN\x01"
SUFFIX = ".kernel"
_HEADER = len(MAGIC) + 64
_FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH
_warned: set[str] = set()


class Cache:
    """Entries in one folder. ``strict``: a folder that is not safe is an error; otherwise it is left unused, with one warning.

    Raises: CacheError (from ``load`` and ``store``, if ``strict``) where the folder cannot be made or is not safe.
    """

    def __init__(self, folder: Path, strict: bool = True) -> None:
        self.folder, self.strict = folder, strict

    def path(self, digest: str) -> Path:
        """Where the entry of the key with this SHA-256 (in hexadecimal) lies."""
        return self.folder / (digest + SUFFIX)

    def load(self, digest: str) -> bytes | None:
        """The payload stored under ``digest``, or None where there is no entry that is safe and whole."""
        with self._open() as folder:
            if folder is None:
                return None
            try:
                content = _read_private(digest + SUFFIX, folder)
            except OSError:
                return None
        return _payload(content, digest)

    def store(self, digest: str, payload: bytes) -> None:
        """Write the entry as a whole or not at all; of several writers the last one wins."""
        content = MAGIC + hashlib.sha256(payload).digest() + bytes.fromhex(digest) + payload
        with self._open() as folder:
            if folder is None:
                return
            temporary = f".{digest[:16]}.{secrets.token_hex(8)}"
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
                    file.write(content)
                os.replace(temporary, digest + SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                _warn_once(f"kernel cache: {self.folder} must be writable, got {error.strerror}; kernels are compiled anew in each process.")

    def clear(self) -> None:
        """Remove every entry."""
        with self._open() as folder:
            for name in [] if folder is None else os.listdir(folder):
                if name.endswith(SUFFIX) or name.startswith("."):
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)

    @contextmanager
    def _open(self) -> Generator[int | None]:
        """A descriptor of the folder, made if need be; None where it is not safe and this cache is not strict."""
        if not hasattr(os, "getuid"):  # pragma: no cover - a system whose files have no such owners
            yield None
            return
        descriptor, problem = _open_folder(self.folder)
        if descriptor is None and self.strict:
            raise CacheError(f"{problem}; choose another folder by {ENVIRONMENT}, or make this one yours alone: chmod 700 {self.folder}.")
        if descriptor is None:
            _warn_once(f"{problem}; it is not used, and kernels are compiled anew in each process.")
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def default() -> Cache:
    """The cache in the folder GRUS_CACHE, or else in ``grus/kernels`` of the user's cache folder (XDG_CACHE_HOME or ~/.cache)."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Cache(Path(chosen))
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Cache((Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~/.cache"))) / "grus" / "kernels", strict=False)


def _open_folder(folder: Path) -> tuple[int | None, str]:
    """A descriptor of the folder, or None and what is wrong with it."""
    who = f"kernel cache: {folder} must be a folder that you own and nobody else can write"
    try:
        if not os.path.lexists(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return None, f"{who}, got {'a symbolic link' if folder.is_symlink() else error.strerror}"
    status = os.fstat(descriptor)
    if _is_private(status):
        return descriptor, ""
    os.close(descriptor)
    return None, f"{who}, got owner {status.st_uid} and mode {stat.S_IMODE(status.st_mode):o}"


def _read_private(name: str, folder: int) -> bytes:
    """The content of a file of this user's that nobody else can write; empty for anything else."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        # The checks are on the opened file, so that it cannot be exchanged between the check and the reading.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_private(status):
            return b""
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & _FOREIGN_WRITE


def _payload(content: bytes, digest: str) -> bytes | None:
    magic, checksum, key, payload = content[: len(MAGIC)], content[len(MAGIC) : _HEADER - 32], content[_HEADER - 32 : _HEADER], content[_HEADER:]
    if magic != MAGIC or key.hex() != digest or checksum != hashlib.sha256(payload).digest():
        return None
    return payload


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=4)
