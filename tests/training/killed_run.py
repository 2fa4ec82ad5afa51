"""A run that is killed again and again and goes on each time; ends with its history and weights in files.

python -m tests.training.killed_run FOLDER KILLS SEED
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
from safetensors.torch import save_file

from grus.training import fit
from tests.training.conftest import linear_rows, settings, small_network

RULE = settings(epochs=16, optimiser="adam", average="ema", clip_percentile=90.0, accumulate=2, checkpoint_every_s=1e-3, schedule="cosine")


def train(folder: Path, *, resume: bool) -> None:
    """The run, from its beginning or from where it was killed; its end is in ``end.safetensors`` and ``history.json``."""
    torch.set_num_threads(1)
    network = small_network()
    history = fit(network, summed, linear_rows(116, 1), linear_rows(16, 2), RULE, folder=folder, resume=resume)
    save_file(network.state_dict(), folder / "end.safetensors")
    (folder / "history.json").write_text(history.to_json())


def summed(network: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = batch
    return (network(x) - y).square().sum(), torch.tensor(float(len(x)))


def begin(folder: Path) -> int:
    """The run in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(folder, resume=any((folder / "checkpoints").rglob("state.json")))
            code = 0
        except Exception:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return child


def main(folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    folder.mkdir()
    for _ in range(kills):
        child = begin(folder)
        time.sleep(draw.uniform(0.01, 0.15))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit("a run failed between kills")
    _, status = os.waitpid(begin(folder), 0)
    raise SystemExit(0 if status == 0 else "the last run failed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
