"""Settings of the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from grus.compiler import run

# The two workers share the processor, so an example's time says nothing; a fixed seed makes every run the same run.
settings.register_profile("suite", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def _share_all_work() -> None:  # pyright: ignore[reportUnusedFunction]
    """Threads share even the small cases of tests, which would not be worth it otherwise."""
    run.LEAST_WORK = 1


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, for examples that write files."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
