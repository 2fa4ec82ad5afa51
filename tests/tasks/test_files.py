"""Files: whole or not at all, and for one process alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from grus.errors import OptionError
from grus.tasks import files


def test_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "metrics.json"
    files.write_text(target, "old ü\n")
    assert target.read_bytes() == "old ü\n".encode()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_text(target, "new")
    assert error.value.filename == str(target)
    assert target.read_bytes() == "old ü\n".encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


def test_lock_whose_file_is_taken_away_is_not_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its opening and its locking another process has removed the file and made it anew."""
    file, lock = tmp_path / ".lock", files.fcntl.flock

    def late(opened: object, how: int) -> None:
        file.unlink()
        file.touch()
        lock(opened, how)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(files.fcntl, "flock", late)
    with pytest.raises(OptionError, match="wait for it"), files.alone(file, "wait for it"):
        pass
