"""The place of an evaluation until it is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from grus.evaluation.journal import Journal
from grus.tasks.folder import RunFolder
from grus.tasks.run_record import place_for


def test_place_stays_where_something_is_finished_and_the_rest_failed(tmp_path: Path) -> None:
    folder, told = RunFolder(tmp_path), list[str]()
    folder.marker.write_text('{"kind": "grus classify run", "version": 1}', encoding="utf-8")

    def fail(digest: str, *, at: str = "") -> Path:
        with place_for(folder, digest * 64, told.append) as place:
            Journal.open(place / "part-0", {"data": "1"}, resume=False)  # which is written with its first part
            if at:
                (place / at).touch()
            raise InterruptedError(place)

    with pytest.raises(InterruptedError):
        fail("a")
    assert not any(folder.checkpoints.iterdir())
    with pytest.raises(InterruptedError) as stopped:
        fail("a", at="kept")
    place = stopped.value.args[0]
    assert told == []
    with place_for(folder, "b" * 64, told.append) as other:
        assert other.is_dir()
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert told == [f"this evaluation starts anew, as one that was not finished had other settings, data or software; what it did is in {place}"]
    with place_for(folder, "a" * 64, told.append) as again:
        assert sorted(path.name for path in again.iterdir()) == ["kept", "part-0"]
    assert not any(folder.checkpoints.iterdir())
    assert len(told) == 1
