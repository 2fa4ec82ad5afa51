"""Stands in for the process that makes trials: the loss of a "training" is how far its learning rate is from 1e-3, in powers of ten.

What the batch size asks for happens in the second epoch: 2 dies, 3 fails, 4 diverges, 5 never ends its fourth trial while the file HANG is there.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path


def tell(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        training = order["config"]["training"]
        rate, epochs, kind = training["learning_rate"], training["epochs"], training["batch_size"]
        loss = abs(math.log10(rate) + 3)
        for epoch in range(1, epochs + 1):
            tell({"row": {"epoch": epoch, "loss": loss, "validation_loss": loss + 1 / epoch}})
            if not json.loads(sys.stdin.readline() or '{"go_on": false}')["go_on"]:
                break
            if kind == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if kind in (3, 4):
                tell({"failed": "gru: must be another, got this.", "diverged": kind == 4})
                break
            if kind == 5 and number == 3 and Path("HANG").exists():
                print("hangs", file=sys.stderr, flush=True)
                sys.stdin.read()
        else:
            tell({"found": {"value": loss + 1 / epochs, "best_epoch": epochs, "epochs": epochs}})


if __name__ == "__main__":
    main()
