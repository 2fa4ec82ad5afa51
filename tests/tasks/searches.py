"""Searches whose trials cost nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grus.tasks.draft import Draft
from grus.tasks.tuning.folder import TuningFolder
from grus.tasks.tuning.loop import Amount, tune
from grus.tasks.tuning.study import Plan, Record, Study

PROCESS = (str(Path(__file__).with_name("process_of_trials.py")),)
RATE = "training.learning_rate=1e-5..1e-1:log"


def write_table(path: Path = Path("wave.csv"), steps: int = 60) -> Path:
    pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps, freq="h"), "y": np.sin(np.arange(steps))}).to_csv(path, index=False)
    return path


def draft_of(**training: Any) -> Draft:
    """A configuration of the table in the current folder."""
    tree = {"data": {"path": "wave.csv", "horizon": 3, "lookback": 6}, "training": {"epochs": 3, "batch_size": 1, **training}}
    return Draft("study.yaml", tree)


def plan_of(*search: str, metric: str = "validation_loss", pruner: str | None = None, seed: int = 0, **training: Any) -> Plan:
    return Plan.of(draft_of(**training), {}, list(search) or [RATE], metric, pruner, seed)


class Heard:
    """What a search told."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.sentences: list[str] = []

    def trial(self, record: Record, study: Study) -> None:
        self.records.append(record)


def search(plan: Plan, out: str, trials: int, *, jobs: int = 1, heard: Heard | None = None, resume: bool = False, **given: Any) -> Study:
    """``tune`` in a folder of the current one."""
    folder, told = TuningFolder(Path(out)), heard or Heard()
    found, kept = folder.read() if resume else (plan, None)
    options: dict[str, Any] = {"name": "study", "storage": None, "told": told.trial, **given}
    return tune(found, folder, Amount(trials, jobs, options.pop("time_limit_s", None)), kept=kept, tell=told.sentences.append, **options)


def outcomes(study: Study) -> list[tuple[Any, ...]]:
    """What must be the same bits where a search is made again: of all trials but those that were interrupted."""
    return [(record.state, record.values, record.value, record.losses) for record in study.records if record.state != "interrupted"]
