"""A job that records how it was called, in place of the one that trains; and a small run of texts that is really trained."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, BinaryIO

import pandas as pd
import pytest

from grus.cli import main
from grus.tasks.config import Config
from grus.tasks.files import write_text
from grus.tasks.folder import RunFolder
from grus.training.rate_finder import RateSearch
from tests.cli.text_runs import SMALL, TEXTS
from tests.tasks.written_sequences import write_texts

SCORES = {"gru": {"mae": 1.25, "mase": 0.5}, "SeasonalNaive": {"mae": 2.5, "mase": float("nan")}}


class FakeBacktest:
    model = "gru"
    seeds: Mapping[int, Any] = MappingProxyType({})

    def scores(self) -> dict[str, dict[str, float]]:
        return SCORES


@dataclass
class FakeSummary:
    stopped: str

    def to_dict(self) -> dict[str, Any]:
        return {"best_epoch": 7, "validation_loss": 0.123456, "stopped": self.stopped}


@dataclass
class Job:
    """What the commands asked for, and what they are given for it."""

    calls: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    stopped: str = "patience"
    error: BaseException | None = None
    unreadable: BaseException | None = None
    note: str | None = None
    findings: tuple[str, ...] = ()
    suggestion: float | None = 0.0125

    def prepare_run(self, config: Config) -> str:
        if self.unreadable is not None:
            raise self.unreadable
        return f"parts of {config.data.path and config.data.path.name}"

    def noticed(self, parts: str) -> tuple[str, ...]:
        assert parts.startswith("parts of ")
        return self.findings

    def search_run(self, config: Config, parts: str) -> RateSearch:
        assert parts == self.prepare_run(config)
        rates = tuple(10.0**power for power in range(-4, 0))
        return RateSearch(rates, (1.0, 0.75, 0.5, 8.0), (1.0, 0.75, 0.5, 8.0), self.suggestion, 0.1)

    def fit_run(self, config: Config, folder: RunFolder, parts: str, *, reporter: str, resume: bool) -> FakeSummary:
        assert parts == self.prepare_run(config)
        self.calls.append((config, folder, reporter, resume))
        if self.error is not None:
            raise self.error
        folder.model.mkdir(exist_ok=True)
        return FakeSummary(self.stopped)

    def evaluate_run(self, folder: RunFolder, data: Path | None, reporter: str, seeds: Sequence[int] = (), **options: Any) -> FakeBacktest:
        self.calls.append((folder, data, reporter, tuple(seeds), options))
        if self.error is not None:
            raise self.error
        return FakeBacktest()

    def predict_run(
        self, folder: RunFolder, data: Path | BinaryIO | None, levels: tuple[float, ...] | None, tell: Callable[[str], None]
    ) -> pd.DataFrame:
        self.calls.append((folder, data, levels))
        if self.note is not None:
            tell(self.note)
        if self.error is not None:
            raise self.error
        return pd.DataFrame({"ds": ["2024-01-01"], "forecast": [0.1 + 0.2]})

    def report_run(self, folder: RunFolder, out: Path, pictures: Path | None) -> Path:
        self.calls.append((folder, out))
        write_text(out, "<html>")
        return out


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, elsewhere: Path) -> Job:
    """The recording job, in an empty current folder."""
    made = Job()
    modules = {
        "grus.tasks.forecast_run": ("prepare_run", "noticed", "search_run", "fit_run", "evaluate_run", "predict_run"),
        "grus.report.run": ("report_run",),
    }
    for place, names in modules.items():
        module = ModuleType(place)
        for name in names:
            setattr(module, name, getattr(made, name))
        monkeypatch.setitem(sys.modules, place, module)
    (elsewhere / "sales.csv").write_text("ds,y\n2024-01-01,1\n", encoding="utf-8")
    return made


@pytest.fixture
def run(job: Job, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a run that was trained."""
    assert main(["fit", "sales.csv", "--horizon", "24", "--out", "run"]) == 0
    job.calls.clear()
    capsys.readouterr()
    return Path("run")


@pytest.fixture(scope="session")
def trained_on_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on 40 texts, with files of its own for validation and test."""
    place = tmp_path_factory.mktemp("trained")
    files = [str(write_texts(place / f"{name}.tsv", 40, seed)) for seed, name in enumerate(("train", "dev", "test"))]
    assert main(["fit", files[0], *TEXTS, "--valid", files[1], "--test", files[2], "--out", str(place / "run"), *SMALL]) == 0
    return place / "run"


@pytest.fixture
def run_of_texts(trained_on_texts: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A copy of that run, in an empty current folder."""
    shutil.copytree(trained_on_texts, "run")
    capsys.readouterr()
    return Path("run")
