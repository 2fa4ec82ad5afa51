"""What a trial is told and comes to, whatever its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
        """scores: of the network on the validation part, by metric; asked for where the metric is not the loss."""
        best = next(row for row in history.epochs if row["epoch"] == history.best_epoch)
        known = best if metric == LOSS else scores()
        return Found(known[metric], int(best["epoch"]), len(history.epochs))


def check_metric(metric: str, known: Iterable[str], what: str) -> None:
    """known: the metrics that there are for what is learnt, or by what.

    Raises: OptionError for another one.
    """
    names = (LOSS, *known)
    if metric not in names:
        near = [name for name in names if metric in name]
        remedy = f"did you mean {near[0]}?" if near else f"leave it out for {LOSS}."
        raise OptionError(f"grus tune: --metric must be one of {', '.join(names)} for {what}, got {metric}; {remedy}")


class Asking(Quiet):
    """A reporter that asks behind each epoch whether to go on.

    Raises: Pruned as soon as the answer is no.
    """

    def __init__(self, go_on: GoOn) -> None:
        self._go_on = go_on

    def epoch(self, row: Row) -> None:
        if not self._go_on(row):
            raise Pruned
