"""Files that are written whole or not at all, and files that one process has to itself."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from grus.errors import OptionError


@contextmanager
def alone(file: Path, refusal: str) -> Generator[None]:
    """A file for one process alone; the end of a process, a kill too, frees it.

    Raises: OptionError with these words where another process has it.
    """
    with file.open("ab") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OptionError(refusal) from error
        if not _is_there(opened, file):
            raise OptionError(refusal)  # the process that had it has just taken it away
        yield


def _is_there(opened: BinaryIO, file: Path) -> bool:
    """Whether the name of an open file is still its own."""
    try:
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    except FileNotFoundError:
        return False


def check_file(path: Path) -> None:
    """Whether a file may be written there, before the work that makes its content.

    Raises: OptionError.
    """
    if path.is_dir():
        raise OptionError(f"{path}: must be a file, got a folder; name a file in it.")
    if not path.parent.is_dir():
        raise OptionError(f"{path}: must be in a folder that is there, got none named {path.parent}; make it, or name another --out.")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it first, then in its place.

    Raises: OSError, which names the file and not the one beside it.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
