"""What happened in a training run, epoch by epoch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from grus.errors import DataError

Stopped = Literal["epochs", "patience", "interrupted"]


@dataclass(repr=False)
class History:
    """One row per epoch, and why the run stopped.

    A row has ``epoch`` (from 1), ``loss`` and, with validation, ``validation_loss`` (means over the weight of the objective),
    ``learning_rate`` (of the last step), ``gradient_norm`` (the mean over the steps, before clipping), ``clipped`` (the share of the steps whose
    gradient was), ``steps``, ``seconds`` and ``samples_per_s``
    (of the training steps; validation has no part in them).
    """

    epochs: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    stopped: Stopped | None = None

    def __repr__(self) -> str:
        told = [f"{len(self.epochs)} epochs"]
        if self.stopped is not None:
            told.append(f"stopped by {self.stopped}")
        if self.epochs:
            best = next(row for row in self.epochs if row["epoch"] == self.best_epoch)
            told.append(", ".join((f"best {self.best_epoch}", *(f"{name} {best[name]:.4g}" for name in ("loss", "validation_loss") if name in best))))
        return f"History({'; '.join(told)})"

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights are the best: the lowest validation loss, the first of equals; the last epoch without validation."""
        if not self.epochs:
            return None
        judged = [row for row in self.epochs if "validation_loss" in row]
        best = min(judged, key=lambda row: row["validation_loss"]) if judged else self.epochs[-1]
        return int(best["epoch"])

    @property
    def interrupted(self) -> bool:
        return self.stopped == "interrupted"

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> History:
        """The history that ``to_json`` wrote.

        Raises: DataError.
        """
        try:
            found = cast(dict[str, Any], json.loads(text))
            return History([dict(row) for row in found["epochs"]], found["stopped"])
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"History: text must be as to_json wrote it, got {text[:40]!r}; read the whole of its file.") from error
