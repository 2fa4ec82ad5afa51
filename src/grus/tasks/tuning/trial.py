"""``python -m grus.tasks.tuning.trial`` is a process that makes trials as it is told, by lines of JSON.

What it reads is a trial or, behind each epoch, whether to go on; what it writes is an epoch's row, and in the end what was found or why nothing was.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from grus.errors import GrusError, TrainingError
from grus.tasks.config import Config, check
from grus.tasks.draft import Draft
from grus.tasks.registry import TASKS
from grus.tasks.tuning.outcome import Pruned, Row


class _Process:
    """Trials on the orders of another process, whose end is its own."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints is no message
        self._read: tuple[str, Any] | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(1)  # whoever asked for trials is gone, in the middle of one

    def serve(self) -> None:
        while True:
            order = json.loads(self._lines.get())
            try:
                self._tell(self._trial(order))
            except Pruned:
                continue
            except (GrusError, OSError) as error:
                self._tell({"failed": str(error), "diverged": isinstance(error, TrainingError)})

    def _trial(self, order: Mapping[str, Any]) -> dict[str, Any]:
        config = check(Draft("trial", order["config"]))
        module = TASKS[config.task].load_trial()
        return {"found": vars(module.run_trial(config, self._parts(config, module), order["metric"], self._go_on))}

    def _parts(self, config: Config, module: ModuleType) -> Any:
        """The table, read once for all trials that read it alike."""
        alike = f"{config.task} {config.data.model_dump_json()}"
        if self._read is None or self._read[0] != alike:
            self._read = None
            self._read = alike, module.read(config)
        return self._read[1]

    def _go_on(self, row: Row) -> bool:
        self._tell({"row": row})
        return bool(json.loads(self._lines.get())["go_on"])

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked
    _Process().serve()
