from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import killed_run
from tests.training.conftest import untimed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_run_killed_thirty_times_ends_with_the_bits_of_one_left_alone(tmp_path: Path) -> None:
    """SIGKILL comes at any moment, also while a checkpoint is written, as the run writes one after every update."""
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    killed_run.train(whole, resume=False)
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.killed_run", str(parted), "30", "7"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (parted / "end.safetensors").read_bytes() == (whole / "end.safetensors").read_bytes()
    one, other = (json.loads((folder / "history.json").read_text()) for folder in (whole, parted))
    assert untimed(one["epochs"]) == untimed(other["epochs"])
    assert one["stopped"] == other["stopped"]
