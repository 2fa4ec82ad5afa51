from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grus.errors import OptionError
from grus.training import fit
from grus.training.checkpoint import Checkpoints
from grus.training.loop import _share  # pyright: ignore[reportPrivateUsage]
from grus.training.ranks import Ranks
from tests.training.conftest import linear_rows, squared
from tests.training.rank_run import RULE, network


def launch(folder: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.training.rank_run", str(folder), scenario]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def alone() -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """One process whose batches are twice as large."""
    trained = network()
    history = fit(trained, squared, linear_rows(33, 1, size=8), linear_rows(9, 2, size=8), RULE)
    return dict(trained.state_dict()), history.epochs


def compare(folder: Path, scenario: str, alone: tuple[dict[str, torch.Tensor], list[dict[str, float]]]) -> None:
    for rank in (0, 1):
        found = load_file(folder / f"{scenario}-{rank}.safetensors")
        for name, value in alone[0].items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
        rows = json.loads((folder / f"{scenario}-{rank}.json").read_text())["epochs"]
        for row, expected in zip(rows, alone[1], strict=True):
            for name in ("loss", "validation_loss", "gradient_norm", "learning_rate", "clipped", "steps"):
                assert row[name] == pytest.approx(expected[name], abs=1e-6)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on two ranks."""
    place = tmp_path_factory.mktemp("ranks")
    done = launch(place, "straight")
    assert done.returncode == 0, done.stderr
    return place


def test_two_ranks_are_one_of_twice_the_batch_with_uneven_data(straight: Path, alone: Any) -> None:
    compare(straight, "straight", alone)
    assert len((straight / "run" / "log.jsonl").read_text().splitlines()) == 4
    with pytest.raises(OptionError, match="as many processes as it had, 2, got 1"):
        fit(network(), squared, linear_rows(33, 1, size=4), linear_rows(9, 2, size=4), RULE, folder=straight / "run", resume=True)


def test_dead_rank_ends_the_run_with_an_error_and_a_good_checkpoint_to_go_on_from(tmp_path: Path, straight: Path) -> None:
    done = launch(tmp_path, "dead")
    assert done.returncode != 0
    kept = Checkpoints(tmp_path / "run" / "checkpoints", resume=True).load()
    assert [row["epoch"] for row in kept.note["history"]] == [1, 2]
    done = launch(tmp_path, "resume")
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert (tmp_path / f"resume-{rank}.safetensors").read_bytes() == (straight / f"straight-{rank}.safetensors").read_bytes()


def test_source_without_parts_is_refused_on_several_ranks() -> None:
    @dataclass
    class Whole:
        def __len__(self) -> int:
            return 1

        def epoch(self, number: int, seed: int) -> Any:
            raise AssertionError

    with pytest.raises(OptionError, match=r"must have share\(rank, ranks\) on 2 ranks, got Whole"):
        _share(Whole(), Ranks(0, 2, torch.device("cpu")))


def test_ranks_with_other_data_are_refused(tmp_path: Path) -> None:
    done = launch(tmp_path, "other")
    assert done.returncode != 0
    assert "train must be that of the run to resume, or of the first process, 9 batches, got 7 batches" in done.stderr
