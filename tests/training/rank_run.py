"""One process of a run of several.

python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.training.rank_run FOLDER SCENARIO
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from grus.training import fit
from grus.training.ranks import rank_of_process
from tests.training.conftest import linear_rows, settings, squared

RULE = settings(epochs=4, optimiser="adam", clip_norm=0.5, average="ema", average_options={"decay": 0.9})


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


def die(epoch: int, step: int) -> None:
    if rank_of_process() == 1 and (epoch, step) == (3, 2):
        os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, scenario: str) -> None:
    torch.set_num_threads(1)
    trained, rank = network(), rank_of_process()
    # 33 rows of batches of 2 · 4: the last large batch is one row, so that the second rank's part of it is empty
    train, held = linear_rows(33, 1, size=4), linear_rows(9, 2, size=4)
    if scenario == "dead":
        train = linear_rows(33, 1, size=4, before=die)
    if scenario == "other" and rank:
        train = linear_rows(25, 1, size=4)
    history = fit(trained, squared, train, held, RULE, folder=folder / "run", resume=scenario == "resume")
    save_file(trained.state_dict(), folder / f"{scenario}-{rank}.safetensors")
    (folder / f"{scenario}-{rank}.json").write_text(history.to_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
