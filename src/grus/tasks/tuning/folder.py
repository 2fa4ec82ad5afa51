"""The folder of a search."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grus.errors import DataError, OptionError
from grus.tasks.draft import Draft, dump
from grus.tasks.files import alone, write_text
from grus.tasks.tuning.study import Plan

STUDY, JOURNAL, BEST, REPORT, LOCK = "study.yaml", "journal.log", "best.yaml", "report.html", ".lock"


@dataclass(frozen=True)
class TuningFolder:
    """study.yaml: what is searched. journal.log: the trials. best.yaml: what grus fit takes. report.html: the page."""

    path: Path

    @property
    def file(self) -> Path:
        return self.path / STUDY

    @property
    def best(self) -> Path:
        return self.path / BEST

    @property
    def report(self) -> Path:
        return self.path / REPORT

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL

    def check_new(self) -> None:
        """Raises: OptionError where the folder holds anything."""
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(f"{self.path}: must be a folder, got a file; name another --out.")
        if self.file.exists():
            raise OptionError(f"{self.path}: must be a new folder, got one that holds a search; give --resume to go on with it, or another --out.")
        if self.path.exists() and (names := sorted(entry.name for entry in self.path.iterdir() if entry.name != LOCK)):
            raise OptionError(f"{self.path}: must be a new or an empty folder, got one with {', '.join(names[:3])}; name another --out.")

    def make(self) -> None:
        """The folder itself, for a search to be created in it where it is locked.

        Raises: OptionError where it holds anything.
        """
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)

    def create(self, plan: Plan, name: str, trials: int, *, shared: bool) -> None:
        """shared: whether the trials lie elsewhere than in the folder; where, with its password, is not written down.

        Raises: OptionError where another search was created before this one had the lock.
        """
        self.check_new()
        tree = plan.to_dict()
        tree["study"] |= {"name": name, "trials": trials, "place": secrets.token_hex(8), "shared": shared}
        write_text(self.file, dump(tree))

    def withdraw(self) -> None:
        """Take back a search that never began. The lock stays: a file of that name made anew would be another lock."""
        self.file.unlink(missing_ok=True)

    def read(self) -> tuple[Plan, dict[str, Any]]:
        """The plan, and the rest of what the file says of the study.

        Raises: DataError where the folder holds no search.
        """
        if not self.file.is_file():
            raise DataError(f"{self.path}: must be the folder of a search, got one without {STUDY}; name a folder that grus tune made.")
        written = Draft.read(self.file)
        search, kept = written.tree.pop("search", {}), written.tree.pop("study", {})
        try:
            return Plan.of(written, search, [], kept["metric"], kept["pruner"], kept["seed"]), kept
        except (KeyError, TypeError) as error:
            raise DataError(f"{self.file}: must be as grus tune wrote it, got other content; begin another search.") from error

    def locked(self) -> AbstractContextManager[None]:
        """This folder for one search alone.

        Raises: OptionError where another process searches in it.
        """
        return alone(self.path / LOCK, f"{self.path}: must be a folder that no other grus tune is at work in, got one that is; name another --out.")
