from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.tasks.folder import open as open_run
from grus.tasks.forecast_run import load_model


@pytest.fixture
def table(tmp_path: Path) -> Path:
    times = pd.date_range("2024-01-01", periods=200, freq="D")
    frame = pd.DataFrame({"ds": times, "y": np.sin(np.arange(200) / 5) + np.arange(200) / 100})
    frame.loc[20:24, "y"] = np.nan
    frame.to_csv(tmp_path / "sines.csv", index=False)
    return tmp_path / "sines.csv"


def fit(table: Path, out: Path, processes: int, batch: int) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    options = [
        "--horizon",
        "3",
        "--epochs",
        "2",
        "--set",
        "data.lookback=14",
        "--set",
        "model.hidden_size=8",
        "--set",
        f"training.batch_size={batch}",
    ]
    command = [sys.executable, *launcher, "-m", "grus", "fit", str(table), *options, "--set", "training.threads=1", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best epoch") == 1
    assert done.stderr.count("missing targets: 5 of 200") == 1


def test_run_of_two_processes_is_that_of_one_with_twice_the_batch(table: Path, tmp_path: Path) -> None:
    fit(table, tmp_path / "two", 2, 8)
    fit(table, tmp_path / "one", 1, 16)
    one, two = (load_model(open_run(tmp_path / name)).network.state_dict() for name in ("one", "two"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-6)
