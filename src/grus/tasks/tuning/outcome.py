"""What a trial is told and comes to, whatever its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grus.errors import OptionError
from grus.training.history import History
from grus.training.progress import Quiet

LOSS = "validation_loss"
Row = dict[str, float]
GoOn = Callable[[Row], bool]


class Pruned(Exception):  # noqa: N818  no error: the trial was ended as it was not promising
    """A trial was ended before its last epoch."""


@dataclass(frozen=True)
class Found:
    """What a trial came to: the metric of the epoch that the network keeps."""

    value: float
    best_epoch: int
    epochs: int

    @staticmethod
    def of(history: History, metric: str, scores: Callable[[], dict[str, float]]) -> Found:
        """scores: of the network on the validation part, by metric; asked for where the metric is not the loss.

        Raises: OptionError for a metric that the network does not have.
        """
        best = next(row for row in history.epochs if row["epoch"] == history.best_epoch)
        known = best if metric == LOSS else scores()
        if metric not in known:
            raise OptionError(f"grus tune: --metric must be one that the network has, got {metric}; its are {', '.join((LOSS, *known))}.")
        return Found(known[metric], int(best["epoch"]), len(history.epochs))


class Asking(Quiet):
    """A reporter that asks behind each epoch whether to go on.

    Raises: Pruned as soon as the answer is no.
    """

    def __init__(self, go_on: GoOn) -> None:
        self._go_on = go_on

    def epoch(self, row: Row) -> None:
        if not self._go_on(row):
            raise Pruned
